"""Which reading of the printed counts gives the printed energy? All readings are tried; coincidences are named so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product

from snnprof.audit.layer_tables import Layer
from snnprof.audit.printed import NOTHING, Quantity, Range
from snnprof.audit.readings import AXES, Choice, Reading, Sheet, Term, first_layer, total
from snnprof.units import count_text

FEW = 1
"""Unusual choices that a reading may make and still be taken for what somebody did."""
NEAREST, ALIKE = 3, 1e-3


@dataclass(frozen=True)
class Counted:
    """Counts to read: a sheet, and what is already decided about it.

    Attributes:
        decided: e.g. the convention that counted a run.
    """

    sheet: Sheet
    decided: Mapping[str, Choice] = field(default_factory=dict)

    def readings(self) -> Iterable[Reading]:
        for reading in self.sheet.readings():
            yield Reading({**self.decided, **reading.choices}, reading.energy) if self.decided else reading


@dataclass(frozen=True)
class Figures:
    """What is printed about one network.

    Attributes:
        printed: the printed energy.
        counted: the counts beside it; several where they can be counted in several ways.
        fixed: energies of a run by snnprof's own conventions and hardware profiles.
        stated: the choices of the formula that the source states; null where none is known.
        formula: that formula in words.
        missing: what the formula takes and nobody printed.
        layers: the table of layers that the counts are from.
        family: rows with which it may have been mixed up have the same one.
    """

    name: str
    printed: Quantity
    counted: tuple[Counted, ...]
    fixed: tuple[Reading, ...] = ()
    stated: Mapping[str, str] | None = None
    formula: str = ""
    missing: str = ""
    layers: tuple[Layer, ...] = ()
    timesteps: int | None = None
    note: str = ""
    family: str = ""

    @property
    def energy(self) -> Range:
        """The printed energy, in picojoules."""
        return self.printed.range

    @property
    def sheet(self) -> Sheet:
        """The first way to count."""
        return self.counted[0].sheet

    @cached_property
    def stated_reading(self) -> Reading | None:
        return None if self.stated is None or not self.counted else self.sheet.reading(self.stated)

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        return (*self.fixed, *(reading for counted in self.counted for reading in counted.readings()))


@dataclass(frozen=True)
class Group:
    """Readings that all give the printed energy and together take every combination of these choices.

    Attributes:
        choices: by axis, the choices that will do.
        free: the axes that do not matter.
    """

    choices: Mapping[str, tuple[Choice, ...]]
    readings: tuple[Reading, ...]
    free: frozenset[str] = frozenset()

    @property
    def unusual(self) -> int:
        return min(reading.unusual for reading in self.readings)

    @property
    def energy(self) -> Range:
        """Of its most usual reading, in picojoules."""
        return min(self.readings, key=lambda reading: reading.unusual).energy


@dataclass(frozen=True)
class Near:
    """A reading that misses the printed energy.

    Attributes:
        off: the distance from the nearest printable energy, e.g. 0.1 where the reading is 10 % above it.
    """

    reading: Reading
    off: float


@dataclass(frozen=True)
class Audit:
    """What all readings say about one printed energy.

    Attributes:
        matching: those that give it, the most plausible first.
        groups: the same, joined where a choice does not matter; without those of many unusual choices where others do.
        nearest: the nearest of the readings with few unusual choices, where none gives it.
        hints: what else could explain the figure.
    """

    figures: Figures
    matching: tuple[Reading, ...]
    groups: tuple[Group, ...]
    nearest: tuple[Near, ...]
    hints: tuple[str, ...] = ()

    @property
    def stated(self) -> bool | None:
        """Whether the stated formula gives the energy; null where none is stated."""
        reading = self.figures.stated_reading
        return None if reading is None else reading.energy.meets(self.figures.energy)

    @cached_property
    def plain(self) -> tuple[Reading, ...]:
        """All readings with few unusual choices."""
        return tuple(reading for reading in self.figures.readings if reading.unusual <= FEW)

    @property
    def plain_matching(self) -> tuple[Reading, ...]:
        return tuple(reading for reading in self.matching if reading.unusual <= FEW)

    @property
    def chance(self) -> float:
        """The share of energies between the least and the greatest, by their logarithms, that some plain reading gives:
        how likely a figure out of the air would be explained."""
        return _covered([reading.energy for reading in self.plain], self.figures.energy)


def audit(figures: Figures, siblings: Sequence[Figures] = ()) -> Audit:
    """Tries every reading of the printed counts.

    Args:
        siblings: other rows of the same table, whose figures may have got into this row.
    """
    found = [reading for reading in figures.readings if reading.energy.meets(figures.energy)]
    stated = figures.stated_reading
    order = _Plausibility(stated)
    matching = tuple(sorted(found, key=order))
    plain = [reading for reading in matching if reading.unusual <= FEW]
    groups = tuple(group for group in _grouped(matching, figures) if group.unusual <= FEW or not plain)
    nearest = () if plain else tuple(_nearest(figures))
    settled = stated.energy.meets(figures.energy) if stated else any(reading.unusual == 0 for reading in matching)
    hints = () if settled else tuple(_hints(figures, siblings))
    return Audit(figures, matching, groups, nearest, hints)


@dataclass(frozen=True)
class _Plausibility:
    """The stated formula first, then fewer unusual choices, then the order of the choices on their axes."""

    stated: Reading | None

    def __call__(self, reading: Reading) -> tuple[bool, int, tuple[int, ...]]:
        places = tuple(_place(axis, choice) for axis, choice in reading.choices.items())
        return self.stated is None or reading.key != self.stated.key, reading.unusual, (sum(places), *places)


def _place(axis: str, choice: Choice) -> int:
    return AXES[axis].index(choice) if choice in AXES.get(axis, ()) else 0


# -- grouping --------------------------------------------------------------------------------------------------


def _grouped(matching: Sequence[Reading], figures: Figures) -> list[Group]:
    """Groups that cover all matching readings: each grows from the most plausible one that no group has yet."""
    spaces = [_Space.of(figures.readings, on_hardware) for on_hardware in (False, True)]
    groups: list[Group] = []
    covered: set[object] = set()
    for reading in matching:
        if reading.key not in covered:
            group = spaces["hardware" in reading.choices].grown(reading, figures)
            groups.append(group)
            covered |= {each.key for each in group.readings}
    return groups


@dataclass(frozen=True)
class _Space:
    """All combinations of choices, and the reading that each comes to.

    Attributes:
        every: the choices on each axis.
        by_axes: readings by the axes that have an effect on them, then by their choices on these.
    """

    every: Mapping[str, tuple[Choice, ...]]
    by_axes: Mapping[tuple[str, ...], Mapping[tuple[Choice, ...], Reading]]

    @classmethod
    def of(cls, readings: Iterable[Reading], on_hardware: bool) -> _Space:
        """The readings of a run as it is priced on hardware, or all others."""
        every: dict[str, dict[Choice, None]] = {}
        by_axes: dict[tuple[str, ...], dict[tuple[Choice, ...], Reading]] = {}
        for reading in readings:
            if ("hardware" in reading.choices) == on_hardware:
                by_axes.setdefault(tuple(reading.choices), {})[tuple(reading.choices.values())] = reading
                for axis, choice in reading.choices.items():
                    every.setdefault(axis, {})[choice] = None
        return cls({axis: tuple(choices) for axis, choices in every.items()}, by_axes)

    def grown(self, seed: Reading, figures: Figures) -> Group:
        """The seed with every choice beside its own that leaves all combinations matching."""
        sides = {axis: [seed.choices[axis]] if axis in seed.choices else [*every] for axis, every in self.every.items()}
        for axis in sorted(sides, key=lambda axis: axis != "mac"):  # which first layer and head often share
            for choice in self.every[axis]:
                if choice not in sides[axis] and self._all_match({**sides, axis: [choice]}, figures):
                    sides[axis].append(choice)
        members = tuple({reading.key: reading for reading in self._readings(sides)}.values())
        whole = {axis for axis, side in sides.items() if len(side) == len(self.every[axis]) > 1}
        free = frozenset(axis for axis in whole if any(axis in reading.choices for reading in members))
        told = {axis: tuple(sorted_choices(axis, side)) for axis, side in sides.items() if axis not in whole}
        return Group(told, members, free)

    def _all_match(self, sides: Mapping[str, Sequence[Choice]], figures: Figures) -> bool:
        """Whether these combinations come to readings, and each of them gives the energy."""
        readings = list(self._readings(sides))
        return bool(readings) and all(reading.energy.meets(figures.energy) for reading in readings)

    def _readings(self, sides: Mapping[str, Sequence[Choice]]) -> Iterable[Reading]:
        """What each combination comes to; combinations that say nothing, such as two FLOPs per MAC of no MACs, are
        left out."""
        axes = list(sides)
        places = {names: [axes.index(axis) for axis in names] for names in self.by_axes}
        for combination in product(*sides.values()):
            for names, known in self.by_axes.items():
                reading = known.get(tuple(combination[place] for place in places[names]))
                if reading is not None:
                    yield reading
                    break


def sorted_choices(axis: str, side: Iterable[Choice]) -> list[Choice]:
    """Choices in the order of their axis."""
    return sorted(side, key=lambda choice: (_place(axis, choice), choice.key))


# -- what is near, and what may have happened ----------------------------------------------------------------------


def _nearest(figures: Figures) -> list[Near]:
    """The nearest readings with few unusual choices; of those that lie within a thousandth of another the first."""
    near = [Near(reading, reading.energy.off(figures.energy)) for reading in figures.readings if reading.unusual <= FEW]
    near.sort(key=lambda each: (abs(each.off), each.reading.unusual))
    found: list[Near] = []
    for each in near:
        if not any(math.isclose(each.off, other.off, abs_tol=ALIKE) for other in found):
            found.append(each)
        if len(found) == NEAREST:
            break
    return found


def variants(figures: Figures) -> list[tuple[Choice, Near]]:
    """The stated formula with one other choice, of those that papers make, and how far each is off."""
    stated = figures.stated_reading
    if stated is None or figures.stated is None:
        return []
    found = []
    for axis, choices in figures.sheet.axes.items():
        for choice in choices:
            other = figures.sheet.reading({**figures.stated, axis: choice.key})
            if not choice.unusual and other is not None and other.energy != stated.energy:
                found.append((choice, Near(other, other.energy.off(figures.energy))))
    return found


def _hints(figures: Figures, siblings: Sequence[Figures]) -> Iterable[str]:
    others = [each for each in siblings if each.name != figures.name and each.family == figures.family != ""]
    for other in others:
        there = other.stated_reading
        if other.energy.meets(figures.energy) and there and there.energy.meets(other.energy):
            yield f"{other.printed.text} stands at {other.name}, where it follows: it may have been copied from there."
            return
    times = _units_apart(figures)
    if times:
        yield f"It would follow if it were {times}: check the units of the energy and of the counts."
        return
    sheet = figures.sheet if figures.counted else Sheet(())
    if not sheet.timesteps and any(term.axis in ("first", "head") for term in sheet.terms):
        yield "T is not given: readings that charge a layer at each time step cannot be tried without it."
    borrowed = list(_borrowed_first_layer(figures, others))
    yield from borrowed
    if borrowed:
        return
    shifted = spikes_as_macs(figures)
    if shifted is not None:
        yield (
            f"It would follow if {count_text(shifted.middle)} of the SOPs were priced as MACs instead of ACs, such as "
            "those of integer inputs."
        )


def _units_apart(figures: Figures) -> str:
    """By which power of a thousand the printed energy misses a reading that papers state; empty where by none."""
    usual = [reading.energy for reading in figures.readings if reading.unusual == 0]
    for times in (10**3, 10**6, 10**9):
        if any(energy.times(times).meets(figures.energy) for energy in usual):
            return f"{times:,} times smaller"
        if any(energy.times(1 / times).meets(figures.energy) for energy in usual):
            return f"{times:,} times larger"
    return ""


def _borrowed_first_layer(figures: Figures, others: Sequence[Figures]) -> Iterable[str]:
    """Another row's first layer may have been charged."""
    if figures.stated is None:
        return
    done = set()
    for other in others:
        lent = next((term for term in other.sheet.terms if term.axis == "first"), None) if other.counted else None
        if lent is None or lent in figures.sheet.terms or _macs_once(lent) in done:
            continue
        borrowed = first_layer(_macs_once(lent), figures.timesteps)
        terms = tuple(borrowed if term.axis == "first" else term for term in figures.sheet.terms)
        reading = replace(figures.sheet, terms=terms).reading(figures.stated)
        if reading is not None and reading.energy.meets(figures.energy):
            done.add(_macs_once(lent))
            yield f"The stated formula gives it with the first layer of {other.name}."


def _macs_once(term: Term) -> Range:
    """The MACs of one time step."""
    return next((term.ways[key].mac for key in ("mac_once", "mac_each_step") if key in term.ways), NOTHING)


def spikes_as_macs(figures: Figures) -> Range | None:
    """How many SOPs would have to be MACs for the stated formula (else the most usual reading) to give the energy.

    Null where that is more than half of them, or no more than their rounding.
    """
    if not figures.counted:
        return None
    reading = figures.stated_reading or figures.sheet.reading({})
    if reading is None or not {"ac", "mac"} <= reading.choices.keys() or reading.energy.meets(figures.energy):
        return None
    sops = total(line.operations for line in figures.sheet.lines(reading) if line.price == reading.choices["ac"].factor)
    step = reading.choices["mac"].factor - reading.choices["ac"].factor
    low, high = ((end - reading.energy.middle) / step for end in (figures.energy.low, figures.energy.high))
    return Range(low, high) if low > 0 and high < sops.low / 2 else None


def _covered(energies: Sequence[Range], printed: Range) -> float:
    """The share of the span of some energies that they cover, by logarithms, each widened by the printed rounding."""
    widening = printed.high / printed.low if printed.low > 0 else math.inf
    ends = sorted(
        (math.log(each.low / math.sqrt(widening)), math.log(each.high * math.sqrt(widening)))
        for each in energies if each.low > 0
    )  # fmt: skip
    if not ends or not math.isfinite(widening):
        return 1.0
    covered, reach = 0.0, ends[0][0]
    for low, high in ends:
        covered += max(0.0, high - max(low, reach))
        reach = max(reach, high)
    span = reach - ends[0][0]
    return covered / span if span else 1.0


# -- several rows ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shared:
    """A reading that gives the energies of several rows.

    Attributes:
        rows: names of those that it gives, of `of` rows to which it applies.
    """

    reading: Reading
    rows: tuple[str, ...]
    of: int


def shared(audits: Sequence[Audit], most: int = 5) -> list[Shared]:
    """The readings that give the most rows; readings apply to rows with the same axes."""
    if len(audits) < 2:
        return []
    given: dict[object, list[tuple[str, Reading]]] = {}
    applies: dict[object, int] = {}
    for each in audits:
        for reading in each.plain:
            applies[reading.key] = applies.get(reading.key, 0) + 1
        for reading in each.plain_matching:
            given.setdefault(reading.key, []).append((each.figures.name, reading))
    every = [
        Shared(found[0][1], tuple(name for name, _ in found), applies[key])
        for key, found in given.items() if len(found) > 1
    ]  # fmt: skip
    order = _Plausibility(None)
    return sorted(every, key=lambda each: (-len(each.rows), order(each.reading)))[:most]

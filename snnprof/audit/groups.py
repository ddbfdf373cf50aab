"""Joins readings that give the same energy: where a choice does not matter, one line stands for all its values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from snnprof.audit.figures import Figures
from snnprof.audit.printed import Range
from snnprof.audit.readings import Choice, Reading, in_order


@dataclass(frozen=True)
class Group:
    """Readings that all give the printed energy: every combination of some choices on each axis.

    Attributes:
        choices: by axis, the choices that give it.
        readings: one for each combination.
        free: axes on which every choice gives it.
    """

    choices: Mapping[str, tuple[Choice, ...]]
    readings: tuple[Reading, ...]
    free: frozenset[str] = frozenset()

    @property
    def unusual(self) -> int:
        """The number of unusual choices of the reading that has fewest."""
        return min(reading.unusual for reading in self.readings)

    @property
    def energy(self) -> Range:
        """The energy of the reading with the fewest unusual choices, in pJ."""
        return min(self.readings, key=lambda reading: reading.unusual).energy


def grouped(matching: Sequence[Reading], figures: Figures) -> list[Group]:
    """Groups that cover all matching readings. Each grows from the most plausible reading that no group has yet.

    Args:
        matching: readings that give the printed energy, the most plausible first.
        figures: what they read.
    """
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
    """All combinations of choices, and the reading of each combination.

    Attributes:
        every: the choices on each axis.
        by_axes: readings by the axes that have an effect on them, then by their choices on these.
    """

    every: Mapping[str, tuple[Choice, ...]]
    by_axes: Mapping[tuple[str, ...], Mapping[tuple[Choice, ...], Reading]]

    @classmethod
    def of(cls, readings: Iterable[Reading], on_hardware: bool) -> _Space:
        """The readings of a run that a hardware profile prices, or all others."""
        every: dict[str, dict[Choice, None]] = {}
        by_axes: dict[tuple[str, ...], dict[tuple[Choice, ...], Reading]] = {}
        for reading in readings:
            if ("hardware" in reading.choices) == on_hardware:
                by_axes.setdefault(tuple(reading.choices), {})[tuple(reading.choices.values())] = reading
                for axis, choice in reading.choices.items():
                    every.setdefault(axis, {})[choice] = None
        return cls({axis: tuple(choices) for axis, choices in every.items()}, by_axes)

    def grown(self, seed: Reading, figures: Figures) -> Group:
        """The largest group around a reading: each further choice must leave all combinations matching."""
        sides = {axis: [seed.choices[axis]] if axis in seed.choices else [*every] for axis, every in self.every.items()}
        for axis in sorted(sides, key=lambda axis: axis != "mac"):  # which first layer and head often share
            for choice in self.every[axis]:
                if choice not in sides[axis] and self._all_match({**sides, axis: [choice]}, figures):
                    sides[axis].append(choice)
        members = tuple({reading.key: reading for reading in self._readings(sides)}.values())
        whole = {axis for axis, side in sides.items() if len(side) == len(self.every[axis]) > 1}
        free = frozenset(axis for axis in whole if any(axis in reading.choices for reading in members))
        choices = {axis: tuple(in_order(axis, side)) for axis, side in sides.items() if axis not in whole}
        return Group(choices, members, free)

    def _all_match(self, sides: Mapping[str, Sequence[Choice]], figures: Figures) -> bool:
        """Whether these combinations have readings, and each reading gives the energy."""
        readings = list(self._readings(sides))
        return bool(readings) and all(reading.energy.meets(figures.energy) for reading in readings)

    def _readings(self, sides: Mapping[str, Sequence[Choice]]) -> Iterable[Reading]:
        """The reading of each combination. Choices without an effect, such as 2 FLOPs per MAC of no MACs, have none."""
        axes = list(sides)
        places = {names: [axes.index(axis) for axis in names] for names in self.by_axes}
        for combination in product(*sides.values()):
            for names, known in self.by_axes.items():
                reading = known.get(tuple(combination[place] for place in places[names]))
                if reading is not None:
                    yield reading
                    break

"""Tries all readings of the printed counts: which of them give the printed energy, and how likely that is by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from snnprof.audit.figures import Figures
from snnprof.audit.groups import Group, grouped
from snnprof.audit.hints import Near, hints, nearest
from snnprof.audit.printed import Range
from snnprof.audit.readings import Reading, place


@dataclass(frozen=True)
class Audit:
    """The result of all readings of one printed energy.

    Attributes:
        figures: what is printed.
        matching: the readings that give the energy, the most plausible first.
        groups: the same, joined where a choice does not matter. Where plain readings match, only groups that hold one.
        nearest: where no plain reading matches, the nearest plain readings.
        hints: sentences on what else may explain the energy.
    """

    figures: Figures
    matching: tuple[Reading, ...]
    groups: tuple[Group, ...]
    nearest: tuple[Near, ...]
    hints: tuple[str, ...] = ()

    @property
    def stated(self) -> bool | None:
        """Whether the stated formula gives the energy; None where none is stated."""
        reading = self.figures.stated_reading
        return None if reading is None else reading.energy.meets(self.figures.energy)

    @cached_property
    def plain(self) -> tuple[Reading, ...]:
        """All plain readings, whether they match or not."""
        return tuple(reading for reading in self.figures.readings if reading.plain)

    @property
    def plain_matching(self) -> tuple[Reading, ...]:
        """The plain readings that give the energy."""
        return tuple(reading for reading in self.matching if reading.plain)

    @property
    def chance(self) -> float:
        """How likely some plain reading gives an arbitrary energy, from 0 to 1.

        The share of all energies between the least and the greatest, on a logarithmic scale, that plain readings give.
        """
        return _covered([reading.energy for reading in self.plain], self.figures.energy)


def audit(figures: Figures, siblings: Sequence[Figures] = ()) -> Audit:
    """Try every reading of the printed counts.

    Args:
        figures: what is printed about a network.
        siblings: other rows of the same table, whose figures may have been copied into this row.
    """
    found = [reading for reading in figures.readings if reading.energy.meets(figures.energy)]
    stated = figures.stated_reading
    matching = tuple(sorted(found, key=_Plausibility(stated)))
    plain = any(reading.plain for reading in matching)
    groups = tuple(group for group in grouped(matching, figures) if not plain or any(r.plain for r in group.readings))
    settled = stated.energy.meets(figures.energy) if stated else any(reading.unusual == 0 for reading in matching)
    return Audit(
        figures, matching, groups, () if plain else tuple(nearest(figures)),
        () if settled else tuple(hints(figures, siblings)),
    )  # fmt: skip


@dataclass(frozen=True)
class _Plausibility:
    """Sorts readings: the stated formula first, then fewer unusual choices, then the order of choices on their axes."""

    stated: Reading | None

    def __call__(self, reading: Reading) -> tuple[bool, int, tuple[int, ...]]:
        places = tuple(place(axis, choice) for axis, choice in reading.choices.items())
        return self.stated is None or reading.key != self.stated.key, reading.unusual, (sum(places), *places)


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
        reading: the reading, with the energy of the first row.
        rows: names of the rows whose energies it gives.
        of: the number of rows whose counts have the axes of the reading.
    """

    reading: Reading
    rows: tuple[str, ...]
    of: int


def shared(audits: Sequence[Audit], most: int = 5) -> list[Shared]:
    """The plain readings that give the energies of most rows.

    Args:
        audits: one for each row.
        most: how many readings to return.
    """
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

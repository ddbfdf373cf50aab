"""What else may explain a printed energy: the nearest readings, another unit, another row, SOPs priced as MACs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from snnprof.audit.figures import Figures
from snnprof.audit.printed import NOTHING, Range
from snnprof.audit.readings import Choice, Reading, Sheet, Term, first_layer, total
from snnprof.units import count_text

MOST_NEAR, ALIKE = 3, 1e-3


@dataclass(frozen=True)
class Near:
    """A reading that misses the printed energy.

    Attributes:
        reading: the reading.
        off: its relative distance from the nearest printable energy: 0.1 where the reading is 10 % above it.
    """

    reading: Reading
    off: float


def nearest(figures: Figures) -> list[Near]:
    """The three nearest plain readings. Of readings within a thousandth of each other, the first stands for all."""
    near = [Near(reading, reading.energy.off(figures.energy)) for reading in figures.readings if reading.plain]
    near.sort(key=lambda each: (abs(each.off), each.reading.unusual))
    found: list[Near] = []
    for each in near:
        if not any(math.isclose(each.off, other.off, abs_tol=ALIKE) for other in found):
            found.append(each)
        if len(found) == MOST_NEAR:
            break
    return found


def variants(figures: Figures) -> list[tuple[Choice, Near]]:
    """The stated formula with one other choice that papers make: the choice, and how far its energy is off."""
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


def hints(figures: Figures, siblings: Sequence[Figures]) -> Iterable[str]:
    """Look for what may have happened to a row whose stated formula does not give its energy.

    Args:
        figures: the row.
        siblings: other rows of the same table.

    Yields:
        Sentences; no more after the first explanation that fits.
    """
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
    """Whether the stated formula gives the energy with another row's first layer."""
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
    """How many SOPs must be priced as MACs for the stated formula (else the most usual reading) to give the energy.

    None where that is more than half of the SOPs, or no more than their rounding.
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

"""The data of the figure `conventions`: energy ratios under all conventions and price lists, as panels of cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from snnprof.agreement import Agreement, Cell, Pair, Verdict
from snnprof.comparison import Entry, compared
from snnprof.conventions import Convention
from snnprof.errors import SnnprofError
from snnprof.hardware import HardwareProfile


@dataclass(frozen=True)
class Square:
    """One cell: a ratio under one convention and price list.

    Attributes:
        ratio: energy over that of the baseline; None if there is no price.
        power: logarithm of the ratio to the base 2; None if there is no price.
        verdict: whether the network needs less or more energy than the baseline, by the interval of the ratio.
        lower_bound: whether some work has no price in one of the two totals.
        faint: whether an earlier price list gave the same ratio.
    """

    ratio: float | None
    power: float | None
    verdict: Verdict
    lower_bound: bool
    faint: bool


@dataclass(frozen=True)
class Panel:
    """One network compared with the baseline.

    Attributes:
        name: name of the network.
        claim: `less` or `more` energy than the baseline.
        holding: number of combinations under which the claim holds.
        combinations: number of combinations of convention and price list that count as evidence.
        rows: the cells, one row per convention and one column per price list.
    """

    name: str
    claim: str
    holding: int
    combinations: int
    rows: tuple[tuple[Square, ...], ...]


@dataclass(frozen=True)
class Matrix:
    """Panels with the same conventions and price lists.

    Attributes:
        baseline: name of the network with which the others are compared.
        conventions: labels of the rows.
        groups: the row numbers at which another convention begins.
        hardware: ids of the price lists, the columns.
        panels: one for each network but the baseline.
        reach: the largest |log2(ratio)|, for the colour scale.
        left_out: price lists without a column, and why.
    """

    baseline: str
    conventions: tuple[str, ...]
    groups: tuple[int, ...]
    hardware: tuple[str, ...]
    panels: tuple[Panel, ...]
    reach: float
    left_out: tuple[SnnprofError, ...] = ()


def matrix_of(
    entries: Sequence[Entry], hardware: Sequence[HardwareProfile] = (), first: Convention | None = None
) -> Matrix:
    """Compares runs with the first of them under all conventions and price lists.

    Args:
        entries: the runs; published rows among them are left out.
        hardware: the price lists; if empty, all bundled ones.
        first: a convention that the user chose; it comes before all others.

    Raises:
        SnnprofError: there are fewer than two runs, or no list prices two of them.
    """
    runs = [entry for entry in entries if entry.runs]
    if len(runs) < 2:
        raise SnnprofError("--kind conventions compares runs, and needs two of them")
    return matrix_in(compared(runs).under_all_conventions(hardware, first))


def matrix_in(agreement: Agreement) -> Matrix:
    """The figure's data from a finished comparison.

    Raises:
        SnnprofError: no list prices two of the runs.
    """
    if not agreement.telling:
        raise SnnprofError("no price list prices these runs under any convention", hint="name others with --hardware")
    ids = [reading.convention.id for reading in agreement.readings]
    panels = tuple(_panel(agreement, pair) for pair in agreement.pairs)
    powers = [abs(square.power) for panel in panels for row in panel.rows for square in row if square.power is not None]
    return Matrix(
        agreement.baseline,
        tuple(reading.label for reading in agreement.readings),
        tuple(place for place in range(1, len(ids)) if ids[place] != ids[place - 1]),
        agreement.telling,
        panels,
        max(powers),
        tuple(SnnprofError(f"{', '.join(lists)}: {why}") for why, lists in agreement.not_telling.items()),
    )


def _panel(agreement: Agreement, pair: Pair) -> Panel:
    claim: Verdict = "less" if pair.saves else "more"
    found = {(cell.reading, cell.hardware): cell for cell in pair.cells}
    rows = (tuple(_square(found[reading.label, id]) for id in agreement.telling) for reading in agreement.readings)
    return Panel(pair.name, claim, len(pair.with_verdict(claim)), len(pair.evidence), tuple(rows))


def _square(cell: Cell) -> Square:
    ratio = cell.ratio.value if cell.ratio else None
    return Square(ratio, None if ratio is None else math.log2(ratio), cell.verdict, bool(cell.unpriced), cell.repeats)

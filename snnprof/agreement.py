"""Does a model need less energy than another under every convention and price list that can be defended?

One convention and one price list are a choice among many, and a claim may depend on it. So the ratio of two energies is
computed under all of them: a matrix, and in each of its cells the claim holds, fails or stays undecided. See
docs/conventions.md#a-claim-under-all-conventions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from snnprof import conventions, estimates, statistics
from snnprof.activity import Activity
from snnprof.conventions import Convention, Line
from snnprof.errors import SnnprofError
from snnprof.hardware import HardwareProfile
from snnprof.pricing import Sum, summed
from snnprof.shown import Shown
from snnprof.statistics import Interval

Verdict = Literal["less", "more", "undecided", "not priced"]
COUNTS = {"sop": "SOPs", "mac": "MACs"}
"""Work for which a price list must have prices; without prices for other work, a total is a lower bound."""
UNCOUNTED = "operators that were not counted"
REPEATS = "the same ratios as on a list before it"
SAME = 1e-9
MOST_NAMED = 4
"""How many exceptions a sentence names; it only counts further ones."""


@dataclass(frozen=True)
class Reading:
    """One way to count: a convention with its options.

    Attributes:
        convention: the convention, options included.
        others: labels of further readings that count all of these runs alike.
    """

    convention: Convention
    others: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The convention's id with the options that differ from its defaults."""
        return self.convention.label


@dataclass(frozen=True)
class Cell:
    """The energy of one side over the baseline's under one reading on one price list.

    Attributes:
        reading: label of the reading.
        hardware: id of the price list.
        ratio: the ratio of energies per inference, with its 95 % interval; None if either has no price.
        missing: why there is no ratio; `""` if there is one.
        unpriced: kinds of work without a price, which neither total contains: both are lower bounds.
        repeats: an earlier list gives the same ratio under this reading, so the cell is no further evidence.
    """

    reading: str
    hardware: str
    ratio: Interval | None = None
    missing: str = ""
    unpriced: tuple[str, ...] = ()
    repeats: bool = False

    @property
    def verdict(self) -> Verdict:
        """`less` or `more` if the whole interval lies below or above 1; else `undecided`, or `not priced`."""
        if self.ratio is None:
            return "not priced"
        low, high = self.ratio.low, self.ratio.high
        if low is None or high is None or low <= 1 <= high:
            return "undecided"
        return "less" if high < 1 else "more"


@dataclass(frozen=True)
class Versus:
    """What the accuracies of two sides allow to say about their energies, under any convention.

    Attributes:
        accuracy: accuracy minus the baseline's, as a share (−1 to 1); None if either is unknown.
        same_data: both ran on the same data.
        same_predictions: both are known to predict the same samples correctly.
        margin: percentage points of accuracy that a side may lose and still be said to save energy.
    """

    accuracy: Interval | None = None
    same_data: bool = True
    same_predictions: bool = False
    margin: float = 0.0

    def sentence(self, saves: bool) -> str:
        """Says whether the accuracies allow to compare the energies.

        Args:
            saves: the side needs less energy than the baseline; False: it needs more.

        Returns:
            A sentence without its full stop.
        """
        if not self.same_data:
            return "They were measured on different data, so their energies are not directly comparable"
        if self.same_predictions:
            return "Both make the same predictions"
        if self.accuracy is None:
            return "The accuracy of one is unknown, so their energies are not directly comparable"
        text = f"Its accuracy differs by {points_text(self.accuracy)}"
        rule = f"the margin of {self.margin:g} point{'s' * (self.margin != 1)}"
        low, high = self.accuracy.low, self.accuracy.high
        if low is None or high is None:
            return f"{text}, so their energies are not directly comparable"
        kept = 100 * low > -self.margin if saves else 100 * high < self.margin
        return f"{text}, within {rule}" if kept else f"{text}, not within {rule}: energies are not directly comparable"


@dataclass(frozen=True)
class Pair:
    """One side against the baseline.

    Attributes:
        name: the side.
        baseline: the name of the baseline.
        cells: the matrix row by row: a row for each reading, a column for each price list.
        beside: what the accuracies allow to say.
    """

    name: str
    baseline: str
    cells: tuple[Cell, ...]
    beside: Versus = field(default_factory=Versus)

    @property
    def evidence(self) -> list[Cell]:
        """The cells that count: those whose ratio no earlier list has given under the same reading."""
        return [cell for cell in self.cells if cell.ratio and not cell.repeats]

    def with_verdict(self, *verdicts: Verdict) -> list[Cell]:
        """Selects the cells that count and have one of some verdicts.

        Args:
            verdicts: `less`, `more` or `undecided`.

        Returns:
            The cells, in the order of the matrix.
        """
        return [cell for cell in self.evidence if cell.verdict in verdicts]

    @property
    def not_priced(self) -> list[Cell]:
        """The cells without a ratio."""
        return [cell for cell in self.cells if cell.verdict == "not priced"]

    @property
    def range(self) -> tuple[float, float] | None:
        """The smallest and the largest ratio among the cells that count; None if there are none."""
        return _range(self.evidence)

    @property
    def saves(self) -> bool:
        """Whether at least as many cells say `less` as say `more`, so that the claim is a saving."""
        return len(self.with_verdict("less")) >= len(self.with_verdict("more"))

    @property
    def accuracy(self) -> str:
        """The sentence about accuracy to print beside `sentence`."""
        return f"{self.beside.sentence(self.saves)}."

    @property
    def sentence(self) -> str:
        """The sentence for a paper: in how many cells the claim holds, how large it is, and where it does not hold."""
        every, less, more = self.evidence, self.with_verdict("less"), self.with_verdict("more")
        if not every:
            return f"No combination of convention and price list prices both {self.name} and {self.baseline}."
        word, holding = ("less", less) if self.saves else ("more", more)
        if not holding:
            return (
                f"None of {len(every)} combinations of convention and price list decides whether {self.name} needs "
                f"less energy than {self.baseline}."
            )
        bounds = _range(holding)
        size = f" ({_between(bounds)} times as much)" if bounds else ""
        exceptions = _exceptions([cell for cell in every if cell not in holding])
        return (
            f"{self.name} needs {word} energy than {self.baseline} in {len(holding)} of {len(every)} combinations of "
            f"convention and price list{size}{exceptions}."
        )


@dataclass(frozen=True, repr=False)
class Agreement(Shown):
    """The claims of a comparison under all conventions and price lists.

    Attributes:
        pairs: each side other than the baseline against it.
        baseline: the name of the baseline.
        readings: the rows of each pair's matrix.
        hardware: ids of the price lists: the columns of each pair's matrix.
        excluded: what the user left out of all counts: name of the side, name of the layers, dense MACs per inference.
        uncounted: what a reading has no count of: its label, and side → dense MACs per inference.
    """

    pairs: tuple[Pair, ...]
    baseline: str
    readings: tuple[Reading, ...]
    hardware: tuple[str, ...]
    excluded: tuple[tuple[str, str, float], ...] = ()
    uncounted: tuple[tuple[str, Mapping[str, float]], ...] = ()

    @property
    def telling(self) -> tuple[str, ...]:
        """Ids of the price lists that add a ratio which no earlier list gave."""
        found = {cell.hardware for pair in self.pairs for cell in pair.evidence}
        return tuple(id for id in self.hardware if id in found)

    @property
    def not_telling(self) -> dict[str, list[str]]:
        """The other price lists, by the reason why they add no ratio."""
        found: dict[str, list[str]] = {}
        for id in self.hardware:
            if id not in self.telling:
                cells = [cell for pair in self.pairs for cell in pair.cells if cell.hardware == id]
                reasons = dict.fromkeys(cell.missing or REPEATS for cell in cells)
                found.setdefault(", or else ".join(reasons), []).append(id)
        return found


def agreement_of(
    runs: Mapping[str, Sequence[Activity]],
    baseline: str,
    hardware: Sequence[HardwareProfile],
    first: Convention | None = None,
    beside: Mapping[str, Versus] | None = None,
) -> Agreement:
    """Compares each side with the baseline under every reading, on every price list.

    Args:
        runs: side → its runs: one, or several of one network.
        baseline: name of the side that the others are compared with.
        hardware: the price lists.
        first: a convention of the user's own choice, tried before all others; the layers that it excludes are excluded
            under all others too.
        beside: side → what its accuracy allows to say; a side that is missing has no such facts.

    Raises:
        SnnprofError: there are fewer than two sides, or no price list.
    """
    if len(runs) < 2 or not hardware:
        raise SnnprofError(
            "a claim needs two runs and a price list; published rows have one convention each",
            hint="name two run files or models",
        )
    tables = {name: [_Table(run) for run in each] for name, each in runs.items()}
    readings = _distinct(_tried(first), tables)
    pairs = (
        Pair(
            name,
            baseline,
            tuple(_cells(readings, hardware, tables[name], tables[baseline])),
            (beside or {}).get(name, Versus()),
        )
        for name in runs
        if name != baseline
    )
    ids = tuple(each.id for each in hardware)
    excluded = tuple(_excluded(runs, readings[0].convention))
    return Agreement(tuple(pairs), baseline, tuple(readings), ids, excluded, tuple(_uncounted(readings, tables)))


def _uncounted(
    readings: Sequence[Reading], tables: Mapping[str, Sequence[_Table]]
) -> Iterator[tuple[str, Mapping[str, float]]]:
    for reading in readings:
        macs = {side: each[0].uncounted_macs(reading.convention) for side, each in tables.items()}
        if any(macs.values()):
            yield reading.label, {side: count for side, count in macs.items() if count}


def _excluded(runs: Mapping[str, Sequence[Activity]], rule: Convention) -> Iterator[tuple[str, str, float]]:
    for side, each in runs.items():
        for run in each:
            rule.without.must_hold_something(run)
        for name, macs in rule.without.work(each[0]):
            yield side, name, macs / (each[0].samples or 1)


def _tried(first: Convention | None) -> list[Convention]:
    every = conventions.defensible()
    if first is None:
        return every
    others = [each.excluding(first.without) for each in every if each.label != first.label]
    return [first, *others]


def _distinct(tried: Sequence[Convention], tables: Mapping[str, Sequence[_Table]]) -> list[Reading]:
    """Keeps the readings that count something differently; each names those that count all runs as it does."""
    found: dict[object, Reading] = {}
    for convention in tried:
        key = tuple(table.counted(convention) for each in tables.values() for table in each)
        known = found.get(key)
        found[key] = replace(known, others=(*known.others, convention.label)) if known else Reading(convention)
    return list(found.values())


# -- cells -----------------------------------------------------------------------------------------------------


def _cells(
    readings: Sequence[Reading], hardware: Sequence[HardwareProfile], mine: Sequence[_Table], theirs: Sequence[_Table]
) -> Iterator[Cell]:
    """Yields the cells of a matrix row by row, and marks a ratio that an earlier price list of the row gave."""
    for reading in readings:
        known: list[Interval] = []
        for profile in hardware:
            cell = _cell(reading.convention, profile, mine, theirs)
            if cell.ratio and any(_same(cell.ratio, other) for other in known):
                cell = replace(cell, repeats=True)
            known += [cell.ratio] if cell.ratio else []
            yield cell


def _cell(convention: Convention, profile: HardwareProfile, mine: Sequence[_Table], theirs: Sequence[_Table]) -> Cell:
    """Returns the ratio under one convention on one price list, or the reason why there is none.

    Both sides need prices for all SOPs and MACs. Other work without a price makes both totals lower bounds.
    """
    place = Cell(convention.label, profile.id)
    try:
        sums = [table.total(convention, profile) for table in (*mine, *theirs)]
    except SnnprofError as error:
        return replace(place, missing=str(error))
    unpriced = frozenset[str]().union(*(each.unpriced for each in sums))
    lacking = [word for what, word in COUNTS.items() if what in unpriced]
    if lacking or any(each.pj is None for each in sums):
        return replace(place, missing=f"no price for {' and '.join(lacking) or 'any of the work'}")
    if not all(each.pj for each in sums):
        return replace(place, missing="an energy of 0, to which there is no ratio")
    if any(table.activity.uncounted for table in (*mine, *theirs)):
        unpriced |= {UNCOUNTED}
    return replace(place, ratio=_ratio(convention, profile, mine, theirs), unpriced=tuple(sorted(unpriced)))


def _ratio(
    convention: Convention, profile: HardwareProfile, mine: Sequence[_Table], theirs: Sequence[_Table]
) -> Interval:
    """Returns energy per inference over the baseline's; of several runs, the ratio of their means."""
    if len(mine) == len(theirs) == 1:
        (a,), (b,) = mine, theirs
        if estimates.same_blocks(a.activity, b.activity):
            return statistics.paired_ratio(a.by_block(convention, profile), b.by_block(convention, profile))
        return statistics.ratio_of(a.mean(convention, profile), b.mean(convention, profile))
    x, y = (statistics.mean_of_runs([run.mean(convention, profile).value for run in runs]) for runs in (mine, theirs))
    if len(mine) > 1 and len(theirs) > 1:
        return statistics.ratio_of(x, y)
    return Interval(x.value / y.value)


class _Table:
    """One run, counted once under each reading and priced once on each list."""

    def __init__(self, activity: Activity) -> None:
        self.activity = activity
        self._parts = [activity, *(activity.restricted(block) for block in activity.blocks if block.samples)]
        self._lines: dict[str, list[list[Line]] | SnnprofError] = {}
        self._known: list[dict[Line, Line]] = [{} for _ in self._parts]
        self._costs: dict[tuple[int, str], dict[int, Sum]] = {}
        self._sums: dict[tuple[int, str, str], Sum] = {}

    def counted(self, convention: Convention) -> object:
        """Returns the lines of the run, or the reason why there are none, as a key that tells readings apart."""
        try:
            return tuple(self._counted(convention)[0])
        except SnnprofError as error:
            return str(error)

    def uncounted_macs(self, convention: Convention) -> float:
        """Returns the dense MACs per inference of the operations for which a convention has no line."""
        try:
            counted = {(line.layer, line.op, line.index) for line in self._counted(convention)[0]}
        except SnnprofError:
            return 0.0
        considered = convention.without.rest(self.activity)
        macs = sum(op.dense_macs for op in considered.ops if op.key not in counted)
        return macs / (self.activity.samples or 1)

    def total(self, convention: Convention, profile: HardwareProfile) -> Sum:
        return self._sum(0, convention, profile)

    def by_block(self, convention: Convention, profile: HardwareProfile) -> list[float]:
        return [self._sum(part, convention, profile).pj or 0.0 for part in range(1, len(self._parts))]

    def mean(self, convention: Convention, profile: HardwareProfile) -> Interval:
        """Returns picojoules per inference; over the whole run if the number of its samples is unknown."""
        total = self.total(convention, profile).pj or 0.0
        if not self.activity.samples:
            return Interval(total)
        weights = [part.samples or 0 for part in self._parts[1:]]
        interval = statistics.ratio_interval(self.by_block(convention, profile), weights)
        return replace(interval, value=total / self.activity.samples)

    def _sum(self, part: int, convention: Convention, profile: HardwareProfile) -> Sum:
        key = (part, convention.label, profile.id)
        if key not in self._sums:
            costs = self._costs.setdefault((part, profile.id), {})
            self._sums[key] = summed(self._parts[part], self._counted(convention)[part], profile, costs)
        return self._sums[key]

    def _counted(self, convention: Convention) -> list[list[Line]]:
        """Returns the lines of the run and of each block.

        Readings have most of their lines in common: equal lines are one object, so that `summed` prices each only once.
        """
        if convention.label not in self._lines:
            try:
                counted = [convention.lines(part) for part in self._parts]
            except SnnprofError as error:
                self._lines[convention.label] = error
            else:
                both = zip(self._known, counted, strict=True)
                self._lines[convention.label] = [[known.setdefault(each, each) for each in own] for known, own in both]
        found = self._lines[convention.label]
        if isinstance(found, SnnprofError):
            raise found
        return found


def _same(a: Interval, b: Interval) -> bool:
    pairs = ((a.value, b.value), (a.low, b.low), (a.high, b.high))
    return all(x == y or (x is not None and y is not None and math.isclose(x, y, rel_tol=SAME)) for x, y in pairs)


# -- in words --------------------------------------------------------------------------------------------------


def _range(cells: Sequence[Cell]) -> tuple[float, float] | None:
    values = [cell.ratio.value for cell in cells if cell.ratio]
    return (min(values), max(values)) if values else None


def _between(bounds: tuple[float, float]) -> str:
    low, high = map(times_text, bounds)
    return low if low == high else f"{low}–{high}"


def times_text(ratio: float) -> str:
    """Writes a ratio with two decimals, or with more if two would hide that it is not 1.

    >>> times_text(0.873), times_text(0.9964), times_text(12.34)
    ('0.87', '0.996', '12.3')
    """
    digits = next((n for n in (2, 3, 4) if round(ratio, n) != 1), 2)
    return f"{ratio:.{digits}f}" if 0.995 <= ratio < 1.005 else short_times(ratio)


def short_times(ratio: float) -> str:
    """Writes a ratio with three digits.

    >>> short_times(0.9996), short_times(0.0004), short_times(12345.6)
    ('1.00', '0.0004', '12,346')
    """
    if ratio >= 9.995:
        return f"{ratio:.1f}" if ratio < 99.95 else f"{ratio:,.0f}"
    return f"{ratio:.2f}" if ratio >= 0.005 else f"{ratio:.1g}"


def points_text(accuracy: Interval) -> str:
    """Writes a difference of accuracies in percentage points, with its interval."""
    value = f"{100 * accuracy.value:+.2f} points"
    if accuracy.low is None or accuracy.high is None:
        return typeset(f"{value} (no interval)")
    return typeset(f"{value} (95 % CI {100 * accuracy.low:+.2f} to {100 * accuracy.high:+.2f})")


def typeset(text: str) -> str:
    """Replaces hyphens by minus signs."""
    return text.replace("-", "−")


def _exceptions(cells: Sequence[Cell]) -> str:
    """Writes `; it needs more in 2 (…), and is undecided in 3 (…)`; "" without exceptions."""
    parts = []
    for verdict, words in (("less", "needs less in"), ("more", "needs more in"), ("undecided", "is undecided in")):
        found = [cell for cell in cells if cell.verdict == verdict]
        if found:
            parts.append(f"{words} {len(found)} ({'; '.join(_named(found))})")
    return f"; it {', and '.join(parts)}" if parts else ""


def _named(cells: Sequence[Cell]) -> list[str]:
    """Names the cells by their readings, those with most cells first."""
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.reading, []).append(cell)
    ordered = sorted(rows.items(), key=lambda row: -len(row[1]))
    named = [_row_text(reading, row) for reading, row in ordered[:MOST_NAMED]]
    more = sum(len(row) for _, row in ordered[MOST_NAMED:])
    return [*named, f"{more} more"] if more else named


def _row_text(reading: str, cells: Sequence[Cell]) -> str:
    lists = cells[0].hardware if len(cells) == 1 else f"{len(cells)} lists"
    return f"{reading} on {lists}, {_between(_range(cells) or (1.0, 1.0))}"

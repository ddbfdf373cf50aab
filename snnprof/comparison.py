"""Compares several runs: their figures side by side, why they differ, and when they cannot be compared."""

from __future__ import annotations

import math
import statistics as _statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from snnprof import catalogue, conventions, estimates, statistics
from snnprof.activity import Activity
from snnprof.agreement import Agreement, Versus, agreement_of, points_text, typeset
from snnprof.conventions import Convention
from snnprof.errors import CheckFailed, SnnprofError, unknown
from snnprof.hardware import DEFAULT, HardwareProfile, bundled, load_hardware
from snnprof.literature import Published, row_of
from snnprof.pricing import EnergyReport, Hardware, Reports, price, split_gain
from snnprof.settings import setting_of
from snnprof.shown import Shown
from snnprof.statistics import Interval


@dataclass(frozen=True)
class Entry:
    """One thing to compare: a run priced on each hardware, several runs of one network, or a published row.

    Attributes:
        name: what tables call it.
        runs: for each run, its reports in the order of the hardware; empty for a published row.
        published: the row of a paper; None for runs.
    """

    name: str
    runs: tuple[tuple[EnergyReport, ...], ...] = ()
    published: Published | None = None

    @property
    def reports(self) -> tuple[EnergyReport, ...]:
        """The reports of the first run, one for each hardware; empty for a published row."""
        return self.runs[0] if self.runs else ()

    @property
    def activity(self) -> Activity | None:
        """The first run; None for a published row."""
        return self.reports[0].activity if self.reports else None


NOT_COMPARABLE = "energies are not directly comparable"


@dataclass(frozen=True)
class Estimate:
    """A figure per inference.

    Attributes:
        value: the figure; None if unknown.
        half: what is printed after ±: half the interval, or the standard deviation over grouped runs; None if unknown.
        interval: the 95 % confidence interval; of grouped runs, the interval of the mean over further training seeds.
    """

    value: float | None = None
    half: float | None = None
    interval: Interval | None = None


@dataclass(frozen=True)
class Side:
    """The figures of one entry, per inference.

    Attributes:
        entry: the runs or the published row.
        accuracy: share (0 to 1) of correct predictions.
        parameters: number of parameters that counted operations use; of all parameters if that is unknown.
        timesteps: T; None if unknown.
        dense_macs: MACs of a dense machine for all T steps; None if unknown.
        sops: synaptic operations by the convention.
        macs: multiply-accumulates by the convention; None if unknown.
        energies: hardware id → picojoules; key `published` for an energy that a paper prints.
        samples: number of samples that ran; None for a published row.
        spread: what `Estimate.half` is: `95 % interval`, or `standard deviation over N runs`.
    """

    entry: Entry
    accuracy: Estimate
    parameters: float | None
    timesteps: int | None
    dense_macs: float | None
    sops: Estimate
    macs: float | None
    energies: Mapping[str, Estimate]
    samples: int | None
    spread: str = ""

    @property
    def name(self) -> str:
        """What tables call the side."""
        return self.entry.name


PAPER = "paper:"
"""Marks the name of a published row among paths of run files."""
PRINTED = "published"
MARGIN = 1.0
"""Percentage points of accuracy."""
MANYFOLD = 10.0
"""From this ratio on, a claim says "N times as much" instead of "N % more"."""


@dataclass(frozen=True)
class Ratio:
    """The energy of one side over the baseline's on one hardware: ratio of operations × ratio of prices per operation.

    Attributes:
        name: the side.
        hardware: id of the price list.
        energy: ratio of energies per inference.
        accuracy: accuracy minus the baseline's, as a share (−1 to 1); None if either is unknown.
        operations: ratio of operations (SOPs and MACs) per inference; None if either is unknown.
        price: ratio of energies per operation; None if `operations` is, or if a paper printed one of the energies.
        claim: the sentence that energy and accuracy allow.
    """

    name: str
    hardware: str
    energy: Interval
    accuracy: Interval | None
    operations: float | None
    price: float | None
    claim: str


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Everything that `snnprof compare` prints.

    Attributes:
        sides: the figures of each entry, in the order given.
        baseline: the side that the others are compared with.
        hardware: ids of all price lists, and `published` for energies that papers print.
        ratios: one for each side other than the baseline and each hardware on which both have an energy.
        differing: one sentence for each fact that differs between the sides (T, data, number format, …).
        best: figure (`accuracy`, `sops` or a hardware id) → names of the sides that are best on their data beyond
            doubt: their interval lies apart from all others'.
        margin: percentage points of accuracy that a side may lose and still be said to save energy.
    """

    sides: tuple[Side, ...]
    baseline: Side
    hardware: tuple[str, ...]
    ratios: tuple[Ratio, ...]
    differing: tuple[str, ...]
    best: Mapping[str, frozenset[str]] = field(default_factory=dict)
    margin: float = MARGIN

    @property
    def unlike(self) -> dict[str, str]:
        """In what each side's setting differs from the baseline's, by the side's name; empty without published rows."""
        if not any(side.entry.published for side in self.sides):
            return {}
        base = setting_of(self.baseline.entry.published or self.baseline.entry.activity)
        settings = {side.name: setting_of(side.entry.published or side.entry.activity) for side in self.sides}
        return {name: "; ".join(parts) for name, setting in settings.items() if (parts := setting.unlike(base))}

    def under_all_conventions(
        self, hardware: Sequence[Hardware] = (), first: str | Convention | None = None
    ) -> Agreement:
        """Compares each side with the baseline under every convention that can be defended, on every price list.

        Published rows are left out: each has one convention, its paper's. See
        docs/conventions.md#a-claim-under-all-conventions.

        Args:
            hardware: profiles, their ids or YAML files; empty: all bundled ones.
            first: a convention of the user's own choice, tried before all others.

        Returns:
            For each side a matrix of energy ratios, conventions × price lists, and a sentence for a paper.

        Raises:
            SnnprofError: fewer than two runs; the baseline is a published row; there is no such profile or convention.
        """
        lists = [each if isinstance(each, HardwareProfile) else load_hardware(each) for each in hardware] or bundled()
        sides = [side for side in self.sides if side.entry.runs]
        if not self.baseline.entry.runs:
            raise SnnprofError(
                f"{self.baseline.name} has one convention, its paper's", hint="choose a run with --baseline"
            )
        beside = {
            side.name: Versus(_accuracy_difference(side, self.baseline), _same_data(side, self.baseline),
                              _same_predictions(side, self.baseline), self.margin)
            for side in sides
        }  # fmt: skip
        rule = conventions.find(first) if isinstance(first, str) else first
        runs = {side.name: [reports[0].activity for reports in side.entry.runs] for side in sides}
        return agreement_of(runs, self.baseline.name, lists, rule, beside)


def compare(
    runs: Sequence[Activity | str | Path] | Mapping[str, Activity | str | Path],
    hardware: Hardware | Sequence[Hardware] = DEFAULT,
    baseline: str | None = None,
    convention: str | Convention = "exact",
    margin: float = MARGIN,
) -> Comparison:
    """Compares runs, and published rows, with a baseline.

    Args:
        runs: activities, paths of run files, and `paper:ROW` for published rows; or a mapping from the names to show to
            these.
        hardware: a profile, its id or its YAML file; or a list of them.
        baseline: name of one of the runs; None: the first.
        convention: a convention, or its id with options.
        margin: percentage points of accuracy that a run may lose and still be said to save energy.

    Returns:
        The figures of all runs and their ratios to the baseline.

    Raises:
        SnnprofError: there is nothing to compare, or no such file, row, profile, convention or baseline.
    """
    if isinstance(runs, Activity | str | Path):
        raise SnnprofError("compare takes a list of runs", hint="snnprof.compare([first, second])")
    given = list(runs.values() if isinstance(runs, Mapping) else runs)
    things = [_thing(each) for each in given]
    names = list(runs) if isinstance(runs, Mapping) else labels(list(map(_place, given)), things)
    priced = [_entry(name, thing, hardware, convention) for name, thing in zip(names, things, strict=True)]
    return compared(priced, baseline, margin)


def labels(places: Sequence[str], things: Sequence[Activity | Published]) -> list[str]:
    """Names the runs: by their model where that tells them apart, else also by the file, else by a number."""
    short = [
        (thing.run.model.label or Path(place).stem or "run") if isinstance(thing, Activity)
        else f"{thing.title} (published)"
        for place, thing in zip(places, things, strict=True)
    ]  # fmt: skip
    full = [f"{label} [{place}]" if place and short.count(label) > 1 else label
            for label, place in zip(short, places, strict=True)]  # fmt: skip
    return [f"{label} #{i + 1}" if full.count(label) > 1 else label for i, label in enumerate(full)]


def _thing(run: Activity | str | Path) -> Activity | Published:
    if isinstance(run, Activity):
        return run
    text = str(run)
    return catalogue.published_row(text.removeprefix(PAPER)) if text.startswith(PAPER) else Activity.load(run)


def _place(run: Activity | str | Path) -> str:
    return "" if isinstance(run, Activity) else str(run)


def _entry(
    name: str, thing: Activity | Published, hardware: Hardware | Sequence[Hardware], convention: str | Convention
) -> Entry:
    if isinstance(thing, Published):
        return Entry(name, published=thing)
    priced: EnergyReport | Reports = price(thing, hardware, convention)
    return Entry(name, runs=(tuple(priced) if isinstance(priced, Reports) else (priced,),))


def compared(entries: Sequence[Entry], baseline: str | None = None, margin: float = MARGIN) -> Comparison:
    """Compares entries with a baseline (the first, unless named).

    A saving is claimed if the 95 % interval of the accuracies' difference lies above −`margin` percentage points.

    Raises:
        SnnprofError: there is nothing to compare, or no such baseline.
    """
    if not entries:
        raise SnnprofError("there is nothing to compare")
    sides = tuple(map(side_of, entries))
    base = _baseline(sides, baseline)
    hardware = tuple(dict.fromkeys(id for side in sides for id in side.energies))
    ratios = tuple(r for side in sides if side is not base for id in hardware for r in _ratio(side, base, id, margin))
    return Comparison(sides, base, hardware, ratios, tuple(_differing(sides)), _best(sides, hardware), margin)


def side_of(entry: Entry) -> Side:
    """Returns the figures of an entry."""
    if entry.published:
        return _published_side(entry, entry.published)
    each = [_run_side(entry, reports) for reports in entry.runs]
    return each[0] if len(each) == 1 else _mean_side(entry, each)


def grouped_by_network(entries: Sequence[Entry]) -> list[Entry]:
    """Joins runs of the same network on the same data, with different weights, to one entry each."""
    groups: dict[object, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(_network(entry), []).append(entry)
    return [_joined(group) for group in groups.values()]


def check_regression(comparison: Comparison, percent: float) -> None:
    """Fails if a side needs over `percent` % more operations or energy than the baseline.

    Raises:
        CheckFailed: some side does (the message names each figure), or has no figure in common with the baseline.
    """
    base, over = comparison.baseline, list[str]()
    for side in comparison.sides:
        excesses = {what: _excess(mine, theirs) for what, mine, theirs in _gated(side, base, comparison.hardware)}
        if side is not base and not any(excess is not None for excess in excesses.values()):
            raise CheckFailed(f"{side.name} and {base.name} have no operations or energy in common to compare")
        over += [
            f"{what} of {side.name} {'from none' if excess == math.inf else f'by {100 * excess:.1f} %'}"
            for what, excess in excesses.items()
            if excess is not None and excess > percent / 100
        ]
    if over:
        raise CheckFailed(f"more than {percent:g} % above {base.name}: {'; '.join(over)}")


def _gated(side: Side, base: Side, hardware: Sequence[str]) -> Iterable[tuple[str, Estimate, Estimate]]:
    yield "SOPs", side.sops, base.sops
    yield "MACs", Estimate(side.macs), Estimate(base.macs)
    for id in hardware:
        yield f"energy on {id}", side.energies.get(id, Estimate()), base.energies.get(id, Estimate())


def _excess(mine: Estimate, theirs: Estimate) -> float | None:
    if mine.value is None or theirs.value is None:
        return None
    if not theirs.value:
        return math.inf if mine.value else 0.0
    return mine.value / theirs.value - 1


# -- sides -----------------------------------------------------------------------------------------------------


def _run_side(entry: Entry, reports: tuple[EnergyReport, ...]) -> Side:
    first = reports[0]
    run = first.activity.run
    return Side(
        entry=entry,
        accuracy=_estimate(estimates.accuracy(first.activity)),
        parameters=run.model.parameters_used or run.model.parameters or None,
        timesteps=run.timesteps,
        dense_macs=estimates.dense_macs(first),
        sops=_estimate(estimates.sops(first)),
        macs=first.per_inference(first.totals.macs),
        energies={report.hardware.id: _estimate(estimates.energy(report)) for report in reports},
        samples=first.activity.samples,
        spread="95 % interval",
    )


def _published_side(entry: Entry, row: Published) -> Side:
    return Side(
        entry=entry,
        accuracy=Estimate(_scaled(row.accuracy, 0.01)),
        parameters=_scaled(row.parameters_m, 1e6),
        timesteps=row.timesteps,
        dense_macs=_scaled(row.flops_g, 1e9),
        sops=Estimate(_scaled(row.sops_g, 1e9)),
        macs=None,
        energies={PRINTED: Estimate(_scaled(row.energy_mj, 1e9))},
        samples=None,
    )


def _mean_side(entry: Entry, sides: Sequence[Side]) -> Side:
    """The mean and the standard deviation of several runs' figures."""
    first = sides[0]
    return Side(
        entry=entry,
        accuracy=_mean(side.accuracy for side in sides),
        parameters=first.parameters,
        timesteps=first.timesteps,
        dense_macs=first.dense_macs,
        sops=_mean(side.sops for side in sides),
        macs=_mean(Estimate(side.macs) for side in sides).value,
        energies={id: _mean(side.energies[id] for side in sides) for id in first.energies},
        samples=first.samples,
        spread=f"standard deviation over {len(sides)} runs",
    )


def _mean(estimates: Iterable[Estimate]) -> Estimate:
    values = [estimate.value for estimate in estimates]
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return Estimate()
    spread = _statistics.stdev(known) if len(known) > 1 else None
    return Estimate(_statistics.fmean(known), spread, statistics.mean_of_runs(known))


def _estimate(interval: Interval | None) -> Estimate:
    return Estimate() if interval is None else Estimate(interval.value, interval.half, interval)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _network(entry: Entry) -> object:
    activity = entry.activity
    if activity is None:
        return entry.name
    run = activity.run
    facts = (run.model.name, run.model.preset, run.data.source, run.data.fingerprint, run.timesteps)
    return (*facts, tuple(op.key for op in activity.ops))


def _joined(group: Sequence[Entry]) -> Entry:
    if len(group) == 1:
        return group[0]
    activity = group[0].activity
    name = (activity.run.model.label if activity else "") or group[0].name
    return Entry(f"{name} ({len(group)} runs)", tuple(run for entry in group for run in entry.runs))


# -- against the baseline --------------------------------------------------------------------------------------


def _baseline(sides: Sequence[Side], name: str | None) -> Side:
    if name is None:
        return sides[0]
    for side in sides:
        if name in _names(side):
            return side
    rows = {side.entry.published.id: side for side in sides if side.entry.published}
    if name.startswith(PAPER) and rows:
        return rows[row_of(name.removeprefix(PAPER), {id: catalogue.published_row(id) for id in rows}).id]
    raise unknown("baseline", name, [side.name for side in sides])


def _names(side: Side) -> set[str]:
    """Returns the names by which a user may call a side: its label, its model, its published row."""
    entry = side.entry
    names = {side.name}
    if entry.published:
        ids = {entry.published.id, *entry.published.aliases}
        names |= {*ids, *(f"{PAPER}{id}" for id in ids), entry.published.title}
    if entry.activity:
        model = entry.activity.run.model
        names |= {model.label, model.source, model.name}
    return names - {""}


def _ratio(side: Side, base: Side, id: str, margin: float) -> list[Ratio]:
    energy = _energy_ratio(side, base, id)
    if energy is None:
        return []
    operations, price = _split(side, base, id, energy.value)
    accuracy = _accuracy_difference(side, base)
    claim = _claim(side, base, energy, accuracy, margin)
    return [Ratio(side.name, id, energy, accuracy, operations, price, claim)]


def _energy_ratio(side: Side, base: Side, id: str) -> Interval | None:
    """Returns energy per inference over the baseline's; None if either is unknown or 0."""
    mine, theirs = side.energies.get(id, Estimate()), base.energies.get(id, Estimate())
    if not mine.value or not theirs.value:
        return None
    report, other = _report(side, id), _report(base, id)
    if report and other and _single(side, base):
        return estimates.energy_ratio(report, other)
    if _grouped(side, base) and mine.interval and theirs.interval:
        return statistics.ratio_of(mine.interval, theirs.interval)
    return Interval(mine.value / theirs.value)


def _accuracy_difference(side: Side, base: Side) -> Interval | None:
    """Returns accuracy minus the baseline's, as a share; None if either is unknown."""
    mine, theirs = side.accuracy, base.accuracy
    if mine.value is None or theirs.value is None:
        return None
    x, y = side.entry.activity, base.entry.activity
    if x and y and _single(side, base):
        return estimates.accuracy_difference(x, y)
    if _grouped(side, base) and mine.interval and theirs.interval:
        return statistics.difference_of(mine.interval, theirs.interval)
    return Interval(mine.value - theirs.value)


def _single(*sides: Side) -> bool:
    return all(len(side.entry.runs) == 1 for side in sides)


def _grouped(*sides: Side) -> bool:
    """Whether each side is several training runs: only then is there a spread over seeds on both sides."""
    return all(len(side.entry.runs) > 1 for side in sides)


def _split(side: Side, base: Side, id: str, ratio: float) -> tuple[float | None, float | None]:
    """Factors an energy ratio into operations × price per operation; no price if a paper printed the energy."""
    report, other = _report(side, id), _report(base, id)
    gain = split_gain(report, other) if report and other and _single(side, base) else None
    if gain:
        return gain.operations, gain.price
    operations = _quotient(_operations(side), _operations(base))
    return operations, ratio / operations if operations and report and other else None


def _operations(side: Side) -> float | None:
    """SOPs and MACs per inference."""
    return None if side.sops.value is None else side.sops.value + (side.macs or 0.0)


def _report(side: Side, id: str) -> EnergyReport | None:
    return next((report for report in side.entry.reports if report.hardware.id == id), None)


def _quotient(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


# -- what may be claimed ---------------------------------------------------------------------------------------


def _claim(side: Side, base: Side, energy: Interval, accuracy: Interval | None, margin: float) -> str:
    """Writes `saves x %` if there is evidence for it; otherwise both differences, and why they show no saving."""
    same = _same_predictions(side, base)
    objection = _objection(energy, accuracy, same, margin) if _same_data(side, base) else "measured on different data"
    if not objection:
        kept = "same predictions" if same or accuracy is None else f"accuracy {points_text(accuracy)}"
        return f"{_saving(energy)}; {kept}"
    known = "unknown" if accuracy is None else points_text(accuracy)
    return f"energy {_change(energy)}, accuracy {known}: {objection}"


def _objection(energy: Interval, accuracy: Interval | None, same: bool, margin: float) -> str:
    """Says why there is no evidence of different energies at nearly equal accuracy; "" if there is."""
    if energy.low is None or energy.high is None:
        return "no conclusion without an interval"
    if energy.low <= 1 <= energy.high:
        return "no significant difference in energy"
    if same:
        return ""
    if accuracy is None or accuracy.low is None or accuracy.high is None:
        return NOT_COMPARABLE
    kept = 100 * accuracy.low > -margin if energy.value < 1 else 100 * accuracy.high < margin
    return "" if kept else NOT_COMPARABLE


def _same_predictions(side: Side, base: Side) -> bool:
    x, y = side.entry.activity, base.entry.activity
    return bool(x and y and _single(side, base) and estimates.same_predictions(x, y))


def _saving(energy: Interval) -> str:
    assert energy.low is not None
    assert energy.high is not None
    if energy.value >= MANYFOLD:
        return f"costs {_manyfold(energy)}"
    saved = sorted(abs(100 * (1 - ratio)) for ratio in (energy.low, energy.high))
    bounds = "–".join(f"{share:.1f}" for share in saved)
    size = f"{abs(100 * (1 - energy.value)):.1f} %"
    return f"saves {size} (95 % CI {bounds})" if energy.value < 1 else f"costs {size} more (95 % CI {bounds})"


def _manyfold(energy: Interval) -> str:
    text = f"{_times(energy.value)} times as much"
    if energy.low is None or energy.high is None:
        return f"{text} (no interval)"
    return f"{text} (95 % CI {_times(energy.low)} to {_times(energy.high)})"


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.1f}"


def _change(energy: Interval) -> str:
    if energy.value >= MANYFOLD:
        return _manyfold(energy)
    value = f"{100 * (energy.value - 1):+.1f} %"
    if energy.low is None or energy.high is None:
        return typeset(f"{value} (no interval)")
    return typeset(f"{value} (95 % CI {100 * (energy.low - 1):+.1f} to {100 * (energy.high - 1):+.1f})")


# -- best figures ----------------------------------------------------------------------------------------------


def _same_data(a: Side, b: Side) -> bool:
    return _data_key(a) == _data_key(b) is not None


def _data_key(side: Side) -> object:
    """Returns what two sides must share to be ranked; published rows share it with rows on the same data set alone."""
    if side.entry.published:
        return ("published", side.entry.published.dataset, side.entry.published.resolution)
    activity = side.entry.activity
    return (activity.run.data.source, activity.run.data.fingerprint) if activity else None


def _best(sides: Sequence[Side], hardware: Sequence[str]) -> dict[str, frozenset[str]]:
    """Finds for each figure the runs that are best on their data beyond doubt. Published rows are not ranked."""
    figures: dict[str, Callable[[Side], Estimate]] = {
        "accuracy": lambda side: side.accuracy,
        "sops": lambda side: side.sops,
        **{id: _energy_on(id) for id in hardware},
    }
    groups: dict[object, list[Side]] = {}
    for side in sides:
        if side.entry.runs:
            groups.setdefault(_data_key(side), []).append(side)
    return {
        key: frozenset(name for group in groups.values() for name in _ranked_first(group, figure, key == "accuracy"))
        for key, figure in figures.items()
    }


def _energy_on(id: str) -> Callable[[Side], Estimate]:
    return lambda side: side.energies.get(id, Estimate())


def _ranked_first(sides: Sequence[Side], figure: Callable[[Side], Estimate], most: bool) -> list[str]:
    """Returns the side whose whole interval lies on the better side of all others'; none if there is only one."""
    known = [(side.name, figure(side).interval) for side in sides if figure(side).value is not None]
    bounds = [(name, _bounds(interval, most)) for name, interval in known]
    if len(bounds) < 2:
        return []
    first, *others = sorted(bounds, key=lambda each: each[1])
    return [first[0]] if all(first[1][1] < low for _, (low, _) in others) else []


def _bounds(interval: Interval | None, most: bool) -> tuple[float, float]:
    """Returns low and high, lower being better; without an interval anything is possible."""
    if interval is None or interval.low is None or interval.high is None:
        return -math.inf, math.inf
    return (-interval.high, -interval.low) if most else (interval.low, interval.high)


# -- what differs ----------------------------------------------------------------------------------------------


def _differing(sides: Sequence[Side]) -> Iterable[str]:
    """Yields a sentence for each fact by which the sides may not compare."""
    facts: dict[str, Callable[[Side], object]] = {
        "time steps T": lambda side: side.timesteps,
        "data": _data,
        "stated formulas": lambda side: side.entry.published and side.entry.published.formula,
        "image sizes": lambda side: side.entry.published and side.entry.published.resolution,
        "contents of the data": lambda side: _of_run(side, lambda a: a.run.data.fingerprint),
        "samples": lambda side: side.samples,
        "input shape": lambda side: _of_run(side, lambda a: "×".join(map(str, a.run.data.shape))),
        "order of samples": lambda side: _of_run(side, lambda a: a.run.data.order_seed),
        "number format": lambda side: _of_run(side, lambda a: a.run.dtype),
    }
    for what, fact in facts.items():
        names: dict[object, list[str]] = {}
        for side in sides:
            names.setdefault(fact(side), []).append(side.name)
        names.pop(None, None)
        if len(names) > 1:
            yield f"{what} differ: " + "; ".join(f"{value} ({', '.join(who)})" for value, who in names.items())
    if any(side.entry.published for side in sides) and any(side.entry.runs for side in sides):
        yield "published rows count and price as their papers do, not by this comparison's convention"
    scopes = {profile.id: profile.scope for profile in _profiles(sides)}
    if len(set(scopes.values())) > 1:
        *first, last = (f"{id} ({scope})" for id, scope in scopes.items())
        yield f"{', '.join(first)} and {last} price different scopes: compare within a column, not across columns"


def _of_run(side: Side, fact: Callable[[Activity], object]) -> object:
    return fact(side.entry.activity) if side.entry.activity else None


def _data(side: Side) -> str | None:
    if side.entry.published:
        return side.entry.published.dataset
    return side.entry.activity.run.data.source if side.entry.activity else None


def _profiles(sides: Sequence[Side]) -> Iterable[HardwareProfile]:
    found = {report.hardware.id: report.hardware for side in sides for report in side.entry.reports}
    return found.values()

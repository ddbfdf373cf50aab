"""Several runs → one comparison: the figures side by side, why they differ, and when they cannot be compared."""

from __future__ import annotations

import math
import statistics as _statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from snnprof import estimates
from snnprof.activity import Activity
from snnprof.errors import CheckFailed, SnnprofError, unknown
from snnprof.hardware import HardwareProfile
from snnprof.pricing import EnergyReport, split_gain
from snnprof.statistics import Interval
from snnprof.workload.catalogue import Published


@dataclass(frozen=True)
class Entry:
    """One thing to compare: a run priced on each hardware, several runs of one network, or a published row.

    Attributes:
        runs: for each run, its reports in the order of the hardware; empty for a published row.
    """

    name: str
    runs: tuple[tuple[EnergyReport, ...], ...] = ()
    published: Published | None = None

    @property
    def reports(self) -> tuple[EnergyReport, ...]:
        """The first run's reports."""
        return self.runs[0] if self.runs else ()

    @property
    def activity(self) -> Activity | None:
        return self.reports[0].activity if self.reports else None


@dataclass(frozen=True)
class Estimate:
    """A figure per inference and the half-width of its interval (standard deviation where runs were grouped)."""

    value: float | None = None
    half: float | None = None


@dataclass(frozen=True)
class Side:
    """The figures of one entry.

    Attributes:
        energies: picojoules by hardware id; under `published` where it was printed in a paper.
        spread: what the half-widths are.
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
        return self.entry.name


PRINTED = "published"


@dataclass(frozen=True)
class Ratio:
    """One side's energy over the baseline's on one hardware: operations × price per operation."""

    name: str
    hardware: str
    energy: float
    operations: float | None
    price: float | None
    claim: str


@dataclass(frozen=True)
class Comparison:
    """Everything `snnprof compare` says.

    Attributes:
        differing: facts that differ between the sides, a sentence each.
        best: for each figure (`accuracy`, `sops`, hardware ids) the names of the best sides.
    """

    sides: tuple[Side, ...]
    baseline: Side
    hardware: tuple[str, ...]
    ratios: tuple[Ratio, ...]
    differing: tuple[str, ...]
    best: Mapping[str, frozenset[str]] = field(default_factory=dict)


def compared(entries: Sequence[Entry], baseline: str | None = None) -> Comparison:
    """Compares entries with a baseline (the first, unless named).

    Raises:
        SnnprofError: nothing to compare, or there is no such baseline.
    """
    if not entries:
        raise SnnprofError("there is nothing to compare")
    sides = tuple(map(side_of, entries))
    base = _baseline(sides, baseline)
    hardware = tuple(dict.fromkeys(id for side in sides for id in side.energies))
    ratios = tuple(r for side in sides if side is not base for id in hardware for r in _ratio(side, base, id))
    return Comparison(sides, base, hardware, ratios, tuple(_differing(sides)), _best(sides, hardware))


def side_of(entry: Entry) -> Side:
    """The figures of an entry."""
    if entry.published:
        return _published_side(entry, entry.published)
    each = [_run_side(entry, reports) for reports in entry.runs]
    return each[0] if len(each) == 1 else _mean_side(entry, each)


def grouped_by_network(entries: Sequence[Entry]) -> list[Entry]:
    """Runs of the same network on the same data, with different weights, as one entry each."""
    groups: dict[object, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(_network(entry), []).append(entry)
    return [_joined(group) for group in groups.values()]


def judged(comparison: Comparison, percent: float) -> None:
    """The regression gate: no side may need more operations or energy than the baseline, by more than `percent`.

    Raises:
        CheckFailed: one does.
    """
    base = comparison.baseline
    for side in comparison.sides:
        figures: dict[str, tuple[Estimate | None, Estimate | None]] = {"SOPs": (side.sops, base.sops)}
        figures |= {f"energy on {id}": (side.energies.get(id), base.energies.get(id)) for id in comparison.hardware}
        for what, (mine, theirs) in figures.items():
            excess = _excess(mine, theirs)
            if excess is not None and excess > percent / 100:
                raise CheckFailed(
                    f"{what} of {side.name} exceeds {base.name} by {100 * excess:.1f} % (> {percent:g} %)"
                )


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
        dense_macs=None,
        sops=Estimate(_scaled(row.sops_g, 1e9)),
        macs=None,
        energies={PRINTED: Estimate(_scaled(row.energy_mj, 1e9))},
        samples=None,
    )


def _mean_side(entry: Entry, sides: Sequence[Side]) -> Side:
    """Mean and standard deviation over runs."""
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
    return Estimate(_statistics.fmean(known), _statistics.stdev(known) if len(known) > 1 else None)


def _estimate(interval: Interval | None) -> Estimate:
    return Estimate() if interval is None else Estimate(interval.value, interval.half)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _network(entry: Entry) -> object:
    activity = entry.activity
    if activity is None:
        return entry.name
    run = activity.run
    return (run.model.name, run.model.preset, run.data.source, run.timesteps, tuple(op.key for op in activity.ops))


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
    raise unknown("baseline", name, [side.name for side in sides])


def _names(side: Side) -> set[str]:
    """What a user may call a side: its label, its model, its published row."""
    entry = side.entry
    names = {side.name}
    if entry.published:
        names |= {entry.published.id, f"paper:{entry.published.id}", entry.published.title}
    if entry.activity:
        model = entry.activity.run.model
        names |= {model.label, model.source, model.name}
    return names - {""}


def _ratio(side: Side, base: Side, id: str) -> list[Ratio]:
    mine, theirs = side.energies.get(id), base.energies.get(id)
    if not mine or not theirs or mine.value is None or not theirs.value:
        return []
    report, other = _report(side, id), _report(base, id)
    gain = split_gain(report, other) if report and other else None
    return [
        Ratio(
            name=side.name,
            hardware=id,
            energy=mine.value / theirs.value,
            operations=gain.operations if gain else _quotient(side.sops.value, base.sops.value),
            price=gain.price if gain else None,
            claim=_claim(side, base, id),
        )
    ]


def _report(side: Side, id: str) -> EnergyReport | None:
    return next((report for report in side.entry.reports if report.hardware.id == id), None)


def _quotient(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


def _claim(side: Side, base: Side, id: str) -> str:
    """`saves x %`, or why that may not be said."""
    obstacle = _accuracy_obstacle(side, base)
    if obstacle:
        return obstacle
    mine, theirs = side.energies[id], base.energies[id]
    if mine.value is None or not theirs.value:
        return "energy unknown"
    share = 1 - mine.value / theirs.value
    half = _difference_half(side, base, id)
    if half is not None and abs(theirs.value - mine.value) <= half:
        return "no difference beyond its interval"
    margin = "" if half is None else f" ± {100 * half / theirs.value:.1f}"
    return f"{'saves' if share >= 0 else 'costs'} {100 * abs(share):.1f}{margin} %{'' if share >= 0 else ' more'}"


def _accuracy_obstacle(side: Side, base: Side) -> str:
    """Why a saving may not be claimed; empty where it may."""
    mine, theirs = side.accuracy.value, base.accuracy.value
    if mine is None or theirs is None:
        return "accuracy unknown: no saving claimed"
    half = _accuracy_half(side, base)
    points = 100 * (mine - theirs)
    if half is None and points:
        return f"accuracies differ by {points:+.2f} points and have no interval: no saving claimed"
    if half is not None and abs(mine - theirs) > half:
        return f"accuracies differ by {points:+.2f} points, more than ± {100 * half:.2f}: no saving claimed"
    return ""


def _accuracy_half(side: Side, base: Side) -> float | None:
    half = _paired(side, base, _paired_accuracy)
    return _in_quadrature(side.accuracy.half, base.accuracy.half) if half is None else half


def _difference_half(side: Side, base: Side, id: str) -> float | None:
    def paired(a: Side, b: Side) -> Interval | None:
        x, y = _report(a, id), _report(b, id)
        return estimates.energy_difference(x, y) if x and y else None

    half = _paired(side, base, paired)
    return _in_quadrature(side.energies[id].half, base.energies[id].half) if half is None else half


def _paired_accuracy(a: Side, b: Side) -> Interval | None:
    x, y = a.entry.activity, b.entry.activity
    return estimates.accuracy_difference(x, y) if x and y else None


def _paired(a: Side, b: Side, difference: Callable[[Side, Side], Interval | None]) -> float | None:
    """Half-width of a paired difference; null where the two are single runs on different samples."""
    if len(a.entry.runs) != 1 or len(b.entry.runs) != 1:
        return None
    try:
        interval = difference(a, b)
    except SnnprofError:
        return None
    return interval.half if interval else None


def _in_quadrature(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else math.hypot(a, b)


def _excess(mine: Estimate | None, theirs: Estimate | None) -> float | None:
    if not mine or not theirs or mine.value is None or not theirs.value:
        return None
    return mine.value / theirs.value - 1


def _best(sides: Sequence[Side], hardware: Sequence[str]) -> dict[str, frozenset[str]]:
    figures: dict[str, list[float | None]] = {
        "accuracy": [None if side.accuracy.value is None else -side.accuracy.value for side in sides],
        "sops": [side.sops.value for side in sides],
        **{id: [side.energies.get(id, Estimate()).value for side in sides] for id in hardware},
    }
    return {key: _least(sides, values) for key, values in figures.items()}


def _least(sides: Sequence[Side], values: Sequence[float | None]) -> frozenset[str]:
    """Names of the sides with the least value; nobody is best alone."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return frozenset()
    return frozenset(side.name for side, value in zip(sides, values, strict=True) if value == min(known))


# -- what differs ----------------------------------------------------------------------------------------------


def _differing(sides: Sequence[Side]) -> Iterable[str]:
    facts: dict[str, Callable[[Side], object]] = {
        "time steps T": lambda side: side.timesteps,
        "data": _data,
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
    for a, b in combinations(_profiles(sides), 2):
        if a.scope != b.scope:
            yield f"{a.id} ({a.scope}) and {b.id} ({b.scope}) price different scopes: compare down a column, not across"


def _of_run(side: Side, fact: Callable[[Activity], object]) -> object:
    return fact(side.entry.activity) if side.entry.activity else None


def _data(side: Side) -> str | None:
    if side.entry.published:
        return side.entry.published.dataset
    return side.entry.activity.run.data.source if side.entry.activity else None


def _profiles(sides: Sequence[Side]) -> Iterable[HardwareProfile]:
    found = {report.hardware.id: report.hardware for side in sides for report in side.entry.reports}
    return found.values()

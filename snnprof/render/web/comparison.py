"""The page of a comparison: ratios to the baseline, figures with intervals, the energy by part of the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from snnprof import repricing
from snnprof.charts.energy import FAMILIES
from snnprof.comparison import PRINTED, Comparison, Estimate, Ratio, Side
from snnprof.grouping import By, Group, grouped, role_of
from snnprof.render.summary import ROLES
from snnprof.render.table import UNKNOWN
from snnprof.render.web.places import total_text
from snnprof.render.web.values import Compared, ComparisonPage, Mark, Number, Scale, Segment, Stack, Tile
from snnprof.units import brief_count, brief_energy, percent_text

ROLE_HUES = ("stem", "SPS", "QKV", "attention", "projection", "MLP", "head", "residual")
"""The roles in the order of their colours in web.css, which are those of the figures."""
REST = len(ROLE_HUES)
"""The number of the colour for all other parts."""
SPARE_HUES = range(REST + 1, REST + 7)
"""The numbers of the colours for blocks, and for roles that are not in `ROLE_HUES`."""


def comparison_page(comparison: Comparison) -> ComparisonPage:
    """The page of a comparison."""
    runs = [side for side in comparison.sides if side.entry.reports]
    by: By = "role" if all(map(_has_roles, runs)) else "block"
    hues = _hues(_parts(runs, by), by)
    base = comparison.baseline
    others = [side for side in runs if side is not base] if base in runs else []
    lists = tuple(_lists(runs, others, base)) if len(runs) > 1 else ()
    return ComparisonPage(
        subtitle=" · ".join(side.name for side in comparison.sides),
        tiles=tuple(_tiles(comparison)),
        scales=tuple(_scales(comparison, runs or comparison.sides)),
        stacks=tuple(_stacks(runs, by, hues)) if len(hues) > 1 else (),
        legend=tuple(_legend(hues)),
        contents=(("lists", "All price lists"),) if lists else (),
        runs=tuple(side.name for side in runs),
        others=tuple(side.name for side in others),
        lists=lists,
        verdicts=tuple(
            _verdict(side.name, base.name, [row.ratios[i] for row in lists]) for i, side in enumerate(others)
        ),
    )


# -- ratios ----------------------------------------------------------------------------------------------------


def _tiles(comparison: Comparison) -> Iterator[Tile]:
    """Yields for each side the ratio of its energy to the baseline's, on the first price list that has one."""
    for side in comparison.sides:
        ratios = [ratio for ratio in comparison.ratios if ratio.name == side.name]
        if ratios:
            others = [f"{_list_name(ratio)}: {_ratio_text(ratio.energy.value)}" for ratio in ratios[1:]]
            small = (f"the energy of {comparison.baseline.name} on {_list_name(ratios[0])}", *others, ratios[0].claim)
            yield Tile(side.name, _ratio_text(ratios[0].energy.value), small)


def _list_name(ratio: Ratio) -> str:
    return "the papers' own prices" if ratio.hardware == PRINTED else ratio.hardware


def _ratio_text(ratio: float) -> str:
    return f"{ratio:#.3g}×" if ratio < 100 else f"{ratio:,.0f}×"


# -- figures on scales -----------------------------------------------------------------------------------------


def _scales(comparison: Comparison, shown: Sequence[Side]) -> Iterator[Scale]:
    """Yields the scales of accuracy, SOPs, energies and ratios.

    Energies of published rows have their own scale, since papers count and price by other rules.
    """
    sides, name = comparison.sides, _namer(comparison.sides)
    accuracy = [(name(side), side.accuracy) for side in shown if side.accuracy.value is not None]
    if accuracy:
        yield _points(accuracy)
    yield from _bars("SOPs per inference", [(name(side), side.sops) for side in shown], _count)
    for id in comparison.hardware:
        priced = [(name(side), side.energies[id]) for side in sides if id in side.energies]
        bounds = any(report.lower_bound for side in sides for report in side.entry.reports if report.hardware.id == id)
        title = "Energy as published" if id == PRINTED else f"Energy, {id}"
        yield from _bars(title, priced, _energy, "Lower bounds: some work has no price." if bounds else "")
    if comparison.ratios:
        yield _ratio_scale(comparison)


def _namer(sides: Sequence[Side]) -> Callable[[Side], str]:
    """A function that names a side, with its data set if the sides ran on different data."""
    data = {side.name: side.entry.activity.run.data.source for side in sides if side.entry.activity}
    data |= {side.name: side.entry.published.dataset or "" for side in sides if side.entry.published}
    if len(set(data.values())) < 2:
        return lambda side: side.name
    return lambda side: f"{side.name} on {data[side.name] or 'unknown data'}"


def _bars(
    title: str, figures: Sequence[tuple[str, Estimate]], text: Callable[[float | None], str], note: str = ""
) -> Iterator[Scale]:
    """Yields a scale from 0, unless no figure is known."""
    end = max((each.value + (each.half or 0.0) for _, each in figures if each.value is not None), default=0.0)
    if end:
        marks = (_mark(name, each, text, lambda value: value / end) for name, each in figures)
        yield Scale(title, tuple(marks), "0", text(end), note=note)


def _points(figures: Sequence[tuple[str, Estimate]]) -> Scale:
    """The scale of accuracies. It starts at the lowest end of an interval, since accuracies are close together."""
    ends = [end for _, each in figures for end in _ends(each)]
    low, high = min(ends), max(ends)
    room = (high - low) or 0.01
    low, high = max(0.0, low - 0.05 * room), min(1.0, high + 0.05 * room)
    marks = (_mark(name, each, _percent, lambda value: (value - low) / (high - low)) for name, each in figures)
    note = "The scale does not start at 0."
    return Scale("Accuracy", tuple(marks), percent_text(low), percent_text(high), bars=False, note=note)


def _ratio_scale(comparison: Comparison) -> Scale:
    """The scale of energies over the baseline's; it is logarithmic and includes 1."""
    figures = [
        (f"{ratio.name}, {_list_name(ratio)}", Estimate(ratio.energy.value, ratio.energy.half, ratio.energy))
        for ratio in comparison.ratios
    ]
    ends = [math.log(end) for _, each in figures for end in _ends(each) if end > 0] + [0.0]
    room = (max(ends) - min(ends)) or 1.0
    low, high = min(ends) - 0.05 * room, max(ends) + 0.05 * room

    def place(value: float) -> float:
        return (math.log(value) - low) / (high - low) if value > 0 else 0.0

    marks = tuple(_mark(name, each, lambda value: _ratio_text(value or 0.0), place) for name, each in figures)
    title = f"Energy over that of {comparison.baseline.name}"
    start, end = (_ratio_text(math.exp(value)) for value in (low, high))
    return Scale(title, marks, start, end, bars=False, line=place(1.0), note="Logarithmic; the line is at 1×.")


def _ends(estimate: Estimate) -> list[float]:
    """The value, and the lower and upper end of its interval; empty if the value is unknown."""
    if estimate.value is None:
        return []
    interval = estimate.interval
    if interval is not None and interval.low is not None and interval.high is not None:
        return [estimate.value, interval.low, interval.high]
    half = estimate.half or 0.0
    return [estimate.value, estimate.value - half, estimate.value + half]


def _mark(name: str, estimate: Estimate, text: Callable[[float | None], str], place: Callable[[float], float]) -> Mark:
    ends = [min(1.0, max(0.0, place(end))) for end in _ends(estimate)]
    if not ends:
        return Mark(name, UNKNOWN, None, None, None)
    low, high = (ends[1], ends[2]) if ends[1] < ends[2] else (None, None)
    return Mark(name, text(estimate.value), ends[0], low, high)


def _count(value: float | None) -> str:
    return brief_count(value)


def _energy(value: float | None) -> str:
    return brief_energy(value)


def _percent(value: float | None) -> str:
    return percent_text(value, 2)


# -- on every price list ---------------------------------------------------------------------------------------


def _lists(runs: Sequence[Side], others: Sequence[Side], base: Side) -> Iterator[Compared]:
    """Yields for each price list the energies of the runs, and the ratios of the others to the baseline."""
    totals = {side.name: repricing.mean_totals(side.entry.runs) for side in runs}
    for position, first in enumerate(totals[runs[0].name]):
        here = {name: each[position] for name, each in totals.items()}
        yield Compared(
            id=first.hardware.id,
            title=first.hardware.title,
            energies=tuple(Number(total_text(total), total.energy_pj) for total in here.values()),
            ratios=tuple(_over(here[side.name].energy_pj, here[base.name].energy_pj) for side in others),
        )


def _over(mine: float | None, theirs: float | None) -> Number:
    value = mine / theirs if mine is not None and theirs else None
    return Number(UNKNOWN if value is None else _ratio_text(value), value)


def _verdict(name: str, base: str, ratios: Sequence[Number]) -> str:
    """A sentence that shows whether the comparison depends on the choice of prices."""
    known = [ratio.value for ratio in ratios if ratio.value is not None]
    less, more = sum(value < 1 for value in known), sum(value > 1 for value in known)
    return f"{name} needs less energy than {base} on {less} of {len(known)} price lists, more on {more}."


# -- where the energy goes -------------------------------------------------------------------------------------


def _has_roles(side: Side) -> bool:
    activity = side.entry.activity
    return activity is not None and any(role_of(activity, op.layer, op.index) for op in activity.ops)


def _parts(runs: Sequence[Side], by: By) -> Iterable[str]:
    """The names of the parts, highest energy first."""
    cost: dict[str, float] = {}
    for side in runs:
        for group in grouped(list(side.entry.reports), by):
            cost[group.name] = cost.get(group.name, 0.0) + max((pj or 0.0 for pj in group.energies.values()), default=0)
    return sorted((name for name in cost if cost[name]), key=lambda name: -cost[name])


def _hues(parts: Iterable[str], by: By) -> dict[str, int]:
    """The number of each part's colour, in the order of the bar: roles as in figures, others by the next spare one."""
    spare, hues = iter(SPARE_HUES), {}
    for name in parts:
        family = FAMILIES.get(name, name)
        if by == "role" and family in ROLE_HUES:
            hues[name] = ROLE_HUES.index(family)
        else:
            hues[name] = REST if by == "role" and name.startswith("other ") else next(spare, REST)
    return dict(sorted(hues.items(), key=lambda each: (each[1] == REST, each[1])))


def _legend(hues: dict[str, int]) -> Iterator[tuple[str, int]]:
    for hue in dict.fromkeys(hues.values()):
        names = [name for name in hues if hues[name] == hue]
        if hue == REST and len(names) > 1:
            yield f"{len(names)} more", hue
        else:
            name = ROLE_HUES[hue] if hue < REST else names[0]
            yield ROLES.get(name, name), hue


def _stacks(runs: Sequence[Side], by: By, hues: dict[str, int]) -> Iterator[tuple[str, tuple[Stack, ...]]]:
    """Yields a title and the bars for each price list; of runs that were joined, the first is shown."""
    for report in runs[0].entry.reports:
        id = report.hardware.id
        sides = [(side, grouped(list(side.entry.reports), by)) for side in runs]
        longest = max(sum(_cost(side, group, id) for group in groups) for side, groups in sides)
        if longest:
            stacks = tuple(_stack(side, groups, id, longest, hues) for side, groups in sides)
            yield f"Energy by {by}, {id}", stacks


def _stack(side: Side, groups: Sequence[Group], id: str, longest: float, hues: dict[str, int]) -> Stack:
    costs = {group.name: _cost(side, group, id) for group in groups}
    segments = [
        Segment(ROLES.get(name, name), brief_energy(costs[name]), costs[name] / longest, hue)
        for name, hue in hues.items()
        if costs.get(name)
    ]
    return Stack(side.name, brief_energy(sum(costs.values())), tuple(segments))


def _cost(side: Side, group: Group, id: str) -> float:
    report = side.entry.reports[0]
    pj = group.energies.get(id) or 0.0
    return (report.per_inference(pj) if report.samples else pj) or 0.0

"""Reports of one run → the page's values: tiles, bars by role and block, the tree of layers, all price lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snnprof import estimates, repricing
from snnprof.activity import Activity
from snnprof.grouping import By, Group, grouped, role_of
from snnprof.pricing import EnergyReport
from snnprof.render.table import UNKNOWN
from snnprof.render.web.layers import highest_rate, rates, tree
from snnprof.render.web.places import DIGITS, Places, against_ann, amount_number, interval_text, share_text
from snnprof.render.web.values import Bar, Block, Number, ReportPage, Tile
from snnprof.units import count_text, percent_text

_OTHER = "other "  # how grouping names what has no role


def report_page(reports: Sequence[EnergyReport]) -> ReportPage:
    """The page of a run.

    Args:
        reports: the same run and convention, one report per price list; the page opens with the first.
    """
    activity = reports[0].activity
    places = Places(repricing.on_every_list(reports), len(reports))
    bars = tuple((f"By {by}", _bars(places, by)) for by in _divisions(activity))
    blocks = tree(places)
    whole = _whole(reports[0], places)
    return ReportPage(
        subtitle=" · ".join(_subtitle(activity)),
        tiles=tuple(_tiles(reports)),
        bars=bars,
        prices=places.prices(),
        tree=blocks,
        whole=whole,
        rates=rates(reports[0]),
        rates_top=share_text(highest_rate(reports[0])),
        contents=tuple(_contents(activity)),
    )


def _contents(activity: Activity) -> Iterator[tuple[str, str]]:
    yield "layers", "Layers"
    if activity.neurons:
        yield "rates", "Firing rates"
    yield "lists", "All price lists"


def _subtitle(activity: Activity) -> Iterator[str]:
    run, samples = activity.run, activity.samples
    if run.data.source:
        yield run.data.source
    if samples is not None:
        of = f" of {run.data.total:,}" if run.data.total and run.data.total != samples else ""
        yield f"{samples:,}{of} samples"
    if run.timesteps is not None:
        yield f"T = {run.timesteps}"
    if run.model.parameters:
        yield f"{count_text(run.model.parameters)} parameters"
    if not samples:
        yield "all figures are of the whole run"


def _tiles(reports: Sequence[EnergyReport]) -> Iterator[Tile]:
    first = reports[0]
    if first.activity.accuracy:
        yield _accuracy(first.activity)
    yield _operations(first)
    for position, report in enumerate(reports):
        small = [interval_text(report), against_ann(report), f"evidence: {report.grade}" if report.grade else ""]
        figure = amount_number(repricing.total(report)).text
        yield Tile(f"Energy, {report.hardware.id}", figure, tuple(filter(None, small)), position)


def _accuracy(activity: Activity) -> Tile:
    counted, interval = activity.accuracy, estimates.accuracy(activity)
    if counted is None or not counted.total:
        return Tile("Accuracy", UNKNOWN, ())
    small = [f"{counted.correct:,} of {counted.total:,} right"]
    if interval and interval.low is not None and interval.high is not None:
        small.append(f"95 % interval {100 * interval.low:.1f}–{100 * interval.high:.1f}")
    return Tile("Accuracy", percent_text(counted.correct / counted.total, 2), tuple(small))


def _operations(report: EnergyReport) -> Tile:
    totals, interval = report.totals, estimates.sops(report)
    small = []
    if interval is not None and interval.half is not None:
        small.append(f"± {percent_text(interval.relative)}")
    if totals.dense_macs:
        share = share_text(totals.sops / totals.dense_macs)
        small.append(f"{share} of {_count(report, totals.dense_macs)} dense MACs")
    if totals.macs:
        small.append(f"and {_count(report, totals.macs)} MACs on real values")
    if report.spikes_per_synapse is not None:
        small.append(f"{report.spikes_per_synapse:.2g} spikes per synapse")
    return Tile("SOPs", _count(report, totals.sops), tuple(small))


def _divisions(activity: Activity) -> list[By]:
    known = any(role_of(activity, op.layer, op.index) for op in activity.ops)
    return ["role", "block"] if known else ["block"]


def _bars(places: Places, by: By) -> tuple[Bar, ...]:
    """The parts that cost or do anything, the dearest on the first list first."""
    id = places.reports[0].hardware.id
    groups = sorted(grouped(places.reports, by), key=lambda group: -(group.energies[id] or 0.0))
    return tuple(_bar(places, group) for group in groups if group.sops or group.macs or any(group.energies.values()))


def _bar(places: Places, group: Group) -> Bar:
    report = places.reports[0]
    work = [f"{_count(report, count)} {what}" for what, count in (("SOPs", group.sops), ("MACs", group.macs)) if count]
    return Bar(group.name, " + ".join(work), places.of(group))


def _whole(report: EnergyReport, places: Places) -> Block:
    totals = report.totals
    numbers = [Number(_count(report, count), count) for count in (totals.sops, totals.macs)]
    return Block("total", numbers[0], numbers[1], places.of_total(), ())


def _count(report: EnergyReport, count: float) -> str:
    each = report.per_inference(count) if report.samples else count
    return count_text(each, DIGITS)

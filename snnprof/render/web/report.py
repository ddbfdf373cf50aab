"""The page of one run: tiles, bars by role and block, the tree of layers, all price lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from snnprof.activity import Activity
from snnprof.grouping import By, Group, grouped, role_of
from snnprof.pricing import EnergyReport
from snnprof.render.facts import accuracy_detail
from snnprof.render.summary import ROLES, checks, covers
from snnprof.render.web.layers import highest_rate, rates, tree
from snnprof.render.web.places import Places, against_ann, interval_text, total_text
from snnprof.render.web.values import Bar, Check, Number, ReportPage, Tile
from snnprof.summary import Summary, Total, summarise
from snnprof.units import brief_count, percent_text, rate_text


def report_page(reports: Sequence[EnergyReport]) -> ReportPage:
    """The page of a run.

    Args:
        reports: the reports of the run under one convention, one per price list; the page first shows the first.
    """
    summary = summarise(reports)
    activity, places = summary.activity, Places(summary)
    bars = tuple((f"By {by}", _bars(places, by)) for by in _divisions(activity))
    blocks = tree(places)
    return ReportPage(
        subtitle=" · ".join(_subtitle(activity)),
        checks=tuple(Check(check.text, check.codes) for check in checks(summary)),
        tiles=tuple(_tiles(summary)),
        bars=bars,
        prices=places.prices(),
        tree=blocks,
        sops=Number(brief_count(summary.sops), summary.sops),
        macs=Number(brief_count(summary.macs), summary.macs),
        rates=rates(activity),
        rates_top=rate_text(highest_rate(activity)),
        contents=tuple(_contents(activity)),
    )


def _contents(activity: Activity) -> Iterator[tuple[str, str]]:
    yield "layers", "Layers"
    if activity.neurons:
        yield "rates", "Firing rates"
    yield "lists", "All price lists"


def _subtitle(activity: Activity) -> Iterator[str]:
    run, samples = activity.run, activity.samples
    if samples is None:
        yield "all figures are of the whole run"
    else:
        of = f" of {run.data.total:,}" if run.data.total and run.data.total != samples else ""
        yield f"{samples:,}{of} samples{f' of {run.data.source}' if run.data.source else ''}"
    if run.timesteps is not None:
        yield f"T = {run.timesteps}"
    if run.model.parameters:
        yield f"{brief_count(run.model.parameters)} parameters"


def _tiles(summary: Summary) -> Iterator[Tile]:
    if summary.accuracy:
        yield Tile("Accuracy", percent_text(summary.accuracy.value, 2), (accuracy_detail(summary.activity),))
    yield Tile("SOPs", brief_count(summary.sops), tuple(_about_sops(summary)))
    for position, total in enumerate(summary.totals):
        yield Tile(f"Energy, {total.hardware.id}", total_text(total), tuple(_about_energy(total)), position)


def _about_sops(summary: Summary) -> Iterator[str]:
    if summary.sops_interval and summary.sops_interval.relative is not None:
        yield f"± {percent_text(summary.sops_interval.relative)}"
    if summary.density is not None:
        yield f"{rate_text(summary.density)} of {brief_count(summary.dense_macs)} dense MACs"
    if summary.macs:
        yield f"and {brief_count(summary.macs)} MACs"
    if summary.reports[0].spikes_per_synapse is not None:
        yield f"{summary.reports[0].spikes_per_synapse:.2g} spikes per synapse"


def _about_energy(total: Total) -> Iterator[str]:
    if interval := interval_text(total):
        yield interval
    yield covers(total.hardware)
    yield against_ann(total)


def _divisions(activity: Activity) -> list[By]:
    known = any(role_of(activity, op.layer, op.index) for op in activity.ops)
    return ["role", "block"] if known else ["block"]


def _bars(places: Places, by: By) -> tuple[Bar, ...]:
    """The bars of the parts with any operations or energy, the highest energy on the first price list first."""
    id = places.reports[0].hardware.id
    groups = sorted(grouped(places.reports, by), key=lambda group: -(group.energies[id] or 0.0))
    return tuple(
        _bar(places, group, ROLES if by == "role" else {})
        for group in groups
        if group.sops or group.macs or any(group.energies.values())
    )


def _bar(places: Places, group: Group, titles: Mapping[str, str]) -> Bar:
    report = places.reports[0]
    counts = {"SOPs": group.sops, "MACs": group.macs}
    each = {what: report.per_inference(count) if report.samples else count for what, count in counts.items() if count}
    work = " + ".join(f"{brief_count(count)} {what}" for what, count in each.items())
    return Bar(titles.get(group.name, group.name), work, places.of(group))

"""One run on every price list: what a page shows whose reader switches between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snnprof.grouping import Group, energy_of
from snnprof.hardware import bundled
from snnprof.pricing import EnergyReport, price, split_gain


@dataclass(frozen=True)
class Amount:
    """What some work costs on one price list, per inference (over the run where its samples are not known).

    Attributes:
        pj: picojoules; null where there is work and none of it has a price.
        missing: kinds of the work that have no price.
        lower_bound: whether more would be spent than `pj` says.
    """

    pj: float | None
    missing: tuple[str, ...]
    lower_bound: bool


def on_every_list(reports: Sequence[EnergyReport]) -> list[EnergyReport]:
    """The reports, then the same run and convention on each bundled price list that none of them used."""
    first, used = reports[0], {report.hardware.id for report in reports}
    others = [hardware for hardware in bundled() if hardware.id not in used]
    again = [price(first.activity, each, first.convention, first.latency_s, first.hops) for each in others]
    return [*reports, *again]


def amount(group: Group, report: EnergyReport) -> Amount:
    """What a group costs on the report's price list; the group was made of that report too."""
    id = report.hardware.id
    return _amount(report, group.energies[id], group.unpriced[id], bool(group.unpriced[id]))


def total(report: EnergyReport) -> Amount:
    """What the run costs on the report's price list."""
    return _amount(report, energy_of([report.totals]), report.totals.unpriced, report.lower_bound)


def times_below_ann(report: EnergyReport) -> float | None:
    """Energy of the ANN twin over that of the run; below 1 where the ANN needs less, null where either is unknown."""
    gain = split_gain(report.ann_twin, report)
    return None if gain is None else gain.total


def _amount(report: EnergyReport, pj: float | None, missing: Mapping[str, float], more: bool) -> Amount:
    each = report.per_inference(pj) if report.samples else pj
    return Amount(each, tuple(missing), more and each is not None)

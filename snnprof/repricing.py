"""One run on every price list: what a page shows whose reader switches between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snnprof.grouping import Group, energy_of
from snnprof.hardware import HardwareProfile, bundled
from snnprof.pricing import EnergyReport, price
from snnprof.summary import Total


@dataclass(frozen=True)
class Amount:
    """What some work costs on one price list, per inference (over the run where its samples are not known).

    Attributes:
        pj: picojoules; null where there is work and none of it has a price.
        missing: kinds of the work that have no price.
    """

    pj: float | None
    missing: tuple[str, ...]


def on_every_list(reports: Sequence[EnergyReport]) -> list[EnergyReport]:
    """The reports, then the same run and convention on each bundled price list that none of them used."""
    first, used = reports[0], {report.hardware.id for report in reports}
    others = [hardware for hardware in bundled() if hardware.id not in used]
    return [*reports, *(_again(first, hardware) for hardware in others)]


def _again(report: EnergyReport, hardware: HardwareProfile) -> EnergyReport:
    """The same on another list; a mapping onto a chip says nothing of a list that is not that chip's."""
    if report.mapping and hardware.id not in report.mapping.chip.prices:
        return price(report.activity, hardware, report.convention, report.latency_s)
    return price(
        report.activity, hardware, report.convention, report.latency_s, traffic=report.traffic, mapping=report.mapping
    )


def amount(group: Group, report: EnergyReport) -> Amount:
    """What a group costs on the report's price list; the group was made of that report too."""
    id = report.hardware.id
    return Amount(_each(report, group.energies[id]), tuple(group.unpriced[id]))


def total(report: EnergyReport) -> Total:
    """The energy of the run on the report's price list, without an interval, which would need every block priced."""
    pj, twin = energy_of([report.totals]), report.ann_twin.energy_pj
    ratio = twin / pj if twin and pj else None
    return Total(report.hardware, _each(report, pj), None, report.lower_bound, ratio)


def mean_totals(runs: Sequence[Sequence[EnergyReport]]) -> list[Total]:
    """The energy on every list, of several runs their mean: null where that of one is unknown, no ANN beside it.

    Args:
        runs: for each run its reports, all on the same price lists.
    """
    each = [list(map(total, on_every_list(reports))) for reports in runs]
    return [same[0] if len(same) == 1 else _mean(same) for same in zip(*each, strict=True)]


def _mean(totals: Sequence[Total]) -> Total:
    known = [each.energy_pj for each in totals if each.energy_pj is not None]
    pj = sum(known) / len(known) if len(known) == len(totals) else None
    return Total(totals[0].hardware, pj, None, any(each.lower_bound for each in totals), None)


def _each(report: EnergyReport, pj: float | None) -> float | None:
    return report.per_inference(pj) if report.samples else pj

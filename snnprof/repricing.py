"""One run on every price list, for a page whose reader switches between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snnprof.grouping import Group, energy_of
from snnprof.hardware import HardwareProfile, bundled
from snnprof.pricing import EnergyReport, price
from snnprof.summary import Total


@dataclass(frozen=True)
class Amount:
    """What some work costs on one price list, per inference; over the run if the number of samples is unknown.

    Attributes:
        pj: picojoules; None if there is work and none of it has a price.
        missing: kinds of the work that have no price.
    """

    pj: float | None
    missing: tuple[str, ...]


def on_every_list(reports: Sequence[EnergyReport]) -> list[EnergyReport]:
    """Returns the reports, then the same run and convention on each other bundled price list."""
    first, used = reports[0], {report.hardware.id for report in reports}
    others = [hardware for hardware in bundled() if hardware.id not in used]
    return [*reports, *(_again(first, hardware) for hardware in others)]


def _again(report: EnergyReport, hardware: HardwareProfile) -> EnergyReport:
    """Prices the run on another list; a mapping to a chip only counts on price lists of that chip."""
    if report.mapping and hardware.id not in report.mapping.chip.prices:
        return price(report.activity, hardware, report.convention, report.latency_s)
    return price(
        report.activity, hardware, report.convention, report.latency_s, traffic=report.traffic, mapping=report.mapping
    )


def amount(group: Group, report: EnergyReport) -> Amount:
    """Returns what a group costs on the report's price list; the group must contain that report."""
    id = report.hardware.id
    return Amount(_each(report, group.energies[id]), tuple(group.unpriced[id]))


def total(report: EnergyReport) -> Total:
    """Returns the energy of the run on the report's price list.

    It has no interval, since that needs the price of every block.
    """
    pj, twin = energy_of([report.totals]), report.ann_twin.energy_pj
    ratio = twin / pj if twin and pj else None
    return Total(report.hardware, _each(report, pj), None, report.lower_bound, ratio)


def mean_totals(runs: Sequence[Sequence[EnergyReport]]) -> list[Total]:
    """Returns the energy on every list; for several runs their mean, without a ratio to an ANN.

    Each run is given as its reports, all on the same price lists. The mean is None if the energy of one run is unknown.
    """
    each = [list(map(total, on_every_list(reports))) for reports in runs]
    return [same[0] if len(same) == 1 else _mean(same) for same in zip(*each, strict=True)]


def _mean(totals: Sequence[Total]) -> Total:
    known = [each.energy_pj for each in totals if each.energy_pj is not None]
    pj = sum(known) / len(known) if len(known) == len(totals) else None
    return Total(totals[0].hardware, pj, None, any(each.lower_bound for each in totals), None)


def _each(report: EnergyReport, pj: float | None) -> float | None:
    return report.per_inference(pj) if report.samples else pj

"""A run as figures to audit: its counts by each convention, and its energies on each hardware profile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from snnprof import conventions
from snnprof.activity import Activity
from snnprof.audit import readings
from snnprof.audit.figures import Counted, Figures
from snnprof.audit.printed import Quantity, Range
from snnprof.audit.readings import Choice, Reading, Sheet, Term, Work
from snnprof.conventions import Convention
from snnprof.errors import SnnprofError
from snnprof.grouping import role_of
from snnprof.hardware import DEFAULT, profiles
from snnprof.pricing import EnergyReport, Row, price

ALREADY = (DEFAULT, "rolls-77fj")
"""Profiles whose prices of ACs, MACs and SOPs are choices on the axes already."""
INPUT = "input"


def from_run(activity: Activity, name: str, printed: Quantity) -> Figures:
    """Make figures of a run and an energy that somebody printed for the same network on the same data.

    Args:
        activity: the run.
        name: its file, for messages.
        printed: the energy of one inference.

    Raises:
        SnnprofError: the run does not record its number of samples, or no convention can count it.
    """
    if not activity.samples:
        raise SnnprofError(f"{name} does not say how many samples ran: there is no energy per inference")
    reports = [report for id in conventions.names() if (report := _report(activity, conventions.find(id)))]
    if not reports:
        raise SnnprofError(f"no convention can count {name}")
    steps = activity.run.timesteps
    counted = tuple(
        Counted(Sheet(tuple(_terms(each, steps)), steps), {"convention": _rule(each.convention)}) for each in reports
    )
    return Figures(
        name=name, printed=printed, counted=counted, fixed=tuple(_on_hardware(activity, reports)), timesteps=steps
    )


def _report(activity: Activity, rule: Convention) -> EnergyReport | None:
    """The run counted by one convention; None where the run lacks what the convention needs."""
    try:
        return price(activity, DEFAULT, rule)
    except SnnprofError:
        return None


def _rule(rule: Convention) -> Choice:
    return Choice(rule.id, f"counted by the convention {rule.id}")


def _on_hardware(activity: Activity, reports: Sequence[EnergyReport]) -> Iterable[Reading]:
    """Readings with the energies that `snnprof report` prints, by convention and profile, unless the axes give them."""
    for profile in profiles()[0]:
        for report in reports:
            priced = price(activity, profile, report.convention)
            pj = report.per_inference(priced.energy_pj)
            if pj and not (profile.id in ALREADY and _contractions_alone(priced)):
                chosen = Choice(profile.id, f"on {profile.id}, everything that it prices")
                yield Reading({"convention": _rule(report.convention), "hardware": chosen}, Range(pj, pj))


def _contractions_alone(report: EnergyReport) -> bool:
    return not any(pj for term, pj in report.totals.terms.items() if term not in ("sop", "mac"))


def _terms(report: EnergyReport, steps: int | None) -> Iterable[Term]:
    """What a convention counts per inference, as terms: SOPs, other MACs, the first layer, the head."""
    rows = [row for row in report.rows if row.category == "contraction"]
    first = [row for row in rows if row.macs and set(row.fed_by) <= {INPUT}]
    head = [row for row in rows if row not in first and role_of(report.activity, row.layer, row.index) == "head"]
    rest = [row for row in rows if row not in first and row not in head]
    yield readings.spiking(_per_inference(report, sum(row.sops for row in (*first, *rest))))
    macs = sum(row.macs for row in rest)
    if macs:
        yield readings.printed_macs(_per_inference(report, macs))
    if first:
        once = sum(row.macs for row in first) / (steps or 1)
        yield readings.first_layer(_per_inference(report, once), steps)
    if head:
        yield _head(report, head)


def _head(report: EnergyReport, rows: Sequence[Row]) -> Term:
    """The head as the convention counts it, as MACs, or left out."""
    sops, macs, dense = (
        sum(each) for each in zip(*((row.sops, row.macs, row.dense_macs) for row in rows), strict=True)
    )
    as_counted = Work(ac=_per_inference(report, sops), mac=_per_inference(report, macs))
    ways = {"counted": as_counted, "mac_each_step": Work(mac=_per_inference(report, dense)), "left_out": Work()}
    return Term("head", "head", ways, "dense")


def _per_inference(report: EnergyReport, count: float) -> Range:
    value = report.per_inference(count) or 0.0
    return Range(value, value)

"""Energy as stacked bars: of one run by what its layers do, or of several networks side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snnprof import estimates
from snnprof.comparison import Entry
from snnprof.errors import SnnprofError
from snnprof.grouping import By, Group, grouped, role_of
from snnprof.pricing import TERMS, EnergyReport
from snnprof.statistics import Interval

FAMILIES = {
    "QK": "QKV", "QK^T": "attention", "AV": "attention", "K^TV": "attention", "Q(K^TV)": "attention",
    "aggregation": "attention", "DWC": "attention",
}  # fmt: skip
"""Roles of several networks that do the same for each: more than ten parts cannot be told apart in one bar."""


@dataclass(frozen=True)
class Bar:
    """One bar of picojoules.

    Attributes:
        role: what the layers behind it do; empty where they do several things, or nobody knows.
        parts: picojoules by kind of work (`sop`, `memory`, …), or by role where the bar is a whole network.
        total: their sum; null where nothing has a price.
        share: of the run's energy; null for a whole network.
    """

    name: str
    role: str
    parts: Mapping[str, float]
    total: Interval | None
    share: float | None = None


@dataclass(frozen=True)
class Panel:
    """All bars on one price list.

    Attributes:
        total: of the run that the bars add up to; null where each bar is a network.
        lower_bound: something is missing from each total here.
    """

    hardware: str
    bars: tuple[Bar, ...]
    total: Interval | None = None
    lower_bound: bool = False


@dataclass(frozen=True)
class EnergyBars:
    """Stacked bars, a panel per price list; the same bars in each.

    Attributes:
        stacked_by: what the parts are: `work` or `role`.
        parts: all of them, in the order of the stack.
        per: what the figures stand for.
    """

    panels: tuple[Panel, ...]
    stacked_by: str
    parts: tuple[str, ...]
    per: str = "per inference"


def energy_of_run(reports: Sequence[EnergyReport], by: By | None = None) -> EnergyBars:
    """The energy of one run on each price list, one bar per role, block, layer or operation, stacked by kind of work.

    Args:
        by: what a bar is; by default a role, or a block where the catalogue does not know the network.

    Raises:
        SnnprofError: nothing of it has a price.
    """
    by = by or _coarse(reports[0])
    groups = [g for g in grouped(list(reports), by) if any(g.energies.values())]
    if not groups:
        raise SnnprofError(
            "there is no energy to plot: none of the work has a price on this hardware",
            hint="choose another price list with --hardware; 'snnprof hardware list' names them",
        )
    panels = tuple(_panel(report, groups, by) for report in reports)
    used = {part for panel in panels for bar in panel.bars for part, pj in bar.parts.items() if pj}
    per = "per inference" if reports[0].samples else "over the whole run"
    return EnergyBars(panels, "work", tuple(term for term in TERMS if term in used), per)


def energy_of_networks(entries: Sequence[Entry]) -> EnergyBars:
    """The energy of several runs per inference on each price list, one bar per run, stacked by role.

    By kind of work where the catalogue knows none of the networks.

    Raises:
        SnnprofError: a published row among them, which has no layers; a run with unknown samples; no price at all.
    """
    for entry in entries:
        if entry.activity is None:
            raise SnnprofError(
                f"--kind energy needs a run, not {entry.name}: a published row has no layers",
                hint="leave it out, or draw it with --kind tradeoff",
            )
        if not entry.activity.samples:
            raise SnnprofError(
                f"the samples of {entry.name} are not known, so its energy per inference is not either",
                hint="give samples= to Recorder.activity(), or plot the run alone",
            )
    known = any(_coarse(entry.reports[0]) == "role" for entry in entries)
    parts_of = _by_role if known else _by_work
    lists = zip(*(entry.reports for entry in entries), strict=True)
    panels = tuple(
        Panel(
            reports[0].hardware.id,
            tuple(
                Bar(entry.name, "", parts_of(report), estimates.energy(report))
                for entry, report in zip(entries, reports, strict=True)
            ),
            lower_bound=any(report.lower_bound for report in reports),
        )
        for reports in lists
    )
    parts = _in_order([[*bar.parts] for panel in panels for bar in panel.bars])
    if not parts:
        raise SnnprofError(
            "there is no energy to plot: none of the work has a price on this hardware",
            hint="choose another price list with --hardware; 'snnprof hardware list' names them",
        )
    if not known:
        return EnergyBars(panels, "work", tuple(term for term in TERMS if term in parts))
    last = [part for part in ("residual", "other", "static") if part in parts]
    return EnergyBars(panels, "role", (*(part for part in parts if part not in last), *last))


def _coarse(report: EnergyReport) -> By:
    """A bar per role where the catalogue knows what at least one layer does."""
    activity = report.activity
    return "role" if any(role_of(activity, op.layer, op.index) for op in activity.ops) else "block"


def _panel(report: EnergyReport, groups: Sequence[Group], by: By) -> Panel:
    id, samples = report.hardware.id, report.samples or 1
    whole = report.energy_pj
    bars = []
    for group in groups:
        energy = group.energies[id]
        parts: dict[str, float] = {term: pj / samples for term, pj in group.terms[id].items() if pj}
        total = None if energy is None else Interval(energy / samples)
        bars.append(Bar(_name(group, by), group.role, parts, total, energy / whole if energy and whole else None))
    total = estimates.energy(report) or (None if whole is None else Interval(whole))
    return Panel(id, tuple(bars), total, report.lower_bound)


def _name(group: Group, by: By) -> str:
    return f"{group.name} ({group.op})" if by == "op" and group.op.startswith("matmul") else group.name


def _by_role(report: EnergyReport) -> dict[str, float]:
    """Picojoules per inference of each role, roles that do the same for each network as one."""
    parts: dict[str, float] = {}
    for group in grouped([report], "role"):
        if energy := group.energies[report.hardware.id]:
            family = FAMILIES.get(group.role, group.role) or ("static" if group.name == "static" else "other")
            parts[family] = parts.get(family, 0.0) + energy / (report.samples or 1)
    return parts


def _by_work(report: EnergyReport) -> dict[str, float]:
    """Picojoules per inference of each kind of work."""
    return {term: pj / (report.samples or 1) for term, pj in report.totals.terms.items() if pj}


def _in_order(lists: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """All names in an order that agrees with each list as far as they agree: a new one follows its predecessor."""
    order: list[str] = []
    for names in lists:
        place = 0
        for name in names:
            if name not in order:
                order.insert(place, name)
            place = order.index(name) + 1
    return tuple(order)

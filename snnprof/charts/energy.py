"""The data of the figure `energy`: stacked bars of the layers of one run, or of several networks."""

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
"""Roles that are one part in the bars of networks, since more than ten colours in a bar cannot be told apart."""


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        name: name of the layers or of the network.
        role: role of the layers; "" if they have several or it is unknown.
        parts: pJ by kind of work (`sop`, `memory`, …); by role if the bar is a whole network.
        total: sum of the parts in pJ; None if nothing has a price.
        share: fraction of the run's energy; None for a whole network.
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
        hardware: id of the price list.
        bars: the bars.
        total: energy of the run in pJ, the sum of the bars; None if each bar is a network.
        lower_bound: whether some work without a price is missing from the totals.
    """

    hardware: str
    bars: tuple[Bar, ...]
    total: Interval | None = None
    lower_bound: bool = False


@dataclass(frozen=True)
class EnergyBars:
    """Stacked bars, in one panel per price list; each panel has the same bars.

    Attributes:
        panels: one for each price list.
        stacked_by: whether a part of a bar is a kind of `work` or a `role`.
        parts: names of all parts, in the order of the stack.
        per: "per inference" or "over the whole run".
    """

    panels: tuple[Panel, ...]
    stacked_by: str
    parts: tuple[str, ...]
    per: str = "per inference"


def energy_of_run(reports: Sequence[EnergyReport], by: By | None = None) -> EnergyBars:
    """The energy of one run on each price list, one bar per role, block, layer or operation, stacked by kind of work.

    Args:
        reports: the reports of the run, one per price list.
        by: what a bar stands for; None is a role, or a block if the catalogue does not know the network.

    Raises:
        SnnprofError: no work has a price.
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
    """The energy of several runs per inference on each price list, one bar per run.

    The bars are stacked by role, or by kind of work if the catalogue knows none of the networks.

    Raises:
        SnnprofError: an entry is a published row, which has no layers; the samples of a run are unknown; or no work has
            a price.
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
    """`role` if the catalogue knows the role of at least one layer, else `block`."""
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
    """pJ per inference of each role; the roles in `FAMILIES` are merged."""
    parts: dict[str, float] = {}
    for group in grouped([report], "role"):
        if energy := group.energies[report.hardware.id]:
            family = FAMILIES.get(group.role, group.role) or ("static" if group.name == "static" else "other")
            parts[family] = parts.get(family, 0.0) + energy / (report.samples or 1)
    return parts


def _by_work(report: EnergyReport) -> dict[str, float]:
    """pJ per inference of each kind of work."""
    return {term: pj / (report.samples or 1) for term, pj in report.totals.terms.items() if pj}


def _in_order(lists: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """All names in an order close to that of each list: a new name is inserted after its predecessor in its list."""
    order: list[str] = []
    for names in lists:
        place = 0
        for name in names:
            if name not in order:
                order.insert(place, name)
            place = order.index(name) + 1
    return tuple(order)

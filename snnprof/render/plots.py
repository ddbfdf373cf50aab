"""Draws figures from runs and reports: computes the numbers by `charts` and draws them by `figures`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snnprof.activity import Activity
from snnprof.agreement import Agreement
from snnprof.charts import KINDS
from snnprof.charts.agreement import matrix_in, matrix_of
from snnprof.charts.attention import attention_values, is_binary
from snnprof.charts.energy import energy_of_networks, energy_of_run
from snnprof.charts.maps import overlays
from snnprof.charts.rates import MOST_ROLES, rates_by_layer, rates_by_role, rates_by_step, roles_repeat
from snnprof.charts.tradeoff import tradeoff_of
from snnprof.comparison import Entry
from snnprof.errors import SnnprofError, unknown
from snnprof.grouping import By
from snnprof.hardware import HardwareProfile
from snnprof.maps import AttentionMaps
from snnprof.pricing import EnergyReport
from snnprof.render.figures import Look
from snnprof.render.figures.agreement import draw_matrix
from snnprof.render.figures.attention import draw_attention_bars, draw_attention_lines
from snnprof.render.figures.energy import draw_energy
from snnprof.render.figures.maps import draw_maps
from snnprof.render.figures.rates import draw_rate_groups, draw_rate_rows
from snnprof.render.figures.sweep import draw_sweep
from snnprof.render.figures.timesteps import MOST_STEPS, draw_step_lines, draw_step_map
from snnprof.render.figures.tradeoff import draw_tradeoff
from snnprof.sweeps import is_sweep, sweep_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        kind: the kind of figure.
        figure: matplotlib's figure.
        left_out: what the figure does not show although the user named it, with the reasons.
    """

    kind: str
    figure: Figure
    left_out: tuple[SnnprofError, ...] = ()


def drawn(
    kind: str | None,
    entries: Sequence[Entry],
    look: Look | None = None,
    by: By | None = None,
    over: str | None = None,
    hardware: Sequence[HardwareProfile] = (),
) -> Drawing:
    """Draws priced runs and published rows.

    Args:
        kind: one of `charts.KINDS`; None chooses by the entries (`suitable`).
        entries: the runs and rows.
        look: size, fonts and labels; None is the default look.
        by: for `energy`, what a bar stands for; for `rates`, `layer` draws a row per neuron layer. None is a role.
        over: for `sweep`, the setting on the horizontal axis, if the runs differ in several.
        hardware: for `conventions`, the price lists; if empty, all bundled ones.

    Raises:
        SnnprofError: there is no such kind, or the entries have no data for it.
    """
    kind, look = kind or suitable(entries), look or Look()
    _must_suit(kind, by, over)
    if kind == "tradeoff":
        chart = tradeoff_of(entries)
        return Drawing(kind, draw_tradeoff(chart, look), chart.left_out)
    if kind == "sweep":
        return Drawing(kind, sweep(entries, over, look))
    if kind == "conventions":
        return conventions(entries, hardware, look)
    if kind == "energy":
        return Drawing(kind, energy(entries[0].reports, by, look) if _alone(entries) else energies(entries, by, look))
    activity = _one_run(kind, entries)
    if kind == "rates":
        return Drawing(kind, rates(activity, by, look))
    return Drawing(kind, timesteps(activity, look) if kind == "timesteps" else attention(activity, look))


def suitable(entries: Sequence[Entry]) -> str:
    """The kind of figure for these entries.

    `energy` for one run. For several: `sweep` if they differ in a setting, else `tradeoff` if all have an accuracy or
    are published rows, else `energy`.
    """
    if _alone(entries):
        return "energy"
    if is_sweep(entries):
        return "sweep"
    points = [entry for entry in entries if entry.published or (entry.activity and entry.activity.accuracy)]
    return "tradeoff" if len(points) == len(entries) else "energy"


def energy(reports: Sequence[EnergyReport], by: By | None = None, look: Look | None = None) -> Figure:
    """Energy of one run by role, block, layer or operation, stacked by kind of work; one panel per price list."""
    return draw_energy(energy_of_run(reports, by), look or Look())


def energies(entries: Sequence[Entry], by: By | None = None, look: Look | None = None) -> Figure:
    """Energy of several runs, stacked by role; one panel per price list.

    Raises:
        SnnprofError: `by` is no role, or an entry has no layers or no known samples.
    """
    if by not in (None, "role"):
        raise SnnprofError(
            f"--by {by} is for the energy of one run, not of {len(entries)}",
            hint="several runs are stacked by role: leave --by out",
        )
    return draw_energy(energy_of_networks(entries), look or Look())


def rates(activity: Activity, by: By | None = None, look: Look | None = None) -> Figure:
    """Firing rates with intervals: by role and block, or by layer if `by` says so or roles do not repeat."""
    grouped = rates_by_role(activity)
    if by == "layer" or (by is None and not roles_repeat(grouped)):
        return draw_rate_rows(rates_by_layer(activity), look or Look())
    return draw_rate_groups(grouped, look or Look())


def timesteps(activity: Activity, look: Look | None = None) -> Figure:
    """Firing rates at each time step: lines by role, or a heat map of roles and blocks if steps or roles are many."""
    by_role = rates_by_step(activity)
    few = max(len(rate.values) for rate in by_role) <= MOST_STEPS
    if few and len(by_role) <= MOST_ROLES:
        return draw_step_lines(by_role, look or Look())
    return draw_step_map(rates_by_step(activity, by_block=True), look or Look())


def attention(activity: Activity, look: Look | None = None) -> Figure:
    """Attention values: the share of ones if they are binary, else how often each value occurs."""
    matrices = attention_values(activity)
    draw = draw_attention_bars if is_binary(matrices) else draw_attention_lines
    return draw(matrices, look or Look())


def attention_maps(kept: AttentionMaps, samples: Sequence[int] | None = None, look: Look | None = None) -> Figure:
    """Attention maps: each sample next to the map of every block."""
    return draw_maps(overlays(kept, samples), look or Look())


def tradeoff(entries: Sequence[Entry], look: Look | None = None) -> Figure:
    """Accuracy against energy per inference; published rows are hollow and have the energy that their paper printed."""
    return draw_tradeoff(tradeoff_of(entries), look or Look())


def sweep(entries: Sequence[Entry], over: str | None = None, look: Look | None = None) -> Figure:
    """Accuracy and energy of runs against the setting in which they differ."""
    return draw_sweep(sweep_of(entries, over), look or Look())


def agreement(value: Agreement, look: Look | None = None) -> Figure:
    """The energy ratios under every convention and price list."""
    return draw_matrix(matrix_in(value), look or Look())


def conventions(
    entries: Sequence[Entry], hardware: Sequence[HardwareProfile] = (), look: Look | None = None
) -> Drawing:
    """The energy of each run over that of the first, under every convention and price list.

    The convention of the entries' reports comes first.
    """
    chart = matrix_of(entries, hardware, entries[0].reports[0].convention if entries[0].reports else None)
    published = (entry.name for entry in entries if entry.published)
    rows = (SnnprofError(f"{name}: a published row has one convention, its paper's") for name in published)
    return Drawing("conventions", draw_matrix(chart, look or Look()), (*rows, *chart.left_out))


def _must_suit(kind: str, by: By | None, over: str | None) -> None:
    """Raises SnnprofError for an unknown kind, or for options that have no effect on it."""
    if kind not in KINDS:
        raise unknown("kind of figure", kind, KINDS)
    if over and kind != "sweep":
        raise SnnprofError(f"--over is for --kind sweep, not for {kind}")
    if by and kind not in ("energy", "rates"):
        raise SnnprofError(f"--by is for --kind energy and rates, not for {kind}")
    if kind == "rates" and by not in (None, "role", "layer"):
        raise SnnprofError(f"--kind rates takes --by role or layer, not {by}")


def _alone(entries: Sequence[Entry]) -> bool:
    return len(entries) == 1 and len(entries[0].runs) == 1


def _one_run(kind: str, entries: Sequence[Entry]) -> Activity:
    if len(entries) > 1:
        raise SnnprofError(
            f"--kind {kind} draws one run, not {len(entries)}", hint="energy, tradeoff and sweep draw several"
        )
    activity = entries[0].activity
    if activity is None:
        raise SnnprofError(f"--kind {kind} needs a run; a published row has no layers", hint="try --kind tradeoff")
    return activity

"""Draws firing rates by time step: lines by role for few steps, a heat map of roles and blocks for many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from snnprof.charts.rates import StepRates
from snnprof.render.figures import colours
from snnprof.render.figures.look import ONE_COLUMN, TWO_COLUMNS, Look
from snnprof.render.figures.style import (
    NOTHING,
    ROW,
    columns_for,
    legend_below,
    page,
    percent_axis,
    rows_axis,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_STEPS = 8
"""The most time steps for which lines are drawn; more are easier to read as a heat map."""


def draw_step_lines(rates: Sequence[StepRates], look: Look) -> Figure:
    """Draws a line per role over the steps, with 95 % intervals."""
    paints = colours.paints([rate.role for rate in rates])
    with styled(look):
        figure = page(look, ONE_COLUMN, 2.5)
        axis = figure.subplots()
        handles = []
        for rate in rates:
            paint = paints[rate.role]
            known = [(step, value) for step, value in enumerate(rate.values, start=1) if value is not None]
            steps, values = [step for step, _ in known], [value.value for _, value in known]
            (line,) = axis.plot(
                steps, values, color=paint.colour, marker=paint.marker, markersize=4, linewidth=1.0, label=rate.role,
                markeredgecolor="#222222", markeredgewidth=0.3,
            )  # fmt: skip
            bands = [(step, value.low, value.high) for step, value in known if value.low is not None]
            axis.fill_between(
                [step for step, _, _ in bands], [low or 0.0 for _, low, _ in bands],
                [high or 0.0 for _, _, high in bands], color=paint.colour, alpha=0.15, linewidth=0,
            )  # fmt: skip
            handles.append((line, look.name(rate.role, 24)))
        axis.set_xticks(range(1, 1 + max(len(rate.values) for rate in rates)))
        highest = max((value.high or value.value for rate in rates for value in rate.values if value), default=0.0)
        axis.set_ylim(0, 1.06 * highest or NOTHING)
        axis.set_xlabel("time step")
        axis.grid(True)
        percent_axis(axis.yaxis, "firing rate")
        legend_below(figure, handles)
    return figure


def draw_step_map(rates: Sequence[StepRates], look: Look) -> Figure:
    """Draws a heat map with a row per role and block and a column per step.

    The order of the colours is also visible in grey print. White cells: the layers did not run at that step.
    """
    labels = [f"{look.name(rate.block, 16)} · {look.name(rate.role, 24)}" for rate in rates]
    steps = max(len(rate.values) for rate in rates)
    nothing = float("nan")
    values = [
        [nothing if value is None else value.value for value in rate.values] + [nothing] * (steps - len(rate.values))
        for rate in rates
    ]
    with styled(look):
        width = columns_for(look, labels) if steps <= 32 else TWO_COLUMNS
        figure = page(look, width, 0.6 + ROW * len(rates))
        axis = figure.subplots()
        highest = max((value.value for rate in rates for value in rate.values if value), default=0.0)
        image = axis.imshow(
            values, aspect="auto", cmap="cividis", vmin=0, vmax=highest or NOTHING, interpolation="nearest"
        )
        rows_axis(axis, labels)
        for row in (row for row in range(1, len(rates)) if rates[row].block != rates[row - 1].block):
            axis.axhline(row - 0.5, color="white", linewidth=0.8)
        apart = -(-steps // 10)
        shown = range(0, steps, apart)
        axis.set_xticks(list(shown), [str(step + 1) for step in shown])
        axis.set_xlabel("time step")
        bar = figure.colorbar(image, ax=axis, fraction=0.06, pad=0.02)
        percent_axis(bar.ax.yaxis, "firing rate")
    return figure

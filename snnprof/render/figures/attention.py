"""Draws the values of attention matrices: bars if they are binary, else how often each value occurs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from snnprof.charts.attention import Values
from snnprof.render.figures import colours
from snnprof.render.figures.look import ONE_COLUMN, Look
from snnprof.render.figures.style import (
    EDGE,
    NOTHING,
    arms,
    decades,
    legend_below,
    page,
    percent_axis,
    slanted_if_crowded,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAINT = colours.ROLES["attention"]
_LINES: Any = ("-", "--", "-.", ":")


def draw_attention_bars(matrices: Sequence[Values], look: Look) -> Figure:
    """Draws the share of entries that are not 0, one bar per block with its 95 % interval."""
    with styled(look):
        figure = page(look, ONE_COLUMN, 2.1)
        axis = figure.subplots()
        for place, matrix in enumerate(matrices):
            value = matrix.nonzero
            if value is None:
                continue
            axis.bar(place, value.value, width=0.6, label=matrix.name, **colours.bar(_PAINT), **EDGE)
            interval = arms(value.value, value.low, value.high)
            if interval:
                axis.errorbar(place, value.value, yerr=interval, fmt="none", ecolor="black", capsize=2, elinewidth=0.7)
            axis.annotate(
                f"{100 * value.value:.1f} %", (place, value.high or value.value), xytext=(0, 2),
                textcoords="offset points", ha="center", fontsize=look.smallest,
            )  # fmt: skip
        axis.set_xticks(range(len(matrices)), [look.name(matrix.name, 16) for matrix in matrices])
        axis.set_xlim(-0.7, len(matrices) - 0.3)
        axis.tick_params(axis="x", length=0)
        highest = max((matrix.nonzero.high or matrix.nonzero.value for matrix in matrices if matrix.nonzero), default=0)
        axis.set_ylim(0, 1.15 * highest or NOTHING)
        axis.grid(axis="y")
        percent_axis(axis.yaxis, "non-zero attention")
        slanted_if_crowded(figure, axis)
    return figure


def draw_attention_lines(matrices: Sequence[Values], look: Look) -> Figure:
    """Draws how often each value occurs, on a logarithmic axis: one line per block, from light (first) to dark."""
    with styled(look):
        figure = page(look, ONE_COLUMN, 2.4)
        axis = figure.subplots()
        handles = []
        for place, matrix in enumerate(matrices):
            strength = 0.35 + 0.65 * (place + 1) / len(matrices)
            (line,) = axis.plot(
                matrix.values, matrix.shares, label=matrix.name, color=colours.tint("#8A5A00", strength),
                marker=colours.of_list(place), markersize=3.5, linewidth=0.9, linestyle=_LINES[place % len(_LINES)],
            )  # fmt: skip
            handles.append((line, look.name(matrix.name, 24)))
        axis.set_xlabel("attention value")
        axis.grid(True)
        axis.set_yscale("log")
        percent_axis(axis.yaxis, "share of entries")
        decades(axis.yaxis)
        legend_below(figure, handles)
    return figure

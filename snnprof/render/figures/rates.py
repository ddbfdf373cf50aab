"""Draws firing rates: by role, grouped by block; or one row per neuron layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from snnprof.charts.rates import Rate
from snnprof.grouping import ROOT
from snnprof.render.figures import colours
from snnprof.render.figures.colours import Paint
from snnprof.render.figures.look import ONE_COLUMN, TWO_COLUMNS, Look
from snnprof.render.figures.style import (
    EDGE,
    NOTHING,
    ROW,
    arms,
    columns_for,
    legend_below,
    page,
    percent_axis,
    rows_axis,
    slanted_if_crowded,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GAP = 0.8
_MOST_IN_ONE_COLUMN = 22
_WHISKER: Any = {"fmt": "none", "ecolor": "black", "capsize": 1.2, "elinewidth": 0.6, "capthick": 0.6}


def draw_rate_groups(rates: Sequence[Rate], look: Look) -> Figure:
    """Draws a bar per role, block by block, with 95 % intervals."""
    paints = colours.paints([rate.role for rate in rates])
    with styled(look):
        figure = page(look, ONE_COLUMN if len(rates) <= _MOST_IN_ONE_COLUMN else TWO_COLUMNS, 2.3)
        axis = figure.subplots()
        places, names, left = [], [], 0.0
        for block, group in groupby(rates, key=lambda rate: rate.block):
            members = list(group)
            for position, rate in enumerate(members):
                _bar(axis, left + position, rate, paints, look)
            places.append(left + (len(members) - 1) / 2)
            names.append(look.name(block or ROOT, 16))
            left += len(members) + _GAP
        axis.set_xticks(places, names)
        axis.set_xlim(-0.5 - _GAP / 2, left - _GAP - 0.5 + _GAP / 2)
        axis.tick_params(axis="x", length=0)
        highest = max((rate.value.high or rate.value.value for rate in rates if rate.value), default=0.0)
        axis.set_ylim(0, 1.06 * highest or NOTHING)
        axis.grid(axis="y")
        percent_axis(axis.yaxis, "firing rate")
        legend_below(figure, _legend(paints, look))
        slanted_if_crowded(figure, axis)
    return figure


def _bar(axis: Axes, place: float, rate: Rate, paints: Mapping[str, Paint], look: Look) -> None:
    if rate.value is None:
        axis.annotate("–", (place, 0), xytext=(0, 1), textcoords="offset points", ha="center", fontsize=look.smallest)
        return
    value = rate.value
    axis.bar(place, value.value, width=0.9, label=rate.role, **colours.bar(paints[rate.role]), **EDGE)
    interval = arms(value.value, value.low, value.high)
    if interval:
        axis.errorbar(place, value.value, yerr=interval, **_WHISKER)


def draw_rate_rows(rates: Sequence[Rate], look: Look) -> Figure:
    """Draws a row per neuron layer with its rate, and a line between blocks."""
    labels = [look.name(rate.layers[0] or ROOT) for rate in rates]
    known = {role: paint for role, paint in colours.ROLES.items() if role in {rate.role for rate in rates}}
    with styled(look):
        figure = page(look, columns_for(look, labels), 0.7 + ROW * len(rates))
        axis = figure.subplots()
        for row, rate in enumerate(rates):
            _row(axis, row, rate, known.get(rate.role, colours.UNKNOWN), look)
        for row in (row for row in range(1, len(rates)) if rates[row].block != rates[row - 1].block):
            axis.axhline(row - 0.5, color="#999999", linewidth=0.4)
        highest = max((rate.value.high or rate.value.value for rate in rates if rate.value), default=0.0)
        axis.set_xlim(0, 1.12 * highest or NOTHING)
        axis.locator_params(axis="x", nbins=5)
        axis.grid(axis="x")
        percent_axis(axis.xaxis, "firing rate")
        rows_axis(axis, labels)
        legend_below(figure, _legend(known, look))
    return figure


def _row(axis: Axes, row: int, rate: Rate, paint: Paint, look: Look) -> None:
    text, right = "never ran", 0.0
    if rate.value is not None:
        value = rate.value
        axis.barh(row, value.value, height=0.74, label=rate.role, **colours.bar(paint), **EDGE)
        text, right = f"{100 * value.value:.1f}", value.high or value.value
        interval = arms(value.value, value.low, value.high)
        if interval:
            axis.errorbar(value.value, row, xerr=interval, **_WHISKER)
    axis.annotate(text, (right, row), xytext=(3, 0), textcoords="offset points", va="center", fontsize=look.smallest)


def _legend(paints: Mapping[str, Paint], look: Look) -> list[tuple[Artist, str]]:
    from matplotlib.patches import Patch

    return [(Patch(**colours.bar(paint), **EDGE), look.name(role, 24)) for role, paint in paints.items()]

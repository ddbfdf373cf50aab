"""Draws accuracy against energy: the colour is the network, the marker the price list; lines are Pareto fronts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from itertools import pairwise
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from snnprof.charts.tradeoff import Point, Tradeoff
from snnprof.comparison import PRINTED, Estimate
from snnprof.render.figures import colours
from snnprof.render.figures.look import ONE_COLUMN, TWO_COLUMNS, Look
from snnprof.render.figures.placing import label_points
from snnprof.render.figures.style import arms, decades, energy_axis, legend_below, page, percent_axis, styled

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_IN_ONE_COLUMN = 5
_FEW_DECADES = 12  # ratio of energies from which on their axis is logarithmic
_LINE = 22  # characters in a line of a label
_FRONT: Any = {"color": "#777777", "linewidth": 0.8, "zorder": 1}
_DASHES: Any = ("--", ":", "-.", (0, (6, 2)))


def draw_tradeoff(chart: Tradeoff, look: Look) -> Figure:
    """Draws the points with their names; if data sets differ, names include them, and each has its style of line."""
    points = chart.points
    names = {key: place for place, key in enumerate(dict.fromkeys((point.name, point.data) for point in points))}
    lists = [id for id in dict.fromkeys(point.hardware for point in points) if id != PRINTED]
    markers = {PRINTED: colours.PUBLISHED, **{id: colours.of_list(place) for place, id in enumerate(lists)}}
    with styled(look):
        width = look.width or (ONE_COLUMN if len(points) <= _MOST_IN_ONE_COLUMN else TWO_COLUMNS)
        figure = page(look, width, 2.6 if width < 5 else 3.2)
        axis = figure.subplots()
        for point in points:
            _point(axis, point, colours.of_model(names[point.name, point.data]), markers[point.hardware])
        fronts = [front for front in chart.fronts.values() if len(front) > 1]
        for front in fronts:
            x, y = zip(*(point.place for point in front), strict=True)
            axis.plot(
                x,
                y,
                drawstyle="steps-post",
                linestyle=_DASHES[chart.data.index(front[0].data) % len(_DASHES)],
                **_FRONT,
            )
        _axes(axis, points)
        legend_below(figure, _legend(chart, markers, bool(fronts), look))
        texts = [_text(point, chart, look) for point in points]
        paths = [*_whiskers(points), *(_stairs(front) for front in fronts)]
        label_points(figure, axis, [point.place for point in points], texts, look.small, paths)
    return figure


def _point(axis: Axes, point: Point, colour: str, marker: str) -> None:
    x, y = point.place
    axis.errorbar(
        x, y, xerr=_arms(point.energy), yerr=_arms(point.accuracy), fmt="none", ecolor=colour, capsize=1.5,
        elinewidth=0.7,
    )  # fmt: skip
    axis.plot(
        [x], [y], marker=marker, linestyle="none", color=colour, markersize=5.5, label=point.name,
        markerfacecolor="white" if point.published else colour, markeredgecolor=colour, zorder=3,
    )  # fmt: skip


def _arms(estimate: Estimate) -> Any:
    """The lengths of the error bars of an estimate; None if it has none."""
    low, high = bounds(estimate)
    return None if estimate.value is None else arms(estimate.value, low, high)


def bounds(estimate: Estimate) -> tuple[float | None, float | None]:
    """The ends of the error bar: the interval, else value ± half; None if there is neither."""
    value, interval = estimate.value, estimate.interval
    if interval is not None and interval.low is not None:
        return interval.low, interval.high
    if value is None or estimate.half is None:
        return None, None
    return value - estimate.half, value + estimate.half


def _whiskers(points: Sequence[Point]) -> list[list[tuple[float, float]]]:
    """The error bars of all points as lines, in data coordinates."""
    lines = []
    for point in points:
        x, y = point.place
        for (low, high), across in ((bounds(point.energy), False), (bounds(point.accuracy), True)):
            if low is not None and high is not None:
                lines.append([(x, low), (x, high)] if across else [(low, y), (high, y)])
    return lines


def _stairs(front: Sequence[Point]) -> list[tuple[float, float]]:
    """The corners of a front, which is drawn as steps: more accuracy is reached only at the energy of its point."""
    places = [point.place for point in front]
    corners = [(to[0], start[1]) for start, to in pairwise(places)]
    return [place for pair in zip(places, [*corners, places[-1]], strict=True) for place in pair]


def _axes(axis: Axes, points: Sequence[Point]) -> None:
    energies = [point.place[0] for point in points]
    if min(energies) > 0 and max(energies) > _FEW_DECADES * min(energies):
        axis.set_xscale("log")
    axis.margins(x=0.18, y=0.14)
    axis.grid(True)
    energy_axis(axis.xaxis, energies)
    percent_axis(axis.yaxis, "accuracy")
    if axis.get_xscale() == "log":
        decades(axis.xaxis)
    else:
        axis.locator_params(axis="x", nbins=5)


def _text(point: Point, chart: Tradeoff, look: Look) -> str:
    name = look.name(point.name, 3 * _LINE)
    lines = wrap(f"{name} ({point.mark})" if point.mark else name, _LINE, break_long_words=False)
    return "\n".join([*lines, f"on {look.name(point.data, _LINE)}"] if len(chart.data) > 1 else lines)


def list_name(id: str, lower_bounds: Set[str], look: Look) -> str:
    """The name of a price list in a legend, marked if its energies are lower bounds."""
    return f"{look.name(id)}: lower bounds" if id in lower_bounds else look.name(id)


def _legend(chart: Tradeoff, markers: Mapping[str, str], fronts: bool, look: Look) -> list[tuple[Artist, str]]:
    """The legend: the price lists by marker, and the fronts by style of line, one per data set."""
    from matplotlib.lines import Line2D

    shown = dict.fromkeys(point.hardware for point in chart.points)
    several = len({point.formula for point in chart.points if point.published}) > 1
    printed = "as printed, by several formulas" if several else "as printed in the paper"
    entries: list[tuple[Artist, str]] = [
        (
            Line2D([], [], marker=markers[id], color="black", linestyle="none", markersize=5,
                   markerfacecolor="white" if id == PRINTED else "black"),
            printed if id == PRINTED else list_name(id, chart.lower_bounds, look),
        )
        for id in shown
    ]  # fmt: skip
    for place, data in enumerate(chart.data if fronts else ()):
        if any(len(front) > 1 and front[0].data == data for front in chart.fronts.values()):
            name = f"not beaten on {look.name(data, 22)}" if len(chart.data) > 1 else "Pareto front"
            name += " by the same formula" if several else ""
            entries.append((Line2D([], [], linestyle=_DASHES[place % len(_DASHES)], **_FRONT), name))
    return entries

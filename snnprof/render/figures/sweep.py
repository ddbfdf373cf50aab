"""Draws accuracy, SOPs and energy against one setting.

The colour is the curve, the marker the price list; a hollow marker is not on the Pareto front.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from snnprof.comparison import Estimate
from snnprof.render.figures import colours
from snnprof.render.figures.look import ONE_COLUMN, Look
from snnprof.render.figures.style import (
    arms,
    count_axis,
    decades,
    energy_axis,
    legend_below,
    page,
    percent_axis,
    styled,
)
from snnprof.render.figures.tradeoff import bounds, list_name
from snnprof.render.sweep import matched_text, short
from snnprof.sweeps import Sweep

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DECADE = 12  # ratio of energies from which on their axis is logarithmic
_LETTERS = 20  # characters in an inch of small type
_MOST_TEXTS = 4
_LINES: Any = ("-", "--", ":", "-.")


def draw_sweep(chart: Sweep, look: Look) -> Figure:
    """Draws accuracy, SOPs and energy in panels above each other, and energies at equal accuracy as text below."""
    accurate = any(stop.accuracy.value is not None for curve in chart.curves for stop in curve.stops)
    with styled(look):
        figure = page(look, ONE_COLUMN, 4.6 if accurate else 3.3)
        axes = figure.subplots(3 if accurate else 2, 1, sharex=True, squeeze=False)[:, 0]
        if accurate:
            _accuracies(axes[0], chart)
        _operations(axes[-2], chart)
        _energies(axes[-1], chart)
        _setting(axes[-1], chart)
        figure.align_ylabels(list(axes))
        legend_below(figure, _legend(chart, look), _at_equal_accuracy(chart, look))
    return figure


def _at_equal_accuracy(chart: Sweep, look: Look) -> str:
    """The comparisons at the highest accuracy that two curves both reach, on the first price list, as text."""
    last = {match.names: match for match in chart.matched if match.hardware == chart.hardware[0]}
    texts = [matched_text(chart, match) for match in last.values()] + list(chart.unmatched)
    width = int(_LETTERS * (look.width or ONE_COLUMN))
    return "\n".join(line for text in texts[:_MOST_TEXTS] for line in wrap(text, width))


def _accuracies(axis: Axes, chart: Sweep) -> None:
    for place, curve in enumerate(chart.curves):
        estimates = [stop.accuracy for stop in curve.stops]
        _curve(axis, chart, place, estimates, chart.hardware[0], color=colours.of_model(place),
               marker=colours.of_list(0))  # fmt: skip
    percent_axis(axis.yaxis, "accuracy")
    axis.margins(y=0.15)
    axis.grid(True)


def _operations(axis: Axes, chart: Sweep) -> None:
    shown = [stop.side.sops.value or 0.0 for curve in chart.curves for stop in curve.stops]
    for place, curve in enumerate(chart.curves):
        estimates = [stop.side.sops for stop in curve.stops]
        _curve(axis, chart, place, estimates, chart.hardware[0], color=colours.of_model(place),
               marker=colours.of_list(0))  # fmt: skip
    axis.set_ylim(bottom=0)
    count_axis(axis.yaxis, shown, "SOPs")
    axis.grid(True)


def _energies(axis: Axes, chart: Sweep) -> None:
    shown: list[float] = []
    for place, curve in enumerate(chart.curves):
        for number, id in enumerate(chart.hardware):
            estimates = [stop.energies.get(id, Estimate()) for stop in curve.stops]
            shown += [estimate.value for estimate in estimates if estimate.value is not None]
            _curve(
                axis, chart, place, estimates, id, color=colours.of_model(place), marker=colours.of_list(number),
                linestyle=_LINES[number % len(_LINES)],
            )  # fmt: skip
    positive = [value for value in shown if value > 0]
    if positive and len(positive) == len(shown) and max(positive) > _DECADE * min(positive):
        axis.set_yscale("log")
    else:
        axis.set_ylim(bottom=0)
    energy_axis(axis.yaxis, shown, short=True)
    if axis.get_yscale() == "log":
        decades(axis.yaxis)
    axis.grid(True)


def _curve(axis: Axes, chart: Sweep, number: int, estimates: Sequence[Estimate], hardware: str, **style: Any) -> None:
    """Draws one curve with its intervals; an unknown value leaves a gap.

    If the price list has a Pareto front, the points that are not on it are hollow.
    """
    curve = chart.curves[number]
    places = [_place(chart, stop.value) for stop in curve.stops]
    values = [float("nan") if estimate.value is None else estimate.value for estimate in estimates]
    axis.plot(places, values, linewidth=1.0, markersize=4, label=curve.name, **style)
    beaten = _beaten(chart, number, hardware)
    axis.plot(
        [places[at] for at in beaten], [values[at] for at in beaten], linestyle="none", marker=style["marker"],
        markersize=4, markerfacecolor="white", markeredgecolor=style["color"], zorder=3,
    )  # fmt: skip
    for place, value, estimate in zip(places, values, estimates, strict=True):
        whiskers = arms(value, *bounds(estimate))
        if whiskers:
            axis.errorbar(place, value, yerr=whiskers, fmt="none", ecolor=style["color"], capsize=1.5, elinewidth=0.7)


def _beaten(chart: Sweep, number: int, hardware: str) -> list[int]:
    """The positions of the points of a curve that are not on the Pareto front; none if there is no front."""
    front = chart.fronts[hardware]
    return [at for at, stop in enumerate(chart.curves[number].stops) if front and (number, stop.value) not in front]


def _place(chart: Sweep, value: str) -> float:
    return float(value) if chart.numeric else float(chart.values.index(value))


def _setting(axis: Axes, chart: Sweep) -> None:
    """Sets a tick at each value of the setting; a wide range of positive numbers gets a logarithmic axis."""
    from matplotlib.ticker import NullFormatter, NullLocator

    places = [_place(chart, value) for value in chart.values]
    if chart.numeric and places[0] > 0 and places[-1] >= 8 * places[0]:
        axis.set_xscale("log", base=2)
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xticks(places, list(chart.values))
    axis.set_xlabel(chart.title)


def _legend(chart: Sweep, look: Look) -> list[tuple[Artist, str]]:
    """The legend: curves by colour, price lists by marker and line, and hollow markers."""
    from matplotlib.lines import Line2D

    several = len(chart.data) > 1
    entries: list[tuple[Artist, str]] = []
    for place, curve in enumerate(chart.curves):
        name = look.name(short(chart, curve.name))
        text = f"{name} on {look.name(curve.data, 22)}" if several else name
        entries.append((Line2D([], [], color=colours.of_model(place), linewidth=2.5), text))
    for number, id in enumerate(chart.hardware):
        line = Line2D(
            [], [], color="black", marker=colours.of_list(number), markersize=4, linestyle=_LINES[number % len(_LINES)]
        )
        entries.append((line, list_name(id, chart.lower_bounds, look)))
    if any(_beaten(chart, number, id) for number in range(len(chart.curves)) for id in chart.hardware):
        hollow = Line2D(
            [], [], color="black", marker=colours.of_list(0), markersize=4, linestyle="none", markerfacecolor="white"
        )
        entries.append((hollow, "not on the Pareto front"))
    return entries

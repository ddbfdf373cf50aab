"""Draws estimated against measured energy on logarithmic axes.

The colour is the evidence for the prices, the marker their relation to the measured machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from snnprof.charts.validation import Mark, Marks
from snnprof.render.figures import colours
from snnprof.render.figures.look import TWO_COLUMNS, Look
from snnprof.render.figures.style import decades, energy_axis, legend_below, page, styled
from snnprof.validation.cases import Relation

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS: Mapping[Relation, tuple[str, str]] = {
    "own": ("o", "prices of this machine"),
    "predecessor": ("D", "prices of its predecessor"),
    "other": ("o", "prices of other hardware"),
    "derived": ("x", "prices worked out from this case: no check"),
    "same prices": ("+", "a simulation with these prices: no check of them"),
}
_HOLLOW = ("other",)
_DODGE = 3.2  # points between estimates of one case
_NAME_GAP = 8.5  # points between the names of neighbouring cases
_NAME_HEIGHT = 14.0  # points from the frame to the names
_GUIDE: Any = {"color": "#999999", "linewidth": 0.6, "zorder": 0}


def draw_validation(chart: Marks, look: Look) -> Figure:
    """Draws each estimate: a point with the range of prices if the activity is known, else a line.

    The line runs from no neuron that fires to all neurons that fire at each step.
    """
    with styled(look):
        figure = page(look, TWO_COLUMNS, 5.2)
        axis = figure.subplots()
        _axes(axis, chart)
        for mark, shift in _dodged(chart.marks):
            _draw(axis, mark, shift)
        _names(figure, axis, chart.cases, look)
        legend_below(figure, _legend(chart), most=2)
    return figure


def _axes(axis: Axes, chart: Marks) -> None:
    """Sets both axes, and draws the line of equality and the lines of ten times more and less."""
    measured = [energy for _, energy in chart.cases]
    ends = [end for mark in chart.marks for end in (mark.estimate.low, mark.estimate.high) if end > 0]
    axis.set(xscale="log", yscale="log")
    axis.set_xlim(min(measured) / 2, max(measured) * 2)
    axis.set_ylim(min(*ends, *measured) / 2, max(*ends, *measured) * 2)
    axis.grid(True)
    for factor, style, text in ((1.0, "-", "equal"), (10.0, ":", "×10"), (0.1, ":", "1/10")):
        axis.axline((1.0, factor), (10.0, 10 * factor), linestyle=style, **_GUIDE)
        _along(axis, factor, text)
    energy_axis(axis.xaxis, measured)
    energy_axis(axis.yaxis, ends)
    axis.set_xlabel(f"measured {axis.get_xlabel()}")
    axis.set_ylabel(f"estimated {axis.get_ylabel()}")
    decades(axis.xaxis)
    decades(axis.yaxis)


def _along(axis: Axes, factor: float, text: str) -> None:
    """Writes the name of a line above its left end."""
    x = axis.get_xlim()[0]
    axis.annotate(
        text, (x, factor * x), xytext=(2, 6), textcoords="offset points", color="#777777", fontsize="x-small",
        annotation_clip=True,
    )  # fmt: skip


def _dodged(marks: Sequence[Mark]) -> Iterator[tuple[Mark, float]]:
    """Yields each estimate with a shift in points, so that the estimates of one case are side by side."""
    for mark in marks:
        siblings = [other for other in marks if other.case == mark.case]
        yield mark, _DODGE * (siblings.index(mark) - (len(siblings) - 1) / 2)


def _draw(axis: Axes, mark: Mark, shift: float) -> None:
    from matplotlib.transforms import ScaledTranslation

    figure = axis.figure
    moved = axis.transData + ScaledTranslation(shift / 72, 0, figure.dpi_scale_trans)
    colour, span = colours.EVIDENCE[mark.evidence], mark.estimate
    bottom = (
        span.low or axis.get_ylim()[0] / 10
    )  # an estimate without spikes may be 0, which a logarithmic axis cannot show
    axis.plot([mark.measured] * 2, [bottom, span.high], color=colour, linewidth=1.0, transform=moved, zorder=2)
    ends = [span.high] if not span.low else [span.low, span.high]
    if span.value is None:
        look = _marker(mark.relation, colour, 2.5)
        axis.plot([mark.measured] * len(ends), ends, transform=moved, zorder=3, **look)
        return
    if span.low < span.high:
        caps: Any = {"marker": "_", "markersize": 4, "linestyle": "none", "color": colour}
        axis.plot([mark.measured] * 2, ends, transform=moved, zorder=2, **caps)
    axis.plot([mark.measured], [span.value], transform=moved, zorder=3, **_marker(mark.relation, colour))


def _marker(relation: Relation, colour: str, size: float = 4.5) -> dict[str, Any]:
    return {
        "marker": MARKERS[relation][0], "markersize": size, "linestyle": "none", "color": colour,
        "markerfacecolor": "white" if relation in _HOLLOW else colour, "markeredgecolor": colour,
    }  # fmt: skip


def _names(figure: Figure, axis: Axes, cases: Sequence[tuple[str, float]], look: Look) -> None:
    """Writes the names of the cases above the frame, moved apart if they overlap, each with a line to its place."""
    figure.draw_without_rendering()
    point = figure.dpi / 72
    places = [float(axis.transData.transform((energy, 1.0))[0]) / point for _, energy in cases]
    spread = _spread(places, _NAME_GAP * look.smallest / 6)
    left, width = axis.bbox.x0 / point, axis.bbox.width / point
    for (name, _), place, text in zip(cases, places, spread, strict=True):
        axis.annotate(
            look.name(name), ((place - left) / width, 1.0), xycoords="axes fraction",
            xytext=(text - place, _NAME_HEIGHT), textcoords="offset points", rotation=60, rotation_mode="anchor",
            ha="left", va="center", fontsize=look.smallest, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "#777777", "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip


def _spread(places: Sequence[float], gap: float) -> list[float]:
    """Moves rising places apart to at least `gap`; each group of places stays centred on its mean.

    >>> _spread([0.0, 1.0, 50.0], 10.0)
    [-4.5, 5.5, 50.0]
    """
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        while len(groups) > 1 and _start(groups[-1], gap) < _start(groups[-2], gap) + gap * len(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    return [_start(group, gap) + gap * position for group in groups for position in range(len(group))]


def _start(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) - gap * (len(group) - 1) / 2


def _legend(chart: Marks) -> list[tuple[Artist, str]]:
    """The legend: evidence in the first column, relations in the second; blanks fill the shorter column."""
    from matplotlib.lines import Line2D

    evidence: list[tuple[Artist, str]] = [
        (Line2D([], [], color=colours.EVIDENCE[each], linewidth=2.5), f"price {each}") for each in chart.evidence
    ]
    relations: list[tuple[Artist, str]] = [
        (Line2D([], [], **_marker(each, "#222222")), MARKERS[each][1]) for each in chart.relations
    ]
    blanks: list[tuple[Artist, str]] = [(Line2D([], [], linestyle="none"), "")] * abs(len(evidence) - len(relations))
    return [*evidence, *(blanks if len(evidence) < len(relations) else []), *relations]

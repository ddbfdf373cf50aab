"""Draws stacked bars of energy, one panel per price list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from snnprof.charts.energy import Bar, EnergyBars, Panel
from snnprof.render.figures import colours
from snnprof.render.figures.colours import UNKNOWN, WORK, Paint
from snnprof.render.figures.look import TWO_COLUMNS, Look
from snnprof.render.figures.style import (
    EDGE,
    ROW,
    arms,
    columns_for,
    energy_axis,
    legend_below,
    page,
    rows_axis,
    styled,
)
from snnprof.units import energy_text

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NARROWEST, _ROOMY = 2.1, 3.0  # inches of a panel with its labels


def draw_energy(bars: EnergyBars, look: Look) -> Figure:
    """Draws the bars: of one run with their shares of its energy, or of several networks with their energies."""
    with styled(look):
        labels = [look.name(bar.name) for bar in bars.panels[0].bars]
        width = columns_for(look, labels) if len(bars.panels) == 1 else look.width or TWO_COLUMNS
        columns = min(len(bars.panels), max(1, int(width / _NARROWEST)))
        rows = -(-len(bars.panels) // columns)
        figure = page(look, width, 0.4 + rows * (0.6 + ROW * max(2, len(bars.panels[0].bars))))
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
        paints = colours.paints(bars.parts if bars.stacked_by == "role" else [])
        for axis, panel in zip(grid, bars.panels, strict=False):
            _panel(axis, panel, bars, paints, look)
            _frame(axis, panel, bars.per, width / columns < _ROOMY, look)
        rows_axis(grid[0], labels)
        for axis in grid[len(bars.panels) :]:
            axis.remove()
        legend_below(figure, _legend(bars, paints, look))
    return figure


def _panel(axis: Axes, panel: Panel, bars: EnergyBars, paints: Mapping[str, Paint], look: Look) -> None:
    for row, bar in enumerate(panel.bars):
        left = 0.0
        for part in (part for part in bars.parts if bar.parts.get(part)):
            axis.barh(row, bar.parts[part], left=left, height=0.74, label=part, **_paint(bar, part, paints), **EDGE)
            left += bar.parts[part]
        _end(axis, row, left, bar, look)
    longest = max((bar.total.high or bar.total.value for bar in panel.bars if bar.total), default=0.0)
    axis.set_xlim(0, (1.18 if panel.total else 1.3) * longest or 1.0)


def _frame(axis: Axes, panel: Panel, per: str, narrow: bool, look: Look) -> None:
    """Sets title and axis of a panel; in a narrow panel the title has two lines."""
    axis.set_title(_title(panel, narrow, look), loc="left")
    energy_axis(axis.xaxis, [bar.total.value for bar in panel.bars if bar.total], per, short=narrow)
    axis.locator_params(axis="x", nbins=4 if narrow else 5)
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)


def _paint(bar: Bar, part: str, paints: Mapping[str, Paint]) -> dict[str, Any]:
    if part in WORK:
        return colours.bar(colours.ROLES.get(bar.role, UNKNOWN), part)
    return colours.bar(paints[part])


def _end(axis: Axes, row: int, right: float, bar: Bar, look: Look) -> None:
    """Writes at the end of a bar its share of the run, or a network's energy with its interval."""
    if bar.total is None:
        text = "no price"
    elif bar.share is not None:
        text = f"{100 * bar.share:.0f} %" if bar.share >= 0.005 else "<1 %"
    else:
        text = energy_text(bar.total.value, 3)
        interval = arms(bar.total.value, bar.total.low, bar.total.high)
        if interval:
            axis.errorbar(bar.total.value, row, xerr=interval, fmt="none", ecolor="black", capsize=1.5, elinewidth=0.7)
            right = bar.total.high or right
    axis.annotate(text, (right, row), xytext=(3, 0), textcoords="offset points", va="center", fontsize=look.smallest)


def _title(panel: Panel, narrow: bool, look: Look) -> str:
    """The title of a panel: the price list, and the run's energy on it."""
    name, at_least = look.name(panel.hardware), "≥ " if panel.lower_bound else ""
    said = "lower bounds" if panel.lower_bound else ""
    if panel.total is not None:
        spread = f" ± {100 * panel.total.relative:.1f} %" if panel.total.relative is not None else ""
        said = f"{at_least}{energy_text(panel.total.value, 3)}{spread}"
    return ("\n" if narrow else ": ").join(filter(None, [name, said]))


def _legend(bars: EnergyBars, paints: Mapping[str, Paint], look: Look) -> list[tuple[Artist, str]]:
    """The legend of the parts; and of the roles, if the names of the bars are not the roles of their colours."""
    from matplotlib.patches import Patch

    if bars.stacked_by == "role":
        entries = [(look.name(part), colours.bar(paints[part])) for part in bars.parts]
    else:
        entries = [(look.name(WORK[part][0]), colours.bar(Paint("#404040"), part)) for part in bars.parts]
        shown = {bar.role: bar.name for bar in bars.panels[0].bars if bar.role in colours.ROLES}
        unnamed = [role for role, name in shown.items() if role != name]
        entries += [(look.name(role), {"facecolor": colours.ROLES[role].colour}) for role in unnamed]
    return [(Patch(**paint, **EDGE), name) for name, paint in entries]

"""Draws the energy ratios under all conventions and price lists as heat maps; purple means less energy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snnprof.agreement import short_times
from snnprof.charts.agreement import Matrix, Panel, Square
from snnprof.render.figures.look import TWO_COLUMNS, Look
from snnprof.render.figures.style import ROW, legend_below, page, rows_axis, styled

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "PuOr"
"""Orange is more, purple is less; colour-blind readers can distinguish them."""
NOT_PRICED = "#e4e4e4"
MOST_ABREAST, NARROW = 2, 5.0
_LEAST, _MOST = 0.2, 3.0
"""The smallest and largest power of 2 at which the colour scale ends; it ends in arrows if ratios lie beyond."""
_DARK = 0.45
LOWER_BOUND = "†"


def draw_matrix(matrix: Matrix, look: Look) -> Figure:
    """Draws a panel per network; each cell has a number, a ring if it is undecided, and is grey if it is not priced."""
    columns = min(MOST_ABREAST if (look.width or TWO_COLUMNS) > NARROW else 1, len(matrix.panels))
    rows = -(-len(matrix.panels) // columns)
    height = 1.15 + rows * (0.35 + ROW * len(matrix.conventions)) + 0.25
    with styled(look):
        figure = page(look, TWO_COLUMNS, height)
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
        image: Any = None
        for axis, panel in zip(axes, matrix.panels, strict=False):
            image = _draw(axis, panel, matrix, look)
        for axis in axes[len(matrix.panels) :]:
            axis.set_visible(False)
        for axis in axes[max(0, len(matrix.panels) - columns) : len(matrix.panels)]:
            axis.tick_params(labelbottom=True)
        _scale(figure, image, list(axes), matrix)
        numbers = _have_room(figure, axes[0], list(axes[: len(matrix.panels)]), len(matrix.hardware))
        legend_below(figure, _legend(matrix, numbers))
    return figure


def _have_room(figure: Figure, first: Axes, axes: list[Axes], columns: int) -> bool:
    """Whether all numbers fit into their cells; if not, removes them and leaves colours and marks."""
    figure.draw_without_rendering()
    room = first.get_window_extent().width / columns
    texts = [text for axis in axes for text in axis.texts]
    if all(text.get_window_extent().width <= room for text in texts):
        return True
    for text in texts:
        text.set_text(LOWER_BOUND if text.get_text().endswith(LOWER_BOUND) else "")
    return False


def _draw(axis: Axes, panel: Panel, matrix: Matrix, look: Look) -> Any:
    nothing = float("nan")
    powers = [[nothing if square.power is None else square.power for square in row] for row in panel.rows]
    reach = min(max(matrix.reach, _LEAST), _MOST)
    image = axis.imshow(powers, aspect="auto", cmap=f"{COLOURS}_r", norm=_norm(reach), interpolation="nearest")
    axis.set_facecolor(NOT_PRICED)
    axis.set_title(
        f"{look.name(panel.name)}\nneeds {panel.claim} in {panel.holding} of {panel.combinations}", fontsize=look.small
    )
    rows_axis(axis, [look.name(name, 30) for name in matrix.conventions])
    axis.set_xticks(range(len(matrix.hardware)), [look.name(id, 24) for id in matrix.hardware])
    axis.tick_params(axis="x", length=0, labelrotation=90)
    for row in matrix.groups:
        axis.axhline(row - 0.5, color="black", linewidth=0.6)
    for row, squares in enumerate(panel.rows):
        for column, square in enumerate(squares):
            _mark(axis, square, (column, row), reach, look)
    return image


def _norm(reach: float) -> Any:
    """The colour scale: the square root of the power of 2, so that small differences show next to large ratios."""
    from matplotlib.colors import FuncNorm
    from numpy import abs, sign, sqrt, square

    return FuncNorm((lambda x: sign(x) * sqrt(abs(x)), lambda y: sign(y) * square(y)), vmin=-reach, vmax=reach)


def _mark(axis: Axes, square: Square, place: tuple[int, int], reach: float, look: Look) -> None:
    """Draws the number of a cell, and a ring if it is undecided."""
    from matplotlib.patches import Rectangle

    column, row = place
    if square.ratio is not None and square.power is not None:
        dark = abs(square.power) > _DARK * reach
        axis.text(
            column, row, f"{short_times(square.ratio)}{LOWER_BOUND if square.lower_bound else ''}",
            ha="center", va="center", fontsize=max(4.0, look.smallest - 1.5),
            color="#ffffff" if dark else "#6a6a6a" if square.faint else "#000000",
            style="italic" if square.faint else "normal",
        )  # fmt: skip
    if square.verdict == "undecided":
        axis.add_patch(Rectangle((column - 0.46, row - 0.42), 0.92, 0.84, **_RING))


_RING: Any = {"fill": False, "edgecolor": "#d00000", "linewidth": 1.0}


def _scale(figure: Figure, image: Any, axes: list[Axes], matrix: Matrix) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

    powers = [
        square.power for panel in matrix.panels for row in panel.rows for square in row if square.power is not None
    ]
    low, high = min(powers, default=0.0) < -_MOST, max(powers, default=0.0) > _MOST
    beyond = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((low, high), "neither")
    bar = figure.colorbar(image, ax=axes, fraction=0.025, pad=0.01, aspect=40, extend=beyond)
    bar.ax.yaxis.set_major_locator(MultipleLocator(1) if matrix.reach > 1.5 else MaxNLocator(5))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda power, _: short_times(2**power)))
    bar.set_label("energy × that of the baseline")


def _legend(matrix: Matrix, numbers: bool) -> list[tuple[Artist, str]]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    squares = [square for panel in matrix.panels for row in panel.rows for square in row]
    entries: list[tuple[Artist, str]] = []
    if any(square.verdict == "undecided" for square in squares):
        entries.append((Patch(**_RING), "undecided: the 95 % interval contains 1"))
    if any(square.ratio is None for square in squares):
        entries.append((Patch(facecolor=NOT_PRICED), "not priced"))
    if any(square.lower_bound for square in squares):
        entries.append((Line2D([], [], linestyle="none"), f"{LOWER_BOUND} both are lower bounds"))
    if numbers and any(square.faint for square in squares):
        entries.append((Line2D([], [], linestyle="none"), "italic: as the list before it, not counted again"))
    return [*entries, (Line2D([], [], linestyle="none"), f"baseline: {matrix.baseline}")]

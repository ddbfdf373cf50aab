"""Figures for papers: no pyplot, embedded fonts, a colour-blind-safe palette readable in grey, the same bytes twice."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snnprof.render.cleaning import line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

ONE_COLUMN, TWO_COLUMNS = 3.5, 7.16
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
HATCHES = ("", "///", "\\\\\\", "xxx", "---", "|||", "+++", "//")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SUFFIXES = (".pdf", ".svg", ".png")
_METADATA: Mapping[str, dict[str, None]] = {
    "pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None},
}  # fmt: skip
_STYLE: Any = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7,
    "legend.fontsize": 7, "font.family": "DejaVu Sans", "pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none",
    "svg.hashsalt": "snnprof", "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    "hatch.linewidth": 0.4, "figure.constrained_layout.use": True, "savefig.dpi": 300, "axes.axisbelow": True,
    "text.parse_math": False, "grid.linewidth": 0.4, "grid.color": "#d0d0d0", "legend.frameon": False,
}  # fmt: skip
_ROW_HEIGHT = 0.145
_LONGEST_LABEL = 34


@dataclass(frozen=True)
class Bars:
    """Stacked horizontal bars of one panel.

    Attributes:
        stacks: for each part of the stack, one value per label; the same parts, in the same order, in each panel, so
            that a part has one colour in all figures.
    """

    title: str
    axis: str
    labels: tuple[str, ...]
    stacks: Mapping[str, tuple[float, ...]]


def stacked_bars(panels: Sequence[Bars]) -> Figure:
    """One panel for each of several machines, the same rows in each."""
    rows = len(panels[0].labels)
    names = list(panels[0].stacks)
    with _styled():
        figure = _figure(TWO_COLUMNS, 0.85 + _ROW_HEIGHT * rows)
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, panel in zip(axes, panels, strict=True):
            _stack(axis, panel, names)
        _rows_axis(axes[0], panels[0].labels)
        handles = _handles(axes, names)
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(4, max(1, len(handles))))
    return figure


def _stack(axis: Axes, panel: Bars, names: Sequence[str]) -> None:
    left = [0.0] * len(panel.labels)
    for position, name in enumerate(names):
        values = panel.stacks[name]
        if not any(values):
            continue
        axis.barh(
            range(len(left)), values, left=left, height=0.72, label=name, color=_of(PALETTE, position),
            hatch=_of(HATCHES, position), edgecolor="#222222", linewidth=0.3,
        )  # fmt: skip
        left = [a + b for a, b in zip(left, values, strict=True)]
    longest = max(left, default=0.0)
    axis.set_xlim(0, 1.05 * longest or 1.0)
    if not longest:
        axis.text(0.5, 0.5, "no work with a price", ha="center", va="center", transform=axis.transAxes)
    axis.set_title(_short(panel.title))
    axis.set_xlabel(panel.axis)
    axis.tick_params(axis="y", length=0)
    axis.locator_params(axis="x", nbins=5)
    axis.grid(axis="x")


def _handles(axes: Sequence[Axes], names: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, name in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    return {name: found[name] for name in names if name in found}


@dataclass(frozen=True)
class Levels:
    """One value per row, rows in groups.

    Attributes:
        groups: the group of each row; a band marks where it changes.
    """

    axis: str
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    values: tuple[float | None, ...]


def row_values(levels: Levels) -> Figure:
    """A bar per row with its number; unknown rows say so."""
    with _styled():
        figure = _figure(_width(levels.labels), 0.6 + _ROW_HEIGHT * len(levels.labels))
        axis = figure.subplots()
        known = [0.0 if value is None else value for value in levels.values]
        order = list(dict.fromkeys(levels.groups))
        colours = [_of(PALETTE[:2], order.index(group)) for group in levels.groups]
        axis.barh(range(len(known)), known, height=0.72, color=colours, edgecolor="#222222", linewidth=0.3)
        texts = ["–" if value is None else f"{value:.3f}" for value in levels.values]
        for row, (value, text) in enumerate(zip(known, texts, strict=True)):
            axis.annotate(
                text, (value, row), xytext=(2, 0), textcoords="offset points", va="center", fontsize=6,
            )  # fmt: skip
        for row in _changes(levels.groups):
            axis.axhline(row - 0.5, color="#999999", linewidth=0.4)
        axis.set_xlim(0, 1.18 * max([*known, 1e-3]))
        axis.locator_params(axis="x", nbins=5)
        axis.set_xlabel(levels.axis)
        _rows_axis(axis, levels.labels)
    return figure


@dataclass(frozen=True)
class Grid:
    """Values by row and column."""

    axis: str
    scale: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


def heat_map(grid: Grid) -> Figure:
    """Rows × columns in a palette that stays ordered in grey."""
    with _styled():
        width = ONE_COLUMN if len(grid.columns) <= 8 else TWO_COLUMNS
        figure = _figure(max(width, _width(grid.rows)), 0.7 + _ROW_HEIGHT * len(grid.rows))
        axis = figure.subplots()
        image = axis.imshow(grid.values, aspect="auto", cmap="cividis", vmin=0, interpolation="nearest")
        _rows_axis(axis, grid.rows)
        step = -(-len(grid.columns) // 16)
        shown = range(0, len(grid.columns), step)
        axis.set_xticks(list(shown), [grid.columns[position] for position in shown])
        axis.set_xlabel(grid.axis)
        figure.colorbar(image, ax=axis, label=grid.scale, fraction=0.06, pad=0.02)
    return figure


@dataclass(frozen=True)
class Line:
    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


def lines(series: Sequence[Line], x_axis: str, y_axis: str, log_y: bool = False) -> Figure:
    """Markers and lines; the legend stands outside, so that it never covers data."""
    with _styled():
        figure = _figure(TWO_COLUMNS, max(2.4, 0.5 + 0.16 * len(series)))
        axis = figure.subplots()
        for position, line in enumerate(series):
            axis.plot(
                line.x, line.y, label=_short(line.label), color=_of(PALETTE, position), marker=_of(MARKERS, position),
                markersize=3.5, linewidth=0.9, linestyle=_of(("-", "--", "-.", ":"), position // len(PALETTE)),
            )  # fmt: skip
        _frame(axis, x_axis, y_axis)
        axis.locator_params(axis="x", integer=True)
        if log_y:
            axis.set_yscale("log")
            _plain_decades(axis.yaxis)
        figure.legend(loc="outside right upper")
    return figure


@dataclass(frozen=True)
class Point:
    """A labelled point.

    Attributes:
        x_error, y_error: how far below and above the value its interval reaches; null where there is none.
        published: drawn hollow.
    """

    label: str
    x: float
    y: float
    x_error: tuple[float, float] | None = None
    y_error: tuple[float, float] | None = None
    published: bool = False


def points(marks: Sequence[Point], x_axis: str, y_axis: str) -> Figure:
    """A scatter of few named points, logarithmic in x where they span decades."""
    with _styled():
        figure = _figure(TWO_COLUMNS, max(2.6, 0.5 + 0.17 * len(marks)))
        axis = figure.subplots()
        for position, mark in enumerate(marks):
            _point(axis, mark, position)
        smallest, largest = min(mark.x for mark in marks), max(mark.x for mark in marks)
        if smallest > 0 and largest > 20 * smallest:
            axis.set_xscale("log")
            _plain_decades(axis.xaxis)
        axis.margins(0.08)
        _frame(axis, x_axis, y_axis)
        figure.legend(loc="outside right upper")
    return figure


def _point(axis: Axes, mark: Point, position: int) -> None:
    colour = _of(PALETTE, position)
    x_error, y_error = ([[e[0]], [e[1]]] if e else None for e in (mark.x_error, mark.y_error))
    axis.errorbar(mark.x, mark.y, xerr=x_error, yerr=y_error, fmt="none", ecolor=colour, capsize=2, elinewidth=0.7)
    axis.plot(
        [mark.x], [mark.y], label=_short(mark.label, 48), color=colour, markersize=6, linestyle="none",
        marker=_of(MARKERS, position + position // len(PALETTE)),
        markerfacecolor="white" if mark.published else colour,
    )  # fmt: skip


@dataclass(frozen=True)
class Pictures:
    """Images in the first column, a map over each in the others.

    Attributes:
        images: [H, W] or [H, W, 3] in 0 … 1.
        labels: of each image; may be empty.
        columns: of the maps.
        maps: for each column one array [h, w] per image, not negative.
        scale: what the maps hold.
    """

    images: Sequence[Any]
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    maps: tuple[tuple[Any, ...], ...]
    scale: str


def pictures(content: Pictures) -> Figure:
    """One row per image; each column has a scale of its own, from 0 to its largest value."""
    rows, columns = len(content.images), 1 + len(content.columns)
    with _styled():
        width = ONE_COLUMN if columns <= 4 else TWO_COLUMNS
        side = min(1.2, (width - 1.1) / columns)
        figure = _figure(width, 0.55 + (side + 0.06) * rows)
        axes = figure.subplots(rows, columns, squeeze=False)
        for row, image in enumerate(content.images):
            _image(axes[row][0], image, "gray", 1.0)
            axes[row][0].set_ylabel(line(content.labels[row]), rotation=0, ha="right", va="center")
        for position, (name, maps) in enumerate(zip(content.columns, content.maps, strict=True), start=1):
            largest = max(float(values.max()) for values in maps)
            for row, values in enumerate(maps):
                shown = _image(axes[row][position], values / (largest or 1.0), "inferno", 1.0)
            axes[0][position].set_title(f"{_short(name, 16)}\nmax {largest:.2g}")
        axes[0][0].set_title("input")
        figure.colorbar(
            shown, ax=axes, label=f"{content.scale}\n(share of the column's max)", fraction=0.04, pad=0.02, aspect=30
        )
    return figure


def _image(axis: Axes, values: Any, palette: str, highest: float) -> Any:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    return axis.imshow(values, cmap=palette, vmin=0, vmax=highest, interpolation="nearest")


# -- saving ----------------------------------------------------------------------------------------------------


def encoded(figure: Figure, suffix: str) -> bytes:
    """The figure as the bytes of a file; the same bytes each time.

    Args:
        suffix: `.pdf`, `.svg` or `.png`.
    """
    form = suffix.lstrip(".")
    stream = io.BytesIO()
    with _styled():
        figure.savefig(stream, format=form, metadata=_METADATA[form])
    return stream.getvalue()


def inline_svg(figure: Figure) -> str:
    """The figure as an `<svg>` element for a web page, without the XML prologue."""
    text = encoded(figure, ".svg").decode("utf-8")
    return text[text.index("<svg") :]


@contextmanager
def _styled() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _width(labels: Sequence[str]) -> float:
    """Long names leave a narrow figure no room for its bars."""
    return ONE_COLUMN if max(map(len, labels), default=0) <= 26 else TWO_COLUMNS


def _rows_axis(axis: Axes, labels: Sequence[str]) -> None:
    axis.set_yticks(range(len(labels)), [_short(label) for label in labels])
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)


def _frame(axis: Axes, x_axis: str, y_axis: str) -> None:
    axis.set_xlabel(x_axis)
    axis.set_ylabel(y_axis)
    axis.grid(True)


def _plain_decades(axis: Axis) -> None:
    """Numbers such as 0.01 instead of powers in mathematical type, which names with $ or _ must not be set in."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0,) if high > 50 * low else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.15f}".rstrip("0").rstrip(".")))
    axis.set_minor_formatter(NullFormatter())


def _changes(groups: Sequence[str]) -> list[int]:
    return [row for row in range(1, len(groups)) if groups[row] != groups[row - 1]]


def _of(values: Sequence[Any], position: int) -> Any:
    return values[position % len(values)]


def _short(text: str, length: int = _LONGEST_LABEL) -> str:
    from snnprof.render.terminal import shortened

    return shortened(line(text), length)

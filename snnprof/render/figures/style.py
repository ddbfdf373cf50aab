"""The parts that all figures share: fonts, lines, the page, legends, axes and files.

The same data give the same bytes every time.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from snnprof.errors import SnnprofError
from snnprof.render.figures.look import ONE_COLUMN, TWO_COLUMNS, Look
from snnprof.render.table import Column, scale

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SUFFIXES = (".pdf", ".svg", ".png")
EDGE: Any = {"edgecolor": "#222222", "linewidth": 0.4}
ROW = 0.145  # height of a row in inches
NOTHING = 0.01
"""The end of an axis of shares if all of them are 0."""
_SEVERAL_DECADES = 200
_ENERGY = Column("energy_pj", kind="energy")
_COUNT = Column("count", kind="count")
_METADATA: Mapping[str, dict[str, None]] = {
    "pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None},
}  # fmt: skip
_STYLE: Any = {
    "pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "snnprof",
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6, "hatch.linewidth": 0.4,
    "savefig.dpi": 300, "axes.axisbelow": True, "text.parse_math": False, "grid.linewidth": 0.4,
    "grid.color": "#d9d9d9", "legend.frameon": False, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "xtick.major.size": 2.5, "ytick.major.size": 2.5, "xtick.minor.size": 1.5, "ytick.minor.size": 1.5,
}  # fmt: skip


@contextmanager
def styled(look: Look) -> Iterator[None]:
    """Sets matplotlib's style inside the block, and restores it at the end.

    Raises:
        SnnprofError: the font is not installed.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        matplotlib.rcParams.update(_type(look))
        yield


def _type(look: Look) -> Any:
    """The settings of fonts; signs that the chosen font lacks come from the font that matplotlib includes."""
    from matplotlib.font_manager import fontManager

    families = {font.name for font in fontManager.ttflist}
    if look.font not in families:
        raise SnnprofError(
            f"there is no font {look.font!r} on this machine",
            hint=f"--font takes one of: {', '.join(sorted(families)[:40])}",
        )
    small = look.small
    return {
        "font.family": list(dict.fromkeys([look.font, "DejaVu Sans"])), "font.size": look.size,
        "axes.titlesize": look.size, "axes.labelsize": look.size, "xtick.labelsize": small, "ytick.labelsize": small,
        "legend.fontsize": small, "figure.titlesize": look.size, "legend.title_fontsize": small,
    }  # fmt: skip


def page(look: Look, width: float, height: float) -> Figure:
    """An empty figure of the user's width, else of `width` inches; its height grows with the font size."""
    from matplotlib.figure import Figure

    title, larger = 0.22 if look.title else 0.0, max(1.0, look.size / Look.size)
    figure = Figure(figsize=(look.width or width, larger * (height + title)), layout="constrained")
    if look.title:
        figure.suptitle(look.name(look.title, 200))
    return figure


def columns_for(look: Look, labels: Sequence[str]) -> float:
    """The width in inches: the user's, else one column, or two if names are long."""
    return look.width or (ONE_COLUMN if max(map(len, labels), default=0) <= 26 else TWO_COLUMNS)


# -- parts of a figure -----------------------------------------------------------------------------------------


def legend_below(
    figure: Figure, entries: Sequence[tuple[Artist, str]], title: str = "", most: int | None = None
) -> None:
    """Adds a legend below the figure, where it covers no data, in as many columns as fit, at most `most`."""
    if not entries:
        return
    handles, labels = [handle for handle, _ in entries], [label for _, label in entries]
    for columns in range(min(len(entries), most or len(entries)), 0, -1):
        legend = figure.legend(
            handles, labels, loc="outside lower center", ncols=columns, title=title or None, columnspacing=1.2,
            handlelength=1.6, handletextpad=0.5, borderaxespad=0.1, borderpad=0.2, labelspacing=0.25,
        )  # fmt: skip
        figure.draw_without_rendering()
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def rows_axis(axis: Axes, labels: Sequence[str]) -> None:
    """Sets the names of the rows of an axis, the first on top."""
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)


def slanted_if_crowded(figure: Figure, axis: Axes) -> None:
    """Rotates the names under an axis if they would overlap."""
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axis.get_xticklabels()]
    if any(one.x1 + 3 > other.x0 for one, other in pairwise(boxes)):
        for label in axis.get_xticklabels():
            label.set(rotation=40, ha="right", va="top", rotation_mode="anchor")


def energy_axis(axis: Axis, picojoules: Sequence[float], per: str = "per inference", short: bool = False) -> None:
    """Prints the ticks in a unit that fits the values; the data stay in pJ."""
    from matplotlib.ticker import FuncFormatter

    unit, size = scale(_ENERGY, [abs(value) for value in picojoules])
    axis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value / size)))
    axis.set_label_text(f"{unit} {per}" if short else f"energy {per} ({unit})")


def count_axis(axis: Axis, counts: Sequence[float], what: str) -> None:
    """Prints the ticks in thousands, millions or more, as fits the values; the data stay counts."""
    from matplotlib.ticker import FuncFormatter

    unit, size = scale(_COUNT, [abs(value) for value in counts])
    axis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value / size)))
    axis.set_label_text(f"{what} ({unit})" if unit else what)


def percent_axis(axis: Axis, text: str) -> None:
    """Prints the ticks in percent; the data stay fractions."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: _plain(100 * value)))
    axis.set_label_text(f"{text} (%)")


def decades(axis: Axis) -> None:
    """Sets the ticks of a logarithmic axis: fewer per decade on a wide axis; no numbers at minor ticks."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    low, high = axis.get_view_interval()
    wide = high > _SEVERAL_DECADES * low
    axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axis.set_minor_locator(LogLocator(subs=(2.0, 5.0)) if wide else NullLocator())
    axis.set_minor_formatter(NullFormatter())


def arms(value: float, low: float | None, high: float | None) -> tuple[list[float], list[float]] | None:
    """The lengths of an error bar below and above its value, as matplotlib takes them; None without an interval."""
    return None if low is None or high is None else ([max(0.0, value - low)], [max(0.0, high - value)])


def _plain(value: float) -> str:
    """The text of a tick, without powers of ten and without floating-point noise.

    >>> _plain(0.30000000000000004), _plain(25000.0), _plain(1e-5)
    ('0.3', '25000', '0.00001')
    """
    text = f"{value:.10f}".rstrip("0").rstrip(".")
    return (text if float(text or 0) or not value else f"{value:.3g}").replace("-", "−")


# -- files -----------------------------------------------------------------------------------------------------


def encoded(figure: Figure, suffix: str) -> bytes:
    """The figure as the bytes of a file; the same figure gives the same bytes every time.

    Args:
        figure: the figure.
        suffix: `.pdf`, `.svg` or `.png`.
    """
    form = suffix.lstrip(".")
    stream = io.BytesIO()
    with styled(Look()):
        figure.savefig(stream, format=form, metadata=_METADATA[form])
    return stream.getvalue()

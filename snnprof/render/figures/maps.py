"""Draws attention maps over their images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snnprof.charts.maps import Overlays
from snnprof.render.figures.look import ONE_COLUMN, TWO_COLUMNS, Look
from snnprof.render.figures.style import page, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_maps(overlays: Overlays, look: Look) -> Figure:
    """Draws a row per sample: the image, then each block's map over it; all maps have the same colour scale."""
    rows, columns = len(overlays.images), 1 + len(overlays.columns)
    with styled(look):
        width = look.width or (ONE_COLUMN if columns <= 4 else TWO_COLUMNS)
        side = min(1.1, (width - 1.2) / columns)
        figure = page(look, width, 0.35 + (side + 0.06) * rows)
        axes = figure.subplots(rows, columns, squeeze=False)
        for row, (image, label) in enumerate(zip(overlays.images, overlays.labels, strict=True)):
            _image(axes[row][0], image)
            axes[row][0].set_ylabel(look.name(label, 18), rotation=0, ha="right", va="center", fontsize=look.small)
            for place, maps in enumerate(overlays.maps, start=1):
                _image(axes[row][place], image)
                shown = _map(axes[row][place], image, maps[row], overlays.largest)
        axes[0][0].set_title("input")
        for axis, name in zip(axes[0][1:], overlays.columns, strict=True):
            axis.set_title(look.name(name, 14))
        bar = figure.colorbar(shown, ax=axes, label=overlays.scale, fraction=0.05, pad=0.02, aspect=25)
        if bar.solids is not None:
            bar.solids.set_alpha(1.0)
    return figure


def _image(axis: Axes, values: Any) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.imshow(values, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _map(axis: Axes, image: Any, values: Any, largest: float) -> Any:
    """Draws a map stretched to the size of the image, so that each token covers the pixels from which it was made."""
    height, width = image.shape[:2]
    return axis.imshow(
        values, cmap="inferno", vmin=0, vmax=largest, alpha=0.8, interpolation="nearest",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )  # fmt: skip

"""Names beside their points, where they cover neither points, nor whiskers, nor each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

_RINGS = (5.0, 9.0, 15.0, 23.0, 33.0, 45.0, 60.0, 80.0)  # points
_DIRECTIONS = 16
_MARKER = 4.0  # points from the middle of a marker to its edge
_LEADER = 10.0
"""Beyond this many points a thin line leads from the name to its point."""


def label_points(
    figure: Figure, axis: Axes, places: Sequence[tuple[float, float]], names: Sequence[str], size: float,
    whiskers: Sequence[Bbox] = (),
) -> None:  # fmt: skip
    """Puts a name at each point: the nearest place that is free; where none is, the one that covers least.

    Args:
        places: in data coordinates.
        whiskers: boxes in data coordinates that names had better not cover.
    """
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    point = figure.dpi / 72
    middles = [tuple(axis.transData.transform(place)) for place in places]
    taken = [Bbox([[x - _MARKER * point, y - _MARKER * point], [x + _MARKER * point, y + _MARKER * point]])
             for x, y in middles]  # fmt: skip
    lighter = [axis.transData.transform_bbox(box).padded(point) for box in whiskers]
    for (x, y), place, name in zip(middles, places, names, strict=True):
        text = _annotate(axis, place, name, size, (0, 0), 0)
        extent = text.get_window_extent()
        text.remove()
        wide, high = extent.width / point, extent.height / point
        tried = [
            (_cost(box, taken, lighter, axis.bbox) + 0.02 * ring * point, ring, dx, dy, box)
            for ring, dx, dy in _offsets(wide, high)
            for box in [_box(x, y, dx, dy, wide, high, point)]
        ]
        _, ring, dx, dy, box = min(tried, key=lambda each: each[0])
        taken.append(box)
        _annotate(axis, place, name, size, (dx, dy), ring)


def _offsets(wide: float, high: float) -> Iterator[tuple[float, float, float]]:
    """Ring, and the offset in points of the left end of the text's middle line."""
    for ring in _RINGS:
        for step in range(_DIRECTIONS):
            angle = 2 * math.pi * step / _DIRECTIONS
            x, y = math.cos(angle), math.sin(angle)
            middle = (_MARKER + ring) * x + wide / 2 * max(-1.0, min(1.0, 1.5 * x))
            yield ring, middle - wide / 2, (_MARKER + ring) * y + high / 2 * y


def _box(x: float, y: float, dx: float, dy: float, wide: float, high: float, point: float) -> Bbox:
    from matplotlib.transforms import Bbox

    return Bbox.from_bounds(x + dx * point, y + (dy - high / 2) * point, wide * point, high * point)


def _cost(box: Bbox, taken: Sequence[Bbox], lighter: Sequence[Bbox], inside: Bbox) -> float:
    """Square pixels that a name would cover, whiskers at a tenth; leaving the axes costs most."""
    outside = box.width * box.height - _common(box, inside)
    return 20 * outside + sum(_common(box, each) for each in taken) + 0.1 * sum(_common(box, each) for each in lighter)


def _common(a: Bbox, b: Bbox) -> float:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width * height if width > 0 and height > 0 else 0.0


def _annotate(
    axis: Axes, place: tuple[float, float], name: str, size: float, offset: tuple[float, float], ring: float
) -> Annotation:
    """A name at an offset in points; outside the layout, which its place depends on."""
    leader = {"arrowstyle": "-", "linewidth": 0.4, "color": "#777777", "shrinkA": 0, "shrinkB": 3}
    text = axis.annotate(
        name, place, xytext=offset, textcoords="offset points", fontsize=size, va="center",
        arrowprops=leader if ring > _LEADER else None,
    )  # fmt: skip
    text.set_in_layout(False)
    return text

"""Places names next to points so that they cover no points, no lines and not each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

Place = tuple[float, float]
_RINGS = (4.0, 7.0, 12.0, 18.0, 26.0, 36.0, 48.0, 64.0, 84.0)  # points between a marker and its name
_DIRECTIONS = 24
_MARKER = 4.0  # points from the middle of a marker to its edge
_CROWD = 40.0  # points: markers with the most neighbours within this distance are labelled first
_UNMISTAKABLE = 1.3
"""Every other point must be at least this many times farther from a name than the name's own point."""
_LEADER = 10.0
"""A name farther away than this (in points) is connected to its point by a thin line."""


def label_points(
    figure: Figure, axis: Axes, places: Sequence[Place], names: Sequence[str], size: float,
    lines: Sequence[Sequence[Place]] = (),
) -> None:  # fmt: skip
    """Puts a name next to each point: at the nearest free place, else at the one that covers least.

    Args:
        figure: the figure.
        axis: the axes of the points.
        places: the points in data coordinates.
        names: the name of each point.
        size: font size in points.
        lines: lines in data coordinates that names should not cover.
    """
    figure.draw_without_rendering()
    point = figure.dpi / 72
    pixels = [_pixels(axis, place) for place in places]
    room = _Room(axis.bbox, pixels, [_around(middle, _MARKER * point) for middle in pixels])
    room.lines += [dot for line in lines for dot in _dots([_pixels(axis, place) for place in line])]
    crowded = sorted(range(len(places)), key=lambda number: -_neighbours(pixels, number, _CROWD * point))
    for middle, place, name in ((pixels[number], places[number], names[number]) for number in crowded):
        text = _annotate(axis, place, name, size, (0, 0), 0)
        wide, high = (side / point for side in text.get_window_extent().size)
        text.remove()
        tried = []
        for ring, dx, dy in _offsets(wide, high):
            box = _box(middle, (dx * point, dy * point), (wide * point, high * point))
            tried.append((room.cost(box, middle, ring > _LEADER) + 0.5 * ring * point, ring, (dx, dy), box))
        _, ring, offset, box = min(tried, key=lambda each: each[0])
        room.taken.append(box)
        _annotate(axis, place, name, size, offset, ring)


@dataclass
class _Room:
    """The parts of a figure that names should not cover; in pixels.

    Attributes:
        inside: the box of the axes, in which names should stay.
        markers: centres of all markers.
        taken: boxes of the markers and of the names placed so far.
        lines: dots on all lines.
    """

    inside: Bbox
    markers: Sequence[Place]
    taken: list[Bbox]
    lines: list[Place] = field(default_factory=list)

    def cost(self, box: Bbox, of: Place, leader: bool) -> float:
        """The cost of a name in `box` for the marker at `of`: mainly the area, in square pixels, that it covers.

        Leaving the axes costs most per pixel. Crossed lines, and a place that looks like another point's name, cost a
        fixed amount each.
        """
        outside = box.width * box.height - _common(box, self.inside)
        covered = sum(_common(box, each) for each in self.taken)
        crossed = sum(box.contains(*dot) for dot in self.lines)
        way = _dots([of, _nearest(box, of)]) if leader else []
        met = sum(each.contains(*dot) for dot in way for each in self.taken if not each.contains(*of))
        away = math.dist(_nearest(box, of), of)
        others = (other for other in self.markers if other != of and not leader)
        nearer = sum(math.dist(_nearest(box, other), other) < _UNMISTAKABLE * away for other in others)
        return 20 * outside + 5 * covered + 10 * crossed + 200 * met + 200 * nearer


def _offsets(wide: float, high: float) -> Iterator[tuple[float, float, float]]:
    """Yields the offsets to try: the ring, and the offset in points of the left end of the text's middle line.

    The nearest ring comes first, and on each ring the place to the right of the point.
    """
    for ring in _RINGS:
        for step in range(_DIRECTIONS):
            angle = 2 * math.pi * step / _DIRECTIONS
            x, y = math.cos(angle), math.sin(angle)
            middle = (_MARKER + ring) * x + wide / 2 * max(-1.0, min(1.0, 1.5 * x))
            yield ring, middle - wide / 2, (_MARKER + ring) * y + high / 2 * y


def _neighbours(pixels: Sequence[Place], number: int, reach: float) -> int:
    return sum(math.dist(pixels[number], other) < reach for other in pixels)


def _pixels(axis: Axes, place: Place) -> Place:
    x, y = axis.transData.transform(place)
    return float(x), float(y)


def _around(middle: Place, arm: float) -> Bbox:
    return _box(middle, (-arm, 0), (2 * arm, 2 * arm))


def _box(middle: Place, offset: Place, size: Place) -> Bbox:
    from matplotlib.transforms import Bbox

    return Bbox.from_bounds(middle[0] + offset[0], middle[1] + offset[1] - size[1] / 2, *size)


def _nearest(box: Bbox, to: Place) -> Place:
    return min(max(to[0], box.x0), box.x1), min(max(to[1], box.y0), box.y1)


def _dots(line: Sequence[Place]) -> list[Place]:
    """Dots along a line, about four pixels apart."""
    dots = []
    for (x, y), (to_x, to_y) in pairwise(line):
        count = max(1, int(math.hypot(to_x - x, to_y - y) / 4))
        dots += [(x + (to_x - x) * step / count, y + (to_y - y) * step / count) for step in range(count + 1)]
    return dots


def _common(a: Bbox, b: Bbox) -> float:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width * height if width > 0 and height > 0 else 0.0


def _annotate(axis: Axes, place: Place, name: str, size: float, offset: Place, ring: float) -> Annotation:
    """Draws a name at an offset in points. The layout ignores it, since its place was chosen after the layout."""
    leader = {"arrowstyle": "-", "linewidth": 0.4, "color": "#777777", "shrinkA": 0, "shrinkB": 3}
    text = axis.annotate(
        name, place, xytext=offset, textcoords="offset points", fontsize=size, va="center", linespacing=1.0,
        arrowprops=leader if ring > _LEADER else None,
    )  # fmt: skip
    text.set_in_layout(False)
    return text

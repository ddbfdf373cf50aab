"""Names beside their points, where they cover neither points, nor lines, nor each other."""

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
_RINGS = (4.0, 7.0, 12.0, 18.0, 26.0, 36.0, 48.0, 64.0, 84.0)  # points
_DIRECTIONS = 24
_MARKER = 4.0  # points from the middle of a marker to its edge
_CROWD = 40.0  # points within which a marker's neighbours count: the most crowded chooses first
_UNMISTAKABLE = 1.3
"""How many times farther than its own point all others lie from a name."""
_LEADER = 10.0
"""Beyond this many points a thin line leads from the name to its point."""


def label_points(
    figure: Figure, axis: Axes, places: Sequence[Place], names: Sequence[str], size: float,
    lines: Sequence[Sequence[Place]] = (),
) -> None:  # fmt: skip
    """Puts a name at each point: the nearest place that is free; where none is, the one that covers least.

    Args:
        places: in data coordinates.
        size: of the type, in points.
        lines: in data coordinates, each through some places; names had better not cover them.
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
    """What names may not cover; in pixels.

    Attributes:
        inside: names stay in here.
        markers: middles of all markers.
        taken: markers, and names that have their place.
        lines: dots on all lines.
    """

    inside: Bbox
    markers: Sequence[Place]
    taken: list[Bbox]
    lines: list[Place] = field(default_factory=list)

    def cost(self, box: Bbox, of: Place, leader: bool) -> float:
        """Square pixels that a name here would cover, and what it costs to be read as another point's name.

        Leaving the axes costs most, lines little.
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
    """Ring, and the offset in points of the left end of the text's middle line, the right side of the point first."""
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
    """A dot every four pixels or so."""
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
    """A name at an offset in points; outside the layout, which its place depends on."""
    leader = {"arrowstyle": "-", "linewidth": 0.4, "color": "#777777", "shrinkA": 0, "shrinkB": 3}
    text = axis.annotate(
        name, place, xytext=offset, textcoords="offset points", fontsize=size, va="center", linespacing=1.0,
        arrowprops=leader if ring > _LEADER else None,
    )  # fmt: skip
    text.set_in_layout(False)
    return text

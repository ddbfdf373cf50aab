"""How an operand is read: in the order of memory, whatever its layout, and how its sums go back into its own order."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from snnprof.record.reduce import Array, Steps, axes_of


class Layout(NamedTuple):
    """A step as its dimensions in the order of memory, neighbours joined, summed over some.

    Attributes:
        shape, strides: of the operand so arranged, the steps first.
        sums: shape of a step's sums, 1 along what is summed over.
        added: how many values a sum takes, at most.
        apart, order: the shape of these sums with no dimensions joined, and how to arrange it as it was asked for;
            no order where they are so arranged.
        result: what that results in.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    sums: tuple[int, ...]
    added: int
    apart: tuple[int, ...]
    order: tuple[int, ...] | None
    result: tuple[int, ...]

    def restored(self, sums: Array) -> Array:
        """The sums `[steps, *sums]` as `[steps, *kept]`, without gaps; a view where that is one."""
        if self.order is None:
            return sums.reshape(len(sums), *self.result)
        arranged = sums.reshape(-1, *self.apart).transpose(self.order).reshape(len(sums), *self.result)
        return np.ascontiguousarray(arranged)


@functools.lru_cache(maxsize=4096)
def layout(shape: tuple[int, ...], strides: tuple[int, ...], steps: Steps | None, keep: tuple[int, ...]) -> Layout:
    """How to read an operand of that shape and those strides, and to sum it over all but the steps and `keep`."""
    sizes, jumps = _stepped(shape, strides, steps)
    kept = [axis for dim in keep for axis in axes_of(dim, steps)]
    memory = sorted(range(1, len(sizes)), key=lambda axis: (jumps[axis], sizes[axis]), reverse=True)
    groups = _neighbours_joined([(sizes[axis], jumps[axis], axis in kept) for axis in memory])
    order = (0, *(1 + memory.index(axis) for axis in [*kept, *(axis for axis in memory if axis not in kept)]))
    return Layout(
        shape=(sizes[0], *(size for size, _, _ in groups)),
        strides=(jumps[0], *(jump for _, jump, _ in groups)),
        sums=tuple(size if stays else 1 for size, _, stays in groups),
        added=sizes[0] * math.prod(size for size, _, stays in groups if not stays),
        apart=tuple(sizes[axis] if axis in kept else 1 for axis in memory),
        order=None if kept == [axis for axis in memory if axis in kept] else order,
        result=tuple(sizes[axis] for axis in kept),
    )


def _neighbours_joined(axes: list[tuple[int, int, bool]]) -> list[tuple[int, int, bool]]:
    """Axes as (size, stride, stays), neighbours joined that both stay or both do not and have no gap between them."""
    groups: list[tuple[int, int, bool]] = []
    for size, stride, stays in axes:
        if groups and groups[-1][1:] == (stride * size, stays):
            groups[-1] = (groups[-1][0] * size, stride, stays)
        elif size > 1:
            groups.append((size, stride, stays))
    return groups or [(1, 1, False)]


def _stepped(shape: tuple[int, ...], strides: tuple[int, ...], steps: Steps | None) -> tuple[list[int], list[int]]:
    """Sizes and strides of an operand as `folded` shows it."""
    if steps is None:
        return [1, *shape], [0, *strides]
    outer, size, inner = steps.split(shape[steps.dim])
    before, after, jump = slice(steps.dim), slice(steps.dim + 1, None), strides[steps.dim]
    sizes = [size, *shape[before], outer, inner, *shape[after]]
    return sizes, [jump * inner, *strides[before], jump * inner * size, jump, *strides[after]]

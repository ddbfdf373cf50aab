"""Cuts operands on the CPU into pieces that a cache holds, whatever their memory layout, and joins the pieces' sums."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnprof.record.reduce import Steps, axes_of

Array = NDArray[Any]
Chunk = tuple[int, Array, tuple[Array, ...]]
"""The first step, a stretch of steps or a part of one, and the parts of the sums that it adds to."""

CHUNK = 1 << 20
"""Elements counted with one call, all of their flags at hand: the calls cost little then."""
PIECE = 1 << 17
"""Elements compared at a time: these and their flags fit into a core's own cache."""
_MANY_SUMS = 1 << 13


class View(NamedTuple):
    """How an operand is read: a step as its dimensions in the order of memory, neighbours joined, summed over some.

    Attributes:
        shape, strides: of the operand so arranged, the steps first.
        dropped: axes that are summed over.
        cuts: axes along which to cut a step.
        sums: shape of a step's sums, 1 along the axes dropped.
        apart, order: the shape of these sums with no dimensions joined, and how to arrange it as it was asked for.
        result: what that results in.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dropped: tuple[int, ...]
    cuts: tuple[int, ...]
    sums: tuple[int, ...]
    apart: tuple[int, ...]
    order: tuple[int, ...]
    result: tuple[int, ...]

    def zeros(self, steps: int) -> Array:
        """Sums to add to, for so many steps."""
        return np.zeros((steps, *self.sums))

    def chunks(self, values: Tensor, most: int, *sums: Array) -> Iterator[Chunk]:
        """An operand cut up, into chunks of at most so many elements where it can be.

        Args:
            values: float32 or float64, on the CPU.
            sums: for each step, or of a single row where steps are not told apart.
        """
        arranged = values.as_strided(self.shape, self.strides).numpy()
        together = max(1, most * len(arranged) // max(arranged.size, 1))
        for first in range(0, len(arranged), together):
            steps = slice(first, first + together)
            rows = tuple(total[steps] if len(total) > 1 else total for total in sums)
            for chunk, parts in cut(arranged[steps], most, self.cuts, *rows):
                yield first, chunk, parts

    def restored(self, sums: Array) -> Tensor:
        """The sums as `[steps, *kept]`."""
        arranged = sums.reshape(-1, *self.apart).transpose(self.order)
        return torch.from_numpy(arranged.reshape(len(sums), *self.result))


def cut(array: Array, most: int, axes: tuple[int, ...], *beside: Array) -> Iterator[tuple[Array, tuple[Array, ...]]]:
    """Parts of at most so many elements, cut along the axes in turn, and of the arrays beside it what belongs to each.

    Args:
        beside: arrays of the same shape, or of length 1 along some axes.
    """
    if array.size <= most or not axes:
        yield array, beside
        return
    axis, *rest = axes
    length = array.shape[axis]
    stride = math.ceil(length / math.ceil(array.size / most))
    head = (slice(None),) * axis
    for start in range(0, length, stride):
        part = (*head, slice(start, start + stride))
        parts = (other[part] if other.shape[axis] > 1 else other for other in beside)
        yield from cut(array[part], most, tuple(rest), *parts)


@functools.lru_cache(maxsize=4096)
def viewed(shape: tuple[int, ...], strides: tuple[int, ...], steps: Steps | None, keep: tuple[int, ...]) -> View:
    sizes, jumps = _stepped(shape, strides, steps)
    kept = [axis for dim in keep for axis in axes_of(dim, steps)]
    memory = sorted(range(1, len(sizes)), key=lambda axis: (jumps[axis], sizes[axis]), reverse=True)
    groups = _neighbours_joined([(sizes[axis], jumps[axis], axis in kept) for axis in memory])
    stays = [group[2] for group in groups]
    many = math.prod(sizes[axis] for axis in kept) > _MANY_SUMS
    return View(
        shape=(sizes[0], *(group[0] for group in groups)),
        strides=(jumps[0], *(group[1] for group in groups)),
        dropped=tuple(axis for axis, stay in enumerate(stays, 1) if not stay),
        # Sums that would not stay in the cache from chunk to chunk are completed one chunk after the other.
        cuts=tuple(sorted(range(1, 1 + len(groups)), key=lambda axis: many and not stays[axis - 1])),
        sums=tuple(size if stay else 1 for size, _, stay in groups),
        apart=tuple(sizes[axis] if axis in kept else 1 for axis in memory),
        order=(0, *(1 + memory.index(axis) for axis in [*kept, *(axis for axis in memory if axis not in kept)])),
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

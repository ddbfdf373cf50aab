"""The terms of a read: expected values, place of the time steps, outputs reached; and the figures that it returns."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

NONZERO, LEVELS, REACHED, LEVELS_REACHED, NEGATIVE, RESIDUAL = range(6)
"""The figures that a read returns for each time step, int64:

NONZERO: non-zero values; LEVELS: Σ |level|; REACHED: Σ of the outputs that the non-zero values reach; LEVELS_REACHED:
the same, weighted by |level|; NEGATIVE: values of negative level; RESIDUAL: the largest distance from the grid, in
levels, as the bits of a float64 (which sort like the numbers, so that an atomic maximum of integers finds it)."""
FIGURES = 6
"""Number of figures."""
HISTOGRAM_LEVELS = 255
"""The highest level that a histogram has a bin for."""
LARGEST = 2**31 - 128
"""Larger levels count as this one: the largest int32 that float32 represents exactly."""


class Grid(NamedTuple):
    """The values that an operand is expected to hold: multiples of `quantum`, or any real values.

    Attributes:
        quantum: the step of the grid; None for real values.
        levels: the largest expected |value| / quantum; 0 for real values.
        signed: whether negative values are expected.
        rough: whether the values are left over from sums whose other terms cancel; rounding moves such values further
            off the grid.
    """

    quantum: float | None = None
    levels: int = 0
    signed: bool = False
    rough: bool = False

    @property
    def bins(self) -> int:
        """Number of histogram bins, for the levels 0, 1, …; 0 if there is at most one level, or too many."""
        return self.levels + 1 if self.quantum is not None and 1 < self.levels <= HISTOGRAM_LEVELS else 0

    @property
    def width(self) -> int:
        """Numbers that a read writes per time step: the figures, then the histogram."""
        return FIGURES + self.bins

    @property
    def exact(self) -> bool:
        """Whether the quantum is a power of two, so that multiplying by its inverse rounds like dividing by it."""
        return self.quantum is not None and math.frexp(self.quantum)[0] == 0.5


ANY = Grid()
"""Any real values."""
SINGLE = Grid(1.0, 1)
"""Binary spikes: zeros and ones."""


class Steps(NamedTuple):
    """Where the time steps lie in a tensor: index i along `dim` belongs to step (i // inner) % size.

    Attributes:
        dim: the dimension that the time steps lie in.
        size: number of time steps T.
        inner: neighbouring indices of one step: 1 in [B, T, ...], B in [T·B, ...]. None: time comes first in the
            dimension (time-major), and `inner` is its length / T, whatever the batch size.
    """

    dim: int
    size: int
    inner: int | None = None

    def split(self, length: int) -> tuple[int, int, int]:
        """Splits the dimension that the time steps lie in.

        Args:
            length: length of that dimension.

        Returns:
            Lengths (outer, steps, inner), whose product is `length`.
        """
        inner = length // self.size if self.inner is None else self.inner
        return length // (self.size * inner), self.size, inner

    def fit(self, shape: Sequence[int]) -> bool:
        """Whether a tensor of this shape can hold the time steps there.

        Args:
            shape: shape of the tensor.

        Returns:
            True if it has the dimension, whose length divides evenly into the steps.
        """
        return self.dim < len(shape) and shape[self.dim] > 0 and shape[self.dim] % (self.size * (self.inner or 1)) == 0


def fitting(steps: Steps | None, shape: Sequence[int]) -> Steps | None:
    """The steps, or None if a tensor of this shape cannot hold them there."""
    return steps if steps and steps.fit(shape) else None


def folded(values: Tensor, steps: Steps | None) -> Tensor:
    """A view of `values` with the time steps as first axis; (outer, inner) take the place of their dimension."""
    if steps is None:
        return values.unsqueeze(0)
    split = steps.split(values.shape[steps.dim])
    return values.view(*values.shape[: steps.dim], *split, *values.shape[steps.dim + 1 :]).movedim(steps.dim + 1, 0)


def axes_of(dims: Sequence[int], steps: Steps | None) -> list[int]:
    """The axes that dimensions of an operand become in its `folded` view."""
    if steps is None:
        return [dim + 1 for dim in dims]
    moved = [(d + 1,) if d < steps.dim else (d + 1, d + 2) if d == steps.dim else (d + 2,) for d in dims]
    return [axis for axes in moved for axis in axes]


Reach = int | Tensor
"""How many outputs a value reaches: one number, or an int32 table over the operand's last dimensions."""


class Sums(NamedTuple):
    """Sums of counts along some dimensions of an operand, which a read adds to.

    Attributes:
        keep: the dimensions that stay apart. The dimension that the steps lie in is among them only if the steps stay
            apart, too.
        nonzero: non-zero values, int32 `[steps, *kept]`, or `[*kept]` for all steps together.
        levels: Σ |level|, int64 of the same shape; None if no level exceeds 1.
    """

    keep: tuple[int, ...]
    nonzero: Tensor
    levels: Tensor | None = None


Dim = tuple[int, int, int]
Dims = tuple[Dim, ...]
"""For each dimension its size, and two strides: of the values, and of the entries in the table or the sums."""


@functools.lru_cache(maxsize=4096)
def layout(
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    steps: Steps | None,
    table: tuple[int, ...] = (),
    keep: tuple[int, ...] | None = None,
    sums: tuple[int, ...] = (),
) -> Dims:
    """The loops over an operand: the steps, then the other dimensions in the order of memory, joined if without a gap.

    Args:
        shape: shape of the operand.
        strides: strides of the operand.
        steps: where its time steps lie.
        table: strides of the table of outputs reached; empty if there is none.
        keep: dimensions along which sums are kept; None if there are none.
        sums: strides of those sums.
    """
    sizes, jumps = _stepped(shape, strides, steps)
    places = [0] * len(sizes)
    if table:
        places = _stepped(shape, (0,) * (len(shape) - len(table)) + table, steps)[1]
    if keep is not None:
        axes = axes_of(keep, steps)
        for axis, stride in zip([0, *axes][-len(sums) :] if sums else [], sums, strict=True):
            places[axis] = stride
    memory = sorted(range(1, len(sizes)), key=lambda axis: (jumps[axis], sizes[axis]), reverse=True)
    joined: list[tuple[int, int, int]] = []
    for size, jump, place in ((sizes[axis], jumps[axis], places[axis]) for axis in memory if sizes[axis] > 1):
        if joined and joined[-1][1:] == (jump * size, place * size):
            size *= joined.pop()[0]
        joined.append((size, jump, place))
    return ((sizes[0], jumps[0], places[0]), *(joined or [(1, 0, 0)]))


def _stepped(shape: tuple[int, ...], strides: tuple[int, ...], steps: Steps | None) -> tuple[list[int], list[int]]:
    """Sizes and strides of an operand's `folded` view."""
    if steps is None:
        return [1, *shape], [0, *strides]
    outer, size, inner = steps.split(shape[steps.dim])
    before, after, jump = slice(steps.dim), slice(steps.dim + 1, None), strides[steps.dim]
    sizes = [size, *shape[before], outer, inner, *shape[after]]
    return sizes, [jump * inner, *strides[before], jump * inner * size, jump, *strides[after]]


def layout_of(values: Tensor, steps: Steps | None, reach: Reach, sums: Sums | None) -> Dims:
    """The loops over an operand together with its table of outputs reached, or with its sums."""
    table = reach.stride() if isinstance(reach, Tensor) else ()
    if sums is None:
        return layout(values.shape, values.stride(), steps, table)
    return layout(values.shape, values.stride(), steps, (), sums.keep, sums.nonzero.stride())


def paired(left: Tensor, right: Tensor) -> Dims:
    """The loops over two sums `[steps, *stack, K]` whose stacks broadcast: sizes, strides of the left, of the right."""
    own = [each[0] for each in (left, right)]
    both = torch.broadcast_tensors(*own)  # type: ignore[no-untyped-call]
    inner = zip(both[0].shape, both[0].stride(), both[1].stride(), strict=True)
    return ((len(left), left.stride(0), right.stride(0)), *(dim for dim in inner if dim[0] > 1))


@functools.lru_cache(maxsize=4096)
def kept(
    shape: tuple[int, ...], strides: tuple[int, ...], steps: Steps | None, keep: tuple[int, ...], stepwise: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes and strides of sums `[steps, *kept]` (`stepwise`) or `[*kept]`, in the memory order of their operand."""
    sizes, jumps = _stepped(shape, strides, steps)
    axes = axes_of(keep, steps)
    order = sorted(range(len(axes)), key=lambda i: (jumps[axes[i]], sizes[axes[i]]))
    result, stride = [0] * len(axes), 1
    for i in order:
        result[i], stride = stride, stride * sizes[axes[i]]
    own = tuple(sizes[axis] for axis in axes), tuple(result)
    return ((sizes[0], *own[0]), (stride, *own[1])) if stepwise else own


def plain(values: Tensor) -> Tensor:
    """The values as real numbers without a gradient; of complex ones the magnitude."""
    values = values.detach() if values.requires_grad else values
    if values.is_complex():
        return values.abs()
    return values.resolve_neg() if values.is_neg() else values


def wide(values: Tensor) -> Tensor:
    """The values as bool, float32 or float64, since 16-bit floats represent few whole numbers."""
    return values if values.dtype in (torch.float32, torch.float64, torch.bool) else values.float()

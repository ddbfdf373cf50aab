"""What a read is asked: the values expected, where the steps lie, what each value reaches; and what it answers."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

NONZERO, LEVELS, REACHED, LEVELS_REACHED, NEGATIVE, RESIDUAL = range(6)
"""The figures of a step, int64: non-zero values; Σ |level| over them; Σ of what they reach, and of that times |level|;
negative levels; and the bits of the largest distance from the grid, a float64 (whole numbers in the same order)."""
FIGURES = 6
HISTOGRAM_LEVELS = 255
"""Levels that are told apart."""
LARGEST = 2**31 - 128
"""Level that is told from larger ones; a float32."""


class Grid(NamedTuple):
    """The values an operand is expected to take: multiples of `quantum` up to `levels`; quantum None is real.

    Attributes:
        rough: they are what is left of sums whose other terms cancel, which rounds more.
    """

    quantum: float | None = None
    levels: int = 0
    signed: bool = False
    rough: bool = False

    @property
    def bins(self) -> int:
        """Elements are counted at level 0, 1, …, each; 0 where non-zeros tell that, or there are too many levels."""
        return self.levels + 1 if self.quantum is not None and 1 < self.levels <= HISTOGRAM_LEVELS else 0

    @property
    def width(self) -> int:
        """Numbers that a read writes for each step: its figures, and the histogram behind them."""
        return FIGURES + self.bins

    @property
    def exact(self) -> bool:
        """Whether to divide by the quantum is to multiply by its inverse."""
        return self.quantum is not None and math.frexp(self.quantum)[0] == 0.5


ANY = Grid()
"""Values that may be anything."""
SINGLE = Grid(1.0, 1)
"""Zeros and ones."""


class Steps(NamedTuple):
    """Where the time steps lie in an operand: index i along `dim` belongs to step (i // inner) % size.

    `inner` None means that the axis comes first (time-major), so that `inner` follows the batch size.
    """

    dim: int
    size: int
    inner: int | None = None

    def split(self, length: int) -> tuple[int, int, int]:
        """The folded dimension, of that length, as (outer, steps, inner)."""
        inner = length // self.size if self.inner is None else self.inner
        return length // (self.size * inner), self.size, inner

    def fit(self, shape: Sequence[int]) -> bool:
        """Whether a tensor of this shape can have them there."""
        return self.dim < len(shape) and shape[self.dim] > 0 and shape[self.dim] % (self.size * (self.inner or 1)) == 0


def fitting(steps: Steps | None, shape: Sequence[int]) -> Steps | None:
    """Where the steps lie, if a tensor of this shape can have them there."""
    return steps if steps and steps.fit(shape) else None


def folded(values: Tensor, steps: Steps | None) -> Tensor:
    """`values` with its time steps as first axis and the folded dimension as (outer, inner); a view."""
    if steps is None:
        return values.unsqueeze(0)
    split = steps.split(values.shape[steps.dim])
    return values.view(*values.shape[: steps.dim], *split, *values.shape[steps.dim + 1 :]).movedim(steps.dim + 1, 0)


def axes_of(dims: Sequence[int], steps: Steps | None) -> list[int]:
    """Where dimensions of an operand stand after `folded`."""
    if steps is None:
        return [dim + 1 for dim in dims]
    moved = [(d + 1,) if d < steps.dim else (d + 1, d + 2) if d == steps.dim else (d + 2,) for d in dims]
    return [axis for axes in moved for axis in axes]


Reach = int | Tensor
"""How many outputs a value reaches; a table of int32 along the operand's last dimensions where its place decides."""


class Sums(NamedTuple):
    """Counts kept along some dimensions of an operand, that a read adds to.

    Attributes:
        keep: those dimensions, none of which is the one that the steps lie in unless the steps are kept.
        nonzero: int32 `[steps, *kept]`, or `[*kept]` for all steps together.
        levels: int64, likewise; None where no level exceeds one.
    """

    keep: tuple[int, ...]
    nonzero: Tensor
    levels: Tensor | None = None


Dim = tuple[int, int, int]
Dims = tuple[Dim, ...]
"""Of each dimension its size, and how far apart in memory two neighbours are: values, and entries of table or sums."""


@functools.lru_cache(maxsize=4096)
def layout(
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    steps: Steps | None,
    table: tuple[int, ...] = (),
    keep: tuple[int, ...] | None = None,
    sums: tuple[int, ...] = (),
) -> Dims:
    """The steps, then the other dimensions in the order of memory, neighbours joined where there is no gap.

    Args:
        table: strides of the table, if there is one.
        keep, sums: dimensions that are kept, and the strides of their sums.
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
    """Sizes and strides of an operand as `folded` shows it."""
    if steps is None:
        return [1, *shape], [0, *strides]
    outer, size, inner = steps.split(shape[steps.dim])
    before, after, jump = slice(steps.dim), slice(steps.dim + 1, None), strides[steps.dim]
    sizes = [size, *shape[before], outer, inner, *shape[after]]
    return sizes, [jump * inner, *strides[before], jump * inner * size, jump, *strides[after]]


def layout_of(values: Tensor, steps: Steps | None, reach: Reach, sums: Sums | None) -> Dims:
    """Where an operand lies, beside its table or its sums."""
    table = reach.stride() if isinstance(reach, Tensor) else ()
    if sums is None:
        return layout(values.shape, values.stride(), steps, table)
    return layout(values.shape, values.stride(), steps, (), sums.keep, sums.nonzero.stride())


def paired(left: Tensor, right: Tensor) -> Dims:
    """Where the counts of two operands `[steps, *stack, K]` meet, whose stacks broadcast: distances left and right."""
    own = [each[0] for each in (left, right)]
    both = torch.broadcast_tensors(*own)  # type: ignore[no-untyped-call]
    inner = zip(both[0].shape, both[0].stride(), both[1].stride(), strict=True)
    return ((len(left), left.stride(0), right.stride(0)), *(dim for dim in inner if dim[0] > 1))


@functools.lru_cache(maxsize=4096)
def kept(
    shape: tuple[int, ...], strides: tuple[int, ...], steps: Steps | None, keep: tuple[int, ...], stepwise: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes and strides of sums `[steps, *kept]`, or `[*kept]`, that lie in memory as their operand does."""
    sizes, jumps = _stepped(shape, strides, steps)
    axes = axes_of(keep, steps)
    order = sorted(range(len(axes)), key=lambda i: (jumps[axes[i]], sizes[axes[i]]))
    result, stride = [0] * len(axes), 1
    for i in order:
        result[i], stride = stride, stride * sizes[axes[i]]
    own = tuple(sizes[axis] for axis in axes), tuple(result)
    return ((sizes[0], *own[0]), (stride, *own[1])) if stepwise else own


def plain(values: Tensor) -> Tensor:
    """Real numbers without a gradient: complex ones by their magnitude."""
    values = values.detach() if values.requires_grad else values
    if values.is_complex():
        return values.abs()
    return values.resolve_neg() if values.is_neg() else values


def wide(values: Tensor) -> Tensor:
    """As flags, float32 or float64: in 16 bits few whole numbers can be told."""
    return values if values.dtype in (torch.float32, torch.float64, torch.bool) else values.float()

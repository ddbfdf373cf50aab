"""Reads an operand on the CPU piece by piece, so that all that is asked of a piece is asked while the cache holds it.

A CPU's values can be looked at without waiting. So what provenance expects is verified first, and what was verified
is not read again: among whole numbers of at most one, the sum is the number of non-zeros.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnprof.record.reduce import EXACT, Steps, axes_of, scratch

PIECE = 1 << 20
"""Elements of a piece: it and its working memory fit into the cache, and its arithmetic outweighs its calls."""
_SMALL_PIECE = 1 << 16
_FEW = 6
_LARGEST_BYTE = 127
_BITS = {
    torch.float32: torch.int32,
    torch.float64: torch.int64,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
}


@dataclass(frozen=True)
class Levels:
    """What an operand of whole multiples showed.

    Attributes:
        nonzero, levels: float64 `[steps, *kept]`; one tensor for both where no level exceeds one.
        histogram: elements at level 0, 1, …, up to the largest there is.
    """

    nonzero: Tensor
    levels: Tensor
    histogram: list[int]


class _View(NamedTuple):
    """How an operand is read: its dimensions in the order of memory, the steps apart, sums over `dropped`.

    Attributes:
        shape, strides: of the operand so arranged.
        dropped: positions of the dimensions summed over.
        sums: shape of the sums, 1 along those.
        order: where `[steps, *kept]` stand in the arrangement.
        result: their shape.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dropped: tuple[int, ...]
    sums: tuple[int, ...]
    order: tuple[int, ...]
    result: tuple[int, ...]

    def zeros(self) -> Tensor:
        return torch.zeros(self.sums, dtype=torch.float64)

    def restored(self, sums: Tensor) -> Tensor:
        """The sums as `[steps, *kept]`."""
        return sums.permute(*self.order, *self.dropped).reshape(self.result)


@functools.lru_cache(maxsize=4096)
def _viewed(
    shape: tuple[int, ...], strides: tuple[int, ...], steps: Steps | None, keep: tuple[int, ...], by_step: bool = True
) -> _View:
    sizes, jumps = _stepped(shape, strides, steps)
    kept = [0] if by_step else []
    kept += [axis for dim in keep for axis in axes_of(dim, steps)]
    memory = sorted(range(len(sizes)), key=lambda axis: (jumps[axis], sizes[axis]), reverse=True)
    return _View(
        shape=tuple(sizes[axis] for axis in memory),
        strides=tuple(jumps[axis] for axis in memory),
        dropped=tuple(place for place, axis in enumerate(memory) if axis not in kept),
        sums=tuple(sizes[axis] if axis in kept else 1 for axis in memory),
        order=tuple(memory.index(axis) for axis in kept),
        result=tuple(sizes[axis] for axis in kept),
    )


def _stepped(shape: tuple[int, ...], strides: tuple[int, ...], steps: Steps | None) -> tuple[list[int], list[int]]:
    """Sizes and strides of an operand as `folded` shows it."""
    if steps is None:
        return [1, *shape], [0, *strides]
    outer, size, inner = steps.split(shape[steps.dim])
    before, after, jump = slice(steps.dim), slice(steps.dim + 1, None), strides[steps.dim]
    sizes = [size, *shape[before], outer, inner, *shape[after]]
    return sizes, [jump * inner, *strides[before], jump * inner * size, jump, *strides[after]]


def _pieces(values: Tensor, most: int, *sums: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Pieces of `values`, cut along its outermost dimensions, each with the parts of the sums that it adds to.

    Whole numbers up to `most` add up exactly in float32 within a piece, where those are few enough.
    """
    count, limit = values.numel(), min(PIECE, max(EXACT // most, _SMALL_PIECE))
    if count <= limit:
        yield values, *sums
        return
    dim = next(d for d, size in enumerate(values.shape) if size > 1)
    length = values.shape[dim]
    step = max(1, limit * length // count)
    for start in range(0, length, step):
        stop = min(step, length - start)
        parts = (part.narrow(dim, start, stop) if part.shape[dim] > 1 else part for part in sums)
        yield from _pieces(values.narrow(dim, start, stop), most, *parts)


def nonzero(values: Tensor, steps: Steps | None, keep: tuple[int, ...]) -> Tensor:
    """Non-zero elements, as float64 `[steps, *kept]`."""
    view = _viewed(tuple(values.shape), values.stride(), steps, keep)
    sums = view.zeros()
    for piece, into in _pieces(values.as_strided(view.shape, view.strides), 1, sums):
        into += _total(torch.ne(piece, 0, out=scratch(piece)), view.dropped)
    return view.restored(sums)


def spikes(values: Tensor, steps: Steps | None, keep: tuple[int, ...]) -> tuple[Tensor, Tensor] | None:
    """Spikes by step and by the dimensions kept, as float64 `[steps]` and `[*kept]`; None where they are no spikes.

    That no value is beyond [0, 1], and that each step's add up to a whole number, is all that is asked of them.
    """
    if values.dtype not in _BITS or not values.numel():
        return None
    by_step, by_place = (
        _viewed(tuple(values.shape), values.stride(), steps, *kept) for kept in ([(), True], [keep, False])
    )
    sums = by_step.zeros(), by_place.zeros()
    for piece, in_step, in_place in _pieces(values.as_strided(by_step.shape, by_step.strides), 1, *sums):
        top = _highest(piece)
        if top is None or not top <= 1:
            return None
        if top > 0:
            in_step += _total(piece, by_step.dropped)
            in_place += _total(piece, by_place.dropped)
    if not all(float(total).is_integer() for total in sums[0].flatten().tolist()):
        return None
    return by_step.restored(sums[0]), by_place.restored(sums[1])


def levels(
    values: Tensor, scale: float, most: int, steps: Steps | None, keep: tuple[int, ...], *, histogram: bool = True
) -> Levels | None:
    """Reads an operand that should hold multiples, from 0 to `most`, of 1 / scale; None where it does not.

    Args:
        values: a floating-point tensor on the CPU, of any memory layout.
        scale: a power of two, so that to multiply by it is exact.
    """
    if most > EXACT or values.dtype not in _BITS or not values.numel():
        return None
    view = _viewed(tuple(values.shape), values.stride(), steps, keep)
    sums = view.zeros()
    excess = view.zeros() if most > 1 else sums
    bins: list[int] | None = None
    for piece, total, beyond in _pieces(values.as_strided(view.shape, view.strides), most, sums, excess):
        top = _largest_level(piece, scale)
        if top is None or not top <= most:
            return None
        if top == 0:
            continue
        found = _total(piece, view.dropped, top)
        total += found
        if top > 1:
            beyond += found * scale - _total(torch.gt(piece, 0, out=scratch(piece)), view.dropped)
            bins = _joined(bins or [], _bins(piece, scale, int(top)) if histogram else [])
    level_sums = view.restored(sums if scale == 1 else sums * scale)
    counts = level_sums if bins is None else level_sums - view.restored(excess)
    more, ones = sum(bins or []), int(counts.sum())
    return Levels(counts, level_sums, [values.numel() - ones, ones - more, *(bins or [])])


def _highest(piece: Tensor) -> float | None:
    """The largest value, if none is negative; else None, as for −0, which only a longer look tells.

    As integers, the bits of floating-point numbers of no sign are in the order of the numbers.
    """
    low, high = torch.aminmax(piece.view(_BITS[piece.dtype]))
    return None if low.item() < 0 else float(high.view(piece.dtype).item())


def _largest_level(piece: Tensor, scale: float) -> float | None:
    """The largest level, if all are whole and none is negative; else None."""
    highest = _highest(piece)
    if not highest:
        return highest
    rest = scratch(piece)
    rest = torch.frac(piece, out=rest) if scale == 1 else torch.mul(piece, scale, out=rest).frac_()
    return highest * scale if rest.view(_BITS[piece.dtype]).amax().item() == 0 else None


def _bins(piece: Tensor, scale: float, top: int) -> list[int]:
    """Elements at level 2, 3, …, `top`, counted among bytes where they fit."""
    if scale != 1:
        piece = torch.mul(piece, scale, out=scratch(piece))
    if top > _LARGEST_BYTE:
        return _counted(piece.to(torch.int32))
    level = scratch(piece, torch.int8).copy_(piece)
    if top > _FEW:
        return _counted(level.view(torch.uint8))
    array = level.numpy()  # flags are counted three times faster by numpy than by torch
    return [int(np.count_nonzero(array == n)) for n in range(2, top + 1)]


def _counted(levels: Tensor) -> list[int]:
    return [int(count) for count in torch.bincount(levels.flatten()).tolist()[2:]]


def _joined(a: list[int], b: list[int]) -> list[int]:
    return [x + y for x, y in itertools.zip_longest(a, b, fillvalue=0)]


def _total(piece: Tensor, dropped: tuple[int, ...], top: float = 1) -> Tensor:
    """Sums, over some dimensions, which stay as 1, of multiples up to the level `top`."""
    fits = piece.numel() * top < EXACT
    return piece.sum(dropped, keepdim=True, dtype=torch.float32 if fits else torch.float64) if dropped else piece

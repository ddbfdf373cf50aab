"""Reads an operand on the CPU piece by piece, so that all that is asked of a piece is asked while the cache holds it.

NumPy does it: it compares and counts several times faster than PyTorch, and what is asked are comparisons. Where as
many values equal one as differ from zero, all that fired are spikes; and flags of one byte each add up fastest.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from snnprof.record.memory import pages
from snnprof.record.pieces import PIECE, Array, Piece, View, viewed
from snnprof.record.reduce import EXACT, Steps, wide

T = TypeVar("T")

_FEW_LEVELS = 4
_SOME_LEVELS = 16
_BYTE = 255
_FLOATS = frozenset([torch.float64, torch.float32, torch.float16, torch.bfloat16])


class _Memory(threading.local):
    """Working memory of a thread for one piece at a time: fresh memory costs more than the arithmetic in it."""

    def __init__(self) -> None:
        self._buffers: dict[torch.dtype, Array] = {}

    def flags(self, piece: Array) -> Array:
        return self._like(piece, torch.bool)

    def levels(self, piece: Array) -> Array:
        return self._like(piece, torch.uint8)

    def scaled(self, piece: Array) -> Array:
        return self._like(piece, torch.float64 if piece.itemsize == 8 else torch.float32)

    def _like(self, piece: Array, dtype: torch.dtype) -> Array:
        buffer = self._buffers.get(dtype)
        if buffer is None or len(buffer) < piece.size:
            buffer = self._buffers[dtype] = pages(max(piece.size, PIECE), dtype).numpy()
        return buffer[: piece.size].reshape(piece.shape)


_MEMORY = _Memory()


@dataclass(frozen=True)
class Levels:
    """What an operand of whole multiples showed.

    Attributes:
        nonzero, levels: float64 `[steps, *kept]`, or `[1, *kept]` if the steps were merged; one tensor for both where
            no level exceeds one.
        by_step: non-zero elements in each step.
        histogram: elements at level 0, 1, …, up to the largest there is.
    """

    nonzero: Tensor
    levels: Tensor
    by_step: list[int]
    histogram: list[int]


class _Found(NamedTuple):
    """What one piece showed.

    Attributes:
        number, fired: non-zero elements, in all and by the dimensions that stay.
        counts: elements at level 1, 2, …
        beyond: levels beyond the first, by the dimensions that stay.
    """

    number: int
    fired: Array | int
    counts: list[int]
    beyond: Array | int


def count(values: Tensor) -> int:
    """Non-zero elements."""
    return int(nonzero(values, None, ()).item())


def nonzero(values: Tensor, steps: Steps | None, keep: tuple[int, ...]) -> Tensor:
    """Non-zero elements, as float64 `[steps, *kept]`."""
    values, view = wide(values), viewed(tuple(values.shape), values.stride(), steps, keep)
    sums = view.zeros(view.shape[0])
    for (_, _, (total,)), (_, fired) in _read(functools.partial(_fired, view=view), view.pieces(values, sums)):
        total += fired
    return view.restored(sums)


def levels(
    values: Tensor, scale: float, most: int, steps: Steps | None, keep: tuple[int, ...], *, merged: bool = False
) -> Levels | None:
    """Reads an operand that should hold multiples, from 0 to `most`, of 1 / scale; None where it does not.

    Args:
        values: a floating-point tensor on the CPU, of any memory layout.
        scale: a power of two, so that to multiply by it is exact.
        merged: sums over the steps too.
    """
    if values.dtype not in _FLOATS or not values.numel():
        return None
    values, view = wide(values), viewed(tuple(values.shape), values.stride(), steps, keep)
    fired = view.zeros(1 if merged else view.shape[0])
    beyond = view.zeros(len(fired)) if most > 1 else fired
    by_step, bins = [0] * view.shape[0], [0]
    look = functools.partial(_look, view=view, scale=scale, most=most)
    for (step, piece, (in_fired, in_beyond)), found in _read(look, view.pieces(values, fired, beyond)):
        if found is None:
            return None
        by_step[step] += found.number
        in_fired += found.fired
        if len(found.counts) > 1:
            in_beyond += found.beyond
        here = [piece.size - found.number, *found.counts]
        bins = [a + b for a, b in itertools.zip_longest(bins, here, fillvalue=0)]
    nonzero = view.restored(fired)
    return Levels(nonzero, nonzero + view.restored(beyond) if len(bins) > 2 else nonzero, by_step, bins)


def _read(look: Callable[[Array], T], pieces: list[Piece]) -> Iterable[tuple[Piece, T]]:
    """Pieces and what was seen of each, several looked at at a time: NumPy lets go of the interpreter while it works.

    PyTorch's own threads spin for a while after their last work, so only every other core is free.
    """
    threads = torch.get_num_threads() // 2
    arrays = [array for _, array, _ in pieces]
    if threads < 2 or len(arrays) == 1 or sum(array.size for array in arrays) < 2 * PIECE:
        return zip(pieces, map(look, arrays), strict=True)
    return zip(pieces, _workers(threads).map(look, arrays), strict=True)


@functools.cache
def _workers(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="snnprof")


def _look(piece: Array, view: View, scale: float, most: int) -> _Found | None:
    number, fired = _fired(piece, view)
    counts = _at_levels(piece, scale, most, number)
    if counts is None:
        return None
    return _Found(number, fired, counts, _level_sum(piece, view, scale, counts) - fired if len(counts) > 1 else 0)


def _fired(piece: Array, view: View) -> tuple[int, Array | int]:
    """Non-zero elements, in all and by the dimensions that stay."""
    flags = np.not_equal(piece, 0, out=_MEMORY.flags(piece))
    number = int(np.count_nonzero(flags))
    if not number or not view.result:
        return number, number
    if not view.dropped:
        return number, flags.copy()
    return number, _flag_sums(flags.view(np.uint8), view.dropped)


def _flag_sums(flags: Array, dropped: tuple[int, ...]) -> Array:
    """Sums of flags, which add up as bytes ten times faster than as anything wider."""
    axis, *rest = dropped
    before, length, after = flags.shape[:axis], flags.shape[axis], flags.shape[axis + 1 :]
    whole = length - length % _BYTE if length > _BYTE else length
    head = (slice(None),) * axis
    blocks = flags[(*head, slice(whole))].reshape(*before, -1, min(length, _BYTE), *after)
    sums: Array = np.add.reduce(blocks, axis + 1, dtype=np.uint8)
    if sums.shape[axis] > 1 or rest:
        sums = np.add.reduce(sums, (axis, *rest), dtype=np.int64, keepdims=True)
    return sums if whole == length else sums + _flag_sums(flags[(*head, slice(whole, None))], dropped)


def _at_levels(piece: Array, scale: float, most: int, number: int) -> list[int] | None:
    """Elements at level 1, 2, …, up to the largest there is; None where some of the `number` that fired are at none.

    A few levels are looked for one by one: if those are all there is, there is no other.
    """
    counts: list[int] = []
    if number and most <= _FEW_LEVELS:
        counts = [_equal(piece, 1 / scale)]
    if sum(counts) == number:
        return counts
    top = float(piece.max()) * scale
    if not (1 <= top <= min(most, _BYTE) and top.is_integer()):
        return None
    if top > _FEW_LEVELS:
        return _at_many_levels(piece, scale, int(top))
    counts += [_equal(piece, level / scale) for level in range(len(counts) + 1, int(top) + 1)]
    return counts if sum(counts) == number else None


def _at_many_levels(piece: Array, scale: float, top: int) -> list[int] | None:
    """As above, counted among bytes, which the piece's levels fit into."""
    if piece.min() < 0:
        return None
    bytes_, scaled = _MEMORY.levels(piece), piece
    if scale != 1:
        scaled = np.multiply(piece, scale, out=_MEMORY.scaled(piece))
    np.copyto(bytes_, scaled, casting="unsafe")
    if np.count_nonzero(np.equal(scaled, bytes_, out=_MEMORY.flags(piece))) < piece.size:
        return None
    if top > _SOME_LEVELS:
        return [int(number) for number in np.bincount(bytes_.reshape(-1))[1:]]
    return [_equal(bytes_, level) for level in range(1, top + 1)]


def _equal(piece: Array, value: float) -> int:
    return int(np.count_nonzero(np.equal(piece, piece.dtype.type(value), out=_MEMORY.flags(piece))))


def _level_sum(piece: Array, view: View, scale: float, counts: list[int]) -> Array | int:
    """Σ levels by the dimensions that stay."""
    if not view.result:
        return sum(level * number for level, number in enumerate(counts, 1))
    if not view.dropped:
        return piece * scale
    exact = np.float32 if piece.size * len(counts) < EXACT else np.float64
    sums: Array = np.add.reduce(piece, view.dropped, dtype=exact, keepdims=True)
    return sums * scale

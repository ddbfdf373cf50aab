"""Reads an operand on the CPU piece by piece, so that all that is asked of a piece is asked while the cache holds it.

NumPy does it: it compares and counts several times faster than PyTorch, and what is asked are comparisons. Where as
many values equal one as differ from zero, all that fired are spikes; and flags of one byte each add up fastest.
"""

from __future__ import annotations

import functools
import itertools
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from snnprof.record import pieces
from snnprof.record.memory import pages
from snnprof.record.pieces import Array, Chunk, cut, viewed
from snnprof.record.reduce import Steps, wide

T = TypeVar("T")

_FEW_LEVELS = 8
_BYTE = 255
_FLOATS = frozenset([torch.float64, torch.float32, torch.float16, torch.bfloat16])


class _Memory(threading.local):
    """Working memory of a thread for one chunk at a time: fresh memory costs more than the arithmetic in it."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, torch.dtype], Array] = {}

    def flags(self, array: Array) -> Array:
        return self._of("flags", array.size, torch.bool).reshape(array.shape)

    def spare(self, name: str, size: int) -> Array:
        return self._of(name, size, torch.bool)

    def levels(self, array: Array) -> Array:
        return self._of("levels", array.size, torch.uint8).reshape(array.shape)

    def scaled(self, array: Array) -> Array:
        dtype = torch.float64 if array.itemsize == 8 else torch.float32
        return self._of("scaled", array.size, dtype).reshape(array.shape)

    def sums(self, shape: tuple[int, ...]) -> Array:
        zeros = self._of("sums", math.prod(shape), torch.int32).reshape(shape)
        zeros.fill(0)
        return zeros

    def _of(self, name: str, size: int, dtype: torch.dtype) -> Array:
        buffer = self._buffers.get((name, dtype))
        if buffer is None or len(buffer) < size:
            buffer = self._buffers[name, dtype] = pages(size, dtype).numpy()
        return buffer[:size]


_MEMORY = _Memory()


@dataclass(frozen=True)
class Levels:
    """What an operand of whole multiples showed.

    Attributes:
        nonzero, levels: float64 `[steps, *kept]`, or `[1, *kept]` if the steps were merged; one tensor for both where
            no level can exceed one.
        by_step: non-zero elements in each step.
        histogram: elements at level 0, 1, …, up to the largest there is; None if that is beyond a byte.
    """

    nonzero: Tensor
    levels: Tensor
    by_step: list[int]
    histogram: list[int] | None


class _Found(NamedTuple):
    """What one chunk showed.

    Attributes:
        fired: non-zero elements, int64 `[steps]`.
        histogram: elements at level 0, 1, … up to the largest there is; None if that is too large.
        nonzero, levels: sums by the dimensions that stay.
    """

    fired: Array
    histogram: list[int] | None
    nonzero: Array
    levels: Array


def count(values: Tensor) -> int:
    """Non-zero elements."""
    return int(nonzero(values, None, ()).item())


def nonzero(values: Tensor, steps: Steps | None, keep: tuple[int, ...]) -> Tensor:
    """Non-zero elements, as float64 `[steps, *kept]`."""
    values, view = wide(values), viewed(tuple(values.shape), values.stride(), steps, keep)
    sums = view.zeros(view.shape[0])
    look = functools.partial(_nonzero, axes=view.dropped)
    for (_, _, (total,)), fired in _read(look, view.chunks(values, _most(values), sums)):
        total += fired
    return view.restored(sums)


def levels(
    values: Tensor, scale: float, most: int, steps: Steps | None, keep: tuple[int, ...], *, merged: bool = False
) -> Levels | None:
    """Reads an operand that should hold multiples, from 0 to `most`, of 1 / scale; None where it does not.

    Args:
        values: a floating-point tensor on the CPU, of any memory layout.
        scale: a power of two, so that to multiply by it is exact.
        merged: sums over the steps too, in int32 and in working memory: they hold until the next call.
    """
    if values.dtype not in _FLOATS or not values.numel():
        return None
    values, view = wide(values), viewed(tuple(values.shape), values.stride(), steps, keep)
    nonzero = _MEMORY.sums((1, *view.sums)) if merged else view.zeros(view.shape[0])
    level_sums = view.zeros(len(nonzero)) if most > 1 else nonzero
    by_step = np.zeros(view.shape[0], dtype=np.int64)
    histograms: list[list[int] | None] = []
    axes = (0, *view.dropped) if merged else view.dropped
    look = functools.partial(_levels, scale=scale, most=most, axes=axes)
    if most == 1:
        look = functools.partial(_spikes, scale=scale, axes=axes)
    for (step, _, (in_nonzero, in_sums)), found in _read(look, view.chunks(values, _most(values), nonzero, level_sums)):
        if found is None:
            return None
        by_step[step : step + len(found.fired)] += found.fired
        histograms.append(found.histogram)
        in_nonzero += found.nonzero
        if most > 1:
            in_sums += found.levels
    sums = view.restored(nonzero)
    return Levels(sums, view.restored(level_sums) if most > 1 else sums, by_step.tolist(), _joined(histograms))


def _joined(histograms: list[list[int] | None]) -> list[int] | None:
    """Elements at each level, if they are known of each chunk."""
    known = [histogram for histogram in histograms if histogram is not None]
    if len(known) < len(histograms):
        return None
    bins = [sum(counts) for counts in itertools.zip_longest(*known, fillvalue=0)]
    while not bins[-1]:
        bins.pop()
    return bins


# -- several chunks at a time ------------------------------------------------------------------------------------


def _threads() -> int:
    """PyTorch's own threads spin for a while after their last work, so only every other core is free."""
    return max(1, torch.get_num_threads() // 2)


def _most(values: Tensor) -> int:
    """Elements of a chunk: each thread gets one."""
    return max(pieces.PIECE, min(pieces.CHUNK, math.ceil(values.numel() / _threads())))


def _read(look: Callable[[Array], T], chunks: Iterable[Chunk]) -> Iterable[tuple[Chunk, T]]:
    """Chunks and what each showed, several looked at at a time: NumPy lets go of the interpreter while it works."""
    threads = _threads()
    if threads == 1:
        return ((chunk, look(chunk[1])) for chunk in chunks)
    held = list(chunks)
    if len(held) == 1:
        return [(held[0], look(held[0][1]))]
    return zip(held, _workers(threads).map(look, (array for _, array, _ in held)), strict=True)


@functools.cache
def _workers(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="snnprof")


# -- one chunk ---------------------------------------------------------------------------------------------------


def _nonzero(chunk: Array, axes: tuple[int, ...]) -> Array:
    flags = None if _only_steps(chunk, axes) else _MEMORY.flags(chunk)
    fired = np.zeros(len(chunk), dtype=np.int64)
    for step, piece, here, _ in _pieces(chunk, flags):
        fired[step] += np.count_nonzero(np.not_equal(piece, 0, out=here))
    return _by_step(fired, chunk, axes) if flags is None else _sums(flags.view(np.uint8), axes, 1)


def _spikes(chunk: Array, scale: float, axes: tuple[int, ...]) -> _Found | None:
    """A chunk of zeros and 1 / scale: as many are the one as are not the other."""
    flags = None if _only_steps(chunk, axes) else _MEMORY.flags(chunk)
    fired, one = np.zeros(len(chunk), dtype=np.int64), chunk.dtype.type(1 / scale)
    for step, piece, here, spare in _pieces(chunk, flags):
        number = np.count_nonzero(np.not_equal(piece, 0, out=here))
        if np.count_nonzero(np.equal(piece, one, out=spare)) != number:
            return None
        fired[step] += number
    sums = _by_step(fired, chunk, axes) if flags is None else _sums(flags.view(np.uint8), axes, 1)
    spikes = int(fired.sum())
    return _Found(fired, [chunk.size - spikes, spikes], sums, sums)


def _levels(chunk: Array, scale: float, most: int, axes: tuple[int, ...]) -> _Found | None:
    """A chunk of multiples of 1 / scale, counted among bytes where its levels fit into them."""
    levels = _as_levels(chunk, scale)
    top = 0 if levels is None else max(int(levels.max()), 1)
    if levels is None or top > most:
        return _amounts(chunk, scale, most, axes) if most > _BYTE else None
    counts = np.array([_at_each(step, top) for step in levels])
    fired = counts[:, 1:].sum(1)
    if _only_steps(chunk, axes):
        amounts = counts @ np.arange(top + 1)
        return _Found(fired, counts.sum(0).tolist(), _by_step(fired, chunk, axes), _by_step(amounts, chunk, axes))
    flags = np.not_equal(levels, 0, out=_MEMORY.flags(chunk))
    nonzero = _sums(flags.view(np.uint8), axes, 1)
    return _Found(fired, counts.sum(0).tolist(), nonzero, _sums(levels, axes, top) if top > 1 else nonzero)


def _as_levels(chunk: Array, scale: float) -> Array | None:
    """The levels, a byte each; None where they are none, or do not fit."""
    levels = _MEMORY.levels(chunk)
    with np.errstate(invalid="ignore"):
        for _, piece, here, spare in _pieces(chunk, levels):
            scaled = piece if scale == 1 else np.multiply(piece, scale, out=_MEMORY.scaled(piece))
            np.copyto(here, scaled, casting="unsafe")
            if np.count_nonzero(np.equal(scaled, here, out=spare)) < piece.size:
                return None
            if scale < 1 and np.count_nonzero(piece) > np.count_nonzero(here):  # too small a number to be halved
                return None
    return levels


def _amounts(chunk: Array, scale: float, most: int, axes: tuple[int, ...]) -> _Found | None:
    """As above, with levels that bytes do not hold."""
    levels, flags = np.multiply(chunk, scale, dtype=np.float64), chunk != 0
    if not ((levels >= 0) & (levels <= most) & (np.rint(levels) == levels)).all():
        return None
    fired = flags.reshape(len(chunk), -1).sum(1)
    return _Found(fired, None, flags.sum(axes, keepdims=True), levels.sum(axes, keepdims=True))


def _pieces(chunk: Array, beside: Array | None) -> Iterator[tuple[int, Array, Array, Array]]:
    """A chunk piece by piece: its step, the piece, what belongs to it of bytes beside it, and memory for flags.

    Args:
        beside: where none are given, there is memory for other flags.
    """
    first, second = _MEMORY.spare("first", pieces.PIECE), _MEMORY.spare("second", pieces.PIECE)
    for place, step in enumerate(chunk):
        others = [] if beside is None else [beside[place]]
        if step.flags.c_contiguous:
            step, others = step.reshape(-1), [other.reshape(-1) for other in others]
        for piece, parts in cut(step, pieces.PIECE, tuple(range(step.ndim)), *others):
            spare = second[: piece.size].reshape(piece.shape)
            yield place, piece, parts[0] if parts else first[: piece.size].reshape(piece.shape), spare


def _only_steps(chunk: Array, axes: tuple[int, ...]) -> bool:
    """Whether no dimension of a step stays."""
    return len(axes) + (0 not in axes) == chunk.ndim


def _by_step(sums: Array, chunk: Array, axes: tuple[int, ...]) -> Array:
    """Sums of the steps in the shape of the chunk's."""
    placed = sums.reshape(-1, *[1] * (chunk.ndim - 1))
    return placed.sum(0, keepdims=True) if 0 in axes else placed


def _at_each(levels: Array, top: int) -> Array:
    """Bytes at each level: a few levels are looked for one by one."""
    if top > _FEW_LEVELS:
        return torch.bincount(torch.from_numpy(levels.reshape(-1)), minlength=top + 1).numpy()
    flags = _MEMORY.spare("levels", levels.size).reshape(levels.shape)
    counts = [np.count_nonzero(np.equal(levels, level, out=flags)) for level in range(1, top + 1)]
    return np.array([levels.size - sum(counts), *counts])


def _sums(bytes_: Array, axes: tuple[int, ...], largest: int) -> Array:
    """Sums of bytes up to `largest` along some axes, which stay, of length 1.

    As long as sums fit into bytes, bytes add up ten times faster than anything wider.
    """
    if math.prod(bytes_.shape[axis] for axis in axes) * largest <= _BYTE:
        return _byte_sums(bytes_, axes) if axes else bytes_.copy()
    axis, *rest = axes
    length, block = bytes_.shape[axis], min(bytes_.shape[axis], _BYTE // largest)
    before, after = bytes_.shape[:axis], bytes_.shape[axis + 1 :]
    head, whole = (slice(None),) * axis, length - length % block
    blocks = bytes_[(*head, slice(whole))].reshape(*before, -1, block, *after)
    partial = _byte_sums(blocks, (axis + 1,)).squeeze(axis + 1)
    sums: Array = np.add.reduce(partial, (axis, *rest), dtype=np.int64, keepdims=True)
    return sums if whole == length else sums + _sums(bytes_[(*head, slice(whole, None))], axes, largest)


def _byte_sums(bytes_: Array, axes: tuple[int, ...]) -> Array:
    sums: Array = np.add.reduce(bytes_, axes, dtype=np.uint8, keepdims=True)
    return sums

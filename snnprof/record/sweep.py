"""Reads an operand on the CPU in one pass of compiled code (`_sweep.c`).

Where it was installed without a C compiler there is none, and PyTorch reads: the same counts, several passes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from snnprof.record.layout import Layout, layout
from snnprof.record.reduce import EXACT_INT, SCRATCH, Array, Steps, wide

try:
    from snnprof.record import _sweep as compiled
except ImportError:
    compiled = None  # type: ignore[assignment]

HISTOGRAM_LEVELS = 255
"""Levels that are told apart fit into a byte."""

_LARGEST = 1 << 18
_READ = frozenset([torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool])
_WORTHWHILE = 1 << 15
"""Elements that are worth a thread."""


@dataclass(frozen=True)
class Levels:
    """What an operand of whole multiples showed.

    Attributes:
        nonzero, levels: int64 `[steps, *kept]`, or int32 `[1, *kept]` if the steps were merged; one array for both
            where no level can exceed one.
        by_step: non-zero elements in each step, int64 `[steps]`.
        histogram: elements at level 0, 1, …, int64; None if there may be too many levels.
    """

    nonzero: Array
    levels: Array
    by_step: Array
    histogram: Array | None


def can_read(values: Tensor) -> bool:
    """Whether an operand on the CPU can be read here."""
    return compiled is not None and values.dtype in _READ and 0 < values.numel() < EXACT_INT and not values.is_neg()


def count(values: Tensor) -> int:
    """Non-zero elements."""
    return int(nonzero(values, None, ()).by_step[0])


def nonzero(values: Tensor, steps: Steps | None, keep: tuple[int, ...]) -> Levels:
    """Counts non-zero elements, whatever else they are."""
    values = wide(values)
    read = layout(tuple(values.shape), values.stride(), steps, keep)
    nonzero = np.zeros((read.shape[0], *read.sums), dtype=np.int32)
    by_step = _read(values, read, nonzero)
    assert by_step is not None
    sums = read.restored(nonzero).astype(np.int64)
    return Levels(sums, sums, by_step, None)


def levels(
    values: Tensor, scale: float, most: int, steps: Steps | None, keep: tuple[int, ...], *, merged: bool = False
) -> Levels | None:
    """Reads an operand that should hold multiples, from 0 to `most`, of 1 / scale; None where it does not.

    Args:
        values: a tensor that `can_read`, of any memory layout; flags have a scale of 1 and at most one level.
        scale: a power of two, so that to multiply by it is exact.
        merged: sums over the steps too, in working memory: the sums hold until the next call.
    """
    values = wide(values)
    read = layout(tuple(values.shape), values.stride(), steps, keep)
    if most >= _LARGEST or read.added * most >= EXACT_INT:
        return None
    shape = (1 if merged else read.shape[0], *read.sums)
    nonzero = _zeros(shape) if merged else np.zeros(shape, dtype=np.int32)
    level_sums = np.zeros(shape, dtype=np.int32) if most > 1 else None
    histogram = np.zeros(HISTOGRAM_LEVELS + 1, dtype=np.int64) if 1 < most <= HISTOGRAM_LEVELS else None
    by_step = _read(values, read, nonzero, level_sums, histogram, scale, most)
    if by_step is None:
        return None
    width = np.int32 if merged else np.int64
    sums = read.restored(nonzero).astype(width, copy=False)
    return Levels(
        nonzero=sums,
        levels=sums if level_sums is None else read.restored(level_sums).astype(width, copy=False),
        by_step=by_step,
        histogram=_spikes(values.numel(), by_step) if most == 1 else histogram,
    )


def _read(
    values: Tensor,
    read: Layout,
    nonzero: Array,
    levels: Array | None = None,
    histogram: Array | None = None,
    scale: float = 1.0,
    most: int = 0,
) -> Array | None:
    """Adds to the sums; non-zero elements by step, or None where not all are levels up to `most`, if that is given."""
    by_step = np.zeros(read.shape[0], dtype=np.int64)
    threads = max(1, min(torch.get_num_threads(), values.numel() // _WORTHWHILE))
    storage = values.untyped_storage()
    expected = compiled.read(
        storage.data_ptr(), storage.nbytes(), int(values.storage_offset()), values.element_size(),
        read.shape, read.strides, nonzero, levels, by_step, histogram, scale, most, threads,
    )  # fmt: skip
    return by_step if expected else None


def _zeros(shape: tuple[int, ...]) -> Array:
    """Sums to start with, in working memory."""
    size = math.prod(shape)
    sums = SCRATCH.take(size, torch.device("cpu"), torch.int32).numpy()[:size]
    sums.fill(0)
    return sums.reshape(shape)


def _spikes(elements: int, by_step: Array) -> Array:
    """The histogram of zeros and ones."""
    fired = by_step.sum()
    return np.array([elements - fired, fired])

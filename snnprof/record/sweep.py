"""Reads an operand on the CPU in one pass of compiled code (`_sweep.c`).

Where it was installed without a C compiler there is none, and PyTorch reads: the same counts, several passes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnprof.record.layout import layout
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


class Levels(NamedTuple):
    """What an operand of whole multiples showed.

    Attributes:
        nonzero, levels: int64 `[steps, *kept]`, or int32 `[1, *kept]` if the steps were merged; one array for both
            where no level can exceed one.
        by_step: non-zero elements in each step, int64 `[steps]`.
        histogram: elements at level 0, 1, …, int64; None if there may be too many levels, or none were asked for.
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
    found = levels(values, 1.0, 0, steps, keep)
    assert found is not None
    return found


def levels(
    values: Tensor, scale: float, most: int, steps: Steps | None, keep: tuple[int, ...], *, merged: bool = False
) -> Levels | None:
    """Reads an operand that should hold multiples, from 0 to `most`, of 1 / scale; None where it does not.

    Args:
        values: a tensor that `can_read`, of any memory layout; flags have a scale of 1 and at most one level.
        scale: a power of two, so that to multiply by it is exact.
        most: 0 where values may be anything.
        merged: sums over the steps too, in working memory: the sums hold until the next call.
    """
    values = wide(values)
    elements = values.numel()
    read = layout(values.shape, values.stride(), steps, keep)
    if most >= _LARGEST or read.added * most >= EXACT_INT:
        return None
    shape = (1 if merged else read.shape[0], *read.sums)
    nonzero = _zeros(shape) if merged else np.zeros(shape, dtype=np.int32)
    level_sums = np.zeros(shape, dtype=np.int32) if most > 1 else None
    by_step = np.zeros(read.shape[0], dtype=np.int64)
    histogram = np.zeros(HISTOGRAM_LEVELS + 1, dtype=np.int64) if 1 < most <= HISTOGRAM_LEVELS else None
    storage = values.untyped_storage()
    fired = compiled.read_operand(
        storage.data_ptr(), storage.nbytes(), int(values.storage_offset()), values.element_size(), read.shape,
        read.strides, nonzero, level_sums, by_step, histogram, scale, most,
        max(1, min(torch.get_num_threads(), elements // _WORTHWHILE)),
    )  # fmt: skip
    if fired is None:
        return None
    if most == 1:
        histogram = np.array([elements - fired, fired])
    sums = read.restored(nonzero) if merged else read.restored(nonzero).astype(np.int64) if keep else by_step
    return Levels(sums, sums if level_sums is None else read.restored(level_sums).astype(np.int64), by_step, histogram)


def _zeros(shape: tuple[int, ...]) -> Array:
    """Sums to start with, in working memory."""
    size = math.prod(shape)
    sums = SCRATCH.take(size, torch.device("cpu"), torch.int32).numpy()[:size]
    sums.fill(0)
    return sums.reshape(shape)

"""Reads an operand on the CPU in one pass of compiled code (`_sweep.c`).

Where it was installed without a C compiler there is none, and PyTorch reads: the same counts, several passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnprof.record.layout import Layout, layout
from snnprof.record.reduce import EXACT_INT, SCRATCH, Array, ByStep, Steps, by_step, wide

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
        by_step: non-zero elements in each step.
        nonzero, levels: int32 `[steps, *kept]`, or `[1, *kept]` if the steps were merged; one array for both where no
            level can exceed one. Of each step alone, where nothing is kept.
        histogram: elements at level 0, 1, …; None if there may be too many levels, or none were asked for.
    """

    by_step: ByStep
    nonzero: Array | ByStep
    levels: Array | ByStep
    histogram: Sequence[int] | None


def can_read(values: Tensor) -> bool:
    """Whether an operand on the CPU can be read here."""
    return compiled is not None and values.dtype in _READ and 0 < values.numel() < EXACT_INT and not values.is_neg()


def count(values: Tensor) -> int:
    """Non-zero elements."""
    return nonzero(values, None, ()).by_step[0]


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
    read = layout(values.shape, values.stride(), steps, keep)
    if most >= _LARGEST or read.added * most >= EXACT_INT:
        return None
    shape = (1 if merged else read.shape[0], *read.sums)
    level_sums = np.zeros(shape, dtype=np.int32) if most > 1 else None
    nonzero = _zeros(shape) if merged else np.zeros(shape, dtype=np.int32) if keep or most > 1 else None
    bins = np.zeros(HISTOGRAM_LEVELS + 1, dtype=np.int64) if 1 < most <= HISTOGRAM_LEVELS else None
    fired = _read(values, read, nonzero, level_sums, bins, scale, most)
    if fired is None:
        return None
    stepwise, total = ByStep(fired), sum(fired)
    histogram = (values.numel() - total, total) if most == 1 else None if bins is None else bins[: most + 1].tolist()
    arranged = read.restored if keep or merged else _of_steps
    sums = stepwise if nonzero is None else arranged(nonzero)
    return Levels(stepwise, sums, sums if level_sums is None else arranged(level_sums), histogram)


def _of_steps(sums: Array) -> ByStep:
    return ByStep(sums.ravel().tolist())


def _read(
    values: Tensor,
    read: Layout,
    nonzero: Array | None,
    levels: Array | None,
    bins: Array | None,
    scale: float,
    most: int,
) -> tuple[int, ...] | None:
    """Adds to the sums; non-zero elements by step, or None where not all are levels up to `most`, if that is given."""
    storage = values.untyped_storage()
    return compiled.read_operand(
        storage.data_ptr(), storage.nbytes(), int(values.storage_offset()), values.element_size(), read.shape,
        read.strides, nonzero, levels, bins, scale, most,
        max(1, min(torch.get_num_threads(), values.numel() // _WORTHWHILE)),
    )  # fmt: skip


def dot(left: Array, right: Array) -> ByStep:
    """Sums of the products of counts `[steps, ...]`, step by step; those on the right may be of all steps."""
    if left.dtype != np.int32:
        return ByStep(by_step(left * right))
    return ByStep(compiled.dot(left, right))


def _zeros(shape: tuple[int, ...]) -> Array:
    """Sums to start with, in working memory."""
    size = math.prod(shape)
    sums = SCRATCH.take(size, torch.device("cpu"), torch.int32).numpy()[:size]
    sums.fill(0)
    return sums.reshape(shape)

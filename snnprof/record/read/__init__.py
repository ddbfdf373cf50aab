"""Reads operands by the fastest backend for the device that their values are on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from snnprof.record.read import native, reference, triton
from snnprof.record.read.operand import Grid, Reach, Steps, Sums, paired, plain


class Backend(NamedTuple):
    """An implementation of `read`.

    Attributes:
        available: returns why it cannot be used on this machine; "" if it can.
        reads: returns whether it can read an operand.
        read: reads such an operand; the arguments are those of `read`.
    """

    available: Callable[[], str]
    reads: Callable[[Tensor], bool]
    read: Callable[[Tensor, Grid, Reach, Tensor, Steps | None, Sums | None], None]


BACKENDS = {
    "native": Backend(native.missing, native.reads, native.read),
    "triton": Backend(triton.missing, triton.reads, triton.read),
    "reference": Backend(reference.missing, reference.reads, reference.read),
}
"""The backends by name, the fastest first; the last one can read any operand."""


def read(
    values: Tensor, grid: Grid, reach: Reach, row: Tensor, steps: Steps | None = None, sums: Sums | None = None
) -> None:
    """Reads an operand once, without synchronising the device.

    Args:
        values: the operand, of any shape, dtype, memory layout and device.
        grid: the values that it is expected to hold. Whether it does is decided later, from the figures.
        reach: outputs that each value reaches: one number, or a table if that depends on the position.
        row: int64 zeros on the operand's device, `grid.width` for each time step. The read adds the figures
            (`operand.py`), then the elements at level 0, 1, …. For a real grid it adds only the non-zeros and the
            outputs that they reach.
        steps: where the time steps lie; None: the operand is one step.
        sums: counts along some dimensions that the read adds to, or None. Not together with a table.
    """
    values = plain(values)
    if values.numel():
        usable = (each for each in BACKENDS.values() if each.reads(values))
        backend = BACKENDS["reference"] if reference.tracing() else next(usable)
        try:
            backend.read(values, grid, reach, row, steps, sums)
        except triton.NoKernels:
            reference.read(values, grid, reach, row, steps, sums)


def multiply(left: Sums, right: Sums, row: Tensor) -> None:
    """Multiplies the counts of two operands and sums over their last dimension.

    Args:
        left: counts `[steps, *stack, K]` of the left operand.
        right: likewise of the right operand; the stacks broadcast.
        row: int64 zeros `[steps · 4]`; receives for each time step Σ_k of non-zeros × non-zeros, non-zeros × levels,
            levels × non-zeros, and levels × levels.
    """
    if not reference.tracing() and triton.reads(left.nonzero):
        triton.multiply(left, right, paired(left.nonzero, right.nonzero), row)
    else:
        reference.multiply(left, right, row)

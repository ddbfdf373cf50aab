"""Reading an operand: one interface, and whatever is fastest where its values lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from snnprof.record.read import native, reference, triton
from snnprof.record.read.operand import Grid, Reach, Steps, Sums, paired, plain


class Backend(NamedTuple):
    """A way to read.

    Attributes:
        available: why it cannot be used on this machine; empty where it can.
        reads: whether it can read such an operand.
        read: reads one that it can.
    """

    available: Callable[[], str]
    reads: Callable[[Tensor], bool]
    read: Callable[[Tensor, Grid, Reach, Tensor, Steps | None, Sums | None], None]


BACKENDS = {
    "native": Backend(native.missing, native.reads, native.read),
    "triton": Backend(triton.missing, triton.reads, triton.read),
    "reference": Backend(reference.missing, reference.reads, reference.read),
}
"""By name, the fastest first; the last one reads anything."""


def read(
    values: Tensor, grid: Grid, reach: Reach, row: Tensor, steps: Steps | None = None, sums: Sums | None = None
) -> None:
    """Reads an operand once, and waits for no device.

    Args:
        values: the operand, of any shape, dtype, memory layout and device.
        grid: what it is expected to hold; what it holds decides, later, from the figures.
        reach: outputs that each of its values reaches; a table where that depends on the place.
        row: int64 zeros on its device, for each step `grid.width` of them: the figures (`operand.py`), then elements at
            level 0, 1, …. Where the grid is real there are only non-zeros and what they reach.
        steps: where its time steps lie; None takes the whole for one step.
        sums: what is kept beside; no table then.
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
    """Products of the counts of two operands that meet along their last dimension.

    Args:
        left, right: sums `[steps, *stack, K]`; the stacks broadcast.
        row: int64 zeros for each step and Σ_k: non-zeros by non-zeros, non-zeros by levels, levels by non-zeros, and
            levels by levels.
    """
    if not reference.tracing() and triton.reads(left.nonzero):
        triton.multiply(left, right, paired(left.nonzero, right.nonzero), row)
    else:
        reference.multiply(left, right, row)

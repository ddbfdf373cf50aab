"""Where the time steps lie in a storage or a tensor.

Known for inputs and neuron outputs, and from there on carried from operand to result by their shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from snnprof.record.operators import operator


@dataclass(frozen=True)
class TimeStride:
    """Where the time steps lie in a storage: the element at offset o belongs to step (o // stride) % size.

    A stride of 0 stands for an expanded axis, whose steps share their elements.
    """

    stride: int
    size: int


@dataclass(frozen=True)
class TimeDim:
    """Where the time steps lie in a tensor: index i along `dim` belongs to step (i // inner) % size."""

    dim: int
    inner: int
    size: int


def folding(tensor: Tensor, axis: TimeStride | None) -> TimeDim | None:
    """Where a storage's time steps lie in a tensor that views it; None if it has one step or shows them nowhere."""
    if axis is None or axis.size <= 1:
        return None
    for dim, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        if axis.stride == 0:
            if stride == 0 and size == axis.size:
                return TimeDim(dim, 1, size)
        elif stride and axis.stride % stride == 0:
            inner = axis.stride // stride
            if size % (inner * axis.size) == 0:
                return TimeDim(dim, inner, axis.size)
    return None


def axis_of(tensor: Tensor, fold: TimeDim | None) -> TimeStride | None:
    """The inverse of `folding`: where a tensor's time steps lie in its storage."""
    if fold is None or fold.dim >= tensor.dim():
        return None
    return TimeStride(fold.inner * tensor.stride(fold.dim), fold.size)


GONE = TimeStride(0, 1)
"""Known to have no time axis, like a mean over time, or one step of many."""


def carried(
    name: str, output: Tensor, inputs: Sequence[tuple[Tensor, TimeStride | None]], args: tuple[Any, ...]
) -> TimeStride | None:
    """The time axis of an operator's output: that of the first input whose time dimension remains, at its full size.

    `GONE` if inputs have a time axis but none remains; None if no input has one.
    """
    for tensor, axis in inputs:
        fold = folding(tensor, axis)
        if fold is None:
            continue
        dim = _moved(name, fold.dim, tensor, output, args)
        if dim is not None and 0 <= dim < output.dim() and output.shape[dim] == tensor.shape[fold.dim]:
            return axis_of(output, replace(fold, dim=dim))
    return GONE if any(axis for _, axis in inputs) else None


def _moved(name: str, dim: int, tensor: Tensor, output: Tensor, args: tuple[Any, ...]) -> int | None:
    """The dimension of the result that a dimension of an operand becomes; None if it was reduced."""
    more = output.dim() - tensor.dim()
    if name == "stack":
        new = (args[1] if len(args) > 1 else 0) % output.dim()
        return dim + (dim >= new)
    if operator(name).reduces and len(args) > 1 and not isinstance(args[1], Tensor):
        along = [args[1]] if isinstance(args[1], int) else list(args[1] or range(tensor.dim()))
        reduced = {axis % tensor.dim() for axis in along}
        if dim in reduced:
            return None
        return dim - sum(axis < dim for axis in reduced) if more else dim
    return dim + max(more, 0)  # broadcasting adds dimensions at the front, products drop them at the back

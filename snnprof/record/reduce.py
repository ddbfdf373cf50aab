"""Exact sums of whole numbers over most of a tensor's dimensions, and the working memory they share."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnprof.record.memory import zeros

P = ParamSpec("P")
R = TypeVar("R")
Array = NDArray[Any]


class ByStep(tuple[int, ...]):
    """Whole numbers of each step on the host; a tensor of them is multiplied and added up in the same words."""

    __slots__ = ()

    def __mul__(self, factor: int) -> ByStep:  # type: ignore[override]
        return ByStep([number * factor for number in self])


Counts = Tensor | Array | ByStep
"""Counts of each step: on the device they were counted on, or where values were read on the host, there; arrays where
dimensions were kept."""


EXACT = 1 << 24
"""Float32 counts one by one up to here."""
EXACT_INT = 1 << 31

_SUMS_FLAGS = torch.torch_version.TorchVersion(torch.__version__) >= "2.13"
"""Whether the compiler adds flags up in int32: what torch 2.6 writes for that is no valid C++."""


class _Trace(threading.local):
    """Whether a thread traces; others go on counting."""

    on = False


_TRACE = _Trace()


def tracing() -> bool:
    """Whether counts become part of a compiled graph: no value can be asked for, and no memory be reused."""
    return _TRACE.on


@contextmanager
def traced() -> Iterator[None]:
    """Counts inside are traced, not run."""
    before, _TRACE.on = _TRACE.on, True
    try:
        yield
    finally:
        _TRACE.on = before


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """Keeps a function's results, but for those of a traced graph: sizes may be symbols there, tensors no memory."""
    keeping = functools.lru_cache(maxsize=4096)(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs) if _TRACE.on else keeping(*args, **kwargs)  # type: ignore[arg-type]

    return call


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


def wide(values: Tensor) -> Tensor:
    """Floats as float32 or float64, flags as they are: 16 bits hold few whole numbers, and NumPy lacks some of them."""
    return values if values.dtype in (torch.float32, torch.float64, torch.bool) else values.float()


def broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    """What shapes broadcast to; NumPy is faster, and knows no symbolic sizes."""
    return tuple(torch.broadcast_shapes(*shapes) if tracing() else np.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


def by_step(counts: Counts) -> Any:
    """Counts `[steps, ...]` summed over all but the steps."""
    if isinstance(counts, ByStep):
        return counts
    if not isinstance(counts, Tensor):
        return ByStep(counts.reshape(len(counts), -1).sum(1, dtype=np.int64).tolist())
    if tracing():  # a dimension at a time: before a long sum, the compiler settles how its operand lies in memory;
        # rows of memory last, since to add up one is slow
        return counts if counts.dim() < 2 else by_step(counts.sum(1))
    return counts.sum(list(range(1, counts.dim()))) if counts.dim() > 1 else counts


def over_steps(counts: Tensor) -> Tensor:
    """Counts `[steps, *kept]` summed over the steps, `[*kept]`, laid out as they are."""
    return _laid_out(counts, [], list(range(1, counts.dim())), lambda values: values.sum(0, keepdim=True))[0]


def folded(values: Tensor, steps: Steps | None) -> Tensor:
    """`values` with its time steps as first axis and the folded dimension as (outer, inner); a view."""
    if steps is None:
        return values.unsqueeze(0)
    split = steps.split(values.shape[steps.dim])
    return values.view(*values.shape[: steps.dim], *split, *values.shape[steps.dim + 1 :]).movedim(steps.dim + 1, 0)


def axes_of(dim: int, steps: Steps | None) -> tuple[int, ...]:
    """Where a dimension of an operand stands after `folded`."""
    if steps is None or dim < steps.dim:
        return (dim + 1,)
    return (dim + 1, dim + 2) if dim == steps.dim else (dim + 2,)


def in_stretches(values: Tensor, steps: Steps | None) -> bool:
    """Whether the steps of an operand without gaps follow each other in memory, each in one stretch."""
    if steps is None:
        return True
    length = values.shape[steps.dim]
    return values.stride(steps.dim) * length == values.numel() and steps.split(length)[0] == 1


def flagged(compare: Callable[..., Tensor], values: Tensor, other: float) -> Tensor:
    """Where a comparison holds, to be counted: ones in working memory, and flags in a traced graph."""
    return compare(values, other) if tracing() else compare(values, other, out=scratch(values))


def reduced(
    values: Tensor, steps: Steps | None, keep: tuple[int, ...], largest: int, *, batch_first: bool = False
) -> Tensor:
    """Exact sums over all but the steps and the dimensions kept, as float64 `[steps, *kept]`.

    Float32 sums whole numbers exactly below 2²⁴; larger sums go on in float64. A compiled graph counts flags in int32,
    where it can, which is faster; but not along rows of memory, where its float32 is.

    Args:
        batch_first: a compiled graph sums over the batch first, which is all that it then reads the operand for: what
            else is asked of the operand starts from there.
    """
    if not tracing() and not keep and steps is None and values.numel() * max(largest, 1) < EXACT:
        return values.sum(dtype=_exact(values)).double().unsqueeze(0)
    stepped, largest = folded(values, steps), max(largest, 1)
    kept = [axis for dim in keep for axis in axes_of(dim, steps)]
    if batch_first and tracing():
        batch = [axis for axis in axes_of(steps.dim if steps else 0, steps) if axis not in kept]
        stepped, largest = _batch_summed(stepped, batch, largest)
    drop = [d for d in range(1, stepped.dim()) if d not in kept]
    if not drop:
        return stepped.to(torch.float64, copy=True)  # working memory is used again
    in_rows = tracing() and bool(kept) and any(stepped.stride(d) == 1 < stepped.shape[d] for d in drop)
    exact = torch.float32 if in_rows else _exact(stepped)
    return _laid_out(stepped, drop, kept, lambda values: _summed(values, len(drop), largest, exact))


def _laid_out(stepped: Tensor, drop: list[int], kept: list[int], add: Callable[[Tensor], Tensor]) -> Tensor:
    """What `add` makes of `[steps, *drop, *kept]`, which it sums over `drop`; laid out as the operand is.

    Into another order, sums over a transposed operand are ten times slower.
    """
    order = sorted(kept, key=stepped.stride, reverse=True)
    sums = add(stepped.permute(0, *drop, *order))
    return sums.permute(0, *(1 + order.index(axis) for axis in kept))


def _batch_summed(stepped: Tensor, batch: list[int], largest: int) -> tuple[Tensor, int]:
    """Sums over the axes of the batch, which stay with length one, laid out as the operand; and how large they get."""
    count = math.prod(stepped.shape[axis] for axis in batch)
    if count == 1 or count * largest >= EXACT:
        return stepped, largest
    rest = [axis for axis in range(1, stepped.dim()) if axis not in batch]
    added = tuple(range(1, 1 + len(batch)))
    sums = _laid_out(stepped, batch, rest, lambda values: values.sum(added, dtype=_exact(values)))
    return sums.reshape([1 if d in batch else size for d, size in enumerate(stepped.shape)]), count * largest


def _summed(values: Tensor, count: int, largest: int, exact: torch.dtype) -> Tensor:
    """Sums over dimensions 1 … count of whole numbers up to `largest`, as float64; in `exact` as far as it is."""
    drop = list(range(1, count + 1))
    bound = EXACT_INT if exact is torch.int32 else EXACT
    if math.prod(values.shape[1 : count + 1]) * largest < bound:
        return values.sum(drop, dtype=exact).double()
    fitting = [d for d in drop if values.shape[d] * largest < bound]
    first = max(fitting or drop, key=lambda d: values.shape[d])
    partial = values.sum(first, keepdim=True, dtype=exact if fitting else torch.float64)
    return partial.double().sum(drop)


def _exact(values: Tensor) -> torch.dtype:
    return torch.int32 if values.dtype in (torch.bool, torch.int32) and _SUMS_FLAGS else torch.float32


def extent(values: Tensor, steps: Steps | None) -> Tensor:
    """The largest magnitude in each step, as float64 `[steps]`."""
    return torch.maximum(_extreme(torch.amax, values, steps), -lowest(values, steps)).double()


def lowest(values: Tensor, steps: Steps | None) -> Tensor:
    """The smallest value in each step, `[steps]`."""
    return _extreme(torch.amin, values, steps)


def _extreme(of: Callable[..., Tensor], values: Tensor, steps: Steps | None) -> Tensor:
    """The largest or smallest value in each step; 0 where there are none."""
    stepped = folded(values, steps)
    if not tracing() and not values.numel():
        return stepped.new_zeros(len(stepped))
    return of(stepped, list(range(1, stepped.dim())))


class _Pool(threading.local):
    """One buffer a device and dtype, reused by every count: fresh memory costs more than the arithmetic in it."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def take(self, size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        buffer = self.buffers.get((device, dtype))
        if buffer is None or buffer.numel() < size:
            buffer = self.buffers[device, dtype] = zeros((size,), dtype, device)
        return buffer

    def clear(self) -> None:
        self.buffers.clear()


SCRATCH = _Pool()


def scratch(values: Tensor) -> Tensor:
    """Working memory with the layout of `values`, so that a transposed operand is read in its own order."""
    if _TRACE.on:
        return torch.empty_like(values)
    buffer = SCRATCH.take(values.numel(), values.device, values.dtype)
    strides = values.stride() if is_dense(values) else torch.empty(values.shape, device="meta").stride()
    return buffer.as_strided(values.shape, strides)


def is_dense(values: Tensor) -> bool:
    """Its elements fill a stretch of memory without gap or overlap, in whatever order."""
    if values.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted((t, s) for s, t in zip(values.shape, values.stride(), strict=True) if s != 1):
        if stride != expected:
            return False
        expected *= size
    return True


def is_whole(values: Tensor) -> bool:
    """Whether every element of the storage is one of these values, once."""
    return values.numel() * values.element_size() == values.untyped_storage().nbytes() and is_dense(values)

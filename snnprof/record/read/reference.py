"""Reads operands in plain PyTorch: on any device, of any dtype, and while a compiled graph is traced.

The tests compare the other backends with this one. A traced read becomes part of the graph, so it is written in the
form that compiles to the fastest code: only one sum over the operand itself, over the batch, and no int64 before the
last sum.
"""

from __future__ import annotations

import functools
import itertools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from snnprof.record.read.operand import LARGEST, SINGLE, Grid, Reach, Steps, Sums, axes_of, folded, wide

P = ParamSpec("P")
R = TypeVar("R")
_FEW = 64
"""The most levels that a traced graph compares the operand with one by one."""
_EXACT = 1 << 24
"""Up to here float32 represents all whole numbers."""
_INFINITE = 0x7FF0000000000000
"""The bits of infinity as a float64."""
_ADDS_FLAGS = torch.torch_version.TorchVersion(torch.__version__) >= "2.13"
"""Whether the compiler can sum bools in int32; older versions generate invalid C++ for it."""


class _Trace(threading.local):
    """Whether this thread traces a graph; other threads go on counting."""

    on = False


_TRACE = _Trace()


def tracing() -> bool:
    """Whether counts become part of a compiled graph, which forbids reading a value and reusing memory."""
    return _TRACE.on


@contextmanager
def traced() -> Iterator[None]:
    """Makes reads inside the block part of the graph that is traced."""
    before, _TRACE.on = _TRACE.on, True
    try:
        yield
    finally:
        _TRACE.on = before


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """Caches a function's results, except while tracing, when sizes may be symbols and tensors have no memory."""
    keeping = functools.lru_cache(maxsize=4096)(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs) if _TRACE.on else keeping(*args, **kwargs)  # type: ignore[arg-type]

    return call


def missing() -> str:
    """Always "": plain PyTorch can be used on every machine."""
    return ""


def reads(values: Tensor) -> bool:
    """Always True: plain PyTorch can read any operand."""
    return True


def read(
    values: Tensor, grid: Grid, reach: Reach, row: Tensor, steps: Steps | None = None, sums: Sums | None = None
) -> None:
    """Reads an operand as `snnprof.record.read.read` says.

    If only zeros and ones are expected, a traced read records whether there is another value, but not how far that is
    from the grid: for the distance the graph would have to read the operand once more.
    """
    values = values.float() if tracing() and values.dtype is torch.bool else values  # as the model's own layers do
    stepped = folded(wide(values), steps)
    apart = axes_of(sums.keep, steps) if sums else _along(reach, stepped)
    batch = set(axes_of([steps.dim if steps else 0], steps)) & set(range(stepped.dim())) - set(apart)
    add = functools.partial(_added, apart=apart, first=sorted(batch) if tracing() else [])
    fired = add(stepped != 0)
    if sums is not None:
        _keep(sums.nonzero, fired)
    nonzero, reached = _in_all(fired), _reached(fired, reach)
    if grid.quantum is None:
        figures = [nonzero, torch.zeros_like(nonzero), reached, *[torch.zeros_like(nonzero)] * 3]
    elif grid == SINGLE and tracing():
        ones = _in_all(add(stepped == 1))
        # Of a neuron layer's output (kept sums, no reach) the levels are counted even if they are not on the grid.
        levels = ones if sums is None or reach else _in_all(add(stepped.float().abs()))
        strange = torch.where(ones == nonzero, 0, _INFINITE)
        figures = [nonzero, levels, reached, reached, torch.zeros_like(nonzero), strange]
    else:
        level, distance = _levels(stepped, grid)
        total = add(level)
        if sums is not None and sums.levels is not None:
            _keep(sums.levels, total)
        negative = _in_all(add((stepped < 0) & (level > 0)))
        farthest = torch.nan_to_num(_largest(distance), nan=math.inf, posinf=math.inf).double().view(torch.int64)
        figures = [nonzero, _in_all(total), reached, _reached(total, reach), negative, farthest]
        figures += _histogram(level, grid.levels, add) if grid.bins else []
    row.view(len(stepped), grid.width).copy_(torch.stack(figures, 1))


def _along(reach: Reach, stepped: Tensor) -> list[int]:
    """The axes along which an element's reach differs."""
    return list(range(stepped.dim() - reach.dim(), stepped.dim())) if isinstance(reach, Tensor) else []


def _reached(counts: Tensor, reach: Reach) -> Tensor:
    """Σ of counts × outputs reached, `[steps]`; counts are `[steps, ...]`, or `[steps, *table]` for a table."""
    if not isinstance(reach, Tensor):
        return _in_all(counts) * reach
    return _in_all(counts * reach.double() if tracing() else counts.long() * reach)


def _in_all(counts: Tensor) -> Tensor:
    """Sums counts `[steps, ...]` for each time step, int64 `[steps]`.

    A traced sum takes one dimension at a time: for a long sum over several, the compiler would first fix the operand's
    memory layout, and then add up its rows value by value.
    """
    if not tracing():
        return counts.reshape(len(counts), -1).sum(1, dtype=torch.int64)
    while counts.dim() > 1:
        counts = _summed(counts, [1], counts.dtype)
    return counts.long()


def _added(counts: Tensor, apart: Sequence[int], first: Sequence[int]) -> Tensor:
    """Sums bools or levels `[steps, ...]` over all axes but the steps and those in `apart`: `[steps, *apart]`.

    A traced sum begins with the axes `first`, because all reads of an operand in the graph share that part.
    """
    if tracing():
        return _added_in_turn(counts, apart, first)
    whole = torch.int32 if counts.dtype is torch.bool else torch.int64
    if not apart:
        return counts.reshape(len(counts), -1).sum(1, dtype=whole)
    drop = [axis for axis in range(1, counts.dim()) if axis not in apart]
    return _summed(counts, drop, whole) if drop else counts.to(whole)


def _added_in_turn(counts: Tensor, apart: Sequence[int], first: Sequence[int]) -> Tensor:
    """Sums in the order that compiles to the fastest code: bools over the batch in int32, then axis by axis.

    The later sums use float32 if it is exact, because compiled sums of integers along rows of memory are slow. All
    reads of an operand use the same order, so that the graph shares the common part.
    """
    flags, real = counts.dtype is torch.bool, counts.is_floating_point()
    few = flags and counts.numel() // len(counts) < _EXACT
    whole = torch.float32 if few else torch.float64 if flags or real else torch.int64
    left = [axis for axis in range(counts.dim()) if axis not in first]
    if first:
        counts = _summed(counts, first, torch.int32 if flags and _ADDS_FLAGS else torch.float32 if real else whole)
    counts = counts.to(whole)
    for axis in left[1:]:
        if axis not in apart:
            counts = _summed(counts, [left.index(axis)], whole)
            left = [other for other in left if other != axis]
    return counts


def _summed(counts: Tensor, drop: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Sums over some axes; the result keeps the operand's memory order, since another order is ten times slower."""
    keep = [axis for axis in range(counts.dim()) if axis not in drop]
    order = sorted(keep, key=counts.stride, reverse=True)
    summed = counts.permute(*drop, *order).sum(list(range(len(drop))), dtype=dtype)
    return summed.permute([order.index(axis) for axis in keep])


def _keep(sums: Tensor, counts: Tensor) -> None:
    """Adds counts to kept sums, over all time steps if the sums do not keep them apart."""
    sums += counts.to(sums.dtype) if sums.dim() == counts.dim() else counts.sum(0, dtype=sums.dtype)


def _levels(stepped: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """|level| of each element (0 if it is not finite), and the element's distance from that level."""
    size = stepped.abs() if stepped.is_floating_point() else stepped.float()
    if grid.quantum != 1.0:
        # Divides by a tensor: for a plain number, a GPU would multiply by its inverse.
        size = size * (1 / grid.quantum) if grid.exact else size / size.new_full((1,), grid.quantum)  # type: ignore[operator, arg-type]
    level = torch.round(size)
    distance = (level - size).abs()
    return torch.where(distance.isfinite(), level, 0.0).clamp(max=LARGEST).to(torch.int32), distance


def _largest(distance: Tensor) -> Tensor:
    """The largest distance of each time step."""
    return distance.reshape(len(distance), -1).amax(1)


def _histogram(level: Tensor, levels: int, add: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Elements at level 0, 1, … of each time step, `[steps]` each; levels above the bound count as the bound.

    A traced graph compares the operand with each level, in one loop over it; otherwise a scatter fills the bins.
    """
    size, rows = level[0].numel(), len(level)
    if tracing() and levels <= _FEW:
        above = [_in_all(add(level >= n)) for n in range(1, levels + 1)]
        number = [torch.full_like(above[0], size), *above, torch.zeros_like(above[0])]
        return [here - next_one for here, next_one in itertools.pairwise(number)]
    first = torch.arange(rows, device=level.device).unsqueeze(1) * (levels + 1)
    bins = (level.reshape(rows, -1).clamp(max=levels) + first).flatten()
    counted = torch.zeros(rows * (levels + 1), dtype=torch.int64, device=level.device)
    counted.scatter_add_(0, bins, torch.ones_like(bins))
    return list(counted.view(rows, -1).unbind(1))


def multiply(left: Sums, right: Sums, row: Tensor) -> None:
    """Multiplies counts as `snnprof.record.read.multiply` says."""
    whole = torch.float64 if tracing() else torch.int64
    one, other = left.nonzero.to(whole), right.nonzero.to(whole)
    of_one = one if left.levels is None else left.levels
    of_other = other if right.levels is None else right.levels
    pairs = [(one, other), (one, of_other), (of_one, other), (of_one, of_other)]
    if one.dim() == other.dim():
        products = [_in_all(a * b) for a, b in pairs]
    else:  # stacks of different depth have no time steps
        products = [_in_all((a[0] * b[0]).unsqueeze(0)) for a, b in pairs]
    row.view(-1, 4).copy_(torch.stack(products, 1))

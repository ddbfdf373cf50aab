"""Reads an operand's values: non-zeros, levels and kind, step by step, without a copy kept or a device waited for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

SILENT, SPIKES, REAL = 0, 1, 2
HISTOGRAM_LEVELS = 256
_JOINED_LEVELS = 64
_EXACT = 1 << 24  # float32 counts one by one up to here


_TRACING = False


def tracing() -> bool:
    """Whether counts become part of a compiled graph: no value can be asked for, and no memory be reused."""
    return _TRACING


@contextmanager
def traced() -> Iterator[None]:
    """Counts inside are traced, not run."""
    global _TRACING
    before, _TRACING = _TRACING, True
    try:
        yield
    finally:
        _TRACING = before


@dataclass(frozen=True)
class Steps:
    """Where the time steps lie in an operand: index i along `dim` belongs to step (i // inner) % size.

    `inner` None means that the axis comes first (time-major), so that `inner` follows the batch size.
    """

    dim: int
    size: int
    inner: int | None = None


@dataclass(frozen=True)
class Grid:
    """The values an operand is expected to take: multiples of `quantum` up to `levels`; quantum None is real."""

    quantum: float | None = None
    levels: int = 0
    signed: bool = False

    @property
    def binary(self) -> bool:
        return self.quantum == 1.0 and self.levels == 1 and not self.signed


@dataclass(frozen=True)
class Tally:
    """What one operand held in one call, summed over all but the steps (first axis) and the axes kept.

    Attributes:
        nonzero, levels: float64 `[steps, *kept]`; Σ 1 and Σ |x / quantum| over non-zero elements.
        kind: int64 `[steps]`, one of SILENT, SPIKES, REAL.
        elements: elements per step.
        residual: float64 `[steps]`: largest distance from the grid.
        negative: bool `[steps]`.
        histogram: float64 `[levels + 1]`, or None where too many levels are possible.
    """

    nonzero: Tensor
    levels: Tensor
    kind: Tensor
    elements: int
    residual: Tensor | None = None
    negative: Tensor | None = None
    histogram: Tensor | None = None


def tally(values: Tensor, grid: Grid, steps: Steps | None, keep: tuple[int, ...]) -> Tally:
    """Counts one operand.

    Args:
        values: the operand, any shape, dtype and memory layout.
        grid: what provenance expects of it; the values decide whether it holds, step by step.
        steps: where its time steps lie; None takes the whole call for one step.
        keep: dimensions (from the front) that stay apart.
    """
    values = values.detach()
    if not values.is_floating_point():
        values = values.float()
    count = steps.size if steps else 1
    elements = values.numel() // count
    if grid.binary and _may_ask(values) and _all_binary(values):
        nonzero = reduced(values, steps, keep, 1)
        by_step = nonzero.reshape(count, -1).sum(1).tolist()
        kind = torch.tensor([SPIKES if spikes else SILENT for spikes in by_step])
        histogram = torch.tensor([values.numel() - sum(by_step), sum(by_step)], dtype=torch.float64)
        return Tally(nonzero, nonzero, kind, elements, None, None, histogram)
    mask = torch.ne(values, 0, out=_scratch(values))
    nonzero = reduced(mask, steps, keep, 1)
    silent = nonzero.reshape(count, -1).sum(1) == 0
    if grid.quantum is None:
        return Tally(nonzero, nonzero, torch.where(silent, SILENT, REAL), elements)
    if grid.binary:
        residual = extent(mask.sub_(values), steps)
        kind = torch.where(silent, SILENT, torch.where(residual == 0, SPIKES, REAL))
        on_grid = (kind != REAL).double()
        ones = (nonzero.reshape(count, -1).sum(1) * on_grid).sum()
        histogram = torch.stack([elements * on_grid.sum() - ones, ones])
        return Tally(nonzero, nonzero, kind, elements, residual, None, histogram)
    return _levelled(values, grid, steps, keep, nonzero, silent, elements)


def _levelled(
    values: Tensor, grid: Grid, steps: Steps | None, keep: tuple[int, ...], nonzero: Tensor, silent: Tensor, size: int
) -> Tally:
    """Operands with more than one level, a sign, or a quantum other than one."""
    assert grid.quantum is not None
    wide = values if values.dtype in (torch.float32, torch.float64) else values.float()
    on_grid = wide if grid.quantum == 1.0 else wide / grid.quantum
    level = torch.round(on_grid)
    residual = extent(level - on_grid, steps)
    kind = torch.where(silent, SILENT, torch.where(residual <= tolerance(values.dtype, grid.levels), SPIKES, REAL))
    negative = folded(level, steps).flatten(1).amin(1) < 0
    level = level.abs_()
    levels = reduced(level, steps, keep, grid.levels)
    real = (kind == REAL).reshape(-1, *[1] * (levels.dim() - 1))
    levels = torch.where(real, nonzero, levels)
    histogram = None
    if grid.levels <= HISTOGRAM_LEVELS:
        histogram = _histogram(_on_grid(level, steps, kind), grid.levels)
    return Tally(nonzero, levels, kind, size, residual, negative & (kind == SPIKES), histogram)


def _may_ask(values: Tensor) -> bool:
    """Whether a value can be looked at without waiting for a device."""
    return values.device.type == "cpu" and not _TRACING


def _all_binary(values: Tensor) -> bool:
    """Whether every value is 0 or 1: none outside [0, 1], and x − x² (never negative there) sums to nothing.

    It asks the device, so it is for the CPU, where that costs no waiting and saves most of the reading.
    """
    low, high = torch.aminmax(values)
    if not (low.item() >= 0 and high.item() <= 1):
        return False
    return torch.addcmul(values, values, values, value=-1, out=_scratch(values)).sum().item() == 0


def _on_grid(level: Tensor, steps: Steps | None, kind: Tensor) -> Tensor:
    """The levels of the steps that are on the grid; −1, which no bin takes, stands for the others on a device."""
    if not _may_ask(level):
        stepped = folded(level, steps)
        return torch.where((kind == REAL).reshape(-1, *[1] * (stepped.dim() - 1)), -1.0, stepped)
    return folded(level, steps)[kind != REAL] if bool((kind == REAL).any()) else level


def _histogram(level: Tensor, levels: int) -> Tensor:
    """Elements at |level| 0, 1, …, as float64 `[levels + 1]`; what exceeds the bound counts as the bound.

    A device counts all bins in one go; the CPU is faster level by level, up to the largest there is, and a compiled
    graph joins the passes over the levels into one.
    """
    if _TRACING and levels <= _JOINED_LEVELS:
        at_least = torch.stack([_at_least(level, n) for n in range(levels + 1)])
        return at_least - torch.nn.functional.pad(at_least[1:], (0, 1))
    if not _may_ask(level):
        return torch.histc(level.float().clamp(max=levels), levels + 1, -0.5, levels + 0.5).double()
    top = min(int(level.max()), levels) if level.numel() else 0
    if top > 8:
        return torch.bincount(level.clamp(0, levels).to(torch.int32).flatten(), minlength=levels + 1).double()
    counts = torch.zeros(levels + 2, dtype=torch.float64)
    counts[0] = level.numel()
    for n in range(1, top + 1):
        counts[n] = _at_least(level, n)
    return counts[:-1] - counts[1:]


def _at_least(level: Tensor, n: int) -> Tensor:
    """Elements whose level is at least n; float64 scalar."""
    return reduced(torch.ge(level, n, out=_scratch(level)), None, (), 1).sum()


def tolerance(dtype: torch.dtype, levels: int) -> float:
    """How far from the grid rounding alone can leave a value: a few units in the last place of the largest one."""
    if levels <= 1:
        return 2 * torch.finfo(dtype).eps
    return min(4 * torch.finfo(dtype).eps * max(levels, 1), 0.25)


def nonzero_total(values: Tensor) -> Tensor:
    """Non-zero elements, as an int64 scalar on the device."""
    values = values.detach()
    if not values.is_floating_point():
        values = values.float()
    return reduced(torch.ne(values, 0, out=_scratch(values)), None, (), 1).sum().long()


def folded(values: Tensor, steps: Steps | None) -> Tensor:
    """`values` with its time steps as first axis and the folded dimension as (outer, inner); a view."""
    if steps is None:
        return values.unsqueeze(0)
    size = values.shape[steps.dim]
    inner = size // steps.size if steps.inner is None else steps.inner
    outer = size // (steps.size * inner)
    shape = (*values.shape[: steps.dim], outer, steps.size, inner, *values.shape[steps.dim + 1 :])
    return values.view(shape).movedim(steps.dim + 1, 0)


def _axes(dim: int, steps: Steps | None) -> tuple[int, ...]:
    """Where a dimension of an operand stands after `folded`."""
    if steps is None or dim < steps.dim:
        return (dim + 1,)
    return (dim + 1, dim + 2) if dim == steps.dim else (dim + 2,)


def reduced(values: Tensor, steps: Steps | None, keep: tuple[int, ...], largest: int) -> Tensor:
    """Exact sums over all but the steps and the dimensions kept, as float64 `[steps, *kept]`.

    Float32 sums whole numbers exactly below 2²⁴; larger sums go on in float64.
    """
    if not keep and steps is None and values.numel() * max(largest, 1) < _EXACT:
        return values.sum(dtype=torch.float32).double().unsqueeze(0)
    stepped = folded(values, steps)
    kept = [axis for dim in keep for axis in _axes(dim, steps)]
    drop = [d for d in range(1, stepped.dim()) if d not in kept]
    if not drop:
        return stepped.double()
    # A result laid out as its operand is: into another order, sums over a transposed operand are ten times slower.
    order = sorted(kept, key=stepped.stride, reverse=True)
    sums = _summed(stepped.permute(0, *drop, *order), len(drop), max(largest, 1))
    return sums.permute(0, *(1 + order.index(axis) for axis in kept))


def _summed(values: Tensor, count: int, largest: int) -> Tensor:
    """Sums over dimensions 1 … count of whole numbers up to `largest`, as float64."""
    drop = list(range(1, count + 1))
    if math.prod(values.shape[1 : count + 1]) * largest < _EXACT:
        return values.sum(drop, dtype=torch.float32).double()
    fitting = [d for d in drop if values.shape[d] * largest < _EXACT]
    first = max(fitting or drop, key=lambda d: values.shape[d])
    partial = values.sum(first, keepdim=True, dtype=torch.float32 if fitting else torch.float64)
    return partial.double().sum(drop)


def extent(values: Tensor, steps: Steps | None) -> Tensor:
    """The largest magnitude in each step, as float64 `[steps]`."""
    stepped = folded(values, steps)
    dims = list(range(1, stepped.dim()))
    return torch.maximum(stepped.amax(dims), -stepped.amin(dims)).double()


class _Pool:
    """One buffer a device and dtype, reused by every count: fresh memory costs more than the arithmetic in it."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def take(self, like: Tensor) -> Tensor:
        key = (like.device, like.dtype)
        buffer = self.buffers.get(key)
        if buffer is None or buffer.numel() < like.numel():
            buffer = torch.empty(like.numel(), dtype=like.dtype, device=like.device)
            self.buffers[key] = buffer
        return buffer

    def clear(self) -> None:
        self.buffers.clear()


SCRATCH = _Pool()


def _scratch(values: Tensor) -> Tensor:
    """Working memory with the layout of `values`, so that a transposed operand is read in its own order."""
    if _TRACING:
        return torch.empty_like(values)
    buffer = SCRATCH.take(values)
    strides = values.stride() if _is_dense(values) else torch.empty(values.shape, device="meta").stride()
    return buffer.as_strided(values.shape, strides)


def _is_dense(values: Tensor) -> bool:
    """Its elements fill a stretch of memory without gap or overlap, in whatever order."""
    if values.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted((t, s) for s, t in zip(values.shape, values.stride(), strict=True) if s != 1):
        if stride != expected:
            return False
        expected *= size
    return True

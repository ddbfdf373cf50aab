"""Reads an operand's values: non-zeros, levels and kind, step by step, without a copy kept or a device waited for."""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnprof.record import sweep
from snnprof.record.recall import RECALL, Content, Known
from snnprof.record.reduce import (
    ByStep,
    Steps,
    by_step,
    extent,
    flagged,
    folded,
    in_stretches,
    is_whole,
    lowest,
    over_steps,
    reduced,
    scratch,
    tracing,
    wide,
)
from snnprof.record.sweep import HISTOGRAM_LEVELS

SILENT, SPIKES, REAL = 0, 1, 2
_JOINED_LEVELS = 64
_REMEMBERED = 1 << 13
_TOTAL = "non-zeros of all elements"


class Grid(NamedTuple):
    """The values an operand is expected to take: multiples of `quantum` up to `levels`; quantum None is real.

    Attributes:
        rough: they are what is left of sums whose other terms cancel, which rounds more.
    """

    quantum: float | None = None
    levels: int = 0
    signed: bool = False
    rough: bool = False


ANY = Grid()
"""Values that may be anything."""
SINGLE = Grid(1.0, 1)
"""Zeros and ones."""

_OF_FLAGS = frozenset([SINGLE, Grid()])
_NUMBER = Grid(), None, ()
"""The question after the number of non-zeros."""


class Tally(NamedTuple):
    """What one operand held in one call, summed over all but the steps (first axis) and the axes kept.

    What compiled code read on the host are whole numbers there; else they are tensors on the operand's device.

    Attributes:
        nonzero, levels: float64 or int32 `[steps, *kept]`; Σ 1 and Σ |x / quantum| over non-zero elements.
        by_step: float64 `[steps]`; non-zero elements.
        kind: int64 `[steps]`, each one of SILENT, SPIKES, REAL.
        elements: elements per step.
        residual: float64 `[steps]`: largest distance from the grid; None where it is zero.
        negative: bool `[steps]`; None where nothing is.
        histogram: float64 `[levels + 1]`, or None where too many levels are possible.
    """

    nonzero: Any
    levels: Any
    by_step: Any
    kind: Any
    elements: int
    residual: Tensor | None = None
    negative: Tensor | None = None
    histogram: Any = None

    @property
    def on_host(self) -> bool:
        return isinstance(self.by_step, ByStep)

    def as_tensors(self) -> Tally:
        """The same, to be counted together with tensors."""
        if not self.on_host:
            return self
        nonzero, levels, by_step = (
            torch.as_tensor(each).double() for each in (self.nonzero, self.levels, self.by_step)
        )
        levels = nonzero if self.levels is self.nonzero else levels
        return self._replace(nonzero=nonzero, levels=levels, by_step=by_step, kind=torch.tensor(self.kind))


def tally(values: Tensor, grid: Grid, steps: Steps | None, keep: tuple[int, ...]) -> Tally:
    """Counts one operand.

    Args:
        values: the operand, any shape, dtype and memory layout.
        grid: what provenance expects of it; the values decide whether it holds, step by step.
        steps: where its time steps lie; None takes the whole call for one step.
        keep: dimensions (from the front) that stay apart.
    """
    known, content = RECALL.about(values)
    answers, question = _asked(known, content, values, grid, steps, keep)
    answer: Tally | None = answers.get(question)
    if answer is None:
        answer = _read(_floating(values), grid, steps, keep)
        _know_total(content, values, answer.by_step)
        # What is kept leaves gaps between the model's tensors.
        if isinstance(answer.nonzero, ByStep) or math.prod(answer.nonzero.shape) <= _REMEMBERED or tracing():
            answers[question] = answer
            if known.asked is not None and grid in _OF_FLAGS:
                known.asked.pop(_NUMBER, None)  # which any answer tells
                seen_as = () if _geometry(values) == known.made else _geometry(values)
                known.asked[(grid, steps, keep, *seen_as)] = None
    return answer


def made_of_flags(flags: Tensor, values: Tensor, place: Hashable) -> None:
    """Answers, from flags, what was asked of values made like these: flags are a quarter of the memory to read.

    Args:
        place: where in the code they are made.
    """
    if values.is_inference() or not (_may_ask(values) and _can_sweep(flags)):
        return
    known, content = RECALL.about(values)
    known.made = _geometry(values)
    known.asked = RECALL.asked.setdefault((place, values.dtype, values.shape, values.stride()), {})
    for grid, steps, keep, *seen_as in known.asked:
        if seen_as and flags.stride() != values.stride():
            continue
        part, read = (_view(each, *seen_as) if seen_as else each for each in (values, flags))
        answers, question = _asked(known, content if is_whole(part) else None, part, grid, steps, keep)
        found = _swept(read, grid, steps, keep)
        if found is not None:
            answers[question] = found
            _know_total(content if is_whole(part) else None, part, found.by_step)


def _geometry(values: Tensor) -> tuple[Any, ...]:
    return values.shape, values.stride(), values.storage_offset()


def _view(made: Tensor, shape: Any, strides: Any, offset: int) -> Tensor:
    """A tensor's memory as somebody looked at it, who asked."""
    return made.as_strided(shape, strides, made.storage_offset() + offset)


def _asked(
    known: Known, content: Content | None, values: Tensor, grid: Grid, steps: Steps | None, keep: tuple[int, ...]
) -> tuple[dict[Hashable, Any], Hashable]:
    """Among which answers that to a question is, and under what name."""
    if not keep and content is not None and _in_any_order(content, values, steps):
        return content.answers, _of_stretches(values, grid, steps)
    return known.answers, (values.dtype, values.shape, values.stride(), values.storage_offset(), grid, steps, keep)


def _in_any_order(content: Content, values: Tensor, steps: Steps | None) -> bool:
    """Whether what is counted by step is the same for every copy, however it lies in memory."""
    return in_stretches(values, steps) and content.ordered(_size(steps))


def _of_stretches(values: Tensor, grid: Grid, steps: Steps | None) -> Hashable:
    return values.dtype, grid, _size(steps)


def _size(steps: Steps | None) -> int:
    return steps.size if steps else 1


def _know_total(content: Content | None, values: Tensor, by_step: Any) -> None:
    if content is not None:
        content.answers[_TOTAL, values.dtype] = by_step


def _read(values: Tensor, grid: Grid, steps: Steps | None, keep: tuple[int, ...]) -> Tally:
    if _can_sweep(values) and (found := _swept(values, grid, steps, keep)):
        return found
    elements = values.numel() // _size(steps)
    single = grid == SINGLE
    nonzero = reduced(flagged(torch.ne, values, 0), steps, keep, 1, batch_first=single)
    fired = by_step(nonzero)
    if grid.quantum is None:
        return Tally(nonzero, nonzero, fired, torch.where(fired == 0, SILENT, REAL), elements)
    if single:
        ones = by_step(reduced(flagged(torch.eq, values, 1), steps, keep, 1, batch_first=True))
        kind = torch.where(fired == 0, SILENT, torch.where(ones == fired, SPIKES, REAL))
        on_grid = kind != REAL
        number = (ones * on_grid).sum()
        histogram = torch.stack([elements * on_grid.sum() - number, number])
        return Tally(nonzero, nonzero, fired, kind, elements, histogram=histogram)
    return _levelled(values, grid, steps, keep, nonzero, fired, elements)


def _swept(values: Tensor, grid: Grid, steps: Steps | None, keep: tuple[int, ...]) -> Tally | None:
    """The count where values are as expected; None where each step needs a longer look."""
    elements = values.numel() // _size(steps)
    if grid.quantum is None:
        found = sweep.nonzero(values, steps, keep)
        return Tally(found.nonzero, found.nonzero, found.by_step, _kinds(found.by_step, REAL), elements)
    if grid.signed or math.frexp(grid.quantum)[0] != 0.5:
        return None
    levels = sweep.levels(values, 1 / grid.quantum, grid.levels, steps, keep)
    if levels is None:
        return None
    kind = _kinds(levels.by_step, SPIKES)
    return Tally(levels.nonzero, levels.levels, levels.by_step, kind, elements, histogram=levels.histogram)


def _kinds(fired: ByStep, kind: int) -> ByStep:
    return ByStep([kind if number else SILENT for number in fired])


def _levelled(
    values: Tensor, grid: Grid, steps: Steps | None, keep: tuple[int, ...], nonzero: Tensor, fired: Tensor, size: int
) -> Tally:
    """Operands with more than one level, a sign, or a quantum other than one."""
    assert grid.quantum is not None
    on_grid = wide(values) if grid.quantum == 1.0 else wide(values) / grid.quantum
    level = torch.round(on_grid)
    residual = extent(level - on_grid, steps)
    kind = torch.where(fired == 0, SILENT, torch.where(residual <= tolerance(values.dtype, grid), SPIKES, REAL))
    negative = lowest(level, steps) < 0
    level = level.abs_()
    levels = reduced(level, steps, keep, grid.levels)
    real = (kind == REAL).reshape(-1, *[1] * (levels.dim() - 1))
    levels = torch.where(real, nonzero, levels)
    histogram = None
    if tracing() and grid.levels <= _JOINED_LEVELS:
        histogram = _joined_histogram(values, grid, steps, kind)
    elif grid.levels <= HISTOGRAM_LEVELS:
        histogram = _histogram(_on_grid(level, steps, kind), grid.levels)
    return Tally(nonzero, levels, fired, kind, size, residual, negative & (kind == SPIKES), histogram)


def _may_ask(values: Tensor) -> bool:
    """Whether a value can be looked at, and without waiting for a device."""
    return values.is_cpu and type(values) is Tensor and not tracing()


def _can_sweep(values: Tensor) -> bool:
    return _may_ask(values) and sweep.can_read(values)


def _on_grid(level: Tensor, steps: Steps | None, kind: Tensor) -> Tensor:
    """The levels of the steps that are on the grid; −1, which no bin takes, stands for the others on a device."""
    if not _may_ask(level):
        stepped = folded(level, steps)
        return torch.where((kind == REAL).reshape(-1, *[1] * (stepped.dim() - 1)), -1.0, stepped)
    return folded(level, steps)[kind != REAL] if bool((kind == REAL).any()) else level


def _histogram(level: Tensor, levels: int) -> Tensor:
    """Elements at |level| 0, 1, …, as float64 `[levels + 1]`; what exceeds the bound counts as the bound.

    A device counts all bins in one go; the CPU is faster level by level, up to the largest there is.
    """
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


def _joined_histogram(values: Tensor, grid: Grid, steps: Steps | None, kind: Tensor) -> Tensor:
    """The same in a compiled graph, which joins the passes over the levels into one if none waits for the kind.

    A value on the grid is at least at level n where it exceeds n − ½ quanta.
    """
    assert grid.quantum is not None
    size, magnitude = values.numel() // _size(steps), wide(values).abs()
    bounds = [(n - 0.5) * grid.quantum for n in range(1, grid.levels + 1)]
    above = [reduced(magnitude > bound, steps, (), 1) for bound in bounds]
    at_least = torch.stack([torch.full_like(above[0], size), *above])
    counted = torch.where(kind == REAL, 0.0, at_least).sum(1)
    return counted - torch.nn.functional.pad(counted[1:], (0, 1))


def _at_least(level: Tensor, n: int) -> Tensor:
    """Elements whose level is at least n; float64 scalar."""
    return reduced(flagged(torch.ge, level, n), None, (), 1).sum()


def tolerance(dtype: torch.dtype, grid: Grid) -> float:
    """How far from the grid rounding alone can leave a value: a few units in the last place of the largest one.

    What is left of terms that cancelled may be off by units in the last place of those, which nobody knows.
    """
    step = float(torch.finfo(dtype).eps)
    if grid.rough:
        return min(math.sqrt(step), 0.25)
    return 2 * step if grid.levels <= 1 else min(4 * step * grid.levels, 0.25)


def spikes(values: Tensor, levels: int, steps: Steps | None, keep: tuple[int, ...]) -> tuple[Any, Tensor, Any]:
    """Non-zero elements by step and by the dimensions kept, and Σ |x|; `[steps]`, `[*kept]` and scalar.

    Args:
        levels: the largest |x| expected; values decide.
    """
    _, content = RECALL.about(values)
    in_steps, by_place, level_sum = _read_spikes(_floating(values), levels, steps, keep, content)
    _know_total(content, values, in_steps)
    return in_steps, by_place, level_sum


def _read_spikes(
    values: Tensor, levels: int, steps: Steps | None, keep: tuple[int, ...], content: Content | None
) -> tuple[Any, Tensor, Any]:
    if _can_sweep(values) and (found := sweep.levels(values, 1.0, 1, steps, keep, merged=True)):
        fired = found.by_step
        if content is not None and _in_any_order(content, values, steps):
            elements = values.numel() // len(fired)
            read = Tally(fired, fired, fired, _kinds(fired, SPIKES), elements, histogram=found.histogram)
            content.answers[_of_stretches(values, SINGLE, steps)] = read
        return fired, torch.as_tensor(found.nonzero)[0], sum(fired)
    if tracing() and content is not None:
        tally(values, SINGLE, steps, ())  # for the layers that will ask; what none asks is no part of the graph
    nonzero = reduced(flagged(torch.ne, values, 0), steps, keep, 1, batch_first=True)
    # Sums over the same dimensions: a compiled graph reads the values once for both.
    magnitudes = reduced(torch.abs(values, out=scratch(values)), steps, keep, levels, batch_first=True)
    return by_step(nonzero), over_steps(nonzero), magnitudes.sum()


def nonzero_total(values: Tensor, steps: Steps | None = None) -> int | Tensor:
    """Non-zero elements; an int64 scalar on the device where to ask for it would be to wait.

    Args:
        steps: where the time steps lie, if something loops over them: a compiled graph then counts in that loop.
    """
    storage, content = RECALL.about(values)
    known = None if content is None else content.answers.get((_TOTAL, values.dtype))
    if known is None:
        known = _nonzero_total(_floating(values), steps)
        if storage.asked is not None and not storage.asked:
            storage.asked[_NUMBER] = None
        _know_total(content, values, known)
    if isinstance(known, Tensor):
        return known.sum().long()
    return known if isinstance(known, int) else sum(known)


def _nonzero_total(values: Tensor, steps: Steps | None) -> int | Tensor:
    if _can_sweep(values):
        return sweep.count(values)
    if tracing() and steps is not None:
        flags = [(step != 0).int() for step in folded(values, steps)]
        counted: Tensor = functools.reduce(torch.add, flags)
        return counted.sum(dtype=torch.int64)
    total = reduced(flagged(torch.ne, values, 0), None, (), 1).sum().long()
    return int(total) if _may_ask(values) else total


def _floating(values: Tensor) -> Tensor:
    """Complex numbers by their magnitude."""
    values = values.detach() if values.requires_grad else values
    if values.is_complex():
        return values.abs()
    return values if values.is_floating_point() else values.float()

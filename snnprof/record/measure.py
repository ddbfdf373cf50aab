"""What one call adds to the counts: pure functions from operands to small tensors, eager or inside a compiled graph.

Where values were read on the host, what would be small tensors are lists of numbers, which cost less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnprof.record import rules
from snnprof.record.provenance import Facts
from snnprof.record.reduce import ByStep, Steps, by_step, folded, remembered, tracing
from snnprof.record.rules import Contraction, Convolution, Product
from snnprof.record.sweep import HISTOGRAM_LEVELS
from snnprof.record.tally import REAL, SPIKES, Grid, Tally, tally
from snnprof.record.tally import spikes as counted_spikes

Role = Literal["data", "weight"]


@dataclass
class Plan:
    """How one call site is counted: what provenance expects of each operand, and where its time steps lie.

    Attributes:
        size: time steps in one call.
        encoded: positions of the operands that are an encoder's input.
    """

    roles: tuple[Role, Role]
    facts: tuple[Facts, Facts]
    steps: tuple[Steps | None, Steps | None]
    sparse_weights: bool = False
    grids: tuple[Grid, Grid] = field(init=False)
    size: int = field(init=False)
    encoded: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.grids = (grid_of(self.facts[0]), grid_of(self.facts[1]))
        self.size = next((s.size for s in self.steps if s), 1)
        self.encoded = tuple(i for i in (0, 1) if self.roles[i] == "data" and encodes(self.facts[i]))

    def fitting(self, form: Contraction) -> Plan:
        """This plan, with the whole call for one step where an axis was taken for time that a later batch disproves."""
        if all(s is None or s.fit(operand.shape) for s, operand in zip(self.steps, form.operands, strict=True)):
            return self
        return replace(self, steps=(None, None))


def encodes(facts: Facts) -> bool:
    """Whether an operand stands upstream of all neurons: it comes from the input alone, and is no network's spikes."""
    return facts.fed_by == {"input"} and (facts.quantum is None or not facts.ops)


def grid_of(facts: Facts) -> Grid:
    """What values of such facts are held to; where no bound is known, as many levels as are told apart."""
    if facts.quantum is None:
        return Grid()
    levels = HISTOGRAM_LEVELS if facts.levels is None else max(facts.levels, 1)
    return Grid(float(facts.quantum) or 1.0, levels, facts.signed and bool(facts.quantum), facts.rough)


class Seen(NamedTuple):
    """What an operand's values showed.

    Attributes:
        histogram: int64 `[levels + 1]`, elements at each level; None where too many levels are possible.
        residual: float64 scalar, largest distance from the grid among steps taken for spikes; None where it is zero.
        negative: int64 scalar, steps with negative levels; None for none.
    """

    histogram: Any
    residual: Tensor | None
    negative: Tensor | None


class Measured(NamedTuple):
    """What one call of a contraction adds: a row of counts for each step, in the order of `PART_COUNTS`.

    Attributes:
        rows: int64 `[steps, counts]`, or a list of rows.
        kind: int64 `[steps]`, the part each row belongs to.
        seen: of each operand; None for weights.
    """

    rows: Any
    kind: Any
    seen: tuple[Seen | None, Seen | None]


class Fired(NamedTuple):
    """What one call of a neuron layer adds: spikes by step `[steps]`, Σ |output|, and spikes by neuron, all exact."""

    by_step: Any
    level_sum: Any
    by_neuron: Tensor


def contraction(form: Contraction, plan: Plan) -> Measured:
    """Counts one call; the operands are as the operator saw them."""
    if isinstance(form, Convolution):
        return _convolution(form, plan)
    if plan.roles == ("data", "data"):
        return _pairs(form, plan)
    return _weighted(form, plan, 0 if plan.roles[0] == "data" else 1)


def _convolution(form: Convolution, plan: Plan) -> Measured:
    if plan.roles[1] == "data":
        return _made_kernel(form, plan)
    space = tuple(range(2, form.x.dim()))
    keep = (1, *space) if plan.sparse_weights else space
    seen = tally(form.x, plan.grids[0], plan.steps[0], keep)
    nonzero, levels = seen.nonzero, seen.levels
    effective = None
    if plan.sparse_weights:
        effective = rules.effective_convolution(nonzero, form)
        nonzero, levels = _over_channels(nonzero), _over_channels(levels)
    fan = rules.fanout(form, seen.on_host)
    events = rules.convolved(nonzero, fan)
    by_value = events if levels is nonzero else rules.convolved(levels, fan)
    rows = _rows(seen, plan.size, form.macs, form.geometry.valid, events, by_value, effective)
    return Measured(rows, seen.kind, (_seen(seen), None))


def _weighted(form: Product, plan: Plan, data: int) -> Measured:
    """Linear layers: Σ nnz(x) · outputs each element reaches."""
    operand, weight = form.operands[data], form.operands[1 - data]
    reach = form.macs // max(operand.numel(), 1)
    keep: tuple[int, ...] = ()
    if plan.sparse_weights:
        inner = operand.dim() - 1 if data == 0 else operand.dim() - 2
        keep = (inner,) if weight.dim() == 2 else _all_but(operand, data - 2)
    seen = tally(operand, plan.grids[data], plan.steps[data], keep)
    effective = _effective(seen, operand, weight, plan.steps[data], data) if plan.sparse_weights else None
    events = seen.by_step * reach
    by_value = events if seen.levels is seen.nonzero else by_step(seen.levels) * reach
    rows = _rows(seen, plan.size, form.macs, form.macs, events, by_value, effective)
    shown = _seen(seen)
    return Measured(rows, seen.kind, (shown, None) if data == 0 else (None, shown))


def _effective(seen: Tally, operand: Tensor, weight: Tensor, steps: Steps | None, data: int) -> Tensor:
    """Events whose weight is not zero, float64 `[steps]`; a stack of weights `[..., K, M]` may broadcast."""
    if weight.dim() == 2:
        return rules.effective_product(seen.nonzero, weight, data)
    live = (weight.detach() != 0).double().sum(-1 if data == 0 else -2)
    kept = [size for dim, size in enumerate(operand.shape) if dim != operand.dim() - 2 + data]
    live = live.expand(kept)
    by_stack = steps if steps is not None and steps.dim < operand.dim() - 2 else None
    live = folded(live, by_stack)
    counts = torch.as_tensor(seen.nonzero).double().reshape(-1, *live.shape[1:])
    return (counts * live).flatten(1).sum(1)


def _pairs(form: Product, plan: Plan) -> Measured:
    """Data × data: Σ_k nnz(A[:, k]) · nnz(B[k, :])."""
    left, right = form.operands
    seen_left = tally(left, plan.grids[0], plan.steps[0], _all_but(left, -2))
    seen_right = tally(right, plan.grids[1], plan.steps[1], _all_but(right, -1))
    if seen_left.on_host != seen_right.on_host:
        seen_left, seen_right = seen_left.as_tensors(), seen_right.as_tensors()
    events = rules.paired(seen_left.nonzero, seen_right.nonzero)
    by_value = rules.paired(seen_left.levels, seen_right.levels)
    left_sided, right_sided = (
        seen.by_step * (form.macs // max(operand.numel(), 1))
        for seen, operand in ((seen_left, left), (seen_right, right))
    )
    kind = _smaller(seen_left.kind, seen_right.kind)
    rows = _rows(seen_left, plan.size, form.macs, form.macs, events, by_value, None, (left_sided, right_sided))
    return Measured(rows, kind, (_seen(seen_left), _seen(seen_right)))


def _made_kernel(form: Convolution, plan: Plan) -> Measured:
    """A convolution whose kernel the network makes: pairs that meet, as in a product, by the operation itself.

    One call is one step, since all steps share the kernel.
    """
    whole = replace(plan, steps=(None, None))
    seen = [
        tally(operand, grid, None, ()).as_tensors() for operand, grid in zip(form.operands, plan.grids, strict=True)
    ]
    flags = [(operand.detach() != 0).double() for operand in form.operands]
    levels = [_levels_of(*each) for each in zip(form.operands, flags, plan.grids, seen, strict=True)]
    ones = [torch.ones_like(flag) for flag in flags]
    events, by_value = rules.convolution_sum(form, *flags), rules.convolution_sum(form, *levels)
    one_sided = rules.convolution_sum(form, flags[0], ones[1]), rules.convolution_sum(form, ones[0], flags[1])
    kind = _smaller(seen[0].kind, seen[1].kind)
    rows = _rows(seen[0], whole.size, form.macs, form.geometry.valid, events, by_value, None, one_sided)
    return Measured(rows, kind, (_seen(seen[0]), _seen(seen[1])))


def _levels_of(operand: Tensor, flags: Tensor, grid: Grid, seen: Tally) -> Tensor:
    """|level| of each element; one for each non-zero element where the values are real."""
    if grid.quantum is None:
        return flags
    return torch.where(seen.kind == REAL, flags, (operand.detach().double() / grid.quantum).round().abs())


def _over_channels(counts: Any) -> Any:
    """Counts `[steps, C, *space]` → `[steps, *space]`."""
    return counts.sum(1) if isinstance(counts, Tensor) else counts.sum(1, dtype=np.int64)


def _smaller(left: Any, right: Any) -> Any:
    return torch.minimum(left, right) if isinstance(left, Tensor) else ByStep(map(min, left, right))


def _rows(
    seen: Tally,
    size: int,
    dense: int,
    valid: int,
    events: Any,
    by_value: Any,
    effective: Any = None,
    one_sided: tuple[Any, Any] | None = None,
) -> Any:
    """A row of `PART_COUNTS` for each step."""
    valued = seen.by_step if seen.levels is seen.nonzero else by_step(seen.levels)
    if effective is None:
        effective = events
    elif isinstance(events, ByStep):
        effective = effective.long().tolist()
    columns = (
        seen.elements, seen.by_step, valued, dense // size, valid // size, events, by_value, effective,
        *(one_sided or (0, 0)),
    )  # fmt: skip
    if isinstance(events, ByStep):
        return list(zip(*[(column,) * size if isinstance(column, int) else column for column in columns], strict=True))
    filled = [column if isinstance(column, Tensor) else _full(column, size, events.device) for column in columns]
    return torch.stack(filled, dim=1).to(torch.int64)


@remembered
def _full(number: int, size: int, device: torch.device) -> Tensor:
    """A column that shapes alone tell, float64 `[steps]`."""
    return torch.full((size,), number, dtype=torch.float64, device=device)


def _seen(operand: Tally) -> Seen:
    residual, negative, histogram = operand.residual, operand.negative, operand.histogram
    return Seen(
        histogram=histogram.to(torch.int64) if isinstance(histogram, Tensor) else histogram,
        residual=None if residual is None else torch.where(operand.kind == SPIKES, residual, 0.0).max(),
        negative=None if negative is None else negative.sum(),
    )


def differs_over_time(values: Tensor, steps: Steps) -> Tensor:
    """Whether an operand changes from step to step within one call; bool scalar."""
    stepped = folded(values, steps)
    return (stepped[1:] != stepped[:1]).any()


def fired(spikes: Tensor, steps: Steps | None, batch: int | None, grid: Grid) -> Fired:
    """Counts what a neuron layer put out. Without `steps`, one call is one step and the first axis is the batch.

    Args:
        grid: the values that are expected; values decide.
    """
    apart = _steps_apart(spikes, steps, batch)
    if apart and tracing():  # as the next layer reads it: a compiled graph may then lay it out as that layer likes it
        spikes, apart = spikes.flatten(0, 1), False
    first = 2 if apart else 1 if steps is None else steps.dim + 1
    quantum = grid.quantum or 1.0
    largest = math.ceil(max(grid.levels, 1) * max(quantum, 1.0))
    in_steps, by_neuron, level_sum = counted_spikes(spikes, largest, steps, tuple(range(first, spikes.dim())))
    if quantum != 1.0:
        level_sum = torch.round(torch.as_tensor(level_sum) / quantum)
    if isinstance(in_steps, Tensor):
        in_steps, level_sum = in_steps.long(), torch.as_tensor(level_sum).long()
    return Fired(in_steps, level_sum, by_neuron.to(torch.int32))


def _steps_apart(spikes: Tensor, steps: Steps | None, batch: int | None) -> bool:
    """Whether steps and batch are two axes, `[T, B, ...]`, and not `[T·B, ...]`, `[B, T, ...]` or `[B, ...]`."""
    return steps is not None and steps.dim == 0 and spikes.dim() > 1 and tuple(spikes.shape[:2]) == (steps.size, batch)


def _all_but(operand: Tensor, dim: int) -> tuple[int, ...]:
    dropped = dim % operand.dim()
    return tuple(d for d in range(operand.dim()) if d != dropped)

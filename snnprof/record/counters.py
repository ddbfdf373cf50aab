"""What is summed for one contraction, one neuron layer, one line of other arithmetic; and the record each becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from snnprof.activity import (
    KINDS,
    NEURON_COUNTS,
    PART_COUNTS,
    ElementwiseRecord,
    NeuronRecord,
    Operand,
    OpRecord,
    pack_bits,
    parts_from,
)
from snnprof.record import rules
from snnprof.record.ledger import Ledger, zeros
from snnprof.record.provenance import Facts
from snnprof.record.rules import Contraction, Convolution, Product
from snnprof.record.tally import HISTOGRAM_LEVELS, SPIKES, Grid, Steps, Tally, folded, reduced, tally

Role = Literal["data", "weight"]
_WIDTH = len(PART_COUNTS)
_NEGATIVE, _DIFFERS = 0, 1  # an operand's flags


@dataclass
class Plan:
    """How one call site is counted: what provenance expects of each operand, and where its time steps lie."""

    roles: tuple[Role, Role]
    facts: tuple[Facts, Facts]
    steps: tuple[Steps | None, Steps | None]
    sparse_weights: bool = False
    grids: tuple[Grid, Grid] = field(init=False)

    def __post_init__(self) -> None:
        self.grids = (grid_of(self.facts[0]), grid_of(self.facts[1]))


def grid_of(facts: Facts) -> Grid:
    if facts.quantum is None:
        return Grid()
    return Grid(float(facts.quantum) or 1.0, max(facts.levels, 1), facts.signed)


class OpCounter:
    """Sums one contraction. Host integers for what shapes tell, device cells for what values tell."""

    def __init__(self, ledger: Ledger, layer: str, index: int, form: Contraction, roles: tuple[Role, Role]) -> None:
        self.layer, self.index, self.roles = layer, index, roles
        self.op: Literal["conv", "linear", "matmul"] = op_name(form, roles)
        self.source = ""
        self.shape = shape_of(form, roles)
        self.weights = sum(t.numel() for t, role in zip(form.operands, roles, strict=True) if role == "weight")
        self.facts: list[Facts] = [Facts(), Facts()]
        self.feeds: set[str] = set()
        self.runs = 0
        self.calls = 0
        self.bias_adds = 0
        self.blocks: list[list[int]] = []
        self.compared = False
        device = form.operands[0].device
        self._counts = ledger.cell(3 * _WIDTH, device, self._close_block).view(3, _WIDTH)
        self._histograms = [[0] * (HISTOGRAM_LEVELS + 1) for _ in roles]
        self._flags = [[0, 0] for _ in roles]
        self._histogram_cells = [ledger.cell(HISTOGRAM_LEVELS + 1, device, self._adder(h)) for h in self._histograms]
        self._flag_cells = [ledger.cell(2, device, self._adder(f)) for f in self._flags]
        self._residuals = [zeros((), torch.float64, device) for _ in roles]
        self._fans: dict[Any, tuple[Tensor, int]] = {}
        self._before: _Snapshot | None = None
        self._kept_histogram = [True, True]

    # -- counting ------------------------------------------------------------------------------------------

    def count(self, form: Contraction, plan: Plan) -> None:
        """Adds one call. The operands are as the operator saw them."""
        steps = next((s for s in plan.steps if s), None)
        size = steps.size if steps else 1
        self.calls += 1
        self.runs += size
        self.bias_adds += form.outputs if form.bias else 0
        if isinstance(form, Convolution):
            self._count_convolution(form, plan, size)
        elif plan.roles == ("data", "data"):
            self._count_pairs(form, plan, size)
        else:
            self._count_weighted(form, plan, 0 if plan.roles[0] == "data" else 1, size)
        for position, role in enumerate(plan.roles):
            if role == "data" and plan.facts[position].fed_by == {"input"}:
                self._compare(position, form.operands[position], plan.steps[position])

    def _count_convolution(self, form: Convolution, plan: Plan, size: int) -> None:
        fan, fan_total = self._fan(form)
        space = tuple(range(2, form.x.dim()))
        keep = (1, *space) if plan.sparse_weights else space
        seen = tally(form.x, plan.grids[0], plan.steps[0], keep)
        nonzero, levels = seen.nonzero, seen.levels
        effective = None
        if plan.sparse_weights:
            effective = rules.effective_convolution(nonzero, form)
            nonzero, levels = nonzero.sum(1), levels.sum(1)
        events = rules.convolved(nonzero, fan)
        by_value = events if levels is nonzero else rules.convolved(levels, fan)
        valid = form.x.shape[0] * form.x.shape[1] * fan_total
        if plan.roles[1] == "data":
            seen = _as_real(seen)
        self._add(size, form.macs, valid, seen, seen.kind, events, by_value, effective)
        self._observe(0, seen)

    def _count_weighted(self, form: Product, plan: Plan, data: int, size: int) -> None:
        """Linear layers: Σ nnz(x) · outputs each element reaches."""
        operand, weight = form.operands[data], form.operands[1 - data]
        reach = form.macs // max(operand.numel(), 1)
        inner = operand.dim() - 1 if data == 0 else operand.dim() - 2
        live = plan.sparse_weights and weight.dim() == 2
        seen = tally(operand, plan.grids[data], plan.steps[data], (inner,) if live else ())
        effective = None
        if live:
            per_input = (weight.detach() != 0).double().sum(1 if data == 0 else 0)
            effective = (seen.nonzero * per_input).sum(-1)
        events = seen.nonzero.reshape(size, -1).sum(1) * reach
        by_value = events if seen.levels is seen.nonzero else seen.levels.reshape(size, -1).sum(1) * reach
        self._add(size, form.macs, form.macs, seen, seen.kind, events, by_value, effective)
        self._observe(data, seen)

    def _count_pairs(self, form: Product, plan: Plan, size: int) -> None:
        """Data × data: Σ_k nnz(A[:, k]) · nnz(B[k, :])."""
        left, right = form.operands
        seen_left = tally(left, plan.grids[0], plan.steps[0], _all_but(left, -2))
        seen_right = tally(right, plan.grids[1], plan.steps[1], _all_but(right, -1))
        events = rules.paired(seen_left.nonzero, seen_right.nonzero)
        by_value = rules.paired(seen_left.levels, seen_right.levels)
        one_sided = [
            seen.nonzero.flatten(1).sum(1) * (form.macs // max(operand.numel(), 1))
            for seen, operand in ((seen_left, left), (seen_right, right))
        ]
        kind = torch.minimum(seen_left.kind, seen_right.kind)
        self._add(size, form.macs, form.macs, seen_left, kind, events, by_value, None, *one_sided)
        self._observe(0, seen_left)
        self._observe(1, seen_right)

    def _add(
        self,
        size: int,
        dense: int,
        valid: int,
        seen: Tally,
        kind: Tensor,
        events: Tensor,
        by_value: Tensor,
        effective: Tensor | None,
        left: Tensor | None = None,
        right: Tensor | None = None,
    ) -> None:
        """One row a step, in the order of `PART_COUNTS`, added to the row of the step's kind."""
        nonzero = seen.nonzero.reshape(size, -1).sum(1)
        levels = nonzero if seen.levels is seen.nonzero else seen.levels.reshape(size, -1).sum(1)
        zero = torch.zeros_like(events)
        rows = torch.stack(
            [
                zero + seen.elements,
                nonzero,
                levels,
                zero + dense // size,
                zero + valid // size,
                events,
                by_value,
                events if effective is None else effective,
                zero if left is None else left,
                zero if right is None else right,
            ],
            dim=1,
        )
        self._counts.index_add_(0, kind, rows.to(torch.int64))

    def _observe(self, position: int, seen: Tally) -> None:
        """What an operand's values showed: levels, sign, distance from the grid."""
        if seen.histogram is not None:
            self._histogram_cells[position][: seen.histogram.numel()] += seen.histogram.to(torch.int64)
        elif seen.residual is not None:
            self._kept_histogram[position] = False
        if seen.residual is not None:
            off = torch.where(seen.kind == SPIKES, seen.residual, 0.0).max()
            torch.maximum(self._residuals[position], off, out=self._residuals[position])
        if seen.negative is not None:
            self._flag_cells[position][_NEGATIVE] += seen.negative.sum()

    def _compare(self, position: int, values: Tensor, steps: Steps | None) -> None:
        """Whether an encoder's input is the same at each step: within the call, or from call to call."""
        if steps is not None:
            stepped = folded(values, steps)
            self.compared = True
            self._flag_cells[position][_DIFFERS] += (stepped[1:] != stepped[:1]).any()
            return
        before, self._before = self._before, _Snapshot.of(values)
        if before is None:
            return
        self.compared = True
        self._flag_cells[position][_DIFFERS] += before.differs(values)

    def end_batch(self) -> None:
        self._before = None

    def _fan(self, form: Convolution) -> tuple[Tensor, int]:
        key = (form.space, form.kernel, form.stride, form.padding, form.dilation, form.output_padding)
        if key not in self._fans:
            fan = rules.fanout(form)
            self._fans[key] = (fan.to(form.x.device), int(fan.sum()))
        return self._fans[key]

    # -- reading back --------------------------------------------------------------------------------------

    def _adder(self, total: list[int]) -> Any:
        def add(values: list[int]) -> None:
            for position, value in enumerate(values):
                total[position] += value

        return add

    def _close_block(self, values: list[int]) -> None:
        self.blocks.append([self.calls, self.bias_adds, *values])
        self.calls = self.bias_adds = 0

    def record(self, batches: int | None) -> OpRecord:
        counts = [sum(column) for column in zip(*self.blocks, strict=True)] or [0] * (2 + len(KINDS) * _WIDTH)
        return OpRecord(
            layer=self.layer,
            op=self.op,
            index=self.index,
            calls=counts[0],
            steps=self.runs // batches if batches and self.runs % batches == 0 else None,
            shape=self.shape,
            weights=self.weights,
            bias_adds=counts[1],
            feeds=sorted(self.feeds),
            source=self.source,
            parts=parts_from(counts[2:]),
            operands=[self._operand(position) for position in range(len(self.roles))],
        )

    def _operand(self, position: int) -> Operand:
        facts, role = self.facts[position], self.roles[position]
        if role == "weight":
            return Operand(role="weight")
        quantised = facts.quantum is not None
        negative, differs = self._flags[position]
        encoder = facts.fed_by == {"input"} and self.compared
        return Operand(
            role="data",
            quantum=float(facts.quantum or 1) if quantised else None,
            levels=max(facts.levels, 1) if quantised else None,
            signed=facts.signed or negative > 0,
            histogram=_trimmed(self._histograms[position]) if self._kept_histogram[position] else [],
            constant_over_time=differs == 0 if encoder else None,
            fed_by=sorted(facts.fed_by),
            residual=float(self._residuals[position]),
        )


@dataclass(frozen=True)
class _Snapshot:
    """An operand as it was, held until the next call; its version tells whether it was written to since."""

    values: Tensor
    version: int

    @classmethod
    def of(cls, values: Tensor) -> _Snapshot:
        """Inference tensors count no versions: those are copied."""
        return cls(values.clone(), 0) if values.is_inference() else cls(values, values._version)

    def differs(self, now: Tensor) -> Tensor | bool:
        """Whether the values changed; where what they were was overwritten, they are taken to have changed."""
        written = not self.values.is_inference() and self.values._version != self.version
        if written or self.values.shape != now.shape:
            return True
        return self.values is not now and (self.values != now).any()


class NeuronCounter:
    """Sums one neuron layer's spikes, by time step and by neuron."""

    def __init__(self, ledger: Ledger, layer: str, kind: str, found_by: Any, timesteps: int | None) -> None:
        self.layer, self.kind, self.found_by = layer, kind, found_by
        self.timesteps = timesteps
        self.levels = 1
        self.updates = 0
        self.runs = 0
        self.calls_in_batch = 0
        self.blocks: list[list[int]] = []
        self._ledger = ledger
        self._sums: Tensor | None = None
        self._steps: Tensor | None = None
        self._per_neuron: Tensor | None = None
        self._per_neuron_runs = 0
        self._told = timesteps is not None

    def drive(self, current: Tensor) -> None:
        """Counts the non-zero input: the neuron-steps an event-driven machine would update."""
        sums, _ = self._cells(current.device)
        sums[2] += reduced_total(current)

    def fire(self, spikes: Tensor, steps: Steps | None, batch: int | None) -> None:
        """Counts what came out. Without `steps`, one call is one step and the first axis is the batch."""
        sums, per_step = self._cells(spikes.device)
        size = steps.size if steps else 1
        mask = spikes if self.levels == 1 else (spikes != 0).float()
        inner = tuple(range(_first_neuron_axis(spikes, steps, batch), spikes.dim()))
        per_neuron = reduced(mask.detach(), steps, inner, 1)
        counts = per_neuron.reshape(size, -1).sum(1)
        total = counts.sum()
        sums[0] += total.long()
        if self.levels > 1:
            total = reduced(spikes.detach().abs(), None, (), self.levels).sum()
        sums[1] += total.long()
        self._by_step(per_step, counts.long(), size)
        self._by_neuron(per_neuron.sum(0), spikes.numel())
        self.updates += spikes.numel()
        self.runs += size
        self.calls_in_batch += 1

    def _by_step(self, per_step: Tensor | None, counts: Tensor, size: int) -> None:
        if per_step is None:
            return
        if size == per_step.numel() and self.calls_in_batch == 0:
            per_step += counts
        elif size == 1 and self.calls_in_batch < per_step.numel():
            per_step[self.calls_in_batch] += counts[0]
        else:
            self._told = False

    def _by_neuron(self, counts: Tensor, elements: int) -> None:
        if self._per_neuron is None:
            self._per_neuron = zeros(counts.shape, counts.dtype, counts.device)
        if self._per_neuron.shape == counts.shape:
            self._per_neuron += counts
            self._per_neuron_runs += elements // max(counts.numel(), 1)
        else:
            self._per_neuron_runs = -1

    def _cells(self, device: torch.device) -> tuple[Tensor, Tensor | None]:
        if self._sums is None:
            size = 3 + (self.timesteps or 0)
            cell = self._ledger.cell(size, device, self._close_block)
            self._sums, self._steps = cell[:3], cell[3:] if self.timesteps else None
        return self._sums, self._steps

    def _close_block(self, values: list[int]) -> None:
        spikes, level_sum, driven = values[:3]
        self.blocks.append([spikes, level_sum, self.updates, driven, *values[3:]])
        self.updates = 0

    def record(self, batches: int | None, samples: int | None) -> NeuronRecord:
        width = len(NEURON_COUNTS)
        counts = [sum(column) for column in zip(*self.blocks, strict=True)] or [0] * width
        steps = self.runs // batches if batches and self.runs % batches == 0 else None
        per_step = counts[width:] if self._told else []
        if not self._told:
            self.blocks = [block[:width] for block in self.blocks]
        size = self._per_neuron.numel() if self._per_neuron is not None else 0
        fired, always = self._bitmaps()
        return NeuronRecord(
            layer=self.layer,
            type=self.kind,
            found_by=self.found_by,
            size=size,
            steps=steps,
            **dict(zip(NEURON_COUNTS, counts[:width], strict=True)),
            spikes_per_step=per_step,
            fired_bitmap=fired,
            always_bitmap=always,
        )

    def _bitmaps(self) -> tuple[str | None, str | None]:
        if self._per_neuron is None or self._per_neuron_runs < 0:
            return None, None
        counts = self._per_neuron.flatten().cpu()
        return pack_bits((counts > 0).numpy()), pack_bits((counts == self._per_neuron_runs).numpy())


class LineCounter:
    """Sums one line of other arithmetic."""

    def __init__(self, ledger: Ledger, layer: str, op: str, device: torch.device) -> None:
        self.layer, self.op = layer, op
        self.elements = 0
        self.foldable = op == "batch_norm"
        self.counted = True
        self.forgotten = False
        self.blocks: list[list[int | None]] = []
        self._nonzero = ledger.cell(1, device, self._close_block)

    def count(self, elements: int, quantised: Sequence[Tensor] | None) -> None:
        """Adds one call; `quantised` are its spike operands, None where an operand is real."""
        self.elements += elements
        if quantised is None:
            self.counted = False
            return
        for operand in quantised:
            self._nonzero += reduced_total(operand)

    def _close_block(self, values: list[int]) -> None:
        self.blocks.append([self.elements, values[0]])
        self.elements = 0

    def record(self) -> ElementwiseRecord:
        if not self.counted:
            self.blocks = [[elements, None] for elements, _ in self.blocks]
        elements = sum(block[0] or 0 for block in self.blocks)
        nonzero = sum(block[1] or 0 for block in self.blocks) if self.counted else None
        return ElementwiseRecord(
            layer=self.layer, op=self.op, elements=elements, nonzero=nonzero, foldable=self.foldable
        )


def _first_neuron_axis(spikes: Tensor, steps: Steps | None, batch: int | None) -> int:
    """The axes before it are steps and batch: `[T, B, ...]`, `[T·B, ...]`, `[B, T, ...]` or `[B, ...]`."""
    if steps is None:
        return 1
    apart = steps.dim == 0 and spikes.dim() > 1 and tuple(spikes.shape[:2]) == (steps.size, batch)
    return 2 if apart else steps.dim + 1


def reduced_total(values: Tensor) -> Tensor:
    """Non-zero elements, as an int64 scalar on the device."""
    return tally(values, Grid(), None, ()).nonzero.sum().long()


def op_name(form: Contraction, roles: tuple[Role, Role]) -> Literal["conv", "linear", "matmul"]:
    if isinstance(form, Convolution):
        return "conv"
    return "matmul" if roles == ("data", "data") else "linear"


def shape_of(form: Contraction, roles: tuple[Role, Role]) -> dict[str, Any]:
    """What a memory model needs: the geometry of one run of the operation."""
    if isinstance(form, Convolution):
        return {
            "input": [form.x.shape[1], *form.space],
            "output": [form.out_channels, *form.out_space],
            "weight": list(form.weight.shape),
            "stride": list(form.stride),
            "padding": [before if before == after else [before, after] for before, after in form.padding],
            "dilation": list(form.dilation),
            "groups": form.groups,
            "transposed": form.transposed,
        }
    left, right = form.left.shape, form.right.shape
    if roles == ("data", "data"):
        return {"left": list(left[-2:]), "right": list(right[-2:])}
    matrix = [left[-1], right[-1]] if roles[0] == "data" else [left[-1], left[-2]]
    return {"input": [matrix[0]], "output": [matrix[1]], "weight": matrix}


def _as_real(seen: Tally) -> Tally:
    """A convolution whose weight is data has no cheap event count: it errs towards MAC."""
    from dataclasses import replace

    return replace(seen, kind=torch.full_like(seen.kind, 2), histogram=None, residual=None)


def _all_but(operand: Tensor, dim: int) -> tuple[int, ...]:
    dropped = dim % operand.dim()
    return tuple(d for d in range(operand.dim()) if d != dropped)


def _trimmed(histogram: list[int]) -> list[int]:
    last = max((level for level, count in enumerate(histogram) if count), default=-1)
    return histogram[: last + 1]

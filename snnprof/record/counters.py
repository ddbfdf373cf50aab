"""What is summed for one contraction, one neuron layer, one line of other arithmetic; and the record each becomes."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

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
from snnprof.record import measure, provenance
from snnprof.record.ledger import Cell, Ledger
from snnprof.record.measure import Fired, Measured, Plan, Role, Seen, encodes
from snnprof.record.memory import zeros
from snnprof.record.provenance import Facts
from snnprof.record.reduce import Steps
from snnprof.record.rules import Contraction, Convolution
from snnprof.record.sweep import HISTOGRAM_LEVELS
from snnprof.record.tally import Grid

_WIDTH = len(PART_COUNTS)
_NEGATIVE, _DIFFERS = 0, 1  # an operand's flags
_OF_SPIKES = 2 + KINDS.index("spikes") * _WIDTH
_BY_VALUE, _LEVEL_SUM = (_OF_SPIKES + PART_COUNTS.index(name) for name in ("by_value", "level_sum"))


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
        self.shared = False
        self._steady = True  # the time steps lay where the first batch showed them
        device = form.operands[0].device
        self._counts = ledger.cell(3 * _WIDTH, device, self._close_block)
        self._histograms = [[0] * (HISTOGRAM_LEVELS + 1) for _ in roles]
        self._flags = [[0, 0] for _ in roles]
        self._histogram_cells = [ledger.cell(HISTOGRAM_LEVELS + 1, device, self._adder(h)) for h in self._histograms]
        self._flag_cells = [ledger.cell(2, device, self._adder(f)) for f in self._flags]
        self._residuals = [zeros((), torch.float64, device) for _ in roles]
        self._before: _Snapshot | None = None
        self._kept_histogram = [True, True]

    # -- counting ------------------------------------------------------------------------------------------

    def count(self, form: Contraction, plan: Plan) -> None:
        """Adds one call. The operands are as the operator saw them."""
        fitting = plan.fitting(form)
        self._steady &= fitting is plan
        plan = fitting
        self.add(plan.size, form.outputs if form.bias else 0, measure.contraction(form, plan))
        for position in plan.encoded:
            self._compare(position, form.operands[position], plan.steps[position])

    @property
    def all_calls(self) -> int:
        """Of the whole recording."""
        return self.calls + sum(block[0] for block in self.blocks)

    def add(self, steps: int, bias_adds: int, measured: Measured) -> None:
        """Adds what one call of so many steps measured."""
        self.calls += 1
        self.runs += steps
        self.bias_adds += bias_adds
        self._counts.add_rows(measured.kind, measured.rows)
        for position, seen in enumerate(measured.seen):
            if seen is not None:
                self._observe(position, seen)

    def _observe(self, position: int, seen: Seen) -> None:
        """What an operand's values showed: levels, sign, distance from the grid."""
        if seen.histogram is not None:
            self._histogram_cells[position].add_each(0, seen.histogram)
        else:
            self._kept_histogram[position] = False
        if seen.residual is not None:
            torch.maximum(self._residuals[position], seen.residual, out=self._residuals[position])
        if seen.negative is not None:
            self._flag_cells[position].add(_NEGATIVE, seen.negative)

    def _compare(self, position: int, values: Tensor, steps: Steps | None) -> None:
        """Whether an encoder's input is the same at each step: within the call, or from call to call."""
        if steps is not None:
            self.differ(position, measure.differs_over_time(values, steps))
            return
        before, self._before = self._before, _Snapshot.of(values)
        if before is not None:
            self.differ(position, before.differs(values))

    def differ(self, position: int, changed: Tensor | bool) -> None:
        """Says whether an encoder's input changed from one step to the next."""
        self.compared = True
        self._flag_cells[position].add(_DIFFERS, changed)

    def end_batch(self) -> None:
        self._before = None

    # -- reading back --------------------------------------------------------------------------------------

    def _adder(self, totals: list[int]) -> Callable[[Sequence[int]], None]:
        def add(values: Sequence[int]) -> None:
            if any(values):
                totals[:] = map(operator.add, totals, values)

        return add

    def _close_block(self, values: Sequence[int]) -> None:
        self.blocks.append([self.calls, self.bias_adds, *values])
        self.calls = self.bias_adds = 0

    def record(self, batches: int | None, units: Sequence[int]) -> OpRecord:
        """The record, with levels in the units that their sources showed.

        Args:
            batches: how many there were; None where nobody knows.
            units: of each source.
        """
        blocks = self.blocks_in(units)
        counts = [sum(column) for column in zip(*blocks, strict=True)] or [0] * (2 + len(KINDS) * _WIDTH)
        return OpRecord(
            layer=self.layer,
            op=self.op,
            index=self.index,
            calls=counts[0],
            steps=self.runs // batches if batches and self.runs % batches == 0 and self._steady else None,
            shape=self.shape,
            weights=self.weights,
            bias_adds=counts[1],
            feeds=sorted(self.feeds),
            source=self.source,
            parts=parts_from(counts[2:]),
            operands=[self._operand(position, unit) for position, unit in enumerate(self._units(units))],
        )

    def pairs_of_last_block(self) -> int:
        """Events whose weight is not zero; of two data operands, pairs that meet."""
        column = "effective" if "weight" in self.roles else "events"
        first = 2 + PART_COUNTS.index(column)
        return sum(self.blocks[-1][first::_WIDTH]) if self.blocks else 0

    def blocks_in(self, units: Sequence[int]) -> list[list[int]]:
        """The blocks' rows, with levels in the units that their sources showed."""
        ours = self._units(units)
        if ours == [1, 1]:
            return self.blocks
        divisors = {_BY_VALUE: math.prod(ours), _LEVEL_SUM: ours[self.roles.index("data")]}
        return [[n // divisors.get(column, 1) for column, n in enumerate(row)] for row in self.blocks]

    def _units(self, units: Sequence[int]) -> list[int]:
        """How many quanta of each operand make one level; one where what was counted is no multiple of them."""
        found = [
            provenance.unit(facts, units) if role == "data" else 1
            for facts, role in zip(self.facts, self.roles, strict=True)
        ]
        whole = all(row[_BY_VALUE] % math.prod(found) == 0 for row in self.blocks) and all(
            not any(number for level, number in enumerate(histogram) if level % unit)
            for histogram, unit in zip(self._histograms, found, strict=True)
        )
        return found if whole else [1, 1]

    def _operand(self, position: int, unit: int) -> Operand:
        facts, role = self.facts[position], self.roles[position]
        if role == "weight":
            return Operand(role="weight")
        quantised = facts.quantum is not None
        negative, differs = self._flags[position]
        encoder = encodes(facts) and self.compared
        return Operand(
            role="data",
            quantum=float(facts.quantum or 1) * unit if quantised else None,
            levels=None if not quantised or facts.levels is None else max(facts.levels // unit, 1),
            signed=(quantised and facts.signed) or negative > 0,
            histogram=_trimmed(self._histograms[position])[::unit] if self._kept_histogram[position] else [],
            constant_over_time=differs == 0 if encoder else None,
            fed_by=sorted(facts.fed_by),
            residual=float(self._residuals[position]),
        )


def _trimmed(histogram: list[int]) -> list[int]:
    """Without the zeros at its end."""
    return histogram[: max((level for level, number in enumerate(histogram) if number), default=-1) + 1]


class _Snapshot(NamedTuple):
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
        self.grid = Grid()
        self.source: Any = None  # where it puts out several levels
        self.updates = 0
        self.runs = 0
        self.all_calls = 0
        self.calls_in_batch = 0
        self.blocks: list[list[int]] = []
        self._ledger = ledger
        self._cell: Cell | None = None
        self._fired: Tensor | None = None
        self._missed: Tensor | None = None  # in some step; None after calls of different shapes
        self._told = timesteps is not None
        self._steps_cell: Cell | None = None
        # What each call so far put out, until it is known whether each was a step.
        self._early: list[tuple[Any, torch.device]] | None = [] if timesteps is None else None

    def drive(self, nonzero: int | Tensor, device: torch.device) -> None:
        """Adds the non-zero inputs: the neuron-steps an event-driven machine would update."""
        self._cells(device).add(2, nonzero)

    def fire(self, fired: Fired, elements: int) -> None:
        """Adds what came out in one call, of `elements` neuron-steps."""
        cell, by_step = self._cells(fired.by_neuron.device), fired.by_step
        size = len(by_step)
        cell.add(0, by_step.sum() if isinstance(by_step, Tensor) else sum(by_step))
        cell.add(1, fired.level_sum)
        self._by_step(by_step, size, fired.by_neuron.device)
        self._by_neuron(fired.by_neuron, elements)
        self.updates += elements
        self.runs += size
        self.calls_in_batch += 1
        self.all_calls += 1

    def end_batch(self) -> None:
        self.calls_in_batch = 0

    def end_learning(self) -> None:
        """Who has not told T until now will not."""
        self._early = None

    def tell_steps(self, timesteps: int) -> None:
        """Goes on step by step, each call so far having been one."""
        early, self._early, self.timesteps, self._told = self._early, None, timesteps, True
        for number, (counts, device) in enumerate(early or []):
            self.calls_in_batch = number
            self._by_step(counts, len(counts), device)
        self.calls_in_batch = len(early or [])

    def _by_step(self, counts: Any, size: int, device: torch.device) -> None:
        if self._early is not None:
            self._early.append((counts, device))
        if not self.timesteps:
            return
        if self._steps_cell is None:
            self._steps_cell = self._ledger.cell(self.timesteps, device, self._close_steps)
        if size == self.timesteps and self.calls_in_batch == 0:
            self._steps_cell.add_each(0, counts)
        elif size == 1 and self.calls_in_batch < self.timesteps:
            self._steps_cell.add(self.calls_in_batch, counts[0])
        else:
            self._told = False

    def _by_neuron(self, counts: Tensor, elements: int) -> None:
        if self._fired is None:
            self._fired, self._missed = (zeros(counts.shape, torch.bool, counts.device) for _ in range(2))
        if self._missed is None or self._fired.shape != counts.shape:
            self._missed = None
            return
        self._fired.logical_or_(counts)
        self._missed.logical_or_(counts != elements // max(counts.numel(), 1))

    def _cells(self, device: torch.device) -> Cell:
        if self._cell is None:
            self._cell = self._ledger.cell(3, device, self._close_block)
        return self._cell

    def _close_block(self, values: Sequence[int]) -> None:
        spikes, level_sum, driven = values
        self.blocks.append([spikes, level_sum, self.updates, driven, *[0] * (self.timesteps or 0)])
        self.updates = 0

    def _close_steps(self, values: Sequence[int]) -> None:
        self.blocks[-1][len(NEURON_COUNTS) :] = values

    def record(self, batches: int | None) -> NeuronRecord:
        width = len(NEURON_COUNTS)
        counts = [sum(column) for column in zip(*self.blocks, strict=True)] or [0] * width
        steps = self.runs // batches if batches and self.runs % batches == 0 else None
        per_step = counts[width:] if self._told else []
        if not self._told:
            self.blocks = [block[:width] for block in self.blocks]
        size = self._fired.numel() if self._fired is not None else 0
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
        if self._fired is None or self._missed is None:
            return None, None
        fired, missed = self._fired.flatten().cpu(), self._missed.flatten().cpu()
        return pack_bits(fired.numpy()), pack_bits(~missed.numpy())


class ConstantCounter:
    """Sums the products of weights alone at one call site: they are no work of the data, and are listed."""

    def __init__(self, layer: str, op: str) -> None:
        self.layer, self.op = layer, op
        self.dense_macs = 0
        self.calls = 0

    def count(self, macs: int) -> None:
        self.dense_macs += macs
        self.calls += 1


class LineCounter:
    """Sums one line of other arithmetic."""

    def __init__(self, ledger: Ledger, layer: str, op: str, device: torch.device) -> None:
        self.layer, self.op = layer, op
        self.elements = 0
        self.feeders: set[OpCounter | None] = set()  # batch norm only: the contractions it reads
        self.biased = False
        self.counted = True  # until an operand turns out real
        self.forgotten = False
        self.blocks: list[list[int | None]] = []
        self._nonzero = ledger.cell(1, device, self._close_block)

    def count(self, elements: int, nonzero: Sequence[int | Tensor] = ()) -> None:
        """Adds one call; `nonzero` are those of its spike operands, none where an operand is real."""
        self.elements += elements
        for count in nonzero:
            self._nonzero.add(0, count)

    def _close_block(self, values: Sequence[int]) -> None:
        self.blocks.append([self.elements, values[0]])
        self.elements = 0

    @property
    def foldable(self) -> bool:
        """A batch norm's affine folds into the weights of a contraction that feeds it alone."""
        return bool(self.feeders) and all(feeder is not None and not feeder.shared for feeder in self.feeders)

    def record(self) -> ElementwiseRecord:
        if not self.counted:
            self.blocks = [[elements, None] for elements, _ in self.blocks]
        elements = sum(block[0] or 0 for block in self.blocks)
        nonzero = sum(block[1] or 0 for block in self.blocks) if self.counted else None
        return ElementwiseRecord(
            layer=self.layer, op=self.op, elements=elements, nonzero=nonzero, foldable=self.foldable, biased=self.biased
        )


def op_name(form: Contraction, roles: tuple[Role, Role]) -> Literal["conv", "linear", "matmul"]:
    if isinstance(form, Convolution):
        return "conv"
    return "matmul" if roles == ("data", "data") else "linear"


def shape_of(form: Contraction, roles: tuple[Role, Role]) -> dict[str, Any]:
    """What a memory model needs: the geometry of one run of the operation."""
    if isinstance(form, Convolution):
        geometry = form.geometry
        return {
            "input": [form.x.shape[1], *geometry.space],
            "output": [geometry.out_channels, *geometry.out_space],
            "weight": list(form.weight.shape),
            "stride": list(geometry.stride),
            "padding": [before if before == after else [before, after] for before, after in geometry.padding],
            "dilation": list(geometry.dilation),
            "groups": geometry.groups,
            "transposed": geometry.transposed,
        }
    left, right = form.left.shape, form.right.shape
    if roles == ("data", "data"):
        return {"left": list(left[-2:]), "right": list(right[-2:])}
    matrix = [left[-1], right[-1]] if roles[0] == "data" else [left[-1], left[-2]]
    return {"input": [matrix[0]], "output": [matrix[1]], "weight": matrix}

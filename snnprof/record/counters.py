"""What is summed for one contraction, one neuron layer, one line of other arithmetic; and the record each becomes."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
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
from snnprof.record.accumulate import Array, CountLog, Total
from snnprof.record.contractions import Contraction, Convolution
from snnprof.record.measure import CallCounts, Calls, Plan, Role, encodes
from snnprof.record.memory import zeros
from snnprof.record.provenance import Facts
from snnprof.record.read import read
from snnprof.record.read.operand import ANY, HISTOGRAM_LEVELS, LEVELS, NONZERO, SINGLE, Grid, Steps, Sums, fitting, kept
from snnprof.record.torch_private import version

_WIDTH = len(PART_COUNTS)
_OF_SPIKES = 2 + KINDS.index("spikes") * _WIDTH
_BY_VALUE, _LEVEL_SUM = (_OF_SPIKES + PART_COUNTS.index(name) for name in ("by_value", "level_sum"))
MOST_STEPS = 128
"""Of longer sequences a run file does not tell the steps of contractions apart."""
_EARLY = 1024
"""Calls that may turn out to be steps of one sequence, before T is known."""


class Histogram:
    """Elements at each level over the whole run, until a call could not tell them apart."""

    def __init__(self) -> None:
        self.numbers = np.zeros(HISTOGRAM_LEVELS + 1, np.int64)
        self.whole = True

    def add(self, numbers: Array | None) -> None:
        if numbers is None:
            self.whole = False
        else:
            self.numbers[: len(numbers)] += numbers

    @property
    def largest(self) -> int:
        """The largest level there was."""
        return int(np.flatnonzero(self.numbers).max(initial=-1))


class _Shown:
    """What an operand's values showed over the whole run."""

    def __init__(self) -> None:
        self.histogram = Histogram()
        self.residual = 0.0
        self.negative = self.differs = False


class Placed:
    """Calls that are alike, and begin at the same place among a sequence's steps; None where that is not known."""

    def __init__(self, counter: OpCounter, calls: Calls, position: int | None) -> None:
        self.size = calls.size
        self._counter, self._calls, self._position = counter, calls, position

    def take(self, rows: Array) -> None:
        self._counter.add(self._calls.counts(rows), self._position)


class ByStep:
    """What calls add at each step of a sequence, `[steps, kinds, PART_COUNTS]`, as long as their places are known."""

    def __init__(self) -> None:
        self.parts = np.zeros((0, len(KINDS), _WIDTH), np.int64)
        self._lengths: set[int] = set()  # of calls that begin a sequence
        self._later = self._lost = False

    def place(self, position: int, calls: Calls) -> int | None:
        """Where such a call adds its steps, the sequence having had so many: a whole sequence at once, or one step."""
        position = position if calls.rows == 1 else 0
        self._lost |= calls.rows != calls.plan.size or position + calls.rows > MOST_STEPS
        self._lengths |= {calls.rows} if position == 0 else set()
        self._later |= position > 0
        return None if self._lost else position

    def give_up(self) -> None:
        """Nobody will say how many steps there are: which of them a call was need not be kept."""
        self._lost, self.parts = True, self.parts[:0]

    def add(self, parts: Array, position: int) -> None:
        if self._lost:
            return
        missing = position + len(parts) - len(self.parts)
        if missing > 0:
            self.parts = np.concatenate([self.parts, np.zeros((missing, len(KINDS), _WIDTH), np.int64)])
        self.parts[position : position + len(parts)] += parts

    def of(self, steps: int | None) -> list[list[int]]:
        """A row for each of so many steps; empty where calls do not tell them apart."""
        uneven = len(self._lengths) > 1 or (self._later and self._lengths != {1})
        if self._lost or uneven or steps != len(self.parts):
            return []
        return [step.ravel().tolist() for step in self.parts]


class OpCounter:
    """Sums one contraction. What shapes tell is added at each call, what values tell comes from the log."""

    def __init__(self, log: CountLog, layer: str, index: int, form: Contraction, roles: tuple[Role, Role]) -> None:
        self.layer, self.index, self.roles = layer, index, roles
        self.op: Literal["conv", "linear", "matmul"] = op_name(form, roles)
        self.source = ""
        self.shape = shape_of(form, roles)
        self.weights = sum(t.numel() for t, role in zip(form.operands, roles, strict=True) if role == "weight")
        self.facts: list[Facts] = [Facts(), Facts()]
        self.feeds: set[str] = set()
        self.runs = 0
        self.calls = 0
        self.all_calls = 0
        self.bias_adds = 0
        self.blocks: list[list[int]] = []
        self.compared = False
        self.shared = False
        self._steady = True  # the time steps lay where the first batch showed them
        self._log = log
        self._parts = np.zeros((len(KINDS), _WIDTH), np.int64)
        self._shown = [_Shown() for _ in roles]
        self._changes = [Total(functools.partial(self._change, shown)) for shown in self._shown]
        self._calls: dict[Any, Calls] = {}
        self._series: dict[Any, Placed] = {}
        self._by_step, self._position = ByStep(), 0
        self._before: _Snapshot | None = None
        log.register(self)

    # -- counting ------------------------------------------------------------------------------------------

    def count(self, form: Contraction, plan: Plan) -> None:
        """Adds one call. The operands are as the operator saw them."""
        fitting = plan.fitting(form)
        self._steady &= fitting is plan
        calls = self.calls_of(form, fitting)
        self._log.record(self.series(calls), form.operands[0].device, functools.partial(calls.write, form))
        self.ran(fitting.size, form.outputs if form.bias else 0)
        for position in fitting.encoded:
            self._compare(position, form.operands[position], fitting.steps[position])

    def calls_of(self, form: Contraction, plan: Plan) -> Calls:
        """The calls that such a one is like."""
        left, right = form.operands
        alike = plan.reading, form.macs, form.valid, left.shape, right.shape, left.dtype, right.dtype
        if alike not in self._calls:
            self._calls[alike] = Calls(form, plan)
        return self._calls[alike]

    def series(self, calls: Calls) -> Placed:
        """The calls that the next one is like, which also stand where it stands among the steps."""
        alike = id(calls), self._by_step.place(self._position, calls)
        if alike not in self._series:
            self._series[alike] = Placed(self, calls, alike[1])
        return self._series[alike]

    def ran(self, steps: int, bias_adds: int) -> None:
        """Adds what shapes tell of one call."""
        self._position += steps
        self.calls += 1
        self.all_calls += 1
        self.runs += steps
        self.bias_adds += bias_adds

    def add(self, counts: CallCounts, position: int | None) -> None:
        """Adds what values told of some calls, whose first step is the one at that position."""
        self._parts += counts.parts.sum(0)
        if position is not None:
            self._by_step.add(counts.parts, position)
        for shown, stats in zip(self._shown, counts.stats, strict=True):
            if stats is not None:
                shown.histogram.add(stats.histogram)
                shown.residual = max(shown.residual, stats.residual)
                shown.negative |= stats.negative

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
        if isinstance(changed, Tensor):
            self._log.record(self.changes(position), changed.device, lambda row: row[0].copy_(changed))
        else:
            self.compared = True
            self._shown[position].differs |= changed

    def changes(self, position: int) -> Total:
        """Comparisons of an encoder's input, which will be made."""
        self.compared = True
        return self._changes[position]

    @staticmethod
    def _change(shown: _Shown, number: int) -> None:
        shown.differs |= number > 0

    def end_batch(self) -> None:
        self._before, self._position = None, 0

    def end_learning(self) -> None:
        """Nobody will say T any more."""
        self._by_step.give_up()
        self._series.clear()

    # -- reading back --------------------------------------------------------------------------------------

    def end_block(self) -> None:
        self.blocks.append([self.calls, self.bias_adds, *self._parts.ravel().tolist()])
        self._parts[:] = 0
        self.calls = self.bias_adds = 0

    def record(self, batches: int | None, units: Sequence[int]) -> OpRecord:
        """The record, with levels in the units that their sources showed.

        Args:
            batches: how many there were; None where nobody knows.
            units: of each source.
        """
        blocks = self.blocks_in(units)
        steps = self.runs // batches if batches and self.runs % batches == 0 and self._steady else None
        counts = [sum(column) for column in zip(*blocks, strict=True)] or [0] * (2 + len(KINDS) * _WIDTH)
        apart = [[0, 0, *row] for row in self._by_step.of(steps)]
        by_step = [counts] if steps == 1 else self._in_units(apart, units)
        return OpRecord(
            layer=self.layer,
            op=self.op,
            index=self.index,
            calls=counts[0],
            steps=steps,
            shape=self.shape,
            weights=self.weights,
            bias_adds=counts[1],
            feeds=sorted(self.feeds),
            source=self.source,
            parts=parts_from(counts[2:]),
            parts_by_step=[parts_from(row[2:]) for row in by_step],
            operands=[self._operand(position, unit) for position, unit in enumerate(self._units(units))],
        )

    def pairs_of_last_block(self) -> int:
        """Events whose weight is not zero; of two data operands, pairs that meet."""
        column = "effective" if "weight" in self.roles else "events"
        first = 2 + PART_COUNTS.index(column)
        return sum(self.blocks[-1][first::_WIDTH]) if self.blocks else 0

    def blocks_in(self, units: Sequence[int]) -> list[list[int]]:
        """The blocks' rows, with levels in the units that their sources showed."""
        return self._in_units(self.blocks, units)

    def _in_units(self, rows: list[list[int]], units: Sequence[int]) -> list[list[int]]:
        ours = self._units(units)
        if ours == [1, 1]:
            return rows
        divisors = {_BY_VALUE: math.prod(ours), _LEVEL_SUM: ours[self.roles.index("data")]}
        return [[n // divisors.get(column, 1) for column, n in enumerate(row)] for row in rows]

    def _units(self, units: Sequence[int]) -> list[int]:
        """How many quanta of each operand make one level; one where what was counted is no multiple of them."""
        found = [
            provenance.unit(facts, units) if role == "data" else 1
            for facts, role in zip(self.facts, self.roles, strict=True)
        ]
        whole = all(row[_BY_VALUE] % math.prod(found) == 0 for row in self.blocks) and all(
            not (np.flatnonzero(shown.histogram.numbers) % unit).any()
            for shown, unit in zip(self._shown, found, strict=True)
        )
        return found if whole else [1, 1]

    def _operand(self, position: int, unit: int) -> Operand:
        facts, role = self.facts[position], self.roles[position]
        if role == "weight":
            return Operand(role="weight")
        quantised = facts.quantum is not None
        shown = self._shown[position]
        numbers = shown.histogram.numbers[: shown.histogram.largest + 1].tolist()
        encoder = encodes(facts) and self.compared
        return Operand(
            role="data",
            quantum=float(facts.quantum or 1) * unit if quantised else None,
            levels=None if not quantised or facts.levels is None else max(facts.levels // unit, 1),
            signed=(quantised and facts.signed) or shown.negative,
            histogram=numbers[::unit] if shown.histogram.whole else [],
            constant_over_time=not shown.differs if encoder else None,
            fed_by=sorted(facts.fed_by),
            residual=shown.residual,
        )


class _Snapshot(NamedTuple):
    """An operand as it was, held until the next call; its version tells whether it was written to since."""

    values: Tensor
    version: int

    @classmethod
    def of(cls, values: Tensor) -> _Snapshot:
        """Inference tensors count no versions: those are copied."""
        return cls(values.clone(), 0) if values.is_inference() else cls(values, version(values))

    def differs(self, now: Tensor) -> Tensor | bool:
        """Whether the values changed; where what they were was overwritten, they are taken to have changed."""
        written = not self.values.is_inference() and version(self.values) != self.version
        if written or self.values.shape != now.shape:
            return True
        return self.values is not now and (self.values != now).any()


class Source:
    """The levels that spikes of several levels showed where they are made, over the whole run."""

    def __init__(self, index: int, log: CountLog) -> None:
        self.index = index
        self.histogram = Histogram()
        self._log = log
        self._series: dict[Any, Made] = {}

    def observe(self, values: Tensor, grid: Grid) -> None:
        """Adds the levels of what was made."""
        series = self.series(values, grid)
        self._log.record(series, values.device, lambda row: read(values, grid, 0, row))

    def series(self, values: Tensor, grid: Grid) -> Made:
        """The calls that such a one is like."""
        alike = values.shape, values.dtype, grid
        if alike not in self._series:
            self._series[alike] = Made(self, values, grid)
        return self._series[alike]

    @property
    def unit(self) -> int:
        """Levels that make one spike; 1 where more levels are possible than were told apart."""
        if not self.histogram.whole or self.histogram.numbers[HISTOGRAM_LEVELS]:
            return 1
        return math.gcd(*np.flatnonzero(self.histogram.numbers).tolist()) or 1


class Made:
    """Calls that made spikes of a source alike."""

    def __init__(self, source: Source, values: Tensor, grid: Grid) -> None:
        self._source, self._counts, self.size = source, measure.OperandCounts(values, grid, None), grid.width

    def take(self, rows: Array) -> None:
        stats = self._counts.stats(rows, self._counts.kinds(rows))
        self._source.histogram.add(stats.histogram)


class Fired:
    """Calls of a neuron layer of so many steps, which stand at one place among a sequence's steps.

    Attributes:
        position: of the first step; None where that is not known.
    """

    def __init__(self, counter: NeuronCounter, grid: Grid, steps: int, position: int | None) -> None:
        self.grid, self.steps, self.position = grid, steps, position
        self.size = steps * grid.width
        self._counter = counter

    def take(self, rows: Array) -> None:
        figures = rows.reshape(len(rows), self.steps, -1)
        counts = figures[..., NONZERO].sum(0)
        self._counter.add(int(counts.sum()), int(figures[..., LEVELS].sum()), counts, self.position)


class NeuronCounter:
    """Sums one neuron layer's spikes, by time step and by neuron."""

    def __init__(self, log: CountLog, layer: str, kind: str, found_by: Any, timesteps: int | None) -> None:
        self.layer, self.kind, self.found_by = layer, kind, found_by
        self.timesteps = timesteps
        self.grid = Grid()
        self.source: Source | None = None  # where it puts out several levels
        self.updates = self.driven = 0
        self.runs = 0
        self.all_calls = 0
        self.calls_in_batch = 0
        self.blocks: list[list[int]] = []
        self._spikes = self._levels = 0
        self._log = log
        self._per_step = np.zeros(timesteps or _EARLY, np.int64)
        self._told = timesteps is not None
        self._waits_no_longer = False
        self._calls: set[tuple[int, int]] = set()  # how many steps each began with, and had, before T was known
        self._series: dict[Any, Fired] = {}
        self.driving = Total(self.drive_all)
        self.by_neuron: Tensor | None = None  # spikes of each in all calls, `[*neurons]`
        self._chances = 0  # to fire, that each had
        self._size, self._alike = 0, True
        log.register(self)

    def drive(self, values: Tensor) -> None:
        """Adds the non-zero inputs: the neuron-steps an event-driven machine would update."""
        self._log.record(self.driving, values.device, lambda row: read(values, ANY, 0, row))

    def drive_all(self, number: int) -> None:
        """Adds neuron-steps that are driven."""
        self.driven += number

    def fire(self, spikes: Tensor, steps: Steps | None, batch: int | None, grid: Grid) -> None:
        """Adds what came out in one call. Without `steps`, one call is one step and the first axis is the batch.

        Args:
            grid: the values that are expected.
        """
        steps = fitting(steps, spikes.shape)
        keep = neurons_of(spikes, steps, batch)
        sums = self._sums(spikes, steps, keep)
        series = self.series(steps, grid)
        self._log.record(series, spikes.device, lambda row: read(spikes, series.grid, 0, row, steps, sums))
        self.ran(series.steps, spikes.numel())

    def series(self, steps: Steps | None, grid: Grid) -> Fired:
        """The calls that the next one is like."""
        size = steps.size if steps else 1
        alike = size, self._position(size), grid
        if alike not in self._series:
            self._series[alike] = Fired(self, SINGLE if grid.quantum is None else grid, size, alike[1])
        return self._series[alike]

    def ran(self, steps: int, elements: int) -> None:
        """Adds what shapes tell of one call, of so many neuron-steps."""
        self.updates += elements
        self.runs += steps
        self.calls_in_batch += 1
        self.all_calls += 1
        self._chances += elements // max(self._size, 1)

    def _sums(self, spikes: Tensor, steps: Steps | None, keep: tuple[int, ...]) -> Sums | None:
        """Where spikes are counted by neuron; None after calls of different shapes."""
        shape = [spikes.shape[dim] for dim in keep]
        if self.by_neuron is None:
            _, strides = kept(tuple(spikes.shape), tuple(spikes.stride()), steps, keep, False)
            self._size = math.prod(shape)
            self.by_neuron = zeros((self._size,), torch.int32, spikes.device).as_strided(shape, strides)
        self._alike &= list(self.by_neuron.shape) == shape
        return Sums(keep, self.by_neuron) if self._alike else None

    def add_by_neuron(self, counts: Tensor) -> None:
        """Adds spikes `[*neurons]` of a call that were counted elsewhere."""
        assert self.by_neuron is not None
        self.by_neuron += counts

    def add(self, spikes: int, levels: int, counts: Array, position: int | None) -> None:
        """Adds what values told of some calls, whose first step is the one at that position."""
        self._spikes += spikes
        self._levels += levels
        if position is not None:
            self._per_step[position : position + len(counts)] += counts

    def end_batch(self) -> None:
        self.calls_in_batch = 0

    def end_learning(self) -> None:
        """Nobody will say T any more: which step a call was need not be kept."""
        self._waits_no_longer = True
        self._series.clear()

    def tell_steps(self, timesteps: int) -> None:
        """Goes on step by step, each call so far having been one."""
        self._log.flush()
        self.timesteps, self._per_step = timesteps, self._per_step[:timesteps].copy()
        self._told = all(self._fits(position, size) for position, size in self._calls)
        self._series.clear()

    def _position(self, size: int) -> int | None:
        """Which of a sequence's steps a call of so many begins with."""
        position = self.calls_in_batch
        if not self.timesteps:
            if self._waits_no_longer:
                return None
            self._calls.add((min(position, _EARLY), size))
            return position if position + size <= _EARLY else None
        fits = self._fits(position, size)
        self._told &= fits
        return position if fits else None

    def _fits(self, position: int, size: int) -> bool:
        """Whether a call is the whole sequence, or one of its steps."""
        return (size == self.timesteps and position == 0) or (size == 1 and position < (self.timesteps or 0))

    def end_block(self) -> None:
        counts = self._spikes, self._levels, self.updates, self.driven
        self.blocks.append([*counts, *self._per_step[: self.timesteps or 0].tolist()])
        self._spikes = self._levels = self.updates = self.driven = 0
        self._per_step[:] = 0

    def record(self, batches: int | None) -> NeuronRecord:
        width = len(NEURON_COUNTS)
        counts = [sum(column) for column in zip(*self.blocks, strict=True)] or [0] * width
        steps = self.runs // batches if batches and self.runs % batches == 0 else None
        per_step = counts[width:] if self._told else []
        if not self._told:
            self.blocks = [block[:width] for block in self.blocks]
        fired, always = self._bitmaps()
        return NeuronRecord(
            layer=self.layer,
            type=self.kind,
            found_by=self.found_by,
            size=self._size,
            steps=steps,
            **dict(zip(NEURON_COUNTS, counts[:width], strict=True)),
            spikes_per_step=per_step,
            fired_bitmap=fired,
            always_bitmap=always,
        )

    def _bitmaps(self) -> tuple[str | None, str | None]:
        """Neurons that fired at all, and those that fired at each step."""
        if self.by_neuron is None or not self._alike:
            return None, None
        counts = self.by_neuron.flatten().cpu().numpy()
        return pack_bits(counts > 0), pack_bits(counts == self._chances)


def neurons_of(spikes: Tensor, steps: Steps | None, batch: int | None) -> tuple[int, ...]:
    """Dimensions along which neurons differ: all but those of steps and batch.

    These are two axes in `[T, B, ...]`, and one in `[T·B, ...]`, `[B, T, ...]` and `[B, ...]`.
    """
    apart = steps is not None and steps.dim == 0 and spikes.dim() > 1 and tuple(spikes.shape[:2]) == (steps.size, batch)
    return tuple(range(2 if apart else 1 if steps is None else steps.dim + 1, spikes.dim()))


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

    def __init__(self, log: CountLog, layer: str, op: str) -> None:
        self.layer, self.op = layer, op
        self.elements = self.nonzero = 0
        self.feeders: set[OpCounter | None] = set()  # batch norm only: the contractions it reads
        self.biased = False
        self.counted = True  # until an operand turns out real
        self.forgotten = False
        self.blocks: list[list[int | None]] = []
        self.series = Total(self._add)
        self._log = log
        log.register(self)

    def count(self, elements: int, spikes: Sequence[Tensor] = ()) -> None:
        """Adds one call; `spikes` are its spike operands, none where an operand is real."""
        self.elements += elements
        for values in spikes:
            self._log.record(self.series, values.device, functools.partial(read, values, ANY, 0))

    def count_read(self, elements: int, rows: Sequence[Tensor]) -> None:
        """Adds a call whose operands were read before."""
        self.elements += elements
        for known in rows:
            self._log.copy(self.series, known)

    def _add(self, nonzero: int) -> None:
        self.nonzero += nonzero

    def end_block(self) -> None:
        self.blocks.append([self.elements, self.nonzero])
        self.elements = self.nonzero = 0

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

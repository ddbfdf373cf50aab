"""The counters of a recording: of a contraction, a neuron layer, or a line of other arithmetic, and their records.

Shapes are added at each call. What depends on values arrives later: each call writes a row into the log, calls that are
alike form a *series*, and at the end of a block the log hands each series its rows.
"""

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
"""The longest sequence whose contractions a run file counts step by step."""
_EARLY = 1024
"""Calls of a neuron layer per sequence that are counted apart while T is unknown: they may turn out to be its steps."""


class Histogram:
    """Elements at each level over the whole run; not `whole` once a call could not tell its levels apart."""

    def __init__(self) -> None:
        self.numbers = np.zeros(HISTOGRAM_LEVELS + 1, np.int64)
        self.whole = True

    def add(self, numbers: Array | None) -> None:
        """Adds the elements at level 0, 1, … of some calls; None if these calls did not tell levels apart."""
        if numbers is None:
            self.whole = False
        else:
            self.numbers[: len(numbers)] += numbers

    @property
    def largest(self) -> int:
        """The largest level that occurred; −1 if there were no elements."""
        return int(np.flatnonzero(self.numbers).max(initial=-1))


class _Shown:
    """What the values of one operand showed over the whole run.

    Attributes:
        histogram: elements at each level.
        residual: largest distance from the grid, in levels, among steps of spikes.
        negative: whether a step of spikes had negative levels.
        differs: whether the values changed from one time step to the next.
    """

    def __init__(self) -> None:
        self.histogram = Histogram()
        self.residual = 0.0
        self.negative = self.differs = False


class _OpSeries:
    """Calls of a contraction that are alike and begin at the same time step; None if the step is unknown."""

    def __init__(self, counter: OpCounter, calls: Calls, position: int | None) -> None:
        self.size = calls.size
        self._counter, self._calls, self._position = counter, calls, position

    def take(self, rows: Array) -> None:
        """Adds the rows that these calls wrote."""
        self._counter.add(self._calls.counts(rows), self._position)


class _StepCounts:
    """A contraction's counts by time step, `[steps, kinds, PART_COUNTS]`; given up once a call cannot be assigned."""

    def __init__(self) -> None:
        self.parts = np.zeros((0, len(KINDS), _WIDTH), np.int64)
        self._lengths: set[int] = set()  # of calls that begin a sequence
        self._later = self._lost = False

    def place(self, position: int, calls: Calls) -> int | None:
        """The step at which a call begins, after `position` steps of its sequence; None if it cannot be assigned.

        A call with one row is the next step, one with several is a whole sequence from its first step on.
        """
        position = position if calls.rows == 1 else 0
        self._lost |= calls.rows != calls.plan.size or position + calls.rows > MOST_STEPS
        self._lengths |= {calls.rows} if position == 0 else set()
        self._later |= position > 0
        return None if self._lost else position

    def give_up(self) -> None:
        """Stops counting by step, since T stays unknown."""
        self._lost, self.parts = True, self.parts[:0]

    def add(self, parts: Array, position: int) -> None:
        """Adds counts `[steps, kinds, PART_COUNTS]` from the step at `position` on."""
        if self._lost:
            return
        missing = position + len(parts) - len(self.parts)
        if missing > 0:
            self.parts = np.concatenate([self.parts, np.zeros((missing, len(KINDS), _WIDTH), np.int64)])
        self.parts[position : position + len(parts)] += parts

    def of(self, steps: int | None) -> list[list[int]]:
        """The counts of each of `steps` steps, one row per step; empty if the calls do not tell the steps apart."""
        uneven = len(self._lengths) > 1 or (self._later and self._lengths != {1})
        if self._lost or uneven or steps != len(self.parts):
            return []
        return [step.ravel().tolist() for step in self.parts]


class OpCounter:
    """Counts one contraction: all calls in one layer with the same weight, or at the same place in the code.

    Attributes:
        layer: path of the module that runs it.
        index: number of the contraction within its layer, in order of first appearance.
        roles: role of each operand.
        op: `conv`, `linear` or `matmul`.
        source: `file:line` of a contraction without parameters; else "".
        shape: geometry of one call (`shape_of`).
        weights: number of weights.
        facts: provenance of each operand, over all call sites.
        feeds: neuron layers that its result reaches.
        runs: time steps in which it ran.
        calls: calls since the last block.
        all_calls: calls since the beginning.
        bias_adds: additions of a bias since the last block.
        blocks: a row for each closed block: calls, bias additions, then `PART_COUNTS` for each kind.
        compared: whether its operand is an encoder's input that was compared from step to step.
        shared: whether another operator than a batch norm reads its result.
    """

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
        self._steady = True  # in every call the time steps lie along the axis that the first batch showed
        self._log = log
        self._parts = np.zeros((len(KINDS), _WIDTH), np.int64)
        self._shown = [_Shown() for _ in roles]
        self._changes = [Total(functools.partial(self._change, shown)) for shown in self._shown]
        self._calls: dict[Any, Calls] = {}
        self._series: dict[Any, _OpSeries] = {}
        self._by_step, self._position = _StepCounts(), 0
        self._before: _Snapshot | None = None
        log.register(self)

    # -- counting ------------------------------------------------------------------------------------------

    def count(self, form: Contraction, plan: Plan) -> None:
        """Adds one call, whose operands are those of the operator."""
        fitting = plan.fitting(form)
        self._steady &= fitting is plan
        calls = self.calls_of(form, fitting)
        self._log.record(self.series(calls), form.operands[0].device, functools.partial(calls.write, form))
        self.ran(fitting.size, form.outputs if form.bias else 0)
        for position in fitting.encoded:
            self._compare(position, form.operands[position], fitting.steps[position])

    def calls_of(self, form: Contraction, plan: Plan) -> Calls:
        """The layout of the log's rows for calls like this one."""
        left, right = form.operands
        alike = plan.reading, form.macs, form.valid, left.shape, right.shape, left.dtype, right.dtype
        if alike not in self._calls:
            self._calls[alike] = Calls(form, plan)
        return self._calls[alike]

    def series(self, calls: Calls) -> _OpSeries:
        """The series that the next call belongs to: calls like it that begin at the same time step."""
        alike = id(calls), self._by_step.place(self._position, calls)
        if alike not in self._series:
            self._series[alike] = _OpSeries(self, calls, alike[1])
        return self._series[alike]

    def ran(self, steps: int, bias_adds: int) -> None:
        """Adds one call of `steps` time steps, as far as shapes alone tell."""
        self._position += steps
        self.calls += 1
        self.all_calls += 1
        self.runs += steps
        self.bias_adds += bias_adds

    def add(self, counts: CallCounts, position: int | None) -> None:
        """Adds what the values of some calls told; each begins with the time step at `position` (None: unknown)."""
        self._parts += counts.parts.sum(0)
        if position is not None:
            self._by_step.add(counts.parts, position)
        for shown, stats in zip(self._shown, counts.stats, strict=True):
            if stats is not None:
                shown.histogram.add(stats.histogram)
                shown.residual = max(shown.residual, stats.residual)
                shown.negative |= stats.negative

    def _compare(self, position: int, values: Tensor, steps: Steps | None) -> None:
        """Compares an encoder's input from step to step: within the call, or with the call before."""
        if steps is not None:
            self.differ(position, measure.differs_over_time(values, steps))
            return
        before, self._before = self._before, _Snapshot.of(values)
        if before is not None:
            self.differ(position, before.differs(values))

    def differ(self, position: int, changed: Tensor | bool) -> None:
        """Adds whether an encoder's input changed from one step to the next."""
        if isinstance(changed, Tensor):
            self._log.record(self.changes(position), changed.device, lambda row: row[0].copy_(changed))
        else:
            self.compared = True
            self._shown[position].differs |= changed

    def changes(self, position: int) -> Total:
        """The series of comparisons of an encoder's input; from now on that input counts as compared."""
        self.compared = True
        return self._changes[position]

    @staticmethod
    def _change(shown: _Shown, number: int) -> None:
        """Notes that some of the comparisons found a change."""
        shown.differs |= number > 0

    def end_batch(self) -> None:
        """The next call begins a new sequence: nothing is compared across it."""
        self._before, self._position = None, 0

    def end_learning(self) -> None:
        """Ends learning without T: the steps are not counted apart."""
        self._by_step.give_up()
        self._series.clear()

    # -- reading back --------------------------------------------------------------------------------------

    def end_block(self) -> None:
        """Closes a block: calls, bias additions and counts by kind since the last one."""
        self.blocks.append([self.calls, self.bias_adds, *self._parts.ravel().tolist()])
        self._parts[:] = 0
        self.calls = self.bias_adds = 0

    def record(self, batches: int | None, units: Sequence[int]) -> OpRecord:
        """The contraction's record, with levels in the units that their sources showed.

        Args:
            batches: number of batches; None if unknown, which leaves `steps` unknown, too.
            units: quanta that make one level, for each source of multi-level spikes (`Source.unit`).
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
        """Events whose weight is not zero, or for two data operands the pairs of non-zeros, in the last block."""
        column = "effective" if "weight" in self.roles else "events"
        first = 2 + PART_COUNTS.index(column)
        return sum(self.blocks[-1][first::_WIDTH]) if self.blocks else 0

    def blocks_in(self, units: Sequence[int]) -> list[list[int]]:
        """The blocks' rows, with levels in the units that their sources showed."""
        return self._in_units(self.blocks, units)

    def _in_units(self, rows: list[list[int]], units: Sequence[int]) -> list[list[int]]:
        """Rows of blocks, with the sums of levels divided by the units of their sources."""
        ours = self._units(units)
        if ours == [1, 1]:
            return rows
        divisors = {_BY_VALUE: math.prod(ours), _LEVEL_SUM: ours[self.roles.index("data")]}
        return [[n // divisors.get(column, 1) for column, n in enumerate(row)] for row in rows]

    def _units(self, units: Sequence[int]) -> list[int]:
        """How many quanta of each operand make one level; 1 for both if the counts are not multiples of that."""
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
        """The record of one operand, with levels of `unit` quanta each."""
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
    """An operand, kept until the next call; its version tells whether it was overwritten in between."""

    values: Tensor
    version: int

    @classmethod
    def of(cls, values: Tensor) -> _Snapshot:
        """Keeps an operand; inference tensors have no version counter, so they are copied."""
        return cls(values.clone(), 0) if values.is_inference() else cls(values, version(values))

    def differs(self, now: Tensor) -> Tensor | bool:
        """Whether the values changed; if the earlier ones were overwritten, they count as changed."""
        written = not self.values.is_inference() and version(self.values) != self.version
        if written or self.values.shape != now.shape:
            return True
        return self.values is not now and (self.values != now).any()


class Source:
    """The levels that the run showed at one place where multi-level spikes are made."""

    def __init__(self, index: int, log: CountLog) -> None:
        self.index = index
        self.histogram = Histogram()
        self._log = log
        self._series: dict[Any, _SourceSeries] = {}

    def observe(self, values: Tensor, grid: Grid) -> None:
        """Adds the levels of the spikes that one call made."""
        series = self.series(values, grid)
        self._log.record(series, values.device, lambda row: read(values, grid, 0, row))

    def series(self, values: Tensor, grid: Grid) -> _SourceSeries:
        """The series that a call with these spikes belongs to."""
        alike = values.shape, values.dtype, grid
        if alike not in self._series:
            self._series[alike] = _SourceSeries(self, values, grid)
        return self._series[alike]

    @property
    def unit(self) -> int:
        """Quanta that make one level: the greatest common divisor of all levels that occurred.

        1 if a call did not tell its levels apart, or showed the last bin of the histogram, which larger ones share.
        """
        if not self.histogram.whole or self.histogram.numbers[HISTOGRAM_LEVELS]:
            return 1
        return math.gcd(*np.flatnonzero(self.histogram.numbers).tolist()) or 1


class _SourceSeries:
    """Calls that made spikes of one shape, dtype and grid at a source."""

    def __init__(self, source: Source, values: Tensor, grid: Grid) -> None:
        self._source, self._counts, self.size = source, measure.OperandCounts(values, grid, None), grid.width

    def take(self, rows: Array) -> None:
        """Adds the levels of the rows that these calls wrote."""
        stats = self._counts.stats(rows, self._counts.kinds(rows))
        self._source.histogram.add(stats.histogram)


class _NeuronSeries:
    """Calls of a neuron layer that have the same number of steps and begin at the same time step.

    Attributes:
        position: that time step; None if it is unknown.
    """

    def __init__(self, counter: NeuronCounter, grid: Grid, steps: int, position: int | None) -> None:
        self.grid, self.steps, self.position = grid, steps, position
        self.size = steps * grid.width
        self._counter = counter

    def take(self, rows: Array) -> None:
        """Adds the spikes of the rows that these calls wrote."""
        figures = rows.reshape(len(rows), self.steps, -1)
        counts = figures[..., NONZERO].sum(0)
        self._counter.add(int(counts.sum()), int(figures[..., LEVELS].sum()), counts, self.position)


class NeuronCounter:
    """Counts the spikes of one neuron layer, by time step and by neuron.

    Args:
        log: the log that the layer's calls write rows into.
        layer: path of the module; of a firing line its name, such as `net.py:42`.
        kind: class name of the module, or name of the function that fires.
        found_by: `class` (a known class), `named` (by `--neuron`) or `behaviour`.
        timesteps: T; None while it is unknown.

    Attributes:
        grid: the values that its output is expected to hold.
        source: set if it emits spikes of several levels.
        updates: neuron-steps since the last block.
        driven: those whose input was not zero.
        runs: time steps in which it ran.
        all_calls: calls since the beginning.
        calls_in_batch: calls since the last batch began.
        blocks: a row for each closed block: spikes, levels, updates, driven updates, then spikes by time step.
        driving: the series that takes the non-zeros of its inputs.
        by_neuron: spikes of each neuron over all calls, int32 `[*neurons]`; None before the first call.
    """

    def __init__(self, log: CountLog, layer: str, kind: str, found_by: Any, timesteps: int | None) -> None:
        self.layer, self.kind, self.found_by = layer, kind, found_by
        self.timesteps = timesteps
        self.grid = Grid()
        self.source: Source | None = None
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
        self._calls: set[tuple[int, int]] = set()  # before T is known: first step and number of steps of each call
        self._series: dict[Any, _NeuronSeries] = {}
        self.driving = Total(self.drive_all)
        self.by_neuron: Tensor | None = None
        self._chances = 0  # neuron-steps of each neuron: how often it could have fired
        self._size, self._alike = 0, True
        log.register(self)

    def drive(self, values: Tensor) -> None:
        """Counts the non-zero inputs of one call: the neuron-steps that an event-driven machine would update.

        Args:
            values: input of the layer, of any shape.
        """
        self._log.record(self.driving, values.device, lambda row: read(values, ANY, 0, row))

    def drive_all(self, number: int) -> None:
        """Adds neuron-steps that count as driven without a look at their input, as in layers with recurrent weights.

        Args:
            number: how many.
        """
        self.driven += number

    def fire(self, spikes: Tensor, steps: Steps | None, batch: int | None, grid: Grid) -> None:
        """Counts the output of one call.

        Args:
            spikes: output of the layer: [T, B, ...], [T·B, ...], [B, T, ...], or [B, ...] for one step.
            steps: where the time steps lie in it; None: the call is one step, and the first axis is the batch.
            batch: B; None if it is unknown.
            grid: the values that are expected.
        """
        steps = fitting(steps, spikes.shape)
        keep = neurons_of(spikes, steps, batch)
        sums = self._sums(spikes, steps, keep)
        series = self.series(steps, grid)
        self._log.record(series, spikes.device, lambda row: read(spikes, series.grid, 0, row, steps, sums))
        self.ran(series.steps, spikes.numel())

    def series(self, steps: Steps | None, grid: Grid) -> _NeuronSeries:
        """The series that the next call belongs to.

        Args:
            steps: where the time steps lie in its output; None for a call of one step.
            grid: the values that are expected.

        Returns:
            The series, which takes one row of counts per call.
        """
        size = steps.size if steps else 1
        alike = size, self._position(size), grid
        if alike not in self._series:
            self._series[alike] = _NeuronSeries(self, SINGLE if grid.quantum is None else grid, size, alike[1])
        return self._series[alike]

    def ran(self, steps: int, elements: int) -> None:
        """Adds one call, as far as shapes alone tell.

        Args:
            steps: time steps of the call.
            elements: neuron-steps of the call.
        """
        self.updates += elements
        self.runs += steps
        self.calls_in_batch += 1
        self.all_calls += 1
        self._chances += elements // max(self._size, 1)

    def _sums(self, spikes: Tensor, steps: Steps | None, keep: tuple[int, ...]) -> Sums | None:
        """The sums by neuron that a read adds to; None once calls differ in the shape of their neurons."""
        shape = [spikes.shape[dim] for dim in keep]
        if self.by_neuron is None:
            _, strides = kept(tuple(spikes.shape), tuple(spikes.stride()), steps, keep, False)
            self._size = math.prod(shape)
            self.by_neuron = zeros((self._size,), torch.int32, spikes.device).as_strided(shape, strides)
        self._alike &= list(self.by_neuron.shape) == shape
        return Sums(keep, self.by_neuron) if self._alike else None

    def add_by_neuron(self, counts: Tensor) -> None:
        """Adds the spikes of a call that a compiled graph counted.

        Args:
            counts: spikes by neuron, int32 `[*neurons]`.
        """
        assert self.by_neuron is not None
        self.by_neuron += counts

    def add(self, spikes: int, levels: int, counts: Array, position: int | None) -> None:
        """Adds the spikes that some calls of one series showed.

        Args:
            spikes: non-zero outputs.
            levels: Σ |level| over them.
            counts: non-zero outputs by time step, `[steps]`.
            position: first of those time steps; None if it is unknown.
        """
        self._spikes += spikes
        self._levels += levels
        if position is not None:
            self._per_step[position : position + len(counts)] += counts

    def end_batch(self) -> None:
        """The next call begins a new sequence."""
        self.calls_in_batch = 0

    def end_learning(self) -> None:
        """Ends learning; if T is unknown, the time steps are not counted apart from here on."""
        self._waits_no_longer = True
        self._series.clear()

    def tell_steps(self, timesteps: int) -> None:
        """Sets T after a first pass without it; the calls of that pass are taken for the steps that they showed.

        Args:
            timesteps: T.
        """
        self._log.flush()
        self.timesteps, self._per_step = timesteps, self._per_step[:timesteps].copy()
        self._told = all(self._fits(position, size) for position, size in self._calls)
        self._series.clear()

    def _position(self, size: int) -> int | None:
        """The time step at which the next call, of `size` steps, begins; None if it is unknown."""
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
        """Whether a call is a whole sequence or one step of it."""
        return (size == self.timesteps and position == 0) or (size == 1 and position < (self.timesteps or 0))

    def end_block(self) -> None:
        """Closes a block: spikes, levels, updates and driven updates since the last one, and spikes by time step."""
        counts = self._spikes, self._levels, self.updates, self.driven
        self.blocks.append([*counts, *self._per_step[: self.timesteps or 0].tolist()])
        self._spikes = self._levels = self.updates = self.driven = 0
        self._per_step[:] = 0

    def record(self, batches: int | None) -> NeuronRecord:
        """The layer's record over all closed blocks.

        Args:
            batches: number of batches; None if it is unknown, which leaves `steps` unknown, too.

        Returns:
            The record.
        """
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
        """Packed bits by neuron: whether it fired at all, and whether it fired at every step."""
        if self.by_neuron is None or not self._alike:
            return None, None
        counts = self.by_neuron.flatten().cpu().numpy()
        return pack_bits(counts > 0), pack_bits(counts == self._chances)


def neurons_of(spikes: Tensor, steps: Steps | None, batch: int | None) -> tuple[int, ...]:
    """The dimensions of a neuron layer's output along which neurons differ: all but time steps and batch.

    Left out are the first two dimensions of `[T, B, ...]`, the first one of `[T·B, ...]` and `[B, ...]`, and of
    `[B, T, ...]` all up to that of the steps.
    """
    apart = steps is not None and steps.dim == 0 and spikes.dim() > 1 and tuple(spikes.shape[:2]) == (steps.size, batch)
    return tuple(range(2 if apart else 1 if steps is None else steps.dim + 1, spikes.dim()))


class ConstantCounter:
    """Counts the products of weights alone at one call site; they do not depend on the data and are only listed.

    Attributes:
        dense_macs: dense MACs of all calls.
        calls: number of calls.
    """

    def __init__(self, layer: str, op: str) -> None:
        self.layer, self.op = layer, op
        self.dense_macs = 0
        self.calls = 0

    def count(self, macs: int) -> None:
        """Adds one call of `macs` dense MACs."""
        self.dense_macs += macs
        self.calls += 1


class LineCounter:
    """Counts one line of other arithmetic of a layer, such as its pooling or its residual additions.

    Attributes:
        elements: elements since the last block.
        nonzero: non-zeros of its spike operands since the last block.
        feeders: of a batch norm, the contractions whose results it reads; None stands for anything else.
        biased: of a batch norm, whether one of those contractions has a bias.
        counted: whether its non-zeros are known: no operand was real so far.
        forgotten: whether its module turned out to be a neuron, whose arithmetic is part of its updates.
        blocks: a row for each closed block: elements and non-zeros (None if they are unknown).
        series: the series that takes the non-zeros of its operands.
    """

    def __init__(self, log: CountLog, layer: str, op: str) -> None:
        self.layer, self.op = layer, op
        self.elements = self.nonzero = 0
        self.feeders: set[OpCounter | None] = set()
        self.biased = False
        self.counted = True
        self.forgotten = False
        self.blocks: list[list[int | None]] = []
        self.series = Total(self._add)
        self._log = log
        log.register(self)

    def count(self, elements: int, spikes: Sequence[Tensor] = ()) -> None:
        """Adds one call of `elements` elements; `spikes` are its spike operands, empty if an operand is real."""
        self.elements += elements
        for values in spikes:
            self._log.record(self.series, values.device, functools.partial(read, values, ANY, 0))

    def count_read(self, elements: int, rows: Sequence[Tensor]) -> None:
        """Adds one call of `elements` elements whose operands were read earlier, into `rows`."""
        self.elements += elements
        for known in rows:
            self._log.copy(self.series, known)

    def _add(self, nonzero: int) -> None:
        self.nonzero += nonzero

    def end_block(self) -> None:
        """Closes a block: elements and non-zeros since the last one."""
        self.blocks.append([self.elements, self.nonzero])
        self.elements = self.nonzero = 0

    @property
    def foldable(self) -> bool:
        """Whether a batch norm can fold into the weights before it: nothing else reads those contractions' results."""
        return bool(self.feeders) and all(feeder is not None and not feeder.shared for feeder in self.feeders)

    def record(self) -> ElementwiseRecord:
        """The line's record over all closed blocks; its non-zeros are None if an operand was real."""
        if not self.counted:
            self.blocks = [[elements, None] for elements, _ in self.blocks]
        elements = sum(block[0] or 0 for block in self.blocks)
        nonzero = sum(block[1] or 0 for block in self.blocks) if self.counted else None
        return ElementwiseRecord(
            layer=self.layer, op=self.op, elements=elements, nonzero=nonzero, foldable=self.foldable, biased=self.biased
        )


def op_name(form: Contraction, roles: tuple[Role, Role]) -> Literal["conv", "linear", "matmul"]:
    """The contraction's name in a run file: `matmul` for data × data, `linear` for a product with weights."""
    if isinstance(form, Convolution):
        return "conv"
    return "matmul" if roles == ("data", "data") else "linear"


def shape_of(form: Contraction, roles: tuple[Role, Role]) -> dict[str, Any]:
    """The geometry of one call, as a memory model needs it."""
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

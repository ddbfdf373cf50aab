"""How the calls of a contraction are counted: what each call reads into its row of the log, and what the row means.

Here the figures of each time step decide its kind: silent, spikes on the grid, or real.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnprof.activity import KINDS, PART_COUNTS
from snnprof.record import contractions
from snnprof.record.accumulate import Array
from snnprof.record.contractions import Contraction, Convolution, Product
from snnprof.record.memory import WORKSPACE
from snnprof.record.provenance import Facts
from snnprof.record.read import multiply, read, reference
from snnprof.record.read.operand import (
    FIGURES,
    HISTOGRAM_LEVELS,
    LEVELS,
    LEVELS_REACHED,
    NEGATIVE,
    NONZERO,
    REACHED,
    RESIDUAL,
    SINGLE,
    Grid,
    Reach,
    Steps,
    Sums,
    folded,
    kept,
)

Role = Literal["data", "weight"]
"""Role of an operand in a contraction."""
SILENT, SPIKES, REAL = range(len(KINDS))


@dataclass
class Plan:
    """How a contraction at one call site is counted.

    Attributes:
        roles: role of each operand.
        facts: provenance of each operand.
        steps: where the time steps lie in each operand; None: one call is one step.
        sparse_weights: whether events are counted a second time, without those whose weight is zero.
        grids: the values that each operand is expected to hold, by its facts.
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
        """This plan or, if the operands of a later batch cannot hold the time steps, the same plan without them."""
        if all(s is None or s.fit(operand.shape) for s, operand in zip(self.steps, form.operands, strict=True)):
            return self
        return self.stepless

    @functools.cached_property
    def reading(self) -> Any:
        """All that decides how operands are read: plans that agree in it count calls alike."""
        return self.roles, self.grids, self.steps, self.sparse_weights

    @functools.cached_property
    def stepless(self) -> Plan:
        """The same plan, in which one call is one time step."""
        return replace(self, steps=(None, None))


def encodes(facts: Facts) -> bool:
    """Whether an operand is an encoder's input: it comes from the model's input alone and has passed no neuron."""
    return facts.fed_by == {"input"} and (facts.quantum is None or not facts.ops)


def grid_of(facts: Facts) -> Grid:
    """The values that a tensor of these facts is expected to hold.

    If no bound is known, it is expected to have as many levels as a histogram has bins for.
    """
    if facts.quantum is None:
        return Grid()
    levels = HISTOGRAM_LEVELS if facts.levels is None else max(facts.levels, 1)
    return Grid(float(facts.quantum) or 1.0, levels, facts.signed and bool(facts.quantum), facts.rough)


def tolerance(dtype: torch.dtype, grid: Grid) -> float:
    """The distance from the grid, in levels, that rounding can cause: a few units in the last place of the top level.

    Values left over after other terms cancelled are off by units in the last place of those terms, whose size is
    unknown; they are allowed the square root of the machine epsilon.
    """
    step = float(torch.finfo(dtype if dtype.is_floating_point or dtype.is_complex else torch.float32).eps)
    if grid.rough:
        return min(math.sqrt(step), 0.25)
    return 2 * step if grid.levels <= 1 else min(4 * step * grid.levels, 0.25)


class OperandStats(NamedTuple):
    """What the values of an operand showed in some calls.

    Attributes:
        histogram: elements at each level, in time steps that are not real; None if there are too many levels.
        residual: largest distance from the grid, in levels, among time steps of spikes.
        negative: whether a time step of spikes had negative levels.
    """

    histogram: Array | None
    residual: float
    negative: bool


class CallCounts(NamedTuple):
    """The counts of some calls of a contraction.

    Attributes:
        parts: `[steps, kinds, PART_COUNTS]`, summed over the calls; the steps are those of one call.
        stats: what the values of each operand showed; None for weights.
    """

    parts: Array
    stats: tuple[OperandStats | None, OperandStats | None]


class OperandCounts:
    """How operands of one shape, dtype and grid are read, and what their figures `[calls · steps, width]` tell."""

    def __init__(self, values: Tensor, grid: Grid, steps: Steps | None) -> None:
        self.grid, self.steps = grid, steps
        self.rows = steps.size if steps else 1
        self.size = self.rows * grid.width
        self.elements = values.numel() // self.rows
        self._tolerance = tolerance(values.dtype, grid)

    def read(self, values: Tensor, reach: Reach, row: Tensor, sums: Sums | None = None) -> None:
        """Reads an operand into its part of a row."""
        read(values, self.grid, reach, row, self.steps, sums)

    def kinds(self, figures: Array) -> Array:
        """The kind of each time step: silent without non-zeros, spikes if all values lie on the grid, else real.

        On the grid of binary spikes every non-zero value must be exactly 1.
        """
        if self.grid.quantum is None:
            on_grid = np.zeros(len(figures), bool)
        elif self.grid == SINGLE:
            ones = figures[:, LEVELS] == figures[:, NONZERO]
            on_grid = ones & (figures[:, NEGATIVE] == 0) & (figures[:, RESIDUAL] == 0)
        else:
            on_grid = residuals(figures) <= self._tolerance
        return np.where(figures[:, NONZERO] == 0, SILENT, np.where(on_grid, SPIKES, REAL))

    def stats(self, figures: Array, kinds: Array) -> OperandStats:
        """What the values showed: levels over time steps that are not real, the rest over those of spikes."""
        spikes = figures[kinds == SPIKES]
        return OperandStats(
            histogram(self.grid, figures[kinds != REAL], self.elements),
            float(residuals(spikes).max(initial=0.0)),
            bool(spikes[:, NEGATIVE].any()),
        )


def residuals(figures: Array) -> Array:
    """The largest distance from the grid in each time step, in levels."""
    return np.ascontiguousarray(figures[:, RESIDUAL]).view(np.float64)


def histogram(grid: Grid, figures: Array, elements: int) -> Array | None:
    """Elements at level 0, 1, … over time steps of `elements` elements each; None if levels are not counted apart."""
    if grid.quantum is None or grid.levels > HISTOGRAM_LEVELS:
        return None
    if grid.bins:
        bins: Array = figures[:, FIGURES:].sum(0)
        return bins
    ones = int(np.minimum(figures[:, LEVELS], figures[:, NONZERO]).sum())
    return np.array([elements * len(figures) - ones, ones])


class Calls:
    """Calls of one contraction with one plan and the same shapes: how they write and read rows of the log.

    A row holds the figures of each data operand, then for each time step further numbers: the events whose weight is
    not zero if weights are sparse, or for two data operands the four products of their non-zeros and levels.
    """

    def __init__(self, form: Contraction, plan: Plan) -> None:
        self.plan = plan
        self.whole = isinstance(form, Convolution) and plan.roles[1] == "data"  # one kernel, computed, for all steps
        steps = (None, None) if self.whole else plan.steps
        self._operands = [
            OperandCounts(values, grid, each) if role == "data" else None
            for values, grid, each, role in zip(form.operands, plan.grids, steps, plan.roles, strict=True)
        ]
        if self.whole:
            self._operands = [
                OperandCounts(values, grid, None) for values, grid in zip(form.operands, plan.grids, strict=True)
            ]
        self._data = [position for position, each in enumerate(self._operands) if each is not None]
        self.paired = len(self._data) == 2
        self.rows = self._first.rows
        self._extra = 4 if self.paired else int(plan.sparse_weights)
        self.size = sum(each.size for each in self._operands if each) + self.rows * self._extra
        self._per_step = self._first.elements, form.macs // self.rows, form.valid // self.rows

    @property
    def _first(self) -> OperandCounts:
        first = self._operands[self._data[0]]
        assert first is not None
        return first

    # -- writing -------------------------------------------------------------------------------------------

    def write(self, form: Contraction, row: Tensor) -> None:
        """Reads the operands of a call into its row, int64 zeros `[size]`."""
        if isinstance(form, Convolution):
            (self._made_kernel if self.whole else self._convolution)(form, row)
        elif self.paired:
            self._pairs(form, row)
        else:
            self._weighted(form, row, self._data[0])

    def _convolution(self, form: Convolution, row: Tensor) -> None:
        """A convolution with weights: Σ of the fan-out over the positions of non-zeros."""
        counts, figures = self._first, row[: self._first.size]
        counts.read(form.x, contractions.fanout(form), figures)
        if self.plan.sparse_weights:
            sums = _sums(form.x, counts, (1, *range(2, form.x.dim())), "left")
            counts.read(form.x, 0, torch.zeros_like(figures), sums)
            row[counts.size :] = contractions.effective_convolution(sums.nonzero, form).long()

    def _weighted(self, form: Product, row: Tensor, data: int) -> None:
        """A product with weights: non-zeros × the outputs that each element reaches."""
        operand, weight, counts = form.operands[data], form.operands[1 - data], self._first
        sums = None
        if self.plan.sparse_weights:
            inner = operand.dim() - 1 if data == 0 else operand.dim() - 2
            sums = _sums(operand, counts, (inner,) if weight.dim() == 2 else _all_but(operand, data - 2), "left")
        counts.read(operand, form.macs // max(operand.numel(), 1), row[: counts.size], sums)
        if sums is not None:
            row[counts.size :] = _effective(sums.nonzero, operand, weight, self.plan.steps[data], data).long()

    def _pairs(self, form: Product, row: Tensor) -> None:
        """Data × data: Σ_k nnz(A[:, k]) · nnz(B[k, :])."""
        sums, start = [], 0
        for position, (counts, operand) in enumerate(zip(self._operands, form.operands, strict=True)):
            assert counts is not None
            keep = _all_but(operand, position - 2)
            sums.append(_sums(operand, counts, keep, ("left", "right")[position], levels=counts.grid.levels > 1))
            reach = form.macs // max(operand.numel(), 1)
            counts.read(operand, reach, row[start : start + counts.size], sums[-1])
            start += counts.size
        multiply(sums[0], sums[1], row[start:])

    def _made_kernel(self, form: Convolution, row: Tensor) -> None:
        """A convolution whose kernel is data: counts pairs by running the convolution on {0, 1} and on levels."""
        flags = [(operand.detach() != 0).double() for operand in form.operands]
        ones = [torch.ones_like(flag) for flag in flags]
        levels = [_levels(*each) for each in zip(form.operands, flags, self.plan.grids, strict=True)]
        start = 0
        for position, (counts, operand) in enumerate(zip(self._operands, form.operands, strict=True)):
            assert counts is not None
            counts.read(operand, 0, row[start : start + counts.size])
            one_sided = (flags[0], ones[1]) if position == 0 else (ones[0], flags[1])
            row[start + REACHED] = contractions.convolution_sum(form, *one_sided).long()[0]
            start += counts.size
        products = [
            contractions.convolution_sum(form, left, right)
            for left in (flags[0], levels[0])
            for right in (flags[1], levels[1])
        ]
        row[start:] = torch.cat(products).long()

    # -- reading back --------------------------------------------------------------------------------------

    def counts(self, rows: Array) -> CallCounts:
        """Reads the rows `[calls, size]` of some calls."""
        figures, start = [], 0
        for counts in self._operands:
            size = counts.size if counts else 0
            figures.append(rows[:, start : start + size].reshape(len(rows) * self.rows, -1))
            start += size
        extra = rows[:, start:].reshape(len(rows) * self.rows, self._extra)
        kinds: list[Any] = [None, None]
        stats: list[OperandStats | None] = [None, None]
        for position in self._data:
            counts = self._operands[position]
            assert counts is not None
            kinds[position] = counts.kinds(figures[position])
            stats[position] = counts.stats(figures[position], kinds[position])
        if self.paired:
            kind, table = np.minimum(*kinds), self._paired_table(figures, kinds, extra)
        else:
            kind = kinds[self._data[0]]
            table = self._table(figures[self._data[0]], kind, extra)
        parts = np.zeros((self.rows, len(KINDS), len(PART_COUNTS)), np.int64)
        np.add.at(parts, (np.arange(len(kind)) % self.rows, kind), table)
        return CallCounts(parts, (stats[0], stats[1]))

    def _table(self, figures: Array, kind: Any, extra: Array) -> Array:
        """A row of `PART_COUNTS` for each time step, for data × weights; each real value counts as level 1."""
        real = kind == REAL
        by_value = np.where(real, figures[:, REACHED], figures[:, LEVELS_REACHED])
        effective = extra[:, 0] if self._extra else figures[:, REACHED]
        return self._columns(figures, real, figures[:, REACHED], by_value, effective)

    def _paired_table(self, figures: list[Array], kinds: list[Any], products: Array) -> Array:
        """A row of `PART_COUNTS` for each time step, for data × data.

        The four products are non-zeros or levels of the left × non-zeros or levels of the right. By value takes the
        levels of those operands that are not real.
        """
        left, right = figures
        which = 2 * (kinds[0] != REAL) + (kinds[1] != REAL)
        by_value = np.take_along_axis(products, which[:, None], 1)[:, 0]
        sided = left[:, REACHED], right[:, REACHED]
        return self._columns(left, kinds[0] == REAL, products[:, 0], by_value, products[:, 0], *sided)

    def _columns(
        self, figures: Array, real: Array, events: Array, by_value: Array, effective: Array, *sided: Array
    ) -> Array:
        elements, dense, valid = (np.full(len(figures), number) for number in self._per_step)
        level_sum = np.where(real, figures[:, NONZERO], figures[:, LEVELS])
        left, right = sided or (np.zeros_like(events), np.zeros_like(events))
        return np.stack(
            [elements, figures[:, NONZERO], level_sum, dense, valid, events, by_value, effective, left, right], 1
        )


def _sums(values: Tensor, counts: OperandCounts, keep: tuple[int, ...], use: str, *, levels: bool = False) -> Sums:
    """Zeroed sums by time step and along some dimensions: working memory or, while tracing, part of the graph."""
    shape, strides = kept(tuple(values.shape), tuple(values.stride()), counts.steps, keep, True)

    def zeros(dtype: torch.dtype) -> Tensor:
        size = math.prod(shape)
        if reference.tracing():
            return torch.zeros(shape, dtype=dtype, device=values.device)
        return WORKSPACE.zeros(size, dtype, values.device, use).as_strided(shape, strides)

    return Sums(keep, zeros(torch.int32), zeros(torch.int64) if levels else None)


def _effective(counts: Tensor, operand: Tensor, weight: Tensor, steps: Steps | None, data: int) -> Tensor:
    """Events whose weight is not zero, `[steps]`; a stack of weights `[..., K, M]` broadcasts to the operand's."""
    if weight.dim() == 2:
        return contractions.effective_product(counts, weight, data)
    live = (weight.detach() != 0).double().sum(-1 if data == 0 else -2)
    sizes = [size for dim, size in enumerate(operand.shape) if dim != operand.dim() - 2 + data]
    by_stack = steps if steps is not None and steps.dim < operand.dim() - 2 else None
    live = folded(live.expand(sizes), by_stack)
    return (counts.double().reshape(-1, *live.shape[1:]) * live).flatten(1).sum(1)


def _levels(operand: Tensor, flags: Tensor, grid: Grid) -> Tensor:
    """|level| of each element; if the values are real, 1 for each non-zero element."""
    if grid.quantum is None:
        return flags
    return torch.nan_to_num((operand.detach().double() / grid.quantum).round().abs())


def differs_over_time(values: Tensor, steps: Steps) -> Tensor:
    """Whether an operand changes from one time step to the next within a call; a bool scalar."""
    stepped = folded(values, steps)
    return (stepped[1:] != stepped[:1]).any()


def _all_but(operand: Tensor, dim: int) -> tuple[int, ...]:
    """All dimensions of an operand but one."""
    dropped = dim % operand.dim()
    return tuple(d for d in range(operand.dim()) if d != dropped)

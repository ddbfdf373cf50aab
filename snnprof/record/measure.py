"""How a contraction is counted: which operands a call reads, and what the row that it writes says on the host.

Kinds are decided here, step by step, from the figures that were read: silent, spikes on the grid, or real.
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
SILENT, SPIKES, REAL = range(len(KINDS))


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
        return self.stepless

    @functools.cached_property
    def reading(self) -> Any:
        """What decides how operands are read: equal for plans under which calls are alike."""
        return self.roles, self.grids, self.steps, self.sparse_weights

    @functools.cached_property
    def stepless(self) -> Plan:
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


def tolerance(dtype: torch.dtype, grid: Grid) -> float:
    """How far from the grid rounding alone can leave a value: a few units in the last place of the largest one.

    What is left of terms that cancelled may be off by units in the last place of those, which nobody knows.
    """
    step = float(torch.finfo(dtype if dtype.is_floating_point or dtype.is_complex else torch.float32).eps)
    if grid.rough:
        return min(math.sqrt(step), 0.25)
    return 2 * step if grid.levels <= 1 else min(4 * step * grid.levels, 0.25)


class OperandStats(NamedTuple):
    """What an operand's values showed.

    Attributes:
        histogram: elements at each level, in steps that are not real; None where too many levels are possible.
        residual: largest distance from the grid among steps of spikes.
        negative: whether a step of spikes had negative levels.
    """

    histogram: Array | None
    residual: float
    negative: bool


class CallCounts(NamedTuple):
    """What calls of a contraction add: `[steps, kinds, PART_COUNTS]`, and what each operand showed; None for weights.

    The steps are those of one call.
    """

    parts: Array
    stats: tuple[OperandStats | None, OperandStats | None]


class OperandCounts:
    """How one operand of such shape, dtype and plan is read, and what its figures `[calls · steps, width]` say."""

    def __init__(self, values: Tensor, grid: Grid, steps: Steps | None) -> None:
        self.grid, self.steps = grid, steps
        self.rows = steps.size if steps else 1
        self.size = self.rows * grid.width
        self.elements = values.numel() // self.rows
        self._tolerance = tolerance(values.dtype, grid)

    def read(self, values: Tensor, reach: Reach, row: Tensor, sums: Sums | None = None) -> None:
        read(values, self.grid, reach, row, self.steps, sums)

    def kinds(self, figures: Array) -> Array:
        """The kind of each step: spikes where its values lie on the grid; a grid of ones holds nothing else."""
        if self.grid.quantum is None:
            on_grid = np.zeros(len(figures), bool)
        elif self.grid == SINGLE:
            ones = figures[:, LEVELS] == figures[:, NONZERO]
            on_grid = ones & (figures[:, NEGATIVE] == 0) & (figures[:, RESIDUAL] == 0)
        else:
            on_grid = residuals(figures) <= self._tolerance
        return np.where(figures[:, NONZERO] == 0, SILENT, np.where(on_grid, SPIKES, REAL))

    def stats(self, figures: Array, kinds: Array) -> OperandStats:
        spikes = figures[kinds == SPIKES]
        return OperandStats(
            histogram(self.grid, figures[kinds != REAL], self.elements),
            float(residuals(spikes).max(initial=0.0)),
            bool(spikes[:, NEGATIVE].any()),
        )


def residuals(figures: Array) -> Array:
    """The largest distance from the grid in each step."""
    return np.ascontiguousarray(figures[:, RESIDUAL]).view(np.float64)


def histogram(grid: Grid, figures: Array, elements: int) -> Array | None:
    """Elements at level 0, 1, … in steps of so many each; None where they are not told apart."""
    if grid.quantum is None or grid.levels > HISTOGRAM_LEVELS:
        return None
    if grid.bins:
        bins: Array = figures[:, FIGURES:].sum(0)
        return bins
    ones = int(np.minimum(figures[:, LEVELS], figures[:, NONZERO]).sum())
    return np.array([elements * len(figures) - ones, ones])


class Calls:
    """Calls of one contraction under one plan whose shapes are alike: how their rows in the log are written and read.

    A row holds the figures of each data operand, and behind them `extra` numbers for each step: events whose weight is
    not zero where weights are sparse, or the products of two data operands.
    """

    def __init__(self, form: Contraction, plan: Plan) -> None:
        self.plan = plan
        self.whole = isinstance(form, Convolution) and plan.roles[1] == "data"  # all steps share a kernel that is made
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
        """Reads a call's operands, as the operator saw them."""
        if isinstance(form, Convolution):
            (self._made_kernel if self.whole else self._convolution)(form, row)
        elif self.paired:
            self._pairs(form, row)
        else:
            self._weighted(form, row, self._data[0])

    def _convolution(self, form: Convolution, row: Tensor) -> None:
        counts, figures = self._first, row[: self._first.size]
        counts.read(form.x, contractions.fanout(form), figures)
        if self.plan.sparse_weights:
            sums = _sums(form.x, counts, (1, *range(2, form.x.dim())), "left")
            counts.read(form.x, 0, torch.zeros_like(figures), sums)
            row[counts.size :] = contractions.effective_convolution(sums.nonzero, form).long()

    def _weighted(self, form: Product, row: Tensor, data: int) -> None:
        """Linear layers: Σ nnz(x) · outputs each element reaches."""
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
        """A convolution whose kernel the network makes: pairs that meet, as in a product, by the operation itself."""
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
        """What the rows of some calls say."""
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
        """A row of `PART_COUNTS` for each step; a level is one where values are real."""
        real = kind == REAL
        by_value = np.where(real, figures[:, REACHED], figures[:, LEVELS_REACHED])
        effective = extra[:, 0] if self._extra else figures[:, REACHED]
        return self._columns(figures, real, figures[:, REACHED], by_value, effective)

    def _paired_table(self, figures: list[Array], kinds: list[Any], products: Array) -> Array:
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
    """Working memory for counts that are kept by step and by these dimensions; of a traced graph, part of it."""
    shape, strides = kept(tuple(values.shape), tuple(values.stride()), counts.steps, keep, True)

    def zeros(dtype: torch.dtype) -> Tensor:
        size = math.prod(shape)
        if reference.tracing():
            return torch.zeros(shape, dtype=dtype, device=values.device)
        return WORKSPACE.zeros(size, dtype, values.device, use).as_strided(shape, strides)

    return Sums(keep, zeros(torch.int32), zeros(torch.int64) if levels else None)


def _effective(counts: Tensor, operand: Tensor, weight: Tensor, steps: Steps | None, data: int) -> Tensor:
    """Events whose weight is not zero, `[steps]`; a stack of weights `[..., K, M]` may broadcast."""
    if weight.dim() == 2:
        return contractions.effective_product(counts, weight, data)
    live = (weight.detach() != 0).double().sum(-1 if data == 0 else -2)
    sizes = [size for dim, size in enumerate(operand.shape) if dim != operand.dim() - 2 + data]
    by_stack = steps if steps is not None and steps.dim < operand.dim() - 2 else None
    live = folded(live.expand(sizes), by_stack)
    return (counts.double().reshape(-1, *live.shape[1:]) * live).flatten(1).sum(1)


def _levels(operand: Tensor, flags: Tensor, grid: Grid) -> Tensor:
    """|level| of each element; one for each non-zero element where the values are real."""
    if grid.quantum is None:
        return flags
    return torch.nan_to_num((operand.detach().double() / grid.quantum).round().abs())


def differs_over_time(values: Tensor, steps: Steps) -> Tensor:
    """Whether an operand changes from step to step within one call; bool scalar."""
    stepped = folded(values, steps)
    return (stepped[1:] != stepped[:1]).any()


def _all_but(operand: Tensor, dim: int) -> tuple[int, ...]:
    dropped = dim % operand.dim()
    return tuple(d for d in range(operand.dim()) if d != dropped)

"""An activity with a price on each of its rows, and the sums of the rows. Cautions and reports start from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from snnprof import conventions, twins
from snnprof.activity import Activity
from snnprof.conventions import Convention
from snnprof.hardware import EVIDENCE, Evidence, HardwareProfile
from snnprof.mapping import Mapping as ChipMapping
from snnprof.traffic import Traffic
from snnprof.twins import Twin

Term = Literal["sop", "mac", "elementwise", "neuron", "spike", "memory", "static"]
TERMS: tuple[Term, ...] = ("sop", "mac", "elementwise", "neuron", "spike", "memory", "static")


@dataclass(frozen=True)
class Row:
    """One line of a report. Its figures are of the whole run.

    Attributes:
        layer: path of the module that ran it; `""` for the root module, and for static power.
        op: `conv`, `linear`, `matmul`; an element-wise operator; the type of a neuron layer; or `static`.
        index: number of the contraction within its layer; None for other lines.
        category: `contraction`, `elementwise`, `neuron`, `static`, or `total`.
        label: kind of data that it read: `binary`, `real`, `integer n<=3`, `binary x binary` …; `""` for other lines.
        rate: non-zeros / elements of what a contraction reads; of a neuron layer, spikes per neuron-step; None if
            unknown.
        fed_by: neuron layers (or `input`) that feed it.
        dense_macs: MACs of a dense machine, padding included.
        sops: synaptic operations by the convention.
        acs: accumulates by the convention: the same count as `sops`, priced where a profile has no price for a SOP.
        macs: multiply-accumulates by the convention.
        formula_sops: input rate × dense MACs, as papers print it; None if no spikes drive it.
        deviation: formula_sops / exact SOPs − 1; None if no spikes drive it or the exact count is 0.
        terms: kind of work → picojoules; None if it has no price, or if another price covers it.
        parts: finer kind of work → picojoules: term `spike` has `spike out`, `message` and `hop`.
        unpriced: work without a price → how often it was done.
        evidence: how well the prices in `terms` are known.
    """

    layer: str
    op: str
    index: int | None
    category: str
    label: str = ""
    rate: float | None = None
    fed_by: tuple[str, ...] = ()
    dense_macs: float = 0.0
    sops: float = 0.0
    acs: float = 0.0
    macs: float = 0.0
    formula_sops: float | None = None
    deviation: float | None = None
    terms: Mapping[Term, float | None] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)
    unpriced: Mapping[str, float] = field(default_factory=dict)
    evidence: frozenset[Evidence] = frozenset()

    @property
    def energy_pj(self) -> float | None:
        """Picojoules: the sum of the known terms; None if none of the work has a price."""
        known = [value for value in self.terms.values() if value is not None]
        if self.unpriced and not any(known):
            return None
        return sum(known) if known else None


@dataclass(frozen=True)
class PricedRun:
    """The rows of one activity under a convention on a machine, and their sums. Figures are of the whole run.

    Attributes:
        activity: what ran.
        hardware: the price list.
        convention: how it was counted.
        rows: one for each line of the convention, then static power.
        latency_s: seconds per inference as the caller gave them; None if they did not.
        traffic: messages and hops of spikes.
        mapping: the layers on the cores of a chip; None without a mapping.
    """

    activity: Activity
    hardware: HardwareProfile
    convention: Convention
    rows: tuple[Row, ...]
    latency_s: float | None = None
    traffic: Traffic = field(default_factory=Traffic)
    mapping: ChipMapping | None = None

    def per_inference(self, value: float | None) -> float | None:
        """Divides a figure of the run by the number of samples.

        Args:
            value: the figure, over the whole run.

        Returns:
            The figure per sample; None if it or the number of samples is unknown.
        """
        samples = self.activity.samples
        return value / samples if value is not None and samples else None

    @cached_property
    def totals(self) -> Row:
        """The sum of the rows."""
        formula = _sum_known(row.formula_sops for row in self.rows)
        return Row(
            layer="total",
            op="",
            index=None,
            category="total",
            dense_macs=sum(row.dense_macs for row in self.rows),
            sops=sum(row.sops for row in self.rows),
            acs=sum(row.acs for row in self.rows),
            macs=sum(row.macs for row in self.rows),
            formula_sops=formula,
            deviation=self._deviation(formula),
            terms={term: _sum_of_term(self.rows, term) for term in TERMS},
            parts=sum_by_name(row.parts for row in self.rows),
            unpriced=sum_by_name(row.unpriced for row in self.rows),
            evidence=frozenset().union(*(row.evidence for row in self.rows)),
        )

    @property
    def energy_pj(self) -> float | None:
        """Picojoules of the whole run; None if none of the work has a price."""
        return self.totals.energy_pj

    @property
    def samples(self) -> int | None:
        """Number of samples that ran; None if unknown."""
        return self.activity.samples

    @property
    def operations(self) -> float:
        """SOPs and MACs together."""
        return self.totals.sops + self.totals.macs

    @property
    def unpriced(self) -> list[tuple[str, float]]:
        """Work that the total excludes for want of a price: (what, how often), most frequent first."""
        return sorted(self.totals.unpriced.items(), key=lambda item: -item[1])

    @property
    def left_out(self) -> list[tuple[str, float]]:
        """Work that the convention does not count: (what, dense MACs of contractions or elements of other work)."""
        counted = {(row.layer, row.op, row.index) for row in self.rows}
        return conventions.left_out(self.considered, counted)

    @property
    def excluded(self) -> list[tuple[str, int]]:
        """Layers that the user excluded from the counts: (name as given, dense MACs over the run)."""
        return self.convention.without.work(self.activity)

    @cached_property
    def considered(self) -> Activity:
        """The activity without the excluded layers."""
        return self.convention.without.rest(self.activity)

    @property
    def lower_bound(self) -> bool:
        """Whether the total excludes any work."""
        return bool(self.totals.unpriced or self.left_out or self.excluded or self.activity.uncounted)

    @property
    def grade(self) -> Evidence | None:
        """The weakest evidence among the prices in use; None if no price was used."""
        return max(self.totals.evidence, key=EVIDENCE.index, default=None)

    @property
    def dense_run(self) -> Twin:
        """The SNN executed densely: every MAC of every step, no sparsity exploited."""
        return twins.dense_run(self.considered, self.hardware)

    @property
    def spikes_per_synapse(self) -> float | None:
        """Spikes per synapse and inference: Σ events / Σ (dense MACs / steps) over the operations that spikes drive.

        None if there are no such operations, or if the number of steps of one is unknown.
        """
        driven = [op for op in self.considered.ops if conventions.formula_sops(op, self.activity) is not None]
        if not driven or not all(op.steps for op in driven):
            return None
        synapses = sum(op.dense_macs / (op.steps or 1) for op in driven)
        return sum(op.events for op in driven) / synapses if synapses else None

    def _deviation(self, formula: float | None) -> float | None:
        counted = {(row.layer, row.op, row.index) for row in self.rows}
        exact = sum(conventions.exact_sops(op) for op in self.activity.ops if op.key in counted)
        return None if formula is None or not exact else formula / exact - 1


def sum_by_name(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Adds up mappings from names to numbers, name by name."""
    total: dict[str, float] = {}
    for part in parts:
        for what, count in part.items():
            total[what] = total.get(what, 0.0) + count
    return total


def _sum_of_term(rows: Iterable[Row], term: Term) -> float | None:
    """Adds up one term; None, not 0, if all rows with such work lack a price for it."""
    values = [row.terms[term] for row in rows if term in row.terms]
    total = _sum_known(values)
    return None if total == 0 and None in values else total


def _sum_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None

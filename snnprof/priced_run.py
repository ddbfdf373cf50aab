"""An activity with prices on its rows, and the sums of them: what cautions are about, and a report starts from."""

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
    """One line of a report, over the whole run.

    Attributes:
        category: `contraction`, `elementwise`, `neuron`, `static`, or `total`.
        label: what its data was: `binary`, `real`, `integer n<=3`, `binary x binary` …; empty where it has none.
        rate: non-zeros / elements of what it reads (a neuron's: spikes per neuron-step).
        formula_sops: what input rate × FLOPs says; null where no spike drives it.
        deviation: formula_sops / exact SOPs − 1.
        terms: picojoules by kind of work; null where there is no price for it, or another figure covers it.
        parts: the same picojoules by what was done, finer: a spike's way is `spike out`, `message` and `hop`.
        unpriced: work without a price: what, and how often.
        evidence: how well the prices in the terms are known.
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
        """The sum of the known terms; null where nothing that was done could be priced."""
        known = [value for value in self.terms.values() if value is not None]
        if self.unpriced and not any(known):
            return None
        return sum(known) if known else None


@dataclass(frozen=True)
class PricedRun:
    """Rows of one activity under a convention on a machine, and what they add up to. Figures are of the whole run."""

    activity: Activity
    hardware: HardwareProfile
    convention: Convention
    rows: tuple[Row, ...]
    latency_s: float | None = None
    traffic: Traffic = field(default_factory=Traffic)
    mapping: ChipMapping | None = None

    def per_inference(self, value: float | None) -> float | None:
        """A figure of the run per sample; null where either is unknown."""
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
        """Picojoules of the whole run; null where nothing that was done could be priced."""
        return self.totals.energy_pj

    @property
    def samples(self) -> int | None:
        """How many samples ran; null where the caller did not say."""
        return self.activity.samples

    @property
    def operations(self) -> float:
        """SOPs and MACs."""
        return self.totals.sops + self.totals.macs

    @property
    def unpriced(self) -> list[tuple[str, float]]:
        """Work that is not in the total: what, and how often; most frequent first."""
        return sorted(self.totals.unpriced.items(), key=lambda item: -item[1])

    @property
    def left_out(self) -> list[tuple[str, float]]:
        """Work that the convention does not count at all: what, and how many elements or dense MACs."""
        counted = {(row.layer, row.op, row.index) for row in self.rows}
        return conventions.left_out(self.considered, counted)

    @property
    def excluded(self) -> list[tuple[str, int]]:
        """What the user left out of the counts, as it was named, and its dense MACs over the run."""
        return self.convention.without.work(self.activity)

    @cached_property
    def considered(self) -> Activity:
        """The activity without those layers."""
        return self.convention.without.rest(self.activity)

    @property
    def lower_bound(self) -> bool:
        """Whether something is missing from the total."""
        return bool(self.totals.unpriced or self.left_out or self.excluded or self.activity.uncounted)

    @property
    def grade(self) -> Evidence | None:
        """The weakest evidence among the prices that were used; null where none was."""
        return max(self.totals.evidence, key=EVIDENCE.index, default=None)

    @property
    def dense_run(self) -> Twin:
        """The SNN executed densely: every MAC of every step, no sparsity exploited."""
        return twins.dense_run(self.considered, self.hardware)

    @property
    def spikes_per_synapse(self) -> float | None:
        """Spikes per synapse and inference: Σ events / Σ (dense MACs / steps) of what spikes drive."""
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
    total: dict[str, float] = {}
    for part in parts:
        for what, count in part.items():
            total[what] = total.get(what, 0.0) + count
    return total


def _sum_of_term(rows: Iterable[Row], term: Term) -> float | None:
    """Null, not 0, where the only rows that have such work have no price for it."""
    values = [row.terms[term] for row in rows if term in row.terms]
    total = _sum_known(values)
    return None if total == 0 and None in values else total


def _sum_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None

"""Counts × prices. What a profile has no price for is listed as unpriced and the total becomes a lower bound."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from snnprof import conventions, memory, twins
from snnprof.activity import Activity, Finding, NeuronRecord, OpRecord
from snnprof.conventions import Convention, Counts, Line
from snnprof.errors import SnnprofError
from snnprof.hardware import DEFAULT, EVIDENCE, Evidence, HardwareProfile, Price, load_hardware
from snnprof.twins import Twin
from snnprof.units import PICOJOULES

if TYPE_CHECKING:
    import pandas as pd

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
class EnergyReport:
    """Activity × convention × hardware: derived, never stored as truth. All figures are of the whole run."""

    activity: Activity
    hardware: HardwareProfile
    convention: Convention
    rows: tuple[Row, ...]
    latency_s: float | None = None
    hops: float | None = None

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
            unpriced=_added(row.unpriced for row in self.rows),
            evidence=frozenset().union(*(row.evidence for row in self.rows)),
        )

    @property
    def energy_pj(self) -> float | None:
        return self.totals.energy_pj

    @property
    def samples(self) -> int | None:
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
        return conventions.left_out(self.activity, counted)

    @property
    def lower_bound(self) -> bool:
        """Whether something is missing from the total."""
        return bool(self.totals.unpriced or self.left_out or self.activity.uncounted)

    @property
    def grade(self) -> Evidence | None:
        """The weakest evidence among the prices that were used; null where none was."""
        return max(self.totals.evidence, key=EVIDENCE.index, default=None)

    @cached_property
    def findings(self) -> list[Finding]:
        """What a reader of this report's energies must know. The activity has findings of its own."""
        from snnprof.cautions import cautions

        return cautions(self)

    @property
    def ann_twin(self) -> Twin:
        return twins.ann_twin(self.activity, self.hardware)

    @property
    def quantised_twin(self) -> Twin | None:
        return twins.quantised_twin(self.activity, self.hardware)

    @property
    def dense_run(self) -> Twin:
        """The same SNN, no sparsity used."""
        return twins.dense_run(self.activity, self.hardware)

    @property
    def energy_range_pj(self) -> tuple[float, float]:
        """What could be priced if no neuron ever fired, and if all fired at each step: where the figure can lie."""
        silent, firing = (self._again(make(self.activity)) for make in (twins.all_silent, twins.all_firing))
        return silent.energy_pj or 0.0, firing.energy_pj or 0.0

    @property
    def spikes_per_synapse(self) -> float | None:
        """Spikes per synapse and inference: Σ events / Σ (dense MACs / steps) of what spikes drive."""
        driven = [op for op in self.activity.ops if conventions.formula_sops(op, self.activity) is not None]
        if not driven or not all(op.steps for op in driven):
            return None
        synapses = sum(op.dense_macs / (op.steps or 1) for op in driven)
        return sum(op.events for op in driven) / synapses if synapses else None

    @cached_property
    def by_block(self) -> list[EnergyReport]:
        """The same pricing of each block of the run: what intervals rest on."""
        return [self._again(self.activity.restricted(block)) for block in self.activity.blocks]

    def to_dataframe(self, per: Literal["run", "inference"] = "run") -> pd.DataFrame:
        """One row per line; energies in picojoules, missing where unpriced. `frame.attrs["per"]` says of what.

        Args:
            per: `run` for the whole run, `inference` for one sample, as CSV, JSON and tables have it.

        Raises:
            SnnprofError: the samples of the run are not known.
        """
        import pandas as pd

        samples = 1 if per == "run" else self.samples
        if not samples:
            raise SnnprofError("the number of samples is unknown", hint="recorder.activity(samples=...)")
        frame = pd.DataFrame([_as_record(row, samples) for row in self.rows])
        frame.attrs["per"] = per
        return frame

    def _again(self, activity: Activity) -> EnergyReport:
        return price(activity, self.hardware, self.convention, self.latency_s, self.hops)

    def _deviation(self, formula: float | None) -> float | None:
        counted = {(row.layer, row.op, row.index) for row in self.rows}
        exact = sum(conventions.exact_sops(op) for op in self.activity.ops if op.key in counted)
        return None if formula is None or not exact else formula / exact - 1


def price(
    activity: Activity,
    hardware: str | HardwareProfile = DEFAULT,
    convention: str | Convention = "exact",
    latency_s: float | None = None,
    hops: float | None = None,
) -> EnergyReport:
    """Prices an activity.

    Args:
        hardware: a profile or its id.
        convention: a convention or its id.
        latency_s: seconds per inference; needed to turn static power into energy.
        hops: routers a spike crosses on average; where it is not given, hops are unpriced.

    Raises:
        SnnprofError: there is no such profile or convention, or the activity lacks what the convention needs.
    """
    profile = load_hardware(hardware) if isinstance(hardware, str) else hardware
    rule = conventions.find(convention) if isinstance(convention, str) else convention
    pricer = _Pricer(activity, profile, hops)
    rows = [pricer.row(line) for line in rule.lines(activity)]
    rows += pricer.static(latency_s)
    return EnergyReport(activity, profile, rule, tuple(rows), latency_s, hops)


@dataclass(frozen=True)
class Gain:
    """Why one total is smaller than another: gain = operations ratio × price ratio.

    Attributes:
        total: energy of a / energy of b.
        operations: operations of a / operations of b: what the network did.
        price: mean picojoules per operation of a / of b: what the choice of constants did.
    """

    total: float
    operations: float
    price: float
    findings: tuple[Finding, ...] = ()


def split_gain(a: EnergyReport | Twin, b: EnergyReport | Twin) -> Gain | None:
    """The gain of b over a per inference, split into operations and prices.

    None where either energy or count is unknown or 0. Runs whose samples nobody knows are compared as they are.
    """
    if not (a.energy_pj and b.energy_pj and a.operations and b.operations):
        return None
    runs = b.samples / a.samples if a.samples and b.samples else 1.0
    total, operations = runs * a.energy_pj / b.energy_pj, runs * a.operations / b.operations
    from snnprof.cautions import mismatches

    return Gain(total, operations, total / operations, tuple(mismatches(a.hardware, b.hardware)))


@dataclass(frozen=True)
class _Priced:
    """Picojoules of some work, what of it has no price, and the prices of the rest."""

    pj: float | None = 0.0
    unpriced: Mapping[str, float] = field(default_factory=dict)
    prices: Sequence[Price] = ()


def _priced(work: Mapping[str, tuple[float, Price | None]]) -> _Priced:
    """Prices each kind of work; None where there is work and no price for any of it."""
    asked = {what: (count, price) for what, (count, price) in work.items() if count}
    known = [(count, price) for count, price in asked.values() if price]
    unpriced = {what: count for what, (count, price) in asked.items() if not price}
    return _Priced(memory.cost(known) if known or not asked else None, unpriced, [price for _, price in known])


@dataclass(frozen=True)
class _Pricer:
    """One activity on one machine."""

    activity: Activity
    hardware: HardwareProfile
    hops: float | None

    def row(self, line: Line) -> Row:
        if line.category == "contraction":
            return self._contraction(line, self._ops[line.layer, line.op, line.index])
        if line.category == "neuron":
            return self._neuron(line, self._neurons[line.layer])
        return self._elementwise(line)

    def static(self, latency_s: float | None) -> list[Row]:
        """The power drawn whether or not anything spikes, as a line of its own."""
        static = self.hardware.static
        if not static or self.hardware.covers("static"):
            return []
        seconds, samples = latency_s or static.latency_s, self.activity.samples
        pj = None
        if seconds is not None and samples is not None:
            pj = static.power_w * self._units(static.capacity_neurons) * seconds * samples * PICOJOULES["J"]
        return [
            Row(
                "", "static", None, "static",
                terms={"static": pj},
                unpriced={} if pj is not None else {"static power, inferences": float(samples or 1)},
                evidence=frozenset({self.hardware.evidence}) if pj else frozenset(),
            )
        ]  # fmt: skip

    @cached_property
    def _ops(self) -> dict[tuple[str, str, int | None], OpRecord]:
        return {op.key: op for op in self.activity.ops}

    @cached_property
    def _neurons(self) -> dict[str, NeuronRecord]:
        return {neuron.layer: neuron for neuron in self.activity.neurons}

    def _contraction(self, line: Line, op: OpRecord) -> Row:
        counts = line.counts
        sop = _priced({"sop": (counts.sops, self.hardware.sop)})
        mac = _priced({"mac": (counts.macs, self.hardware.energy.mac)})
        stored = self._memory(op, counts)
        return Row(
            line.layer, line.op, line.index, line.category,
            label=conventions.label(op),
            rate=op.nonzero / op.elements if op.elements else None,
            fed_by=tuple(op.fed_by),
            dense_macs=op.dense_macs, sops=counts.sops, acs=counts.acs, macs=counts.macs,
            formula_sops=conventions.formula_sops(op, self.activity),
            deviation=conventions.deviation(op, self.activity),
            terms={"sop": sop.pj, "mac": mac.pj, "memory": stored.pj},
            unpriced=_added([sop.unpriced, mac.unpriced, stored.unpriced]),
            evidence=self._evidence(sop, mac, stored),
        )  # fmt: skip

    def _memory(self, op: OpRecord, counts: Counts) -> _Priced:
        if not self.hardware.memory:
            return _Priced(None)
        work = memory.memory_work(op, counts, self.activity, self.hardware)
        if work is None:
            return _Priced(None, {"memory access": counts.sops + counts.macs})
        return _Priced(memory.cost(work), prices=[price for count, price in work if count])

    def _elementwise(self, line: Line) -> Row:
        energy, counts = self.hardware.energy, line.counts
        work = {
            "add": (counts.adds, self.hardware.add),
            "mul": (counts.muls, energy.mul),
            "compare": (counts.compares, energy.compare),
        }
        priced = _priced(work if counts.elementwise else {line.op: (line.elements, None)})
        return Row(
            line.layer, line.op, line.index, line.category,
            macs=counts.macs, terms={"elementwise": priced.pj}, unpriced=priced.unpriced,
            evidence=self._evidence(priced),
        )  # fmt: skip

    def _neuron(self, line: Line, neuron: NeuronRecord) -> Row:
        update, spike = self._update(neuron), self._spike(neuron)
        return Row(
            line.layer, line.op, None, line.category,
            rate=neuron.rate,
            terms={"neuron": update.pj, "spike": spike.pj},
            unpriced=_added([update.unpriced, spike.unpriced]),
            evidence=self._evidence(update, spike),
        )  # fmt: skip

    def _evidence(self, *parts: _Priced) -> frozenset[Evidence]:
        return frozenset(self.hardware.evidence_of(price) for part in parts for price in part.prices)

    def _update(self, neuron: NeuronRecord) -> _Priced:
        energy = self.hardware.energy
        if self.hardware.covers("neuron_update"):
            return _Priced(None)
        if not energy.neuron_update and "neuron_update" in self.hardware.includes:
            counts = memory.neuron_counts(neuron)
            return _priced({"add": (counts.adds, self.hardware.add), "mac": (counts.macs, energy.mac)})
        if not energy.neuron_update_idle:
            return _priced({"neuron update": (neuron.updates, energy.neuron_update)})
        idle = neuron.updates - neuron.driven
        return _priced(
            {
                "neuron update": (neuron.driven, energy.neuron_update),
                "idle neuron update": (idle, energy.neuron_update_idle),
            }
        )

    def _spike(self, neuron: NeuronRecord) -> _Priced:
        energy, work = self.hardware.energy, dict[str, tuple[float, Price | None]]()
        if not self.hardware.covers("spike_out"):
            work["spike out"] = (neuron.spikes, energy.spike_out)
        if energy.hop and not self.hardware.covers("hop"):
            work["hop"] = (neuron.spikes * (1 if self.hops is None else self.hops), energy.hop if self.hops else None)
        return _priced(work) if work else _Priced(None)

    def _units(self, capacity: float | None) -> int:
        """Chips or cores the network needs."""
        neurons = sum(neuron.size for neuron in self.activity.neurons)
        return max(1, math.ceil(neurons / capacity)) if capacity else 1


def _added(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
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


def _as_record(row: Row, samples: int) -> dict[str, Any]:
    def each(value: float | None) -> float | None:
        return None if value is None else value / samples

    return {
        "layer": row.layer, "op": row.op, "index": row.index, "category": row.category, "label": row.label,
        "rate": row.rate, "fed_by": " ".join(row.fed_by), "dense_macs": each(row.dense_macs),
        "sops": each(row.sops), "acs": each(row.acs), "macs": each(row.macs),
        "formula_sops": each(row.formula_sops), "deviation": row.deviation, "energy_pj": each(row.energy_pj),
        **{f"{term}_pj": each(row.terms.get(term)) for term in TERMS},
    }  # fmt: skip

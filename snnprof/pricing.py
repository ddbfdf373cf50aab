"""Counts × prices. What a profile has no price for is listed as unpriced and the total becomes a lower bound."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from snnprof import cautions, conventions, memory, twins
from snnprof.activity import Activity, Finding, NeuronRecord, OpRecord
from snnprof.conventions import Convention, Counts, Line
from snnprof.errors import SnnprofError
from snnprof.hardware import DEFAULT, Evidence, HardwareProfile, Price, load_hardware
from snnprof.priced_run import TERMS, PricedRun, Row, Term, sum_by_name
from snnprof.shown import Shown
from snnprof.twins import Twin
from snnprof.units import PICOJOULES

__all__ = ["TERMS", "EnergyReport", "Gain", "Row", "Term", "price", "split_gain"]


@dataclass(frozen=True, repr=False)
class EnergyReport(Shown, PricedRun):
    """Activity × convention × hardware: derived, never stored as truth. All figures are of the whole run."""

    @cached_property
    def findings(self) -> list[Finding]:
        """What a reader of this report's energies must know. The activity has findings of its own."""
        return cautions.cautions(self)

    @property
    def ann_twin(self) -> Twin:
        return twins.ann_twin(self.considered, self.hardware)

    @property
    def quantised_twin(self) -> Twin | None:
        return twins.quantised_twin(self.considered, self.hardware)

    @property
    def energy_range_pj(self) -> tuple[float, float]:
        """What could be priced if no neuron ever fired, and if all fired at each step: where the figure can lie."""
        silent, firing = (self._again(make(self.activity)) for make in (twins.all_silent, twins.all_firing))
        return silent.energy_pj or 0.0, firing.energy_pj or 0.0

    @cached_property
    def by_block(self) -> list[EnergyReport]:
        """The same pricing of each block of the run: what intervals rest on."""
        return [self._again(self.activity.restricted(block)) for block in self.activity.blocks]

    def _again(self, activity: Activity) -> EnergyReport:
        return _priced_on(activity, self.hardware, self.convention, self.latency_s, self.hops)


class Reports(Shown, tuple[EnergyReport, ...]):
    """One run and one convention on several hardware: a tuple of reports, in the order that was asked for.

    It prints, and exports, as one table with a column of energies for each hardware.
    """


Hardware = str | Path | HardwareProfile


@overload
def price(  # type: ignore[overload-overlap]  # a str is a sequence of str, too: it is one hardware
    activity: Activity | str | Path, hardware: Hardware = ..., convention: str | Convention = ...,
    latency_s: float | None = ..., hops: float | None = ..., exclude: Sequence[str] = ...,
) -> EnergyReport: ...  # fmt: skip
@overload
def price(
    activity: Activity | str | Path, hardware: Sequence[Hardware], convention: str | Convention = ...,
    latency_s: float | None = ..., hops: float | None = ..., exclude: Sequence[str] = ...,
) -> Reports: ...  # fmt: skip
def price(
    activity: Activity | str | Path,
    hardware: Hardware | Sequence[Hardware] = DEFAULT,
    convention: str | Convention = "exact",
    latency_s: float | None = None,
    hops: float | None = None,
    exclude: Sequence[str] = (),
) -> EnergyReport | Reports:
    """Prices a run.

    Args:
        activity: what ran, or the path of its run file.
        hardware: a profile, its id or its YAML file; or a list of them.
        convention: a convention or its id, with options as in `exact:levels=events,attention=left`.
        latency_s: seconds per inference; needed to turn static power into energy.
        hops: routers a spike crosses on average; where it is not given, hops are unpriced.
        exclude: layers that are left out of the counts and listed: names, sub-trees such as `block.0`, or patterns.

    Returns:
        A report; for a list of hardware, whatever its length, `Reports`: a tuple of one report for each.

    Raises:
        SnnprofError: there is no such file, profile or convention, the activity lacks what the convention needs, or
            the list of hardware is empty or names a profile twice, or an excluded name is no layer's.
    """
    ran = activity if isinstance(activity, Activity) else Activity.load(activity)
    rule = conventions.find(convention) if isinstance(convention, str) else convention
    if exclude:
        rule = rule.excluding(conventions.Exclusion(tuple(exclude)))
    rule.without.must_hold_something(ran)
    if isinstance(hardware, str | Path | HardwareProfile):
        return _priced_on(ran, _profile(hardware), rule, latency_s, hops)
    profiles = [_profile(each) for each in hardware]
    if not profiles or len({profile.id for profile in profiles}) < len(profiles):
        raise SnnprofError("a list of hardware needs at least one profile, and each only once")
    return Reports(_priced_on(ran, profile, rule, latency_s, hops) for profile in profiles)


def _profile(hardware: Hardware) -> HardwareProfile:
    return hardware if isinstance(hardware, HardwareProfile) else load_hardware(hardware)


def _priced_on(
    activity: Activity, profile: HardwareProfile, rule: Convention, latency_s: float | None, hops: float | None
) -> EnergyReport:
    pricer = _Pricer(activity, profile, hops)
    rows = [pricer.row(line) for line in rule.lines(activity)]
    rows += pricer.static(latency_s)
    return EnergyReport(activity, profile, rule, tuple(rows), latency_s, hops)


@dataclass(frozen=True)
class Sum:
    """What a run, or a block of it, costs under one convention on one price list, without its rows.

    Attributes:
        pj: picojoules; null where nothing that was done has a price.
        unpriced: kinds of work without a price.
    """

    pj: float | None
    unpriced: frozenset[str]


def summed(activity: Activity, lines: Sequence[Line], profile: HardwareProfile, costs: dict[int, Sum]) -> Sum:
    """The total of `price`, for those who ask for thousands of them.

    Args:
        costs: what lines of this activity cost on this list, by their `id`: filled here, and looked up where
            conventions have lines in common. The lines must live as long as it does.
    """
    pricer = _Pricer(activity, profile, hops=None)
    for line in lines:
        if id(line) not in costs:
            costs[id(line)] = _sum([Sum(each.pj, frozenset(each.unpriced)) for each in pricer.terms(line).values()])
    static = [Sum(row.energy_pj, frozenset(row.unpriced)) for row in pricer.static(None)]
    return _sum([*(costs[id(line)] for line in lines), *static])


def _sum(parts: Sequence[Sum]) -> Sum:
    known = [part.pj for part in parts if part.pj is not None]
    unpriced = frozenset[str]().union(*(part.unpriced for part in parts))
    return Sum(None if not known or (unpriced and not any(known)) else sum(known), unpriced)


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
    return Gain(total, operations, total / operations, tuple(cautions.mismatches(a.hardware, b.hardware)))


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
        priced = self.terms(line)
        facts: dict[str, Any] = {}
        if line.category == "contraction":
            facts = self._facts(line.counts, self._ops[line.layer, line.op, line.index])
        elif line.category == "neuron":
            facts = {"rate": self._neurons[line.layer].rate}
        return Row(
            line.layer, line.op, line.index, line.category,
            terms={term: each.pj for term, each in priced.items()},
            unpriced=sum_by_name(each.unpriced for each in priced.values()),
            evidence=self._evidence(*priced.values()), **facts,
        )  # fmt: skip

    def terms(self, line: Line) -> dict[Term, _Priced]:
        """What a line costs, by kind of work."""
        if line.category == "contraction":
            return self._contraction(line.counts, self._ops[line.layer, line.op, line.index])
        if line.category == "neuron":
            neuron = self._neurons[line.layer]
            return {"neuron": self._update(neuron), "spike": self._spike(neuron)}
        return {"elementwise": self._elementwise(line)}

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

    def _contraction(self, counts: Counts, op: OpRecord) -> dict[Term, _Priced]:
        sop = _priced({"sop": (counts.sops, self.hardware.sop)})
        mac = _priced({"mac": (counts.macs, self.hardware.energy.mac)})
        return {"sop": sop, "mac": mac, "memory": self._memory(op, counts)}

    def _facts(self, counts: Counts, op: OpRecord) -> dict[str, Any]:
        return {
            "label": conventions.label(op),
            "rate": op.nonzero / op.elements if op.elements else None,
            "fed_by": tuple(op.fed_by),
            "dense_macs": op.dense_macs, "sops": counts.sops, "acs": counts.acs, "macs": counts.macs,
            "formula_sops": conventions.formula_sops(op, self.activity),
            "deviation": conventions.deviation(op, self.activity),
        }  # fmt: skip

    def _memory(self, op: OpRecord, counts: Counts) -> _Priced:
        if not self.hardware.memory:
            return _Priced(None)
        work = memory.memory_work(op, counts, self.activity, self.hardware)
        if work is None:
            return _Priced(None, {"memory access": counts.sops + counts.macs})
        return _Priced(memory.cost(work), prices=[price for count, price in work if count])

    def _elementwise(self, line: Line) -> _Priced:
        energy, counts = self.hardware.energy, line.counts
        work = {
            "add": (counts.adds, self.hardware.add),
            "mul": (counts.muls, energy.mul),
            "compare": (counts.compares, energy.compare),
        }
        return _priced(work if counts.elementwise else {line.op: (line.elements, None)})

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

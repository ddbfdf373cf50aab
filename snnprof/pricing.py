"""Counts × prices. What a profile has no price for is listed as unpriced and the total becomes a lower bound."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import overload

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
        return twins.ann_twin(self.activity, self.hardware)

    @property
    def quantised_twin(self) -> Twin | None:
        return twins.quantised_twin(self.activity, self.hardware)

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
    latency_s: float | None = ..., hops: float | None = ...,
) -> EnergyReport: ...  # fmt: skip
@overload
def price(
    activity: Activity | str | Path, hardware: Sequence[Hardware], convention: str | Convention = ...,
    latency_s: float | None = ..., hops: float | None = ...,
) -> Reports: ...  # fmt: skip
def price(
    activity: Activity | str | Path,
    hardware: Hardware | Sequence[Hardware] = DEFAULT,
    convention: str | Convention = "exact",
    latency_s: float | None = None,
    hops: float | None = None,
) -> EnergyReport | Reports:
    """Prices a run.

    Args:
        activity: what ran, or the path of its run file.
        hardware: a profile, its id or its YAML file; or a list of them.
        convention: a convention or its id.
        latency_s: seconds per inference; needed to turn static power into energy.
        hops: routers a spike crosses on average; where it is not given, hops are unpriced.

    Returns:
        A report; for a list of hardware, whatever its length, `Reports`: a tuple of one report for each.

    Raises:
        SnnprofError: there is no such file, profile or convention, the activity lacks what the convention needs, or
            the list of hardware is empty or names a profile twice.
    """
    ran = activity if isinstance(activity, Activity) else Activity.load(activity)
    rule = conventions.find(convention) if isinstance(convention, str) else convention
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
            unpriced=sum_by_name([sop.unpriced, mac.unpriced, stored.unpriced]),
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
            unpriced=sum_by_name([update.unpriced, spike.unpriced]),
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

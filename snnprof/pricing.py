"""Counts × prices. Work for which a profile has no price is listed, and the total is then a lower bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from snnprof import cautions, conventions, priced_work, twins
from snnprof.activity import Activity, Finding, NeuronRecord, OpRecord
from snnprof.conventions import Convention, Counts, Line
from snnprof.errors import SnnprofError
from snnprof.hardware import DEFAULT, HardwareProfile, Static, load_hardware
from snnprof.mapping import Mapping, map_to_chip
from snnprof.priced_run import TERMS, PricedRun, Row, Term, sum_by_name
from snnprof.priced_work import Priced, priced
from snnprof.shown import Shown
from snnprof.traffic import Route, Traffic
from snnprof.twins import Twin
from snnprof.units import PICOJOULES

__all__ = ["TERMS", "EnergyReport", "Gain", "Row", "Term", "price", "split_gain"]


@dataclass(frozen=True, repr=False)
class EnergyReport(Shown, PricedRun):
    """Activity × convention × hardware. All figures are of the whole run; `per_inference` divides them by the samples.

    A report is derived from the activity each time; nothing stores it.
    """

    @cached_property
    def findings(self) -> list[Finding]:
        """What a reader of these energies must know (codes with W and M). The activity has findings of its own."""
        return cautions.cautions(self)

    @property
    def ann_twin(self) -> Twin:
        """The same network with a single forward pass of real values: Σ dense MACs / steps."""
        return twins.ann_twin(self.considered, self.hardware)

    @property
    def quantised_twin(self) -> Twin | None:
        """The ANN twin with ⌈log2(T + 1)⌉-bit activations at INT8 prices (Yan et al., arXiv 2409.08290).

        None if T is unknown, if these are more than 8 bits, or if no INT8 prices of the same technology node are
        bundled.
        """
        return twins.quantised_twin(self.considered, self.hardware)

    @property
    def energy_range_pj(self) -> tuple[float, float]:
        """The priced energy in picojoules if no neuron fired, and if all neurons fired at each step."""
        silent, firing = (self._again(make(self.activity)) for make in (twins.all_silent, twins.all_firing))
        return silent.energy_pj or 0.0, firing.energy_pj or 0.0

    @cached_property
    def by_block(self) -> list[EnergyReport]:
        """A report of each block of the run, from which intervals follow."""
        return [self._again(self.activity.restricted(block)) for block in self.activity.blocks]

    def _again(self, activity: Activity) -> EnergyReport:
        return _priced_on(activity, self.hardware, self.convention, self.latency_s, self.traffic, self.mapping)


class Reports(Shown, tuple[EnergyReport, ...]):
    """One run and one convention on several hardware: a tuple of reports, in the order of the hardware.

    It prints, and exports, as one table with a column of energies for each hardware.
    """


Hardware = str | Path | HardwareProfile


@overload
def price(  # type: ignore[overload-overlap]  # a str is a sequence of str, too: it is one hardware
    activity: Activity | str | Path, hardware: Hardware = ..., convention: str | Convention = ...,
    latency_s: float | None = ..., hops: float | None = ..., traffic: Traffic | None = ...,
    exclude: Sequence[str] = ...,
    mapping: Mapping | str | Path | None = ...,
) -> EnergyReport: ...  # fmt: skip
@overload
def price(
    activity: Activity | str | Path, hardware: Sequence[Hardware], convention: str | Convention = ...,
    latency_s: float | None = ..., hops: float | None = ..., traffic: Traffic | None = ...,
    exclude: Sequence[str] = ...,
    mapping: Mapping | str | Path | None = ...,
) -> Reports: ...  # fmt: skip
def price(
    activity: Activity | str | Path,
    hardware: Hardware | Sequence[Hardware] = DEFAULT,
    convention: str | Convention = "exact",
    latency_s: float | None = None,
    hops: float | None = None,
    traffic: Traffic | None = None,
    exclude: Sequence[str] = (),
    mapping: Mapping | str | Path | None = None,
) -> EnergyReport | Reports:
    """Prices a run.

    Args:
        activity: what ran, or the path of its run file.
        hardware: a profile, its id or its YAML file; or a list of them.
        convention: a convention or its id, with options as in `exact:levels=events,attention=left`.
        latency_s: seconds per inference; turns static power into energy.
        hops: routers that a spike crosses on average; None: hops have no price.
        traffic: messages and hops of each layer's spikes, instead of `hops`.
        exclude: layers to leave out of the counts and to list: names, sub-trees such as `block.0`, or patterns.
        mapping: the layers on the cores of a chip, or the chip to map them to (see `map_to_chip`). It gives the
            traffic, the latency and the number of chips, as far as other arguments do not.

    Returns:
        A report; for a list of hardware of any length, `Reports`: a tuple of one report for each.

    Raises:
        SnnprofError: there is no such file, profile, convention or layer; the activity lacks what the convention needs;
            the list of hardware is empty or names a profile twice; `hops` is given together with `traffic` or
            `mapping`; or the layers cannot be mapped.
    """
    if hops is not None and (traffic is not None or mapping is not None):
        other = "traffic" if traffic is not None else "mapping"
        raise SnnprofError(f"give hops or {other}, not both: {other} holds hops too")
    ran = activity if isinstance(activity, Activity) else Activity.load(activity)
    laid = mapping if isinstance(mapping, Mapping) or mapping is None else map_to_chip(ran, mapping)
    ways = traffic or (laid.traffic if laid else Traffic(Route(hops=hops)))
    rule = conventions.find(convention) if isinstance(convention, str) else convention
    if exclude:
        rule = rule.excluding(conventions.Exclusion(tuple(exclude)))
    rule.without.must_hold_something(ran)
    if isinstance(hardware, str | Path | HardwareProfile):
        return _priced_on(ran, _profile(hardware), rule, latency_s, ways, laid)
    profiles = [_profile(each) for each in hardware]
    if not profiles or len({profile.id for profile in profiles}) < len(profiles):
        raise SnnprofError("a list of hardware needs at least one profile, and each only once")
    return Reports(_priced_on(ran, profile, rule, latency_s, ways, laid) for profile in profiles)


def _profile(hardware: Hardware) -> HardwareProfile:
    return hardware if isinstance(hardware, HardwareProfile) else load_hardware(hardware)


def _priced_on(
    activity: Activity, profile: HardwareProfile, rule: Convention, latency_s: float | None, traffic: Traffic,
    mapping: Mapping | None,
) -> EnergyReport:  # fmt: skip
    pricer = _Pricer(activity, profile, traffic, mapping)
    rows = [pricer.row(line) for line in rule.lines(activity)]
    rows += pricer.static(latency_s)
    return EnergyReport(activity, profile, rule, tuple(rows), latency_s, traffic, mapping)


@dataclass(frozen=True)
class Sum:
    """What a run, or a block of it, costs under one convention on one price list, without its rows.

    Attributes:
        pj: picojoules; None if no work has a price.
        unpriced: kinds of work without a price.
    """

    pj: float | None
    unpriced: frozenset[str]


def summed(activity: Activity, lines: Sequence[Line], profile: HardwareProfile, costs: dict[int, Sum]) -> Sum:
    """Returns the total of `price` without its rows: many conventions × price lists take thousands of totals.

    `costs` maps the `id` of each line of this activity to its cost on this list. The function fills it and reuses its
    entries, since conventions have most lines in common; so the lines must live as long as `costs`.
    """
    pricer = _Pricer(activity, profile, Traffic(), None)
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
    """Why one energy is smaller than another: gain = ratio of operations × ratio of prices.

    Attributes:
        total: energy of a / energy of b.
        operations: operations of a / operations of b: what the network changes.
        price: mean picojoules per operation of a / of b: what the choice of price lists changes.
        findings: why the prices of a and b do not compare.
    """

    total: float
    operations: float
    price: float
    findings: tuple[Finding, ...] = ()


def split_gain(a: EnergyReport | Twin, b: EnergyReport | Twin) -> Gain | None:
    """Splits the gain of b over a per inference into operations and prices.

    None if an energy or a number of operations is unknown or 0. Without a number of samples, whole runs are compared.
    """
    if not (a.energy_pj and b.energy_pj and a.operations and b.operations):
        return None
    runs = b.samples / a.samples if a.samples and b.samples else 1.0
    total, operations = runs * a.energy_pj / b.energy_pj, runs * a.operations / b.operations
    return Gain(total, operations, total / operations, tuple(cautions.mismatches(a.hardware, b.hardware)))


@dataclass(frozen=True)
class _Pricer:
    """Prices the lines of one activity on one machine."""

    activity: Activity
    hardware: HardwareProfile
    traffic: Traffic
    mapping: Mapping | None

    def row(self, line: Line) -> Row:
        """Returns the row of a line: its facts and what it costs."""
        done = self.terms(line)
        facts: dict[str, Any] = {"macs": line.counts.macs}
        if line.category == "contraction":
            facts = self._facts(line.counts, self._ops[line.layer, line.op, line.index])
        elif line.category == "neuron":
            facts = {"rate": self._neurons[line.layer].rate}
        used = (price for each in done.values() for price in each.prices)
        return Row(
            line.layer, line.op, line.index, line.category,
            terms={term: each.pj for term, each in done.items()},
            parts=sum_by_name(each.parts for each in done.values()),
            unpriced=sum_by_name(each.unpriced for each in done.values()),
            evidence=frozenset(self.hardware.evidence_of(price) for price in used),
            **facts,
        )  # fmt: skip

    def terms(self, line: Line) -> dict[Term, Priced]:
        """Returns what a line costs, by kind of work."""
        if line.category == "contraction":
            return self._contraction(line.counts, self._ops[line.layer, line.op, line.index])
        if line.category == "neuron":
            return self._neuron(self._neurons[line.layer])
        return {"elementwise": self._elementwise(line)}

    def static(self, latency_s: float | None) -> list[Row]:
        """Returns one row for the power that the machine draws whether or not anything spikes."""
        static = self.hardware.static
        if not static or self.hardware.covers("static"):
            return []
        modelled = self.mapping.latency_s if self.mapping else None
        seconds, samples = latency_s or modelled or static.latency_s, self.activity.samples
        pj = None
        if seconds is not None and samples is not None:
            pj = static.power_w * self._units(static) * seconds * samples * PICOJOULES["J"]
        return [
            Row(
                "", "static", None, "static",
                terms={"static": pj},
                parts={} if pj is None else {"static": pj},
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

    def _contraction(self, counts: Counts, op: OpRecord) -> dict[Term, Priced]:
        return {
            "sop": priced_work.synapses(op, counts, self.hardware),
            "mac": priced({"mac": (counts.macs, self.hardware.energy.mac)}),
            "memory": priced_work.memory_accesses(op, counts, self.activity, self.hardware),
        }

    def _facts(self, counts: Counts, op: OpRecord) -> dict[str, Any]:
        return {
            "label": conventions.label(op),
            "rate": op.nonzero / op.elements if op.elements else None,
            "fed_by": tuple(op.fed_by),
            "dense_macs": op.dense_macs, "sops": counts.sops, "acs": counts.acs, "macs": counts.macs,
            "formula_sops": conventions.formula_sops(op, self.activity),
            "deviation": conventions.deviation(op, self.activity),
        }  # fmt: skip

    def _neuron(self, neuron: NeuronRecord) -> dict[Term, Priced]:
        return {
            "neuron": priced_work.neuron_updates(neuron, self.hardware),
            "spike": priced_work.spikes(neuron, self.hardware, self.traffic.of(neuron.layer)),
        }

    def _elementwise(self, line: Line) -> Priced:
        energy, counts = self.hardware.energy, line.counts
        work = {
            "add": (counts.adds, self.hardware.add),
            "mul": (counts.muls, energy.mul),
            "compare": (counts.compares, energy.compare),
        }
        return priced(work if counts.elementwise else {line.op: (line.elements, None)})

    def _units(self, static: Static) -> int:
        """Returns the number of chips or cores: as the mapping needs them, or as many as have room for all neurons."""
        if self.mapping:
            return max(1, self.mapping.chips if static.per == "chip" else self.mapping.cores)
        capacity = static.capacity_neurons
        neurons = sum(neuron.size for neuron in self.activity.neurons)
        return max(1, math.ceil(neurons / capacity)) if capacity else 1

"""What one piece of work costs on a machine: a synaptic operation, a neuron's update, a spike on its way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from snnprof import memory
from snnprof.activity import Activity, NeuronRecord, OpRecord
from snnprof.conventions import Counts
from snnprof.hardware import HardwareProfile, Price, Synapse
from snnprof.traffic import Route


@dataclass(frozen=True)
class Priced:
    """Some work on a machine.

    Attributes:
        pj: picojoules; None where there is work and no price for any of it, or another figure covers it.
        parts: the picojoules by what was done.
        unpriced: work without a price: what, and how often.
        prices: those that were used.
    """

    pj: float | None = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)
    unpriced: Mapping[str, float] = field(default_factory=dict)
    prices: Sequence[Price] = ()


COVERED = Priced(None)


def priced(work: Mapping[str, tuple[float, Price | None]]) -> Priced:
    """Prices each kind of work: what was done, how often, and what one costs."""
    asked = {what: (count, price) for what, (count, price) in work.items() if count}
    known = {what: (count, price) for what, (count, price) in asked.items() if price}
    return Priced(
        memory.cost(list(known.values())) if known or not asked else None,
        {what: count * price.value for what, (count, price) in known.items()},
        {what: count for what, (count, price) in asked.items() if not price},
        [price for _, price in known.values()],
    )


def synapse_kind(op: OpRecord, hardware: HardwareProfile) -> Synapse:
    """Which of a chip's kinds of synapses an operation has.

    A linear layer is sparse where the share of non-zero weights among those that spikes met is below the profile's
    `sparse_below`; a profile that does not say where it draws the line has no sparse layers.
    """
    if op.op == "conv":
        return "conv"
    if len(op.data) > 1:
        return "matmul"
    met = sum(part.effective for part in op.parts)
    sparse = hardware.sparse_below is not None and met < hardware.sparse_below * op.events
    return "sparse" if sparse else "linear"


def synapses(op: OpRecord, counts: Counts, hardware: HardwareProfile) -> Priced:
    """SOPs of an operation; covered where they have no price because that of a neuron's update contains them."""
    each = hardware.synapse(synapse_kind(op, hardware))
    if each is None and "sop" in hardware.supersedes:
        return COVERED
    return priced({"sop": (counts.sops, each)})


def memory_accesses(op: OpRecord, counts: Counts, activity: Activity, hardware: HardwareProfile) -> Priced:
    if not hardware.memory:
        return COVERED
    work = memory.memory_work(op, counts, activity, hardware)
    if work is None:
        return Priced(None, unpriced={"memory access": counts.sops + counts.macs})
    pj = memory.cost(work)
    return Priced(pj, {"memory access": pj}, prices=[price for count, price in work if count])


def neuron_updates(neuron: NeuronRecord, hardware: HardwareProfile) -> Priced:
    """By one price, by two where idle neurons cost less, or by their arithmetic where the profile has only that."""
    energy = hardware.energy
    if hardware.covers("neuron_update"):
        return COVERED
    if not energy.neuron_update and "neuron_update" in hardware.includes:
        counts = memory.neuron_counts(neuron)
        return priced({"add": (counts.adds, hardware.add), "mac": (counts.macs, energy.mac)})
    if not energy.neuron_update_idle:
        return priced({"neuron update": (neuron.updates, energy.neuron_update)})
    idle = neuron.updates - neuron.driven
    return priced(
        {
            "neuron update": (neuron.driven, energy.neuron_update),
            "idle neuron update": (idle, energy.neuron_update_idle),
        }
    )


def spikes(neuron: NeuronRecord, hardware: HardwareProfile, route: Route) -> Priced:
    """Leaving the neuron, as messages to other cores, over routers; what the route does not tell is unpriced."""
    work = dict[str, tuple[float, Price | None]]()
    if not hardware.covers("spike_out"):
        work["spike out"] = (neuron.spikes, hardware.energy.spike_out)
    if hardware.energy.message and not hardware.covers("message"):
        each = hardware.messages_per_spike if route.messages is None else route.messages
        known = {"message": (neuron.spikes * (each or 0), hardware.energy.message)}
        work |= {"spike without known messages": (neuron.spikes, None)} if each is None else known
    if not hardware.covers("hop"):
        work |= _hops(neuron, hardware, route)
    return priced(work) if work else COVERED


def _hops(neuron: NeuronRecord, hardware: HardwareProfile, route: Route) -> dict[str, tuple[float, Price | None]]:
    """By direction where both the route and the profile know them, else all alike."""
    energy, spikes = hardware.energy, neuron.spikes
    if energy.hop_east_west and route.east_west is not None and route.north_south is not None:
        return {
            "hop east or west": (spikes * route.east_west, energy.hop_east_west),
            "hop north or south": (spikes * route.north_south, energy.hop_north_south),
        }
    if not (energy.hop or energy.hop_east_west):
        return {}
    hops = route.all_hops
    if hops is None:
        return {"hop": (spikes, None)}
    return {"hop" if energy.hop else "hop of unknown direction": (spikes * hops, energy.hop)}

"""What a piece of work costs on a machine: a synaptic operation, a neuron update, a spike on its way."""

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
    """What some work costs on a machine.

    Attributes:
        pj: picojoules; None if none of the work has a price, or if another price of the profile covers it.
        parts: what was done → picojoules.
        unpriced: work without a price → how often it was done.
        prices: the prices that were used.
    """

    pj: float | None = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)
    unpriced: Mapping[str, float] = field(default_factory=dict)
    prices: Sequence[Price] = ()


COVERED = Priced(None)
"""Work without an energy of its own that is not unpriced either: another price covers it, or there is no memory."""


def priced(work: Mapping[str, tuple[float, Price | None]]) -> Priced:
    """Prices each kind of work: its name → (how often it was done, the price of one)."""
    asked = {what: (count, price) for what, (count, price) in work.items() if count}
    known = {what: (count, price) for what, (count, price) in asked.items() if price}
    return Priced(
        memory.cost(list(known.values())) if known or not asked else None,
        {what: count * price.value for what, (count, price) in known.items()},
        {what: count for what, (count, price) in asked.items() if not price},
        [price for _, price in known.values()],
    )


def synapse_kind(op: OpRecord, hardware: HardwareProfile) -> Synapse:
    """Returns which of a chip's kinds of synapses an operation has.

    A linear layer is sparse if fewer of the weights that spikes meet are non-zero than the profile's `sparse_below`. A
    profile without this share has no sparse layers.
    """
    if op.op == "conv":
        return "conv"
    if len(op.data) > 1:
        return "matmul"
    met = sum(part.effective for part in op.parts)
    sparse = hardware.sparse_below is not None and met < hardware.sparse_below * op.events
    return "sparse" if sparse else "linear"


def synapses(op: OpRecord, counts: Counts, hardware: HardwareProfile) -> Priced:
    """Prices the SOPs of an operation.

    If they have no price because the price of a neuron update contains them, they are covered.
    """
    each = hardware.synapse(synapse_kind(op, hardware))
    if each is None and "sop" in hardware.supersedes:
        return COVERED
    return priced({"sop": (counts.sops, each)})


def memory_accesses(op: OpRecord, counts: Counts, activity: Activity, hardware: HardwareProfile) -> Priced:
    """Prices the memory accesses of an operation."""
    if not hardware.memory:
        return COVERED
    work = memory.memory_work(op, counts, activity, hardware)
    if work is None:
        return Priced(None, unpriced={"memory access": counts.sops + counts.macs})
    pj = memory.cost(work)
    return Priced(pj, {"memory access": pj}, prices=[price for count, price in work if count])


def neuron_updates(neuron: NeuronRecord, hardware: HardwareProfile) -> Priced:
    """Prices the updates of a neuron layer.

    They have one price, or two if idle neurons cost less. If the profile has only prices of arithmetic, their additions
    and multiplications count (Lemaire et al. 2022, see snnprof/memory.py).
    """
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
    """Prices the spikes of a neuron layer: leaving the neuron, messages to other cores, hops over routers.

    Messages and hops whose number the route does not tell are unpriced.
    """
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
    """Returns the hops by direction if both the route and the profile know directions, else all together."""
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

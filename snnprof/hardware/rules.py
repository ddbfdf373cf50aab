"""The rules for a hardware profile that types cannot state. Each yields a place in the file and a complaint."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

from snnprof.hardware import lookup
from snnprof.hardware.schema import SYNAPSES, WHOLE, HardwareProfile
from snnprof.yaml_file import Place

COVERED_BY_WHOLE = (
    "neuron_update", "neuron_update_idle", "hop", "hop_east_west", "hop_north_south", "spike_out", "spike_in",
    "message",
)  # fmt: skip
_SOPS = ("sop", *(f"sop_{kind}" for kind in SYNAPSES))
_DIRECTIONS = ("hop_east_west", "hop_north_south")

Complaints = Iterator[tuple[Place, str]]


def _all_in_stands_alone(profile: HardwareProfile) -> Complaints:
    if profile.scope not in WHOLE:
        return
    for name in COVERED_BY_WHOLE:
        if getattr(profile.energy, name):
            yield ("energy", name), f"a figure of scope {profile.scope} already covers this; leave it out"
    if profile.static:
        yield ("static",), f"a figure of scope {profile.scope} already covers static power; leave it out"
    if not profile.operating_point:
        yield ("scope",), f"a figure of scope {profile.scope} holds at one operating point; state operating_point"


def _sop_differs_from_ac(profile: HardwareProfile) -> Complaints:
    ac = profile.energy.ac
    for name in _SOPS:
        sop = getattr(profile.energy, name)
        if sop and ac and sop.value != ac.value and not (sop.note or ac.note):
            yield ("energy", name), "differs from energy.ac; say why in a note"


def _free_needs_a_note(profile: HardwareProfile) -> Complaints:
    for name, price in profile.energy:
        if price and not price.value and not price.note:
            yield ("energy", name), "0 claims that it is free; say why in a note, or use null for unknown"


def _measured_needs_conditions(profile: HardwareProfile) -> Complaints:
    if profile.evidence != "measured":
        return
    if profile.technology.node_nm is None:
        yield ("technology", "node_nm"), "a measured figure needs the technology node"
    if "vdd_v" not in profile.technology.model_fields_set:
        yield ("technology",), "a measured figure needs vdd_v, or vdd_v: null if the source gives none"
    if not any(source.doi or source.sha256 for source in profile.sources):
        yield ("sources",), "a measured figure needs a source with a doi, or with the sha256 of the log it comes from"


def _has_a_price(profile: HardwareProfile) -> Complaints:
    contained = "sop" in profile.supersedes and profile.energy.neuron_update
    if not (contained or profile.energy.mac or any(profile.synapse(kind) for kind in SYNAPSES)):
        yield ("energy",), "needs at least one of mac, ac, sop"


def _traffic_is_complete(profile: HardwareProfile) -> Complaints:
    missing = [name for name in _DIRECTIONS if not getattr(profile.energy, name)]
    if len(missing) == 1:
        yield ("energy",), f"needs {missing[0]} too: a hop has a price in each direction or in none"
    if profile.messages_per_spike is None:
        return
    if not profile.energy.message:
        yield ("messages_per_spike",), "needs energy.message, the price of one"
    if not profile.messages_per_spike:
        yield ("messages_per_spike",), "must be positive; leave it out where it is not known"


def _sparse_is_complete(profile: HardwareProfile) -> Complaints:
    if profile.sparse_below is None:
        return
    if not profile.energy.sop_sparse:
        yield ("sparse_below",), "needs energy.sop_sparse, the price of a synapse of a sparse layer"
    if profile.sparse_below > 1:
        yield ("sparse_below",), "must be a share of the weights, from 0 to 1"


def _sources_exist(profile: HardwareProfile) -> Complaints:
    known = {source.id for source in profile.sources}
    named: dict[Place, str | None] = {("energy", n): price.source for n, price in profile.energy if price}
    for name in ("per_byte", "weight_bit", "state_bit"):
        price = getattr(profile.memory, name, None)
        named["memory", name] = price.source if price else None
    named["static",] = profile.static.source if profile.static else None
    for place, source in named.items():
        if source is not None and source not in known:
            yield place, f"source {source!r} is not in sources"


def _range_holds_value(profile: HardwareProfile) -> Complaints:
    for name, price in profile.energy:
        ends = [end for end in (price.low, price.value, price.high) if end is not None] if price else []
        if ends != sorted(ends):
            yield ("energy", name), "must have low <= value <= high"


def _components_are_disjoint(profile: HardwareProfile) -> Complaints:
    for name in sorted(set(profile.includes) & set(profile.excludes)):
        yield ("excludes",), f"{name} is both included and excluded"


def _memory_is_complete(profile: HardwareProfile) -> Complaints:
    memory = profile.memory
    if not memory:
        return
    if memory.interpolate == "linear" and not memory.coefficients:
        yield ("memory", "interpolate"), "linear needs coefficients"
    bits = [memory.weight_bit, memory.state_bit]
    if any(bits) and not all(bits):
        yield ("memory",), "needs weight_bit and state_bit, or neither"
    if any(bits) and "io" in profile.includes:
        yield ("memory",), "weight_bit and state_bit say nothing of inputs and outputs: io cannot be included"
    if not (memory.levels or memory.coefficients or memory.per_byte or any(bits)):
        yield ("memory",), "needs levels, coefficients, per_byte, or weight_bit and state_bit"
    sizes = [math.inf if level.capacity_bytes is None else level.capacity_bytes for level in memory.levels]
    if any(a >= b for a, b in pairwise(sizes)):
        yield ("memory", "levels"), "must grow in capacity_bytes; only the last may be null"


def _reuse_is_complete(profile: HardwareProfile) -> Complaints:
    memory = profile.memory
    if not memory or (memory.accesses != "reuse" and memory.dataflow is None):
        return
    if memory.accesses != "reuse":
        yield ("memory", "dataflow"), "is for accesses: reuse"
    elif memory.dataflow is None:
        yield ("memory", "accesses"), "reuse needs a dataflow: weight, output or row"
    elif not memory.levels or memory.interpolate != "none" or memory.per_byte:
        yield ("memory", "accesses"), "reuse needs levels, interpolate: none, and no per_byte"


def _reference_exists(profile: HardwareProfile) -> Complaints:
    if profile.reference_ann is not None and profile.reference_ann not in {*lookup.files(), *lookup.plug_ins()}:
        yield ("reference_ann",), f"there is no hardware profile {profile.reference_ann!r}"


RULES: tuple[Callable[[HardwareProfile], Complaints], ...] = (
    _all_in_stands_alone, _sop_differs_from_ac, _free_needs_a_note, _measured_needs_conditions, _has_a_price,
    _traffic_is_complete, _sparse_is_complete, _sources_exist, _range_holds_value, _components_are_disjoint,
    _memory_is_complete, _reuse_is_complete, _reference_exists,
)  # fmt: skip

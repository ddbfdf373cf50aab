"""What a hardware profile must fulfil that a type cannot say: each rule yields a place in the file and a complaint."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

from snnprof.hardware import lookup
from snnprof.hardware.schema import WHOLE, HardwareProfile
from snnprof.yaml_file import Place

COVERED_BY_WHOLE = ("neuron_update", "neuron_update_idle", "hop", "spike_out", "spike_in")

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
    sop, ac = profile.energy.sop, profile.energy.ac
    if sop and ac and sop.value != ac.value and not (sop.note or ac.note):
        yield ("energy", "sop"), "differs from energy.ac; say why in a note"


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
    if not (profile.energy.mac or profile.sop):
        yield ("energy",), "needs at least one of mac, ac, sop"


def _sources_exist(profile: HardwareProfile) -> Complaints:
    known = {source.id for source in profile.sources}
    named: dict[Place, str | None] = {("energy", n): price.source for n, price in profile.energy if price}
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
    if not (memory.levels or memory.coefficients or memory.per_byte):
        yield ("memory",), "needs levels, coefficients or per_byte"
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
    _sources_exist, _range_holds_value, _components_are_disjoint, _memory_is_complete,
    _reuse_is_complete, _reference_exists,
)  # fmt: skip

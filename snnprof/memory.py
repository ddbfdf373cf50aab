"""How often an operation accesses memory, and what each access costs.

Counts of accesses follow E. Lemaire et al., "An Analytical Estimation of Spiking Neural Networks Energy Efficiency"
(ICONIP 2022, arXiv 2210.13107), as the authors' own code computes them: each event of spikes reads a weight, and reads
and writes a membrane potential; every output is updated once per step.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from snnprof import reuse
from snnprof.activity import Activity, NeuronRecord, OpRecord
from snnprof.conventions import Counts
from snnprof.hardware import HardwareProfile, Level, Memory, Price
from snnprof.layer_shape import outputs, spikes_out, word_bits

Work = list[tuple[float, Price]]
"""Pairs: how often, and the price of one."""
_INTEGRATE_AND_FIRE = re.compile(r"(multistep)?if(node|cell|neuron)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Accesses:
    """Accesses of one operation over the run, and the sizes in bits of the memories that they access."""

    weights: float
    biases: float
    states: float
    inputs: float
    outputs: float
    addressing_adds: float
    addressing_macs: float
    weight_size: float
    bias_size: float
    state_size: float
    input_size: float
    output_size: float


def access_work(
    memory: Memory, size_bits: float, word: int, kind: Literal["read", "write"], bit: Price | None = None
) -> Work:
    """Returns the work of reading or writing one word of `word` bits in a memory that holds `size_bits`.

    `bit` is a price of each bit, which replaces the profile's prices of accesses.
    """
    if bit:
        return [(word, bit)]
    if memory.per_byte:
        return [(word / 8, memory.per_byte)]
    accesses = math.ceil(word / memory.access_bits)
    if memory.interpolate == "linear" and memory.coefficients:
        pj = memory.coefficients.intercept_pj + memory.coefficients.slope_pj_per_bit * size_bits
        return [(accesses, Price.model_construct(value=pj))]
    return _times(accesses, _level_work(memory, size_bits / 8, kind))


def memory_work(op: OpRecord, counts: Counts, activity: Activity, hardware: HardwareProfile) -> Work | None:
    """Returns the memory accesses and the address arithmetic of an operation; None if they are unknown."""
    named = named_work(op, counts, activity, hardware)
    return None if named is None else [each for _, _, work in named for each in work]


def named_work(
    op: OpRecord, counts: Counts, activity: Activity, hardware: HardwareProfile
) -> list[tuple[str, float, Work]] | None:
    """Returns the same by name: what is done, how often over the run, and its work; None if the accesses are unknown.

    What the profile does not include is missing, because it costs nothing.
    """
    memory, precision = hardware.memory, hardware.precision
    if memory and memory.accesses == "reuse":
        moved = reuse.traffic(op, counts, activity, hardware)
        return None if moved is None else [
            (f"words of {each.tensor} in {memory.levels[each.level].name}", each.reads + each.writes,
             reuse.work([each], hardware)) for each in moved
        ]  # fmt: skip
    accesses = accesses_of(op, counts, activity, hardware)
    weight, state, word = (word_bits(p) for p in (precision.weight, precision.accumulator, precision.activation))
    if not accesses or not memory or weight is None or state is None or word is None:
        return None
    weight_bit, state_bit = memory.weight_bit, memory.state_bit
    found: list[tuple[str, float, Work]] = []

    def add(name: str, count: float, work: Work) -> None:
        found.append((name, count, _times(count, work)))

    if "weight_read" in hardware.includes:
        add("weight reads", accesses.weights, access_work(memory, accesses.weight_size, weight, "read", weight_bit))
        add("bias reads", accesses.biases, access_work(memory, accesses.bias_size, state, "read", weight_bit))
    if "potential_rw" in hardware.includes:
        add("potential reads", accesses.states, access_work(memory, accesses.state_size, state, "read", state_bit))
        add("potential writes", accesses.states, access_work(memory, accesses.state_size, state, "write", state_bit))
    if "io" in hardware.includes:
        add("input reads", accesses.inputs, access_work(memory, accesses.input_size, word, "read"))
        add("output writes", accesses.outputs, access_work(memory, accesses.output_size, word, "write"))
        found += [
            ("operations on addresses", count, [(count, price)]) for count, price in _addressing(accesses, hardware)
        ]
    return found


def cost(work: Work) -> float:
    """Returns the picojoules of some work."""
    return sum((count * price.value for count, price in work), 0.0)


def accesses_of(op: OpRecord, counts: Counts, activity: Activity, hardware: HardwareProfile) -> Accesses | None:
    """Returns the accesses of a weighted operation.

    None for data × data, and if the operation's shape, samples or steps are unknown.
    """
    updates = outputs(op)
    if not op.weights or not updates or not activity.samples or not op.steps:
        return None
    runs = activity.samples * op.steps
    weight, state, word = (
        word_bits(p) or 0
        for p in (hardware.precision.weight, hardware.precision.accumulator, hardware.precision.activation)
    )
    sizes = {
        "weight_size": op.weights * weight,
        "bias_size": op.shape["output"][0] * state,
        "state_size": updates / runs * state,
    }
    multiplied = counts.macs > 0
    reads = _event_reads(op, counts, hardware)
    return Accesses(
        weights=counts.macs + reads,
        biases=op.bias_adds,
        states=reads + updates if reads or not multiplied else 0,
        inputs=_dense_inputs(op, counts) if multiplied else op.nonzero,
        outputs=updates if multiplied else spikes_out(op, activity),
        addressing_adds=reads + (_dense_addressing(op, counts, updates) if multiplied else 0),
        addressing_macs=2 * op.nonzero if op.op == "conv" and not multiplied else 0,
        input_size=op.elements / runs * word if multiplied else 0,
        output_size=updates / runs * word if multiplied else 0,
        **sizes,
    )


def neuron_counts(neuron: NeuronRecord) -> Counts:
    """Returns the arithmetic of a neuron layer: an addition per step and per reset, a MAC per leak (Lemaire et al.)."""
    leaks = 0 if _INTEGRATE_AND_FIRE.match(neuron.type) else neuron.updates
    return Counts(adds=neuron.updates + neuron.spikes, macs=leaks)


def _event_reads(op: OpRecord, counts: Counts, hardware: HardwareProfile) -> float:
    """Returns the weight reads of spikes.

    The paper's count for a convolution ignores padding and stride: θ · Cout · kernel.
    """
    if op.op != "conv" or not hardware.memory or hardware.memory.accesses == "events":
        return counts.sops
    return op.nonzero * _kernel_fanout(op)


def _dense_inputs(op: OpRecord, counts: Counts) -> float:
    return counts.macs if op.op == "conv" else op.elements


def _dense_addressing(op: OpRecord, counts: Counts, updates: float) -> float:
    return op.elements + updates + _kernel_fanout(op) if op.op == "conv" else counts.macs


def _kernel_fanout(op: OpRecord) -> float:
    """Returns the weights that one input element meets away from the edges: Cout/groups · kernel."""
    kernel: float = math.prod(op.shape["weight"][2:])
    channels: float = op.shape["output"][0] / op.shape.get("groups", 1)
    return kernel * channels


def _addressing(accesses: Accesses, hardware: HardwareProfile) -> Work:
    asked = ((accesses.addressing_adds, hardware.add), (accesses.addressing_macs, hardware.energy.mac))
    return [(count, price) for count, price in asked if price]


def _level_work(memory: Memory, size_bytes: float, kind: Literal["read", "write"]) -> Work:
    """Returns one access; between the capacities of two levels, shares of an access to both."""
    finite = [level for level in memory.levels if level.capacity_bytes is not None]
    if memory.interpolate == "clamp-linear" and finite and not _beyond(memory, finite, size_bytes):
        return _interpolated(finite, size_bytes, kind)
    fitting = (level for level in memory.levels if level.capacity_bytes is None or size_bytes <= level.capacity_bytes)
    return [(1, _price(next(fitting, memory.levels[-1]), kind))]


def _beyond(memory: Memory, finite: list[Level], size_bytes: float) -> bool:
    return len(finite) < len(memory.levels) and size_bytes > (finite[-1].capacity_bytes or 0)


def _interpolated(levels: list[Level], size_bytes: float, kind: Literal["read", "write"]) -> Work:
    """Returns shares of an access to the two levels between whose capacities the size lies."""
    below = levels[0]
    for above in levels:
        low, high = below.capacity_bytes or 0, above.capacity_bytes or 0
        if size_bytes <= high:
            share = max((size_bytes - low) / (high - low), 0.0) if high > low else 1.0
            return [(1 - share, _price(below, kind)), (share, _price(above, kind))]
        below = above
    return [(1, _price(levels[-1], kind))]


def _price(level: Level, kind: Literal["read", "write"]) -> Price:
    return level.read if kind == "read" else level.write


def _times(count: float, work: Work) -> Work:
    return [(count * each, price) for each, price in work]

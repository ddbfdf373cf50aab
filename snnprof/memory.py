"""How often an operation touches memory, and what each access costs.

Counts of accesses follow E. Lemaire et al., "An Analytical Estimation of Spiking Neural Networks Energy Efficiency"
(ICONIP 2022, arXiv 2210.13107), as the authors' own code has them: where spikes drive an operation, each event reads a
weight and reads and writes a membrane potential; every output is updated once per step.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from snnprof.activity import Activity, NeuronRecord, OpRecord
from snnprof.conventions import Counts
from snnprof.hardware import HardwareProfile, Level, Memory

_WORD_BITS = {"binary": 1, "ternary": 2}
_INTEGRATE_AND_FIRE = re.compile(r"(multistep)?if(node|cell|neuron)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Accesses:
    """Accesses of one operation over the run, and the sizes of the memories behind them, in bits."""

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


def word_bits(precision: str) -> int | None:
    """Bits of a number format: `fp32` 32, `int8` 8, `binary` 1; None for `analog`.

    >>> word_bits("bf16")
    16
    """
    digits = re.search(r"\d+$", precision)
    return int(digits.group()) if digits else _WORD_BITS.get(precision)


def access_pj(memory: Memory, size_bits: float, word: int, kind: Literal["read", "write"]) -> float:
    """Picojoules of one word read from or written to a memory that holds `size_bits`."""
    if memory.per_byte:
        return memory.per_byte.value * word / 8
    accesses = math.ceil(word / memory.access_bits)
    if memory.interpolate == "linear" and memory.coefficients:
        return accesses * (memory.coefficients.intercept_pj + memory.coefficients.slope_pj_per_bit * size_bits)
    return accesses * _level_pj(memory, size_bits / 8, kind)


def memory_pj(op: OpRecord, counts: Counts, activity: Activity, hardware: HardwareProfile) -> float | None:
    """Picojoules an operation spends on memory and addressing; None where its accesses cannot be told."""
    accesses = accesses_of(op, counts, activity, hardware)
    memory, precision = hardware.memory, hardware.precision
    weight, state, word = (word_bits(p) for p in (precision.weight, precision.accumulator, precision.activation))
    if not accesses or not memory or weight is None or state is None or word is None:
        return None
    total = 0.0
    if "weight_read" in hardware.includes:
        total += accesses.weights * access_pj(memory, accesses.weight_size, weight, "read")
        total += accesses.biases * access_pj(memory, accesses.bias_size, state, "read")
    if "potential_rw" in hardware.includes:
        both = sum(access_pj(memory, accesses.state_size, state, kind) for kind in ("read", "write"))
        total += accesses.states * both
    if "io" in hardware.includes:
        total += accesses.inputs * access_pj(memory, accesses.input_size, word, "read")
        total += accesses.outputs * access_pj(memory, accesses.output_size, word, "write")
        total += _addressing_pj(accesses, hardware)
    return total


def accesses_of(op: OpRecord, counts: Counts, activity: Activity, hardware: HardwareProfile) -> Accesses | None:
    """Accesses of a weighted operation; None for data × data, and where its shape, samples or steps are not known."""
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
        outputs=updates if multiplied else _spikes_out(op, activity),
        addressing_adds=reads + (_dense_addressing(op, counts, updates) if multiplied else 0),
        addressing_macs=2 * op.nonzero if op.op == "conv" and not multiplied else 0,
        input_size=op.elements / runs * word if multiplied else 0,
        output_size=updates / runs * word if multiplied else 0,
        **sizes,
    )


def outputs(op: OpRecord) -> float | None:
    """Results a weighted operation computed over the run; None where its shape is not known."""
    shapes = [op.shape.get(name) for name in ("input", "output", "weight")]
    if not all(shapes):
        return None
    read, written, weight = (float(math.prod(shape)) for shape in shapes if shape)
    if not read or not weight:
        return None
    if op.op == "linear":
        return op.dense_macs / read
    taps: float = weight / op.shape["weight"][0]
    return op.dense_macs / (read * taps) * written if op.shape.get("transposed") else op.dense_macs / taps


def neuron_counts(neuron: NeuronRecord) -> Counts:
    """Arithmetic of a neuron layer after Lemaire et al.: one add per step, one per reset, a MAC per leak."""
    leaks = 0 if _INTEGRATE_AND_FIRE.match(neuron.type) else neuron.updates
    return Counts(adds=neuron.updates + neuron.spikes, macs=leaks)


def _event_reads(op: OpRecord, counts: Counts, hardware: HardwareProfile) -> float:
    """Weight reads of spikes. The paper's count of a convolution ignores padding and stride: θ · Cout · kernel."""
    if op.op != "conv" or not hardware.memory or hardware.memory.accesses == "events":
        return counts.sops
    return op.nonzero * _kernel_fanout(op)


def _dense_inputs(op: OpRecord, counts: Counts) -> float:
    return counts.macs if op.op == "conv" else op.elements


def _dense_addressing(op: OpRecord, counts: Counts, updates: float) -> float:
    return op.elements + updates + _kernel_fanout(op) if op.op == "conv" else counts.macs


def _kernel_fanout(op: OpRecord) -> float:
    """Weights that one input element meets, away from the edges: Cout/groups · kernel."""
    kernel: float = math.prod(op.shape["weight"][2:])
    channels: float = op.shape["output"][0] / op.shape.get("groups", 1)
    return kernel * channels


def _addressing_pj(accesses: Accesses, hardware: HardwareProfile) -> float:
    add, mac = hardware.add, hardware.energy.mac
    adds = accesses.addressing_adds * add.value if add else 0.0
    return adds + (accesses.addressing_macs * mac.value if mac else 0.0)


def _spikes_out(op: OpRecord, activity: Activity) -> float:
    return sum(neuron.spikes for neuron in activity.neurons if neuron.layer in op.feeds)


def _level_pj(memory: Memory, size_bytes: float, kind: Literal["read", "write"]) -> float:
    finite = [level for level in memory.levels if level.capacity_bytes is not None]
    if memory.interpolate == "clamp-linear" and finite and not _beyond(memory, finite, size_bytes):
        return _interpolated(finite, size_bytes, kind)
    for level in memory.levels:
        if level.capacity_bytes is None or size_bytes <= level.capacity_bytes:
            return _pj(level, kind)
    return _pj(memory.levels[-1], kind)


def _beyond(memory: Memory, finite: list[Level], size_bytes: float) -> bool:
    return len(finite) < len(memory.levels) and size_bytes > (finite[-1].capacity_bytes or 0)


def _interpolated(levels: list[Level], size_bytes: float, kind: Literal["read", "write"]) -> float:
    below = levels[0]
    for above in levels:
        low, high = below.capacity_bytes or 0, above.capacity_bytes or 0
        if size_bytes <= high:
            share = (size_bytes - low) / (high - low) if high > low else 1.0
            return _pj(below, kind) + max(share, 0.0) * (_pj(above, kind) - _pj(below, kind))
        below = above
    return _pj(levels[-1], kind)


def _pj(level: Level, kind: Literal["read", "write"]) -> float:
    return (level.read if kind == "read" else level.write).value

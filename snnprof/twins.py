"""What the same network could have done instead: run once as an ANN, run densely, stay silent, fire everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from snnprof.activity import Activity, ElementwiseRecord, Kind, NeuronRecord, OpRecord, Part
from snnprof.conventions import Counts
from snnprof.conventions.attention import linear_order
from snnprof.hardware import HardwareProfile, load_hardware
from snnprof.memory import cost, memory_work

INT8_AT_NODE = {45: "cmos45-int8-acc32", 7: "cmos7-int8"}


@dataclass(frozen=True)
class Twin:
    """A dense run of the same network, over as many samples as the activity has.

    Its energy is that of its MACs and, on hardware with a memory, of their memory accesses. It excludes biases and
    element-wise arithmetic, so that no ratio to it flatters the spiking network.

    Attributes:
        operations: MACs over the run; None if the number of steps of an operation is unknown.
        energy_pj: picojoules over the run; None if `operations` is, or if the hardware has no price for a MAC.
        hardware: the profile that priced it.
        bits: width of its activations, for the quantised twin; else None.
        lower_bound: the memory accesses of some operations are unknown.
        samples: number of samples that it ran; None if unknown.
    """

    operations: float | None
    energy_pj: float | None
    hardware: HardwareProfile
    bits: int | None = None
    lower_bound: bool = False
    samples: int | None = None


def ann_twin(activity: Activity, hardware: HardwareProfile) -> Twin:
    """Returns the same network run once: Σ dense MACs / steps, with attention in the order that a softmax allows."""
    return _priced(_run_once(activity), activity, hardware)


def quantised_twin(activity: Activity, hardware: HardwareProfile) -> Twin | None:
    """Returns the ANN with ⌈log2(T + 1)⌉-bit activations, which carry as much as T binary steps (Yan et al. 2024).

    It is priced as INT8 of the same technology node, with the hardware's own memory. None without such a profile, above
    8 bits, or if T is unknown.
    """
    steps = [op.steps for op in activity.ops if op.steps]
    node = hardware.technology.node_nm
    if not steps or node is None or int(node) not in INT8_AT_NODE:
        return None
    bits = math.ceil(math.log2(max(steps) + 1))
    covered = {name: getattr(hardware, name) for name in ("memory", "scope", "includes", "excludes")}
    int8 = load_hardware(INT8_AT_NODE[int(node)]).model_copy(update=covered)
    return replace(_priced(_run_once(activity), activity, int8), bits=bits) if bits <= 8 else None


def dense_run(activity: Activity, hardware: HardwareProfile) -> Twin:
    """Returns the same SNN on a machine that exploits no sparsity: every MAC of every step."""
    return _priced([_dense(op) for op in activity.ops], activity, hardware)


def all_silent(activity: Activity) -> Activity:
    """Returns the activity as if no neuron had fired; real inputs stay."""
    return _with_spikes(activity, firing=False)


def all_firing(activity: Activity) -> Activity:
    """Returns the activity as if all neurons had fired at every step, at the highest level that the run showed."""
    return _with_spikes(activity, firing=True)


def _run_once(activity: Activity) -> list[OpRecord] | None:
    """Returns the operations of the ANN twin; None if the number of steps of one is unknown."""
    if not all(op.steps for op in activity.ops):
        return None
    reordered = linear_order(activity.ops)
    return [_dense(op, op.steps or 1, reordered.get(op.key, 1.0)) for op in activity.ops]


def _dense(op: OpRecord, steps: int = 1, factor: float = 1.0) -> OpRecord:
    """Returns the operation on real data in one of its steps; `factor` is MACs in another order / MACs as it ran."""
    macs = round(op.dense_macs / steps * factor)
    part = Part(kind="real", elements=op.elements // steps, dense_macs=macs, valid_macs=macs)
    return op.model_copy(update={"parts": [part], "steps": op.steps and op.steps // steps, "bias_adds": 0})


def _priced(ops: list[OpRecord] | None, activity: Activity, hardware: HardwareProfile) -> Twin:
    if ops is None:
        return Twin(None, None, hardware, samples=activity.samples)
    macs, mac = sum(op.dense_macs for op in ops), hardware.energy.mac
    if mac is None:
        return Twin(macs, None, hardware, samples=activity.samples)
    stored = [memory_work(op, Counts(macs=op.dense_macs), activity, hardware) for op in ops] if hardware.memory else []
    energy = macs * mac.value + sum(cost(work or []) for work in stored)
    return Twin(macs, energy, hardware, lower_bound=None in stored, samples=activity.samples)


def _with_spikes(activity: Activity, firing: bool) -> Activity:
    return activity.model_copy(
        update={
            "ops": [_op_with_spikes(op, firing) for op in activity.ops],
            "neurons": [_neuron_with_spikes(neuron, firing) for neuron in activity.neurons],
            "elementwise": [_line_with_spikes(line, firing) for line in activity.elementwise],
            "blocks": [],
        }
    )


def _op_with_spikes(op: OpRecord, firing: bool) -> OpRecord:
    """Returns the operation with spikes everywhere or nowhere; parts that multiply stay."""
    real = [part for part in op.parts if part.kind == "real"]
    spikes = [part for part in op.parts if part.kind == "spikes" or (part.kind == "silent" and not real)]
    kept = [part for part in op.parts if part not in spikes]
    levels = math.prod(operand.max_level or 1 for operand in op.data) if firing else 0
    # Beside real steps alone, a silent part would count as multiplied (see `conventions.kinds.split`).
    kind: Kind = "spikes" if firing or real else "silent"
    return op.model_copy(update={"parts": kept + _merged(spikes, kind, levels)})


def _merged(parts: Iterable[Part], kind: Kind, levels: int) -> list[Part]:
    """Joins the parts into one in which every element has the given level."""
    every = list(parts)
    if not every:
        return []
    elements = sum(part.elements for part in every)
    dense = sum(part.dense_macs for part in every)
    valid = sum(part.valid_macs for part in every)
    fires = 1 if levels else 0
    return [
        Part(
            kind=kind,
            elements=elements,
            nonzero=fires * elements,
            level_sum=levels * elements,
            dense_macs=dense,
            valid_macs=valid,
            events=fires * valid,
            by_value=levels * valid,
            effective=fires * valid,
            left=fires * dense,
            right=fires * dense,
        )
    ]


def _neuron_with_spikes(neuron: NeuronRecord, firing: bool) -> NeuronRecord:
    count = neuron.updates if firing else 0
    return neuron.model_copy(update={"spikes": count, "level_sum": count, "driven": count, "spikes_per_step": []})


def _line_with_spikes(line: ElementwiseRecord, firing: bool) -> ElementwiseRecord:
    if line.nonzero is None:
        return line
    return line.model_copy(update={"nonzero": line.elements if firing else 0})

"""Memory traffic with reuse: how often an operation accesses each level of a hierarchy under a dataflow.

The dataflows are those of Y.-H. Chen, J. Emer, V. Sze, "Eyeriss: a spatial architecture for energy-efficient dataflow
for convolutional neural networks", ISCA 2016 (doi 10.1109/ISCA.2016.40): each keeps another operand beside the
arithmetic. What follows is our own closed form of them for one arithmetic unit that skips zeros; it holds for spikes
and, with every element non-zero, for a dense network.

The machine. A tensor has a home: the smallest level that holds all of it. The first level, of C bits, also holds the
part of the stationary operand that is in use. Everything else moves between its home and the unit, and skips the levels
between them. An input waits in a register of the unit while it meets its weights. Time is the outermost loop: a step
runs through all layers before the next step begins, so nothing stays in the first level from one step to the next, and
no two inferences share a weight: the figures do not depend on the batch.

For a layer, over the run:

    R       steps over all inferences
    W, O    weights, and outputs a step
    N       non-zero inputs
    E       events: pairs of an input and a weight that meet; MACs where the layer is dense
    D       dense MACs
    K       output channels that one input reaches
    k, s    taps and stride of the kernel along each axis; k_w, s_w along the last one, k_h, s_h along the others
    w, m    bits of a weight and of a state (a membrane potential or a partial sum)
    L       min(W·R, E): weights that are loaded; a weight that meets no spike is not

    dataflow   weights at home   inputs at home                       state at home        in the first level
    weight     L read            N·⌈K·Πk·w / C⌉ read                  E + O·R each way     L weights written, E read
    output     E read            N·⌈K·Π⌈k/s⌉·m / C⌉ read              O·R each way         E + 2·O·R states each way
    row        L read            N·Π⌈k_h/s_h⌉·⌈K·k_w·(w+m) / C⌉ read  min(E, D/k_w) + O·R  L weights written, E read;
                                                                      each way             E sums each way

- weight-stationary: the weights that one input channel meets are loaded, as many at a time as C holds; each input is
  read once for every such part, and each event reads and writes a state.
- output-stationary: states are loaded, collect all their events, are updated and go back; each event reads its weight.
- row-stationary: the kernel rows of one input channel and one row number stay, with the sums of one output row's
  window; a sum over a kernel row is complete before it goes to the state. At most D / k_w sums leave, and not more
  than there are events.

In each dataflow an output is read and written once more per step, when it is updated (a membrane) or finished (an
activation). If the home of the stationary operand is the first level itself, nothing is loaded or sent back. Spikes are
stored as one bit for each neuron, and only spikes are read. A word takes ⌈bits / access_bits⌉ accesses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from snnprof.activity import Activity, OpRecord
from snnprof.conventions import Counts
from snnprof.hardware import HardwareProfile, Memory, Price
from snnprof.layer_shape import channels, kernel, outputs, spikes_out, word_bits

Tensor = Literal["weights", "biases", "inputs", "state", "outputs"]


@dataclass(frozen=True)
class Traffic:
    """Words of one tensor that one level reads and writes over the run.

    Attributes:
        tensor: which tensor.
        level: position of the level in the profile's `memory.levels`.
        reads, writes: number of words.
        bits: bits of a word.
    """

    tensor: Tensor
    level: int
    reads: float
    writes: float
    bits: int


@dataclass(frozen=True)
class Load:
    """A layer's work over the run, in the letters of the table in the module docstring."""

    weights: float
    outputs: float
    runs: float
    inputs: float
    events: float
    dense: float
    channels: float
    taps: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Homes:
    """The levels in which a layer's tensors live, the bits of their words, and the bits of the first level."""

    weights: int
    inputs: int
    state: int
    weight_bits: int
    input_bits: int
    state_bits: int
    first_bits: float


def traffic(op: OpRecord, counts: Counts, activity: Activity, hardware: HardwareProfile) -> list[Traffic] | None:
    """Returns what a weighted operation moves.

    None for data × data, and if the operation's shape, samples or steps, or the width of a word, are unknown.
    """
    memory, results = hardware.memory, outputs(op)
    bits = [word_bits(p) for p in (hardware.precision.weight, hardware.precision.accumulator)]
    word = word_bits(hardware.precision.activation) if counts.macs else 1
    if memory is None or not op.weights or not results or not activity.samples or not op.steps or not word:
        return None
    if bits[0] is None or bits[1] is None:
        return None
    runs = activity.samples * op.steps
    taps, strides = kernel(op)
    load = Load(
        weights=op.weights, outputs=results / runs, runs=runs, inputs=op.elements if counts.macs else op.nonzero,
        events=counts.sops + counts.macs, dense=op.dense_macs, channels=channels(op),
        taps=tuple(taps), strides=tuple(strides),
    )  # fmt: skip
    homes = Homes(
        weights=home(memory, load.weights * bits[0]), inputs=home(memory, op.elements / runs * word),
        state=home(memory, load.outputs * bits[1]), weight_bits=bits[0], input_bits=word, state_bits=bits[1],
        first_bits=8 * (memory.levels[0].capacity_bytes or math.inf),
    )  # fmt: skip
    written = results if counts.macs else spikes_out(op, activity)
    beside = [
        Traffic("biases", home(memory, op.shape["output"][0] * bits[1]), op.bias_adds, 0, bits[1]),
        Traffic("outputs", home(memory, load.outputs * word), 0, written, word),
    ]
    moved = [*DATAFLOWS[memory.dataflow or "weight"](load, homes), *beside]
    return [each for each in moved if each.reads or each.writes]


def home(memory: Memory, bits: float) -> int:
    """Returns the position of the smallest level that holds a number of bits; of the last level if none does."""
    sizes = [math.inf if level.capacity_bytes is None else 8 * level.capacity_bytes for level in memory.levels]
    return next((number for number, size in enumerate(sizes) if bits <= size), len(sizes) - 1)


def work(moved: list[Traffic], hardware: HardwareProfile) -> list[tuple[float, Price]]:
    """Returns the accesses with their prices. What the profile does not include costs nothing."""
    memory = hardware.memory
    assert memory is not None
    found = []
    for each in moved:
        if INCLUDED[each.tensor] in hardware.includes:
            accesses, level = math.ceil(each.bits / memory.access_bits), memory.levels[each.level]
            found += [(accesses * each.reads, level.read), (accesses * each.writes, level.write)]
    return found


INCLUDED: dict[Tensor, str] = {
    "weights": "weight_read", "biases": "weight_read", "inputs": "io", "state": "potential_rw", "outputs": "io",
}  # fmt: skip
"""Tensor → component that a profile must include so that its traffic costs something."""


def weight_stationary(load: Load, homes: Homes) -> Iterator[Traffic]:
    """Yields the traffic if weights stay in the first level; the module docstring has the formulas."""
    parts = _parts(load.channels * math.prod(load.taps) * homes.weight_bits, homes)
    yield from _loaded_weights(load, homes)
    yield Traffic("inputs", homes.inputs, load.inputs * parts, 0, homes.input_bits)
    updates = load.outputs * load.runs
    yield Traffic("state", homes.state, load.events + updates, load.events + updates, homes.state_bits)


def output_stationary(load: Load, homes: Homes) -> Iterator[Traffic]:
    """Yields the traffic if states stay in the first level; the module docstring has the formulas."""
    reached = math.prod(math.ceil(tap / stride) for tap, stride in zip(load.taps, load.strides, strict=True))
    parts = _parts(load.channels * reached * homes.state_bits, homes)
    yield Traffic("weights", homes.weights, load.events, 0, homes.weight_bits)
    yield Traffic("inputs", homes.inputs, load.inputs * parts, 0, homes.input_bits)
    updates = load.outputs * load.runs
    moved = updates if homes.state else 0.0
    inner = load.events + updates + moved
    yield Traffic("state", 0, inner, inner, homes.state_bits)
    yield Traffic("state", homes.state, moved, moved, homes.state_bits)


def row_stationary(load: Load, homes: Homes) -> Iterator[Traffic]:
    """Yields the traffic if kernel rows stay in the first level; the module docstring has the formulas."""
    rows = math.prod(math.ceil(tap / stride) for tap, stride in zip(load.taps[:-1], load.strides[:-1], strict=True))
    row = load.channels * load.taps[-1]
    yield from _loaded_weights(load, homes)
    parts = _parts(row * (homes.weight_bits + homes.state_bits), homes)
    yield Traffic("inputs", homes.inputs, load.inputs * rows * parts, 0, homes.input_bits)
    sums, updates = min(load.events, load.dense / load.taps[-1]), load.outputs * load.runs
    yield Traffic("state", 0, load.events, load.events, homes.state_bits)
    yield Traffic("state", homes.state, sums + updates, sums + updates, homes.state_bits)


DATAFLOWS: dict[str, Callable[[Load, Homes], Iterator[Traffic]]] = {
    "weight": weight_stationary, "output": output_stationary, "row": row_stationary,
}  # fmt: skip


def _loaded_weights(load: Load, homes: Homes) -> Iterator[Traffic]:
    """Yields the traffic of weights that stay in the first level.

    Each weight that meets an input is loaded there once per step; each event reads it there.
    """
    loaded = min(load.weights * load.runs, load.events) if homes.weights else 0.0
    yield Traffic("weights", homes.weights, loaded, 0, homes.weight_bits)
    yield Traffic("weights", 0, load.events, loaded, homes.weight_bits)


def _parts(bits: float, homes: Homes) -> int:
    """Returns the number of parts in which the first level takes this many bits."""
    return max(1, math.ceil(bits / homes.first_bits))

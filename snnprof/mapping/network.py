"""What a network needs of a chip: its neuron layers, and the weighted operations between them.

The neurons of a layer form a grid: positions (pixels, tokens) × channels. They are numbered position by position, so
the channels of one position are neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeGuard

from snnprof.activity import Activity, NeuronRecord, OpRecord

if TYPE_CHECKING:
    import numpy as np

INPUT = "input"
MOST_LINKS = 50_000_000
"""The most pairs of positions to list; in a larger operation, each input is taken to reach every output."""


@dataclass(frozen=True)
class Connection:
    """A weighted operation as the synapses of one layer.

    Attributes:
        op: the operation; its `fed_by` are the source layers.
        fan_in: synapses of one neuron of the layer.
        inputs: number of positions that it reads.
        outputs: number of positions that it computes.
        channels_in: channels of each position that it reads.
        known: its geometry is known; otherwise each input is taken to reach every output.
    """

    op: OpRecord
    fan_in: int
    inputs: int
    outputs: int
    channels_in: int
    known: bool = True

    @cached_property
    def links(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
        """Arrays of the input and the output positions that a synapse joins.

        None if each input reaches every output.
        """
        if self.op.op != "conv":
            import numpy as np

            alike = self.known and 1 < self.outputs <= MOST_LINKS and self.inputs == self.outputs
            return (np.arange(self.outputs), np.arange(self.outputs)) if alike else None
        return _of_convolution(self.op.shape) if self.known else None


@dataclass(frozen=True)
class Layer:
    """A layer of neurons that needs a place on a chip.

    Attributes:
        name: name of the neuron layer; of an output without neurons, that of the operation.
        neurons: number of neurons.
        positions: number of positions of their grid.
        channels: number of channels of their grid.
        steps: time steps per inference; None if unknown.
        spikes: spikes over the run.
        driven: neuron-steps with input over the run.
        readout: it is the output of an operation that feeds no neuron; its results still need accumulators.
        connections: weighted operations that reach it.
        products: products of data with data that reach it.
    """

    name: str
    neurons: int
    positions: int
    channels: int
    steps: int | None = None
    spikes: int = 0
    driven: int = 0
    readout: bool = False
    connections: tuple[Connection, ...] = ()
    products: tuple[OpRecord, ...] = field(default=())


def layers(activity: Activity) -> list[Layer]:
    """Returns the layers of a run in its order: neuron layers, then outputs that feed no neuron."""
    reached = [_with_inputs(_of_neurons(neuron), activity) for neuron in activity.neurons if neuron.size]
    return [*reached, *_readouts(activity)]


def _of_neurons(neuron: NeuronRecord) -> Layer:
    return Layer(neuron.layer, neuron.size, neuron.size, 1, neuron.steps, neuron.spikes, neuron.driven)


def _readouts(activity: Activity) -> Iterator[Layer]:
    for op in activity.ops:
        if not op.feeds and len(op.data) == 1:
            size = max(1, round(_outputs_per_step(op, activity)))
            yield _with_inputs(Layer(op.layer, size, size, 1, op.steps, readout=True), activity, [op])


def _outputs_per_step(op: OpRecord, activity: Activity) -> float:
    shape, steps = op.shape.get("output"), (op.steps or 1) * (activity.samples or 1)
    if op.op == "conv" and _is_shape(shape):
        return math.prod(shape)
    return op.dense_macs / (_fan_in(op) or 1) / steps


def _with_inputs(layer: Layer, activity: Activity, ops: Sequence[OpRecord] | None = None) -> Layer:
    """Adds the operations that reach a layer, and the grid that follows from the first of them."""
    reaching = [op for op in activity.ops if layer.name in op.feeds] if ops is None else ops
    weighted = [op for op in reaching if len(op.data) == 1]
    channels = next((_channels_out(op) for op in weighted), 1)
    if layer.neurons % channels:
        channels = 1
    layer = replace(layer, channels=channels, positions=layer.neurons // channels)
    return replace(
        layer,
        connections=tuple(_connection(op, layer) for op in weighted),
        products=tuple(op for op in reaching if len(op.data) > 1),
    )


def _connection(op: OpRecord, layer: Layer) -> Connection:
    shape = op.shape
    if op.op == "conv" and all(_is_shape(shape.get(side)) for side in ("input", "output", "weight")):
        inputs, outputs = (math.prod(shape[side][1:]) for side in ("input", "output"))
        return Connection(op, _fan_in(op), inputs, outputs, shape["input"][0], _has_geometry(op))
    if _is_shape(shape.get("input")):
        return Connection(op, _fan_in(op), layer.positions, layer.positions, shape["input"][-1])
    return Connection(op, _fan_in(op), 1, layer.positions, _fan_in(op), known=False)


def _channels_out(op: OpRecord) -> int:
    shape = op.shape.get("output")
    if not _is_shape(shape):
        return 1
    return int(shape[0] if op.op == "conv" else shape[-1])


def _fan_in(op: OpRecord) -> int:
    """Returns the number of weights of one output; all weights of an operation whose shape is unknown."""
    weight, read = op.shape.get("weight"), op.shape.get("input")
    if op.op == "conv" and _is_shape(weight) and len(weight) > 1:
        kernel = math.prod(weight[2:])
        inner = weight[0] // groups_of(op) if op.shape.get("transposed") else weight[1]
        return max(1, inner * kernel)
    return int(read[-1]) if _is_shape(read) else max(1, op.weights)


def groups_of(op: OpRecord) -> int:
    """Returns the number of groups of a convolution; 1 if unknown."""
    groups = op.shape.get("groups")
    return groups if type(groups) is int and groups > 0 else 1


def _has_geometry(op: OpRecord) -> bool:
    """Whether a convolution's record says how its kernel moves, and it has few enough pairs of positions to list."""
    shape, axes = op.shape, len(op.shape["output"]) - 1
    stride, dilation, padding = (shape.get(name) for name in ("stride", "dilation", "padding"))
    sizes = [shape["input"][1:], shape["output"][1:], shape["weight"][2:], stride, dilation, padding]
    if not all(isinstance(each, list) and len(each) == axes for each in sizes):
        return False
    if not all(type(size) is int and 0 <= size < MOST_LINKS for each in sizes for size in each):
        return False
    near = shape["input"] if shape.get("transposed") else shape["output"]
    moves = _is_shape(stride) and _is_shape(dilation)
    return moves and math.prod([*near[1:], *shape["weight"][2:]]) <= MOST_LINKS


def _is_shape(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and bool(value) and all(type(size) is int and size > 0 for size in value)


def _of_convolution(shape: dict[str, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Returns the pairs of positions that a kernel joins.

    Along an axis, input = output · stride + tap · dilation − padding; in a transposed convolution, input and output
    change places. The pairs of several axes are all combinations of theirs.
    """
    import numpy as np

    turned = bool(shape.get("transposed"))
    near, far = ("output", "input") if not turned else ("input", "output")
    axes = range(len(shape["output"]) - 1)
    of_far, of_near = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    for axis in axes:
        reads, computes, kernel = shape[far][axis + 1], shape[near][axis + 1], shape["weight"][axis + 2]
        taps = np.arange(kernel) * shape["dilation"][axis] - shape["padding"][axis]
        a = (np.arange(computes)[:, None] * shape["stride"][axis] + taps).ravel()
        b = np.repeat(np.arange(computes), kernel)
        inside = (a >= 0) & (a < reads)
        of_far = (of_far[:, None] * reads + a[inside]).ravel()
        of_near = (of_near[:, None] * computes + b[inside]).ravel()
    return (of_near, of_far) if turned else (of_far, of_near)

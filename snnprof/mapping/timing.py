"""How long a time step takes, by the chip's published model: the mean step on the cores that have the most to do.

A step ends when all cores are done. This is the mean over the steps and over the cores of a layer; a real step waits
for its busiest core, so it is longer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from snnprof.mapping.chip import Mesh, Time
from snnprof.mapping.network import INPUT, Connection, Layer
from snnprof.mapping.routing import Place, Way


def step_seconds(
    time: Time, mesh: Mesh | None, places: Sequence[Place], ways: Sequence[Way], samples: int
) -> float | None:
    """Returns the seconds of a time step; None if the number of steps of a layer is unknown."""
    if time.step is not None:
        return time.step
    busiest = [_core_seconds(time, place, ways, places, samples) for place in places]
    if not busiest or None in busiest:
        return None
    return max(seconds for seconds in busiest if seconds is not None) + _barrier(time, mesh, places)


def _core_seconds(time: Time, place: Place, ways: Sequence[Way], places: Sequence[Place], samples: int) -> float | None:
    """Returns the mean seconds that a core of a layer needs for one step; None if the number of steps is unknown."""
    layer = place.layer
    if not layer.steps:
        return None
    sent = layer.spikes * sum(way.messages for way in ways if way.source == layer.name)
    spikes = {other.layer.name: other.layer.spikes for other in places} | {INPUT: _input_spikes(layer)}
    taken = sum(spikes.get(way.source, 0) * way.messages for way in ways if way.target == layer.name)
    synapses = sum(_events(each) * _synapse_seconds(time, each) for each in layer.connections)
    per_run = (
        layer.driven * time.driven_neuron + layer.spikes * time.spike + sent * time.message_out
        + taken * time.message_in + synapses
    )  # fmt: skip
    return (layer.neurons * time.neuron + per_run / (samples * layer.steps)) / place.grid.cores


def _input_spikes(layer: Layer) -> int:
    return sum(each.op.part("spikes").nonzero for each in layer.connections if each.op.fed_by == [INPUT])


def _events(connection: Connection) -> int:
    """Returns the synaptic events of spikes; a chip's synapses take no real values."""
    return sum(part.by_value for part in connection.op.parts if part.kind == "spikes")


def _synapse_seconds(time: Time, connection: Connection) -> float:
    linear = time.synapse["linear"]
    return time.synapse.get("conv", linear) if connection.op.op == "conv" else linear


def _barrier(time: Time, mesh: Mesh | None, places: Sequence[Place]) -> float:
    cores = sum(place.grid.cores for place in places)
    tiles = math.ceil(cores / mesh.cores_per_tile) if mesh else cores
    fitting = [each for each in time.barrier if each.tiles <= tiles]
    return max(fitting, key=lambda each: each.tiles).seconds if fitting else 0.0

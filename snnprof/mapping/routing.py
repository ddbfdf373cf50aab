"""Where spikes go: the cores that each layer's spikes reach, and the routers on the way there.

All figures are averages over the neurons of a layer: a run file says how many spikes a layer sent, not which of its
neurons sent them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from snnprof.mapping.chip import Mesh
from snnprof.mapping.network import MOST_LINKS, Connection, Layer, groups_of
from snnprof.mapping.packing import Grid, Reach, reach, runs_of


@dataclass(frozen=True)
class Way:
    """The way of spikes from one layer to another, on average per spike.

    Attributes:
        source: layer that sends them, or `input`.
        target: layer that they reach.
        messages: cores of the target that a spike reaches.
        east_west: routers that these messages cross in the directions east and west; None if the mesh is unknown.
        north_south: the same for north and south.
    """

    source: str
    target: str
    messages: float
    east_west: float | None = None
    north_south: float | None = None


@dataclass(frozen=True)
class Place:
    """A layer on its cores; `first` is the number of its first core, and cores are numbered layer by layer."""

    layer: Layer
    grid: Grid
    first: int


def ways(places: Sequence[Place], mesh: Mesh | None) -> list[Way]:
    """Returns one way for each pair of layers that a weighted operation joins; of two, the one to more cores.

    `mesh` is None if hops are unknown, or if the network needs more than one chip.
    """
    by_name = {place.layer.name: place for place in places}
    found: dict[tuple[str, str], Way] = {}
    for target in places:
        for connection in target.layer.connections:
            reached = reach(connection, target.layer.positions, target.grid.positions)
            for source in connection.op.fed_by:
                way = _way(source, by_name.get(source), target, connection, reached, mesh)
                known = found.get((source, target.layer.name))
                if known is None or way.messages > known.messages:
                    found[source, target.layer.name] = way
    return list(found.values())


def messages_of(ways: Sequence[Way]) -> dict[str, float]:
    """Adds up the messages of a spike, by the layer that sends it."""
    total: dict[str, float] = {}
    for way in ways:
        total[way.source] = total.get(way.source, 0.0) + way.messages
    return total


def _way(
    name: str, source: Place | None, target: Place, connection: Connection, reached: Reach, mesh: Mesh | None
) -> Way:
    columns = _columns_reached(connection, target)
    messages = reached.mean() * columns
    if mesh is None or source is None:
        return Way(name, target.layer.name, messages)
    weights = _from_run_to_run(reached, source) * columns / target.grid.channels
    return Way(name, target.layer.name, messages, *_mean_distances(weights, source, target, mesh))


def _columns_reached(connection: Connection, target: Place) -> float:
    """Returns the runs of channels that a spike reaches.

    These are all runs; for a grouped convolution, those that hold channels of its group.
    """
    import numpy as np

    groups = groups_of(connection.op)
    runs, channels = target.grid.channels, target.layer.channels
    if groups == 1 or runs == 1 or channels % groups or channels > MOST_LINKS:
        return float(runs)
    run = runs_of(np.arange(channels), channels, runs).reshape(groups, -1)
    return float(np.mean(run[:, -1] - run[:, 0] + 1))


def _from_run_to_run(reached: Reach, source: Place) -> Any:
    """Returns the messages of a spike from each run of the source's positions to each run of the target's.

    The array is [source runs, target runs]; its sum is the mean number of runs that a spike reaches.
    """
    import numpy as np

    runs = source.grid.positions
    if reached.runs is None:
        return np.full((runs, reached.of), 1.0 / runs)
    place = reached.sources * source.layer.positions // reached.inputs
    met = np.zeros((runs, reached.of))
    np.add.at(met, (runs_of(place, source.layer.positions, runs), reached.runs), 1.0 / reached.inputs)
    return met


def _mean_distances(weights: Any, source: Place, target: Place, mesh: Mesh) -> tuple[float, float]:
    """Returns the hops along both axes of the mesh that a spike's messages make together.

    Spikes leave equally often from each run of channels, and go to every one.
    """
    import numpy as np

    sums = [0.0, 0.0]
    for i in range(source.grid.channels):
        for j in range(target.grid.channels):
            a, b = _tiles(source, i, mesh), _tiles(target, j, mesh)
            for axis in (0, 1):
                far = np.abs(a[axis][:, None] - b[axis][None, :])
                sums[axis] += float((weights * far).sum()) / source.grid.channels
    return sums[0], sums[1]


def _tiles(place: Place, column: int, mesh: Mesh) -> tuple[Any, Any]:
    """Returns the east-west and north-south coordinates of the tiles that hold one run of channels."""
    import numpy as np

    core = place.first + column * place.grid.positions + np.arange(place.grid.positions)
    tile = core // mesh.cores_per_tile
    return tile // mesh.height, tile % mesh.height

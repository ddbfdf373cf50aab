"""Layers onto cores: each layer alone on its cores, cut into as few as the tightest limit allows.

A layer is cut into P runs of positions × C runs of channels, as even as they go: a core holds one run of positions of
one run of channels. Of all cuts that keep every limit, the one with the fewest cores is taken, and of those the one
with the fewest runs of channels, since a spike reaches all runs of channels but not all runs of positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from snnprof.mapping.chip import Chip, Cores
from snnprof.mapping.network import Connection, Layer

HELD = ("neurons", "synapses", "synapse_bits", "fan_in", "axons_in")
"""Limits of a core that decide how a layer is cut. How many ways out its neurons need depends on where others lie: that
is looked at afterwards."""


@dataclass(frozen=True)
class Grid:
    """How a layer is cut.

    Attributes:
        positions, channels: numbers of runs.
        kind: index of the kind of core that holds it.
        limits: what stopped it from fewer cores.
        broken: limits that no cut keeps, with what the layer needs and what there is.
        given: somebody chose the cut, and answers for limits that it breaks.
    """

    positions: int
    channels: int
    kind: int = 0
    limits: tuple[str, ...] = ()
    broken: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    given: bool = False

    @property
    def placed(self) -> bool:
        return self.given or not self.broken

    @property
    def cores(self) -> int:
        return self.positions * self.channels


@dataclass
class Packer:
    """Cuts one layer for one chip; remembers what was worked out about its inputs."""

    layer: Layer
    chip: Chip

    def __post_init__(self) -> None:
        self._axons: dict[int, int] = {}

    def packed(self) -> list[Grid]:
        """The smallest cut on each kind of core, best first: no limit broken, fewest cores, smallest kind."""
        grids = [self._on(index, kind) for index, kind in enumerate(self.chip.cores)]
        return sorted(grids, key=lambda grid: (len(grid.broken), grid.cores, grid.kind))

    def given(self, positions: int, channels: int) -> list[Grid]:
        """A cut that somebody chose on each kind of core, with the limits that it breaks; fewest broken first."""
        grids = [
            Grid(positions, channels, index, (), self._broken(positions, channels, kind), given=True)
            for index, kind in enumerate(self.chip.cores)
        ]
        return sorted(grids, key=lambda grid: (len(grid.broken), grid.kind))

    def need(self, name: str, positions: int, channels: int) -> int:
        """What the fullest core of a cut needs of a limit."""
        rows = math.ceil(self.layer.positions / positions)
        columns = math.ceil(self.layer.channels / channels)
        if name == "neurons":
            return rows * columns
        if name == "fan_in":
            return sum(each.fan_in for each in self.layer.connections)
        if name == "axons_in":
            return self._axons_in(positions)
        stored = sum(self._stored(each, rows, columns) for each in self.layer.connections)
        bits = self.chip.weight_bits.value if self.chip.weight_bits else 0
        return stored * bits if name == "synapse_bits" else stored

    @property
    def _is_whole(self) -> bool:
        return self.chip.one_core_per_layer or self.chip.is_one_core

    def _stored(self, connection: Connection, rows: int, columns: int) -> int:
        return columns * connection.fan_in * (1 if self.chip.shared_kernels else rows)

    def _axons_in(self, positions: int) -> int:
        """Of a kernel that positions share, each position has one axon, whichever of its channels spikes."""
        if positions not in self._axons:
            self._axons[positions] = sum(
                reach(each, self.layer.positions, positions).sources_of_fullest()
                * (1 if self.chip.shared_kernels and each.inputs > 1 else each.channels_in)
                for each in self.layer.connections
            )
        return self._axons[positions]

    def _on(self, index: int, kind: Cores) -> Grid:
        """The smallest cut on one kind of core; limits that no cut keeps are named, and the others kept."""
        finest = (1, 1) if self._is_whole else (self.layer.positions, self.layer.channels)
        broken = self._broken(*finest, kind)
        limits = {name: limit for name, limit in _limits(kind).items() if name not in broken}
        if self._is_whole:
            return Grid(1, 1, index, (), broken)
        positions, channels = self._smallest(limits)
        return Grid(positions, channels, index, self._stoppers(positions, channels, limits), broken)

    def _broken(self, positions: int, channels: int, kind: Cores) -> dict[str, tuple[int, int]]:
        needs = {name: (self.need(name, positions, channels), limit) for name, limit in _limits(kind).items()}
        return {name: (need, limit) for name, (need, limit) in needs.items() if need > limit}

    def _smallest(self, limits: Mapping[str, int]) -> tuple[int, int]:
        best: tuple[int, int] | None = None
        for channels in _useful_runs(self.layer.channels):
            if best and channels >= best[0] * best[1]:
                break
            at_most = self.layer.positions if best is None else min(self.layer.positions, _below(best, channels))
            positions = self._fewest_runs(channels, at_most, limits)
            if positions is not None and (best is None or positions * channels < best[0] * best[1]):
                best = positions, channels
        return best or (self.layer.positions, self.layer.channels)

    def _fewest_runs(self, channels: int, at_most: int, limits: Mapping[str, int]) -> int | None:
        """The fewest runs of positions that keep the limits; more runs never need more of a core."""
        if at_most < 1 or not self._keeps(at_most, channels, limits):
            return None
        low, high = 1, at_most
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._keeps(middle, channels, limits) else (middle + 1, high)
        return low

    def _keeps(self, positions: int, channels: int, limits: Mapping[str, int]) -> bool:
        return all(self.need(name, positions, channels) <= limit for name, limit in limits.items())

    def _stoppers(self, positions: int, channels: int, limits: Mapping[str, int]) -> tuple[str, ...]:
        """Limits that one run less would break."""
        fewer = [cut for cut in ((positions - 1, channels), (positions, channels - 1)) if min(cut) >= 1]
        return tuple(name for name, limit in limits.items() if any(self.need(name, *cut) > limit for cut in fewer))


def _useful_runs(channels: int) -> Iterator[int]:
    """Numbers of runs of channels in which the longest run is shorter than in all before.

    >>> list(_useful_runs(10))
    [1, 2, 3, 4, 5, 10]
    """
    runs = 1
    while True:
        yield runs
        longest = math.ceil(channels / runs)
        if longest <= 1:
            return
        runs = math.ceil(channels / (longest - 1))


def _below(best: tuple[int, int], channels: int) -> int:
    """The most runs of positions with which a cut has fewer cores than the best."""
    return (best[0] * best[1] - 1) // channels


def _limits(kind: Cores) -> dict[str, int]:
    """What a core holds, by name."""
    return {name: limit.value for name in HELD if (limit := getattr(kind, name))}


@dataclass(frozen=True)
class Reach:
    """Which input positions of an operation reach which runs of a layer's positions, as pairs without repeats.

    Attributes:
        sources, runs: one entry per pair; null where each source reaches each run.
    """

    inputs: int
    of: int
    sources: Any = None
    runs: Any = None

    def sources_of_fullest(self) -> int:
        """Input positions that reach the run that most of them reach."""
        import numpy as np

        return self.inputs if self.runs is None else int(np.bincount(self.runs, minlength=1).max())

    def mean(self) -> float:
        """Runs that an input position reaches, on average over all positions."""
        return float(self.of) if self.runs is None else len(self.runs) / self.inputs


def reach(connection: Connection, positions: int, runs: int) -> Reach:
    """How the inputs of an operation meet a layer that is cut into runs of positions.

    Where something pools between the operation and the layer, a run holds the same share of the outputs as of the
    neurons.
    """
    import numpy as np

    if connection.links is None:
        return Reach(connection.inputs, runs)
    near, far = connection.links
    run = runs_of(far * positions // connection.outputs, positions, runs)
    pairs = np.unique(near * runs + run)
    return Reach(connection.inputs, runs, pairs // runs, pairs % runs)


def runs_of(places: Any, positions: int, runs: int) -> Any:
    """The run of each position, of runs as even as they go, the longer ones first.

    >>> import numpy as np
    >>> runs_of(np.arange(5), 5, 2).tolist()
    [0, 0, 0, 1, 1]
    """
    import numpy as np

    size, longer = divmod(positions, runs)
    edge = longer * (size + 1)
    return np.where(places < edge, places // (size + 1), longer + (places - edge) // max(1, size))


def on_kinds(choices: Sequence[Sequence[Grid]], chip: Chip) -> list[Grid]:
    """One cut of each layer, so that the kinds of core of one chip last: layers with the fewest kinds choose first.

    Args:
        choices: the cuts of each layer on each kind of core, best first.
    """
    free = [kind.count.value for kind in chip.cores]
    chosen = [grids[0] for grids in choices]
    able = [[grid for grid in grids if len(grid.broken) == len(grids[0].broken)] for grids in choices]
    for index in sorted(range(len(choices)), key=lambda index: len(able[index])):
        grids = able[index]
        chosen[index] = next((grid for grid in grids if free[grid.kind] >= grid.cores), grids[0])
        free[chosen[index].kind] -= chosen[index].cores
    return chosen


def chips_of(cores: Iterable[tuple[int, int]], chip: Chip) -> int:
    """Chips that hold so many cores of each kind."""
    used: dict[int, int] = {}
    for kind, count in cores:
        used[kind] = used.get(kind, 0) + count
    return max((math.ceil(count / chip.cores[kind].count.value) for kind, count in used.items()), default=0)

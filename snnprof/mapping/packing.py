"""Packs layers onto cores: each layer alone on its cores, cut into as few as the tightest limit allows.

A layer is cut into P runs of positions × C runs of channels, as even as possible: a core holds one run of positions of
one run of channels. Of all cuts that keep every limit, the packer takes the one with the fewest cores, and of those the
one with the fewest runs of channels, since a spike reaches all runs of channels but not all runs of positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from snnprof.mapping.chip import Chip, Cores
from snnprof.mapping.network import Connection, Layer

HELD = ("neurons", "synapses", "synapse_bits", "fan_in", "axons_in")
"""Limits of a core that decide how a layer is cut. The limit `axons_out` is checked afterwards, since the number of
ways out of a core depends on where the other layers lie."""


@dataclass(frozen=True)
class Grid:
    """How a layer is cut.

    Attributes:
        positions: number of runs of positions.
        channels: number of runs of channels.
        kind: index of the kind of core that holds it.
        limits: limits that one run less would break.
        broken: limit that no cut keeps → (what the layer needs, what there is).
        given: the user chose the cut, so the layer has a place even if the cut breaks limits.
    """

    positions: int
    channels: int
    kind: int = 0
    limits: tuple[str, ...] = ()
    broken: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    given: bool = False

    @property
    def placed(self) -> bool:
        """Whether the layer has a place."""
        return self.given or not self.broken

    @property
    def cores(self) -> int:
        """Number of cores."""
        return self.positions * self.channels


@dataclass
class Packer:
    """Cuts one layer for one chip, and caches the input axons of each cut."""

    layer: Layer
    chip: Chip

    def __post_init__(self) -> None:
        self._axons: dict[int, int] = {}

    def packed(self) -> list[Grid]:
        """Returns the smallest cut on each kind of core, best first: fewest broken limits, fewest cores, first kind."""
        grids = [self._on(index, kind) for index, kind in enumerate(self.chip.cores)]
        return sorted(grids, key=lambda grid: (len(grid.broken), grid.cores, grid.kind))

    def given(self, positions: int, channels: int) -> list[Grid]:
        """Returns a cut that the user chose, on each kind of core, with the limits that it breaks.

        Fewest broken first.
        """
        grids = [
            Grid(positions, channels, index, (), self._broken(positions, channels, kind), given=True)
            for index, kind in enumerate(self.chip.cores)
        ]
        return sorted(grids, key=lambda grid: (len(grid.broken), grid.kind))

    def need(self, name: str, positions: int, channels: int) -> int:
        """Returns what the fullest core of a cut needs of a limit."""
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
        """Returns the input axons of the fullest core.

        With shared kernels each position has one axon, whichever of its channels spikes.
        """
        if positions not in self._axons:
            self._axons[positions] = sum(
                reach(each, self.layer.positions, positions).sources_of_fullest()
                * (1 if self.chip.shared_kernels and each.inputs > 1 else each.channels_in)
                for each in self.layer.connections
            )
        return self._axons[positions]

    def _on(self, index: int, kind: Cores) -> Grid:
        """Returns the smallest cut on one kind of core; it names limits that no cut keeps, and keeps the others."""
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
        """Returns the cut with the fewest cores that keeps the limits.

        Of several, that with the fewest runs of channels.

        It tries rising numbers of runs of channels, and stops when these alone are as many cores as the best cut has.
        """
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
        """Returns the fewest runs of positions that keep the limits.

        By bisection, since more runs never need more of a core.
        """
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
        """Returns the limits that one run less would break."""
        fewer = [cut for cut in ((positions - 1, channels), (positions, channels - 1)) if min(cut) >= 1]
        return tuple(name for name, limit in limits.items() if any(self.need(name, *cut) > limit for cut in fewer))


def _useful_runs(channels: int) -> Iterator[int]:
    """Yields numbers of runs of channels whose longest run is shorter than with any smaller number.

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
    """Returns the largest number of runs of positions with which a cut has fewer cores than the best one."""
    return (best[0] * best[1] - 1) // channels


def _limits(kind: Cores) -> dict[str, int]:
    """Returns the limits of a core that decide a cut, by name."""
    return {name: limit.value for name in HELD if (limit := getattr(kind, name))}


@dataclass(frozen=True)
class Reach:
    """Which input positions of an operation reach which runs of a layer's positions, as pairs without repeats.

    Attributes:
        inputs: number of input positions.
        of: number of runs.
        sources: the input position of each pair; None if each source reaches every run.
        runs: the run of each pair; None if each source reaches every run.
    """

    inputs: int
    of: int
    sources: Any = None
    runs: Any = None

    def sources_of_fullest(self) -> int:
        """Returns the number of input positions that reach the run with the most of them."""
        import numpy as np

        return self.inputs if self.runs is None else int(np.bincount(self.runs, minlength=1).max())

    def mean(self) -> float:
        """Returns the number of runs that an input position reaches, on average over all positions."""
        return float(self.of) if self.runs is None else len(self.runs) / self.inputs


def reach(connection: Connection, positions: int, runs: int) -> Reach:
    """Returns how the inputs of an operation reach a layer that is cut into runs of positions.

    If pooling lies between the operation and the layer, a run holds the same share of the outputs as of the neurons.
    """
    import numpy as np

    if connection.links is None:
        return Reach(connection.inputs, runs)
    near, far = connection.links
    run = runs_of(far * positions // connection.outputs, positions, runs)
    pairs = np.unique(near * runs + run)
    return Reach(connection.inputs, runs, pairs // runs, pairs % runs)


def runs_of(places: Any, positions: int, runs: int) -> Any:
    """Returns the run of each position; runs are as even as possible, the longer ones first.

    >>> import numpy as np
    >>> runs_of(np.arange(5), 5, 2).tolist()
    [0, 0, 0, 1, 1]
    """
    import numpy as np

    size, longer = divmod(positions, runs)
    edge = longer * (size + 1)
    return np.where(places < edge, places // (size + 1), longer + (places - edge) // max(1, size))


def on_kinds(choices: Sequence[Sequence[Grid]], chip: Chip) -> list[Grid]:
    """Chooses one cut for each layer so that the kinds of core on one chip suffice, if they can.

    `choices` holds for each layer the cuts on each kind of core, best first. Layers that fit on the fewest kinds choose
    first.
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
    """Returns the number of chips that hold the given numbers of cores, each as (kind, number)."""
    used: dict[int, int] = {}
    for kind, count in cores:
        used[kind] = used.get(kind, 0) + count
    return max((math.ceil(count / chip.cores[kind].count.value) for kind, count in used.items()), default=0)

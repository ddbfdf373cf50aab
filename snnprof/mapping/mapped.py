"""A network on a chip: cores, chips, messages and time, and what of the network the chip cannot hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from snnprof.activity import Activity, OpRecord
from snnprof.errors import SnnprofError, unknown
from snnprof.mapping.chip import Chip, Cut
from snnprof.mapping.library import Target, load_target
from snnprof.mapping.network import Layer, layers
from snnprof.mapping.packing import Grid, Packer, chips_of, on_kinds
from snnprof.mapping.routing import Place, Way, messages_of, ways
from snnprof.mapping.timing import step_seconds
from snnprof.traffic import Route, Traffic


@dataclass(frozen=True)
class Placement:
    """A layer on its cores.

    Attributes:
        layer: the layer.
        grid: how it is cut: runs of positions × runs of channels. For a layer that does not fit, the cut that the other
            limits need.
        first: number of its first core; cores are numbered from 0, layer by layer.
        messages: messages per spike, one for each core that it reaches. None if a place to which it goes is unknown, or
            if no weighted operation reads it: then it leaves the network, or reaches neurons without synapses.
    """

    layer: Layer
    grid: Grid
    first: int
    messages: float | None

    @property
    def cores(self) -> int | None:
        """Number of cores; None if a limit of the chip is below what the layer needs, however it is cut."""
        return self.grid.cores if self.grid.placed else None

    @property
    def on_a_core(self) -> int:
        """Neurons on the fullest core."""
        rows, columns = self.layer.positions / self.grid.positions, self.layer.channels / self.grid.channels
        return math.ceil(rows) * math.ceil(columns)


@dataclass(frozen=True)
class Mapping:
    """A run's network on a chip.

    Attributes:
        chip: the chip.
        file: path of the user's own mapping; `""` for the packing of snnprof.
        placements: every layer on its cores.
        unplaced: products of data with data that the chip cannot compute.
        ways: the ways of spikes to layers that have a place.
        together: for a chip with a single core: limit → (what all layers need, what there is), if they need too much.
        step_s: seconds of a time step by the chip's published model; None without a model, or if a layer has no place.
        steps: time steps per inference; None if unknown.
    """

    chip: Chip
    file: str
    placements: tuple[Placement, ...]
    unplaced: tuple[OpRecord, ...]
    ways: tuple[Way, ...]
    together: dict[str, tuple[int, int]]
    step_s: float | None
    steps: int | None

    @property
    def cores(self) -> int:
        """Number of cores of the layers that have a place; a lower bound unless `whole`."""
        if self.chip.is_one_core:
            return 1
        return sum(each.cores or 0 for each in self.placements)

    @cached_property
    def chips(self) -> int:
        """Number of chips with these cores; a lower bound unless `whole`."""
        if self.chip.is_one_core:
            return 1
        return chips_of([(each.grid.kind, each.grid.cores) for each in self.placements if each.grid.placed], self.chip)

    @property
    def whole(self) -> bool:
        """Whether every layer has a place."""
        return all(each.grid.placed for each in self.placements) and not self.together

    @property
    def latency_s(self) -> float | None:
        """Seconds per inference; None if `step_s` or `steps` is."""
        return self.step_s * self.steps if self.step_s is not None and self.steps else None

    @property
    def traffic(self) -> Traffic:
        """Messages and hops of each layer's spikes, for `price(traffic=...)`."""
        return Traffic(Route(), {each.layer.name: self._route(each) for each in self.placements})

    def _route(self, placement: Placement) -> Route:
        if placement.messages is None:
            return Route()
        own = [way for way in self.ways if way.source == placement.layer.name]
        if any(way.east_west is None or way.north_south is None for way in own):
            return Route(placement.messages)
        return Route(
            placement.messages,
            east_west=sum(way.east_west or 0.0 for way in own),
            north_south=sum(way.north_south or 0.0 for way in own),
        )

    @property
    def messages_per_spike(self) -> float | None:
        """Mean number of messages over the spikes of the run for which it is known; None if it is known for none."""
        known = [(each.layer.spikes, each.messages) for each in self.placements if each.messages is not None]
        spikes = sum(count for count, _ in known)
        return sum(count * messages for count, messages in known) / spikes if spikes else None

    def destinations_of(self, name: str) -> float:
        """Counts the cores to which a spike of a layer goes, as far as they are known.

        Args:
            name: name of the layer.

        Returns:
            Cores per spike, on average over the neurons of the layer.
        """
        return sum(way.messages for way in self.ways if way.source == name)


def map_to_chip(activity: Activity | str | Path, chip: Target | str | Path) -> Mapping:
    """Places the layers of a run on the cores of a chip. docs/mapping.md has the rules.

    Args:
        activity: what ran, or the path of its run file.
        chip: id of a bundled chip; or a YAML file with a chip or with a user's own mapping.

    Returns:
        The mapping, for `price(mapping=...)`.

    Raises:
        SnnprofError: there is no such chip or file; or the file does not follow its schema, names a layer that the run
            does not have, or cuts a layer into more runs than it has positions or channels.
    """
    ran = activity if isinstance(activity, Activity) else Activity.load(activity)
    target = chip if isinstance(chip, Target) else load_target(chip)
    found = layers(ran)
    _check_names(target, found)
    grids = _cuts(found, target)
    places = _numbered(found, grids)
    fitting = [place for place in places if place.grid.placed]
    one_chip = chips_of([(place.grid.kind, place.grid.cores) for place in fitting], target.chip) <= 1
    known = ways(fitting, target.chip.mesh if one_chip else None)
    whole = len(fitting) == len(places)
    time, samples = target.chip.time, ran.samples
    seconds = step_seconds(time, target.chip.mesh, fitting, known, samples) if time and samples and whole else None
    products = () if target.chip.data_products else tuple(op for op in ran.ops if len(op.data) > 1)
    unknown_ends = _sources_of(products) | {
        source
        for place in places
        if not place.grid.placed
        for each in place.layer.connections
        for source in each.op.fed_by
    }
    sent = messages_of(known)
    if target.chip.is_one_core:
        sent = {name: min(1.0, each) for name, each in sent.items()}
    return Mapping(
        target.chip,
        target.file,
        tuple(
            Placement(
                place.layer,
                place.grid,
                place.first,
                None if place.layer.name in unknown_ends else sent.get(place.layer.name),
            )
            for place in places
        ),
        products,
        tuple(known),
        _together(places, target.chip),
        seconds,
        ran.run.timesteps or max((layer.steps or 0 for layer in found), default=0) or None,
    )


def _together(places: Sequence[Place], chip: Chip) -> dict[str, tuple[int, int]]:
    """Returns what all layers together need of a chip's only core, for each limit that they exceed."""
    if not chip.is_one_core:
        return {}
    packers = [Packer(place.layer, chip) for place in places]
    sums = {
        name: sum(packer.need(name, 1, 1) for packer in packers) for name in ("neurons", "synapses", "synapse_bits")
    }
    limits = {name: limit.value for name in sums if (limit := getattr(chip.cores[0], name))}
    return {name: (sums[name], limit) for name, limit in limits.items() if sums[name] > limit}


def _sources_of(products: Sequence[OpRecord]) -> set[str]:
    return {source for op in products for source in op.fed_by}


def _check_names(target: Target, found: Sequence[Layer]) -> None:
    names = [layer.name for layer in found]
    for name in target.cores:
        if name not in names:
            raise unknown("layer", name, names, owner=f"{target.file}: the run")


def _cuts(found: Sequence[Layer], target: Target) -> list[Grid]:
    return on_kinds([_cut(Packer(layer, target.chip), target) for layer in found], target.chip)


def _cut(packer: Packer, target: Target) -> list[Grid]:
    own = target.cores.get(packer.layer.name)
    return packer.packed() if own is None else _given(packer, own, target)


def _given(packer: Packer, own: Cut, target: Target) -> list[Grid]:
    layer = packer.layer
    positions, channels = own.positions, own.channels
    if own.cores is not None:
        along = own.cores <= layer.positions
        positions, channels = (own.cores, 1) if along else (1, own.cores)
    if positions > layer.positions or channels > layer.channels:
        raise SnnprofError(
            f"{target.file}: {layer.name} cannot be cut into {positions} × {channels} runs: it has "
            f"{layer.positions} positions × {layer.channels} channels",
            hint="name fewer cores, or positions and channels apart",
        )
    return packer.given(positions, channels)


def _numbered(found: Sequence[Layer], grids: Sequence[Grid]) -> list[Place]:
    places, first = [], 0
    for layer, grid in zip(found, grids, strict=True):
        places.append(Place(layer, grid, first))
        first += grid.cores if grid.placed else 0
    return places

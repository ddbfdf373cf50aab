"""What becomes of spikes between the cores of a chip: how many messages each takes, and over how many routers.

A profile knows what a message and a hop cost; how often they happen depends on which core holds which neurons. That is
what a mapping of layers to cores tells, a chip that counts them, or a simulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from snnprof.errors import SnnprofError


@dataclass(frozen=True)
class Route:
    """The way of a layer's spikes, on average per spike. None: not known.

    Attributes:
        messages: cores it is sent to, each of which takes a message.
        hops: routers that all its messages cross together.
        east_west: those of the hops that go east or west; `hops` is the sum of both directions where it is not given.
        north_south: those that go north or south.

    Raises:
        SnnprofError: a figure is negative or no number, or there is only one direction.
    """

    messages: float | None = None
    hops: float | None = None
    east_west: float | None = None
    north_south: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not 0 <= value < float("inf"):
                raise SnnprofError(f"{name} must be a number of at least 0 per spike, not {value:g}")
        if (self.east_west is None) != (self.north_south is None):
            raise SnnprofError("hops by direction need both: east_west and north_south")

    @property
    def all_hops(self) -> float | None:
        """Hops in whatever direction."""
        if self.hops is not None or self.east_west is None or self.north_south is None:
            return self.hops
        return self.east_west + self.north_south


@dataclass(frozen=True)
class Traffic:
    """Routes of a network's spikes.

    Attributes:
        route: of the neuron layers that `layers` does not name.
        layers: routes by neuron layer.
    """

    route: Route = Route()
    layers: Mapping[str, Route] = field(default_factory=dict)

    def of(self, layer: str) -> Route:
        """The way of one layer's spikes."""
        return self.layers.get(layer, self.route)

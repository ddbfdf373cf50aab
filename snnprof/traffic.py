"""How many messages a spike takes between the cores of a chip, and how many routers these cross.

A profile knows the price of a message and of a hop. Their number depends on which core holds which neurons: a mapping
of layers to cores, the chip itself or a simulator gives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from snnprof.errors import SnnprofError


@dataclass(frozen=True)
class Route:
    """The way of a layer's spikes, on average per spike. None means unknown.

    Attributes:
        messages: messages per spike: one for each core that it is sent to.
        hops: routers that all these messages cross together.
        east_west: hops in the directions east and west. Without `hops`, the sum of both directions counts.
        north_south: hops in the directions north and south.

    Raises:
        SnnprofError: a figure is negative, infinite or NaN, or only one of the directions is given.
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
        """Hops in any direction; None if unknown."""
        if self.hops is not None or self.east_west is None or self.north_south is None:
            return self.hops
        return self.east_west + self.north_south


@dataclass(frozen=True)
class Traffic:
    """The routes of a network's spikes.

    Attributes:
        route: the route of neuron layers that `layers` does not name.
        layers: name of a neuron layer → its route.
    """

    route: Route = Route()
    layers: Mapping[str, Route] = field(default_factory=dict)

    def of(self, layer: str) -> Route:
        """Returns the route of one layer's spikes.

        Args:
            layer: name of the neuron layer.

        Returns:
            Its own route, or the one for all other layers.
        """
        return self.layers.get(layer, self.route)

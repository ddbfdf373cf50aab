"""The schema of a chip: what its cores hold, how its spikes travel, and who says so. One YAML file per chip.

A limit that nobody published is left out: what it would decide stays unknown, and it stops no layer. The schema is in
docs/mapping.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from snnprof.hardware import Number, Source

CHIP, MAPPING = "snnprof.chip/1", "snnprof.mapping/1"
"""The schemas of a chip, and of a mapping of one's own onto a chip."""
LARGEST = 2**53

Kind = Literal["conv", "linear", "sparse"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def whole(value: Any) -> Any:
    """A whole number from 1 on; YAML readers make 1e6 a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= LARGEST:
        raise ValueError(f"must be a whole number from 1 on, not {value!r}")
    if value != int(value):
        raise ValueError(f"must be a whole number, not {value!r}")
    return int(value)


Count = Annotated[int, BeforeValidator(whole)]
Seconds = Number


class Limit(_Record):
    """At most so many; `source` is the id of an entry of `sources`."""

    value: Count
    source: str | None = None
    note: str | None = None


def _limit(value: Any) -> Any:
    return value if isinstance(value, (dict, Limit)) else {"value": value}


LimitField = Annotated[Limit, BeforeValidator(_limit)]


class Cores(_Record):
    """Cores of one kind.

    Attributes:
        count: of them on a chip.
        neurons: that a core holds.
        synapses: stored on a core; synapse_bits: the memory for them, of `weight_bits` each.
        fan_in: synapses of one neuron.
        axons_in: sources whose spikes a core can take; of a shared kernel, positions.
        axons_out: spikes' ways out of a core: Σ over its neurons of the cores that each sends to.
    """

    count: LimitField
    neurons: LimitField | None = None
    synapses: LimitField | None = None
    synapse_bits: LimitField | None = None
    fan_in: LimitField | None = None
    axons_in: LimitField | None = None
    axons_out: LimitField | None = None


OF_A_CORE = tuple(name for name in Cores.model_fields if name != "count")


class Mesh(_Record):
    """Routers in rows and columns, each with a tile of cores; tiles are numbered column by column."""

    width: Count
    height: Count
    cores_per_tile: Count
    source: str | None = None
    note: str | None = None


class Barrier(_Record):
    """Seconds that ending a step takes from so many tiles in use on."""

    tiles: Count
    seconds: Seconds


class Time(_Record):
    """Seconds of a time step: one figure, or what a core needs for each event.

    Attributes:
        step: a time step, whatever happens in it.
        neuron: looking at one neuron; driven_neuron: updating one with input, beside that.
        spike: a spike leaving its neuron; message_out, message_in: a message leaving, entering a core.
        synapse: one synaptic event, by kind of synapse; what is not there costs what `linear` costs.
        barrier: ending a step: the entry of the most tiles that are in use.
    """

    step: Seconds | None = None
    neuron: Seconds = 0.0
    driven_neuron: Seconds = 0.0
    spike: Seconds = 0.0
    message_out: Seconds = 0.0
    message_in: Seconds = 0.0
    synapse: dict[Kind, Seconds] = Field(default_factory=dict)
    barrier: list[Barrier] = Field(default_factory=list)
    source: str | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _one_model(self) -> Time:
        events = self.model_fields_set - {"step", "source", "note"}
        if (self.step is None) == (not events):
            raise ValueError("needs either step, or the seconds of single events")
        if events and "linear" not in self.synapse:
            raise ValueError("synapse needs linear, the seconds of an event of a dense layer")
        return self


class Chip(_Record):
    """A chip as far as a mapping of layers to its cores depends on it.

    Attributes:
        prices: hardware profiles whose prices are this chip's.
        cores: by kind.
        destinations: cores that one neuron can send its spikes to; null where not limited or not known.
        weight_bits: of a stored weight, where memory is given in bits.
        shared_kernels: a core stores a kernel that its neurons share once; otherwise each neuron has its own synapses.
        one_core_per_layer: a layer cannot be cut. one_chip: the chip does not work together with others of its kind.
        spikes: `binary`, or `graded` where a spike carries a number.
        data_products: the chip multiplies data with data, as attention does.
        mesh: how its routers lie, where hops can be told from that.
    """

    schema_: Literal["snnprof.chip/1"] = Field(alias="schema")
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    title: str
    prices: list[str] = Field(default_factory=list)
    cores: list[Cores] = Field(min_length=1)
    destinations: LimitField | None = None
    weight_bits: LimitField | None = None
    shared_kernels: bool
    one_core_per_layer: bool = False
    one_chip: bool = False
    spikes: Literal["binary", "graded"]
    data_products: bool = False
    mesh: Mesh | None = None
    time: Time | None = None
    sources: list[Source] = Field(min_length=1)
    note: str | None = None

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="after")
    def _is_complete(self) -> Chip:
        if any(kind.synapse_bits for kind in self.cores) and not self.weight_bits:
            raise ValueError("synapse_bits needs weight_bits, the bits of a weight")
        if self.mesh and self.mesh.width * self.mesh.height * self.mesh.cores_per_tile < self.cores_per_chip:
            raise ValueError("mesh has fewer cores than the chip")
        known = {source.id for source in self.sources}
        for name, limit in self.limits():
            if limit.source is not None and limit.source not in known:
                raise ValueError(f"{name}: source {limit.source!r} is not in sources")
        return self

    @property
    def cores_per_chip(self) -> int:
        return sum(kind.count.value for kind in self.cores)

    @property
    def is_one_core(self) -> bool:
        """Whether all layers lie together on the only core."""
        return self.cores_per_chip == 1

    @property
    def has_fixed_step(self) -> bool:
        return self.time is not None and self.time.step is not None

    def limits(self) -> list[tuple[str, Limit]]:
        """Every limit with its name, the kinds of cores one after the other."""
        of_cores = [(name, getattr(kind, name)) for kind in self.cores for name in Cores.model_fields]
        of_chip = [("destinations", self.destinations), ("weight_bits", self.weight_bits)]
        return [(name, limit) for name, limit in of_cores + of_chip if limit]


class Cut(_Record):
    """Cores of a layer in a file of one's own: their number, or its runs of positions and of channels."""

    cores: Count | None = None
    positions: Count = 1
    channels: Count = 1

    @model_validator(mode="after")
    def _one_way(self) -> Cut:
        if (self.cores is None) == self.model_fields_set.isdisjoint({"positions", "channels"}):
            raise ValueError("needs a number of cores, or positions and channels, not both")
        return self


def _cut(value: Any) -> Any:
    return value if isinstance(value, (dict, Cut)) else {"cores": value}


CutField = Annotated[Cut, BeforeValidator(_cut)]


class MappingFile(_Record):
    """A mapping of one's own: another number of cores for some layers, other limits.

    Attributes:
        chip: id of a chip.
        cores: cores by layer; layers that are not named are packed.
        limits: instead of the chip's, for a core of any kind.
        weight_bits: instead of the chip's.
    """

    schema_: Literal["snnprof.mapping/1"] = Field(alias="schema")
    chip: str
    cores: dict[str, CutField] = Field(default_factory=dict)
    limits: dict[str, Count | None] = Field(default_factory=dict)
    weight_bits: Count | None = None
    note: str | None = None

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="after")
    def _limits_exist(self) -> MappingFile:
        for name in self.limits:
            if name not in OF_A_CORE:
                raise ValueError(f"limits: unknown limit {name!r}; known: {', '.join(OF_A_CORE)}")
        return self

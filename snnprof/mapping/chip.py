"""The schema of a chip: what its cores hold, how its spikes travel, and who says so. One YAML file per chip.

A limit that nobody published is left out: it restricts no layer, and what would follow from it stays unknown.
docs/mapping.md explains the schema.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from snnprof.hardware import Number, Source

CHIP, MAPPING = "snnprof.chip/1", "snnprof.mapping/1"
"""Names and versions of two file formats: a chip, and a user's own mapping onto a chip."""
LARGEST = 2**53

Kind = Literal["conv", "linear", "sparse"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def whole(value: Any) -> Any:
    """Checks that a value is an integer of at least 1 and returns it.

    YAML readers make 1e6 a float, so a float with an integer value passes.

    Raises:
        ValueError: it is not such a number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= LARGEST:
        raise ValueError(f"must be a whole number from 1 on, not {value!r}")
    if value != int(value):
        raise ValueError(f"must be a whole number, not {value!r}")
    return int(value)


Count = Annotated[int, BeforeValidator(whole)]
Seconds = Number


class Limit(_Record):
    """A number that something must not exceed.

    Attributes:
        value: the number.
        source: id of an entry of `sources`; None if the file does not say which.
        note: what a reader must know about it.
    """

    value: Count
    source: str | None = None
    note: str | None = None


def _limit(value: Any) -> Any:
    return value if isinstance(value, (dict, Limit)) else {"value": value}


LimitField = Annotated[Limit, BeforeValidator(_limit)]


class Cores(_Record):
    """One kind of core of a chip. None means that a limit is unknown: it restricts nothing.

    Attributes:
        count: number of cores of this kind on a chip.
        neurons: neurons on a core.
        synapses: synapses stored on a core.
        synapse_bits: memory for synapses on a core, in bits; each synapse takes `weight_bits`.
        fan_in: synapses of one neuron.
        axons_in: sources whose spikes a core can take; for a shared kernel, positions.
        axons_out: ways of spikes out of a core: Σ over its neurons of the cores to which each sends.
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
    """Routers in rows and columns, each with a tile of cores. Tiles are numbered column by column.

    Attributes:
        width: number of columns.
        height: number of rows.
        cores_per_tile: cores at each router.
        source: id of an entry of `sources`.
        note: what a reader must know about it.
    """

    width: Count
    height: Count
    cores_per_tile: Count
    source: str | None = None
    note: str | None = None


class Barrier(_Record):
    """What it takes to end a step. Of several, the one with the most tiles that are in use applies.

    Attributes:
        tiles: from this number of tiles in use on.
        seconds: seconds per step.
    """

    tiles: Count
    seconds: Seconds


class Time(_Record):
    """Seconds of a time step: either one figure (`step`), or what a core needs for each event.

    Attributes:
        step: seconds of a time step, whatever happens in it.
        neuron: seconds to visit one neuron.
        driven_neuron: seconds to update one neuron with input, in addition to the visit.
        spike: seconds for a spike that leaves its neuron.
        message_out: seconds for a message that leaves the core.
        message_in: seconds for a message that enters the core.
        synapse: kind of synapse → seconds for one synaptic event; kinds that are missing take as long as `linear`.
        barrier: seconds that ending a step takes, by the number of tiles in use.
        source: id of an entry of `sources`.
        note: what a reader must know about the figures.
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
    """The properties of a chip on which the mapping of layers to its cores depends.

    Attributes:
        schema_: name and version of the format; the key in the file is `schema`.
        id: short name, which `--mapping` takes.
        title: name for readers.
        prices: ids of the hardware profiles that hold prices of this chip.
        cores: its kinds of cores.
        destinations: cores to which one neuron can send its spikes; None if unlimited or unknown.
        weight_bits: bits of a stored weight, if memory is given in bits.
        shared_kernels: a core stores a kernel that its neurons share once; otherwise each neuron has its own synapses.
        one_core_per_layer: a layer cannot be cut.
        one_chip: the chip does not work together with others of its kind.
        spikes: `binary`, or `graded` if a spike can carry a number.
        data_products: the chip can multiply data with data, as attention does.
        mesh: the arrangement of its routers, from which hops follow; None if unknown.
        time: the duration of a time step; None if unknown.
        sources: where these facts come from; at least one.
        note: what a reader must know about the chip.
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
        """Number of cores of all kinds."""
        return sum(kind.count.value for kind in self.cores)

    @property
    def is_one_core(self) -> bool:
        """Whether all layers lie together on the only core."""
        return self.cores_per_chip == 1

    @property
    def has_fixed_step(self) -> bool:
        """Whether a time step has the same duration whatever happens in it."""
        return self.time is not None and self.time.step is not None

    def limits(self) -> list[tuple[str, Limit]]:
        """Lists every known limit, kind of core by kind of core, then those of the whole chip.

        Returns:
            Pairs of the limit's name and the limit.
        """
        of_cores = [(name, getattr(kind, name)) for kind in self.cores for name in Cores.model_fields]
        of_chip = [("destinations", self.destinations), ("weight_bits", self.weight_bits)]
        return [(name, limit) for name, limit in of_cores + of_chip if limit]


class Cut(_Record):
    """How a user's file cuts one layer: into a number of cores, or into runs of positions × runs of channels.

    Attributes:
        cores: number of cores; None if the file gives positions and channels.
        positions: number of runs of positions.
        channels: number of runs of channels.
    """

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
    """A user's own mapping: other numbers of cores for some layers, other limits.

    Attributes:
        schema_: name and version of the format; the key in the file is `schema`.
        chip: id of a bundled chip.
        cores: name of a layer → how it is cut; other layers are packed.
        limits: name of a limit → number that replaces the chip's, for every kind of core; None removes the limit.
        weight_bits: replaces the chip's.
        note: what a reader must know about the mapping.
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

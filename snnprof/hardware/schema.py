"""The schema of a hardware profile: what a machine's operations cost, and who says so.

Energies are picojoules. `null` (or leaving a key out) means unknown: such work is listed as unpriced, never priced at
zero. docs/hardware.md explains the schema; `snnprof/hardware.schema.json` is the same for editors.
"""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from snnprof.units import PICOJOULES

SCHEMA = "snnprof.hardware/1"

Kind = Literal["digital", "analog", "system"]
Scope = Literal["compute", "per_term", "unstated", "incremental", "all_in"]
Evidence = Literal["measured", "simulated", "synthesis", "derived", "arithmetic", "convention", "unstated"]
EVIDENCE: tuple[Evidence, ...] = (
    "measured", "simulated", "synthesis", "derived", "arithmetic", "convention", "unstated",
)  # fmt: skip
Component = Literal[
    "arithmetic", "weight_read", "potential_rw", "neuron_update", "routing", "io", "static", "leakage", "host"
]
WHOLE: tuple[Scope, ...] = ("all_in", "unstated")
Synapse = Literal["conv", "linear", "sparse", "matmul"]
SYNAPSES: tuple[Synapse, ...] = ("conv", "linear", "sparse", "matmul")
"""Kinds of synaptic operations that a chip may price apart: those of convolutions, of linear layers, of sparse linear
layers, and of products of data with data."""

_QUANTITY = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\W\d]\S*)")


def picojoules(text: str) -> float:
    """Converts a quantity with its unit, such as `77 fJ`, to picojoules. Units are case-sensitive.

    Raises:
        ValueError: the text has no unit, or its unit is not one of energy.
    """
    match = _QUANTITY.fullmatch(text.strip().replace("\u03bc", "\u00b5"))
    if not match:
        raise ValueError(f"must be a number of picojoules or a text with a unit such as '77 fJ', not {text!r}")
    number, unit = match.groups()
    if unit not in PICOJOULES:
        raise ValueError(f"unknown energy unit {unit!r}: use one of {', '.join(PICOJOULES)}")
    return float(number) * PICOJOULES[unit]


def _energy(value: Any) -> Any:
    return _number(picojoules(value) if isinstance(value, str) else value)


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"must be a number, not {value!r}")
    if not abs(value) <= sys.float_info.max:  # true of NaN, infinity, and integers that no float can hold
        raise ValueError("must be finite")
    if value < 0:
        raise ValueError("must not be negative")
    return float(value)


_ENERGY_SCHEMA = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _QUANTITY.pattern}]}
Picojoules = Annotated[float, BeforeValidator(_energy), WithJsonSchema(_ENERGY_SCHEMA)]
Number = Annotated[float, BeforeValidator(_number), WithJsonSchema({"type": "number", "minimum": 0})]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Price(_Record):
    """What one event costs.

    Attributes:
        value: picojoules.
        low: lower end of the published range, in picojoules; None without one.
        high: upper end of the published range, in picojoules; None without one.
        source: id of an entry of `sources`; None: the first of them.
        evidence: how well this price is known; None: as well as the profile says of all its prices.
        note: what a reader must know about the price.
    """

    value: Picojoules
    low: Picojoules | None = None
    high: Picojoules | None = None
    source: str | None = None
    evidence: Evidence | None = None
    note: str | None = None


def _price(value: Any) -> Any:
    return value if isinstance(value, (dict, Price)) else {"value": value}


_PRICE_SCHEMA = {"anyOf": [*_ENERGY_SCHEMA["anyOf"], {"$ref": "#/$defs/Price"}]}
PriceField = Annotated[Price, BeforeValidator(_price)]


class Technology(_Record):
    """The process in which the chip is made, and its conditions.

    Attributes:
        node_nm: technology node in nanometres; None if unknown.
        vdd_v: supply voltage in volts; None if the source gives none.
        process: name of the process, such as `FinFET`.
        temperature_c: temperature in degrees Celsius.
        clock_hz: clock frequency in hertz.
        note: what a reader must know about them.
    """

    node_nm: Number | None
    vdd_v: Number | None = None
    process: str | None = None
    temperature_c: float | None = None
    clock_hz: Number | None = None
    note: str | None = None


class OperatingPoint(_Record):
    """The conditions under which a figure for a whole chip holds. None means that the source does not say.

    Attributes:
        rate_hz: firing rate in spikes per neuron and second.
        synapses_per_neuron: active synapses of each neuron.
        activity: activity factor, as the source defines it.
        chip_power_w: power of the whole chip in watts.
        note: the same in words.
    """

    rate_hz: Number | None = None
    synapses_per_neuron: Number | None = None
    activity: Number | None = None
    chip_power_w: Number | None = None
    note: str | None = None


class Precision(_Record):
    """Number formats, such as `fp32`, `int8`, `binary` or `analog`. Digits at the end are the width in bits.

    Attributes:
        weight: format of a weight.
        activation: format of an input.
        accumulator: format of a sum or a membrane potential.
        note: what a reader must know about them.
    """

    weight: str
    activation: str
    accumulator: str
    note: str | None = None


class Energy(_Record):
    """Picojoules per event. A price that is missing (None) is unknown.

    Attributes:
        mac: one multiply-accumulate.
        ac: one accumulate: the addition alone.
        sop: one whole synaptic operation. If it is missing, `ac` takes its place, never the other way round.
        sop_conv: one synaptic operation of a convolution. If it or one of the next three is missing, `sop` takes its
            place.
        sop_linear: one synaptic operation of a linear layer.
        sop_sparse: one synaptic operation of a linear layer with few non-zero weights (see `sparse_below`).
        sop_matmul: one synaptic operation of a product of data with data.
        neuron_update: one neuron-step with input.
        neuron_update_idle: one neuron-step without input. If it is missing, `neuron_update` takes its place.
        spike_out: one spike that leaves its neuron.
        spike_in: one spike that arrives at a core.
        message: one message, which takes a spike out to one of the cores that receive it.
        hop: one message that crosses one router.
        hop_east_west: the same in the directions east and west.
        hop_north_south: the same in the directions north and south.
        mul: one element-wise multiplication.
        add: one element-wise addition. If it is missing, `ac` takes its place.
        compare: one element-wise comparison.
        learn_update: one update of a weight that learns on the chip; no inference has any.
    """

    mac: PriceField | None = None
    ac: PriceField | None = None
    sop: PriceField | None = None
    sop_conv: PriceField | None = None
    sop_linear: PriceField | None = None
    sop_sparse: PriceField | None = None
    sop_matmul: PriceField | None = None
    neuron_update: PriceField | None = None
    neuron_update_idle: PriceField | None = None
    spike_out: PriceField | None = None
    spike_in: PriceField | None = None
    message: PriceField | None = None
    hop: PriceField | None = None
    hop_east_west: PriceField | None = None
    hop_north_south: PriceField | None = None
    mul: PriceField | None = None
    add: PriceField | None = None
    compare: PriceField | None = None
    learn_update: PriceField | None = None


class Level(_Record):
    """One memory of a hierarchy.

    Attributes:
        name: such as `8 KB` or `DRAM`.
        capacity_bytes: its size in bytes; None for the last level, which holds everything.
        read: picojoules per access that reads.
        write: picojoules per access that writes.
    """

    name: str
    capacity_bytes: Number | None
    read: PriceField
    write: PriceField


class Coefficients(_Record):
    """A price of memory that grows with the size of the tensor: intercept + slope · bits.

    Attributes:
        slope_pj_per_bit: picojoules per access for each bit of the tensor.
        intercept_pj: picojoules per access to an empty memory.
    """

    slope_pj_per_bit: Number
    intercept_pj: Number


class Memory(_Record):
    """What it costs to read or write a word.

    Attributes:
        access_bits: width of one access in bits; a wider word takes several accesses.
        levels: memories by rising capacity; a tensor lives in the first that holds it.
        interpolate: how a price follows from the size of a tensor. `none`: the price of its level. `clamp-linear`:
            between the capacities of two levels, constant beyond both ends. `linear`: from `coefficients`.
        coefficients: intercept and slope for `linear`.
        per_byte: one price for every byte, instead of levels.
        weight_bit: a price for each bit of a weight that is read, instead of all these.
        state_bit: a price for each bit of a state that is read or written, instead of all these.
        accesses: which accesses count. `events`: one weight read, one state read and written per event. `lemaire2022`:
            as in E. Lemaire et al. (ICONIP 2022, arXiv 2210.13107), which ignores padding and stride. `reuse`: the
            traffic between levels under `dataflow`, see docs/reuse.md.
        dataflow: for `reuse`, what stays in the first level: `weight`, `output` or `row`.
    """

    access_bits: int = Field(default=32, gt=0)
    interpolate: Literal["none", "linear", "clamp-linear"] = "none"
    levels: list[Level] = Field(default_factory=list)
    coefficients: Coefficients | None = None
    per_byte: PriceField | None = None
    weight_bit: PriceField | None = None
    state_bit: PriceField | None = None
    accesses: Literal["events", "lemaire2022", "reuse"] = "events"
    dataflow: Literal["weight", "output", "row"] | None = None


class Static(_Record):
    """Power that a machine draws whether or not anything spikes. A latency turns it into energy.

    Attributes:
        power_w: watts per chip or core.
        per: `chip` or `core`.
        capacity_neurons: neurons that one of them has room for; None: one takes the whole network.
        latency_s: seconds per inference, if neither the user nor a mapping gives them.
        source: id of an entry of `sources`.
        note: what a reader must know about the figure.
    """

    power_w: Number
    per: Literal["chip", "core"]
    capacity_neurons: Number | None = None
    latency_s: Number | None = None
    source: str | None = None
    note: str | None = None


class Source(_Record):
    """A publication or a log that a price comes from.

    Attributes:
        id: the name by which prices refer to it.
        citation: authors, title, venue and year.
        doi: its DOI.
        url: its address.
        locator: the table, figure or page.
        sha256: hash of a user's own power log, in 64 hexadecimal digits.
        access: `read` (we read it), `secondary` (we read another work that quotes it) or `memory` (neither).
        note: what a reader must know about it.
    """

    id: str
    citation: str | None = None
    doi: str | None = None
    url: str | None = None
    locator: str | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="of a power log of one's own")
    access: Literal["read", "secondary", "memory"]
    note: str | None = None


class HardwareProfile(_Record):
    """Prices with their sources, what they cover, and how well they are known. docs/hardware.md explains the fields.

    Attributes:
        schema_: name and version of the format; the key in the file is `schema`.
        id: short name; also the name of the file.
        title: name for readers.
        kind: kind of machine: `digital`, `analog` or `system`.
        scope: what a price covers: `compute`, `per_term`, `incremental`, `all_in` or `unstated`.
        evidence: how well the prices are known, from `measured` to `unstated`.
        technology: process and conditions.
        precision: number formats.
        energy: the prices.
        operating_point: the conditions under which a figure for a whole chip holds; None for other figures.
        memory: prices of memory accesses; None if the prices exclude them or contain them.
        static: power at rest; None if unknown.
        includes: components that the prices cover.
        excludes: components that they do not cover.
        supersedes: events that another price already contains, such as `sop` in `neuron_update`: they are not priced
            again.
        messages_per_spike: number of cores that a spike is sent to, if no mapping of layers to cores gives it.
        sparse_below: a linear layer counts as sparse if its share of non-zero weights is below this (0 to 1).
        derived_from: ids of the measured cases (`snnprof hardware validate`) from which the prices were derived, so
            that these cases cannot check them.
        reference_ann: id of the profile with fair prices for an ANN; None if there is none.
        unverified: fields that were filled in without a source, such as `energy.mac`.
        sources: where the prices come from; at least one.
        note: what a reader must know about the profile.
    """

    schema_: Literal["snnprof.hardware/1"] = Field(alias="schema", json_schema_extra={"type": "string"})
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    title: str
    kind: Kind
    scope: Scope
    evidence: Evidence
    technology: Technology
    precision: Precision
    energy: Energy
    operating_point: OperatingPoint | None = None
    memory: Memory | None = None
    static: Static | None = None
    includes: list[Component]
    excludes: list[Component]
    supersedes: list[str] = Field(default_factory=list)
    messages_per_spike: Number | None = None
    sparse_below: Number | None = None
    derived_from: list[str] = Field(default_factory=list)
    reference_ann: str | None = None
    unverified: list[str] = Field(default_factory=list)
    sources: list[Source] = Field(min_length=1)
    note: str | None = None

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @property
    def sop(self) -> Price | None:
        """Price of one synaptic operation: `sop`, else `ac`; None if both are unknown."""
        return self.energy.sop or self.energy.ac

    def synapse(self, kind: Synapse) -> Price | None:
        """Returns the price of one synaptic operation of a kind.

        Args:
            kind: `conv`, `linear`, `sparse` or `matmul`.

        Returns:
            Its own price, else that of any synaptic operation; None if unknown.
        """
        price: Price | None = getattr(self.energy, f"sop_{kind}")
        return price or self.sop

    @property
    def add(self) -> Price | None:
        """Price of one element-wise addition: `add`, else `ac`; None if both are unknown."""
        return self.energy.add or self.energy.ac

    def covers(self, component: str) -> bool:
        """Whether another price already contains an event, so that pricing it would count it twice.

        A figure whose source does not state its scope is treated as that of the whole chip.

        Args:
            component: the event, such as `neuron_update` or `static`.

        Returns:
            True if the event must not be priced on its own.
        """
        return component in self.supersedes or self.scope in WHOLE

    def evidence_of(self, price: Price | None) -> Evidence:
        """Returns how well a price is known.

        Args:
            price: one of the profile's prices; None: a price in general.

        Returns:
            The evidence that the price states, else that of the profile.
        """
        return price.evidence if price and price.evidence else self.evidence


def json_schema() -> dict[str, Any]:
    """Makes the JSON Schema of a profile file (`snnprof/hardware.schema.json`)."""
    schema = HardwareProfile.model_json_schema(by_alias=True)
    schema["properties"]["extends"] = {"type": "string", "description": "id of the profile that this one changes"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

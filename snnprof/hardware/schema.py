"""The schema of a hardware profile: what a machine's operations cost, and who says so.

Energies are picojoules. `null` (or leaving a key out) means unknown: such work is listed as unpriced, never priced
at zero. The schema is docs/hardware.md; `snnprof/hardware.schema.json` is the same for editors.
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
"""Kinds of synaptic operations that a chip may price apart: of a convolution, of a linear layer, of a linear layer most
of whose weights are zero, of a product of data with data."""

_QUANTITY = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\W\d]\S*)")


def picojoules(text: str) -> float:
    """A quantity with its unit, such as `77 fJ`, in picojoules. Units are case-sensitive.

    Raises:
        ValueError: it has no unit, or one that is no energy.
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
        low, high: the published range, where there is one.
        source: id of an entry of `sources`; evidence: where it differs from the profile's.
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
    node_nm: Number | None
    vdd_v: Number | None = None
    process: str | None = None
    temperature_c: float | None = None
    clock_hz: Number | None = None
    note: str | None = None


class OperatingPoint(_Record):
    rate_hz: Number | None = None
    synapses_per_neuron: Number | None = None
    activity: Number | None = None
    chip_power_w: Number | None = None
    note: str | None = None


class Precision(_Record):
    weight: str
    activation: str
    accumulator: str
    note: str | None = None


class Energy(_Record):
    """Picojoules per event.

    Attributes:
        mac: multiply-accumulate. ac: accumulate (arithmetic). sop: a whole synaptic operation; where it is not
            given it costs what `ac` costs, never the other way round.
        sop_conv, sop_linear, sop_sparse, sop_matmul: the same of one kind of synapse; what has none costs `sop`.
        neuron_update: one neuron-step with input; neuron_update_idle: without (the same where not given).
        spike_out: one spike leaving its neuron. message: its way out to one of the cores that it is sent to.
        hop: one spike or message crossing one router; hop_east_west, hop_north_south: the same by direction.
        mul, add, compare: one element-wise operation (`add` costs what `ac` costs where not given).
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
    """One memory of a hierarchy: picojoules per access; `capacity_bytes: null` is the last, unbounded one."""

    name: str
    capacity_bytes: Number | None
    read: PriceField
    write: PriceField


class Coefficients(_Record):
    slope_pj_per_bit: Number
    intercept_pj: Number


class Memory(_Record):
    """What reading or writing a word costs.

    Attributes:
        access_bits: width of one access; a wider word takes several.
        levels: memories by capacity; a tensor lives in the first that holds it.
        interpolate: `none`: the level's price; `clamp-linear`: between the capacities of two levels, the ends held;
            `linear`: intercept + slope · bits of the tensor, from `coefficients`.
        per_byte: one price for every byte instead.
        weight_bit, state_bit: a price for each bit of a weight read, of a state read or written, instead of all these.
        accesses: `events`: one weight read, one state read and write per event; `lemaire2022`: that paper's counts,
            which ignore padding and stride; `reuse`: the traffic between levels under `dataflow` (snnprof/reuse.py).
        dataflow: which operand stays in the first level: `weight`, `output` or `row`.
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
    """Power drawn whether or not anything spikes; needs a latency to become energy."""

    power_w: Number
    per: Literal["chip", "core"]
    capacity_neurons: Number | None = None
    latency_s: Number | None = None
    source: str | None = None
    note: str | None = None


class Source(_Record):
    id: str
    citation: str | None = None
    doi: str | None = None
    url: str | None = None
    locator: str | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="of a power log of one's own")
    access: Literal["read", "secondary", "memory"]
    note: str | None = None


class HardwareProfile(_Record):
    """Prices with their sources, what they cover, and how well they are known.

    Attributes:
        messages_per_spike: cores that a spike is sent to, where no mapping of layers to cores says so.
        sparse_below: share of non-zero weights under which a linear layer is stored sparse.
        derived_from: ids of the measured cases (`snnprof hardware validate`) that the prices come from: they cannot
            be checked by these.
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
        """The price of one synaptic operation: `sop`, else `ac`."""
        return self.energy.sop or self.energy.ac

    def synapse(self, kind: Synapse) -> Price | None:
        """The price of one synaptic operation of a kind: its own, else that of any."""
        price: Price | None = getattr(self.energy, f"sop_{kind}")
        return price or self.sop

    @property
    def add(self) -> Price | None:
        """The price of one element-wise addition: `add`, else `ac`."""
        return self.energy.add or self.energy.ac

    def covers(self, component: str) -> bool:
        """Whether another figure already contains this component, so that pricing it would count it twice.

        A figure whose scope its source does not state is treated as the whole chip's.
        """
        return component in self.supersedes or self.scope in WHOLE

    def evidence_of(self, price: Price | None) -> Evidence:
        """How well a price is known: by its own statement, else by the profile's."""
        return price.evidence if price and price.evidence else self.evidence


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a profile file."""
    schema = HardwareProfile.model_json_schema(by_alias=True)
    schema["properties"]["extends"] = {"type": "string", "description": "id of the profile that this one changes"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

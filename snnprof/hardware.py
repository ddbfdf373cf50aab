"""HardwareProfile: what a machine's operations cost, and who says so. One YAML file per profile.

Energies are picojoules. `null` (or leaving a key out) means unknown: such work is listed as unpriced, never priced
at zero. The schema is docs/hardware.md; `snnprof/hardware.schema.json` is the same for editors.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from importlib.metadata import EntryPoint, entry_points
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from snnprof import plugins
from snnprof.errors import SnnprofError, unknown
from snnprof.units import PICOJOULES
from snnprof.yaml_file import Document, Place, YamlProblem, read_yaml

SCHEMA = "snnprof.hardware/1"
ENTRY_POINTS = "snnprof.hardware_profiles"
DEFAULT = "cmos45-fp32"

Kind = Literal["digital", "analog", "system"]
Scope = Literal["compute", "per_term", "unstated", "incremental", "all_in"]
Evidence = Literal["measured", "simulated", "synthesis", "derived", "arithmetic", "convention", "unstated"]
EVIDENCE: tuple[Evidence, ...] = (
    "measured", "simulated", "synthesis", "derived", "arithmetic", "convention", "unstated",
)  # fmt: skip
Component = Literal[
    "arithmetic", "weight_read", "potential_rw", "neuron_update", "routing", "io", "static", "leakage", "host"
]
PROVENANCE = ("scope", "evidence", "precision", "sources")
WHOLE: tuple[Scope, ...] = ("all_in", "unstated")
COVERED_BY_WHOLE = ("neuron_update", "neuron_update_idle", "hop", "spike_out", "spike_in")

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
    if isinstance(value, str):
        return picojoules(value)
    return _number(value)


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
        neuron_update: one neuron-step with input; neuron_update_idle: without (the same where not given).
        spike_out: one spike leaving its neuron. hop: one spike crossing one router.
        mul, add, compare: one element-wise operation (`add` costs what `ac` costs where not given).
    """

    mac: PriceField | None = None
    ac: PriceField | None = None
    sop: PriceField | None = None
    neuron_update: PriceField | None = None
    neuron_update_idle: PriceField | None = None
    spike_out: PriceField | None = None
    spike_in: PriceField | None = None
    hop: PriceField | None = None
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
        accesses: `events`: one weight read, one state read and write per event; `lemaire2022`: that paper's counts,
            which ignore padding and stride.
    """

    access_bits: int = Field(default=32, gt=0)
    interpolate: Literal["none", "linear", "clamp-linear"] = "none"
    levels: list[Level] = Field(default_factory=list)
    coefficients: Coefficients | None = None
    per_byte: PriceField | None = None
    accesses: Literal["events", "lemaire2022"] = "events"


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
    access: Literal["read", "secondary", "memory"]
    note: str | None = None


class HardwareProfile(_Record):
    """Prices with their sources, what they cover, and how well they are known."""

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
    reference_ann: str | None = None
    unverified: list[str] = Field(default_factory=list)
    sources: list[Source] = Field(min_length=1)
    note: str | None = None

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @property
    def sop(self) -> Price | None:
        """The price of one synaptic operation: `sop`, else `ac`."""
        return self.energy.sop or self.energy.ac

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
        return price.evidence if price and price.evidence else self.evidence


# -- rules that a type cannot say ------------------------------------------------------------------------------

_Complaints = Iterator[tuple[Place, str]]


def _all_in_stands_alone(profile: HardwareProfile) -> _Complaints:
    if profile.scope not in WHOLE:
        return
    for name in COVERED_BY_WHOLE:
        if getattr(profile.energy, name):
            yield ("energy", name), f"a figure of scope {profile.scope} already covers this; leave it out"
    if profile.static:
        yield ("static",), f"a figure of scope {profile.scope} already covers static power; leave it out"
    if not profile.operating_point:
        yield ("scope",), f"a figure of scope {profile.scope} holds at one operating point; state operating_point"


def _sop_differs_from_ac(profile: HardwareProfile) -> _Complaints:
    sop, ac = profile.energy.sop, profile.energy.ac
    if sop and ac and sop.value != ac.value and not (sop.note or ac.note):
        yield ("energy", "sop"), "differs from energy.ac; say why in a note"


def _free_needs_a_note(profile: HardwareProfile) -> _Complaints:
    for name, price in profile.energy:
        if price and not price.value and not price.note:
            yield ("energy", name), "0 claims that it is free; say why in a note, or use null for unknown"


def _measured_needs_conditions(profile: HardwareProfile) -> _Complaints:
    if profile.evidence != "measured":
        return
    if profile.technology.node_nm is None:
        yield ("technology", "node_nm"), "a measured figure needs the technology node"
    if "vdd_v" not in profile.technology.model_fields_set:
        yield ("technology",), "a measured figure needs vdd_v, or vdd_v: null if the source gives none"
    if not any(source.doi for source in profile.sources):
        yield ("sources",), "a measured figure needs a source with a doi"


def _has_a_price(profile: HardwareProfile) -> _Complaints:
    if not (profile.energy.mac or profile.sop):
        yield ("energy",), "needs at least one of mac, ac, sop"


def _sources_exist(profile: HardwareProfile) -> _Complaints:
    known = {source.id for source in profile.sources}
    named: dict[Place, str | None] = {("energy", n): price.source for n, price in profile.energy if price}
    named["static",] = profile.static.source if profile.static else None
    for place, source in named.items():
        if source is not None and source not in known:
            yield place, f"source {source!r} is not in sources"


def _range_holds_value(profile: HardwareProfile) -> _Complaints:
    for name, price in profile.energy:
        ends = [end for end in (price.low, price.value, price.high) if end is not None] if price else []
        if ends != sorted(ends):
            yield ("energy", name), "must have low <= value <= high"


def _components_are_disjoint(profile: HardwareProfile) -> _Complaints:
    for name in sorted(set(profile.includes) & set(profile.excludes)):
        yield ("excludes",), f"{name} is both included and excluded"


def _memory_is_complete(profile: HardwareProfile) -> _Complaints:
    memory = profile.memory
    if not memory:
        return
    if memory.interpolate == "linear" and not memory.coefficients:
        yield ("memory", "interpolate"), "linear needs coefficients"
    if not (memory.levels or memory.coefficients or memory.per_byte):
        yield ("memory",), "needs levels, coefficients or per_byte"
    sizes = [math.inf if level.capacity_bytes is None else level.capacity_bytes for level in memory.levels]
    if any(a >= b for a, b in pairwise(sizes)):
        yield ("memory", "levels"), "must grow in capacity_bytes; only the last may be null"


def _reference_exists(profile: HardwareProfile) -> _Complaints:
    if profile.reference_ann is not None and profile.reference_ann not in {*_files(), *_entry_points()}:
        yield ("reference_ann",), f"there is no hardware profile {profile.reference_ann!r}"


_RULES: tuple[Callable[[HardwareProfile], _Complaints], ...] = (
    _all_in_stands_alone, _sop_differs_from_ac, _free_needs_a_note, _measured_needs_conditions, _has_a_price,
    _sources_exist, _range_holds_value, _components_are_disjoint, _memory_is_complete,
    _reference_exists,
)  # fmt: skip


# -- look-up ---------------------------------------------------------------------------------------------------


def load_hardware(id_or_path: str | Path) -> HardwareProfile:
    """A hardware profile by id, or from a file.

    Looked up in this order: the built-in profiles, a file of that path, the user's folder ($SNNPROF_HARDWARE, else
    ~/.config/snnprof/hardware), the entry points `snnprof.hardware_profiles`.

    Raises:
        SnnprofError: there is no such profile, it is a stub (no published figure), or it does not follow the schema.
    """
    path = _locate(str(id_or_path))
    profile, problems = _read(path)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise SnnprofError(f"{problems[0]}{more}", hint=f"see 'snnprof hardware check {path}'")
    assert profile is not None
    return profile


def check(path: str | Path) -> list[Problem]:
    """What is wrong with a profile file; empty if nothing is. A missing or unreadable file is a problem too."""
    try:
        return _read(Path(path))[1]
    except SnnprofError as error:
        return [Problem(str(path), None, "", str(error))]


def names() -> list[str]:
    """Ids of the profiles that have prices, default first. No file is checked for this."""
    known = [id for id, path in _files().items() if _stub_reason(path) is None]
    return sorted({*known, *_entry_points()}, key=lambda id: (id != DEFAULT, id))


def profiles() -> tuple[list[HardwareProfile], list[SnnprofError]]:
    """All profiles that have prices, default first, and what is wrong with the others: a bad file hides no good one."""
    good, broken = plugins.in_order(names(), load_hardware)
    return good, [*_users()[1], *_broken_namesakes(), *broken]


def bundled() -> list[HardwareProfile]:
    """The built-in profiles that have prices, default first; nothing of the user's own."""
    return plugins.in_order([id for id in names() if id in _built_in()], load_hardware)[0]


def stubs() -> dict[str, str]:
    """Chips that people ask for and that have no usable published figure, with the reason."""
    return {id: why for id, path in sorted(_files().items()) if (why := _stub_reason(path)) is not None}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a profile file."""
    schema = HardwareProfile.model_json_schema(by_alias=True)
    schema["properties"]["extends"] = {"type": "string", "description": "id of the profile that this one changes"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _built_in() -> dict[str, Path]:
    folder = Path(str(resources.files("snnprof.hardware_profiles")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _users_own() -> dict[str, Path]:
    return _users()[0]


def _users() -> tuple[dict[str, Path], list[SnnprofError]]:
    """The files in the user's folder, and what is wrong with the folder; that there is none is nothing wrong."""
    folder = _users_folder()
    if folder is None:
        return {}, []
    try:
        files = sorted(path for path in folder.iterdir() if path.name.endswith(".yaml"))
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not folder.is_symlink():
            return {}, []
        reason = (error.strerror or "unknown error").lower()
        hint = "make it a folder that you can read, or name another one in SNNPROF_HARDWARE"
        return {}, [SnnprofError(f"your hardware profiles in {folder}, which cannot be read: {reason}", hint)]
    return {path.stem: path for path in files}, []


def _users_folder() -> Path | None:
    """Null for a user without a home."""
    given, config = os.environ.get("SNNPROF_HARDWARE"), os.environ.get("XDG_CONFIG_HOME")
    if given:
        return Path(given)
    try:
        return (Path(config) if config else Path.home() / ".config") / "snnprof" / "hardware"
    except RuntimeError:
        return None


def _namesake(id: str) -> Path | None:
    """The user's file of that name, unless it cannot be read: that one takes no built-in profile's place."""
    path = _users_own().get(id)
    return path if path and not isinstance(_content(path), YamlProblem) else None


def _broken_namesakes() -> list[SnnprofError]:
    """What is wrong with the user's files that are named as built-in profiles and cannot be read."""
    own = _users_own()
    found = {own[id]: _content(own[id]) for id in own if id in _built_in()}
    problems = {path: problem for path, problem in found.items() if isinstance(problem, YamlProblem)}
    return [SnnprofError(str(Problem(str(path), each.line, "", each.text))) for path, each in problems.items()]


def _content(path: Path) -> Document | YamlProblem:
    try:
        return read_yaml(path)
    except YamlProblem as problem:
        return problem


def _files() -> dict[str, Path]:
    return {**_users_own(), **_built_in()}


def _entry_points() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


def _locate(name: str) -> Path:
    if name in _built_in():
        if namesake := _namesake(name):
            raise SnnprofError(
                f"two hardware profiles have the id {name!r}: a built-in one and {namesake}",
                hint="give yours another id, and its file that name",
            )
        return _built_in()[name]
    if name.endswith((".yaml", ".yml")) or "/" in name or os.sep in name:
        return Path(name)
    if name in _users_own():
        return _users_own()[name]
    entries = _entry_points()
    if name not in entries:
        raise unknown("hardware profile", name, [*_files(), *entries], see="snnprof hardware list")
    return _from_entry_point(entries[name])


def _from_entry_point(entry: EntryPoint) -> Path:
    """The path an entry point stands for: a path, a text, or a function that returns one."""
    try:
        target = entry.load()
        return Path(target() if callable(target) else target)
    except plugins.BROKEN as error:
        raise plugins.failed(f"hardware profile {entry.name!r}", entry, error) from error


def _stub_reason(path: Path) -> str | None:
    """Why there are no prices; null for a real profile. Most files are told apart without parsing them."""
    try:
        if not re.search(rb"^stub:", path.read_bytes(), re.MULTILINE):
            return None
        return str(read_yaml(path).data.get("stub"))
    except (OSError, SnnprofError):
        return None


# -- from file to profile --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """What is wrong with a profile file, and where."""

    path: str
    line: int | None
    key: str
    text: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.key}: {self.text}" if self.key else f"{where}: {self.text}"


def _read(path: Path) -> tuple[HardwareProfile | None, list[Problem]]:
    """The profile in a file and what is wrong with it.

    Raises:
        SnnprofError: the file is a stub.
    """
    try:
        document = read_yaml(path)
        _refuse_stub(document.data)
        data = _inherited(document, ())
    except YamlProblem as error:
        return None, [Problem(str(path), error.line, "", error.text)]
    try:
        profile = HardwareProfile.model_validate(data)
    except ValidationError as error:
        return None, [_problem(document, *_explained(dict(details))) for details in error.errors()]
    complaints = [complaint for rule in _RULES for complaint in rule(profile)]
    complaints += _identity(profile, path)
    return profile, [_problem(document, *complaint) for complaint in complaints]


def _problem(document: Document, place: Place, text: str) -> Problem:
    if place and place[-1] == "value" and place not in document.lines:
        place = place[:-1]
    key = ".".join(map(str, place))
    return Problem(str(document.path), document.line_of(place), key, text)


def _refuse_stub(data: Mapping[str, Any]) -> None:
    if "stub" in data:
        raise SnnprofError(
            f"hardware profile {data.get('id')!r} has no prices: {data['stub']}",
            hint="write your own profile: see docs/hardware.md",
        )


def _identity(profile: HardwareProfile, path: Path) -> _Complaints:
    if profile.id != path.stem:
        yield ("id",), f"must be the file's name, {path.stem!r}"
    built_in = _built_in().get(profile.id)
    if built_in and not (path.exists() and built_in.samefile(path)):
        yield ("id",), f"a built-in profile already has the id {profile.id!r}"


def _inherited(document: Document, children: tuple[str, ...]) -> dict[str, Any]:
    """The document's data over its parents'; only what describes a parent's prices is not handed down.

    Raises:
        YamlProblem: the chain of parents has a gap or a cycle, or figures were changed and their origin was not.
    """
    data: dict[str, Any] = _without_extensions(document.data)
    parent_id = data.pop("extends", None)
    if parent_id is None:
        return data
    line = document.line_of(("extends",))
    chain = (*children, str(data.get("id")))
    if parent_id in chain:
        raise YamlProblem(
            f"extends: profiles extend each other in a circle: {' > '.join([*chain, str(parent_id)])}", line
        )
    parent = _parent(parent_id, chain, line)
    if _changes_figures(data, parent):
        missing = [name for name in PROVENANCE if name not in data]
        if missing:
            raise YamlProblem(f"extends: energy differs from {parent_id!r}, so state {', '.join(missing)} anew", line)
    return _merged(parent, data)


def _parent(id: Any, chain: tuple[str, ...], line: int | None) -> dict[str, Any]:
    try:
        document = read_yaml(_locate(str(id)))
        _refuse_stub(document.data)
        return _inherited(document, chain)
    except YamlProblem:
        raise
    except SnnprofError as error:
        raise YamlProblem(f"extends: {error}", line) from error


def _changes_figures(data: Mapping[str, Any], parent: Mapping[str, Any]) -> bool:
    own, inherited = data.get("energy") or {}, parent.get("energy") or {}
    return isinstance(own, Mapping) and any(inherited.get(name) != price for name, price in own.items())


def _merged(parent: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings join key by key, everything else is replaced, null deletes."""
    merged = dict(parent)
    for key, value in child.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(parent.get(key), Mapping):
            merged[key] = _merged(parent[key], value)
        else:
            merged[key] = value
    return merged


def _without_extensions(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _without_extensions(value) for key, value in data.items() if not key.startswith("x-")}
    return [_without_extensions(value) for value in data] if isinstance(data, list) else data


def _explained(details: dict[str, Any]) -> tuple[Place, str]:
    """One of pydantic's complaints in words a profile's author understands."""
    place, kind = tuple(details["loc"]), details["type"]
    if kind == "missing":
        return place, "is missing"
    if kind == "extra_forbidden":
        near = get_close_matches(str(place[-1]), _keys_beside(place), n=1)
        return place, "unknown key" + (f"; did you mean {near[0]!r}?" if near else "; extensions start with x-")
    if kind == "too_short":
        return place, "must not be empty"
    return place, str(details["msg"]).removeprefix("Value error, ").removeprefix("Input ")


def _keys_beside(place: Place) -> list[str]:
    homes: dict[str, type[BaseModel]] = {
        "technology": Technology, "precision": Precision, "energy": Energy, "memory": Memory, "static": Static,
    }  # fmt: skip
    home = homes.get(str(place[0]), Price) if len(place) > 1 else HardwareProfile
    return [entry.alias or name for name, entry in home.model_fields.items()]

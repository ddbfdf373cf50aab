"""From a file to a HardwareProfile, or to a list of what is wrong with the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from snnprof import plugins
from snnprof.errors import SnnprofError
from snnprof.hardware import lookup
from snnprof.hardware.rules import RULES, Complaints
from snnprof.hardware.schema import Energy, HardwareProfile, Memory, Precision, Price, Static, Technology
from snnprof.yaml_file import Document, Place, YamlProblem, read_yaml

DEFAULT = "cmos45-fp32"
PROVENANCE = ("scope", "evidence", "precision", "sources")


def load_hardware(id_or_path: str | Path) -> HardwareProfile:
    """Loads a hardware profile by its id, or from a file.

    It looks at the built-in profiles, then at a file of that path, then in the user's folder ($SNNPROF_HARDWARE, else
    ~/.config/snnprof/hardware), then at the entry points `snnprof.hardware_profiles` of installed packages.

    Args:
        id_or_path: id of a profile, such as `cmos45-fp32`; or the path of a YAML file.

    Returns:
        The profile.

    Raises:
        SnnprofError: there is no such profile, it is a stub (no published figure), or it does not follow the schema.
    """
    path = lookup.locate(str(id_or_path))
    profile, problems = _read(path)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise SnnprofError(f"{problems[0]}{more}", hint=f"see 'snnprof hardware check {path}'")
    assert profile is not None
    return profile


def check(path: str | Path) -> list[Problem]:
    """Returns what is wrong with a profile file; empty if nothing is. It may be missing or unreadable."""
    try:
        return _read(Path(path))[1]
    except SnnprofError as error:
        return [Problem(str(path), None, "", str(error))]


def names() -> list[str]:
    """Returns the ids of the profiles that have prices, default first, without checking their files."""
    known = [id for id, path in lookup.files().items() if lookup.stub_reason(path) is None]
    return sorted({*known, *lookup.plug_ins()}, key=lambda id: (id != DEFAULT, id))


def profiles() -> tuple[list[HardwareProfile], list[SnnprofError]]:
    """Returns all valid profiles that have prices, default first, and what is wrong with the others."""
    good, broken = plugins.in_order(names(), load_hardware)
    return good, [*lookup.users_files()[1], *_broken_namesakes(), *broken]


def bundled() -> list[HardwareProfile]:
    """Returns the built-in profiles that have prices, default first."""
    return plugins.in_order([id for id in names() if id in lookup.built_in()], load_hardware)[0]


def stubs() -> dict[str, str]:
    """Returns the chips without a usable published figure, by id, with the reason."""
    return {id: why for id, path in sorted(lookup.files().items()) if (why := lookup.stub_reason(path)) is not None}


def _broken_namesakes() -> list[SnnprofError]:
    """Returns what is wrong with files of the user that have the ids of built-in profiles and cannot be read."""
    own = lookup.users_own()
    found = {own[id]: lookup.content(own[id]) for id in own if id in lookup.built_in()}
    problems = {path: problem for path, problem in found.items() if isinstance(problem, YamlProblem)}
    return [SnnprofError(str(Problem(str(path), each.line, "", each.text))) for path, each in problems.items()]


@dataclass(frozen=True)
class Problem:
    """What is wrong with a profile file, and where.

    Attributes:
        path: the file.
        line: number of the line, from 1 on; None if the problem has no line.
        key: path of the key, such as `energy.sop`; `""` if the problem is about the whole file.
        text: what is wrong.
    """

    path: str
    line: int | None
    key: str
    text: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.key}: {self.text}" if self.key else f"{where}: {self.text}"


def _read(path: Path) -> tuple[HardwareProfile | None, list[Problem]]:
    """Returns the profile in a file and what is wrong with it.

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
    complaints = [complaint for rule in RULES for complaint in rule(profile)]
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


def _identity(profile: HardwareProfile, path: Path) -> Complaints:
    if profile.id != path.stem:
        yield ("id",), f"must be the file's name, {path.stem!r}"
    built_in = lookup.built_in().get(profile.id)
    if built_in and not (path.exists() and built_in.samefile(path)):
        yield ("id",), f"a built-in profile already has the id {profile.id!r}"


def _inherited(document: Document, children: tuple[str, ...]) -> dict[str, Any]:
    """Returns the document's data over those of its parents.

    Raises:
        YamlProblem: a parent is missing, profiles extend each other in a circle, or the document changes figures
            without stating their origin anew.
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
    if data.get("evidence") not in (None, parent.get("evidence")):
        parent = {**parent, "energy": _with_their_evidence(parent)}
    return _merged(parent, data)


def _with_their_evidence(parent: Mapping[str, Any]) -> Any:
    """Returns a parent's prices with the parent's evidence, so that a child's own evidence does not apply to them."""
    energy, evidence = parent.get("energy"), parent.get("evidence")
    if not isinstance(energy, Mapping) or evidence is None:
        return energy
    prices = {name: price if isinstance(price, Mapping) else {"value": price} for name, price in energy.items()}
    return {name: {"evidence": evidence, **price} for name, price in prices.items()}


def _parent(id: Any, chain: tuple[str, ...], line: int | None) -> dict[str, Any]:
    try:
        document = read_yaml(lookup.locate(str(id)))
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
    """Joins mappings key by key; the child replaces everything else, and deletes what it sets to null."""
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
    """Says in the words of a profile's author what one of pydantic's errors means."""
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

"""From the name behind `--mapping` to a chip, and to what a user's own file changes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from snnprof.errors import SnnprofError, unknown
from snnprof.mapping.chip import CHIP, MAPPING, Chip, Cut, Limit, MappingFile
from snnprof.yaml_file import Document, YamlProblem, read_yaml

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Target:
    """What to map a network to.

    Attributes:
        chip: the chip, with the limits that a user's file changes.
        cores: name of a layer → how the user's file cuts it; empty without such a file.
        file: path of the user's file; `""` for a bundled chip as it is.
    """

    chip: Chip
    cores: Mapping[str, Cut] = field(default_factory=dict)
    file: str = ""


def chips() -> dict[str, Path]:
    """Returns the files of the bundled chips by id."""
    folder = Path(str(resources.files("snnprof.chips")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_chip(id: str) -> Chip:
    """Loads a bundled chip.

    Raises:
        SnnprofError: there is no chip with that id.
    """
    known = chips()
    if id not in known:
        raise unknown("chip", id, known, see="snnprof hardware list")
    return _validated(Chip, _read(known[id]))


def load_target(id_or_path: str | Path) -> Target:
    """Loads a bundled chip by its id, or a user's own chip or mapping from a YAML file.

    Raises:
        SnnprofError: there is no such chip or file, or the file does not follow its schema.
    """
    name = str(id_or_path)
    if name in chips():
        return Target(load_chip(name))
    if not (name.endswith((".yaml", ".yml")) or "/" in name or os.sep in name):
        raise unknown("chip", name, chips(), see="snnprof hardware list")
    document = _read(Path(name))
    schema = document.data.get("schema")
    if schema == CHIP:
        return Target(_validated(Chip, document), file=name)
    if schema != MAPPING:
        line = document.line_of(("schema",))
        raise _problem(document, line, f"schema: must be {CHIP} or {MAPPING}, not {schema!r}")
    own = _validated(MappingFile, document)
    try:
        chip = load_chip(own.chip)
    except SnnprofError as error:
        raise _problem(document, document.line_of(("chip",)), f"chip: {error}") from error
    return Target(_changed(chip, own), own.cores, name)


def _changed(chip: Chip, own: MappingFile) -> Chip:
    """Returns the chip with the limits of a user's file; null removes a limit."""
    limits = {name: None if value is None else Limit(value=value) for name, value in own.limits.items()}
    cores = [kind.model_copy(update=limits) for kind in chip.cores]
    bits = Limit(value=own.weight_bits) if own.weight_bits else chip.weight_bits
    if any(kind.synapse_bits for kind in cores) and not bits:
        raise SnnprofError(f"limits: synapse_bits of {chip.id} needs weight_bits, the bits of a weight")
    return chip.model_copy(update={"cores": cores, "weight_bits": bits})


def _read(path: Path) -> Document:
    try:
        return read_yaml(path)
    except YamlProblem as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise SnnprofError(f"{where}: {error.text}", hint="docs/mapping.md describes each field") from error


def _validated(model: type[Model], document: Document) -> Model:
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        problems = error.errors()
        place = tuple(problems[0]["loc"])
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise _problem(document, document.line_of(place), f"{_said(dict(problems[0]))}{more}") from error


def _said(problem: dict[str, Any]) -> str:
    key = ".".join(map(str, problem["loc"]))
    texts = {"missing": "is missing", "extra_forbidden": "unknown key"}
    text = texts.get(problem["type"]) or str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return f"{key}: {text}" if key else text


def _problem(document: Document, line: int | None, text: str) -> SnnprofError:
    where = f"{document.path}:{line}" if line else str(document.path)
    return SnnprofError(f"{where}: {text}", hint="docs/mapping.md describes each field")

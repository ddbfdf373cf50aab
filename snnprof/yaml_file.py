"""Reads small YAML files that people write: plain data with the line of every key, and nothing that grows when read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from snnprof.errors import SnnprofError

MAX_BYTES = 1 << 20
MAX_DEPTH = 12

Place = tuple[str | int, ...]


class YamlProblem(SnnprofError):
    """What is wrong with a file, and on which line.

    Attributes:
        text: what is wrong, to follow the file's name.
        line: number of the line, from 1 on; None if the problem has no line.
    """

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.line = line


@dataclass(frozen=True)
class Document:
    """The data of a file, and the line of each of its keys.

    Attributes:
        path: the file.
        data: the data.
        lines: path of a key → number of its line, from 1 on.
    """

    path: Path
    data: dict[str, Any]
    lines: dict[Place, int] = field(default_factory=dict)

    def line_of(self, place: Place) -> int | None:
        """Returns the line of a key, or of the nearest key above it that the file has."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place)


def read_yaml(path: Path, as_written: bool = False) -> Document:
    """Reads a file whose content is a mapping. With `as_written`, numbers stay texts, so 4.50 keeps its last digit.

    Raises:
        YamlProblem: the file is missing, too large, not UTF-8, not YAML or not a mapping; it is nested too deep or
            repeats a key; or it uses tags or anchors, with which a small file can describe an endless one.
    """
    text = text_of(path)
    try:
        _refuse_traps(text, _AsWritten if as_written else yaml.SafeLoader)
        loader = _AsWritten(text) if as_written else yaml.SafeLoader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise YamlProblem("must be a mapping of keys to values", 1)
        lines: dict[Place, int] = {}
        return Document(path, _plain(loader, node, (), lines), lines)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "cannot be read"
        raise YamlProblem(f"not valid YAML: {problem}", mark.line + 1 if mark else None) from error
    except ValueError as error:
        raise YamlProblem(f"not valid YAML: {error}") from error


class _AsWritten(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """A loader that reads scalars as text; in C if possible, since the file of published rows is long."""


_AsWritten.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag == "tag:yaml.org,2002:null"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def text_of(path: Path) -> str:
    """Returns the text of a small file.

    Raises:
        YamlProblem: the file is missing, too large or not UTF-8; the message follows the file's name.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise YamlProblem(f"cannot be read: {(error.strerror or 'unknown error').lower()}") from error
    if len(raw) > MAX_BYTES:
        raise YamlProblem(f"is larger than {MAX_BYTES} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlProblem("is not UTF-8 text") from error


def _refuse_traps(text: str, loader: type[yaml.SafeLoader]) -> None:
    """Checks the events of the parser, before any data is built from them.

    Raises:
        YamlProblem: there is an anchor, an alias or a tag, or the nesting is too deep.
    """
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise YamlProblem("anchors and aliases (& and *) are not allowed", line)
        if getattr(event, "tag", None):
            raise YamlProblem("tags (!) are not allowed", line)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise YamlProblem(f"is nested deeper than {MAX_DEPTH} levels", line)


def _plain(loader: yaml.SafeLoader, node: yaml.Node, place: Place, lines: dict[Place, int]) -> Any:
    """Returns the data of a node, and stores the line of each key and item in `lines`."""
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, place, lines)
    if isinstance(node, yaml.SequenceNode):
        values = []
        for position, child in enumerate(node.value):
            here = (*place, position)
            lines[here] = child.start_mark.line + 1
            values.append(_plain(loader, child, here, lines))
        return values
    return loader.construct_object(node) if isinstance(loader, _AsWritten) else _scalar(loader, node)


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode, place: Place, lines: dict[Place, int]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, child in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise YamlProblem("a key must be a word", line)
        key = key_node.value
        if key in data:
            raise YamlProblem(f"the key {key!r} appears twice", line)
        here = (*place, key)
        lines[here] = line
        data[key] = _plain(loader, child, here, lines)
    return data


def _scalar(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    value = loader.construct_object(node)
    if isinstance(value, str) and isinstance(node, yaml.ScalarNode) and node.style is None:
        return _number_or_text(value)
    return value


def _number_or_text(text: str) -> float | str:
    """Reads an unquoted 1e9 as a number: YAML 1.1 takes it for text, because its exponent has no sign."""
    if text.lower().strip("+-") in ("inf", "infinity", "nan") or "_" in text:
        return text
    try:
        return float(text)
    except ValueError:
        return text

"""Finds the state dicts in a `.pt`, `.pth` or `.safetensors` file, also nested in other objects."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snnprof import capacity
from snnprof.errors import SnnprofError, unknown
from snnprof.options import file_and_key
from snnprof.workload import pickled

DEPTH = 3  # most nested keys above a state dict
SHOWN = 3  # names in a message
State = dict[str, Tensor]


@dataclass(frozen=True)
class WeightsFile:
    """The state dicts of a file.

    Attributes:
        path: the file.
        states: for each key, parameters and buffers by their names in the file. The key "" is the file itself, `a.b`
            the value of `b` in the value of `a`.
        facts: for each key, the plain values beside the state dict (preset, seed, accuracy, epoch, …).
        sha256: digest of the file.
        chosen: the key that the user named, or "".
    """

    path: Path
    states: dict[str, State]
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    sha256: str = ""
    chosen: str = ""

    @property
    def name(self) -> str:
        """The file as the user named it."""
        return f"{self.path}:{self.chosen}" if self.chosen else str(self.path)

    def only(self, key: str) -> WeightsFile:
        """The state dicts at and below a key; the key may also be the first part of weight names (`ema_model`).

        Raises:
            SnnprofError: there is none.
        """
        below = {own: state for own, state in self.states.items() if own == key or own.startswith(f"{key}.")}
        if not below:
            named = (_beginning(own, state, key) for own, state in self.states.items())
            state = next(filter(None, named), None)
            below = {} if state is None else {key: state}
        if not below:
            raise unknown("state dict", key, self._keys(), owner=str(self.path))
        return replace(self, states=below, facts={own: self._facts_of(own) for own in below}, chosen=key)

    def _facts_of(self, key: str) -> dict[str, Any]:
        return next((facts for own, facts in self.facts.items() if key.startswith(own)), {})

    def _keys(self) -> list[str]:
        """The keys that a user may choose: those of state dicts, or the first parts of names in a flat file."""
        names = {name.partition(".")[0] for name in self.states.get("", {})}
        return [key for key in self.states if key] or sorted(names)


def read(place: str | Path) -> WeightsFile:
    """Reads `FILE` or `FILE:KEY`.

    Raises:
        SnnprofError: the file is missing, cut short, would not fit in memory, calls code, or holds no state dict; or
            there is none at KEY.
    """
    path, key = file_and_key(str(place))
    digest = _sha256(path)
    capacity.must_unpack(path)
    content = _safetensors(path) if path.suffix == ".safetensors" else pickled.load(path)
    found = list(_state_dicts(content, "", {}))
    if not found:
        raise _no_state_dict(content, path)
    file = WeightsFile(path, {key: s for key, s, _ in found}, {key: f for key, _, f in found}, digest)
    return file.only(key) if key else file


def first(names: Iterable[str]) -> str:
    """The first few names, for a message."""
    found = list(names)
    return ", ".join(found[:SHOWN]) + (", …" if len(found) > SHOWN else "")


def _beginning(key: str, state: State, wanted: str) -> State:
    """The weights whose names begin with the key that the user wants, renamed without it."""
    inner = wanted if not key else wanted.removeprefix(f"{key}.")
    return {name.removeprefix(f"{inner}."): tensor for name, tensor in state.items() if name.startswith(f"{inner}.")}


def _state_dicts(content: Any, key: str, facts: dict[str, Any]) -> Iterator[tuple[str, State, dict[str, Any]]]:
    """Yields each state dict with its key and the plain values beside it.

    Keys that are no strings are skipped: an optimizer's state is keyed by numbers.
    """
    items = _items(content)
    tensors = {name: tensor for name, value in items.items() if (tensor := _tensor(value)) is not None}
    if tensors:
        yield key, tensors, facts
    if key.count(".") + bool(key) >= DEPTH:
        return
    beside = facts | {name: value for name, value in items.items() if isinstance(value, str | int | float)}
    inner = []
    for name, value in items.items():
        inner += list(_state_dicts(value, f"{key}.{name}" if key else name, beside))
    yield from inner
    if len(inner) > 1 and not tensors:  # a model saved in parts: {"encoder": …, "head": …}
        parts = [(own.removeprefix(f"{key}.") if key else own, state) for own, state, _ in inner]
        yield key, {f"{part}.{name}": tensor for part, state in parts for name, tensor in state.items()}, facts


def _items(content: Any) -> dict[str, Any]:
    """The contents of a container by name; those of a tuple or list by number."""
    if isinstance(content, argparse.Namespace):
        return vars(content)
    if isinstance(content, Mapping):
        return {name: value for name, value in content.items() if isinstance(name, str)}
    if isinstance(content, tuple | list) and any(isinstance(part, Mapping) for part in content):
        return {str(number): part for number, part in enumerate(content) if isinstance(part, Mapping)}
    return {}


def _tensor(value: Any) -> Tensor | None:
    if isinstance(value, pickled.Array):
        return None if value.values is None else torch.from_numpy(value.values)
    return value if isinstance(value, Tensor) else None


def _no_state_dict(content: Any, path: Path) -> SnnprofError:
    inside = [content, *_items(content).values()]
    module = next((value for value in inside if pickled.is_module(value)), None)
    if module is not None:
        return pickled.whole_module(path, pickled.class_of(module) or "")
    if not isinstance(content, Mapping):
        return SnnprofError(f"checkpoint {path} holds {_named(content)}, not a state dict", hint=pickled.RESAVE)
    return SnnprofError(f"checkpoint {path} holds no weights", hint=pickled.RESAVE)


def _named(content: Any) -> str:
    return "a tensor" if isinstance(content, Tensor) else f"a {type(content).__name__.lower()}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            for piece in iter(lambda: stream.read(1 << 20), b""):
                digest.update(piece)
    except OSError as error:
        raise SnnprofError(f"cannot read checkpoint {path}: {(error.strerror or 'unknown error').lower()}") from error
    return digest.hexdigest()


def _safetensors(path: Path) -> Any:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise SnnprofError(
            f"reading {path} needs the safetensors package", hint="pip install 'snnprof[safetensors]'"
        ) from error
    try:
        return load_file(path)
    except Exception as error:
        raise SnnprofError(f"checkpoint {path} is damaged or is no safetensors file") from error

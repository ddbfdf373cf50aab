"""State dicts against a model: under which names they fit, what is missing, and what may be left over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from snnprof.errors import SnnprofError
from snnprof.workload.weights_file import State, WeightsFile, first

WRAPPERS = ("module", "_orig_mod")
"""Parts of names that DataParallel and torch.compile put in, before all names or in their middle."""
COUNTERS = ("num_batches_tracked", "total_ops", "total_params", "n_averaged")
"""Last parts of names that no result depends on: of batch norm in training, of the counting tool thop, of averaging."""
TRIED = 8  # prefixes of a state dict
UNKNOWN = [-1]  # the shape of a lazy parameter

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Checkpoint:
    """One state dict of a file, with the names that a model gives its weights.

    Attributes:
        path: the file.
        state: parameters and buffers by name, those that the model has not got included.
        facts: what the file says about them (preset, seed, accuracy, epoch, …), plain values only.
        sha256: of the file.
        key: where in the file they stand, prefix included.
        chosen: what the user named of it, or "".
        only: whether it is all that the file holds.
    """

    path: Path
    state: State
    facts: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""
    key: str = ""
    chosen: str = ""
    only: bool = True

    @property
    def shapes(self) -> dict[str, list[int]]:
        return {name: list(tensor.shape) for name, tensor in self.state.items()}

    @property
    def name(self) -> str:
        """The file, with the state dict's key where there are others."""
        key = self.chosen or ("" if self.only else self.key)
        return f"{self.path}:{key}" if key else str(self.path)


# -- which state dict, under which names -----------------------------------------------------------------------


def nearest(file: WeightsFile, wanted: Shapes, fits: Callable[[Checkpoint], bool]) -> Checkpoint:
    """The state dict of a file, and the naming, that fit a model; where none does, the one that comes nearest.

    Args:
        file: where to look.
        wanted: names and shapes of the model.
        fits: whether a state dict is the model's.

    Raises:
        SnnprofError: several fit, and hold different weights.
    """
    found = sorted(readings(file, wanted), key=lambda reading: _nearness(wanted, reading), reverse=True)
    if len(found) == 1:
        return found[0]
    fitting = _distinct(filter(fits, found), wanted)
    if len(fitting) < 2:
        return (fitting or found)[0]
    keys = list(dict.fromkeys(reading.key for reading in fitting))
    raise SnnprofError(
        f"{file.name} holds several state dicts that fit: {', '.join(keys)}",
        hint=f"choose one: --checkpoint {file.path}:{keys[0]}",
    )


def _nearness(wanted: Shapes, reading: Checkpoint) -> tuple[int, int]:
    """How many names agree, and how many of them in shape."""
    shared = [name for name in wanted if name in reading.state]
    return len(shared), sum(list(reading.state[name].shape) == list(wanted[name]) for name in shared)


def _distinct(readings: Iterable[Checkpoint], wanted: Collection[str]) -> list[Checkpoint]:
    """Without those that hold the same weights as one before."""
    kept: list[Checkpoint] = []
    for reading in readings:
        if not any(_same(reading.state, other.state, wanted) for other in kept):
            kept.append(reading)
    return kept


def _same(a: State, b: State, names: Collection[str]) -> bool:
    return all((name in a) == (name in b) and (name not in a or _equal(a[name], b[name])) for name in names)


def _equal(a: Tensor, b: Tensor) -> bool:
    return a is b or (a.shape == b.shape and a.dtype == b.dtype and bool(torch.equal(a, b)))


def readings(file: WeightsFile, wanted: Shapes) -> Iterator[Checkpoint]:
    """Every state dict under every naming that meets the model's names; as it stands where none does."""
    for key, state in file.states.items():
        namings = list(_namings(state, wanted)) or [("", state)]
        for prefix, renamed in namings:
            several = [key, prefix.rstrip(".")] if len(namings) > 1 or not key else [key]
            inner = ".".join(filter(None, several))
            only = len(file.states) == len(namings) == 1
            yield Checkpoint(file.path, renamed, file.facts.get(key, {}), file.sha256, inner, file.chosen, only)


def _namings(state: State, wanted: Shapes) -> Iterator[tuple[str, State]]:
    """Names as they are, without a prefix, or with the one that all names of the model have; each with its prefix.

    Names that do not begin with the prefix stay as they are: they are no weights of this model.
    """
    seen = set()
    for names in (dict(zip(state, state, strict=True)), _unwrapped(state)):
        for own in ("", *_common_prefixes(wanted)):
            inside = {name.removeprefix(own) for name in wanted}
            for prefix in _prefixes(names.values(), inside):
                renamed = {own + new.removeprefix(prefix): old for old, new in names.items() if new.startswith(prefix)}
                rest = {new: old for old, new in names.items() if not new.startswith(prefix) and new not in renamed}
                now = {**renamed, **rest}
                identity = tuple(sorted((name, old) for name, old in now.items() if name in wanted))
                if identity not in seen:
                    seen.add(identity)
                    yield prefix, {name: state[old] for name, old in now.items()}


def _unwrapped(state: State) -> dict[str, str]:
    """Names without what DataParallel and torch.compile put into them, by the old ones."""
    return {name: ".".join(part for part in name.split(".") if part not in WRAPPERS) for name in state}


def _common_prefixes(names: Iterable[str]) -> list[str]:
    """Of `net.model.a.weight` and `net.model.b.bias`: `net.model.` and `net.`."""
    parts = [name.split(".")[:-1] for name in names]
    common = []
    for position in zip(*parts, strict=False):
        if len(set(position)) > 1:
            break
        common.append(position[0])
    return [".".join(common[:length]) + "." for length in range(len(common), 0, -1)]


def _prefixes(names: Iterable[str], wanted: Collection[str]) -> list[str]:
    """What stands before the model's own names, most frequent first, the shortest first among equals."""
    counts: Counter[str] = Counter()
    for name in names:
        cuts = [0, *(at + 1 for at, sign in enumerate(name) if sign == ".")]
        counts.update(name[:cut] for cut in cuts if name[cut:] in wanted)
    ranked = sorted(counts, key=lambda prefix: (-counts[prefix], len(prefix)))
    return [prefix for prefix in ranked if 2 * counts[prefix] >= counts[ranked[0]]][:TRIED]


# -- what differs ----------------------------------------------------------------------------------------------


def shapes_of(model: nn.Module) -> dict[str, list[int]]:
    """The names and shapes of a model's parameters and buffers."""
    return {
        name: UNKNOWN if is_lazy(value) else list(value.shape)
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor)
    }


def differences(wanted: Shapes, given: Shapes) -> str:
    """How two state dicts differ, in one line; "" where the second fills the first."""
    extra = {*wanted, *left_over(wanted, given)}
    missing = [name for name in wanted if name not in given and name.rpartition(".")[2] not in COUNTERS]
    unexpected = [name for name in given if name not in extra]
    others = [
        f"{name} is {list(given[name])}, not {list(shape)}"
        for name, shape in wanted.items()
        if name in given and list(shape) != UNKNOWN and list(given[name]) != list(shape)
    ]
    keys = "key" if len(missing) == 1 else "keys"
    named = {f"{keys} missing": missing, "unexpected": unexpected, "of another shape": others}
    return ", ".join(f"{len(found)} {what} ({first(found)})" for what, found in named.items() if found)


def left_over(wanted: Collection[str], found: Shapes) -> list[str]:
    """Entries that may stay in the file: counters, and what lies outside of all modules of the model (a loss, a head).

    A third block where the model has two is none of them: then the weights are another network's.
    """
    roots = {name.partition(".")[0] for name in wanted}
    return [name for name, shape in found.items() if name not in wanted and _is_left(name, shape, roots)]


def _is_left(name: str, shape: Sequence[int], roots: set[str]) -> bool:
    root, _, inner = name.partition(".")
    if name.rpartition(".")[2] in COUNTERS:
        return True
    return root not in roots and bool(inner or not list(shape) or list(shape) == [1])

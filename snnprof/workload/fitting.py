"""Fits state dicts to a model: finds the naming that fits, what is missing, and what may be left unused."""

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
"""Parts of names that DataParallel and torch.compile add, at the beginning or in the middle."""
COUNTERS = ("num_batches_tracked", "total_ops", "total_params", "n_averaged")
"""Last parts of names whose values no result depends on: of batch norm in training, of the tool thop, of averaging."""
TRIED = 8  # most prefixes that are tried for a state dict
UNKNOWN = [-1]  # stands for the shape of a lazy parameter

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Checkpoint:
    """One state dict of a file, renamed to the names of the model's weights.

    Attributes:
        path: the file.
        state: parameters and buffers by name, including those that the model does not have.
        facts: plain values that the file holds beside them (preset, seed, accuracy, epoch, …).
        sha256: digest of the file.
        key: key of the state dict in the file, with the prefix of its names.
        chosen: the key that the user named, or "".
        only: whether the file holds no other state dict and no other naming is possible.
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
        """The shapes of the parameters and buffers by name."""
        return {name: list(tensor.shape) for name, tensor in self.state.items()}

    @property
    def name(self) -> str:
        """The name of the file, with the key that was chosen or that distinguishes the state dict from others."""
        key = self.chosen or ("" if self.only else self.key)
        return f"{self.path}:{key}" if key else str(self.path)


# -- choosing a state dict and its naming ----------------------------------------------------------------------


def nearest(file: WeightsFile, wanted: Shapes, fits: Callable[[Checkpoint], bool]) -> Checkpoint:
    """The state dict of a file, in the naming that fits a model; if none fits, the one with most names in common.

    Args:
        file: the file with state dicts.
        wanted: names and shapes of the model's parameters and buffers.
        fits: whether a state dict fits the model.

    Raises:
        SnnprofError: several fit and hold different weights.
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
    """The number of names in common, and how many of these have the same shape."""
    shared = [name for name in wanted if name in reading.state]
    return len(shared), sum(list(reading.state[name].shape) == list(wanted[name]) for name in shared)


def _distinct(readings: Iterable[Checkpoint], wanted: Collection[str]) -> list[Checkpoint]:
    """The checkpoints without those that hold the same weights as an earlier one."""
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
    """Yields every state dict in every naming that has names of the model; in its own naming if there is none."""
    for key, state in file.states.items():
        namings = list(_namings(state, wanted)) or [("", state)]
        for prefix, renamed in namings:
            several = [key, prefix.rstrip(".")] if len(namings) > 1 or not key else [key]
            inner = ".".join(filter(None, several))
            only = len(file.states) == len(namings) == 1
            yield Checkpoint(file.path, renamed, file.facts.get(key, {}), file.sha256, inner, file.chosen, only)


def _namings(state: State, wanted: Shapes) -> Iterator[tuple[str, State]]:
    """Yields the namings of a state dict that have names of the model, each with the prefix that it removes.

    A naming removes a prefix (perhaps an empty one) and may add the prefix that all names of the model share. Names
    that do not begin with the removed prefix stay unchanged, since they are no weights of this model.

    Yields:
        The removed prefix, and the renamed state dict.
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
    """For each name, the name without the parts that DataParallel and torch.compile add."""
    return {name: ".".join(part for part in name.split(".") if part not in WRAPPERS) for name in state}


def _common_prefixes(names: Iterable[str]) -> list[str]:
    """The prefixes that all names share, longest first: `net.model.` and `net.` of `net.model.a`, `net.model.b.c`."""
    parts = [name.split(".")[:-1] for name in names]
    common = []
    for position in zip(*parts, strict=False):
        if len(set(position)) > 1:
            break
        common.append(position[0])
    return [".".join(common[:length]) + "." for length in range(len(common), 0, -1)]


def _prefixes(names: Iterable[str], wanted: Collection[str]) -> list[str]:
    """The prefixes before the model's names, most frequent first, among equally frequent ones shortest first."""
    counts: Counter[str] = Counter()
    for name in names:
        cuts = [0, *(at + 1 for at, sign in enumerate(name) if sign == ".")]
        counts.update(name[:cut] for cut in cuts if name[cut:] in wanted)
    ranked = sorted(counts, key=lambda prefix: (-counts[prefix], len(prefix)))
    return [prefix for prefix in ranked if 2 * counts[prefix] >= counts[ranked[0]]][:TRIED]


# -- differences -----------------------------------------------------------------------------------------------


def shapes_of(model: nn.Module) -> dict[str, list[int]]:
    """The names and shapes of a model's parameters and buffers."""
    return {
        name: UNKNOWN if is_lazy(value) else list(value.shape)
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor)
    }


def differences(wanted: Shapes, given: Shapes) -> str:
    """How the state dict `given` differs from the model's, `wanted`, in one line; "" if it fits."""
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
    """The entries that may stay unused: counters, and those outside of all modules of the model (a loss, a head).

    An entry inside a module of the model, such as a third block where the model has two, is none of them: it shows that
    the weights belong to another network.
    """
    roots = {name.partition(".")[0] for name in wanted}
    return [name for name, shape in found.items() if name not in wanted and _is_left(name, shape, roots)]


def _is_left(name: str, shape: Sequence[int], roots: set[str]) -> bool:
    root, _, inner = name.partition(".")
    if name.rpartition(".")[2] in COUNTERS:
        return True
    return root not in roots and bool(inner or not list(shape) or list(shape) == [1])

"""The state that modules hold between passes: attributes in which a pass left values that it made of its input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from snnprof.record import provenance
from snnprof.record.call_sites import CallSites
from snnprof.record.provenance import Facts
from snnprof.record.torch_private import tree_leaves

Attribute = tuple[nn.Module, str]


class HeldState:
    """The attributes that hold state, and the facts of their tensors for when learning starts again."""

    def __init__(self, sites: CallSites, names: Mapping[nn.Module, str], attributes: set[Attribute]) -> None:
        self._sites, self._names, self._attributes = sites, names, attributes
        self._facts: dict[Attribute, list[Facts | None]] = {}

    def note_written(self) -> None:
        """Adds the attributes that hold what the pass made of its input."""
        self._attributes |= {
            (module, key)
            for module in self._names
            for key, value in [*module.__dict__.items(), *module._buffers.items()]
            if any(map(self._is_made_of_input, _held(value)))
        }

    def _is_made_of_input(self, value: Any) -> bool:
        """Of tensors the facts tell; NumPy arrays and numbers may be made of it if values of the pass left PyTorch."""
        if not isinstance(value, Tensor):
            return self._sites.left and isinstance(value, np.ndarray | float)
        facts = self._sites.store.get(value)
        return facts is not None and bool(facts.fed_by)

    def remember(self) -> None:
        """Keeps the facts of the tensors in these attributes."""
        store = self._sites.store
        self._facts = {place: [store.get(tensor) for tensor in _tensors_held(*place)] for place in self._attributes}

    def know_again(self) -> None:
        """Gives the tensors that lie there now the facts of those that lay there."""
        for place, known in self._facts.items():
            tensors = _tensors_held(*place)
            if len(tensors) != len(known):  # a list that gets longer: each of its tensors is like those that were in it
                parts = [facts for facts in known if facts]
                known = [provenance.side_by_side(parts)] * len(tensors) if parts else []
            know_state(self._sites, tensors, known)


def know_state(sites: CallSites, tensors: Sequence[Tensor], known: Sequence[Facts | None]) -> None:
    """Stores the facts of tensors that an earlier pass made, since they are no input of this one."""
    for tensor, facts in zip(tensors, known, strict=False):
        if facts is not None and facts.fed_by - {provenance.INPUT}:
            sites.store.set(tensor, facts)


def tensors_in(values: Any) -> list[Tensor]:
    """The tensors in nested lists, tuples and dictionaries."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _held(value: Any, depth: int = 3) -> Iterator[Any]:
    """The leaves of lists, dictionaries and plain objects, and of objects in those."""
    for leaf in tree_leaves(value):
        own = getattr(leaf, "__dict__", None)
        if own and depth and not isinstance(leaf, Tensor | nn.Module | type):
            for inner in own.values():
                yield from _held(inner, depth - 1)
        else:
            yield leaf


def _tensors_held(module: nn.Module, name: str) -> list[Tensor]:
    """The tensors in an attribute of a module, however nested."""
    value = module._buffers.get(name, module.__dict__.get(name))
    return [leaf for leaf in _held(value) if isinstance(leaf, Tensor)]

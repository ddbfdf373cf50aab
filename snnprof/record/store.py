"""What is known of the tensors of a pass, kept by storage, so that `out[t] = spikes` and views need no special care."""

from __future__ import annotations

import math
import weakref
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.parameter import is_lazy

from snnprof.record.decisions import Term, Value
from snnprof.record.provenance import ONE, Facts, real
from snnprof.record.timeaxis import TimeStride
from snnprof.record.torch_private import storage_address
from snnprof.record.values import unknown

Geometry = tuple[tuple[int, ...], tuple[int, ...], int]
"""Shape, strides and offset."""


@dataclass(frozen=True)
class ZeroPadding:
    """Zeros that an operator padded on: (before, after) for each of the last axes of a tensor that looks so."""

    sides: tuple[tuple[int, int], ...]
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @classmethod
    def of(cls, padded: Tensor, widths: Sequence[int]) -> ZeroPadding:
        sides = tuple((max(widths[i], 0), max(widths[i + 1], 0)) for i in range(len(widths) - 2, -1, -2))
        last = padded.dim() - len(sides)
        return cls(sides, tuple(padded.shape[last:]), padded.stride()[last:])

    def around(self, tensor: Tensor, axes: int) -> tuple[tuple[int, int], ...] | None:
        """The widths on the last `axes` axes of a tensor, if it is the padded one and no other view of it."""
        last = tensor.dim() - len(self.sides)
        if last < 0 or tuple(tensor.shape[last:]) != self.shape or tensor.stride()[last:] != self.stride:
            return None
        widths = ((0, 0),) * max(axes - len(self.sides), 0) + self.sides[-axes:]
        return widths if not any(map(any, self.sides[:-axes])) else None


Atom = tuple[int, tuple[int, ...], tuple[int, ...], int]
"""A value as it was written, seen in one shape, stride and offset; aliases of it are the same atom."""
Form = Mapping[Atom, Fraction]
"""A tensor as a sum of values times factors, so that `x + a − a.detach()` is seen to be x."""


@dataclass
class _Entry:
    """What is known of one storage.

    Attributes:
        value: numbers what was written to it last; the same operator on the same values makes the same value.
        form: what that is a sum of, in this geometry; None where it is a value of its own.
        shared: what it held when others than PyTorch got hold of its memory.
    """

    reference: StorageWeakRef | weakref.ref[Tensor]
    facts: Facts
    time: TimeStride | None
    value: int
    geometry: Geometry
    form: Form | None = None
    zeros: ZeroPadding | None = None
    shared: Tensor | None = None

    def gone(self) -> bool:
        if isinstance(self.reference, StorageWeakRef):
            return bool(self.reference.expired())  # type: ignore[no-untyped-call]
        return self.reference() is None


class Store:
    """Facts by storage, for the tensors of a learning pass; holds no tensor alive."""

    def __init__(self) -> None:
        # A weak reference pins the storage's header, so its address names it for as long as the entry lives.
        self._entries: dict[int, _Entry] = {}
        self._values: dict[int, Facts] = {}
        self._numbers: dict[Hashable, int] = {}
        self._next = 0
        self._enough = 0

    def get(self, tensor: Tensor) -> Facts | None:
        entry = self._entry(tensor)
        return entry.facts if entry else None

    def of(self, tensor: Tensor) -> Facts:
        """The facts of a tensor; one that nobody made inside the pass is unknown."""
        entry = self._entry(tensor)
        if entry is not None and not (entry.shared is not None and _was_written(tensor, entry)):
            return entry.facts
        facts = unknown(tensor) if storage_key(tensor) is not None else real(())
        self.set(tensor, facts)
        return facts

    def decide(self, tensor: Tensor, site: int) -> None:
        """A call site compares or rounds a tensor: it, what it is but for constants, and the values that it is a sum of
        are known to have been.

        A potential is often compared as `potential - threshold`, of which nothing later is made, so the potential is
        marked too. A part of a storage says nothing of the others.
        """
        form = self.form(tensor)
        values, but_for_constants = {atom[0] for atom in form}, self._without_constants(form)
        for entry in self._entries.values():
            own = entry.value in values or entry is self._entry(tensor)
            form_of_it = entry.form is not None and self._without_constants(entry.form)
            own = own or bool(but_for_constants and form_of_it == but_for_constants)
            if own and not entry.gone() and tensor.numel() >= math.prod(entry.geometry[0]):
                entry.facts = replace(entry.facts, decided=entry.facts.decided | {site})

    def share(self, tensor: Tensor) -> None:
        """Others than PyTorch get hold of a tensor's memory, as `numpy()` lets them: they may write to it unseen."""
        entry = self._entry(tensor)
        if entry is not None and entry.shared is None:
            entry.shared = tensor.detach().clone()

    def forget(self, tensor: Tensor) -> None:
        """What a tensor holds from now on was made elsewhere."""
        self._entries.pop(_key(tensor), None)

    def time(self, tensor: Tensor) -> TimeStride | None:
        entry = self._entry(tensor)
        return entry.time if entry else None

    def set(
        self,
        tensor: Tensor,
        facts: Facts,
        time: TimeStride | None = None,
        form: Form | None = None,
        made: Hashable = None,
    ) -> None:
        """Says what a tensor holds from now on, and with it all of its storage.

        Args:
            made: operator and operands, where the same ones always make the same values.
        """
        fresh = self._next
        self._next += 1
        value = fresh if made is None else self._numbers.setdefault(made, fresh)
        self._values[value] = self._values[fresh] = facts
        stored = storage_key(tensor) is not None
        reference: Any = StorageWeakRef(tensor.untyped_storage()) if stored else weakref.ref(tensor)  # type: ignore[no-untyped-call]
        self._entries[_key(tensor)] = _Entry(reference, facts, time, value, _geometry(tensor), form)
        if len(self._entries) > self._enough:
            self.forget_dead()
            self._enough = len(self._entries) * 9 // 8 + 8

    def form(self, tensor: Tensor) -> Form:
        """What a tensor is a sum of: itself, where nothing else is known."""
        entry = self._entry(tensor)
        if entry is None:
            return {}
        geometry = _geometry(tensor)
        if entry.form is not None and entry.geometry == geometry:
            return entry.form
        return {(entry.value, *geometry): ONE}

    @property
    def written(self) -> int:
        """How many values were made so far; they are numbered in order."""
        return self._next

    def terms(self, tensor: Tensor) -> dict[Value, Term]:
        """The data that a tensor is a sum of, by value and the part of it (offset and size), in whatever shape."""
        found: dict[Value, Term] = {}
        for (value, shape, _, offset), factor in self.form(tensor).items():
            if value in self._values and self._values[value].data:
                found[value, offset, math.prod(shape)] = Term(abs(factor), self._values[value].ops)
        return found

    def _without_constants(self, form: Form) -> Form:
        """A sum without its constants, scaled so that the first factor is 1."""
        data = {atom: factor for atom, factor in form.items() if atom[0] in self._values and self._values[atom[0]].data}
        first = next(iter(data.values()), ONE)
        return {atom: factor / first for atom, factor in data.items()}

    def new_value(self, facts: Facts, geometry: Tensor) -> Atom:
        """A value that no tensor holds, such as the whole part of one, as long as another."""
        value = self._next
        self._next += 1
        self._values[value] = facts
        return (value, *_geometry(geometry))

    def facts_of_value(self, atom: Atom) -> Facts:
        return self._values[atom[0]]

    def forget_dead(self) -> None:
        """Drops the entries of storages that are gone.

        Each pins its storage's header on the heap, right behind the memory that the next tensors should get.
        """
        dead = [key for key, entry in self._entries.items() if entry.gone()]
        for key in dead:
            del self._entries[key]

    def begin_pass(self) -> None:
        """Forgets all but what the tensors that are left hold."""
        self.forget_dead()
        self._numbers.clear()
        entries = self._entries.values()
        used = {entry.value for entry in entries} | {atom[0] for entry in entries for atom in entry.form or ()}
        self._values = {value: facts for value, facts in self._values.items() if value in used}

    def pad(self, padded: Tensor, zeros: ZeroPadding) -> None:
        """Remembers, until the next write, which of a tensor's elements are padding."""
        if entry := self._entry(padded):
            entry.zeros = zeros

    def padding(self, tensor: Tensor, axes: int) -> tuple[tuple[int, int], ...] | None:
        """Zeros padded on the last `axes` axes of a tensor, as (before, after); None where there are none."""
        entry = self._entry(tensor)
        return entry.zeros.around(tensor, axes) if entry and entry.zeros else None

    def _entry(self, tensor: Tensor) -> _Entry | None:
        return self._entries.get(_key(tensor))


def _was_written(tensor: Tensor, entry: _Entry) -> bool:
    """Whether what others may write to holds something else than it did; of another view of it nobody knows."""
    before = entry.shared
    return before is None or before.shape != tensor.shape or not torch.equal(before, tensor.detach())


def _geometry(tensor: Tensor) -> Geometry:
    strided = (
        not is_lazy(tensor)
        and tensor.layout is torch.strided
        and not tensor.is_nested
        and storage_key(tensor) is not None
    )
    if not strided:
        return (), (), 0
    return tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset())


def storage_key(tensor: Tensor) -> int | None:
    """Names a tensor's storage; None for sparse and opaque tensors, which have none."""
    try:
        return storage_address(tensor.untyped_storage())
    except (NotImplementedError, RuntimeError):
        return None


def _key(tensor: Tensor) -> int:
    """Names a storage or, where there is none, the tensor; addresses of both are apart, and held by references."""
    key = storage_key(tensor)
    return id(tensor) if key is None else key

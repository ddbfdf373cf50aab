"""The facts of all tensors of a pass, by storage: views and `out[t] = spikes` need no further rules."""

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
    """Zeros that an operator padded onto a tensor.

    Attributes:
        sides: (before, after) for each of the last axes.
        shape: sizes of those axes in the padded tensor.
        stride: strides of those axes in the padded tensor.
    """

    sides: tuple[tuple[int, int], ...]
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @classmethod
    def of(cls, padded: Tensor, widths: Sequence[int]) -> ZeroPadding:
        """The padding of a tensor, from the widths that `constant_pad_nd` takes (last axis first)."""
        sides = tuple((max(widths[i], 0), max(widths[i + 1], 0)) for i in range(len(widths) - 2, -1, -2))
        last = padded.dim() - len(sides)
        return cls(sides, tuple(padded.shape[last:]), padded.stride()[last:])

    def around(self, tensor: Tensor, axes: int) -> tuple[tuple[int, int], ...] | None:
        """The widths on the last `axes` axes of a tensor; None for another view, or if other axes are padded, too."""
        last = tensor.dim() - len(self.sides)
        if last < 0 or tuple(tensor.shape[last:]) != self.shape or tensor.stride()[last:] != self.stride:
            return None
        widths = ((0, 0),) * max(axes - len(self.sides), 0) + self.sides[-axes:]
        return widths if not any(map(any, self.sides[:-axes])) else None


Atom = tuple[int, tuple[int, ...], tuple[int, ...], int]
"""A written value in one geometry: the value's number, shape, strides and offset. Aliases are the same atom."""
Form = Mapping[Atom, Fraction]
"""A tensor as a sum of atoms times factors, which shows that `x + a − a.detach()` is x."""


@dataclass
class _Entry:
    """All that is known of one storage.

    Attributes:
        reference: weak reference to the storage; to the tensor, if it has none.
        facts: facts of the values that it holds.
        time: where the time steps lie; None: unknown.
        value: number of the value that was last written to it. The same operator on the same values makes the same
            value.
        geometry: shape, strides and offset of the tensor through which it was written.
        form: the sum that the value is, in this geometry; None: it is no sum of others.
        zeros: zeros that were padded on; None: none.
        shared: the values at the time when code outside PyTorch got access to the memory; None: no such code has.
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
        """Whether the storage no longer exists."""
        if isinstance(self.reference, StorageWeakRef):
            return bool(self.reference.expired())  # type: ignore[no-untyped-call]
        return self.reference() is None


class Store:
    """Facts by storage, for the tensors of a learning pass; keeps no tensor alive."""

    def __init__(self) -> None:
        # A weak reference keeps the storage's header, so no other storage gets its address while the entry exists.
        self._entries: dict[int, _Entry] = {}
        self._values: dict[int, Facts] = {}
        self._numbers: dict[Hashable, int] = {}
        self._next = 0
        self._enough = 0

    def get(self, tensor: Tensor) -> Facts | None:
        """The facts of a tensor; None if none are known."""
        entry = self._entry(tensor)
        return entry.facts if entry else None

    def of(self, tensor: Tensor) -> Facts:
        """The facts of a tensor; those of an unknown one if the pass did not make it, or other code wrote to it."""
        entry = self._entry(tensor)
        if entry is not None and not (entry.shared is not None and _was_written(tensor, entry)):
            return entry.facts
        facts = unknown(tensor) if storage_key(tensor) is not None else real(())
        self.set(tensor, facts)
        return facts

    def decide(self, tensor: Tensor, site: int) -> None:
        """Marks a tensor as compared or rounded at a call site.

        The values that it is a sum of are marked as well, and tensors that differ from it by constants only: code often
        compares `potential - threshold` and later uses the potential. A tensor that covers only a part of a storage
        does not mark that storage.
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
        """Keeps a copy of a tensor whose memory code outside PyTorch may write to from now on, as after `numpy()`."""
        entry = self._entry(tensor)
        if entry is not None and entry.shared is None:
            entry.shared = tensor.detach().clone()

    def forget(self, tensor: Tensor) -> None:
        """Drops the facts of a tensor, whose values now come from elsewhere."""
        self._entries.pop(_key(tensor), None)

    def time(self, tensor: Tensor) -> TimeStride | None:
        """Where the time steps lie in a tensor's storage; None if it is unknown."""
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
        """Sets the facts of a tensor, and with it those of its whole storage.

        Args:
            tensor: the tensor that was written.
            facts: facts of its values.
            time: where the time steps lie in its storage; None: unknown.
            form: the sum that it is; None: it is no sum of others.
            made: operator and operands, if the same ones always make the same values; else None.
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
        """The sum that a tensor is: itself times 1 if it is no sum of others, empty if it has no facts."""
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
        """The terms of a sum that are data, scaled so that the first factor is 1."""
        data = {atom: factor for atom, factor in form.items() if atom[0] in self._values and self._values[atom[0]].data}
        first = next(iter(data.values()), ONE)
        return {atom: factor / first for atom, factor in data.items()}

    def new_value(self, facts: Facts, geometry: Tensor) -> Atom:
        """Makes a value that no tensor holds (such as the whole part of one), in the geometry of another tensor."""
        value = self._next
        self._next += 1
        self._values[value] = facts
        return (value, *_geometry(geometry))

    def facts_of_value(self, atom: Atom) -> Facts:
        """The facts of the value that an atom names."""
        return self._values[atom[0]]

    def forget_dead(self) -> None:
        """Drops the entries of storages that no longer exist.

        Each entry keeps its storage's header on the heap, where it splits the memory that new tensors could use.
        """
        dead = [key for key, entry in self._entries.items() if entry.gone()]
        for key in dead:
            del self._entries[key]

    def begin_pass(self) -> None:
        """Forgets everything that no remaining tensor depends on."""
        self.forget_dead()
        self._numbers.clear()
        entries = self._entries.values()
        used = {entry.value for entry in entries} | {atom[0] for entry in entries for atom in entry.form or ()}
        self._values = {value: facts for value, facts in self._values.items() if value in used}

    def pad(self, padded: Tensor, zeros: ZeroPadding) -> None:
        """Notes which elements of a tensor are padding, until it is written again."""
        if entry := self._entry(padded):
            entry.zeros = zeros

    def padding(self, tensor: Tensor, axes: int) -> tuple[tuple[int, int], ...] | None:
        """Zeros padded onto the last `axes` axes of a tensor, (before, after) for each; None if there are none."""
        entry = self._entry(tensor)
        return entry.zeros.around(tensor, axes) if entry and entry.zeros else None

    def _entry(self, tensor: Tensor) -> _Entry | None:
        return self._entries.get(_key(tensor))


def _was_written(tensor: Tensor, entry: _Entry) -> bool:
    """Whether memory that other code may write to has changed; seen in another shape, it counts as changed."""
    before = entry.shared
    return before is None or before.shape != tensor.shape or not torch.equal(before, tensor.detach())


def _geometry(tensor: Tensor) -> Geometry:
    """A tensor's shape, strides and offset; empty for tensors without strided memory."""
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
    """A key for a tensor's storage; None for sparse and opaque tensors, which have none."""
    try:
        return storage_address(tensor.untyped_storage())
    except (NotImplementedError, RuntimeError):
        return None


def _key(tensor: Tensor) -> int:
    """A key for a tensor's storage or, if it has none, for the tensor; the entry's reference keeps it taken."""
    key = storage_key(tensor)
    return id(tensor) if key is None else key

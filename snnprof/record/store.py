"""What is known of the tensors of a pass, kept by storage, so that `out[t] = spikes` and views need no special care."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from snnprof.record.provenance import ONE, Facts, real
from snnprof.record.timeaxis import TimeAxis
from snnprof.record.values import unknown


Geometry = tuple[tuple[int, ...], tuple[int, ...], int]
"""Shape, strides and offset."""


@dataclass(frozen=True)
class Zeros:
    """Zeros that an operator padded on: (before, after) for each of the last axes of a tensor that looks so."""

    sides: tuple[tuple[int, int], ...]
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @classmethod
    def of(cls, padded: Tensor, widths: Sequence[int]) -> Zeros:
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
        value: numbers what was written to it last.
        form: what that is a sum of, in this geometry; None where it is a value of its own.
    """

    reference: StorageWeakRef
    facts: Facts
    time: TimeAxis | None
    value: int
    geometry: Geometry
    form: Form | None = None
    zeros: Zeros | None = None


class Store:
    """Facts by storage, for the tensors of a learning pass; holds no tensor alive."""

    def __init__(self) -> None:
        # A weak reference pins the storage's header, so its address names it for as long as the entry lives.
        self._entries: dict[int, _Entry] = {}
        self._values: dict[int, Facts] = {}
        self._enough = 0

    def get(self, tensor: Tensor) -> Facts | None:
        entry = self._entry(tensor)
        return entry.facts if entry else None

    def of(self, tensor: Tensor) -> Facts:
        """The facts of a tensor; one never seen before is unknown, of a class without storage real data."""
        if storage_key(tensor) is None:
            return real(())
        facts = self.get(tensor)
        if facts is None:
            facts = unknown(tensor)
            self.set(tensor, facts)
        return facts

    def time(self, tensor: Tensor) -> TimeAxis | None:
        entry = self._entry(tensor)
        return entry.time if entry else None

    def set(self, tensor: Tensor, facts: Facts, time: TimeAxis | None = None, form: Form | None = None) -> None:
        """Says what a tensor holds from now on, and with it all of its storage."""
        key = storage_key(tensor)
        if key is None:
            return
        value = len(self._values)
        self._values[value] = facts
        reference = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        self._entries[key] = _Entry(reference, facts, time, value, _geometry(tensor), form)
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

    def facts_of_value(self, atom: Atom) -> Facts:
        return self._values[atom[0]]

    def forget_dead(self) -> None:
        """Drops the entries of storages that are gone.

        Each pins its storage's header on the heap, right behind the memory that the next tensors should get.
        """
        dead = [key for key, entry in self._entries.items() if entry.reference.expired()]  # type: ignore[no-untyped-call]
        for key in dead:
            del self._entries[key]

    def pad(self, padded: Tensor, zeros: Zeros) -> None:
        """Remembers, until the next write, which of a tensor's elements are padding."""
        if entry := self._entry(padded):
            entry.zeros = zeros

    def padding(self, tensor: Tensor, axes: int) -> tuple[tuple[int, int], ...] | None:
        """Zeros padded on the last `axes` axes of a tensor, as (before, after); None where there are none."""
        entry = self._entry(tensor)
        return entry.zeros.around(tensor, axes) if entry and entry.zeros else None

    def _entry(self, tensor: Tensor) -> _Entry | None:
        key = storage_key(tensor)
        return None if key is None else self._entries.get(key)


def _geometry(tensor: Tensor) -> Geometry:
    return tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset())


def storage_key(tensor: Tensor) -> int | None:
    """Names a tensor's storage; None for sparse and opaque tensors, which have none."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except NotImplementedError:
        return None

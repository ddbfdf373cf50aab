"""Data from a user's iterable: it makes the batches, in its own order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor

from snnprof.activity import DataFacts
from snnprof.errors import SnnprofError
from snnprof.workload import arrays, inputs
from snnprof.workload.batches import (
    DEFAULT_LOADING,
    Batch,
    Batches,
    Labels,
    Loading,
    Needed,
    Sampler,
    batch_axis,
    fingerprint,
    oddity,
    shown,
)
from snnprof.workload.inputs import Input

BATCH_BYTES = 1 << 20  # of the first batch enter the fingerprint; few, since every call of `profile` reads them
OWN_ORDER = "in the order of the iterable itself: shuffle it there if it is sorted and only part of it runs"
LABELS = ("label", "labels", "y", "target", "targets")
"""Usual names of the labels in a batch that is a dictionary."""


class IterableDataset:
    """An iterable of x or (x, label), where x is a batch in the model's layout.

    x is a tensor, a tuple of tensors, or a dictionary of tensors; the first tensor gives the number of samples.
    """

    ordered = False

    def __init__(
        self, items: Iterable[Any], source: str, layout: str, timesteps: int | None, total: int | None = None
    ) -> None:
        self.items, self.layout, self.timesteps = items, layout, timesteps
        self.facts = DataFacts(source=source, kind="iterable", total=total)
        self._still: bool | None = None

    @property
    def no_workers(self) -> str:
        """Why workers cannot read the batches."""
        return (
            f"{self.facts.source} gives whole batches; let it return a map-style Dataset of samples, or a DataLoader "
            "with num_workers"
        )

    def batches(self, sampler: Sampler, needed: Needed, loading: Loading = DEFAULT_LOADING) -> Batches:
        """Draws every batch, also those that are not needed; the last one is cut to the sampler's number of samples.

        Yields:
            Each batch; without x and labels if it is not needed.

        Raises:
            SnnprofError: a batch is empty or is no tensor of numbers, or the user's code failed.
        """
        start = 0
        for number, item in enumerate(self._drawn()):
            x, y = as_batch(item)
            lead = inputs.first(x)
            axis = self._batch_axis(lead)
            if not lead.dim() or not lead.shape[axis]:
                raise SnnprofError(f"batch {number} of {self.facts.source} holds no sample")
            if sampler.samples is not None and start + lead.shape[axis] > sampler.samples:
                x, y = (
                    inputs.narrowed(x, axis, sampler.samples - start),
                    None if y is None else y[: sampler.samples - start],
                )
            if number == 0:
                self._know(item, x, axis, sampler)
            stop = start + inputs.first(x).shape[axis]
            self._know_total(stop)
            yield Batch(start, stop, inputs.mapped(x, self._shown), y) if needed(number, start) else Batch(start, stop)
            start = stop
            if sampler.samples is not None and start >= sampler.samples:
                return

    def _batch_axis(self, x: Tensor) -> int:
        """The axis of x that counts samples.

        In layout `step` the first batch decides for all, since a later one may happen to hold T samples.
        """
        if self._still is None:
            self._still = not x.dim() or batch_axis(x, self.layout, self.timesteps) == 0
        return 0 if self._still or x.dim() < 2 else 1

    def _shown(self, x: Tensor) -> Tensor:
        return shown(x, self.timesteps) if self.layout == "step" and self._still and self.timesteps else x

    def _know(self, item: Any, x: Input, axis: int, sampler: Sampler) -> None:
        """Learns the facts of the data from the first batch; other data or another order give another fingerprint."""
        shape = [size for dim, size in enumerate(inputs.first(x).shape) if dim != axis]
        notes = [None if sampler.samples is None else OWN_ORDER, *_notes(item, x)]
        prints = "".join(fingerprint(tensor, BATCH_BYTES) for tensor in inputs.tensors(x))
        known = {"shape": shape, "fingerprint": prints, "note": "; ".join(filter(None, notes)) or None}
        self.facts = self.facts.model_copy(update=known)

    def _know_total(self, seen: int) -> None:
        """Sets the total number of samples to unknown if the iterable gives more than its length says."""
        said = self.facts.total
        if said is not None and seen > said:
            note = f"the iterable gave more samples than the {said} that its length says"
            notes = "; ".join(filter(None, [self.facts.note, note]))
            self.facts = self.facts.model_copy(update={"total": None, "note": notes})

    def _drawn(self) -> Iterator[Any]:
        """Iterates over the user's iterable, and turns the errors of its code into a SnnprofError."""
        items: Iterator[Any] | None = None
        while True:
            try:
                items = iter(self.items) if items is None else items
                item = next(items)
            except StopIteration:
                return
            except SnnprofError:
                raise
            except Exception as error:
                raise SnnprofError(
                    f"{self.facts.source} failed while it made a batch: {type(error).__name__}: {error}",
                    hint="iterate over it alone first; --debug shows the traceback",
                ) from error
            yield item


def as_batch(item: Any) -> tuple[Input, Labels]:
    """Splits a batch into inputs and labels, as tensors: `x`, `(x, label)`, or a dictionary that may hold the labels.

    Raises:
        SnnprofError: it is none of them.
    """
    x, y = parts(item)
    return as_input(x, "a batch of the data"), None if y is None else as_numbers(y, "the labels of a batch")


def parts(item: Any) -> tuple[Any, Any]:
    """Splits a batch into what goes into the model, and its labels or None."""
    if isinstance(item, Mapping):
        label = next((name for name in LABELS if name in item and len(item) > 1), None)
        return {name: value for name, value in item.items() if name != label}, item.get(label)
    if isinstance(item, tuple | list) and len(item) > 1:
        return item[0], item[1]
    return item, None


def as_input(x: Any, what: str) -> Input:
    """Converts x to a tensor, a tuple of tensors, or a dictionary of tensors; `what` names it in messages.

    Raises:
        SnnprofError: a part of it is no array of numbers.
    """
    if isinstance(x, tuple | list) and len(x) == 1:
        x = x[0]
    if not inputs.several(x):
        return as_numbers(x, what)
    if isinstance(x, Mapping):
        return {str(name): as_numbers(value, f"{name!r} in {what}") for name, value in x.items()}
    return tuple(as_numbers(value, f"input {number} of {what}") for number, value in enumerate(x))


def as_numbers(value: Any, what: str) -> Tensor:
    """Converts a value from the user's code to a dense tensor of real numbers; `what` names it in messages.

    Raises:
        SnnprofError: it cannot be converted.
    """
    try:
        tensor = arrays.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SnnprofError(
            f"{what} must be a tensor or numbers, not {type(value).__name__}",
            hint="yield x, (x, label), ((x1, x2), label) or ({name: x}, label)",
        ) from error
    if odd := oddity(tensor):
        raise SnnprofError(f"{what} must be a plain dense tensor of real numbers, not {odd}")
    return tensor


def _notes(item: Any, x: Input) -> list[str]:
    """Notes for the run file on how the batches were interpreted."""
    found = []
    if not isinstance(x, Tensor) and len(x) > 1:
        found.append(f"the model takes {len(x)} inputs: {inputs.shapes(x)}")
    if isinstance(item, tuple | list) and len(item) > 2:
        found.append(f"a batch has {len(item)} entries: the first is x, the second the labels, others are left out")
    given = parts(item)[0]
    inside = given.values() if isinstance(given, Mapping) else given if isinstance(given, tuple | list) else [given]
    if any(arrays.swapped(value) for value in inside):
        found.append("big-endian numbers are converted")
    return found

"""The user's own iterable: batches come as they are, in its own order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from snnprof.activity import DataFacts
from snnprof.errors import SnnprofError
from snnprof.workload.batches import Batch, Batches, Labels, Needed, Order, batch_axis, fingerprint, oddity, shown

BATCH_BYTES = 1 << 20  # of the first batch: what is read of it each time that a program calls `profile`
OWN_ORDER = "in the order of the iterable itself: shuffle it there if it is sorted and only part of it runs"


class Stream:
    """An iterable of x or (x, label), where x is a batch in the model's layout."""

    ordered = False

    def __init__(
        self, items: Iterable[Any], source: str, layout: str, timesteps: int | None, total: int | None = None
    ) -> None:
        self.items, self.layout, self.timesteps = items, layout, timesteps
        self.facts = DataFacts(source=source, kind="iterable", total=total)
        self._still: bool | None = None

    def batches(self, order: Order, needed: Needed) -> Batches:
        """Every batch is drawn, whether it is needed or not; the last one is cut to the samples asked for."""
        start = 0
        for number, item in enumerate(self._drawn()):
            x, y = as_batch(item)
            axis = self._batch_axis(x)
            if not x.dim() or not x.shape[axis]:
                raise SnnprofError(f"batch {number} of {self.facts.source} holds no sample")
            if order.samples is not None and start + x.shape[axis] > order.samples:
                x, y = x.narrow(axis, 0, order.samples - start), None if y is None else y[: order.samples - start]
            if number == 0:
                self._know(x, axis, order)
            stop = start + x.shape[axis]
            yield Batch(start, stop, self._shown(x), y) if needed(number, start) else Batch(start, stop)
            start = stop
            if order.samples is not None and start >= order.samples:
                return

    def _batch_axis(self, x: Tensor) -> int:
        """Layout `step`: the first batch decides for all; a later one may happen to hold as many samples as steps."""
        if self._still is None:
            self._still = not x.dim() or batch_axis(x, self.layout, self.timesteps) == 0
        return 0 if self._still or x.dim() < 2 else 1

    def _shown(self, x: Tensor) -> Tensor:
        return shown(x, self.timesteps) if self.layout == "step" and self._still and self.timesteps else x

    def _know(self, x: Tensor, axis: int, order: Order) -> None:
        """The first batch tells the data apart from other data, and from itself in another order."""
        shape = [size for dim, size in enumerate(x.shape) if dim != axis]
        note = None if order.samples is None else OWN_ORDER
        known = {"shape": shape, "fingerprint": fingerprint(x, BATCH_BYTES), "note": note}
        self.facts = self.facts.model_copy(update=known)

    def _drawn(self) -> Iterator[Any]:
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
                    hint="iterate over it on its own first; --debug shows where",
                ) from error
            yield item


def as_batch(item: Any) -> tuple[Tensor, Labels]:
    """`x` or `(x, label)`, as tensors.

    Raises:
        SnnprofError: it is neither.
    """
    x, y = (item[0], item[1]) if isinstance(item, tuple | list) and len(item) > 1 else (item, None)
    if isinstance(x, tuple | list) and len(x) == 1:
        x = x[0]
    return as_numbers(x, "a batch of the data"), None if y is None else as_numbers(y, "the labels of a batch")


def as_numbers(value: Any, what: str) -> Tensor:
    """What the user's own code made, as a tensor of plain numbers.

    Raises:
        SnnprofError: it is none.
    """
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SnnprofError(
            f"{what} is {type(value).__name__}, not a tensor or numbers", hint="yield x or (x, label)"
        ) from error
    if odd := oddity(tensor):
        raise SnnprofError(f"{what} must be a plain dense tensor of real numbers, not {odd}")
    return tensor

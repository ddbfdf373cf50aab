"""What was read of a tensor is not read again while nobody writes to it: q, k and v are projections of one operand.

A tensor's version, which every write through autograd raises, tells whether its values are those that were read; the
watcher says which storages other operators wrote to. Inference tensors keep no version and are read each time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from snnprof.record.reduce import tracing

_STORAGES = 16


class Recall:
    """Answers by storage and question, for the storages read last; holds no tensor alive."""

    def __init__(self) -> None:
        # A weak reference pins the storage's header, so its address names it for as long as the entry lives.
        self._known: OrderedDict[int, tuple[StorageWeakRef, int, dict[Hashable, Any]]] = OrderedDict()

    def answers(self, values: Tensor) -> dict[Hashable, Any]:
        """What is known of the storage behind these values as they are; what is added to it is known from then on."""
        if tracing() or values.is_inference():
            return {}
        storage, version = values.untyped_storage(), values._version
        entry = self._known.get(storage._cdata)
        if entry is None or entry[1] != version:
            entry = (StorageWeakRef(storage), version, {})  # type: ignore[no-untyped-call]
            self._known[storage._cdata] = entry
            if len(self._known) > _STORAGES:
                self._known.popitem(last=False)
        return entry[2]

    def forget(self, written: Tensor) -> None:
        """Its storage was written to."""
        if self._known:
            self._known.pop(written.untyped_storage()._cdata, None)

    def clear(self) -> None:
        self._known.clear()


RECALL = Recall()
"""Shared by all counts, as their working memory is; emptied when a recording ends."""

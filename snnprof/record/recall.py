"""What was read of a tensor is not read again while nobody writes to it: q, k and v are projections of one operand.

A tensor's version, which every write through autograd raises, tells whether its values are those that were read; the
watcher says which storages other operators wrote to. Inference tensors keep no version and are read each time.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, UntypedStorage
from torch.multiprocessing.reductions import StorageWeakRef

from snnprof.record.reduce import is_whole

_STORAGES = 16
_COPY = "made as a copy"


class Content:
    """What is known of all the values of a storage that does not depend on their order; its copies share it.

    Attributes:
        answers: by question; a question may be about equal stretches of memory, where those are `ordered`.
    """

    def __init__(self) -> None:
        self.answers: dict[Hashable, Any] = {}
        self._rows = 0

    def ordered(self, stretches: int) -> bool:
        """Whether so many equal stretches hold the same values in all copies."""
        return self._rows % stretches == 0

    def copied(self, source: Tensor, result: Tensor) -> None:
        """From now on a copy shares it, which may order memory otherwise within the rows of its first dimension."""
        if source.stride() != result.stride():
            outermost = all(rows.dim() and rows.stride(0) * len(rows) == rows.numel() for rows in (source, result))
            self._rows = math.gcd(self._rows, len(source) if outermost else 1)


@dataclass
class Known:
    """What is known of a storage; what is added is known from then on.

    Attributes:
        answers: by question, which names the part of the storage it is about; copies made alike share them.
        content: what is known of all its values.
        asked: questions that tensors made like it were asked, with the geometry of the view that was asked where that
            is another; None where making one tells no answer.
        made: the geometry that it was made in, where `asked` is known.
    """

    answers: dict[Hashable, Any] = field(default_factory=dict)
    content: Content = field(default_factory=Content)
    asked: dict[Any, None] | None = None
    made: Any = None


class Recall(threading.local):
    """What is known of the storages read last, by each thread; holds no tensor alive."""

    def __init__(self) -> None:
        # A weak reference pins the storage's header, so its address names it for as long as the entry lives.
        self._known: OrderedDict[int, tuple[StorageWeakRef, int, Known]] = OrderedDict()
        self.asked: dict[Hashable, dict[Any, None]] = {}
        self._exposed: dict[int, StorageWeakRef] = {}

    def about(self, values: Tensor) -> tuple[Known, Content | None]:
        """What is known of the storage behind these values as they are, and of the values if they are all of it.

        Nothing where nothing is remembered.
        """
        storage = values.untyped_storage()
        if values.is_inference() or storage._cdata in self._exposed:
            known = Known()
        else:
            entry = self._known.get(storage._cdata)
            current = entry is not None and entry[1] == values._version
            known = entry[2] if entry is not None and current else self._enter(values, storage, Known())
        return known, known.content if is_whole(values) else None

    def _enter(self, values: Tensor, storage: UntypedStorage, known: Known) -> Known:
        self._known[storage._cdata] = StorageWeakRef(storage), values._version, known  # type: ignore[no-untyped-call]
        if len(self._known) > _STORAGES:
            self._known.popitem(last=False)
        return known

    def copied(self, source: Tensor, result: Tensor) -> None:
        """One tensor is a copy of the other: copies made alike share what is known of any."""
        if result.is_inference():
            return
        made = (
            _COPY,
            source.shape,
            source.stride(),
            source.storage_offset(),
            result.dtype,
            result.shape,
            result.stride(),
        )
        known, content = self.about(source)
        if made not in known.answers:
            whole = content is not None and is_whole(result)
            known.answers[made] = Known(content=known.content if whole else Content())
        if known.answers[made].content is known.content:
            known.content.copied(source, result)
        self._enter(result, result.untyped_storage(), known.answers[made])

    def expose(self, values: Tensor) -> None:
        """Others than PyTorch may write to its storage, which raises no version: it is read each time."""
        storage = values.untyped_storage()
        self._known.pop(storage._cdata, None)
        self._exposed[storage._cdata] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]

    def forget(self, written: Tensor) -> None:
        """Its storage was written to."""
        if self._known:
            self._known.pop(written.untyped_storage()._cdata, None)

    def clear(self) -> None:
        """Forgets all contents."""
        self._known.clear()
        gone = [key for key, reference in self._exposed.items() if reference.expired()]  # type: ignore[no-untyped-call]
        for key in gone:
            del self._exposed[key]

    def end(self) -> None:
        """Forgets what was asked as well: a recording is over."""
        self.clear()
        self.asked.clear()


RECALL = Recall()
"""Shared by all counts of a thread, as their working memory is; emptied when a recording ends."""

"""Samples read one by one when their turn comes: data sets larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from snnprof.errors import SnnprofError
from snnprof.workload import inputs
from snnprof.workload.batches import Indexed, Labels, fingerprint
from snnprof.workload.inputs import Input

THREADS = 4
Sample = tuple[Input, Any]


def _nothing(position: int) -> Sample:
    raise NotImplementedError


def _same(x: Tensor) -> Tensor:
    return x


@dataclass
class Samples(Indexed):
    """The next batch is read while one runs.

    Attributes:
        load: gives one sample as stored, and its label or null, by its position.
        prepare: makes a batch of stored samples what the model takes.
        describe: says for the note what the first batch of stored samples holds.
        threads: how many samples are read at once.
    """

    load: Callable[[int], Sample] = _nothing
    prepare: Callable[[Tensor], Tensor] = _same
    describe: Callable[[Tensor], str] | None = None
    threads: int = THREADS
    _known: bool = field(default=False, repr=False)

    def read(self, chosen: Iterable[list[int]]) -> Iterator[tuple[Input, Labels]]:
        with ThreadPoolExecutor(self.threads) as pool:
            coming: list[Future[Sample]] | None = None
            for positions in chosen:
                now, coming = coming, [pool.submit(self._loaded, position) for position in positions]
                if now is not None:
                    yield self._stacked(now)
            if coming is not None:
                yield self._stacked(coming)

    def _loaded(self, position: int) -> Sample:
        try:
            return self.load(position)
        except SnnprofError:
            raise
        except Exception as error:
            raise SnnprofError(
                f"sample {position} of {self.facts.source} cannot be read: {type(error).__name__}: {error}"
            ) from error

    def _stacked(self, coming: list[Future[Sample]]) -> tuple[Input, Labels]:
        samples = [future.result() for future in coming]
        try:
            x = inputs.joined([x for x, _ in samples])
            labels = [torch.as_tensor(y) for _, y in samples if y is not None]
            y = torch.stack(labels) if len(labels) == len(samples) else None
        except RuntimeError as error:
            shapes = sorted({inputs.shapes(x) for x, _ in samples})
            raise SnnprofError(
                f"the samples of {self.facts.source} differ in shape: {', '.join(shapes[:3])}"
            ) from error
        self._know(inputs.first(x), "".join(map(fingerprint, inputs.tensors(x))))
        return inputs.mapped(x, self.prepare), y

    def _know(self, first: Tensor, fingerprints: str) -> None:
        """What only the first batch shows."""
        if self._known:
            return
        self._known = True
        facts = self.facts
        note = facts.note if self.describe is None else f"{facts.note}; {self.describe(first)}"
        shape = facts.shape or list(self.prepare(first).shape[1:])
        known = {"shape": shape, "fingerprint": facts.fingerprint or fingerprints, "note": note}
        self.facts = facts.model_copy(update=known)

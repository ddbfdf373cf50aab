"""Data sets larger than memory: each sample is read when its batch is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from snnprof.errors import SnnprofError, first_line
from snnprof.workload import inputs
from snnprof.workload.batches import fingerprint
from snnprof.workload.inputs import Input
from snnprof.workload.map_dataset import Loaded, MapDataset

Sample = tuple[Input, Any]


def _nothing(position: int) -> Sample:
    """The default of `LazyDataset.load`: a field after fields with defaults needs one."""
    raise NotImplementedError


def _same(x: Tensor) -> Tensor:
    return x


@dataclass
class LazyDataset(MapDataset):
    """Samples that a function reads by their position.

    Attributes:
        load: reads the sample at a position, as stored, and its label or None.
        prepare: converts a batch of stored samples to what the model takes.
        describe: describes the first batch of stored samples, for the note in the run file.
    """

    load: Callable[[int], Sample] = _nothing
    prepare: Callable[[Tensor], Tensor] = _same
    describe: Callable[[Tensor], str] | None = None
    _known: bool = field(default=False, repr=False)

    def read(self, positions: list[int]) -> Loaded:
        """See `MapDataset.read`.

        Raises:
            SnnprofError: a sample cannot be read, or the samples differ in shape.
        """
        samples = [self._sample(position) for position in positions]
        try:
            x = inputs.joined([x for x, _ in samples])
            labels = [torch.as_tensor(y) for _, y in samples if y is not None]
            y = torch.stack(labels) if len(labels) == len(samples) else None
        except RuntimeError as error:
            shapes = sorted({inputs.shapes(x) for x, _ in samples})
            raise SnnprofError(
                f"the samples of {self.facts.source} differ in shape: {', '.join(shapes[:3])}"
            ) from error
        if not self._known:
            self._know(x)
        return inputs.mapped(x, self.prepare), y

    def _sample(self, position: int) -> Sample:
        try:
            return self.load(position)
        except SnnprofError:
            raise
        except (Exception, SystemExit) as error:
            raise SnnprofError(
                f"sample {position} of {self.facts.source} cannot be read: {type(error).__name__}: {first_line(error)}"
            ) from error

    def _know(self, x: Input) -> None:
        """Completes the facts with what only the first batch shows: shape, fingerprint and description."""
        self._known = True
        facts, first = self.facts, inputs.first(x)
        note = facts.note if self.describe is None else f"{facts.note}; {self.describe(first)}"
        shape = facts.shape or list(self.prepare(first).shape[1:])
        prints = facts.fingerprint or "".join(map(fingerprint, inputs.tensors(x)))
        self.facts = facts.model_copy(update={"shape": shape, "fingerprint": prints, "note": note})

"""Looks for NaN and infinity in a model's input and for NaN in its output, in every batch; notes the first."""

from __future__ import annotations

import torch
from torch import Tensor

from snnprof.record.layers import held
from snnprof.record.recorder import Recorder
from snnprof.record.suspend import Unseen
from snnprof.record.torch_private import functions_disabled

HINTS = {
    "the data": "Look for divisions by zero and missing values in how the data are prepared; a neuron that reads NaN "
    "never fires again",
    "the model's output": "Check the checkpoint, the normalisation and --amp; the accuracy of such samples is void",
}


class NotFinite:
    """Counts the affected samples of each batch on the device; the counts are read at the end of a block."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._told: set[str] = set()
        self._counts: list[tuple[str, int, int, Tensor]] = []

    def look(self, what: str, number: int, tensor: Tensor | None, axis: int = 0, infinite: bool = True) -> None:
        """Counts the affected samples of a batch, which lie along `axis`.

        Pass `infinite=False` for outputs: a masked output may be infinite for good reason.
        """
        tensor = None if tensor is None else held(tensor)
        if tensor is None or what in self._told or not tensor.is_floating_point() or tensor.dim() <= axis:
            return
        with Unseen(), functions_disabled():
            odd = ~torch.isfinite(tensor) if infinite else torch.isnan(tensor)
            samples = odd.movedim(axis, 0).flatten(1).any(1).sum() if odd.dim() > 1 else odd.sum()
        self._counts.append((what, number, tensor.shape[axis], samples))

    def tell(self) -> None:
        """Notes the first affected batch of the data and of the output."""
        for what, number, size, samples in self._counts:
            if what not in self._told and int(samples):
                self._told.add(what)
                kind = "NaN" if what != "the data" else "NaN or infinity"
                self._recorder.note(
                    "C25", "", f"Batch {number} has {kind} in {what}, in {int(samples)} of its {size} samples; "
                    "later batches may have them too", HINTS[what],
                )  # fmt: skip
        self._counts.clear()

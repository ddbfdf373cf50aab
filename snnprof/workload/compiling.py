"""`--compile`: the first batch runs as it is, the others of its shape as one compiled graph that counts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from snnprof.record.compiled import CompiledModel, NotCompiled
from snnprof.record.recorder import Recorder


class Compiling:
    """A model under a recorder that runs compiled where it can, and says where it could not.

    The first batch teaches the recorder what each operation is. A batch of another shape (the last one) runs as it
    is: compiling again takes longer than that.
    """

    def __init__(self, model: nn.Module, recorder: Recorder) -> None:
        self.model, self.recorder = model, recorder
        self._shape: torch.Size | None = None
        self._compiled: CompiledModel | None = None

    def __call__(self, x: Tensor) -> Any:
        """One batch.

        Raises:
            SnnprofError: the compiled graph ran other operations than the first batch did.
        """
        if self._shape is None:
            self._shape = x.shape
            self.recorder.books.script = []
            self._compiled = CompiledModel(self.model, self.recorder)
        elif self._compiled is not None and x.shape == self._shape:
            try:
                self.recorder.step_aside()
                return self._compiled(x)
            except NotCompiled as reason:
                self._give_up(str(reason))
        self.recorder.step_in()
        return self.model(x)

    def forget(self) -> None:
        """What was learned on the first batch is forgotten: it runs once more."""
        self._shape = self._compiled = None

    def _give_up(self, reason: str) -> None:
        self._compiled = None
        self.recorder.note(
            "C10",
            "",
            f"the model does not compile into one graph and ran eagerly: {reason}",
            "profile without --compile; the counts are the same",
        )

"""`--compile`: the first batch runs eagerly, the others of its shape as one compiled graph that also counts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from snnprof.record.compiled import CompiledModel, NotCompiled, OtherOperations
from snnprof.record.recorder import Recorder

_PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, torch.Size)
_OF_MODULES = frozenset(vars(nn.Module())) - {"training"}


class Compiling:
    """A model under a recorder that runs compiled where possible, and notes where it was not.

    From the first batch the recorder learns what each operation is. A batch of another shape, such as the last one,
    runs eagerly, since compiling again would take longer. So does a batch before which an attribute of the model has
    changed: the model may then run other operations than those of the first batch.
    """

    def __init__(self, model: nn.Module, recorder: Recorder) -> None:
        self.model, self.recorder = model, recorder
        self._shape: torch.Size | None = None
        self._compiled: CompiledModel | None = None
        self._attributes: dict[str, str] = {}

    def __call__(self, x: Tensor) -> Any:
        """Runs one batch."""
        if self._shape is None:
            self._shape, self._attributes = x.shape, _attributes(self.model)
            self.recorder.sites.script = []
            self._compiled = CompiledModel(self.model, self.recorder)
        elif self._compiled is not None and x.shape == self._shape and not self._changed():
            try:
                self.recorder.detach()
                return self._compiled(x)
            except (NotCompiled, OtherOperations) as reason:
                self._give_up(f"The model does not compile into one graph and ran eagerly: {reason}")
        self.recorder.attach()
        return self.model(x)

    def forget(self) -> None:
        """Forgets the first batch; the next one takes its place."""
        self._shape = self._compiled = None

    def _changed(self) -> bool:
        """Whether an attribute that existed before the first batch has another value now."""
        found = _attributes(self.model)
        different = [name for name, value in self._attributes.items() if found.get(name, value) != value]
        self._attributes = {**found, **self._attributes}
        if different:
            self._say(f"Batches ran eagerly if {different[0]} had changed since the first one")
        return bool(different)

    def _give_up(self, reason: str) -> None:
        self._compiled = None
        self._say(reason)

    def _say(self, text: str) -> None:
        self.recorder.note("C10", "", text, "Profile without --compile; the counts are the same")


def _attributes(model: nn.Module) -> dict[str, str]:
    """The numbers and texts among the attributes of the model's modules; they may decide which operations run."""
    return {
        f"{place}.{name}" if place else name: repr(value)
        for place, module in model.named_modules()
        for name, value in vars(module).items()
        if name not in _OF_MODULES and _is_plain(value)
    }


def _is_plain(value: object) -> bool:
    return isinstance(value, _PLAIN) or (isinstance(value, tuple) and all(map(_is_plain, value)))

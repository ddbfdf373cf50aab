"""Tracks which module of a model is running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


class Whereabouts:
    """Tracks the innermost running module of a model."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._path: list[str] = []

    @property
    def layer(self) -> str:
        """The path of the innermost running module; "" for the model itself."""
        return self._path[-1] if self._path else ""

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Tracks the modules by forward hooks inside the block."""
        handles = []
        for name, module in self._model.named_modules():
            handles.append(module.register_forward_pre_hook(self._entering(name)))
            handles.append(module.register_forward_hook(self._left, always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._path.clear()

    def _entering(self, name: str) -> Any:
        def enter(module: nn.Module, args: Any) -> None:
            self._path.append(name)

        return enter

    def _left(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._path:
            self._path.pop()

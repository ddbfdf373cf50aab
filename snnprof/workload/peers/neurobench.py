"""Runs NeuroBench's metric SynapticOperations on a model, for each module with weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import torch
from neurobench.metrics.workload import SynapticOperations
from neurobench.models import TorchModel
from torch import nn

from snnprof.against.records import Call, Ops
from snnprof.errors import SnnprofError, first_line


class NeuroBench:
    """NeuroBench's metric, computed after each batch from the inputs that its hooks keep of each module."""

    own, energy_pj = Ops(), None

    def __init__(self, model: nn.Module) -> None:
        self.calls: list[Call] = []
        self.dense = 0.0
        self._names = {module: name for name, module in model.named_modules()}
        self._model = TorchModel(model)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See `run.Counter.watching`."""
        self._model.register_hooks()
        try:
            yield
            self.calls = [call for hook in self._model.connection_hooks for call in self._counted(hook)]
        finally:
            self._model.cleanup_hooks()

    def _counted(self, hook: object) -> Iterator[Call]:
        """Yields one entry for each call of the hook's module.

        Yields:
            The call with the operations that the metric counts.

        Raises:
            SnnprofError: the metric does not know the module.
        """
        layer: nn.Module = hook.layer  # type: ignore[attr-defined]
        for inputs in list(hook.inputs):  # type: ignore[attr-defined]
            one = SimpleNamespace(layer=layer, inputs=[inputs], hook=hook.hook, register_hook=lambda: None)  # type: ignore[attr-defined]
            metric = SynapticOperations()
            try:
                metric(SimpleNamespace(connection_hooks=[one]), None, (torch.empty(1),))
            except Exception as error:  # for modules that it does not know, it raises errors of any kind
                name = self._names[layer]
                raise SnnprofError(f"NeuroBench cannot count {name!r}: {first_line(error)}") from error
            self.dense += metric.total_synops
            yield Call(self._names[layer], "contraction", Ops(acs=metric.AC, macs=metric.MAC))


counter = NeuroBench

"""The parameters and buffers of a model: they are weights, since they depend on no input."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from snnprof.record import layers, values
from snnprof.record.pass_state import PassState
from snnprof.record.provenance import Facts
from snnprof.record.store import storage_key


class KnownWeights:
    """The names of a model's parameters, and which of them operators read.

    Attributes:
        names: of all parameters seen so far.
        read: names of parameters that any operator read, be it a view.
        used: names of those that a counted operator read while learning.
        late: names of those that a contraction read after learning.
    """

    def __init__(self, state: PassState) -> None:
        self.names: set[str] = set()
        self.read: set[str] = set()
        self.used: set[str] = set()
        self.late: set[str] = set()
        self._state = state
        self._by_address: dict[int, str] = {}

    def know(self, module: nn.Module, path: str) -> None:
        """Stores the facts of the parameters and buffers that a module holds now."""
        for key, parameter in module._parameters.items():
            if parameter is not None and not is_lazy(parameter):
                for part in layers.parts_of(parameter) or [parameter]:  # of a sharded one, what lies here
                    self._know_parameter(part, f"{path}.{key}".lstrip("."))
        for buffer in module._buffers.values():
            if buffer is not None and not is_lazy(buffer) and self._state.store.get(buffer) is None:
                self._state.store.set(buffer, values.constant(buffer))

    def _know_parameter(self, parameter: Tensor, name: str) -> None:
        if storage_key(parameter) is None:
            return
        known = self._state.store.get(parameter)
        if known is None or not known.params:
            name = self._by_address.setdefault(_address(parameter), name)
            self.names.add(name)
            self._state.store.set(parameter, replace(_of_parameter(parameter), params=frozenset([name])))

    def name_of(self, tensor: Tensor) -> str | None:
        """The name of the parameter whose memory a tensor shares; of shared parameters, the first name."""
        return self._by_address.get(_address(tensor))


def _address(tensor: Tensor) -> int:
    """The address of a tensor's memory; 0 for tensors of classes without storage."""
    try:
        return int(tensor.untyped_storage().data_ptr())
    except (NotImplementedError, RuntimeError):
        return 0


def _of_parameter(parameter: Tensor) -> Facts:
    """A parameter of one element scales by its value; larger ones erase the grid of what they multiply."""
    return values.constant(parameter) if parameter.numel() == 1 else Facts()

"""Records every spike of a running model by forward hooks; for one sample only, since all of them are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from snnprof.record.layers import modules_of
from snnprof.record.recorder import Recorder
from snnprof.spike_trace import SpikeTrace

if TYPE_CHECKING:
    from snnprof.spike_trace import Array

Calls = dict[str, list[Tensor]]


class Trace:
    """The recorded spikes and inputs of layers, call by call."""

    def __init__(self) -> None:
        self._neurons: Calls = {}
        self._inputs: Calls = {}

    def keep_output(self, name: str, spikes: Tensor) -> None:
        """Keeps the spikes of one call of a neuron layer."""
        self._neurons.setdefault(name, []).append(spikes.detach().float().cpu())

    def keep_input(self, name: str, tensor: Tensor) -> None:
        """Keeps the input of one call of a module with weights."""
        self._inputs.setdefault(name, []).append(tensor.detach().float().cpu())

    def of(self, steps: int) -> SpikeTrace:
        """The spikes and inputs by time step; layers whose values do not divide into `steps` are left out."""
        return SpikeTrace(steps, _by_step(self._neurons, steps), _by_step(self._inputs, steps))


def _by_step(calls: Mapping[str, list[Tensor]], steps: int) -> dict[str, Array]:
    """The values of each layer as [T, elements].

    With a single sample, time is the first axis longer than 1, or each step is a call; so the values of the calls in a
    row only need to be cut into T pieces.
    """
    joined = {name: torch.cat([call.reshape(-1) for call in each]) for name, each in calls.items()}
    return {name: flat.reshape(steps, -1).numpy() for name, flat in joined.items() if flat.numel() % steps == 0}


@contextmanager
def traced(recorder: Recorder) -> Iterator[Trace]:
    """Yields a trace that records the output of neuron layers and the input of modules with weights."""
    trace = Trace()
    handles = [module.register_forward_hook(_output(trace, recorder, module)) for module in recorder.watched]
    for name, module in modules_of(recorder.model).items():
        if isinstance(getattr(module, "weight", None), Tensor):
            handles.append(module.register_forward_pre_hook(_input(trace, name)))
    try:
        yield trace
    finally:
        for handle in handles:
            handle.remove()


def _output(trace: Trace, recorder: Recorder, module: nn.Module) -> Callable[..., None]:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        spikes = recorder.watched[module].kind.spikes(output)
        if spikes is not None:
            trace.keep_output(recorder.name_of(module), spikes)

    return hook


def _input(trace: Trace, name: str) -> Callable[..., None]:
    def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            trace.keep_input(name, args[0])

    return hook

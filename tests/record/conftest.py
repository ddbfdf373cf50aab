"""A brute-force count to check the recorder by, and a short way to record one pass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snnprof.activity import Activity, OpRecord
from snnprof.record.recorder import Recorder

OPTIONS = {"layout": "layout", "input_kind": "input", "neuron": "neuron"}


class Forward(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


@pytest.fixture
def as_module() -> Callable[[Callable[..., Any]], nn.Module]:
    return Forward


@pytest.fixture
def record() -> Callable[..., Activity]:
    """`record(model, *inputs, samples=…, …)`: the Activity of one pass; a function is taken for a model."""
    return record_pass


def record_pass(
    model: Any, *inputs: Any, samples: int | None = None, timesteps: int | None = None, **kw: Any
) -> Activity:
    module = model if isinstance(model, nn.Module) else Forward(model)
    options = {name: kw.pop(key) for key, name in OPTIONS.items() if key in kw}
    with Recorder(module, timesteps=timesteps, **options) as recorder:
        module(*inputs, **kw)
    return recorder.activity(samples=samples)


@pytest.fixture
def only(record: Callable[..., Activity]) -> Callable[..., OpRecord]:
    """The one contraction of one pass; nothing may be left uncounted."""

    def run(*args: Any, **kwargs: Any) -> OpRecord:
        activity = record(*args, **kwargs)
        assert activity.uncounted == []
        (op,) = activity.ops
        return op

    return run


@pytest.fixture
def spikes() -> Callable[..., Tensor]:
    """Random spikes of up to `levels` levels, with a seed of their own."""

    def make(*shape: int, rate: float = 0.3, levels: int = 1, signed: bool = False, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        fired = torch.rand(shape, generator=generator) < rate
        size = torch.randint(1, levels + 1, shape, generator=generator)
        sign = torch.randint(0, 2, shape, generator=generator) * 2 - 1 if signed else torch.ones(shape)
        return (fired * size * sign).float()

    return make


class Brute:
    """Counts by running the layer itself in float64 on operands that hold only what is to be counted."""

    @staticmethod
    def events(layer: nn.Module, x: Tensor) -> int:
        """Non-zero inputs × weight positions."""
        return Brute._run(layer, (x != 0).double(), live=False)

    @staticmethod
    def by_value(layer: nn.Module, x: Tensor, quantum: float = 1.0) -> int:
        return Brute._run(layer, (x.double() / quantum).round().abs(), live=False)

    @staticmethod
    def effective(layer: nn.Module, x: Tensor) -> int:
        return Brute._run(layer, (x != 0).double(), live=True)

    @staticmethod
    def valid(layer: nn.Module, x: Tensor) -> int:
        return Brute._run(layer, torch.ones_like(x).double(), live=False)

    @staticmethod
    def _run(layer: nn.Module, x: Tensor, live: bool) -> int:
        ones = copy.deepcopy(layer).double().requires_grad_(False)
        for parameter in ones.parameters():
            if parameter.dim() == 1:
                parameter.zero_()
            elif live:
                parameter.copy_((parameter != 0).double())
            else:
                parameter.fill_(1)
        return int(ones(x).sum().round())


@pytest.fixture
def brute() -> type[Brute]:
    return Brute

"""The quantised ANN of examples/: low-bit activations, INT8 weights, and every product a MAC."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch

import snnprof
from snnprof import conventions


@pytest.fixture(scope="module")
def example(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("examples/train_quantised_ann.py")


def test_activations_have_as_many_levels_as_their_bits_allow(example: ModuleType) -> None:
    quantised = example.QuantisedReLU(2)
    x = torch.linspace(-1, 3, 41)
    levels = quantised(x).unique()
    assert len(levels) == 4
    assert torch.allclose(levels, levels[1] * torch.arange(4))
    assert levels[-1] == 3.0


def test_weights_are_rounded_to_int8(example: ModuleType) -> None:
    model = example.network(4, 16)
    example.round_weights(model)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            steps = module.weight / (module.weight.abs().max() / 127)
            assert torch.allclose(steps, steps.round(), atol=1e-3)


def test_its_products_are_macs_where_levels_are_multiplied(example: ModuleType) -> None:
    model = example.network(4, 16).eval()
    activity = snnprof.profile(model, torch.rand(2, 1, 16, 16), self_check=False)
    report = snnprof.price(activity, "cmos45-int8", conventions.find("exact").with_options(levels="mac"))
    assert report.totals.sops == 0
    assert report.totals.macs == sum(op.valid_macs for op in activity.ops)
    assert not any(type(module).__name__ == "LIF" for module in model.modules())

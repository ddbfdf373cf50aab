"""Attention read off running models equals attention computed by hand from their q and k spikes."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snnprof.errors import SnnprofError
from snnprof.workload.attention_tap import tapped

SMALL = {"depth": 2, "width": 16, "classes": 3, "timesteps": 2, "in_channels": 1}
IMAGES = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def built(name: str, **settings: object) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = import_module(f"snnprof.models.{name}").build(**{**SMALL, **settings})
    for module in model.modules():  # so that something fires
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.constant_(module.bias, 1.5)
    return model.eval()


def spikes_of(model: nn.Module, *names: str) -> Mapping[str, Tensor]:
    """What named neuron layers send in one pass."""
    seen: dict[str, Tensor] = {}

    def noting(name: str) -> object:
        return lambda module, inputs, output: seen.__setitem__(name, output)

    handles = [model.get_submodule(name).register_forward_hook(noting(name)) for name in names]  # type: ignore[arg-type]
    with torch.no_grad():
        model(IMAGES)
    for handle in handles:
        handle.remove()
    return seen


def mapped(model: nn.Module, samples: int = 3) -> dict[str, tuple[str, np.ndarray]]:
    with tapped(model) as tap, torch.no_grad():
        model(IMAGES)
    return {layer.layer: (layer.kind, layer.values) for layer in tap.maps(samples)}


@pytest.mark.parametrize(("name", "scale"), [("spikformer", 0.125), ("ssa_bin", None)])
def test_the_matrix_is_that_of_q_and_k(name: str, scale: float | None) -> None:
    model = built(name, heads=2, **({"row": "baseline"} if name == "ssa_bin" else {}))
    names = [f"block.1.attn.{x}_lif" for x in "qk"]
    q, k = (spikes_of(model, *names)[n].unflatten(-1, (2, 8)).transpose(2, 3) for n in names)
    products = torch.einsum("tbhnd,tbhmd->tbhnm", q, k)
    expected = products * scale if scale else (products > 0).float()
    kind, values = mapped(model)["block.1.attn"]
    assert kind == "matrix"
    assert expected.any()
    np.testing.assert_allclose(values, expected.mean((0, 2)), atol=1e-6)


def test_without_a_matrix_it_is_what_the_attention_lets_through() -> None:
    linear = built("spikformer", variant="imagenet", heads=2)
    sent = spikes_of(linear, "block.0.attn.attn_lif")["block.0.attn.attn_lif"]
    kind, values = mapped(linear)["block.0.attn"]
    assert kind == "activity"
    np.testing.assert_allclose(values, sent.mean((0, 2)), atol=1e-6)
    masked = built("saformer")
    names = ["block.0.attn.q_lif", "block.0.attn.attn_lif"]
    q, mask = (spikes_of(masked, *names)[n] for n in names)
    np.testing.assert_allclose(mapped(masked)["block.0.attn"][1], (q * mask).mean((0, 2)), atol=1e-6)


def test_only_as_many_samples_as_asked_for() -> None:
    assert {values.shape for _, values in mapped(built("spikformer", heads=2), samples=2).values()} == {(2, 16, 16)}


def test_nothing_is_left_behind() -> None:
    model = built("spikformer", heads=2)
    with pytest.raises(ZeroDivisionError), tapped(model):
        raise ZeroDivisionError
    assert not any(module._forward_hooks for module in model.modules())


def test_a_model_that_shows_nothing_is_refused() -> None:
    with pytest.raises(SnnprofError, match="does not show its attention"), tapped(nn.Linear(2, 2)):
        pass


def test_a_map_must_say_what_it_is() -> None:
    class AttentionMap(nn.Identity):
        kind = "picture"

    with pytest.raises(SnnprofError, match="must have a kind, one of matrix, activity"), tapped(AttentionMap()):
        pass

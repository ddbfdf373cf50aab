import pytest
import torch
from torch import nn
from torch.nn import functional

from snnprof.errors import SnnprofError
from snnprof.models import spikingformer

SMALL = {"depth": 2, "width": 32, "heads": 4, "classes": 10, "timesteps": 3}
POOLED = {"cifar": (3, 4), "dvs": (1, 2, 3, 4), "imagenet": (1, 2, 3, 4)}


class Written:
    """The network written out step by step from a state dict, with SpikingJelly's neurons."""

    def __init__(self, state, variant):
        self.state = state
        self.pooled = POOLED[variant]
        self.tau = 1.5 if variant == "dvs" else 2.0
        self.stem = [f"block{i}" if variant == "cifar" else f"proj{i or ''}" for i in range(5)]

    def logits(self, x):
        stream = self.layer(f"patch_embed.{self.stem[0]}", x, padding=1)
        for i, name in enumerate(self.stem[1:], 1):
            spikes = self.lif(stream)
            if i in self.pooled:
                spikes = torch.stack([functional.max_pool2d(step, 3, 2, 1) for step in spikes])
            stream = self.layer(f"patch_embed.{name}", spikes, padding=1)
        for block in ("block.0", "block.1"):
            stream = stream + self.attention(f"{block}.attn", self.lif(stream))
            hidden = self.layer(f"{block}.mlp.mlp1", self.lif(stream))
            stream = stream + self.layer(f"{block}.mlp.mlp2", self.lif(hidden))
        return functional.linear(stream.mean((0, 3, 4)), self.state["head.weight"], self.state["head.bias"])

    def attention(self, path, spikes):
        q, k, v = (self.lif(self.layer(f"{path}.{x}", spikes)).flatten(3).unflatten(2, (4, -1)) for x in "qkv")
        gated = torch.einsum("tbhci,tbhcj,tbhdj->tbhdi", q, k, v).flatten(2, 3) * 0.125
        return self.layer(f"{path}.proj", self.lif(gated, 0.5).reshape(spikes.shape))

    def layer(self, path, x, padding=0):
        weight, bias = self.state[f"{path}_conv.weight"], self.state.get(f"{path}_conv.bias")
        weight = weight if weight.dim() == 4 else weight.unsqueeze(-1)
        y = torch.stack([functional.conv2d(step, weight, bias, padding=padding) for step in x])
        norm = (self.state[f"{path}_bn.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        mean, var, scale, shift = (each.view(-1, 1, 1) for each in norm)
        return (y - mean) / (var + 1e-5).sqrt() * scale + shift

    def lif(self, x, threshold=1.0):
        neurons = pytest.importorskip("spikingjelly.activation_based.neuron")
        return neurons.LIFNode(tau=self.tau, v_threshold=threshold, v_reset=0.0, step_mode="m")(x)


@pytest.mark.parametrize("variant", sorted(POOLED))
def test_logits_agree_with_the_network_written_out(variant, lively, images):
    model = lively(spikingformer.build(variant, **SMALL))
    frames = images.expand(3, *images.shape) if variant != "dvs" else images[:, :2].expand(3, 2, 2, 64, 64)
    with torch.no_grad():
        expected = Written(model.state_dict(), variant).logits(frames)
        torch.testing.assert_close(model(images if variant != "dvs" else frames.transpose(0, 1)), expected)
    assert expected.std() > 0


@pytest.mark.parametrize("variant", ["cifar", "imagenet"])
def test_only_spikes_reach_weights_but_those_of_the_first_convolution_and_the_head(variant, lively, images):
    model, seen = lively(spikingformer.build(variant, **SMALL)), {}
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            module.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0].unique().tolist()}))
    with torch.no_grad():
        model(images)
    real = {name for name, values in seen.items() if not set(values) <= {0.0, 1.0}}
    assert real == {f"patch_embed.{'block0' if variant == 'cifar' else 'proj'}_conv", "head"}
    assert len(seen) == 5 + 2 * 6 + 1


def test_the_unused_parameters_get_no_gradient_and_all_others_do():
    model = spikingformer.build(**SMALL)
    model(torch.rand(2, 3, 16, 16)).sum().backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {f"block.{i}.norm{j}.{part}" for i in range(2) for j in (1, 2) for part in ("weight", "bias")}


@pytest.mark.parametrize(("variant", "first"), [("cifar", [256, 8]), ("imagenet", [8, 16])])
def test_each_variants_products_run_in_its_own_order(variant, first, lively, profiled):
    """The left operand of the first product is Q, [N, d], or Kᵀ, [d, N]; N is 16² or 4²."""
    activity = profiled(lively(spikingformer.build(variant, **SMALL)))
    products = [op for op in activity.ops if op.op == "matmul"]
    assert [op.layer for op in products] == ["block.0.attn"] * 2 + ["block.1.attn"] * 2
    assert products[0].shape["left"][-2:] == first


@pytest.mark.parametrize(
    ("settings", "words"), [({"variant": "svhn"}, "unknown variant 'svhn'"), ({"pools": [0]}, "stages 1 to 4")]
)
def test_impossible_options_are_refused(settings, words):
    with pytest.raises(SnnprofError, match=words):
        spikingformer.build(**settings)

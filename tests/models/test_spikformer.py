import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from snnprof import catalogue
from snnprof.errors import SnnprofError
from snnprof.models import spikformer
from snnprof.models.neuron import LIF
from snnprof.workload import models

DATA = Path(__file__).parent.parent / "data"
LAYOUTS = {path.stem.removeprefix("spikformer-"): path for path in (DATA / "layouts").glob("spikformer-*.json")}
MACS = json.loads((DATA / "macs_per_layer.json").read_text())
SMALL = {"depth": 2, "width": 32, "heads": 4, "timesteps": 3}


def on_meta(preset):
    with torch.device("meta"):
        return models.untrained(f"spikformer:{preset}").eval()


def lively(model, seed=0):
    """Random batch norms, so that neurons of an untrained network fire."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.05, 0.3, generator=generator)
            module.bias.data.uniform_(0.0, 1.0, generator=generator)
    return model.eval()


def sample(variant, batch=2):
    shape = (batch, 3, 2, 32, 32) if variant == "dvs" else (batch, 3, 32, 32)
    return torch.rand(shape, generator=torch.Generator().manual_seed(5)) * 2


def test_every_published_configuration_has_a_layout():
    assert len(LAYOUTS) == 11
    assert set(LAYOUTS) <= set(catalogue.entry("spikformer").presets)


@pytest.mark.parametrize("preset", sorted(LAYOUTS))
def test_state_dict_is_the_official_one(preset):
    layout = json.loads(LAYOUTS[preset].read_text())
    model = on_meta(preset)
    state = {
        name: f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}".replace(" ", "")
        for name, tensor in model.state_dict().items()
    }
    assert list(state.items()) == list(layout["state"].items())
    parameters = dict(model.named_parameters())
    assert sum(p.numel() for p in parameters.values()) == layout["parameters"]
    dead = [name for name in parameters if "norm" in name or name == "pos_embed"]
    assert layout["parameters"] - sum(parameters[name].numel() for name in dead) == layout["parameters_used"]


@pytest.mark.parametrize("variant", ["cifar", "dvs", "imagenet"])
def test_the_unused_parameters_get_no_gradient_and_all_others_do(variant):
    model = spikformer.build(variant=variant, **SMALL)
    model(sample(variant)).sum().backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    norms = {f"block.{i}.norm{j}.{part}" for i in range(2) for j in (1, 2) for part in ("weight", "bias")}
    extra = {"pos_embed", "norm.weight", "norm.bias"} if variant == "dvs" else set()
    assert without == norms | extra


@pytest.mark.parametrize("preset", sorted(MACS))
def test_dense_macs_per_layer(preset):
    facts, model = MACS[preset], on_meta(preset)
    shape = catalogue.preset("spikformer", preset).sample_shape()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, *shape, device="meta"))
    counted = {name.partition(".")[2]: ops for name, ops in counter.get_flop_counts().items()}
    macs = {name: sum(ops.values()) // 2 for name, ops in counted.items()}
    assert {name: macs[name] for name in facts["layers"]} == facts["layers"]
    products = {name: counted[name][torch.ops.aten.bmm] // 2 for name in facts["attention"]}
    assert products == facts["attention"]
    assert counter.get_total_flops() // 2 == facts["total"]


@pytest.mark.parametrize(
    ("preset", "macs"),
    [
        ("4-384-cifar10", lambda n, d, heads: 2 * n * n * d),
        ("8-512-imagenet", lambda n, d, heads: 2 * n * d * d // heads),
    ],
)
def test_attention_products_follow_the_order_of_each_file(preset, macs):
    settings = catalogue.preset("spikformer", preset).settings
    tokens = {"4-384-cifar10": 8 * 8, "8-512-imagenet": 14 * 14}[preset]
    expected = settings["timesteps"] * macs(tokens, settings["width"], settings["heads"])
    assert MACS[preset]["attention"]["block.0.attn"] == expected


@pytest.mark.parametrize("variant", ["cifar", "dvs", "imagenet"])
def test_attention_is_the_scaled_product_per_head(variant):
    """Against sums written out per head; spikes make every order of multiplication exact."""
    attn = lively(spikformer.build(variant=variant, **SMALL)).block[0].attn
    shape = {"cifar": (3, 2, 16, 32), "dvs": (3, 2, 32, 16), "imagenet": (3, 2, 32, 4, 4)}[variant]
    seen = {}
    for name in ("q_lif", "k_lif", "v_lif"):
        attn.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    attn.attn_lif.register_forward_pre_hook(lambda _, args: seen.update(gated=args[0]))
    with torch.no_grad():
        assert attn(torch.randint(0, 3, shape, generator=torch.Generator().manual_seed(0)).float()).shape == shape

    by_channel = (lambda x: x) if variant != "cifar" else (lambda x: x.transpose(-1, -2))
    q, k, v = (by_channel(seen[name]).reshape(3, 2, 4, 8, 16) for name in ("q_lif", "k_lif", "v_lif"))
    weights = torch.einsum("tbhci,tbhcj->tbhij", q, k)
    gated = torch.einsum("tbhij,tbhcj->tbhci", weights, v) * {"cifar": 0.125, "dvs": 0.25, "imagenet": 0.125}[variant]
    assert by_channel(seen["gated"]).equal(gated.reshape(3, 2, 32, 16))
    assert gated.count_nonzero()


@pytest.mark.parametrize("variant", ["cifar", "dvs", "imagenet"])
def test_every_spike_agrees_with_spikingjelly_neurons(variant, spikingjelly):
    model = lively(spikformer.build(variant=variant, pools=(3, 4), **SMALL))
    x = sample(variant)
    ours = spikes_of(model, x)
    for name, module in list(model.named_modules()):
        if isinstance(module, LIF):
            theirs = spikingjelly.LIFNode(
                tau=module.tau, v_threshold=module.v_threshold, v_reset=0.0, detach_reset=True, step_mode="m"
            )
            model.set_submodule(name, theirs)
    reference = spikes_of(model, x)
    assert ours.keys() == reference.keys()
    assert len(ours) == 5 + 2 * 7
    for name, spikes in ours.items():
        assert spikes.equal(reference[name]), name
    assert all(spikes.any() for spikes in ours.values())
    assert sum(spikes.mean() < 1 for spikes in ours.values()) >= len(ours) - 2


class Written:
    """The network written out step by step on [T, B, N, D] tokens, from a state dict, with SpikingJelly's neurons."""

    def __init__(self, state, heads, pooled, scale):
        self.state, self.heads, self.pooled, self.scale = state, heads, pooled, scale

    def logits(self, x):
        for i in range(4):
            x = self.fired(f"patch_embed.proj_conv{i or ''}", f"patch_embed.proj_bn{i or ''}", x)
            x = torch.stack([functional.max_pool2d(step, 3, 2, 1) for step in x]) if i + 1 in self.pooled else x
        x = x + self.fired("patch_embed.rpe_conv", "patch_embed.rpe_bn", x)
        x = x.flatten(3).transpose(2, 3)
        depth = len({name.split(".")[1] for name in self.state if name.startswith("block.")})
        for block in (f"block.{i}" for i in range(depth)):
            x = x + self.attention(f"{block}.attn", x)
            x = x + self.token_layer(f"{block}.mlp.fc2", self.token_layer(f"{block}.mlp.fc1", x))
        return functional.linear(x.mean((0, 2)), self.state["head.weight"], self.state["head.bias"])

    def attention(self, path, x):
        q, k, v = (self.token_layer(f"{path}.{name}", x).unflatten(3, (self.heads, -1)) for name in "qkv")
        gated = torch.einsum("tbihc,tbjhc,tbjhd->tbihd", q, k, v).flatten(3) * self.scale
        return self.token_layer(f"{path}.proj", self.lif(gated, 0.5))

    def token_layer(self, path, x):
        kind = "linear" if f"{path}_linear.weight" in self.state else "conv"
        weight, bias = self.state[f"{path}_{kind}.weight"], self.state.get(f"{path}_{kind}.bias")
        y = functional.linear(x, weight.flatten(1), bias)
        return self.lif(self.norm(f"{path}_bn", y.movedim(3, 1)).movedim(1, 3))

    def fired(self, conv, norm, x):
        y = torch.stack([functional.conv2d(step, self.state[f"{conv}.weight"], padding=1) for step in x])
        return self.lif(self.norm(norm, y.transpose(1, 2)).transpose(1, 2))

    def norm(self, path, x):
        mean, var, scale, shift = (
            self.state[f"{path}.{name}"].view(-1, *[1] * (x.dim() - 2))
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def lif(self, x, threshold=1.0):
        neurons = pytest.importorskip("spikingjelly.activation_based.neuron")
        node = neurons.LIFNode(tau=2.0, v_threshold=threshold, v_reset=0.0, detach_reset=True, step_mode="m")
        return node(x)


@pytest.mark.parametrize(
    ("variant", "pooled", "scale"),
    [("cifar", (3, 4), 0.125), ("dvs", (1, 2, 3, 4), 0.25), ("imagenet", (1, 2, 3, 4), 0.125)],
)
def test_logits_agree_with_the_network_written_out(variant, pooled, scale):
    model = lively(spikformer.build(variant=variant, **SMALL).double())
    shape = (2, 3, 2, 64, 64) if variant == "dvs" else (2, 3, 64, 64)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(5)).double()
    frames = x.transpose(0, 1) if variant == "dvs" else x.expand(3, *shape)
    with torch.no_grad():
        expected = Written(model.state_dict(), SMALL["heads"], pooled, scale).logits(frames)
        torch.testing.assert_close(model(x), expected)
    assert expected.std() > 0


def spikes_of(model, x):
    seen = {}
    handles = [
        module.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.clone()}))
        for name, module in model.named_modules()
        if name.endswith("_lif") or "_lif" in name.rpartition(".")[2]
    ]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return seen


def test_residual_streams_hold_small_whole_numbers():
    model = lively(spikformer.build(variant="cifar", **SMALL))
    streams = []
    for block in model.block:
        block.register_forward_hook(lambda _, __, out: streams.append(out))
    with torch.no_grad():
        model(sample("cifar"))
    for depth, stream in enumerate(streams, start=1):
        assert stream.equal(stream.round())
        assert 2 <= stream.max() <= 2 * depth + 2


def test_an_image_is_shown_at_every_step():
    model = lively(spikformer.build(variant="cifar", **SMALL))
    seen = []
    model.patch_embed.proj_conv.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x = sample("cifar")
    with torch.no_grad():
        model(x)
    assert seen[0].unflatten(0, (3, 2)).equal(x.expand(3, *x.shape))


def test_event_frames_bring_their_own_steps():
    model = lively(spikformer.build(variant="dvs", **SMALL))
    x = torch.rand(2, 5, 2, 32, 32)
    steps = []
    model.head.register_forward_pre_hook(lambda _, args: steps.append(args[0]))
    model.patch_embed.register_forward_hook(lambda _, __, out: steps.append(out.shape[0]))
    with torch.no_grad():
        model(x)
    assert steps[0] == 5
    assert steps[1].shape == (2, 32)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"variant": "cifr"}, "unknown variant"),
        ({"width": 60}, "multiple of 8"),
        ({"width": 64, "heads": 5}, "does not divide by 5 heads"),
        ({"depth": 0}, "depth must be a positive whole number"),
        ({"depth": 2.5}, "depth must be a positive whole number"),
        ({"pools": [5]}, "stages 1 to 4"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(SnnprofError, match=words):
        spikformer.build(**settings)


@pytest.mark.parametrize(("variant", "shape"), [("cifar", (2, 3, 3, 32, 32)), ("dvs", (2, 2, 32, 32))])
def test_an_input_with_other_axes_is_refused(variant, shape):
    with pytest.raises(SnnprofError, match="this model takes"):
        spikformer.build(variant=variant, **SMALL)(torch.zeros(shape))

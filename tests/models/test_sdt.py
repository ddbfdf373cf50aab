import pytest
import torch
from torch import nn

from snnprof import conventions
from snnprof.conventions import sdt as conventions_sdt
from snnprof.errors import SnnprofError
from snnprof.models import sdt
from snnprof.models.neuron import LIF

SMALL = {"depth": 2, "width": 32, "heads": 4, "classes": 10, "timesteps": 3}


def spikes(seed, rate=0.2):
    return (torch.rand(3, 2, 32, 4, 4, generator=torch.Generator().manual_seed(seed)) < rate).float()


def test_attention_is_the_papers_per_head():
    """K ∘ V per head [T, B, h, N, d], summed over tokens, through a neuron of threshold 0.5, as a mask of Q."""
    q, k, v = (spikes(seed) for seed in range(3))
    per_head = [x.flatten(3).unflatten(2, (4, 8)).transpose(-1, -2) for x in (q, k, v)]
    with torch.no_grad():
        gate = LIF(v_threshold=0.5)((per_head[1] * per_head[2]).sum(-2, keepdim=True))
        masked = (per_head[0] * gate).transpose(-1, -2).flatten(2, 3).reshape(q.shape)
        assert sdt.SDSA(32, 4).masked(q, k, v).equal(masked)
    assert 0 < gate.mean() < 1


def widened(x):
    """The largest of each 3 × 3 neighbourhood of the last two axes, by shifting a padded copy."""
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    height, width = x.shape[-2:]
    return torch.stack([padded[..., i : i + height, j : j + width] for i in range(3) for j in range(3)]).amax(0)


def test_on_events_pools_widen_k_v_their_product_and_what_passes():
    """The last two over tokens and a head's channels, as the official code has them."""
    q, k, v = (spikes(seed, rate=0.1) for seed in range(3))

    def per_head(x):
        return x.flatten(3).unflatten(2, (4, 8)).transpose(-1, -2)

    with torch.no_grad():
        both = widened(per_head(widened(k)) * per_head(widened(v)))
        gate = LIF(v_threshold=0.5)(both.sum(-2, keepdim=True))
        passed = widened(per_head(q) * gate).transpose(-1, -2).flatten(2, 3).reshape(q.shape)
        assert sdt.EventSDSA(32, 4).masked(q, k, v).equal(passed)
    assert passed.count_nonzero() > q.count_nonzero()


def test_event_frames_are_counted_in_full(lively):
    import snnprof

    model = lively(sdt.build("dvs", **SMALL)).float()
    frames = (torch.rand(2, 5, 2, 32, 32, generator=torch.Generator().manual_seed(1)) < 0.3).float() * 3
    activity = snnprof.profile(model, frames, layout="batch", timesteps=5)
    assert (activity.coverage, activity.uncounted) == (1.0, [])
    assert activity.self_check.equal == activity.self_check.rows == len(activity.ops)
    lines = {(line.layer, line.op): line.elements for line in activity.elementwise}
    slots = 5 * 2 * 32 * 4 * 4
    assert [lines["block.0.attn", op] for op in ("mask", "reduce")] == [2 * slots, slots]
    assert lines["block.0.attn", "pool"] >= 4 * slots


@pytest.mark.parametrize("variant", ["cifar", "imagenet"])
def test_only_spikes_reach_weights_after_the_first_convolution(variant, lively, images):
    model, seen = lively(sdt.build(variant, **SMALL)), {}
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0].unique().tolist()}))
    with torch.no_grad():
        model(images[..., :32, :32])
    assert len(seen.pop("patch_embed.proj_conv")) > 2
    assert len(seen) == 4 + 2 * 6 + 1
    assert all(set(values) <= {0.0, 1.0} for values in seen.values())


def test_the_unused_parameters_get_no_gradient_and_all_others_do():
    model = sdt.build("cifar", **SMALL)
    model(torch.rand(2, 3, 16, 16)).sum().backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {f"block.{i}.attn.talking_heads.weight" for i in range(2)}


def test_masks_and_sums_are_lines_and_nothing_else_is_counted(lively, images, profiled):
    """Two masks and one sum of N · D per block and step; the sum adds once per place where K and V both fired."""
    model, seen = lively(sdt.build("cifar", **SMALL)).float(), {}
    lines = {(line.layer, line.op): line for line in profiled(model).elementwise}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    with torch.no_grad():
        model(images.float())
    slots = 3 * 2 * 32 * 16 * 16
    for path in ("block.0.attn", "block.1.attn"):
        both = seen[f"{path}.k_lif"] * seen[f"{path}.v_lif"]
        mask, reduce = lines[path, "mask"], lines[path, "reduce"]
        assert (mask.elements, reduce.elements) == (2 * slots, slots)
        assert reduce.nonzero == both.count_nonzero() > 0
        assert {op for layer, op in lines if layer == path} == {"mask", "reduce"}


def test_its_own_convention_knows_its_parts(lively, profiled):
    """Q, K, V at the mean rate of their neurons, the sum at the spikes of Q and K, the stem in full at each step."""
    activity = profiled(lively(sdt.build("cifar", **SMALL)))
    lines = {(line.layer, line.op): line.counts for line in conventions.find("sdt").lines(activity)}
    neurons = {neuron.layer: neuron for neuron in activity.neurons}
    slots = 3 * 2 * 32 * 16 * 16
    for path in ("block.0.attn", "block.1.attn"):
        q, k, v = (neurons[f"{path}.{letter}_lif"] for letter in "qkv")
        for letter in "qkv":
            mean = (q.rate + k.rate + v.rate) / 3
            assert lines[f"{path}.{letter}_conv", "conv"].acs == pytest.approx(mean * slots * 32)
        assert lines[path, "reduce"].adds == q.spikes + k.spikes > 0
    assert lines["patch_embed.proj_conv", "conv"].macs == 3 * 2 * 64 * 64 * 27 * 4
    assert conventions_sdt.unrecognised(activity) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"variant": "svhn"}, "unknown variant 'svhn'"),
        ({"pools": [5]}, "stages 1 to 4"),
        ({"heads": 5}, "does not divide by 5 heads"),
        ({"depth": 0}, "depth must be a positive whole number"),
    ],
)
def test_impossible_options_are_refused(settings, words):
    with pytest.raises(SnnprofError, match=words):
        sdt.build(**settings)

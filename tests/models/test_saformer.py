import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from snnprof.errors import SnnprofError
from snnprof.models import saformer
from snnprof.models.neuron import LIF
from snnprof.workload import models

SMALL = {"depth": 2, "width": 32, "timesteps": 3}


def fire(x, threshold):
    with torch.no_grad():
        return LIF(v_threshold=threshold)(x)


def masks(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.rand(3, 2, 32, 4, 4, generator=generator) < 0.05).float() for _ in range(2)]


def test_channels_of_q_are_masked_by_pooled_sums_of_k():
    q, k = masks()
    pooled = k.unflatten(3, (2, 2)).unflatten(5, (2, 2)).amax((4, 6))
    gate = fire(pooled.sum((3, 4), keepdim=True), 0.5)
    assert 0 < gate.mean() < 1
    assert saformer.SASA(32, "max", "channel", "q", 3).masked(q, k).equal(q * gate)


def test_mean_and_sum_aggregate_the_same_up_to_the_window():
    q, k = masks()
    for aggregate, factor in (("mean", 0.25), ("sum", 1.0)):
        gate = fire(k.sum((3, 4), keepdim=True) * factor, 0.5)
        assert saformer.SASA(32, aggregate, "channel", "q", 3).masked(q, k).equal(q * gate)


def test_tokens_of_k_are_masked_by_sums_of_q():
    q, k = masks()
    assert saformer.SASA(32, "max", "token", "q", 3).masked(q, k).equal(k * fire(q.sum(2, keepdim=True), 0.5))


@pytest.mark.parametrize("variant", ["cifar", "dvs"])
def test_only_binary_maps_reach_weights_after_the_stem(variant):
    model = saformer.build(variant=variant, **SMALL).train()
    shape = (2, 3, 2, 32, 32) if variant == "dvs" else (2, 3, 32, 32)
    seen = {}
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0].unique().tolist()}))
    model(torch.rand(shape)).sum().backward()
    assert seen.pop("patch_embed.proj_conv") != [0.0, 1.0]
    assert len(seen) == 4 + 2 * 6 + 1
    assert all(set(values) <= {0.0, 1.0} for values in seen.values())
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_dense_macs_of_a_block():
    """q, k, proj: 3 N D²; MLP: 8 N D²; depth-wise 3×3: 9 N D; no product of two activations."""
    with torch.device("meta"):
        model = models.untrained("saformer:reconstruction-4-384-cifar10").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, 3, 32, 32, device="meta"))
    counted = counter.get_flop_counts()["SAFormer.block.0"]
    tokens, width, steps = 64, 384, 4
    assert sum(counted.values()) // 2 == steps * (11 * tokens * width**2 + 9 * tokens * width)
    assert torch.ops.aten.bmm not in counted


@pytest.mark.parametrize(
    "options", [{"aggregate": "mean"}, {"mask": "token"}, {"detail": "s", "kernel": 5}, {"detail": "k"}]
)
def test_alternatives_run(options):
    model = saformer.build(**SMALL, **options).eval()
    with torch.no_grad():
        assert model(torch.rand(2, 3, 24, 24)).shape == (2, 10)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"aggregate": "median"}, "aggregate must be one of max, mean, sum"),
        ({"mask": "none"}, "mask must be one of"),
        ({"kernel": 4}, "odd"),
        ({"variant": "imagenet"}, "variant must be one of"),
    ],
)
def test_impossible_options_are_refused(settings, words):
    with pytest.raises(SnnprofError, match=words):
        saformer.build(**settings)

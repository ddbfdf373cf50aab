import pytest
import torch

from snnprof.errors import SnnprofError
from snnprof.models import qkformer
from snnprof.models.neuron import LIF

SIZES = {"width": 64, "heads": 4, "classes": 10, "timesteps": 3}
DEPTH = {"cifar": 4, "dvs": 2, "imagenet": 5}


def test_tokens_of_k_pass_where_a_heads_queries_fire():
    """Written out per head: a token's queries are summed over the head's channels, threshold 0.5, as a mask of K."""
    q, k = (
        (torch.rand(3, 2, 4, 8, 9, generator=torch.Generator().manual_seed(seed)) < 0.08).float() for seed in range(2)
    )
    with torch.no_grad():
        gate = LIF(v_threshold=0.5)(torch.einsum("tbhcn->tbhn", q))
        expected = torch.einsum("tbhn,tbhcn->tbhcn", gate, k)
        assert qkformer.TokenQK(32, 4).masked(q, k).equal(expected)
    assert 0 < gate.mean() < 1


@pytest.mark.parametrize("variant", ["cifar", "imagenet"])
def test_stages_halve_the_grid_and_add_spikes(variant, lively, images):
    """From 64 × 64: CIFAR 64, 32, 16 and ImageNet 16, 8, 4; an embedding adds two spikes, so its values are 0, 1, 2."""
    model, seen = lively(qkformer.build(variant, depth=DEPTH[variant], **SIZES)), []
    for i in (1, 2, 3):
        getattr(model, f"patch_embed{i}").register_forward_hook(lambda *args: seen.append(args[2]))
    with torch.no_grad():
        assert model(images).shape == (2, 10)
    largest = 64 if variant == "cifar" else 16
    assert [tuple(x.shape[2:]) for x in seen] == [(16 << i, largest >> i, largest >> i) for i in range(3)]
    assert all(set(x.unique().tolist()) <= {0.0, 1.0, 2.0} and x.any() for x in seen)
    blocks = [len(stage) for stage in (model.stage1, model.stage2, model.stage3)]
    assert blocks == {"cifar": [1, 1, 2], "imagenet": [1, 2, 2]}[variant]


@pytest.mark.parametrize("variant", ["cifar", "dvs", "imagenet"])
def test_every_parameter_gets_a_gradient(variant):
    model = qkformer.build(variant, depth=DEPTH[variant], **SIZES)
    model(torch.rand(2, 3, 2, 32, 32) if variant == "dvs" else torch.rand(2, 3, 32, 32)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_event_network_has_two_stages_and_an_encoder_of_two_convolutions(lively, images):
    """From 64 × 64 to 8 × 8 and 4 × 4; its state dict goes stage by stage, and the paper's has 1.50 million weights."""
    model, seen = lively(qkformer.build("dvs", depth=2, **SIZES)), []
    for i in (1, 2):
        getattr(model, f"patch_embed{i}").register_forward_hook(lambda *args: seen.append(args[2]))
    with torch.no_grad():
        assert model(images[:, None, :2].expand(2, 3, 2, 64, 64)).shape == (2, 10)
    assert [tuple(x.shape) for x in seen] == [(3, 2, 32, 8, 8), (3, 2, 64, 4, 4)]
    assert all(set(x.unique().tolist()) <= {0.0, 1.0, 2.0} and x.any() for x in seen)
    assert list(dict.fromkeys(name.partition(".")[0] for name in model.state_dict())) == [
        "patch_embed1", "stage1", "patch_embed2", "stage2", "head",
    ]  # fmt: skip
    assert model.stage2[0].ssa.heads == model.stage1[0].tssa.heads == 4
    published = qkformer.build("dvs", depth=2, width=256, heads=16, timesteps=16, mlp_ratio=1)
    assert round(sum(parameter.numel() for parameter in published.parameters()) / 1e6, 2) == 1.5


def test_masks_and_sums_are_lines_and_products_run_in_the_last_stage_alone(lively, profiled):
    """A sum adds once per spike of Q; sum and mask have N · D slots per step each."""
    model = lively(qkformer.build("cifar", depth=4, **SIZES))
    activity = profiled(model)
    spikes = {neuron.layer: neuron.spikes for neuron in activity.neurons}
    lines = {(line.layer, line.op): line for line in activity.elementwise}
    for stage, width, tokens in ((1, 16, 64**2), (2, 32, 32**2)):
        path, slots = f"stage{stage}.0.tssa", 3 * 2 * width * tokens
        assert lines[path, "mask"].elements == lines[path, "reduce"].elements == slots
        assert lines[path, "reduce"].nonzero == spikes[f"{path}.q_lif"] > 0
    products = [op.layer for op in activity.ops if op.op == "matmul"]
    assert products == ["stage3.0.ssa"] * 2 + ["stage3.1.ssa"] * 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"variant": "svhn"}, "unknown variant 'svhn'"),
        ({"depth": 1}, "depth must be at least 2"),
        ({"variant": "imagenet", "depth": 2}, "depth must be at least 3"),
        ({"width": 64, "heads": 32}, "the first stage of width 64 has 16 channels, which do not divide by 32 heads"),
        ({"mlp_ratio": 0}, "mlp_ratio must be a positive whole number"),
    ],
)
def test_impossible_options_are_refused(settings, words):
    with pytest.raises(SnnprofError, match=words):
        qkformer.build(**settings)

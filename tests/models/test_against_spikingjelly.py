"""Every spike of our networks against SpikingJelly's own versions of them, with the same random weights.

Theirs differ from the official code, and these tests make the two equal without changing what is compared: the
convolutions of their stems have biases (set to 0), the projections of their QKFormer have none (ours are set to 0), Q
and K, or Q, K and V, are one layer there (ours are joined), and their head reads the mean over time of what the
official SDT reads at each step (equal but for rounding). Their QKFormer's heads default to (3, 6, 6); the official
code has the same in all stages. They have no Spikingformer, and no CIFAR form of QKFormer.
"""

import pytest
import torch
from torch import nn

from snnprof.models import qkformer, sdt
from snnprof.models.neuron import LIF
from snnprof.models.spikformer import STEM_STAGES

pytest.importorskip("spikingjelly.activation_based.model.qkformer")


def outputs(model, kind, x):
    """What each layer of a kind put out, by its name, in the order in which they ran; and the logits."""
    seen, hooks = [], []
    for name, module in model.named_modules():
        if isinstance(module, kind):
            hooks.append(module.register_forward_hook(lambda _, __, out, name=name: seen.append((name, out))))
    with torch.no_grad():
        logits = model(x)
    for hook in hooks:
        hook.remove()
    return seen, logits


def set_to(module, weights, biases=None):
    """Fills a convolution, linear layer or batch norm; `weights` and `biases` are joined along the channels."""
    with torch.no_grad():
        joined = torch.cat(weights)
        module.weight.copy_(joined.reshape(module.weight.shape))
        if module.bias is not None:
            module.bias.copy_(torch.cat(biases)) if biases else module.bias.zero_()


def set_norm(norm, sources):
    set_to(norm, [source.weight for source in sources], [source.bias for source in sources])
    norm.running_mean.copy_(torch.cat([source.running_mean for source in sources]))
    norm.running_var.copy_(torch.cat([source.running_var for source in sources]))


def copy(theirs, *stages):
    """One of their layers and its norm, from the stages of ours that it joins."""
    (layer, norm), (layers, norms) = theirs, zip(*stages, strict=True)
    set_to(layer, [each.weight for each in layers], [each.bias for each in layers if each.bias is not None])
    set_norm(norm, norms)


def stage(module, name, number=""):
    return module.get_submodule(f"{name}_conv{number}"), module.get_submodule(f"{name}_bn{number}")


def assert_equal_spikes(ours, theirs, joined=lambda name: False):
    """Pairs the layers in the order in which they ran; layers of ours that are `joined` are one of theirs."""
    groups = []
    for name, spikes in ours:
        if joined(name) and groups and joined(groups[-1][-1][0]) and not name.endswith("q_lif"):
            groups[-1].append((name, spikes))
        else:
            groups.append([(name, spikes)])
    assert len(groups) == len(theirs)
    rates = []
    for group, (name, spikes) in zip(groups, theirs, strict=True):
        mine = torch.cat([part for _, part in group], 2)
        assert mine.flatten().equal(spikes.flatten()), (group[0][0], name)
        rates.append(float(spikes.mean()))
    assert sum(0 < rate < 1 for rate in rates) >= len(rates) - 2, rates


def test_spike_driven_transformer(lively, images):
    from spikingjelly.activation_based import base
    from spikingjelly.activation_based.model.spike_driven_transformer import SpikeDrivenTransformer

    ours = lively(sdt.build("imagenet", depth=2, width=32, heads=4, classes=10, timesteps=3))
    theirs = SpikeDrivenTransformer(3, 3, 10, 32, 4, 2, 4.0, "1111").double().eval()
    stem = ours.patch_embed
    stages = [*theirs.patch_embed.stages, theirs.patch_embed.final_stage]
    for number, module in zip(STEM_STAGES, stages, strict=True):
        copy(module[:2], stage(stem, "proj", number))
    copy((theirs.patch_embed.rpe_conv, theirs.patch_embed.rpe_bn), stage(stem, "rpe"))
    for block, other in zip(ours.block, theirs.blocks, strict=True):
        for name in ("q", "k", "v", "proj"):
            copy((getattr(other.attn, f"{name}_conv"), getattr(other.attn, f"{name}_bn")), stage(block.attn, name))
        for number in "12":
            copy(
                (getattr(other.mlp, f"fc{number}"), getattr(other.mlp, f"bn{number}")), stage(block.mlp, f"fc{number}")
            )
    set_to(theirs.head, [ours.head.weight], [ours.head.bias])

    spikes, logits = outputs(ours, LIF, images)
    reference, expected = outputs(theirs, base.MemoryModule, images)
    assert len(spikes) == 4 + 2 * 7 + 1
    assert_equal_spikes(spikes, reference)
    torch.testing.assert_close(logits, expected)


def test_qkformer(lively, images):
    from spikingjelly.activation_based import base
    from spikingjelly.activation_based.model.qkformer import QKFormer

    ours = lively(qkformer.build("imagenet", depth=5, width=64, heads=4, classes=10, timesteps=3))
    for name, parameter in ours.named_parameters():
        if name.endswith("proj_conv.bias"):
            parameter.data.zero_()
    theirs = QKFormer(3, 3, 10, 64, (4, 4, 4), (1, 2, 2)).double().eval()
    embeddings = {1: ("proj", "proj1", "proj2"), 2: ("proj3", "proj4"), 3: ("proj3", "proj4")}
    for i, names in embeddings.items():
        mine, other = getattr(ours, f"patch_embed{i}"), getattr(theirs, f"patch_embed{i}")
        for number, name in enumerate(names, 1):
            copy((getattr(other, f"conv{number}"), getattr(other, f"bn{number}")), stage(mine, name))
        copy(other.shortcut[:2], stage(mine, "proj_res"))
        for block, twin in zip(getattr(ours, f"stage{i}"), getattr(theirs, f"stage{i}"), strict=True):
            attn, letters = (block.attn, "qkv") if i == 3 else (block.tssa, "qk")
            copy(layers_of(getattr(twin.attn, f"{letters}_conv_bn")), *(stage(attn, letter) for letter in letters))
            copy(layers_of(twin.attn.proj_conv_bn), stage(attn, "proj"))
            for number in "12":
                copy(
                    (getattr(twin.mlp, f"fc{number}"), getattr(twin.mlp, f"bn{number}")),
                    stage(block.mlp, f"fc{number}"),
                )
    set_to(theirs.head, [ours.head.weight], [ours.head.bias])

    spikes, logits = outputs(ours, LIF, images)
    reference, expected = outputs(theirs, base.MemoryModule, images)
    assert len(spikes) == 4 + 3 * 2 + 3 * 6 + 2 * 7
    assert_equal_spikes(spikes, reference, joined=lambda name: name[-5:] in ("q_lif", "k_lif", "v_lif"))
    torch.testing.assert_close(logits, expected)


def layers_of(container):
    return [module for module in container.modules() if isinstance(module, (nn.Conv1d, nn.BatchNorm1d))]

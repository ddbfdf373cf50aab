"""Spike-driven Transformer, version 1 (Yao et al., NeurIPS 2023), with the official state dict.

S = SN(U);  Q, K, V = SN(BN(W S))                            U: membrane stream; only spikes reach weights
g = SN(Σ over tokens of K ∘ V)                               one spike per channel and step; no matrix product
U ← U + BN(W_p (Q ∘ g))
U ← U + MLP(U), neurons before each layer
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from snnprof.errors import unknown

from .attention_map import AttentionMap
from .blocks import Block, MembraneMLP, Stages, check_pools, check_sizes, grid_layer, time_first
from .neuron import LIF
from .spikformer import SPS, STEM_STAGES

POOLS = {"cifar": (3, 4), "dvs": (2, 3, 4), "imagenet": (1, 2, 3, 4)}


class SpikeStem(SPS):
    """Spikformer's stem up to its last convolution, whose membranes the position stage is added to.

    Input [T, B, C, H, W]; output the membrane stream [T, B, D, H', W'], real-valued.
    """

    def forward(self, x: Tensor) -> Tensor:
        *first, last = ("proj" + number for number in STEM_STAGES)
        for stage in first:
            x = self.pooled(stage, self.fire(stage, x))
        stream = self.pooled(last, self.current(last, x))
        return stream + self.current("rpe", self.neuron(last, stream))


class SDSA(Stages):
    """Spike-driven self-attention on a membrane stream [T, B, D, H, W]; see the module docstring.

    `talking_heads` is never applied: the official state dict has it. Heads have no other effect, because sums over
    tokens keep channels apart.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.shortcut_lif = LIF()
        for stage in "qkv":
            self.add_stage(stage, nn.Conv2d(width, width, 1, bias=False))
        self.talking_heads = nn.Conv1d(heads, heads, 1, bias=False)
        self.talking_heads_lif = LIF(v_threshold=0.5)
        self.attention_map = AttentionMap("activity")
        self.add_stage("proj", grid_layer(width, width), v_threshold=None)

    def forward(self, stream: Tensor) -> Tensor:
        spikes = self.shortcut_lif(stream)
        q, k, v = (self.fire(stage, spikes) for stage in "qkv")
        return self.current("proj", self.attention_map(self.masked(q, k, v)))

    def masked(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Q in the channels where K and V fired together in enough tokens."""
        gate: Tensor = self.talking_heads_lif((k * v).sum((3, 4), keepdim=True))
        return q * gate


class EventSDSA(SDSA):
    """The form for event data: 3×3 max-pools widen K, V, K ∘ V and what passes.

    The last two pool over the tokens and the channels of a head, [T, B, heads, N, d], so heads matter here.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.heads = heads

    def masked(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        both = _widened(self.split(_widened(k)) * self.split(_widened(v)))
        gate = self.talking_heads_lif(both.sum(3, keepdim=True))
        passed = _widened(self.split(q) * gate)
        return passed.transpose(3, 4).reshape(q.shape)

    def split(self, x: Tensor) -> Tensor:
        """[T, B, D, H, W] as tokens of every head, [T, B, heads, N, d]."""
        return torch.unflatten(x.flatten(3), 2, (self.heads, -1)).transpose(3, 4)


def _widened(x: Tensor) -> Tensor:
    pooled = functional.max_pool2d(x.flatten(0, 1), 3, stride=1, padding=1)
    return torch.unflatten(pooled, 0, x.shape[:2])


class SpikeDrivenTransformer(nn.Module):
    """Stem, blocks on a membrane stream, mean over tokens, neuron, linear head at each step, mean over time.

    Input: images [B, C, H, W], shown at each of the T steps; with `events` frames [B, T, 2, H, W].
    Output: logits [B, classes].
    """

    def __init__(
        self,
        stem: nn.Module,
        blocks: Iterable[nn.Module],
        width: int,
        classes: int,
        timesteps: int,
        events: bool = False,
    ) -> None:
        super().__init__()
        self.timesteps, self.events = timesteps, events
        self.patch_embed = stem
        self.block = nn.ModuleList(blocks)
        self.head_lif = LIF()
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        stream = self.patch_embed(time_first(x, self.timesteps, self.events))
        for block in self.block:
            stream = block(stream)
        logits: Tensor = self.head(self.head_lif(stream.flatten(3).mean(3))).mean(0)
        return logits


def build(
    variant: str = "imagenet",
    depth: int = 8,
    width: int = 512,
    heads: int = 8,
    classes: int = 1000,
    timesteps: int = 4,
    in_channels: int | None = None,
    pools: Sequence[int] | None = None,
) -> SpikeDrivenTransformer:
    """A Spike-driven Transformer with random weights.

    Args:
        variant: `imagenet` (all four stages of the stem pooled), `cifar` (the last two), or `dvs` for event frames
            (the last three; pools in the attention).
        heads: of the attention; without events only the unused `talking_heads` depends on them.
        depth, width, classes, timesteps, in_channels, pools: as `spikformer.build`.

    Raises:
        SnnprofError: unknown variant, or sizes that do not fit together.
    """
    if variant not in POOLS:
        raise unknown("variant", variant, POOLS)
    events = variant == "dvs"
    if in_channels is None:
        in_channels = 2 if events else 3
    check_sizes(depth=depth, width=width, heads=heads, classes=classes, timesteps=timesteps, in_channels=in_channels)
    stem = SpikeStem(in_channels, width, check_pools(POOLS[variant] if pools is None else pools))
    attention = EventSDSA if events else SDSA
    blocks = (Block(attention(width, heads), MembraneMLP(width, grid_layer)) for _ in range(depth))
    return SpikeDrivenTransformer(stem, blocks, width, classes, timesteps, events)


def settings_from(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The settings that a state dict's names and shapes give away; which stages are pooled leaves no trace in it."""
    return {
        "depth": len({name.split(".")[1] for name in shapes if name.startswith("block.")}),
        "width": shapes["head.weight"][1],
        "heads": shapes["block.0.attn.talking_heads.weight"][0],
        "classes": shapes["head.weight"][0],
        "in_channels": shapes["patch_embed.proj_conv.weight"][1],
    }

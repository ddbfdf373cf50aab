"""Spike-driven Transformer, version 1 (Yao et al., NeurIPS 2023, arXiv 2307.01694), with the official state dict.

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
"""By variant: numbers of the stem's stages with a max-pool."""


class SpikeStem(SPS):
    """Spikformer's stem with a membrane shortcut: the position stage is added to the membranes of the fourth stage."""

    def forward(self, x: Tensor) -> Tensor:
        """Splits the input into tokens.

        Args:
            x: [T, B, in_channels, H, W].

        Returns:
            Membrane potentials [T, B, D, H', W'], real-valued; each pool halves height and width.
        """
        *first, last = ("proj" + number for number in STEM_STAGES)
        for stage in first:
            x = self.pooled(stage, self.fire(stage, x))
        stream = self.pooled(last, self.current(last, x))
        return stream + self.current("rpe", self.neuron(last, stream))


class SDSA(Stages):
    """Spike-driven self-attention on a membrane stream; the module docstring has the equations.

    `talking_heads` is never applied, but the official state dict has it. The number of heads has no other effect,
    because the sums over tokens do not mix channels.

    Args:
        width: embedding width D.
        heads: size of the unused `talking_heads`.
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
        """Runs the attention and its projection.

        Args:
            stream: membrane potentials [T, B, D, H, W].

        Returns:
            Real values [T, B, D, H, W], which the block adds to the stream.
        """
        spikes = self.shortcut_lif(stream)
        q, k, v = (self.fire(stage, spikes) for stage in "qkv")
        return self.current("proj", self.attention_map(self.masked(q, k, v)))

    def masked(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Masks the queries: a channel passes where the tokens in which K and V both fire make a neuron fire.

        Args:
            q: queries, spikes [T, B, D, H, W].
            k: keys, likewise.
            v: values, likewise.

        Returns:
            The queries of the channels that pass, 0 elsewhere, [T, B, D, H, W].
        """
        gate: Tensor = self.talking_heads_lif((k * v).sum((3, 4), keepdim=True))
        return q * gate


class EventSDSA(SDSA):
    """The attention for event data: 3×3 max-pools with stride 1 widen K, V, K ∘ V and the queries that pass.

    The last two pools run over the tokens and channels of a head, [T, B, heads, N, d], so the number of heads matters
    here.

    Args:
        width: embedding width D.
        heads: attention heads, each of width d = D / heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.heads = heads

    def masked(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Masks the queries as `SDSA.masked` does, with the pools in between.

        Args:
            q: queries, spikes [T, B, D, H, W].
            k: keys, likewise.
            v: values, likewise.

        Returns:
            Spikes (0 and 1), [T, B, D, H, W].
        """
        both = _widened(self.split(_widened(k)) * self.split(_widened(v)))
        gate = self.talking_heads_lif(both.sum(3, keepdim=True))
        passed = _widened(self.split(q) * gate)
        return passed.transpose(3, 4).reshape(q.shape)

    def split(self, x: Tensor) -> Tensor:
        """Splits the channels of each token into heads.

        Args:
            x: [T, B, D, H, W].

        Returns:
            [T, B, heads, N, d] with N = H · W.
        """
        return torch.unflatten(x.flatten(3), 2, (self.heads, -1)).transpose(3, 4)


def _widened(x: Tensor) -> Tensor:
    """A 3×3 max-pool with stride 1 over the last two axes of [T, B, C, ·, ·], which keeps the shape."""
    pooled = functional.max_pool2d(x.flatten(0, 1), 3, stride=1, padding=1)
    return torch.unflatten(pooled, 0, x.shape[:2])


class SpikeDrivenTransformer(nn.Module):
    """Stem, blocks on a membrane stream, mean over tokens, neurons, linear head at each step, mean over time.

    Args:
        stem: turns [T, B, C, H, W] into membrane potentials [T, B, D, H', W'].
        blocks: residual blocks on those potentials.
        width: embedding width D.
        classes: number of outputs.
        timesteps: T, how often an image is repeated; event frames bring their own T.
        events: whether the input is event frames [B, T, C, H, W].
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
        """Classifies images or event recordings.

        Args:
            x: images [B, C, H, W], which the network reads at all T steps; with `events` frames
                [B, T, C, H, W].

        Returns:
            Logits [B, classes].
        """
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
    """Builds a Spike-driven Transformer with random weights.

    Args:
        variant: `imagenet` (max-pools in all four stages of the stem), `cifar` (in the last two), or `dvs` for event
            frames (in the last three, and in the attention).
        depth: number of blocks.
        width: embedding width D, a multiple of 8 and of `heads`.
        heads: attention heads; except for `dvs`, only the unused `talking_heads` depends on them.
        classes: number of outputs.
        timesteps: T, how often an image is repeated; event frames bring their own T.
        in_channels: channels of the input; None is 3, or 2 for the `dvs` variant.
        pools: numbers (1 to 4) of the stem's stages with a max-pool; None is the variant's own choice.

    Returns:
        The network, in training mode.

    Raises:
        SnnprofError: an unknown variant, or sizes that do not fit together.
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
    """Reads the settings of `build` off a state dict; the state dict does not show variant, pools and T.

    Args:
        shapes: shape of each tensor by its name in the state dict.

    Returns:
        `depth`, `width`, `heads`, `classes` and `in_channels`.

    Raises:
        KeyError: the state dict belongs to another network.
    """
    return {
        "depth": len({name.split(".")[1] for name in shapes if name.startswith("block.")}),
        "width": shapes["head.weight"][1],
        "heads": shapes["block.0.attn.talking_heads.weight"][0],
        "classes": shapes["head.weight"][0],
        "in_channels": shapes["patch_embed.proj_conv.weight"][1],
    }

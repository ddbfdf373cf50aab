"""QKFormer (Zhou et al., NeurIPS 2024), the two official files as one parametrised network.

Three stages of D/4, D/2 and D channels on ever coarser grids. In the first two, attention is a mask of tokens:

    a = SN(Σ over a head's channels of Q);  SN(BN(W_p (a ∘ K)))             one spike per token and head; no product

and in the third Spikformer's, in the order Q (KᵀV). State dicts have the official names, shapes and order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snnprof.errors import SnnprofError, unknown

from .attention_map import AttentionMap
from .blocks import MLP, Block, Stages, check_sizes, grid_layer, time_first
from .neuron import LIF
from .spikformer import SSA
from .spikformer import VARIANTS as SPIKFORMER


@dataclass(frozen=True)
class Variant:
    """What differs between the official files.

    Attributes:
        first: the stages of the first embedding after its encoder; the encoder is `proj`.
        pools: stages with a max-pool before their neurons.
        stride: of the first embedding's shortcut.
        blocks: blocks of the first two of the three stages; the third has the rest of the depth.
        attention, mlp: names in the state dict.
    """

    first: tuple[str, ...]
    pools: tuple[str, ...]
    stride: int
    blocks: tuple[int, int]
    attention: str
    mlp: tuple[str, str]


VARIANTS = {
    "cifar": Variant(("proj1",), ("proj4",), 1, (1, 1), "ssa", ("mlp1", "mlp2")),
    "imagenet": Variant(("proj1", "proj2"), ("proj", "proj1", "proj3"), 2, (1, 2), "attn", ("fc1", "fc2")),
}


class Embedding(Stages):
    """3×3 convolution stages with a strided 1×1 stage beside them; the spikes of both are added: values 0, 1 and 2.

    Input [T, B, C, H, W], output [T, B, D, H', W'].

    Args:
        encoder: channels of a stage before both, or null where the input is spikes already.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stages: Sequence[str],
        pools: Sequence[str],
        stride: int = 2,
        encoder: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder = ("proj",) if encoder else ()
        self.stages = tuple(stages)
        channels = [inputs, *([encoder] if encoder else []), *[outputs] * len(stages)]
        for i, stage in enumerate(self.encoder + self.stages):
            self.add_stage(stage, nn.Conv2d(channels[i], channels[i + 1], 3, padding=1, bias=False))
            if stage in pools:
                self.add_pool(stage, f"{stage}_maxpool")
        self.add_stage("proj_res", nn.Conv2d(encoder or inputs, outputs, 1, stride=stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        x = self.through(self.encoder, x)
        return self.through(self.stages, x) + self.fire("proj_res", x)

    def through(self, stages: Iterable[str], x: Tensor) -> Tensor:
        """The spikes after some stages, each pooled before its neurons."""
        for stage in stages:
            x = self.neuron(stage, self.pooled(stage, self.current(stage, x)))
        return x


class TokenQK(Stages):
    """Token QK attention: K of the tokens in which a head's queries fire enough. Input and output [T, B, D, H, W]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        for stage in "qk":
            self.add_stage(stage, nn.Conv1d(width, width, 1, bias=False))
        self.attn_lif = LIF(v_threshold=0.5)
        self.attention_map = AttentionMap("activity")
        self.add_stage("proj", nn.Conv1d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(3)
        q, k = (torch.unflatten(self.fire(stage, tokens), 2, (self.heads, -1)) for stage in "qk")
        return self.fire("proj", self.attention_map(self.masked(q, k).flatten(2, 3))).reshape(x.shape)

    def masked(self, q: Tensor, k: Tensor) -> Tensor:
        """[T, B, heads, d, N] keys where the queries of their token and head fired often enough."""
        gate: Tensor = self.attn_lif(q.sum(3, keepdim=True))
        return gate * k


class QKFormer(nn.Module):
    """Three embeddings, each with its blocks, then mean over tokens and over time, linear head.

    Input: images [B, C, H, W], shown at each of the T steps. Output: logits [B, classes].
    """

    def __init__(
        self, variant: Variant, depth: int, width: int, heads: int, classes: int, timesteps: int, in_channels: int
    ) -> None:
        super().__init__()
        self.timesteps = timesteps
        low, middle = width // 4, width // 2
        later = (("proj3", "proj4"), variant.pools)

        def tokens(width: int) -> Block:
            return Block(TokenQK(width, heads), MLP(width, grid_layer, variant.mlp), name="tssa")

        def product(width: int) -> Block:
            attention = SSA(width, heads, SPIKFORMER["imagenet"])
            return Block(attention, MLP(width, grid_layer, variant.mlp), name=variant.attention)

        first, second = variant.blocks
        self.patch_embed1 = Embedding(in_channels, low, variant.first, variant.pools, variant.stride, width // 8)
        self.patch_embed2 = Embedding(low, middle, *later)
        self.patch_embed3 = Embedding(middle, width, *later)
        self.stage1 = nn.ModuleList(tokens(low) for _ in range(first))
        self.stage2 = nn.ModuleList(tokens(middle) for _ in range(second))
        self.stage3 = nn.ModuleList(product(width) for _ in range(depth - first - second))
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = time_first(x, self.timesteps, events=False)
        stages = ((self.patch_embed1, self.stage1), (self.patch_embed2, self.stage2), (self.patch_embed3, self.stage3))
        for embedding, blocks in stages:
            x = embedding(x)
            for block in blocks:
                x = block(x)
        logits: Tensor = self.head(x.flatten(3).mean(3).mean(0))
        return logits


def build(
    variant: str = "cifar",
    depth: int = 4,
    width: int = 384,
    heads: int = 8,
    classes: int = 10,
    timesteps: int = 4,
    in_channels: int = 3,
) -> QKFormer:
    """A QKFormer with random weights.

    Args:
        variant: which official file: `cifar` or `imagenet`.
        depth: blocks of the three stages together; the first two have 1 and 1 (`cifar`) or 1 and 2 (`imagenet`).
        width: D, of the third stage; the first has D/4.
        heads: attention heads of every stage; D/4 must divide by them.
        classes, timesteps, in_channels: as `spikformer.build`.

    Raises:
        SnnprofError: unknown variant, or sizes that do not fit together.
    """
    if variant not in VARIANTS:
        raise unknown("variant", variant, VARIANTS)
    form = VARIANTS[variant]
    check_sizes(depth=depth, width=width, heads=heads, classes=classes, timesteps=timesteps, in_channels=in_channels)
    if depth < sum(form.blocks):
        raise SnnprofError(
            f"depth must be at least {sum(form.blocks)}, the blocks of the first two stages, not {depth}"
        )
    if width // 4 % heads:
        raise SnnprofError(f"width {width} / 4, of the first stage, does not divide by {heads} heads")
    return QKFormer(form, depth, width, heads, classes, timesteps, in_channels)


def settings_from(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The settings that a state dict's names and shapes give away; heads and T leave no trace in it."""
    stage = "patch_embed1.proj2_conv.weight"
    return {
        "variant": "imagenet" if stage in shapes else "cifar",
        "depth": len({tuple(name.split(".")[:2]) for name in shapes if name.startswith("stage")}),
        "width": shapes["head.weight"][1],
        "classes": shapes["head.weight"][0],
        "in_channels": shapes["patch_embed1.proj_conv.weight"][1],
    }

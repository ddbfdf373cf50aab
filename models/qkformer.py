"""QKFormer (Zhou et al., NeurIPS 2024, arXiv 2403.16552): the official files as one parametrised network.

Each stage has twice the width of the one before, on a coarser grid: D/4, D/2 and D channels, or D/2 and D on event
data. In all stages but the last, the attention is a mask of tokens without a matrix product:

    a = SN(Σ over a head's channels of Q);  SN(BN(W_p (a ∘ K)))             a: one spike per token and head

The last stage has Spikformer's attention, in the order Q (KᵀV). State dicts have the official names, shapes and order.
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
    """The differences between the official files.

    Attributes:
        encoder: stages of the first embedding before its shortcut starts.
        first: stages of the first embedding that its shortcut bypasses.
        divisors: width of the first embedding / channels of each of its stages.
        stride: stride of the first embedding's shortcut; the others have stride 2.
        later: stages of every other embedding that its shortcut bypasses.
        pools: stages with a max-pool before their neurons.
        blocks: number of blocks of each stage but the last, which has the rest of the depth.
        attention: name of the last stage's attention in the state dict.
        mlp: names of the two MLP layers in the state dict.
        events: whether the input is event frames [B, T, 2, H, W] instead of an image that is repeated T times.
    """

    encoder: tuple[str, ...]
    first: tuple[str, ...]
    divisors: tuple[int, ...]
    stride: int
    later: tuple[str, ...]
    pools: tuple[str, ...]
    blocks: tuple[int, ...]
    attention: str
    mlp: tuple[str, str]
    events: bool = False


VARIANTS = {
    "cifar": Variant(
        ("proj",), ("proj1",), (2, 1), 1, ("proj3", "proj4"), ("proj4",), (1, 1), "ssa", ("mlp1", "mlp2")
    ),
    "dvs": Variant(
        ("proj", "proj1"), ("proj2", "proj3"), (8, 4, 2, 1), 4, ("proj", "proj4"), ("proj1", "proj2", "proj3", "proj4"),
        (1,), "ssa", ("mlp1", "mlp2"), events=True,
    ),
    "imagenet": Variant(
        ("proj",), ("proj1", "proj2"), (2, 1, 1), 2, ("proj3", "proj4"), ("proj", "proj1", "proj3"),
        (1, 2), "attn", ("fc1", "fc2"),
    ),
}  # fmt: skip


class Embedding(Stages):
    """A patch embedding: 3×3 convolution stages, and a strided 1×1 stage as their shortcut, whose spikes are added.

    Args:
        channels: channels of the input and of each 3×3 stage's output.
        encoder: stages before the shortcut starts.
        beside: stages that the shortcut bypasses.
        pools: stages with a max-pool before their neurons.
        stride: stride of the 1×1 stage.
    """

    def __init__(
        self, channels: Sequence[int], encoder: Sequence[str], beside: Sequence[str], pools: Sequence[str], stride: int
    ) -> None:
        super().__init__()
        self.encoder, self.beside = tuple(encoder), tuple(beside)
        for i, stage in enumerate((*encoder, *beside)):
            self.add_stage(stage, nn.Conv2d(channels[i], channels[i + 1], 3, padding=1, bias=False))
            if stage in pools:
                self.add_pool(stage, f"{stage}_maxpool")
        shortcut = nn.Conv2d(channels[len(encoder)], channels[-1], 1, stride=stride, bias=False)
        self.add_stage("proj_res", shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Embeds patches.

        Args:
            x: [T, B, C, H, W].

        Returns:
            Sums of two spikes (0, 1 and 2), [T, B, D, H', W'].
        """
        x = self.through(self.encoder, x)
        return self.through(self.beside, x) + self.fire("proj_res", x)

    def through(self, stages: Iterable[str], x: Tensor) -> Tensor:
        """Runs stages one after another, each with its pool (if it has one) before its neurons.

        Args:
            stages: names of the stages.
            x: [T, B, C, H, W].

        Returns:
            Spikes (0 and 1) of the last stage, [T, B, C', H', W'].
        """
        for stage in stages:
            x = self.neuron(stage, self.pooled(stage, self.current(stage, x)))
        return x


class TokenQK(Stages):
    """Token QK attention: each head lets the keys of those tokens pass in which enough of its queries fire.

    Args:
        width: embedding width D.
        heads: attention heads, each of width d = D / heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        for stage in "qk":
            self.add_stage(stage, nn.Conv1d(width, width, 1, bias=False))
        self.attn_lif = LIF(v_threshold=0.5)
        self.attention_map = AttentionMap("activity")
        self.add_stage("proj", nn.Conv1d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Runs the attention and its projection.

        Args:
            x: [T, B, D, H, W].

        Returns:
            Spikes (0 and 1) in the shape of `x`.
        """
        tokens = x.flatten(3)
        q, k = (torch.unflatten(self.fire(stage, tokens), 2, (self.heads, -1)) for stage in "qk")
        return self.fire("proj", self.attention_map(self.masked(q, k).flatten(2, 3))).reshape(x.shape)

    def masked(self, q: Tensor, k: Tensor) -> Tensor:
        """Masks the keys: a token passes where its queries, summed over the head's channels, make a neuron fire.

        Args:
            q: queries, spikes [T, B, heads, d, N].
            k: keys, likewise.

        Returns:
            The keys that pass, 0 elsewhere, [T, B, heads, d, N].
        """
        gate: Tensor = self.attn_lif(q.sum(3, keepdim=True))
        return gate * k


class QKFormer(nn.Module):
    """Stages of a patch embedding and blocks, then mean over tokens and over time, linear head.

    Args:
        variant: the official file to follow.
        depth: number of blocks of all stages together.
        width: embedding width D of the last stage.
        heads: attention heads of every stage.
        classes: number of outputs.
        timesteps: T, how often an image is repeated; event frames bring their own T.
        in_channels: channels of the input.
        mlp_ratio: hidden width of the MLPs / their width.
    """

    def __init__(
        self,
        variant: Variant,
        depth: int,
        width: int,
        heads: int,
        classes: int,
        timesteps: int,
        in_channels: int,
        mlp_ratio: int,
    ) -> None:
        super().__init__()
        self.timesteps, self.events = timesteps, variant.events
        depths = [*variant.blocks, depth - sum(variant.blocks)]
        widths = [width >> i for i in reversed(range(len(depths)))]
        self.stages = range(len(depths))

        def embedding(i: int) -> nn.Module:
            return _embedding(variant, widths[i], None if i else in_channels)

        def blocks(i: int) -> nn.Module:
            last = i == len(depths) - 1
            return nn.ModuleList(_block(variant, widths[i], heads, mlp_ratio, last) for _ in range(depths[i]))

        parts = [(i, name, make) for name, make in (("patch_embed", embedding), ("stage", blocks)) for i in self.stages]
        if variant.events:  # the order of the state dict: stage by stage
            parts.sort(key=lambda part: part[0])
        for i, name, make in parts:
            self.add_module(f"{name}{i + 1}", make(i))
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classifies images or event recordings.

        Args:
            x: images [B, in_channels, H, W], which the network reads at all T steps; for the `dvs` variant event frames
                [B, T, in_channels, H, W].

        Returns:
            Logits [B, classes].
        """
        x = time_first(x, self.timesteps, self.events)
        for i in self.stages:
            x = getattr(self, f"patch_embed{i + 1}")(x)
            for block in getattr(self, f"stage{i + 1}"):
                x = block(x)
        logits: Tensor = self.head(x.flatten(3).mean(3).mean(0))
        return logits


def _embedding(variant: Variant, width: int, in_channels: int | None) -> Embedding:
    """The first embedding, if `in_channels` is given, or a later one, which doubles the width."""
    if in_channels is None:
        channels = (width // 2, *[width] * len(variant.later))
        return Embedding(channels, (), variant.later, variant.pools, 2)
    channels = (in_channels, *(width // divisor for divisor in variant.divisors))
    return Embedding(channels, variant.encoder, variant.first, variant.pools, variant.stride)


def _block(variant: Variant, width: int, heads: int, mlp_ratio: int, last: bool) -> Block:
    """A block of token QK attention, or of the last stage with Spikformer's attention."""
    attention = SSA(width, heads, SPIKFORMER["imagenet"]) if last else TokenQK(width, heads)
    mlp = MLP(width, grid_layer, variant.mlp, mlp_ratio)
    return Block(attention, mlp, name=variant.attention if last else "tssa")


def build(
    variant: str = "cifar",
    depth: int = 4,
    width: int = 384,
    heads: int = 8,
    classes: int = 10,
    timesteps: int = 4,
    in_channels: int | None = None,
    mlp_ratio: int = 4,
) -> QKFormer:
    """Builds a QKFormer with random weights.

    Args:
        variant: the official file to follow: `cifar`, `dvs` or `imagenet`.
        depth: number of blocks of all stages together. The stages before the last have 1 and 1 of them (`cifar`), 1 and
            2 (`imagenet`), or 1 (`dvs`, which has one such stage).
        width: embedding width D of the last stage, a multiple of 8; each earlier stage has half the width of the next.
        heads: attention heads of every stage; the width of the first stage must be a multiple of them.
        classes: number of outputs.
        timesteps: T, how often an image is repeated; event frames bring their own T.
        in_channels: channels of the input; None is 3, or 2 for the `dvs` variant.
        mlp_ratio: hidden width of the MLPs / their width.

    Returns:
        The network, in training mode.

    Raises:
        SnnprofError: an unknown variant, or sizes that do not fit together.
    """
    if variant not in VARIANTS:
        raise unknown("variant", variant, VARIANTS)
    form = VARIANTS[variant]
    if in_channels is None:
        in_channels = 2 if form.events else 3
    check_sizes(
        depth=depth, width=width, heads=heads, classes=classes, timesteps=timesteps, in_channels=in_channels,
        mlp_ratio=mlp_ratio,
    )  # fmt: skip
    if depth < sum(form.blocks):
        raise SnnprofError(f"depth must be at least {sum(form.blocks)}, the blocks before the last stage, not {depth}")
    first = width >> len(form.blocks)
    if first % heads or first % form.divisors[0]:
        raise SnnprofError(
            f"the first stage of width {width} has {first} channels, which do not divide by {heads} heads and by "
            f"{form.divisors[0]}"
        )
    return QKFormer(form, depth, width, heads, classes, timesteps, in_channels, mlp_ratio)


def settings_from(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Reads the settings of `build` off a state dict; the state dict does not show heads and T.

    Args:
        shapes: shape of each tensor by its name in the state dict.

    Returns:
        `variant`, `mlp_ratio`, `depth`, `width`, `classes` and `in_channels`.

    Raises:
        KeyError: the state dict belongs to another network.
    """
    convolutions = {name.split(".")[1] for name in shapes if name.startswith("patch_embed1.")}
    variant = "dvs" if "proj3_conv" in convolutions else "imagenet" if "proj2_conv" in convolutions else "cifar"
    outputs, inputs = shapes[f"stage1.0.mlp.{VARIANTS[variant].mlp[0]}_conv.weight"][:2]
    return {
        "variant": variant,
        "mlp_ratio": outputs // inputs,
        "depth": len({tuple(name.split(".")[:2]) for name in shapes if name.startswith("stage")}),
        "width": shapes["head.weight"][1],
        "classes": shapes["head.weight"][0],
        "in_channels": shapes["patch_embed1.proj_conv.weight"][1],
    }

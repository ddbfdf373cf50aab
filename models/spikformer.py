"""Spikformer (Zhou et al., ICLR 2023, arXiv 2209.15425): the three official files as one parametrised network.

The state dict has the official names, shapes and order, and includes the parameters that no forward pass uses. Each
variant multiplies its matrices in the official order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from snnprof.errors import unknown

from .attention_map import AttentionMap
from .blocks import MLP, Block, Layer, Stages, check_pools, check_sizes, grid_layer, time_first
from .neuron import LIF


@dataclass(frozen=True)
class Variant:
    """The differences between the official files.

    Attributes:
        layer: type of the token layers: `linear` for `nn.Linear` on [..., N, D], `conv` for 1×1 convolutions on
            [..., D, N].
        qkv_bias: whether the query, key and value layers have a bias; projection and MLP always have one.
        grid: whether tokens stay on their grid [..., D, H, W], where the MLP consists of 2-d convolutions.
        scale: factor of the attention product; it does not depend on the head width.
        scale_first: whether the factor multiplies QKᵀ instead of the product with V.
        linear_order: whether the product runs as Q (Kᵀ V) instead of (Q Kᵀ) V.
        pools: stages (1 to 4) of the stem that a max-pool follows.
        events: whether the input is event frames [B, T, 2, H, W] instead of an image that is repeated T times.
        unused: whether the state dict has pos_embed and norm, which no forward pass uses. (The blocks' LayerNorms are
            unused in every variant.)
    """

    layer: str
    qkv_bias: bool
    grid: bool
    scale: float
    scale_first: bool
    linear_order: bool
    pools: tuple[int, ...]
    events: bool
    unused: bool


VARIANTS = {
    "cifar": Variant("linear", True, False, 0.125, True, False, (3, 4), False, False),
    "dvs": Variant("conv", False, False, 0.25, False, False, (1, 2, 3, 4), True, True),
    "imagenet": Variant("conv", False, True, 0.125, False, True, (1, 2, 3, 4), False, False),
}
DVS_TOKENS = 64
"""Tokens of the unused position embedding of the `dvs` variant."""
STEM_STAGES = ("", "1", "2", "3")
"""The stem's stages, by the number at the end of their official names."""


class SPS(Stages):
    """Spiking patch splitting: four 3×3 convolution stages, then a position stage whose spikes are added to its input.

    Args:
        in_channels: channels of the input.
        width: channels D of the output; the first three stages have D/8, D/4 and D/2.
        pools: numbers (1 to 4) of the stages that a max-pool with stride 2 follows.
    """

    def __init__(self, in_channels: int, width: int, pools: Sequence[int]) -> None:
        super().__init__()
        channels = [in_channels, width // 8, width // 4, width // 2, width]
        for i, number in enumerate(STEM_STAGES):
            layer = nn.Conv2d(channels[i], channels[i + 1], 3, padding=1, bias=False)
            self.add_stage("proj", layer, number=number)
            if i + 1 in pools:
                self.add_pool("proj" + number, f"maxpool{number}")
        self.add_stage("rpe", nn.Conv2d(width, width, 3, padding=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Splits the input into tokens.

        Args:
            x: [T, B, in_channels, H, W].

        Returns:
            Sums of two spikes (0, 1 and 2), [T, B, D, H', W']; each pool halves height and width.
        """
        for number in STEM_STAGES:
            x = self.pooled("proj" + number, self.fire("proj" + number, x))
        return x + self.fire("rpe", x)


class SSA(Stages):
    """Spiking self-attention: scale · (Q Kᵀ) V of spikes, without softmax.

    Args:
        width: embedding width D.
        heads: attention heads, each of width d = D / heads.
        variant: type of the token layers, factor and order of the product.
        v_threshold: threshold of the neurons that read the product.
    """

    def __init__(self, width: int, heads: int, variant: Variant, v_threshold: float = 0.5) -> None:
        super().__init__()
        self.heads = heads
        self.variant = variant
        for stage in "qkv":
            self.add_stage(stage, self._token_layer(width, variant.qkv_bias))
        self.attention_map = AttentionMap("activity" if variant.linear_order else "matrix")
        self.attn_lif = LIF(v_threshold=v_threshold)
        self.add_stage("proj", self._token_layer(width, True))

    def _token_layer(self, width: int, bias: bool) -> nn.Module:
        if self.variant.layer == "linear":
            return nn.Linear(width, width, bias=bias)
        return nn.Conv1d(width, width, 1, bias=bias)

    def split_heads(self, x: Tensor) -> Tensor:
        """Splits the features of each token into heads.

        Args:
            x: [T, B, N, D] for linear layers, [T, B, D, N] for convolutions.

        Returns:
            [T, B, heads, N, d].
        """
        if self.variant.layer == "linear":
            return torch.unflatten(x, -1, (self.heads, -1)).transpose(2, 3)
        return torch.unflatten(x, 2, (self.heads, -1)).transpose(-1, -2)

    def join_heads(self, x: Tensor) -> Tensor:
        """Joins the heads again, as the inverse of `split_heads`.

        Args:
            x: [T, B, heads, N, d].

        Returns:
            [T, B, N, D] for linear layers, [T, B, D, N] for convolutions.
        """
        if self.variant.layer == "linear":
            return x.transpose(2, 3).flatten(3)
        return x.transpose(-1, -2).flatten(2, 3)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Multiplies queries, keys and values in the variant's order.

        Args:
            q: queries, spikes [T, B, heads, N, d].
            k: keys, likewise.
            v: values, likewise.

        Returns:
            scale · Q Kᵀ V, [T, B, heads, N, d]: whole multiples of the scale.
        """
        variant = self.variant
        if variant.linear_order:
            return (q @ (k.transpose(-2, -1) @ v)) * variant.scale
        if variant.scale_first:
            return self.attention_map((q @ k.transpose(-2, -1)) * variant.scale) @ v
        return (self.attention_map(q @ k.transpose(-2, -1)) @ v) * variant.scale

    def gated(self, tokens: Tensor) -> Tensor:
        """Runs the attention without its projection.

        Args:
            tokens: [T, B, N, D] for linear layers, [T, B, D, N] for convolutions.

        Returns:
            Spikes (0 and 1) of the neurons that read the product, in the shape of `tokens`.
        """
        q, k, v = (self.split_heads(self.fire(stage, tokens)) for stage in "qkv")
        spikes: Tensor = self.attn_lif(self.join_heads(self.attend(q, k, v)))
        return self.attention_map(spikes) if self.variant.linear_order else spikes

    def forward(self, x: Tensor) -> Tensor:
        """Runs the attention and its projection.

        Args:
            x: [T, B, N, D] for linear layers, [T, B, D, N] or [T, B, D, H, W] for convolutions.

        Returns:
            Spikes (0 and 1) in the shape of `x`.
        """
        return self.fire("proj", self.gated(x.flatten(3))).reshape(x.shape)


Attention = Callable[[int, int, Variant], nn.Module]
"""Builds a block's attention from embedding width, number of heads and variant."""


class Spikformer(nn.Module):
    """Stem, blocks of attention and MLP, mean over tokens and over time, linear head.

    Args:
        variant: the official file to follow.
        depth: number of blocks.
        width: embedding width D.
        heads: attention heads.
        classes: number of outputs.
        timesteps: T, how often an image is repeated; event frames bring their own T.
        in_channels: channels of the input.
        attention: builds a block's attention module.
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
        attention: Attention = SSA,
    ) -> None:
        super().__init__()
        self.variant = variant
        self.timesteps = timesteps
        if variant.unused:
            self.pos_embed = nn.Parameter(torch.zeros(1, DVS_TOKENS, width))
        self.patch_embed = SPS(in_channels, width, variant.pools)
        blocks = (Block(attention(width, heads, variant), MLP(width, _mlp_layer(variant)), width) for _ in range(depth))
        self.block = nn.ModuleList(blocks)
        if variant.unused:
            self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classifies images or event recordings.

        Args:
            x: images [B, in_channels, H, W], which the network reads at all T steps; for the `dvs` variant event frames
                [B, T, in_channels, H, W].

        Returns:
            Logits [B, classes].
        """
        x = self.tokens(self.patch_embed(time_first(x, self.timesteps, self.variant.events)))
        for block in self.block:
            x = block(x)
        mean = x.mean(2) if self.variant.layer == "linear" else x.flatten(3).mean(3)
        logits: Tensor = self.head(mean.mean(0))
        return logits

    def tokens(self, x: Tensor) -> Tensor:
        """Arranges the stem's output as the variant's token layers take it.

        Args:
            x: [T, B, D, H, W].

        Returns:
            [T, B, N, D] for linear layers, [T, B, D, N] for convolutions, or `x` if tokens stay on their grid.
        """
        if self.variant.grid:
            return x
        tokens = x.flatten(3)
        return tokens.transpose(-1, -2) if self.variant.layer == "linear" else tokens


def _mlp_layer(variant: Variant) -> Layer:
    """Builds the token layers of a variant's MLP."""
    if variant.layer == "linear":
        return nn.Linear
    if variant.grid:
        return grid_layer
    return lambda inputs, outputs: nn.Conv1d(inputs, outputs, 1)


def variant_of(name: str, pools: Sequence[int] | None = None) -> Variant:
    """Looks up a variant.

    Args:
        name: `cifar`, `dvs` or `imagenet`.
        pools: numbers (1 to 4) of the stem's stages that a max-pool follows; None keeps the variant's own.

    Returns:
        The variant, with these stages pooled.

    Raises:
        SnnprofError: an unknown name, or stages that do not exist.
    """
    if name not in VARIANTS:
        raise unknown("variant", name, VARIANTS)
    variant = VARIANTS[name]
    if pools is None:
        return variant
    return replace(variant, pools=check_pools(pools))


def build(
    variant: str = "cifar",
    depth: int = 4,
    width: int = 384,
    heads: int = 12,
    classes: int = 10,
    timesteps: int = 4,
    in_channels: int | None = None,
    pools: Sequence[int] | None = None,
    attention: Attention = SSA,
) -> Spikformer:
    """Builds a Spikformer with random weights.

    Args:
        variant: the official file to follow: `cifar`, `dvs` or `imagenet`.
        depth: number of blocks.
        width: embedding width D, a multiple of 8 and of `heads`.
        heads: attention heads.
        classes: number of outputs.
        timesteps: T, how often an image is repeated; event frames bring their own T.
        in_channels: channels of the input; None is 3, or 2 for the `dvs` variant.
        pools: numbers (1 to 4) of the stem's stages that a max-pool follows; None is the variant's own choice.
        attention: builds a block's attention module from width, heads and variant.

    Returns:
        The network, in training mode.

    Raises:
        SnnprofError: an unknown variant, or sizes that do not fit together.
    """
    form = variant_of(variant, pools)
    if in_channels is None:
        in_channels = 2 if form.events else 3
    check_sizes(depth=depth, width=width, heads=heads, classes=classes, timesteps=timesteps, in_channels=in_channels)
    return Spikformer(form, depth, width, heads, classes, timesteps, in_channels, attention)


def settings_from(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Reads the settings of `build` off a state dict; the state dict does not show heads, pools and T.

    Args:
        shapes: shape of each tensor by its name in the state dict.

    Returns:
        `variant`, `depth`, `width`, `classes` and `in_channels`.

    Raises:
        KeyError: the state dict belongs to another network.
    """
    width = shapes["head.weight"][1]
    first = shapes.get("block.0.mlp.fc1_conv.weight")
    variant = "cifar" if first is None else "imagenet" if len(first) == 4 else "dvs"
    return {
        "variant": variant,
        "depth": len({name.split(".")[1] for name in shapes if name.startswith("block.")}),
        "width": width,
        "classes": shapes["head.weight"][0],
        "in_channels": shapes["patch_embed.proj_conv.weight"][1],
    }

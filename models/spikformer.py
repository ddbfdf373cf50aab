"""Spikformer (Zhou et al., ICLR 2023), the three official files as one parametrised network.

The state dict has the official names, shapes and order, parameters that no forward pass uses included, and each
variant multiplies its matrices in the official order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snnprof.errors import SnnprofError, unknown

from .attention_map import AttentionMap
from .neuron import LIF


@dataclass(frozen=True)
class Variant:
    """What differs between the official files.

    Attributes:
        layer: token layers are `nn.Linear` on [.., N, D] or 1×1 convolutions on [.., D, N].
        qkv_bias: whether the query, key and value layers have a bias (projection and MLP always have).
        grid: tokens stay on their grid [.., D, H, W], and the MLP is made of 2-d convolutions.
        scale: factor of the attention product, whatever the head width.
        scale_first: the factor is applied to QKᵀ rather than to the product with V.
        linear_order: Q (Kᵀ V) instead of (Q Kᵀ) V.
        pools: stages (1 to 4) of the stem followed by a max-pool.
        events: the input is [B, T, 2, H, W] event frames instead of an image shown T times.
        unused: pos_embed and norm exist, which no forward pass reaches (nor the blocks' LayerNorms, in any variant).
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
STEM_STAGES = ("", "1", "2", "3")  # as the official names number them


class Stages(nn.Module):
    """A module of layer → batch norm → LIF stages, registered side by side as the official state dict names them.

    Stage `q` becomes q_linear (or q_conv), q_bn, q_lif; `proj` number 1 becomes proj_conv1, proj_bn1, proj_lif1.
    """

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[str, tuple[str, str, str]] = {}

    def add_stage(self, stage: str, layer: nn.Module, *, number: str = "", v_threshold: float | None = 1.0) -> None:
        """Registers a stage, known as `stage + number`; without a threshold it has no neuron."""
        kind = "linear" if isinstance(layer, nn.Linear) else "conv"
        names = (f"{stage}_{kind}{number}", f"{stage}_bn{number}", f"{stage}_lif{number}")
        self.add_module(names[0], layer)
        self.add_module(names[1], _norm_after(layer))
        if v_threshold is not None:
            self.add_module(names[2], LIF(v_threshold=v_threshold))
        self._names[stage + number] = names

    def current(self, stage: str, x: Tensor) -> Tensor:
        """The normalised output of a stage's layer: [T, B, ...] → [T, B, ...]."""
        layer, norm = (self.get_submodule(name) for name in self._names[stage][:2])
        y = layer(x.flatten(0, 1))
        channels_last = isinstance(layer, nn.Linear)
        y = norm(y.transpose(-1, -2)).transpose(-1, -2) if channels_last else norm(y)
        return torch.unflatten(y, 0, x.shape[:2])

    def neuron(self, stage: str, x: Tensor) -> Tensor:
        """The spikes of a stage's neurons for an input current."""
        spikes: Tensor = self.get_submodule(self._names[stage][2])(x)
        return spikes

    def fire(self, stage: str, x: Tensor) -> Tensor:
        """Layer, norm and neurons of a stage."""
        return self.neuron(stage, self.current(stage, x))


def _norm_after(layer: Any) -> nn.Module:
    if isinstance(layer, nn.Conv2d):
        return nn.BatchNorm2d(layer.out_channels)
    return nn.BatchNorm1d(layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels)


class SPS(Stages):
    """Spiking patch splitting: four 3×3 convolution stages, then a position stage added to its own input.

    Input [T, B, C, H, W], output [T, B, D, H', W'] with values 0, 1 and 2.
    """

    def __init__(self, in_channels: int, width: int, pools: Sequence[int]) -> None:
        super().__init__()
        channels = [in_channels, width // 8, width // 4, width // 2, width]
        for i, number in enumerate(STEM_STAGES):
            layer = nn.Conv2d(channels[i], channels[i + 1], 3, padding=1, bias=False)
            self.add_stage("proj", layer, number=number)
            if i + 1 in pools:
                self.add_module(f"maxpool{number}", nn.MaxPool2d(3, stride=2, padding=1))
        self.add_stage("rpe", nn.Conv2d(width, width, 3, padding=1, bias=False))

    def pool(self, number: str, x: Tensor) -> Tensor:
        """The max-pool of a stage, if it has one."""
        pool = getattr(self, f"maxpool{number}", None)
        return x if pool is None else torch.unflatten(pool(x.flatten(0, 1)), 0, x.shape[:2])

    def forward(self, x: Tensor) -> Tensor:
        for number in STEM_STAGES:
            x = self.pool(number, self.fire("proj" + number, x))
        return x + self.fire("rpe", x)


class SSA(Stages):
    """Spiking self-attention: scale · (Q Kᵀ) V on spikes, without softmax.

    Input and output [T, B, N, D] (linear layers), [T, B, D, N] or [T, B, D, H, W] (convolutions).
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
        """Tokens of every head: [T, B, heads, N, D / heads]."""
        if self.variant.layer == "linear":
            return torch.unflatten(x, -1, (self.heads, -1)).transpose(2, 3)
        return torch.unflatten(x, 2, (self.heads, -1)).transpose(-1, -2)

    def join_heads(self, x: Tensor) -> Tensor:
        if self.variant.layer == "linear":
            return x.transpose(2, 3).flatten(3)
        return x.transpose(-1, -2).flatten(2, 3)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The attention product of [T, B, heads, N, d] spikes, in the variant's order."""
        variant = self.variant
        if variant.linear_order:
            return (q @ (k.transpose(-2, -1) @ v)) * variant.scale
        if variant.scale_first:
            return self.attention_map((q @ k.transpose(-2, -1)) * variant.scale) @ v
        return (self.attention_map(q @ k.transpose(-2, -1)) @ v) * variant.scale

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(3)
        q, k, v = (self.split_heads(self.fire(stage, tokens)) for stage in "qkv")
        gated = self.attn_lif(self.join_heads(self.attend(q, k, v)))
        if self.variant.linear_order:
            gated = self.attention_map(gated)
        return self.fire("proj", gated).reshape(x.shape)


class MLP(Stages):
    """Two token layers with a hidden width of 4 D; input and output as `SSA`."""

    def __init__(self, width: int, layer: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.add_stage("fc1", layer(width, 4 * width))
        self.add_stage("fc2", layer(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.fire("fc2", self.fire("fc1", x))


class Block(nn.Module):
    """Attention and MLP, each added to its input.

    norm1 and norm2 are never applied: the official state dict has them.
    """

    def __init__(self, attn: nn.Module, mlp: nn.Module, norm_width: int | None = None) -> None:
        super().__init__()
        if norm_width is not None:
            self.norm1 = nn.LayerNorm(norm_width, eps=1e-6)
        self.attn = attn
        if norm_width is not None:
            self.norm2 = nn.LayerNorm(norm_width, eps=1e-6)
        self.mlp = mlp

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x)
        mixed: Tensor = x + self.mlp(x)
        return mixed


Attention = Callable[[int, int, Variant], nn.Module]


class Spikformer(nn.Module):
    """Stem, blocks, mean over tokens and over time, linear head.

    Input: images [B, C, H, W], shown at each of the T steps; for the `dvs` variant event frames [B, T, 2, H, W].
    Output: logits [B, classes].
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
        x = self.tokens(self.patch_embed(time_first(x, self.timesteps, self.variant.events)))
        for block in self.block:
            x = block(x)
        mean = x.mean(2) if self.variant.layer == "linear" else x.flatten(3).mean(3)
        logits: Tensor = self.head(mean.mean(0))
        return logits

    def tokens(self, x: Tensor) -> Tensor:
        """The stem's [T, B, D, H, W] in the arrangement of the variant's token layers."""
        if self.variant.grid:
            return x
        tokens = x.flatten(3)
        return tokens.transpose(-1, -2) if self.variant.layer == "linear" else tokens


def time_first(x: Tensor, timesteps: int, events: bool) -> Tensor:
    """[T, B, C, H, W] from event frames [B, T, C, H, W] or from images [B, C, H, W] shown T times.

    Raises:
        SnnprofError: the input has another number of axes.
    """
    if x.dim() != (5 if events else 4):
        wanted = "event frames [B, T, C, H, W]" if events else "images [B, C, H, W]"
        raise SnnprofError(f"this model takes {wanted}; the input has shape {list(x.shape)}")
    if events:
        return x.transpose(0, 1)
    return x.unsqueeze(0).repeat(timesteps, 1, 1, 1, 1)


def _mlp_layer(variant: Variant) -> Callable[[int, int], nn.Module]:
    if variant.layer == "linear":
        return nn.Linear
    if variant.grid:
        return lambda inputs, outputs: nn.Conv2d(inputs, outputs, 1)
    return lambda inputs, outputs: nn.Conv1d(inputs, outputs, 1)


def variant_of(name: str, pools: Sequence[int] | None = None) -> Variant:
    """A variant by name, with other stages pooled where `pools` says so.

    Raises:
        SnnprofError: unknown name, or stages that do not exist.
    """
    if name not in VARIANTS:
        raise unknown("variant", name, VARIANTS)
    variant = VARIANTS[name]
    if pools is None:
        return variant
    if not set(pools) <= {1, 2, 3, 4}:
        raise SnnprofError(f"pools names stages 1 to 4 of the stem, not {list(pools)}")
    return Variant(**{**vars(variant), "pools": tuple(sorted(pools))})


def check_sizes(**sizes: int) -> None:
    """Refuses sizes that no network can have.

    Raises:
        SnnprofError: a size is not a positive whole number, or the width does not divide by 8 and by the heads.
    """
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SnnprofError(f"{name} must be a positive whole number, not {value!r}")
    if sizes["width"] % 8:
        raise SnnprofError(f"width must be a multiple of 8 (the stem starts at width / 8), not {sizes['width']}")
    if sizes["width"] % sizes.get("heads", 1):
        raise SnnprofError(f"width {sizes['width']} does not divide by {sizes['heads']} heads")


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
    """A Spikformer with random weights.

    Args:
        variant: which official file: `cifar`, `dvs` or `imagenet`.
        depth: number of blocks.
        width: embedding width D.
        heads: attention heads; D must divide by them.
        classes: outputs.
        timesteps: T, how often an image is shown (event frames bring their own).
        in_channels: 3, or 2 for events, where not given.
        pools: stages of the stem followed by a max-pool, where not the variant's own.
        attention: builds a block's attention module.

    Raises:
        SnnprofError: unknown variant, or sizes that do not fit together.
    """
    form = variant_of(variant, pools)
    if in_channels is None:
        in_channels = 2 if form.events else 3
    check_sizes(depth=depth, width=width, heads=heads, classes=classes, timesteps=timesteps, in_channels=in_channels)
    return Spikformer(form, depth, width, heads, classes, timesteps, in_channels, attention)


def settings_from(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The settings that a state dict's names and shapes give away; heads and T leave no trace in it."""
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

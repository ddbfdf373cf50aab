"""Spikingformer (Zhou et al., arXiv 2304.11954; AAAI 2026), the official files as one parametrised network.

Spikformer with a neuron before each layer instead of after it: shortcuts add membranes, and only spikes reach weights,
those of the first convolution and of the head excepted. State dicts have the official names, shapes and order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from snnprof.errors import unknown

from .blocks import Block, MembraneMLP, Stages, check_pools, check_sizes, grid_layer, time_first
from .neuron import LIF
from .spikformer import SSA
from .spikformer import VARIANTS as SPIKFORMER


@dataclass(frozen=True)
class Variant:
    """What differs between the official files.

    Attributes:
        stages: the names of the stem's five convolutions.
        pools: those of the last four, by number, that a max-pool precedes.
        linear_order: Q (Kᵀ V) instead of (Q Kᵀ) V.
        tau: time constant of all neurons.
        events: the input is [B, T, 2, H, W] event frames instead of an image shown T times.
    """

    stages: tuple[str, ...]
    pools: tuple[int, ...]
    linear_order: bool
    tau: float
    events: bool


_STAGES = ("proj", "proj1", "proj2", "proj3", "proj4")
VARIANTS = {
    "cifar": Variant(("block0", "block1", "block2", "block3", "block4"), (3, 4), False, 2.0, False),
    "dvs": Variant(_STAGES, (1, 2, 3, 4), False, 1.5, True),
    "imagenet": Variant(_STAGES, (1, 2, 3, 4), True, 2.0, False),
}


class MembraneStem(Stages):
    """A convolution, then four times neurons, pool, convolution.

    Input [T, B, C, H, W]; output the membrane stream [T, B, D, H', W'], real-valued.
    """

    def __init__(self, in_channels: int, width: int, stages: Sequence[str], pools: Sequence[int]) -> None:
        super().__init__()
        self.stages = tuple(stages)
        channels = [in_channels, width // 8, width // 4, width // 2, width, width]
        for i, stage in enumerate(stages):
            layer = nn.Conv2d(channels[i], channels[i + 1], 3, padding=1, bias=False)
            self.add_stage(stage, layer, v_threshold=1.0 if i else None)
            if i in pools:
                self.add_pool(stage, f"{stage}_mp")

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.stages
        stream = self.current(first, x)
        for stage in others:
            stream = self.current(stage, self.pooled(stage, self.neuron(stage, stream)))
        return stream


class MembraneSSA(SSA):
    """Spikformer's attention with its last neurons moved before q, k and v, on a membrane stream [T, B, D, H, W]."""

    def forward(self, stream: Tensor) -> Tensor:
        spikes = self.neuron("proj", stream.flatten(3))
        return self.current("proj", self.gated(spikes)).reshape(stream.shape)


class Spikingformer(nn.Module):
    """Stem, blocks on a membrane stream, mean over tokens and over time, linear head.

    Input: images [B, C, H, W], shown at each of the T steps; with `events` frames [B, T, 2, H, W].
    Output: logits [B, classes].
    """

    def __init__(
        self, stem: nn.Module, blocks: Sequence[nn.Module], width: int, classes: int, timesteps: int, events: bool
    ) -> None:
        super().__init__()
        self.timesteps, self.events = timesteps, events
        self.patch_embed = stem
        self.block = nn.ModuleList(blocks)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        stream = self.patch_embed(time_first(x, self.timesteps, self.events))
        for block in self.block:
            stream = block(stream)
        logits: Tensor = self.head(stream.flatten(3).mean(3).mean(0))
        return logits


def build(
    variant: str = "cifar",
    depth: int = 4,
    width: int = 384,
    heads: int = 12,
    classes: int = 10,
    timesteps: int = 4,
    in_channels: int | None = None,
    pools: Sequence[int] | None = None,
) -> Spikingformer:
    """A Spikingformer with random weights.

    Args:
        variant: which official file: `cifar`, `dvs` or `imagenet`.
        depth, width, heads, classes, timesteps, in_channels, pools: as `spikformer.build`.

    Raises:
        SnnprofError: unknown variant, or sizes that do not fit together.
    """
    if variant not in VARIANTS:
        raise unknown("variant", variant, VARIANTS)
    form = VARIANTS[variant]
    if in_channels is None:
        in_channels = 2 if form.events else 3
    check_sizes(depth=depth, width=width, heads=heads, classes=classes, timesteps=timesteps, in_channels=in_channels)
    stem = MembraneStem(in_channels, width, form.stages, check_pools(form.pools if pools is None else pools))
    order = replace(SPIKFORMER["imagenet"], linear_order=form.linear_order)
    blocks = [
        Block(MembraneSSA(width, heads, order), MembraneMLP(width, grid_layer, ("mlp1", "mlp2")), width)
        for _ in range(depth)
    ]
    model = Spikingformer(stem, blocks, width, classes, timesteps, form.events)
    for module in model.modules():
        if isinstance(module, LIF):
            module.tau = form.tau
    return model


def settings_from(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The settings that a state dict's names and shapes give away; heads and T leave no trace in it."""
    stem = shapes.get("patch_embed.proj_conv.weight")
    variant = "cifar" if stem is None else "dvs" if stem[1] == 2 else "imagenet"
    return {
        "variant": variant,
        "depth": len({name.split(".")[1] for name in shapes if name.startswith("block.")}),
        "width": shapes["head.weight"][1],
        "classes": shapes["head.weight"][0],
        "in_channels": shapes[f"patch_embed.{VARIANTS[variant].stages[0]}_conv.weight"][1],
    }

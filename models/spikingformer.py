"""Spikingformer (Zhou et al., arXiv 2304.11954; AAAI 2026): the official files as one parametrised network.

Spikformer with the neurons before each layer instead of after it: shortcuts add membrane potentials, and every layer
but the first convolution and the head reads spikes. State dicts have the official names, shapes and order.
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
    """The differences between the official files.

    Attributes:
        stages: names of the stem's five convolutions in the state dict.
        pools: numbers (1 to 4) of those after the first convolution that a max-pool precedes.
        linear_order: whether the attention runs as Q (Kᵀ V) instead of (Q Kᵀ) V.
        tau: membrane time constant of all neurons, in time steps.
        events: whether the input is event frames [B, T, 2, H, W] instead of an image that is repeated T times.
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
    """A 3×3 convolution, then four times neurons, max-pool (if the stage has one) and 3×3 convolution.

    Args:
        in_channels: channels of the input.
        width: channels D of the output; the five convolutions have D/8, D/4, D/2, D and D.
        stages: names of the five convolutions in the state dict.
        pools: numbers (1 to 4) of the convolutions after the first that a max-pool with stride 2 precedes.
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
        """Splits the input into tokens.

        Args:
            x: [T, B, in_channels, H, W].

        Returns:
            Membrane potentials [T, B, D, H', W'], real-valued; each pool halves height and width.
        """
        first, *others = self.stages
        stream = self.current(first, x)
        for stage in others:
            stream = self.current(stage, self.pooled(stage, self.neuron(stage, stream)))
        return stream


class MembraneSSA(SSA):
    """Spikformer's attention on a membrane stream: its last neurons come first, before q, k and v."""

    def forward(self, stream: Tensor) -> Tensor:
        """Runs the attention and its projection.

        Args:
            stream: membrane potentials [T, B, D, H, W].

        Returns:
            Real values [T, B, D, H, W], which the block adds to the stream.
        """
        spikes = self.neuron("proj", stream.flatten(3))
        return self.current("proj", self.gated(spikes)).reshape(stream.shape)


class Spikingformer(nn.Module):
    """Stem, blocks on a membrane stream, mean over tokens and over time, linear head.

    Args:
        stem: turns [T, B, C, H, W] into membrane potentials [T, B, D, H', W'].
        blocks: residual blocks on those potentials.
        width: embedding width D.
        classes: number of outputs.
        timesteps: T, how often an image is repeated; event frames bring their own T.
        events: whether the input is event frames [B, T, C, H, W].
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
    """Builds a Spikingformer with random weights.

    Args:
        variant: the official file to follow: `cifar`, `dvs` or `imagenet`.
        depth: number of blocks.
        width: embedding width D, a multiple of 8 and of `heads`.
        heads: attention heads.
        classes: number of outputs.
        timesteps: T, how often an image is repeated; event frames bring their own T.
        in_channels: channels of the input; None is 3, or 2 for the `dvs` variant.
        pools: numbers (1 to 4) of the stem's convolutions after the first that a max-pool precedes; None is the
            variant's own choice.

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
    """Reads the settings of `build` off a state dict; the state dict does not show heads, pools and T.

    Args:
        shapes: shape of each tensor by its name in the state dict.

    Returns:
        `variant`, `depth`, `width`, `classes` and `in_channels`.

    Raises:
        KeyError: the state dict belongs to another network.
    """
    stem = shapes.get("patch_embed.proj_conv.weight")
    variant = "cifar" if stem is None else "dvs" if stem[1] == 2 else "imagenet"
    return {
        "variant": variant,
        "depth": len({name.split(".")[1] for name in shapes if name.startswith("block.")}),
        "width": shapes["head.weight"][1],
        "classes": shapes["head.weight"][0],
        "in_channels": shapes[f"patch_embed.{VARIANTS[variant].stages[0]}_conv.weight"][1],
    }

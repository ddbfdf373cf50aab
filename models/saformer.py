"""SAFormer (Zhang et al., arXiv 2412.13553): a reconstruction from the abstract and the figure captions.

Neither the paper's equations nor any code could be read. `saformer.yaml` lists what is known and what is assumed.

    S = SN(U);  Q = SN(BN(W_q S));  K = SN(BN(W_k S))           no V; only binary maps reach weights
    a = SN(Σ over tokens of AG(K))                              AG: 2×2 max-pool on the token grid
    U ← U + BN(W_p SN(Q ⊙ a + BN(DWConv(Q))))                   the depth-wise convolution keeps tokens apart
    U ← U + MLP(U), a neuron before each layer
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from snnprof.errors import SnnprofError

from .attention_map import AttentionMap
from .blocks import Block, MembraneMLP, Stages, check_pools, check_sizes
from .neuron import LIF
from .sdt import SpikeDrivenTransformer
from .spikformer import SPS, STEM_STAGES

AGGREGATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "max": lambda k: functional.max_pool2d(k, 2, ceil_mode=True),
    "mean": lambda k: functional.avg_pool2d(k, 2, ceil_mode=True),
    "sum": lambda k: k,
}
POOLS = {"cifar": (3, 4), "dvs": (1, 2, 3, 4)}


class MembraneSPS(SPS):
    """Spikformer's stem with the pool before the neuron and the shortcut on the membrane: only spikes are convolved.

    Input [T, B, C, H, W]; output the membrane stream [T, B, D, H', W'], real-valued.
    """

    def forward(self, x: Tensor) -> Tensor:
        for number in STEM_STAGES:
            potential = self.pooled("proj" + number, self.current("proj" + number, x))
            x = self.neuron("proj" + number, potential)
        return potential + self.current("rpe", x)


class SASA(Stages):
    """Spike aggregated self-attention on a membrane stream [T, B, D, H, W]; see the module docstring."""

    def __init__(self, width: int, aggregate: str, mask: str, detail: str, kernel: int) -> None:
        super().__init__()
        self.aggregate, self.mask, self.detail = aggregate, mask, detail
        self.shortcut_lif = LIF()
        self.add_stage("q", nn.Conv2d(width, width, 1, bias=False))
        self.add_stage("k", nn.Conv2d(width, width, 1, bias=False))
        self.attention_map = AttentionMap("activity")
        self.attn_lif = LIF(v_threshold=0.5)
        depthwise = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, bias=False)
        self.add_stage("dw", depthwise, v_threshold=None)
        self.add_stage("proj", nn.Conv2d(width, width, 1, bias=False))

    def forward(self, stream: Tensor) -> Tensor:
        s = self.shortcut_lif(stream)
        q, k = self.fire("q", s), self.fire("k", s)
        detail = self.current("dw", {"q": q, "k": k, "s": s}[self.detail])
        return self.current("proj", self.neuron("proj", self.attention_map(self.masked(q, k)) + detail))

    def masked(self, q: Tensor, k: Tensor) -> Tensor:
        """Q where a channel's keys fired often enough, or (token mask) K where a token's queries did."""
        if self.mask == "token":
            gate: Tensor = self.attn_lif(q.sum(2, keepdim=True))
            return gate * k
        aggregated = torch.unflatten(AGGREGATIONS[self.aggregate](k.flatten(0, 1)), 0, k.shape[:2])
        gate = self.attn_lif(aggregated.sum((3, 4), keepdim=True))
        return q * gate


class SAFormer(SpikeDrivenTransformer):
    """The frame of Spike-driven Transformer around SASA; with `events` it takes frames [B, T, 2, H, W]."""


def build(
    variant: str = "cifar",
    depth: int = 4,
    width: int = 384,
    classes: int = 10,
    timesteps: int = 4,
    in_channels: int | None = None,
    pools: Sequence[int] | None = None,
    aggregate: str = "max",
    mask: str = "channel",
    detail: str = "q",
    kernel: int = 3,
) -> SAFormer:
    """A reconstructed SAFormer with random weights.

    Args:
        variant: `cifar` (images, stages 3 and 4 pooled) or `dvs` (event frames, all stages pooled).
        depth, width, classes, timesteps, in_channels, pools: as `spikformer.build`.
        aggregate: AG: `max` (binary, n = N/4), `mean` (not binary) or `sum` (no down-sampling).
        mask: `channel` (Q ⊙ a, a from K) or `token` (a ⊙ K, a from Q, as in QKFormer; `aggregate` is not used).
        detail: what the depth-wise convolution reads: `q`, `k` or `s`.
        kernel: its size, odd.

    Raises:
        SnnprofError: an unknown choice, or sizes that do not fit together.
    """
    choices: dict[str, Collection[str]] = {
        "variant": POOLS,
        "aggregate": AGGREGATIONS,
        "mask": ("channel", "token"),
        "detail": ("q", "k", "s"),
    }
    given = {"variant": variant, "aggregate": aggregate, "mask": mask, "detail": detail}
    for name, known in choices.items():
        if given[name] not in known:
            raise SnnprofError(f"{name} must be one of {', '.join(known)}, not {given[name]!r}")
    if kernel % 2 == 0:
        raise SnnprofError(f"kernel must be odd, not {kernel}")
    events = variant == "dvs"
    if in_channels is None:
        in_channels = 2 if events else 3
    check_sizes(depth=depth, width=width, classes=classes, timesteps=timesteps, in_channels=in_channels)
    stem = MembraneSPS(in_channels, width, check_pools(POOLS[variant] if pools is None else pools))
    blocks = [Block(SASA(width, aggregate, mask, detail, kernel), MembraneMLP(width, _unbiased)) for _ in range(depth)]
    return SAFormer(stem, blocks, width, classes, timesteps, events)


def _unbiased(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def settings_from(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The settings that a state dict's names and shapes give away."""
    channels = shapes["patch_embed.proj_conv.weight"][1]
    return {
        "variant": "dvs" if channels == 2 else "cifar",
        "depth": len({name.split(".")[1] for name in shapes if name.startswith("block.")}),
        "width": shapes["head.weight"][1],
        "classes": shapes["head.weight"][0],
        "in_channels": channels,
        "kernel": shapes["block.0.attn.dw_conv.weight"][2],
    }

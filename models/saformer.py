"""SAFormer (Zhang et al., arXiv 2412.13553): a reconstruction from the abstract and the figure captions.

Neither the paper's equations nor any code were available. `saformer.yaml` lists what is known and what is assumed.

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
"""AG by name: what happens to the keys [T·B, D, H, W] before they are summed over tokens."""
POOLS = {"cifar": (3, 4), "dvs": (1, 2, 3, 4)}
"""By variant: numbers of the stem's stages with a max-pool."""


class MembraneSPS(SPS):
    """Spikformer's stem with each pool before the neurons and with a membrane shortcut.

    Every convolution but the first reads spikes.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Splits the input into tokens.

        Args:
            x: [T, B, in_channels, H, W].

        Returns:
            Membrane potentials [T, B, D, H', W'], real-valued; each pool halves height and width.
        """
        for number in STEM_STAGES:
            potential = self.pooled("proj" + number, self.current("proj" + number, x))
            x = self.neuron("proj" + number, potential)
        return potential + self.current("rpe", x)


class SASA(Stages):
    """Spike aggregated self-attention on a membrane stream; the module docstring has the equations.

    Args:
        width: embedding width D.
        aggregate: AG: `max`, `mean` or `sum`, as in `build`.
        mask: `channel` or `token`, as in `build`.
        detail: input of the depth-wise convolution: `q`, `k` or `s`.
        kernel: size of the depth-wise convolution, odd.
    """

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
        """Runs the attention and its projection.

        Args:
            stream: membrane potentials [T, B, D, H, W].

        Returns:
            Real values [T, B, D, H, W], which the block adds to the stream.
        """
        s = self.shortcut_lif(stream)
        q, k = self.fire("q", s), self.fire("k", s)
        detail = self.current("dw", {"q": q, "k": k, "s": s}[self.detail])
        return self.current("proj", self.neuron("proj", self.attention_map(self.masked(q, k)) + detail))

    def masked(self, q: Tensor, k: Tensor) -> Tensor:
        """Masks the queries by channel or, with the token mask, the keys by token.

        A channel's queries pass where its aggregated keys make a neuron fire. With the token mask, a token's keys pass
        where its queries, summed over all channels, make a neuron fire.

        Args:
            q: queries, spikes [T, B, D, H, W].
            k: keys, likewise.

        Returns:
            The spikes that pass, 0 elsewhere, [T, B, D, H, W].
        """
        if self.mask == "token":
            gate: Tensor = self.attn_lif(q.sum(2, keepdim=True))
            return gate * k
        aggregated = torch.unflatten(AGGREGATIONS[self.aggregate](k.flatten(0, 1)), 0, k.shape[:2])
        gate = self.attn_lif(aggregated.sum((3, 4), keepdim=True))
        return q * gate


class SAFormer(SpikeDrivenTransformer):
    """The network of Spike-driven Transformer with SASA as its attention."""


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
    """Builds a reconstructed SAFormer with random weights.

    Args:
        variant: `cifar` (images; max-pools in stages 3 and 4 of the stem) or `dvs` (event frames; in all stages).
        depth: number of blocks.
        width: embedding width D, a multiple of 8.
        classes: number of outputs.
        timesteps: T, how often an image is repeated; event frames bring their own T.
        in_channels: channels of the input; None is 3, or 2 for the `dvs` variant.
        pools: numbers (1 to 4) of the stem's stages with a max-pool; None is the variant's own choice.
        aggregate: AG: `max` (2×2 max-pool: stays binary, leaves n = N/4 tokens), `mean` (2×2 average pool: not binary)
            or `sum` (no down-sampling).
        mask: `channel` (Q ⊙ a, a from K) or `token` (a ⊙ K, a from Q as in QKFormer; `aggregate` is not used).
        detail: input of the depth-wise convolution: `q` (queries), `k` (keys) or `s` (the spikes that both come from).
        kernel: size of the depth-wise convolution, odd.

    Returns:
        The network, in training mode.

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
    """Reads the settings of `build` off a state dict; the state dict does not show the other settings.

    Args:
        shapes: shape of each tensor by its name in the state dict.

    Returns:
        `variant` (two input channels are taken for events), `depth`, `width`, `classes`, `in_channels` and `kernel`.

    Raises:
        KeyError: the state dict belongs to another network.
    """
    channels = shapes["patch_embed.proj_conv.weight"][1]
    return {
        "variant": "dvs" if channels == 2 else "cifar",
        "depth": len({name.split(".")[1] for name in shapes if name.startswith("block.")}),
        "width": shapes["head.weight"][1],
        "classes": shapes["head.weight"][0],
        "in_channels": channels,
        "kernel": shapes["block.0.attn.dw_conv.weight"][2],
    }

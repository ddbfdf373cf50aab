"""SSA_Bin (Shen et al., ICLR 2024 Tiny Papers): Spikformer with binary attention weights.

    SSA_Bin(Q, K, V) = SN(B(Q Kᵀ, Δ) V − V̄),   B(x, Δ) = κ where x > Δ, else 0

The authors published no code; whatever the paper leaves open is an option here, see `ssa_bin.yaml`. B is applied
between the two products, so they run as (Q Kᵀ) V in every variant: Q (Kᵀ V) would be another function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snnprof.errors import SnnprofError

from . import spikformer
from .spikformer import SSA, Spikformer, Variant

ROWS = {
    "ssa": {"binarise": False, "adaptive": False, "centred": False},
    "baseline": {"binarise": True, "adaptive": False, "centred": False},
    "centred": {"binarise": True, "adaptive": False, "centred": True},
    "threshold": {"binarise": True, "adaptive": True, "centred": False},
    "bin": {"binarise": True, "adaptive": True, "centred": True},
}
"""The paper's rows: how the attention of each differs from Spikformer's."""
THRESHOLD_AXES = {"block": (), "head": (2,)}
"""By `threshold_shape`: the axes of [T, B, heads, N, N] along which Δ differs."""
SHIFT_AXES = {"scalar": (), "channel": (2, 4), "token-channel": (2, 3, 4)}
"""By `shift_shape`: the axes of [T, B, heads, N, d] along which V̄ differs."""


class Above(torch.autograd.Function):
    """B with κ = 1: 1 where x > Δ; its surrogate gradient is softmax(x) · (1 − softmax(x)) along the keys."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, delta: Tensor) -> Tensor:
        """Compares the attention weights with the threshold.

        Args:
            ctx: keeps `x` for the backward pass.
            x: Q Kᵀ, [T, B, heads, N, N].
            delta: Δ, of a shape that broadcasts to that of `x`.

        Returns:
            1 where x > Δ, else 0, in the shape and dtype of `x`.
        """
        ctx.save_for_backward(x)
        return (x > delta).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Multiplies by the surrogate derivative.

        Args:
            ctx: holds `x` of the forward pass.
            gradient: gradient of the loss with respect to the binary weights.

        Returns:
            The gradient with respect to `x`; None for Δ, which is not learned.
        """
        (x,) = ctx.saved_tensors
        share = x.softmax(-1)
        return gradient * share * (1.0 - share), None


class RunningMean(nn.Module):
    """A running mean that training batches update and evaluation leaves as it is.

    Args:
        axes: axes of [T, B, heads, N, ...] along which the mean differs, with their lengths; it averages over the
            others.
        momentum: weight of the old mean in each update.
    """

    def __init__(self, axes: Mapping[int, int], momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.averaged = tuple(axis for axis in range(5) if axis not in axes)
        self.register_buffer("value", torch.zeros([axes.get(axis, 1) for axis in range(5)]))

    def forward(self, x: Tensor) -> Tensor:
        """Updates the mean in training mode.

        Args:
            x: five axes, [T, B, heads, N, ...].

        Returns:
            The running mean, of a shape that broadcasts to that of `x`.
        """
        value: Tensor = self.value  # type: ignore[assignment]
        if self.training:
            batch = x.detach().float().mean(self.averaged, keepdim=True)
            value.mul_(self.momentum).add_(batch, alpha=1.0 - self.momentum)
            return value.clone()
        return value


class SSABin(SSA):
    """The attention of one row of the paper's table.

    Args:
        width: embedding width D.
        heads: attention heads, each of width d = D / heads.
        variant: Spikformer's variant: type of the token layers.
        timesteps: T, if Δ and V̄ are kept per time step.
        tokens: N, if V̄ is kept per token; else None.
        adaptive: whether Δ is the running mean of Q Kᵀ instead of 0.
        centred: whether the running mean V̄ is subtracted from the product.
        kappa: κ, the value of an attention weight above Δ.
        momentum: weight of the old value in the running means.
        threshold_shape: `block` or `head`, as in `build`.
        shift_shape: `scalar`, `channel` or `token-channel`, as in `build`.
        per_step: whether Δ and V̄ are kept per time step instead of averaged over T.
        scale: factor of B V before V̄ is subtracted.
        v_threshold: threshold of the neurons after the attention.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        variant: Variant,
        *,
        timesteps: int,
        tokens: int | None,
        adaptive: bool,
        centred: bool,
        kappa: float,
        momentum: float,
        threshold_shape: str,
        shift_shape: str,
        per_step: bool,
        scale: float,
        v_threshold: float,
    ) -> None:
        super().__init__(width, heads, variant, v_threshold)
        self.kappa, self.scale = kappa, scale
        lengths = {0: timesteps, 2: heads, 3: tokens or 1, 4: width // heads}
        steps = (0,) if per_step else ()
        self.threshold = self.shift = None
        if adaptive:
            kept = steps + THRESHOLD_AXES[threshold_shape]
            self.threshold = RunningMean({axis: lengths[axis] for axis in kept}, momentum)
        if centred:
            kept = steps + SHIFT_AXES[shift_shape]
            self.shift = RunningMean({axis: lengths[axis] for axis in kept}, momentum)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Multiplies queries, keys and values with binary attention weights in between.

        Args:
            q: queries, spikes [T, B, heads, N, d].
            k: keys, likewise.
            v: values, likewise.

        Returns:
            scale · B(Q Kᵀ, Δ) V − V̄, [T, B, heads, N, d].
        """
        coincidences = q @ k.transpose(-2, -1)
        delta = coincidences.new_zeros(()) if self.threshold is None else self.threshold(coincidences)
        gated = self.attention_map(self._binary(coincidences, delta)) @ v
        if self.scale != 1.0:
            gated = gated * self.scale
        return gated if self.shift is None else gated - self.shift(gated)

    def _binary(self, x: Tensor, delta: Tensor) -> Tensor:
        learns = torch.is_grad_enabled() and x.requires_grad
        binary: Tensor = (
            Above.apply(x, delta) if learns else (x > delta).to(x.dtype)  # type: ignore[no-untyped-call]
        )
        return binary if self.kappa == 1.0 else binary * self.kappa


def build(
    row: str = "bin",
    variant: str = "cifar",
    depth: int = 4,
    width: int = 384,
    heads: int = 12,
    classes: int = 10,
    timesteps: int = 4,
    in_channels: int | None = None,
    pools: Sequence[int] | None = None,
    kappa: float = 1.0,
    momentum: float = 0.99,
    threshold_shape: str = "block",
    shift_shape: str = "channel",
    per_step: bool = False,
    tokens: int | None = None,
    scale: float = 1.0,
    v_threshold: float = 0.5,
) -> Spikformer:
    """Builds a Spikformer with the attention of one row of the paper's table and random weights.

    Args:
        row: `ssa` (Spikformer's own attention), `baseline` (binary, Δ = 0), `centred` (binary, Δ = 0, V̄ subtracted),
            `threshold` (binary, Δ = running mean of QKᵀ), `bin` (both: the paper's SSA_Bin).
        variant: the official Spikformer file to follow: `cifar`, `dvs` or `imagenet`.
        depth: number of blocks.
        width: embedding width D, a multiple of 8 and of `heads`.
        heads: attention heads.
        classes: number of outputs.
        timesteps: T, how often an image is repeated; event frames bring their own T.
        in_channels: channels of the input; None is 3, or 2 for the `dvs` variant.
        pools: numbers (1 to 4) of the stem's stages that a max-pool follows; None is the variant's own choice.
        kappa: κ, the value of an attention weight above Δ.
        momentum: weight of the old value in the running means (the paper: 0.99).
        threshold_shape: Δ is one number per `block` or per `head`.
        shift_shape: V̄ is a `scalar`, or differs per `channel` or per `token-channel` (which needs `tokens`).
        per_step: whether Δ and V̄ are kept per time step instead of averaged over T.
        tokens: N, for `token-channel`.
        scale: factor of B V before V̄ is subtracted.
        v_threshold: threshold of the neurons after the attention.

    Returns:
        The network, in training mode.

    Raises:
        SnnprofError: an unknown row or shape, or sizes that do not fit together.
    """
    _check_choice("row", row, ROWS)
    _check_choice("threshold_shape", threshold_shape, THRESHOLD_AXES)
    _check_choice("shift_shape", shift_shape, SHIFT_AXES)
    if shift_shape == "token-channel" and tokens is None:
        raise SnnprofError("shift_shape=token-channel needs the number of tokens", hint="set tokens=64")
    mechanism = dict(ROWS[row])
    sizes: dict[str, Any] = {
        "variant": variant, "depth": depth, "width": width, "heads": heads, "classes": classes,
        "timesteps": timesteps, "in_channels": in_channels, "pools": pools,
    }  # fmt: skip
    if not mechanism.pop("binarise"):
        return spikformer.build(**sizes)

    def attention(width: int, heads: int, variant: Variant) -> SSABin:
        return SSABin(
            width, heads, variant, timesteps=timesteps, tokens=tokens, kappa=kappa, momentum=momentum,
            threshold_shape=threshold_shape, shift_shape=shift_shape, per_step=per_step, scale=scale,
            v_threshold=v_threshold, **mechanism,
        )  # fmt: skip

    return spikformer.build(**sizes, attention=attention)


def settings_from(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Reads the settings of `build` off a state dict; the state dict does not show heads, pools and T.

    Args:
        shapes: shape of each tensor by its name in the state dict.

    Returns:
        The settings that `spikformer.settings_from` returns, and `row` if the running means show it. `ssa` and
        `baseline` have none: their state dicts are alike.

    Raises:
        KeyError: the state dict belongs to another network.
    """
    settings = spikformer.settings_from(shapes)
    adaptive = "block.0.attn.threshold.value" in shapes
    centred = "block.0.attn.shift.value" in shapes
    rows = {(True, True): "bin", (True, False): "threshold", (False, True): "centred"}
    if (adaptive, centred) in rows:
        settings["row"] = rows[adaptive, centred]
    return settings


def _check_choice(what: str, value: str, known: Mapping[str, object]) -> None:
    if value not in known:
        raise SnnprofError(f"{what} must be one of {', '.join(known)}, not {value!r}")

"""The bundled models' spiking neurons: integrate-and-fire layers, leaky or not, over all time steps at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class SigmoidSpike(torch.autograd.Function):
    """A step forward (1 where x ≥ 0); backward the derivative of sigmoid(α x), α = 4."""

    @staticmethod
    def forward(ctx: Any, excess: Tensor) -> Tensor:
        ctx.save_for_backward(excess)
        return (excess >= 0).to(excess.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (excess,) = ctx.saved_tensors
        slope = torch.sigmoid(4.0 * excess)
        return gradient * 4.0 * slope * (1.0 - slope)


class IF(nn.Module):
    """Integrate-and-fire with hard reset to 0.

    h[t] = v[t-1] + x[t]; a spike where h[t] - v_threshold ≥ 0; then v[t] = 0, else v[t] = h[t].
    The potential starts at 0 in every forward pass: no state is kept between calls.
    The reset carries no gradient.

    Input and output: [T, B, ...]; the output holds only 0 and 1.
    """

    def __init__(self, v_threshold: float = 1.0) -> None:
        super().__init__()
        self.v_threshold = v_threshold

    def charge(self, v: Tensor, x: Tensor) -> Tensor:
        """The potential h[t] before the reset, as a new tensor."""
        return v + x

    def charge_in_place(self, v: Tensor, x: Tensor) -> None:
        """The same, written over v[t-1]: one tensor less at each step, but no gradient."""
        v += x

    def forward(self, x: Tensor) -> Tensor:
        learns = torch.is_grad_enabled() and x.requires_grad
        if not learns and torch.compiler.is_compiling():
            return self._stacked(x)
        return self._differentiable(x) if learns else self._in_place(x)

    def _differentiable(self, x: Tensor) -> Tensor:
        v = torch.zeros_like(x[0])
        spikes = []
        for current in x:
            h = self.charge(v, current)
            spikes.append(SigmoidSpike.apply(h - self.v_threshold))  # type: ignore[no-untyped-call]
            v = h.masked_fill(spikes[-1].bool(), 0.0)
        return torch.stack(spikes)

    def _in_place(self, x: Tensor) -> Tensor:
        v = torch.zeros_like(x[0])
        spikes = torch.empty_like(x)
        for current, spike in zip(x, spikes, strict=True):
            self.charge_in_place(v, current)
            fired = v >= self.v_threshold
            spike.copy_(fired)
            v.masked_fill_(fired, 0.0)
        return spikes

    def _stacked(self, x: Tensor) -> Tensor:
        """For a compiler, which turns steps written into one tensor into a loop that computes all of them for each.

        Its convolutions put channels last; images that are stacked so are not transposed between them.
        """
        channels = 2 if x.dim() == 5 else -1
        x = x.movedim(channels, -1)
        v = torch.zeros_like(x[0])
        spikes = []
        for current in x:
            h = self.charge(v, current)
            fired = h >= self.v_threshold
            spikes.append(fired.to(x.dtype))
            v = h.masked_fill(fired, 0.0)
        return torch.stack(spikes).movedim(-1, channels)

    def extra_repr(self) -> str:
        return f"v_threshold={self.v_threshold}"


class LIF(IF):
    """Leaky integrate-and-fire, otherwise as `IF`.

    h[t] = v[t-1] + (x[t] - v[t-1]) / tau; where the input does not decay, h[t] = v[t-1] - v[t-1] / tau + x[t].
    """

    def __init__(self, tau: float = 2.0, v_threshold: float = 1.0, decay_input: bool = True) -> None:
        super().__init__(v_threshold)
        self.tau = tau
        self.decay_input = decay_input

    def charge(self, v: Tensor, x: Tensor) -> Tensor:
        return v + (x - v) / self.tau if self.decay_input else v - v / self.tau + x

    def charge_in_place(self, v: Tensor, x: Tensor) -> None:
        if self.decay_input:
            v += (x - v) / self.tau
        else:
            v -= v / self.tau
            v += x

    def extra_repr(self) -> str:
        undecayed = "" if self.decay_input else ", decay_input=False"
        return f"tau={self.tau}, {super().extra_repr()}{undecayed}"

"""The bundled models' spiking neurons: integrate-and-fire layers, leaky or not, that run all time steps in one call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class SigmoidSpike(torch.autograd.Function):
    """Fires where x ≥ 0; its surrogate gradient is the derivative of sigmoid(α x) with α = 4."""

    @staticmethod
    def forward(ctx: Any, excess: Tensor) -> Tensor:
        """Fires where the potential has reached the threshold.

        Args:
            ctx: keeps `excess` for the backward pass.
            excess: potential − threshold, of any shape.

        Returns:
            1 where `excess` ≥ 0, else 0, in its shape and dtype.
        """
        ctx.save_for_backward(excess)
        return (excess >= 0).to(excess.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Multiplies by the derivative of sigmoid(4 x) at the stored excess.

        Args:
            ctx: holds `excess` of the forward pass.
            gradient: gradient of the loss with respect to the spikes.

        Returns:
            The gradient with respect to `excess`, in the same shape.
        """
        (excess,) = ctx.saved_tensors
        slope = torch.sigmoid(4.0 * excess)
        return gradient * 4.0 * slope * (1.0 - slope)


class IF(nn.Module):
    """Integrate-and-fire neurons with hard reset to 0.

    h[t] = v[t-1] + x[t]; a neuron fires where h[t] ≥ v_threshold, and then v[t] = 0, else v[t] = h[t].
    The potential starts at 0 in every forward pass: no state is kept between calls.
    The reset carries no gradient.

    Args:
        v_threshold: threshold of the membrane potential.
    """

    def __init__(self, v_threshold: float = 1.0) -> None:
        super().__init__()
        self.v_threshold = v_threshold

    def charge(self, v: Tensor, x: Tensor) -> Tensor:
        """Charges the membrane for one time step.

        Args:
            v: potential v[t-1] after the last reset, [B, ...].
            x: input current x[t], [B, ...].

        Returns:
            The potential h[t] before the reset, as a new tensor.
        """
        return v + x

    def charge_in_place(self, v: Tensor, x: Tensor) -> None:
        """Charges the membrane for one time step and writes h[t] over v[t-1].

        This saves one tensor per step, but carries no gradient.

        Args:
            v: potential v[t-1] after the last reset, [B, ...]; h[t] afterwards.
            x: input current x[t], [B, ...].
        """
        v += x

    def forward(self, x: Tensor) -> Tensor:
        """Runs all time steps, from potential 0.

        Args:
            x: input current [T, B, ...].

        Returns:
            Spikes (0 and 1) in the shape of `x`.
        """
        learns = torch.is_grad_enabled() and x.requires_grad
        if not learns and torch.compiler.is_compiling():
            return self._stacked(x)
        return self._differentiable(x) if learns else self._in_place(x)

    def _differentiable(self, x: Tensor) -> Tensor:
        """The form for training: every step makes new tensors, which autograd keeps."""
        v = torch.zeros_like(x[0])
        spikes = []
        for current in x:
            h = self.charge(v, current)
            spikes.append(SigmoidSpike.apply(h - self.v_threshold))  # type: ignore[no-untyped-call]
            v = h.masked_fill(spikes[-1].bool(), 0.0)
        return torch.stack(spikes)

    def _in_place(self, x: Tensor) -> Tensor:
        """The form for evaluation: one potential, overwritten at each step."""
        v = torch.zeros_like(x[0])
        spikes = torch.empty_like(x)
        for current, spike in zip(x, spikes, strict=True):
            self.charge_in_place(v, current)
            fired = v >= self.v_threshold
            spike.copy_(fired)
            v.masked_fill_(fired, 0.0)
        return spikes

    def _stacked(self, x: Tensor) -> Tensor:
        """The form for torch.compile: collects the spikes of all steps and stacks them.

        If the steps were written into one tensor, the compiler would compute all of them again for each write. Compiled
        convolutions keep channels last; images stacked in that order need no transposition between two of them.
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
        """Describes the settings for `repr`.

        Returns:
            The threshold, as in `v_threshold=1.0`.
        """
        return f"v_threshold={self.v_threshold}"


class LIF(IF):
    """Leaky integrate-and-fire neurons; reset and surrogate gradient are those of `IF`.

    h[t] = v[t-1] + (x[t] - v[t-1]) / tau, or h[t] = v[t-1] - v[t-1] / tau + x[t] if the input does not decay. With
    tau = 2 and a threshold of 1 these are the neurons of the official Spikformer code.

    Args:
        tau: membrane time constant, in time steps.
        v_threshold: threshold of the membrane potential.
        decay_input: whether the input current is divided by tau, too.
    """

    def __init__(self, tau: float = 2.0, v_threshold: float = 1.0, decay_input: bool = True) -> None:
        super().__init__(v_threshold)
        self.tau = tau
        self.decay_input = decay_input

    def charge(self, v: Tensor, x: Tensor) -> Tensor:
        """Charges the leaky membrane for one time step.

        Args:
            v: potential v[t-1] after the last reset, [B, ...].
            x: input current x[t], [B, ...].

        Returns:
            The potential h[t] before the reset, as a new tensor.
        """
        return v + (x - v) / self.tau if self.decay_input else v - v / self.tau + x

    def charge_in_place(self, v: Tensor, x: Tensor) -> None:
        """Charges the leaky membrane for one time step and writes h[t] over v[t-1], without a gradient.

        Args:
            v: potential v[t-1] after the last reset, [B, ...]; h[t] afterwards.
            x: input current x[t], [B, ...].
        """
        if self.decay_input:
            v += (x - v) / self.tau
        else:
            v -= v / self.tau
            v += x

    def extra_repr(self) -> str:
        """Describes the settings for `repr`.

        Returns:
            Time constant and threshold, as in `tau=2.0, v_threshold=1.0`; `decay_input=False` is added where it holds.
        """
        undecayed = "" if self.decay_input else ", decay_input=False"
        return f"tau={self.tau}, {super().extra_repr()}{undecayed}"

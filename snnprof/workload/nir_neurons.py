"""The nodes of NIR that keep state or fire; each call of a module is one time step.

NIR defines neurons by differential equations. They are integrated by the forward Euler method: x(t + dt) = x(t) + dt ·
ẋ(t), from x = 0. After that, a neuron fires if v > v_threshold. In current-based neurons the membrane potential reads
the synaptic current of the same step, as in a chain of the two equations.

Source of the equations: J. E. Pedersen et al., Neuromorphic intermediate representation, Nature Communications 15:8122,
2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

Values = Mapping[str, Any]
"""A node's parameters: arrays of the shape of one sample, or of a shape that can be broadcast to it."""
Reset = Literal["file", "subtract", "zero"]
"""The potential after a spike. `file`: v_reset if the file has it, else v − v_threshold; `subtract`: always
v − v_threshold; `zero`: always 0."""


class NirState(nn.Module):
    """A module that keeps state from step to step."""

    def reset(self) -> None:
        """Starts a new sequence."""


class NirI(NirState):
    """Integrator: v̇ = r · x."""

    gain: Tensor

    def __init__(self, values: Values, dt: float) -> None:
        super().__init__()
        self.v: Tensor | None = None
        self.keep("gain", dt * _array(values["r"]))

    def keep(self, name: str, array: Any) -> None:
        """Registers a parameter of the neurons, computed in float64, as a float32 buffer; None if they have none."""
        self.register_buffer(name, None if array is None else torch.as_tensor(np.asarray(array), dtype=torch.float32))

    def reset(self) -> None:
        """Starts a new sequence, with v = 0."""
        self.v = None

    def integrate(self, x: Tensor) -> Tensor:
        """Integrates one step of input; the potential before any spike, `[B, ...]` as x."""
        before = torch.zeros_like(x) if self.v is None else self.v
        self.v = before + self.gain * x
        return self.v

    def forward(self, x: Tensor) -> Tensor:
        """One step: the potential, `[B, ...]` as x."""
        return self.integrate(x)


class NirLI(NirI):
    """Leaky integrator: tau · v̇ = (v_leak − v) + r · x."""

    share: Tensor
    leak: Tensor

    def __init__(self, values: Values, dt: float, tau: str = "tau") -> None:
        super().__init__(values, 1.0)  # gain is r
        self.keep("share", _share(values, tau, dt))
        self.keep("leak", values["v_leak"])

    def integrate(self, x: Tensor) -> Tensor:
        """Integrates one step of input; the potential before any spike, `[B, ...]` as x."""
        before = torch.zeros_like(x) if self.v is None else self.v
        self.v = before + self.share * (self.leak - before + self.gain * x)
        return self.v


class NirCubaLI(NirLI):
    """Current-based leaky integrator: tau_syn · i̇ = −i + w_in · x and tau_mem · v̇ = (v_leak − v) + r · i."""

    synaptic_share: Tensor
    weight_in: Tensor

    def __init__(self, values: Values, dt: float) -> None:
        super().__init__(values, dt, "tau_mem")
        self.current: Tensor | None = None
        self.keep("synaptic_share", _share(values, "tau_syn", dt))
        self.keep("weight_in", values.get("w_in", 1.0))

    def reset(self) -> None:
        """Starts a new sequence, with v = 0 and i = 0."""
        super().reset()
        self.current = None

    def integrate(self, x: Tensor) -> Tensor:
        """Integrates the synaptic current, then the potential; returns the potential, `[B, ...]` as x."""
        before = torch.zeros_like(x) if self.current is None else self.current
        self.current = before + self.synaptic_share * (self.weight_in * x - before)
        return super().integrate(self.current)


class _Fires(NirI):
    """Outputs z = 1 where v > v_threshold, and resets those potentials."""

    threshold: Tensor
    after: Tensor | None

    def fire_at(self, values: Values, reset: Reset) -> None:
        """Sets the threshold and the potential after a spike."""
        self.keep("threshold", values["v_threshold"])
        to = {"file": values.get("v_reset"), "subtract": None, "zero": 0.0}[reset]
        self.keep("after", to)

    def forward(self, x: Tensor) -> Tensor:
        """One step: the spikes, 0 or 1, `[B, ...]` as x."""
        v = self.integrate(x)
        fires = v > self.threshold
        self.v = torch.where(fires, v - self.threshold if self.after is None else self.after, v)
        return fires.to(v.dtype)


class NirIF(_Fires, NirI):
    """Integrate-and-fire neurons: `NirI` with a threshold."""

    def __init__(self, values: Values, dt: float, reset: Reset) -> None:
        super().__init__(values, dt)
        self.fire_at(values, reset)


class NirLIF(_Fires, NirLI):
    """Leaky integrate-and-fire neurons: `NirLI` with a threshold."""

    def __init__(self, values: Values, dt: float, reset: Reset) -> None:
        super().__init__(values, dt)
        self.fire_at(values, reset)


class NirCubaLIF(_Fires, NirCubaLI):
    """Current-based leaky integrate-and-fire neurons: `NirCubaLI` with a threshold."""

    def __init__(self, values: Values, dt: float, reset: Reset) -> None:
        super().__init__(values, dt)
        self.fire_at(values, reset)


class NirThreshold(nn.Module):
    """Outputs 1 where x > threshold; keeps no state."""

    threshold: Tensor

    def __init__(self, values: Values) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.as_tensor(_array(values["threshold"]), dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Compares each element of `[B, ...]` with the threshold."""
        return (x > self.threshold).to(x.dtype)


class NirDelay(NirState):
    """Delays each element by its own whole number of time steps: y(t) = x(t − delay), and 0 before the first input."""

    steps: Tensor

    def __init__(self, values: Values, dt: float) -> None:
        super().__init__()
        steps = np.rint(_array(values["delay"]) / dt)
        if not (np.isfinite(steps).all() and (steps >= 0).all() and (steps <= MOST_STEPS).all()):
            raise ValueError(f"delay must be from 0 to {MOST_STEPS} time steps of {dt:g} s")
        self.register_buffer("steps", torch.as_tensor(steps.astype(np.int64)))
        self.longest = int(steps.max(initial=0))
        self.shortest = int(steps.min(initial=self.longest))
        self.past: list[Tensor] = []

    def reset(self) -> None:
        """Starts a new sequence: forgets the earlier inputs."""
        self.past = []

    def forward(self, x: Tensor) -> Tensor:
        """One step: the delayed input, `[B, ...]` as x."""
        seen = [x, *self.past]
        self.past = seen[: self.longest]
        seen += [torch.zeros_like(x)] * (self.longest + 1 - len(seen))
        if self.shortest == self.longest:
            return seen[self.longest]
        result = seen[0]
        for step in range(1, self.longest + 1):
            result = torch.where(self.steps == step, seen[step], result)
        return result


MOST_STEPS = 1000
"""The longest delay: its input of each step is kept in memory."""


def _array(value: Any) -> np.ndarray[Any, Any]:
    return np.asarray(value, dtype=np.float64)


def _share(values: Values, name: str, dt: float) -> np.ndarray[Any, Any]:
    """dt / tau: the share of the distance to its resting value that a potential moves in one step.

    Raises:
        ValueError: tau is not above 0, or not above dt / 2, so that forward Euler does not converge.
    """
    tau = _array(values[name])
    if not (tau > 0).all():
        raise ValueError(f"{name} must be more than 0")
    if (dt >= 2 * tau).any():
        raise ValueError(f"with steps of dt = {dt:g} s and {name} = {tau.min():g} s, forward Euler does not converge")
    return dt / tau

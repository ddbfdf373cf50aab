"""The nodes of NIR that keep state or fire, one time step a call.

NIR gives differential equations. They are integrated by the forward Euler method: x(t + dt) = x(t) + dt · ẋ(t), from
x = 0. A neuron fires where v > v_threshold after that. In the current-based neurons the membrane reads the synaptic
current of the same step, as in a chain of the two equations.

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
"""A node's parameters: arrays that have the shape of one sample, or of a part of it that can be broadcast."""
Reset = Literal["file", "subtract", "zero"]
"""After a spike: v_reset where the file has it, else v − v_threshold; always v − v_threshold; always 0."""


class NirState(nn.Module):
    """What keeps state from step to step."""

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
        """A parameter of the neurons, worked out in float64; null where they have none."""
        self.register_buffer(name, None if array is None else torch.as_tensor(np.asarray(array), dtype=torch.float32))

    def reset(self) -> None:
        self.v = None

    def integrate(self, x: Tensor) -> Tensor:
        """The potential of this step, before any spike; `[B, ...]` as x."""
        before = torch.zeros_like(x) if self.v is None else self.v
        self.v = before + self.gain * x
        return self.v

    def forward(self, x: Tensor) -> Tensor:
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
        super().reset()
        self.current = None

    def integrate(self, x: Tensor) -> Tensor:
        before = torch.zeros_like(x) if self.current is None else self.current
        self.current = before + self.synaptic_share * (self.weight_in * x - before)
        return super().integrate(self.current)


class _Fires(NirI):
    """Puts out z = 1 where v > v_threshold, and takes those potentials back."""

    threshold: Tensor
    after: Tensor | None

    def fire_at(self, values: Values, reset: Reset) -> None:
        """Sets the threshold, and what a spike does to the potential."""
        self.keep("threshold", values["v_threshold"])
        to = {"file": values.get("v_reset"), "subtract": None, "zero": 0.0}[reset]
        self.keep("after", to)

    def forward(self, x: Tensor) -> Tensor:
        v = self.integrate(x)
        fires = v > self.threshold
        self.v = torch.where(fires, v - self.threshold if self.after is None else self.after, v)
        return fires.to(v.dtype)


class NirIF(_Fires, NirI):
    """Integrate and fire."""

    def __init__(self, values: Values, dt: float, reset: Reset) -> None:
        super().__init__(values, dt)
        self.fire_at(values, reset)


class NirLIF(_Fires, NirLI):
    """Leaky integrate and fire."""

    def __init__(self, values: Values, dt: float, reset: Reset) -> None:
        super().__init__(values, dt)
        self.fire_at(values, reset)


class NirCubaLIF(_Fires, NirCubaLI):
    """Current-based leaky integrate and fire."""

    def __init__(self, values: Values, dt: float, reset: Reset) -> None:
        super().__init__(values, dt)
        self.fire_at(values, reset)


class NirThreshold(nn.Module):
    """1 where x > threshold; keeps no state."""

    threshold: Tensor

    def __init__(self, values: Values) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.as_tensor(_array(values["threshold"]), dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return (x > self.threshold).to(x.dtype)


class NirDelay(NirState):
    """y(t) = x(t − delay), with delays of whole time steps, one for each element; 0 before anything arrives."""

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
        self.past = []

    def forward(self, x: Tensor) -> Tensor:
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
"""Of a delay: so many steps are kept in memory."""


def _array(value: Any) -> np.ndarray[Any, Any]:
    return np.asarray(value, dtype=np.float64)


def _share(values: Values, name: str, dt: float) -> np.ndarray[Any, Any]:
    """dt / tau: how much of its way to rest a potential goes in one step.

    Raises:
        ValueError: tau is not more than dt / 2, so that forward Euler does not converge.
    """
    tau = _array(values[name])
    if not (tau > 0).all():
        raise ValueError(f"{name} must be more than 0")
    if (dt >= 2 * tau).any():
        raise ValueError(f"with steps of dt = {dt:g} s and {name} = {tau.min():g} s, forward Euler does not converge")
    return dt / tau

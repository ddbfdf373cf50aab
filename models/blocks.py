"""What several networks are made of: layer → batch norm → neuron stages, two-layer MLPs, residual blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snnprof.errors import SnnprofError

from .neuron import LIF


class Stages(nn.Module):
    """A module of layer → batch norm → LIF stages, registered side by side as the official state dict names them.

    Stage `q` becomes q_linear (or q_conv), q_bn, q_lif; `proj` number 1 becomes proj_conv1, proj_bn1, proj_lif1.
    """

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[str, tuple[str, str, str]] = {}
        self._pools: dict[str, str] = {}

    def add_stage(self, stage: str, layer: nn.Module, *, number: str = "", v_threshold: float | None = 1.0) -> None:
        """Registers a stage, known as `stage + number`; without a threshold it has no neuron."""
        kind = "linear" if isinstance(layer, nn.Linear) else "conv"
        names = (f"{stage}_{kind}{number}", f"{stage}_bn{number}", f"{stage}_lif{number}")
        self.add_module(names[0], layer)
        self.add_module(names[1], _norm_after(layer))
        if v_threshold is not None:
            self.add_module(names[2], LIF(v_threshold=v_threshold))
        self._names[stage + number] = names

    def add_pool(self, stage: str, name: str) -> None:
        """Registers the 3×3 max-pool of stride 2 that belongs to a stage."""
        self.add_module(name, nn.MaxPool2d(3, stride=2, padding=1))
        self._pools[stage] = name

    def current(self, stage: str, x: Tensor) -> Tensor:
        """The normalised output of a stage's layer: [T, B, ...] → [T, B, ...]."""
        layer, norm = (self.get_submodule(name) for name in self._names[stage][:2])
        y = layer(x.flatten(0, 1))
        channels_last = isinstance(layer, nn.Linear)
        y = norm(y.transpose(-1, -2)).transpose(-1, -2) if channels_last else norm(y)
        return torch.unflatten(y, 0, x.shape[:2])

    def pooled(self, stage: str, x: Tensor) -> Tensor:
        """[T, B, D, H, W] after the max-pool of a stage, if it has one."""
        if stage not in self._pools:
            return x
        pool = self.get_submodule(self._pools[stage])
        return torch.unflatten(pool(x.flatten(0, 1)), 0, x.shape[:2])

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


Layer = Callable[[int, int], nn.Module]
"""Builds a layer from its numbers of inputs and outputs."""


def grid_layer(inputs: int, outputs: int) -> nn.Module:
    """A layer of tokens on their grid: a 1×1 convolution with bias."""
    return nn.Conv2d(inputs, outputs, 1)


class MLP(Stages):
    """Two token layers with a hidden width of 4 D (ratio · D), neurons after each; input and output of one shape."""

    def __init__(self, width: int, layer: Layer, stages: tuple[str, str] = ("fc1", "fc2"), ratio: int = 4) -> None:
        super().__init__()
        self.stages = stages
        self.add_stage(stages[0], layer(width, ratio * width))
        self.add_stage(stages[1], layer(ratio * width, width))

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = self.fire(stage, x)
        return x


class MembraneMLP(MLP):
    """The same with neurons before each layer, on a membrane stream."""

    def forward(self, stream: Tensor) -> Tensor:
        for stage in self.stages:
            stream = self.current(stage, self.neuron(stage, stream))
        return stream


class Block(nn.Module):
    """Attention and MLP, each added to its input.

    Args:
        norm_width: of norm1 and norm2, which are never applied: some official state dicts have them.
        name: of the attention, in the state dict.
    """

    def __init__(self, attn: nn.Module, mlp: nn.Module, norm_width: int | None = None, name: str = "attn") -> None:
        super().__init__()
        self._attention = name
        if norm_width is not None:
            self.norm1 = nn.LayerNorm(norm_width, eps=1e-6)
        self.add_module(name, attn)
        if norm_width is not None:
            self.norm2 = nn.LayerNorm(norm_width, eps=1e-6)
        self.mlp = mlp

    def forward(self, x: Tensor) -> Tensor:
        x = x + getattr(self, self._attention)(x)
        mixed: Tensor = x + self.mlp(x)
        return mixed


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


def check_pools(stages: Sequence[int]) -> tuple[int, ...]:
    """The stages of a stem that are pooled, in order.

    Raises:
        SnnprofError: they are not among its four.
    """
    if not set(stages) <= {1, 2, 3, 4}:
        raise SnnprofError(f"pools names stages 1 to 4 of the stem, not {list(stages)}")
    return tuple(sorted(stages))

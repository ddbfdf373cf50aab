"""Parts that several bundled networks share: layer → batch norm → neuron stages, two-layer MLPs, residual blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snnprof.errors import SnnprofError

from .neuron import LIF


class Stages(nn.Module):
    """A module of layer → batch norm → LIF stages, whose submodules have the names of the official state dicts.

    Stage `q` registers q_linear (or q_conv), q_bn and q_lif; stage `proj` with number 1 registers proj_conv1, proj_bn1
    and proj_lif1.
    """

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[str, tuple[str, str, str]] = {}
        self._pools: dict[str, str] = {}

    def add_stage(self, stage: str, layer: nn.Module, *, number: str = "", v_threshold: float | None = 1.0) -> None:
        """Registers a stage; the other methods refer to it as `stage + number`.

        Args:
            stage: first part of the names of its submodules.
            layer: an `nn.Linear`, or a convolution over one or two dimensions.
            number: last part of those names.
            v_threshold: threshold of the stage's LIF neurons; None registers no neurons.
        """
        kind = "linear" if isinstance(layer, nn.Linear) else "conv"
        names = (f"{stage}_{kind}{number}", f"{stage}_bn{number}", f"{stage}_lif{number}")
        self.add_module(names[0], layer)
        self.add_module(names[1], _norm_after(layer))
        if v_threshold is not None:
            self.add_module(names[2], LIF(v_threshold=v_threshold))
        self._names[stage + number] = names

    def add_pool(self, stage: str, name: str) -> None:
        """Registers a 3×3 max-pool with stride 2 and padding 1 for a stage.

        Args:
            stage: the stage, as the other methods refer to it.
            name: name of the pooling submodule.
        """
        self.add_module(name, nn.MaxPool2d(3, stride=2, padding=1))
        self._pools[stage] = name

    def current(self, stage: str, x: Tensor) -> Tensor:
        """The input current of a stage's neurons: the output of its layer after batch norm.

        Args:
            stage: a registered stage.
            x: [T, B, N, C] for a linear layer, [T, B, C, N] or [T, B, C, H, W] for a convolution.

        Returns:
            The current in the same arrangement, with the layer's number of outputs in place of C.
        """
        layer, norm = (self.get_submodule(name) for name in self._names[stage][:2])
        y = layer(x.flatten(0, 1))
        channels_last = isinstance(layer, nn.Linear)
        y = norm(y.transpose(-1, -2)).transpose(-1, -2) if channels_last else norm(y)
        return torch.unflatten(y, 0, x.shape[:2])

    def pooled(self, stage: str, x: Tensor) -> Tensor:
        """Applies the max-pool of a stage.

        Args:
            stage: a registered stage.
            x: [T, B, D, H, W].

        Returns:
            [T, B, D, H', W'] with halved height and width (rounded up), or `x` if the stage has no pool.
        """
        if stage not in self._pools:
            return x
        pool = self.get_submodule(self._pools[stage])
        return torch.unflatten(pool(x.flatten(0, 1)), 0, x.shape[:2])

    def neuron(self, stage: str, x: Tensor) -> Tensor:
        """Runs the neurons of a stage.

        Args:
            stage: a registered stage with neurons.
            x: their input current [T, B, ...].

        Returns:
            Spikes (0 and 1) in the shape of `x`.
        """
        spikes: Tensor = self.get_submodule(self._names[stage][2])(x)
        return spikes

    def fire(self, stage: str, x: Tensor) -> Tensor:
        """Runs the layer, the batch norm and the neurons of a stage.

        Args:
            stage: a registered stage with neurons.
            x: input of its layer, as in `current`.

        Returns:
            Spikes (0 and 1) in the shape that `current` returns.
        """
        return self.neuron(stage, self.current(stage, x))


def _norm_after(layer: Any) -> nn.Module:
    """The batch norm that fits a layer's outputs."""
    if isinstance(layer, nn.Conv2d):
        return nn.BatchNorm2d(layer.out_channels)
    return nn.BatchNorm1d(layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels)


Layer = Callable[[int, int], nn.Module]
"""Builds a layer from its numbers of inputs and outputs."""


def grid_layer(inputs: int, outputs: int) -> nn.Module:
    """A token layer for tokens on their grid: a 1×1 convolution with bias.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.

    Returns:
        A layer that takes [B, inputs, H, W].
    """
    return nn.Conv2d(inputs, outputs, 1)


class MLP(Stages):
    """Two token layers, each followed by batch norm and LIF neurons.

    Args:
        width: features D of input and output.
        layer: builds a token layer from its numbers of inputs and outputs.
        stages: names of the two stages in the state dict.
        ratio: hidden width / D.
    """

    def __init__(self, width: int, layer: Layer, stages: tuple[str, str] = ("fc1", "fc2"), ratio: int = 4) -> None:
        super().__init__()
        self.stages = stages
        self.add_stage(stages[0], layer(width, ratio * width))
        self.add_stage(stages[1], layer(ratio * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Runs both stages, neurons last.

        Args:
            x: tokens, in the arrangement that the token layers take (`Stages.current`).

        Returns:
            Spikes in the shape of `x`.
        """
        for stage in self.stages:
            x = self.fire(stage, x)
        return x


class MembraneMLP(MLP):
    """The same MLP with the LIF neurons before each layer: it reads and returns real-valued membrane potentials."""

    def forward(self, stream: Tensor) -> Tensor:
        """Runs both stages, neurons first.

        Args:
            stream: membrane potentials, in the arrangement that the token layers take (`Stages.current`).

        Returns:
            Real values in the shape of `stream`.
        """
        for stage in self.stages:
            stream = self.current(stage, self.neuron(stage, stream))
        return stream


class Block(nn.Module):
    """A residual block: x + attention(x), then x + mlp(x).

    Args:
        attn: the attention module; its output has the shape of its input.
        mlp: likewise.
        norm_width: width of two LayerNorms, norm1 and norm2, which no forward pass applies: some official state dicts
            have them. None leaves them out.
        name: name of the attention in the state dict.
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
        """Runs the block.

        Args:
            x: [T, B, ...], as attention and MLP take it.

        Returns:
            The sum of `x` and both results, in the shape of `x`. Sums of spikes are whole numbers, no longer only 0
            and 1.
        """
        x = x + getattr(self, self._attention)(x)
        mixed: Tensor = x + self.mlp(x)
        return mixed


def time_first(x: Tensor, timesteps: int, events: bool) -> Tensor:
    """Brings a network's input into the order [T, B, C, H, W].

    Args:
        x: images [B, C, H, W], or event frames [B, T, C, H, W].
        timesteps: T, how often each image is repeated; not used for event frames.
        events: whether `x` holds event frames.

    Returns:
        [T, B, C, H, W].

    Raises:
        SnnprofError: `x` has another number of axes.
    """
    if x.dim() != (5 if events else 4):
        wanted = "event frames [B, T, C, H, W]" if events else "images [B, C, H, W]"
        raise SnnprofError(f"this model takes {wanted}; the input has shape {list(x.shape)}")
    if events:
        return x.transpose(0, 1)
    return x.unsqueeze(0).repeat(timesteps, 1, 1, 1, 1)


def check_sizes(**sizes: int) -> None:
    """Refuses sizes that no network can have.

    Args:
        sizes: sizes by name, for the message. `width` must be among them; `heads` may be.

    Raises:
        SnnprofError: a size is not a positive whole number, or `width` is not a multiple of both 8 and `heads`.
    """
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SnnprofError(f"{name} must be a positive whole number, not {value!r}")
    if sizes["width"] % 8:
        raise SnnprofError(f"width must be a multiple of 8 (the stem starts at width / 8), not {sizes['width']}")
    if sizes["width"] % sizes.get("heads", 1):
        raise SnnprofError(f"width {sizes['width']} does not divide by {sizes['heads']} heads")


def check_pools(stages: Sequence[int]) -> tuple[int, ...]:
    """The pooled stages of a stem, in order.

    Args:
        stages: numbers of the stages that a max-pool belongs to, 1 to 4.

    Returns:
        The same numbers, sorted.

    Raises:
        SnnprofError: a number is not from 1 to 4.
    """
    if not set(stages) <= {1, 2, 3, 4}:
        raise SnnprofError(f"pools names stages 1 to 4 of the stem, not {list(stages)}")
    return tuple(sorted(stages))

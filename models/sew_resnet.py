"""SEW-ResNet-18 and -34 (Fang et al., NeurIPS 2021, arXiv 2102.04159): residual blocks that add spikes to spikes.

The state dict has the names, shapes and order of SpikingJelly's `sew_resnet`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from .blocks import time_first
from .neuron import IF
from .residual import (
    BLOCKS,
    at_each_step,
    check_settings,
    conv3x3,
    downsampling,
    settings_of,
    stem_convolution,
)


class Block(nn.Module):
    """Two convolutions with neurons, whose spikes are added to those of the shortcut (the paper's connection ADD).

    Input and output hold whole numbers: after n blocks of a stage, sums of up to n + 1 spikes.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: stride of the first convolution and of the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.sn1 = IF()
        self.conv2 = conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.sn2 = IF()
        self.downsample = downsampling(inputs, outputs, stride)
        if self.downsample is not None:
            self.downsample_sn = IF()

    def forward(self, x: Tensor) -> Tensor:
        """Runs the block.

        Args:
            x: sums of spikes [T, B, inputs, H, W].

        Returns:
            Sums of spikes [T, B, outputs, H / stride, W / stride] (rounded up).
        """
        spikes = self.sn1(at_each_step(x, self.conv1, self.bn1))
        spikes = self.sn2(at_each_step(spikes, self.conv2, self.bn2))
        total: Tensor = self.shortcut(x) + spikes
        return total

    def shortcut(self, x: Tensor) -> Tensor:
        """Runs the shortcut.

        Args:
            x: sums of spikes [T, B, inputs, H, W].

        Returns:
            `x`, or if the block changes the shape, the spikes [T, B, outputs, H', W'] of the downsampling convolution.
        """
        if self.downsample is None:
            return x
        spikes: Tensor = self.downsample_sn(at_each_step(x, self.downsample))
        return spikes


class SEWResNet(nn.Module):
    """Stem, four stages of blocks, mean over positions, a linear layer at each step, mean over time.

    Args:
        depth: 18 or 34.
        width: channels of the first stage; each later stage has twice as many as the one before.
        classes: number of outputs.
        timesteps: T, how often an image is repeated.
        in_channels: channels of an image.
        stem: `imagenet` or `small`, as in `build`.
    """

    def __init__(self, depth: int, width: int, classes: int, timesteps: int, in_channels: int, stem: str) -> None:
        super().__init__()
        self.timesteps = timesteps
        self.conv1 = stem_convolution(stem, in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.sn1 = IF()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem == "imagenet" else nn.Identity()
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        for stage, blocks in enumerate(BLOCKS[depth], start=1):
            inputs, outputs = widths[stage - 1 : stage + 1]
            first = Block(inputs, outputs, stride=1 if stage == 1 else 2)
            rest = (Block(outputs, outputs, stride=1) for _ in range(1, blocks))
            self.add_module(f"layer{stage}", nn.Sequential(first, *rest))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * width, classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Classifies images.

        Args:
            x: images [B, in_channels, H, W]; the network reads each one at all T steps.

        Returns:
            Logits [B, classes].
        """
        x = time_first(x, self.timesteps, events=False)
        x = at_each_step(self.sn1(at_each_step(x, self.conv1, self.bn1)), self.maxpool)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        logits: Tensor = self.fc(at_each_step(x, self.avgpool).flatten(2))
        return logits.mean(0)


def build(
    depth: int = 18,
    width: int = 64,
    classes: int = 1000,
    timesteps: int = 4,
    in_channels: int = 3,
    stem: str = "imagenet",
) -> SEWResNet:
    """Builds a SEW-ResNet with random weights.

    Args:
        depth: 18 or 34.
        width: channels of the first stage; each later stage has twice as many as the one before.
        classes: number of outputs.
        timesteps: T, how often an image is repeated.
        in_channels: channels of an image.
        stem: `imagenet`, a 7×7 convolution with stride 2 and a max-pool, or `small`, a 3×3 convolution.

    Returns:
        The network, in training mode.

    Raises:
        SnnprofError: an unknown depth or stem, or a size that is not a positive whole number.
    """
    check_settings(depth, stem, width=width, classes=classes, timesteps=timesteps, in_channels=in_channels)
    return SEWResNet(depth, width, classes, timesteps, in_channels, stem)


def settings_from(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Reads the settings of `build` off a state dict; the state dict does not show T.

    Args:
        shapes: shape of each tensor by its name in the state dict.

    Returns:
        `depth`, `stem`, `width`, `classes` and `in_channels`.
    """
    return settings_of(shapes, "conv1.weight", "fc.weight")

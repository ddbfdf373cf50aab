"""MS-ResNet-18 and -34 (Hu et al., arXiv 2112.08954; TNNLS 2024): shortcuts carry membrane potentials, not spikes.

Neurons come before each convolution (pre-activation). The state dict has the names, shapes and order of SpikingJelly's
`ms_resnet`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from .blocks import time_first
from .neuron import LIF
from .residual import (
    BLOCKS,
    at_each_step,
    check_settings,
    conv3x3,
    downsampling,
    settings_of,
    stem_convolution,
)

NORM_SCALE = 0.5
"""Initial weight of the batch norms: the neurons' threshold. The last norm of a block starts at 0, so that an untrained
block adds nothing to its shortcut."""


def neuron() -> LIF:
    """MS-ResNet's neurons: h[t] = v[t-1] / 4 + x[t], threshold 0.5.

    Returns:
        A new layer of LIF neurons with hard reset.
    """
    return LIF(tau=4 / 3, v_threshold=0.5, decay_input=False)


class Block(nn.Module):
    """Two times neurons, 3×3 convolution and batch norm, added to a real-valued shortcut.

    Both 3×3 convolutions read spikes; the 1×1 convolution of a downsampling shortcut reads real values.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: stride of the first convolution and of the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.spike1 = neuron()
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.spike2 = neuron()
        self.conv2 = conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = downsampling(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Runs the block.

        Args:
            x: membrane potentials [T, B, inputs, H, W], real-valued.

        Returns:
            Membrane potentials [T, B, outputs, H / stride, W / stride] (rounded up), real-valued.
        """
        shortcut = x if self.downsample is None else at_each_step(x, self.downsample)
        current = at_each_step(self.spike1(x), self.conv1, self.bn1)
        return at_each_step(self.spike2(current), self.conv2, self.bn2) + shortcut


class MSResNet(nn.Module):
    """Stem, four stages of blocks, neurons, mean over positions, a linear layer at each step, mean over time.

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
        self.stem = nn.Sequential(stem_convolution(stem, in_channels, width), nn.BatchNorm2d(width))
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        for stage, blocks in enumerate(BLOCKS[depth], start=1):
            inputs, outputs = widths[stage - 1 : stage + 1]
            rest = (Block(outputs, outputs, stride=1) for _ in range(1, blocks))
            self.add_module(f"layer{stage}", nn.Sequential(Block(inputs, outputs, stride=2), *rest))
        self.head_lif = neuron()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8 * width, classes)
        self._initialise()

    def _initialise(self) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.weight, 0.0 if name.endswith("bn2") else NORM_SCALE)

    def forward(self, x: Tensor) -> Tensor:
        """Classifies images.

        Args:
            x: images [B, in_channels, H, W]; the network reads each one at all T steps.

        Returns:
            Logits [B, classes].
        """
        x = at_each_step(time_first(x, self.timesteps, events=False), self.stem)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        logits: Tensor = self.head(at_each_step(self.head_lif(x), self.avgpool).flatten(2))
        return logits.mean(0)


def build(
    depth: int = 18,
    width: int = 64,
    classes: int = 1000,
    timesteps: int = 4,
    in_channels: int = 3,
    stem: str = "imagenet",
) -> MSResNet:
    """Builds an MS-ResNet with random weights.

    Args:
        depth: 18 or 34.
        width: channels of the first stage; each later stage has twice as many as the one before.
        classes: number of outputs.
        timesteps: T, how often an image is repeated.
        in_channels: channels of an image.
        stem: `imagenet`, a 7×7 convolution with stride 2, or `small`, a 3×3 convolution.

    Returns:
        The network, in training mode.

    Raises:
        SnnprofError: an unknown depth or stem, or a size that is not a positive whole number.
    """
    check_settings(depth, stem, width=width, classes=classes, timesteps=timesteps, in_channels=in_channels)
    return MSResNet(depth, width, classes, timesteps, in_channels, stem)


def settings_from(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Reads the settings of `build` off a state dict; the state dict does not show T.

    Args:
        shapes: shape of each tensor by its name in the state dict.

    Returns:
        `depth`, `stem`, `width`, `classes` and `in_channels`.
    """
    return settings_of(shapes, "stem.0.weight", "head.weight")

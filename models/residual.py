"""Parts that the bundled residual networks share: stage sizes, convolutions, and layers that run at each time step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snnprof.errors import SnnprofError, unknown

BLOCKS: dict[int, tuple[int, ...]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Blocks in each of the four stages, by depth (the number in the network's name)."""
STEMS = {"imagenet": (7, 2), "small": (3, 1)}
"""Kernel size and stride of the first convolution: for images of ImageNet's size, and for small ones."""


def at_each_step(x: Tensor, *layers: nn.Module) -> Tensor:
    """Runs stateless layers one after another on every time step.

    Args:
        x: [T, B, ...].
        layers: layers that take [T·B, ...].

    Returns:
        The result of the last layer, [T, B, ...].
    """
    y = x.flatten(0, 1)
    for layer in layers:
        y = layer(y)
    return torch.unflatten(y, 0, x.shape[:2])


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 3×3 convolution with padding 1 and no bias.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: stride in both directions.

    Returns:
        The layer.
    """
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def stem_convolution(stem: str, inputs: int, outputs: int) -> nn.Conv2d:
    """A network's first convolution, without bias; with stride 1 it keeps height and width.

    Args:
        stem: `imagenet` (7×7, stride 2) or `small` (3×3, stride 1).
        inputs: channels of an image.
        outputs: channels that go out.

    Returns:
        The layer.
    """
    kernel, stride = STEMS[stem]
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


def downsampling(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """The 1×1 convolution and batch norm of a shortcut that changes the shape.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: stride in both directions.

    Returns:
        The two layers, or None if the shape stays as it is and the shortcut is the identity.
    """
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def check_settings(depth: int, stem: str, **sizes: int) -> None:
    """Refuses settings that no network can have.

    Args:
        depth: must be 18 or 34.
        stem: must be `imagenet` or `small`.
        sizes: sizes by name, for the message.

    Raises:
        SnnprofError: an unknown depth or stem, or a size that is not a positive whole number.
    """
    if depth not in BLOCKS:
        raise SnnprofError(f"depth must be {' or '.join(map(str, BLOCKS))}, not {depth!r}")
    if stem not in STEMS:
        raise unknown("stem", stem, STEMS)
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SnnprofError(f"{name} must be a positive whole number, not {value!r}")


def settings_of(shapes: Mapping[str, Sequence[int]], stem: str, head: str) -> dict[str, Any]:
    """Reads a network's settings off its state dict; the state dict does not show T.

    Args:
        shapes: shape of each tensor by its name in the state dict.
        stem: name of the first convolution's weight.
        head: name of the last linear layer's weight.

    Returns:
        `depth`, `stem`, `width`, `classes` and `in_channels`, as the `build` functions take them.

    Raises:
        KeyError: the state dict belongs to another network.
        IndexError: likewise; the first weight is no convolution's.
    """
    first = shapes[stem]
    blocks = tuple(
        len({name.split(".")[1] for name in shapes if name.startswith(f"layer{stage}.")}) for stage in range(1, 5)
    )
    return {
        "depth": {known: depth for depth, known in BLOCKS.items()}[blocks],
        "stem": {kernel: name for name, (kernel, _) in STEMS.items()}[first[2]],
        "width": first[0],
        "classes": shapes[head][0],
        "in_channels": first[1],
    }

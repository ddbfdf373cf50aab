"""What the bundled residual networks share: the sizes of their stages, convolutions, and layers run at each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snnprof.errors import SnnprofError, unknown

BLOCKS: dict[int, tuple[int, ...]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Blocks in each of the four stages, by the depth that gives a network its name."""
STEMS = {"imagenet": (7, 2), "small": (3, 1)}
"""Kernel and stride of the first convolution, by the size of the images it is for."""


def at_each_step(x: Tensor, *layers: nn.Module) -> Tensor:
    """Layers without state, one after another, on every step of [T, B, ...]."""
    y = x.flatten(0, 1)
    for layer in layers:
        y = layer(y)
    return torch.unflatten(y, 0, x.shape[:2])


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def stem_convolution(stem: str, inputs: int, outputs: int) -> nn.Conv2d:
    kernel, stride = STEMS[stem]
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


def downsampling(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """The 1×1 convolution of a shortcut that changes its shape; null where the shortcut passes its input on."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def check_settings(depth: int, stem: str, **sizes: int) -> None:
    """Refuses settings that no network can have.

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
    """The settings that a state dict gives away, by the names of its first and last weights; T leaves no trace.

    Raises:
        KeyError, IndexError: it is another network's.
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

"""Sizes of a network from its published layers: closed forms of shapes, weights and multiply-accumulates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator


class Layer(BaseModel):
    """One layer: `conv` with its channels, `dense` with its neurons, or `pool` with the side of its windows.

    Attributes:
        kernel, stride, padding: one number, or one for rows and one for columns.
    """

    conv: int | None = None
    dense: int | None = None
    pool: int | None = None
    kernel: int | tuple[int, int] = 1
    stride: int | tuple[int, int] = 1
    padding: int | tuple[int, int] = 0

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="after")
    def _is_one_kind(self) -> Layer:
        if sum(size is not None for size in (self.conv, self.dense, self.pool)) != 1:
            raise ValueError("a layer is one of conv, dense and pool")
        return self


class Network(BaseModel):
    """Layers in sequence.

    Attributes:
        input: channels, rows and columns; or only features.
        layers: the layers.
        steps: time steps per inference.
        input_neurons: each value of the input is a neuron too.
    """

    input: list[int]
    layers: list[Layer]
    steps: int = 1
    input_neurons: bool = False

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Size:
    """One layer with weights; counts are per time step.

    Attributes:
        op: `conv` or `linear`.
        input, output, weight: shapes without the batch.
        dense_macs: multiply-accumulates, taps on padding included.
        valid_macs: the same without taps on padding.
    """

    op: Literal["conv", "linear"]
    input: tuple[int, ...]
    output: tuple[int, ...]
    weight: tuple[int, ...]
    dense_macs: int
    valid_macs: int


def sizes(network: Network) -> list[Size]:
    """Returns the sizes of the layers that have weights."""
    return [size for size in _each(network) if isinstance(size, Size)]


def neurons(network: Network) -> int:
    """Returns the number of neurons in all layers with weights, and in the input if its values are neurons."""
    behind = sum(math.prod(size.output) for size in sizes(network))
    return behind + (math.prod(network.input) if network.input_neurons else 0)


def _each(network: Network) -> Iterator[Size | None]:
    shape = tuple(network.input)
    for layer in network.layers:
        if layer.pool is not None:
            shape = (shape[0], *(side // layer.pool for side in shape[1:]))
            continue
        size = _convolution(layer, shape) if layer.conv is not None else _dense(layer.dense or 0, shape)
        shape = size.output
        yield size


def _dense(outputs: int, shape: Sequence[int]) -> Size:
    inputs = math.prod(shape)
    return Size("linear", (inputs,), (outputs,), (outputs, inputs), inputs * outputs, inputs * outputs)


def _convolution(layer: Layer, shape: Sequence[int]) -> Size:
    """Returns the sizes of a convolution.

    Taps of rows and of columns are independent, so the numbers of those inside the input multiply.
    """
    channels, *sides = shape
    filters = layer.conv or 0
    kernel, stride, padding = _pair(layer.kernel), _pair(layer.stride), _pair(layer.padding)
    steps = [*zip(sides, kernel, stride, padding, strict=True)]
    outputs = [(side + 2 * pad - taps) // by + 1 for side, taps, by, pad in steps]
    valid = math.prod(
        _taps_inside(count, *of_axis) for count, of_axis in zip(outputs, steps, strict=True)
    )  # fmt: skip
    return Size(
        "conv", tuple(shape), (filters, *outputs), (filters, channels, *kernel),
        math.prod(outputs) * math.prod(kernel) * channels * filters, valid * channels * filters,
    )  # fmt: skip


def _taps_inside(outputs: int, side: int, taps: int, stride: int, padding: int) -> int:
    """Counts the taps of one axis, over all outputs, that lie on the input and not on its padding.

    >>> _taps_inside(4, 4, 3, 1, 1)  # 2, 3, 3 and 2
    10
    """
    starts = (place * stride - padding for place in range(outputs))
    return sum(min(start + taps, side) - max(start, 0) for start in starts)


def _pair(sides: int | tuple[int, int]) -> tuple[int, int]:
    return (sides, sides) if isinstance(sides, int) else sides

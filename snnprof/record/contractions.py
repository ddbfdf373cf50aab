"""The two normal forms of every contraction that PyTorch can run, and the formulas that count them.

A convolution, or a product of two stacks of matrices; `readings` turns an operator's call into one of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnprof.record.read.operand import Reach
from snnprof.record.read.reference import remembered, tracing
from snnprof.record.suspend import Unseen


@dataclass(eq=False, slots=True)
class Convolution:
    """x `[N, C, *space]` ⊛ weight; `weight` is `[Cout, C/g, *k]`, or `[C, Cout/g, *k]` where transposed."""

    x: Tensor
    weight: Tensor
    bias: bool
    geometry: Geometry

    @property
    def operands(self) -> tuple[Tensor, Tensor]:
        return self.x, self.weight

    @property
    def macs(self) -> int:
        return self.geometry.macs

    @property
    def valid(self) -> int:
        """MACs on no padding."""
        return self.geometry.valid

    @property
    def outputs(self) -> int:
        return self.geometry.outputs

    def absorb_padding(self, zeros: tuple[tuple[int, int], ...]) -> Convolution:
        """The same convolution, with the zeros that were padded on by an operator before it as its own padding."""
        x, was = self.x, self.geometry
        for axis, (before, after) in enumerate(zeros):
            x = x.narrow(axis + 2, before, x.shape[axis + 2] - before - after)
        both = tuple((a + c, b + d) for (a, b), (c, d) in zip(was.padding, zeros, strict=True))
        now = geometry(
            x.shape, self.weight.shape, was.stride, both, was.dilation, was.transposed, was.output_padding, was.groups
        )
        return replace(self, x=x, geometry=now)


class Rows(NamedTuple):
    """Rows of a table that indices selected, to be added up: each index is a spike, its row the synapses.

    Attributes:
        table: the weight; None where the rows come from an operator before.
        indices: what selected them, likewise.
    """

    table: Tensor | None = None
    indices: Tensor | None = None


@dataclass(eq=False, slots=True)
class Product:
    """left `[*b, N, K]` @ right `[*b, K, M]`; the stacks broadcast, and `summed` adds them up.

    A bias is one addition per result.

    Attributes:
        rows: where the right operand is rows of a table that were selected, and the left how often each is added.
        outputs: results.
        macs: dense MACs: b · N · K · M.
    """

    left: Tensor
    right: Tensor
    bias: bool = False
    summed: bool = False
    rows: Rows | None = None
    outputs: int = field(init=False)
    macs: int = field(init=False)

    def __post_init__(self) -> None:
        (*left, rows, inner), (*right, _, columns) = self.left.shape, self.right.shape
        stack = math.prod(left if left == right else torch.broadcast_shapes(left, right))  # type: ignore[no-untyped-call]
        self.outputs = (1 if self.summed else stack) * rows * columns
        self.macs = stack * rows * inner * columns

    @property
    def operands(self) -> tuple[Tensor, Tensor]:
        return self.left, self.right

    @property
    def valid(self) -> int:
        return self.macs


Contraction = Convolution | Product
Reading = Callable[[tuple[Any, ...], dict[str, Any]], Contraction | None]


# -- formulas ------------------------------------------------------------------------------------------------


class Geometry(NamedTuple):
    """What the shapes and arguments of a convolution tell.

    Attributes:
        space: input positions.
        stride, dilation, output_padding: for each axis.
        padding: (before, after) for each axis.
        out_space: output positions: (i + Σp − d(k−1) − 1) / s + 1, or (i−1)s − Σp + d(k−1) + op + 1 where transposed.
        macs: dense MACs: positions × Cout × C/g × taps; a transposed convolution's positions are its inputs.
        outputs: results.
        taps: by input position, axis by axis, since the fan-out of a convolution is separable.
        reached: output channels that each tap reaches.
        valid: MACs on no padding: Σ of the fan-out over all of x.
    """

    space: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int
    out_space: tuple[int, ...]
    macs: int
    outputs: int
    taps: tuple[tuple[int, ...], ...]
    reached: int
    valid: int

    @property
    def out_channels(self) -> int:
        return self.reached * self.groups


@remembered
def geometry(
    x: tuple[int, ...],
    weight: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int | tuple[int, int], ...],
    dilation: tuple[int, ...],
    transposed: bool,
    output_padding: tuple[int, ...],
    groups: int,
) -> Geometry:
    """Of a convolution with operands of these shapes. One number stands for all axes, or for both sides of one."""
    (batch, channels, *space), kernel = x, weight[2:]
    size = len(kernel)
    stride, dilation, output_padding = (_of_axes(each, size) for each in (stride, dilation, output_padding))
    sides = tuple((each, each) if isinstance(each, int) else each for each in _of_axes(padding, size))
    axes = zip(space, kernel, stride, map(sum, sides), dilation, output_padding, strict=True)
    if transposed:
        out_space = tuple((i - 1) * s - p + d * (k - 1) + op + 1 for i, k, s, p, d, op in axes)
    else:
        out_space = tuple((i + p - d * (k - 1) - 1) // s + 1 for i, k, s, p, d, _ in axes)
    reached = weight[1] if transposed else weight[0] // groups
    before = [first for first, _ in sides]
    each = tuple(
        taps(*axis, transposed) for axis in zip(space, out_space, kernel, stride, before, dilation, strict=True)
    )
    return Geometry(
        space=tuple(space),
        stride=stride,
        padding=sides,
        dilation=dilation,
        transposed=transposed,
        output_padding=output_padding,
        groups=groups,
        out_space=out_space,
        macs=batch * math.prod(space if transposed else out_space) * channels * reached * math.prod(kernel),
        outputs=batch * reached * groups * math.prod(out_space),
        taps=each,
        reached=reached,
        valid=batch * channels * reached * math.prod(map(sum, each)),
    )


def _of_axes(values: Sequence[Any], size: int) -> tuple[Any, ...]:
    return tuple(values) * size if len(values) == 1 else tuple(values)


@functools.cache
def taps(
    size: int, out: int, kernel: int, stride: int, padding: int, dilation: int, transposed: bool
) -> tuple[int, ...]:
    """Through how many taps each input position reaches an output, along one axis.

    Input i meets output o through tap k where i + p − k·d = o·s, or o = i·s − p + k·d for a transposed convolution.
    """
    if transposed:
        return tuple(sum(0 <= i * stride - padding + k * dilation < out for k in range(kernel)) for i in range(size))
    reached = [[i + padding - k * dilation for k in range(kernel)] for i in range(size)]
    return tuple(sum(0 <= o < out * stride and o % stride == 0 for o in row) for row in reached)


def fanout(conv: Convolution) -> Reach:
    """Outputs (positions × channels) that an input value reaches: by its position `[*space]`, or at any."""
    return _fan(conv.geometry.taps, conv.geometry.reached, conv.x.device)


@remembered
def _fan(axes: tuple[tuple[int, ...], ...], channels: int, device: torch.device) -> Reach:
    """The outer product of the axes' taps, times the channels that each tap reaches."""
    if all(len(set(axis)) < 2 for axis in axes):
        return channels * math.prod(axis[0] for axis in axes if axis)
    total = torch.full((), channels, dtype=torch.int32, device=device)
    for axis in axes:
        total = total.unsqueeze(-1) * torch.tensor(axis, dtype=torch.int32, device=device)
    return total


def effective_convolution(counts: Tensor, conv: Convolution) -> Tensor:
    """Events whose weight is not zero: the counts `[steps, C, *space]` convolved with the non-zero weights' number."""
    live = (conv.weight.detach() != 0).double()
    how = conv.geometry
    if how.transposed:
        kernel = live.sum(1, keepdim=True)
    else:
        kernel = live.reshape(how.groups, how.reached, *live.shape[1:]).sum(1)
    return torch.round(_convolved_as(conv, counts.double(), kernel).flatten(1).sum(1))


def convolution_sum(conv: Convolution, x: Tensor, kernel: Tensor) -> Tensor:
    """The sum of all results of the convolution on other operands, float64 `[1]`."""
    return torch.round(_convolved_as(conv, x, kernel)).sum().reshape(1)


def _convolved_as(conv: Convolution, x: Tensor, kernel: Tensor) -> Tensor:
    """Other operands convolved in the same geometry."""
    how = conv.geometry
    before = tuple(sides[0] for sides in how.padding)
    extra = [width for a, b in reversed(how.padding) for width in (0, b - a)]
    with _unseen():
        padded = torch.nn.functional.pad(x, extra) if any(extra) else x
        result: Tensor = torch.ops.aten.convolution(
            padded, kernel, None, how.stride, before, how.dilation, how.transposed, how.output_padding, how.groups
        )
    return result


def _unseen() -> AbstractContextManager[Any]:
    """The network runs no such operator, so no mode is to see it; but for the one that traces it."""
    return nullcontext() if tracing() else Unseen()


def effective_product(counts: Tensor, weight: Tensor, data: int) -> Tensor:
    """Events whose weight is not zero: the counts `[steps, K]` times the non-zero weights of each of the K inputs.

    Args:
        weight: `[K, M]`, or `[N, K]` where the data is the operand on the right (`data` 1).
    """
    return (counts.double() * (weight.detach() != 0).double().sum(1 - data)).sum(-1)

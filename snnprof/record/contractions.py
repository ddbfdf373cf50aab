"""The two normal forms of all contractions in PyTorch, a convolution or a product of matrix stacks, and their formulas.

`readings` brings an operator's call into one of them.
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
    """A convolution of x `[N, C, *space]` with a weight `[Cout, C/g, *k]`, or `[C, Cout/g, *k]` if transposed.

    Attributes:
        x: the input.
        weight: the kernel.
        bias: whether a bias is added.
        geometry: sizes, stride, padding and MACs.
    """

    x: Tensor
    weight: Tensor
    bias: bool
    geometry: Geometry

    @property
    def operands(self) -> tuple[Tensor, Tensor]:
        """Input and kernel."""
        return self.x, self.weight

    @property
    def macs(self) -> int:
        """Dense MACs."""
        return self.geometry.macs

    @property
    def valid(self) -> int:
        """MACs without those on zero padding."""
        return self.geometry.valid

    @property
    def outputs(self) -> int:
        """Elements of the result."""
        return self.geometry.outputs

    def absorb_padding(self, zeros: tuple[tuple[int, int], ...]) -> Convolution:
        """The same convolution on the unpadded input, with `zeros` (before, after) per axis as its own padding."""
        x, was = self.x, self.geometry
        for axis, (before, after) in enumerate(zeros):
            x = x.narrow(axis + 2, before, x.shape[axis + 2] - before - after)
        both = tuple((a + c, b + d) for (a, b), (c, d) in zip(was.padding, zeros, strict=True))
        now = geometry(
            x.shape, self.weight.shape, was.stride, both, was.dilation, was.transposed, was.output_padding, was.groups
        )
        return replace(self, x=x, geometry=now)


class Rows(NamedTuple):
    """Rows of a table that indices select and that are added up: each index is a spike, its row the synapses.

    Attributes:
        table: the weight; None if an earlier operator selected the rows.
        indices: the indices; None likewise.
    """

    table: Tensor | None = None
    indices: Tensor | None = None


@dataclass(eq=False, slots=True)
class Product:
    """A product left `[*b, N, K]` @ right `[*b, K, M]`, whose stacks broadcast.

    Attributes:
        left: the left operand.
        right: the right operand.
        bias: whether a bias is added: one addition per element of the result.
        summed: whether the products of the stack are added up.
        rows: set if `right` holds selected rows of a table; `left` then holds the factors that they are added with.
        outputs: elements of the result.
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
        """The left and the right operand."""
        return self.left, self.right

    @property
    def valid(self) -> int:
        """Dense MACs, since a product has no padding."""
        return self.macs


Contraction = Convolution | Product
Reading = Callable[[tuple[Any, ...], dict[str, Any]], Contraction | None]


# -- formulas ------------------------------------------------------------------------------------------------


class Geometry(NamedTuple):
    """What follows from the shapes and arguments of a convolution.

    Attributes:
        space: input positions along each axis.
        stride: for each axis.
        padding: (before, after) for each axis.
        dilation: for each axis.
        transposed: whether the convolution is transposed.
        output_padding: for each axis.
        groups: number of groups g.
        out_space: output positions along each axis: ⌊(i + Σp − d(k−1) − 1) / s⌋ + 1, or if transposed
            (i−1)s − Σp + d(k−1) + op + 1.
        macs: dense MACs: N × positions × Cout × C/g × taps of the kernel, where the positions are those of the output,
            or of the input if transposed.
        outputs: elements of the result.
        taps: for each axis, the number of taps through which each input position reaches an output. The fan-out of a
            position is their product, since it is separable.
        reached: output channels that each tap reaches: Cout / g.
        valid: MACs without those on zero padding: Σ of the fan-out over all elements of x.
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
        """Channels of the result, Cout."""
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
    """The geometry of a convolution with operands of these shapes.

    A tuple of one element holds for all axes, and one number of padding for both sides of an axis.
    """
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
    """For each input position along one axis, the number of taps through which it reaches an output.

    Input i reaches output o through tap k if i + p − k·d = o·s, or o = i·s − p + k·d for a transposed convolution.
    """
    if transposed:
        return tuple(sum(0 <= i * stride - padding + k * dilation < out for k in range(kernel)) for i in range(size))
    reached = [[i + padding - k * dilation for k in range(kernel)] for i in range(size)]
    return tuple(sum(0 <= o < out * stride and o % stride == 0 for o in row) for row in reached)


def fanout(conv: Convolution) -> Reach:
    """Outputs (positions × channels) that an input value reaches: a table `[*space]`, or one number for all."""
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
    """Events whose weight is not zero, `[steps]`.

    Convolves the counts of non-zeros `[steps, C, *space]` with the number of non-zero weights per input channel
    and tap.
    """
    live = (conv.weight.detach() != 0).double()
    how = conv.geometry
    if how.transposed:
        kernel = live.sum(1, keepdim=True)
    else:
        kernel = live.reshape(how.groups, how.reached, *live.shape[1:]).sum(1)
    return torch.round(_convolved_as(conv, counts.double(), kernel).flatten(1).sum(1))


def convolution_sum(conv: Convolution, x: Tensor, kernel: Tensor) -> Tensor:
    """The sum over all results of the same convolution on other operands, float64 `[1]`."""
    return torch.round(_convolved_as(conv, x, kernel)).sum().reshape(1)


def _convolved_as(conv: Convolution, x: Tensor, kernel: Tensor) -> Tensor:
    """Convolves other operands in the same geometry."""
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
    """Hides the recorder's own convolution from all modes, unless a compiled graph is traced, which must see it."""
    return nullcontext() if tracing() else Unseen()


def effective_product(counts: Tensor, weight: Tensor, data: int) -> Tensor:
    """Events whose weight is not zero, `[steps]`: Σ over inputs of their non-zeros × their non-zero weights.

    Args:
        counts: non-zeros of each input, `[steps, K]`.
        weight: `[K, M]`, or `[N, K]` if the data is the right operand.
        data: position of the data operand, 0 or 1.
    """
    return (counts.double() * (weight.detach() != 0).double().sum(1 - data)).sum(-1)

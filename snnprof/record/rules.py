"""The table  aten operator → counting rule.

Every contraction PyTorch can run is one of two normal forms: a convolution, or a product of two stacks of matrices.
A `reading` turns an operator's arguments into its normal form; the formulas below count both. Adding an operator is
adding a reading to `READINGS`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnprof.record.read.operand import Reach
from snnprof.record.read.reference import remembered, tracing
from snnprof.record.unwatched import Undispatched


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
        return self.geometry.valid

    @property
    def outputs(self) -> int:
        return self.geometry.outputs

    def without(self, zeros: tuple[tuple[int, int], ...]) -> Convolution:
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
    return nullcontext() if tracing() else Undispatched()


def effective_product(counts: Tensor, weight: Tensor, data: int) -> Tensor:
    """Events whose weight is not zero: the counts `[steps, K]` times the non-zero weights of each of the K inputs.

    Args:
        weight: `[K, M]`, or `[N, K]` where the data is the operand on the right (`data` 1).
    """
    return (counts.double() * (weight.detach() != 0).double().sum(1 - data)).sum(-1)


# -- readings ------------------------------------------------------------------------------------------------


def _convolution(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    x, weight, bias, stride, padding, dilation, transposed, output_padding, groups = args[:9]
    if x.dim() < weight.dim():
        x = x.unsqueeze(0)
    known = geometry(
        x.shape, weight.shape, (*stride,), (*padding,), (*dilation,), transposed, (*output_padding,), groups
    )
    return Convolution(x, weight, bias is not None, known)


def _conv_nd(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction | None:
    """conv1d…3d as they arrive under inference_mode, string padding excepted: that one is left to decomposition."""
    values = _named(args, kwargs, input=None, weight=None, bias=None, stride=1, padding=0, dilation=1, groups=1)
    return None if isinstance(values["padding"], str) else _conv(values, False, 0)


def _conv_transpose_nd(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    values = _named(
        args, kwargs, input=None, weight=None, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
    )
    return _conv(values, True, values["output_padding"])


def _conv(values: dict[str, Any], transposed: bool, output_padding: Any) -> Contraction:
    stride, padding, dilation, extra = (
        (value,) if isinstance(value, int) else value
        for value in (values["stride"], values["padding"], values["dilation"], output_padding)
    )
    called = values["input"], values["weight"], values["bias"], stride, padding, dilation, transposed, extra
    return _convolution((*called, values["groups"]), {})


def _named(args: tuple[Any, ...], kwargs: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    return {**defaults, **dict(zip(defaults, args, strict=False)), **kwargs}


def _mm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    return Product(args[0], args[1])


def _addmm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    return Product(args[1], args[2], bias=_number(kwargs.get("beta", 1)) != 0)


def _addbmm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    return Product(args[1], args[2], bias=_number(kwargs.get("beta", 1)) != 0, summed=True)


def _mv(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    return Product(args[0], args[1].unsqueeze(-1))


def _addmv(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    return Product(args[1], args[2].unsqueeze(-1), bias=_number(kwargs.get("beta", 1)) != 0)


def _dot(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    return Product(args[0].unsqueeze(0), args[1].unsqueeze(-1))


def _addr(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    return Product(args[1].unsqueeze(-1), args[2].unsqueeze(0), bias=_number(kwargs.get("beta", 1)) != 0)


def _cdist(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction | None:
    """Euclidean distances |a|² + |b|² − 2 a·b: the products a·b. Other norms multiply nothing."""
    return Product(args[0], args[1].transpose(-2, -1)) if args[2] == 2 else None


def _linear(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    values = _named(args, kwargs, input=None, weight=None, bias=None)
    x, weight = values["input"], values["weight"]
    rows = x.unsqueeze(0) if x.dim() == 1 else x
    columns = weight.unsqueeze(-1) if weight.dim() == 1 else weight.t()
    return Product(rows, columns, bias=values["bias"] is not None)


def _matmul(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    left, right = args[:2]
    return Product(left.unsqueeze(0) if left.dim() == 1 else left, right.unsqueeze(-1) if right.dim() == 1 else right)


def _bag(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction | None:
    """A sum or mean of the rows that indices select: the row vector of their factors, times those rows."""
    values = _named(
        args, kwargs, weight=None, indices=None, offsets=None, scale_grad_by_freq=False, mode=0, sparse=False,
        per_sample_weights=None, include_last_offset=False, padding_idx=-1,
    )  # fmt: skip
    weight, indices, factors = values["weight"], values["indices"], values["per_sample_weights"]
    if values["mode"] == 2 or weight.layout is not torch.strided:  # the largest of each column
        return None
    chosen = indices != values["padding_idx"]
    indices = indices[chosen]
    factors = weight.new_ones(len(indices)) if factors is None else factors[chosen]
    return Product(factors.reshape(1, -1), weight[indices], rows=Rows(weight, values["indices"]))


def added_rows(rows: Tensor) -> Product:
    """Rows `[..., width]` of a weight that data selected, added up."""
    flat = rows.reshape(-1, rows.shape[-1])
    return Product(flat.new_ones(1, len(flat)), flat, rows=Rows())


def _number(value: Any) -> float:
    return float(value)


READINGS: dict[str, Reading] = {
    "convolution": _convolution,
    "convolution_overrideable": _convolution,
    "_convolution": _convolution,
    "conv1d": _conv_nd,
    "conv2d": _conv_nd,
    "conv3d": _conv_nd,
    "conv_transpose1d": _conv_transpose_nd,
    "conv_transpose2d": _conv_transpose_nd,
    "conv_transpose3d": _conv_transpose_nd,
    "mm": _mm,
    "bmm": _mm,
    "addmm": _addmm,
    "_addmm_activation": _addmm,
    "baddbmm": _addmm,
    "addbmm": _addbmm,
    "addr": _addr,
    "_cdist_forward": _cdist,
    "mv": _mv,
    "addmv": _addmv,
    "dot": _dot,
    "vdot": _dot,
    "linear": _linear,
    "matmul": _matmul,
    "_embedding_bag": _bag,
    "_embedding_bag_forward_only": _bag,
}


def reading(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction | None:
    """The normal form of an operator's call, or None where it is no contraction, or not one that can be read.

    Sparse and opaque tensors hold no values that could be counted.
    """
    rule = READINGS.get(name)
    form = rule(args, kwargs) if rule else None
    if form is None:
        return None
    first, second = form.operands
    return form if first.layout is torch.strided is second.layout else None


# -- operators that hide their contractions: the same result by operators one can see ---------------------------


def _bilinear(i1: Tensor, i2: Tensor, i3: Tensor, *axes: Any) -> Tensor | None:
    """x₁ᵀ W x₂ is a linear layer on the outer product x₁ ⊗ x₂: one MAC for each weight."""
    if [list(axis) for axis in axes[:4]] != [[1, 3], [0], [1, 2], [2, 3]]:
        return None
    outer = i1.unsqueeze(-1) * i3.unsqueeze(-2)
    return torch.nn.functional.linear(outer.flatten(-2), i2.flatten(1))


@contextmanager
def _without_mkldnn() -> Iterator[None]:
    """`torch.backends.mkldnn.flags` does the same, with a warning about TF32."""
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(enabled)


def _one_layer_lstm(
    x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, hx: Tensor, cx: Tensor, reverse: bool,
    batch_sizes: Any, mode: int, hidden_size: int, num_layers: int, has_biases: bool, *rest: Any,
) -> tuple[Tensor, ...] | None:  # fmt: skip
    """One direction of an LSTM, `[T, B, I]`, by the kernel that runs it gate by gate."""
    if batch_sizes:
        return None
    weights = [w_ih, w_hh, b_ih, b_hh] if has_biases else [w_ih, w_hh]
    steps = x.flip(0) if reverse else x
    state = [tensor.reshape(1, -1, tensor.shape[-1]) for tensor in (hx, cx)]
    with _without_mkldnn():
        out, h, c = torch._VF.lstm(steps, state, weights, has_biases, 1, 0.0, False, False, False)
    return out.flip(0) if reverse else out, h.reshape(hx.shape), c.reshape(cx.shape), x.new_empty(0)


def _cudnn_rnn(
    x: Tensor, weight: list[Tensor], stride: int, buffer: Any, hx: Tensor, cx: Tensor | None, mode: int,
    hidden: int, projected: int, layers: int, batch_first: bool, dropout: float, train: bool, bidirectional: bool,
    batch_sizes: Any, *rest: Any,
) -> tuple[Tensor, ...] | None:  # fmt: skip
    """A recurrent network by the kernels that run it gate by gate."""
    if batch_sizes:
        return None
    kernels: tuple[Any, ...] = (torch._VF.rnn_relu, torch._VF.rnn_tanh, torch._VF.lstm, torch._VF.gru)
    state = hx if cx is None else [hx, cx]
    biased = len(weight) == layers * (2 if bidirectional else 1) * (5 if projected else 4)
    with torch.backends.cudnn.flags(enabled=False):
        out, *states = kernels[mode](x, state, weight, biased, layers, dropout, train, bidirectional, batch_first)
    return out, *states, *(x.new_empty(0) for _ in range(4 - len(states)))


REWRITES: dict[str, Callable[..., Any]] = {
    "_trilinear": _bilinear,
    "mkldnn_rnn_layer": _one_layer_lstm,
    "_cudnn_rnn": _cudnn_rnn,
}


def opened(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An operator's result by operators one can see; None where it cannot be had so.

    Jagged tensors bring rules of their own, which are asked last: what is opened comes back as it was.
    """
    if any(isinstance(value, Tensor) and value.layout is torch.jagged for value in args):
        return None
    rewrite = REWRITES.get(func.overloadpacket.__name__)
    result = rewrite(*args, **kwargs) if rewrite else func.decompose(*args, **kwargs)
    return None if result is NotImplemented else result

"""Brings calls of operators that multiply and sum into normal form: a convolution, or a product of matrix stacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snnprof.record.contractions import Contraction, Convolution, Product, Rows, geometry

Reading = Callable[[tuple[Any, ...], dict[str, Any]], Contraction | None]
"""Takes an operator's arguments; returns None if this call is no contraction, or one that has no normal form."""


def convolution(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    """`convolution` and `_convolution`, with a batch axis added if the input has none."""
    x, weight, bias, stride, padding, dilation, transposed, output_padding, groups = args[:9]
    if x.dim() < weight.dim():
        x = x.unsqueeze(0)
    known = geometry(
        x.shape, weight.shape, (*stride,), (*padding,), (*dilation,), transposed, (*output_padding,), groups
    )
    return Convolution(x, weight, bias is not None, known)


def conv_nd(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction | None:
    """conv1d to conv3d, which arrive whole under inference_mode; those with string padding are decomposed instead."""
    values = _named(args, kwargs, input=None, weight=None, bias=None, stride=1, padding=0, dilation=1, groups=1)
    return None if isinstance(values["padding"], str) else _conv(values, False, 0)


def conv_transpose_nd(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    """conv_transpose1d to conv_transpose3d, which arrive whole under inference_mode."""
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
    return convolution((*called, values["groups"]), {})


def _named(args: tuple[Any, ...], kwargs: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    return {**defaults, **dict(zip(defaults, args, strict=False)), **kwargs}


def mm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    """A @ B of two matrices, or of two stacks (`bmm`)."""
    return Product(args[0], args[1])


def addmm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    """beta · C + A @ B, also of stacks (`baddbmm`): C is a bias unless beta is 0."""
    return Product(args[1], args[2], bias=_number(kwargs.get("beta", 1)) != 0)


def addbmm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    """beta · C + Σ over the stack of A @ B."""
    return Product(args[1], args[2], bias=_number(kwargs.get("beta", 1)) != 0, summed=True)


def mv(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    """Matrix × vector, the vector as a matrix of one column."""
    return Product(args[0], args[1].unsqueeze(-1))


def addmv(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    """beta · c + matrix × vector."""
    return Product(args[1], args[2].unsqueeze(-1), bias=_number(kwargs.get("beta", 1)) != 0)


def dot(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    """Inner product of two vectors: a row times a column."""
    return Product(args[0].unsqueeze(0), args[1].unsqueeze(-1))


def addr(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    """beta · C + outer product of two vectors: a column times a row."""
    return Product(args[1].unsqueeze(-1), args[2].unsqueeze(0), bias=_number(kwargs.get("beta", 1)) != 0)


def cdist(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction | None:
    """The products a·b of Euclidean distances |a|² + |b|² − 2 a·b; None for other norms, which have no products."""
    return Product(args[0], args[1].transpose(-2, -1)) if args[2] == 2 else None


def linear(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    """x @ weightᵀ + bias; vectors become matrices of one row or column."""
    values = _named(args, kwargs, input=None, weight=None, bias=None)
    x, weight = values["input"], values["weight"]
    rows = x.unsqueeze(0) if x.dim() == 1 else x
    columns = weight.unsqueeze(-1) if weight.dim() == 1 else weight.t()
    return Product(rows, columns, bias=values["bias"] is not None)


def matmul(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    """A @ B; vectors become matrices of one row or column."""
    left, right = args[:2]
    return Product(left.unsqueeze(0) if left.dim() == 1 else left, right.unsqueeze(-1) if right.dim() == 1 else right)


def bag(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction | None:
    """The sum or mean of table rows that indices select: their factors `[1, n]` @ the rows `[n, width]`.

    The maximum over rows is no contraction.
    """
    values = _named(
        args, kwargs, weight=None, indices=None, offsets=None, scale_grad_by_freq=False, mode=0, sparse=False,
        per_sample_weights=None, include_last_offset=False, padding_idx=-1,
    )  # fmt: skip
    weight, indices, factors = values["weight"], values["indices"], values["per_sample_weights"]
    if values["mode"] == 2 or weight.layout is not torch.strided:  # mode 2 is the maximum of each column
        return None
    chosen = indices != values["padding_idx"]
    indices = indices[chosen]
    factors = weight.new_ones(len(indices)) if factors is None else factors[chosen]
    return Product(factors.reshape(1, -1), weight[indices], rows=Rows(weight, values["indices"]))


def added_rows(rows: Tensor) -> Product:
    """The sum of rows `[..., width]` of a weight that data selected, as ones `[1, n]` @ rows `[n, width]`."""
    flat = rows.reshape(-1, rows.shape[-1])
    return Product(flat.new_ones(1, len(flat)), flat, rows=Rows())


def _number(value: Any) -> float:
    return float(value)

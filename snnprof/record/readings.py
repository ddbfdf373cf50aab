"""Reads the call of an operator that multiplies and sums as a convolution or a product of two stacks of matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snnprof.record.contractions import Contraction, Convolution, Product, Rows, geometry

Reading = Callable[[tuple[Any, ...], dict[str, Any]], Contraction | None]
"""From an operator's arguments; None where this call is no contraction, or not one that can be read."""


def convolution(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    x, weight, bias, stride, padding, dilation, transposed, output_padding, groups = args[:9]
    if x.dim() < weight.dim():
        x = x.unsqueeze(0)
    known = geometry(
        x.shape, weight.shape, (*stride,), (*padding,), (*dilation,), transposed, (*output_padding,), groups
    )
    return Convolution(x, weight, bias is not None, known)


def conv_nd(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction | None:
    """conv1d…3d as they arrive under inference_mode, string padding excepted: that one is left to decomposition."""
    values = _named(args, kwargs, input=None, weight=None, bias=None, stride=1, padding=0, dilation=1, groups=1)
    return None if isinstance(values["padding"], str) else _conv(values, False, 0)


def conv_transpose_nd(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
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
    return Product(args[0], args[1])


def addmm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    return Product(args[1], args[2], bias=_number(kwargs.get("beta", 1)) != 0)


def addbmm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    return Product(args[1], args[2], bias=_number(kwargs.get("beta", 1)) != 0, summed=True)


def mv(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    return Product(args[0], args[1].unsqueeze(-1))


def addmv(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    return Product(args[1], args[2].unsqueeze(-1), bias=_number(kwargs.get("beta", 1)) != 0)


def dot(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    return Product(args[0].unsqueeze(0), args[1].unsqueeze(-1))


def addr(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    return Product(args[1].unsqueeze(-1), args[2].unsqueeze(0), bias=_number(kwargs.get("beta", 1)) != 0)


def cdist(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction | None:
    """Euclidean distances |a|² + |b|² − 2 a·b: the products a·b. Other norms multiply nothing."""
    return Product(args[0], args[1].transpose(-2, -1)) if args[2] == 2 else None


def linear(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    values = _named(args, kwargs, input=None, weight=None, bias=None)
    x, weight = values["input"], values["weight"]
    rows = x.unsqueeze(0) if x.dim() == 1 else x
    columns = weight.unsqueeze(-1) if weight.dim() == 1 else weight.t()
    return Product(rows, columns, bias=values["bias"] is not None)


def matmul(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction:
    left, right = args[:2]
    return Product(left.unsqueeze(0) if left.dim() == 1 else left, right.unsqueeze(-1) if right.dim() == 1 else right)


def bag(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Contraction | None:
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

"""Paths of modules, and which tensors can be read: those with values of their own, not wrappers of other tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from snnprof.record import torch_private

PLAIN = (Tensor, nn.Parameter)
"""Classes of tensors that run their operators themselves."""


def is_plain(values: Any) -> bool:
    """Whether a value is a tensor that operators run on directly, not a wrapper of another one."""
    return type(values) in PLAIN and not torch_private.is_mapped(values)


def modules_of(model: nn.Module) -> dict[str, nn.Module]:
    """All modules of a model by their paths, each once.

    Reads `_modules` directly, because classes override `modules()`.
    """
    found: dict[int, tuple[str, nn.Module]] = {}
    waiting = [("", model)]
    while waiting:
        path, module = waiting.pop()
        if id(module) not in found:
            found[id(module)] = path, module
            prefix = f"{path}." if path else ""
            inner = [(prefix + name, child) for name, child in module._modules.items() if child is not None]
            waiting += reversed(inner)
    return dict(found.values())


def are_readable(operands: Iterable[Any]) -> bool:
    """Whether all tensors among an operator's arguments are plain arrays: not sparse, nested, quantised or meta."""
    return all(
        operand.layout is torch.strided and not (operand.is_nested or operand.is_quantized or operand.is_meta)
        for operand in operands
        if isinstance(operand, Tensor)
    )


def is_own(tensor: Tensor) -> bool:
    """Whether a tensor is a plain array of its own values; reading the memory of a wrapper would crash Python."""
    return are_readable([tensor]) and not _is_shell(tensor)


def held(tensor: Tensor) -> Tensor | None:
    """The plain tensor that holds a tensor's values, without its wrappers; None if there is none.

    Under `torch.vmap` it holds all rows. If the tensor's class keeps tensors as attributes, it is the first of them.
    """
    while not is_own(tensor):
        if torch_private.is_mapped(tensor):
            tensor = torch_private.all_rows(tensor)
        elif inner := parts_of(tensor):
            tensor = inner[0]
        elif tensor.is_nested or tensor.is_quantized or tensor.is_meta or _is_shell(tensor):
            return None
        else:
            tensor = tensor.to_dense()
    return tensor


def parts_of(tensor: Tensor) -> list[Tensor]:
    """The tensors inside a tensor of a wrapper class (sharded, ragged or masked); empty for a plain tensor."""
    kind: Any = type(tensor)
    if kind.__torch_dispatch__ is Tensor.__torch_dispatch__:
        return []
    names = tensor.__tensor_flatten__()[0] if hasattr(kind, "__tensor_flatten__") else tensor.__dict__  # type: ignore[attr-defined]
    return [part for part in (getattr(tensor, name) for name in names) if isinstance(part, Tensor)]


def _is_shell(tensor: Tensor) -> bool:
    """Whether a tensor wraps others and runs its operators on them."""
    mapped = torch_private.is_mapped(tensor)
    return mapped or type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__

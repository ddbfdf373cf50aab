"""PyTorch's own layers that run one contraction, on what they are given: it is counted as they are entered.

Nothing that runs inside them need be watched then. Whether a layer is one of them is seen on the first batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules import module as everywhere

from snnprof.record.contractions import Contraction, Product
from snnprof.record.operators import reading

_CONVOLUTIONS = frozenset([nn.Conv1d, nn.Conv2d, nn.Conv3d])
_METHODS = frozenset(["forward", "_conv_forward"])
PLAIN = (Tensor, nn.Parameter)
_MISSING: Any = object()


class Sole(NamedTuple):
    """The one contraction of a layer.

    Attributes:
        operator: of aten, that runs it.
        dims: of what goes in.
        weight: address of its values.
        site: what the books know it by.
    """

    operator: str
    dims: int
    weight: int
    site: tuple[Any, ...]


def can_be_sole(module: nn.Module) -> bool:
    """Whether a module is of such a class, and nobody changed what it does."""
    kind: Any = type(module)
    if kind is not nn.Linear and (kind not in _CONVOLUTIONS or module.padding_mode != "zeros"):
        return False
    own = module.__dict__  # to ask a module for what it lacks is slow
    return _METHODS.isdisjoint(own) and not isinstance(own.get("padding"), str)


def is_sole(module: nn.Module, sole: Sole, given: Any) -> bool:
    """Whether a call of such a layer runs nothing but its contraction, on what it is given.

    Hooks may run more, autocast and maps run it on something else.
    """
    if not (can_be_sole(module) and len(module._forward_hooks) == len(module._forward_pre_hooks) == 1):
        return False
    if module._backward_hooks or module._backward_pre_hooks or everywhere._global_forward_hooks:
        return False
    if torch._C._is_any_autocast_enabled() or torch._C._get_tracing_state():
        return False
    weight, bias = module._parameters.get("weight"), module._parameters.get("bias", _MISSING)
    if not (is_plain(given) and is_plain(weight) and (bias is None or is_plain(bias))):
        return False
    if given.dim() != sole.dims or weight is None or weight.data_ptr() != sole.weight:
        return False
    return bool(given.dtype is weight.dtype)


def is_given(operand: Tensor, given: Tensor) -> bool:
    """Whether an operator got what its layer was given, and no copy, part or other view of it."""
    alike = operand.shape == given.shape and operand.stride() == given.stride()
    return alike and is_plain(given) and operand.data_ptr() == given.data_ptr()


def is_plain(values: Any) -> bool:
    """Whether an operator will see a tensor as it is, and not what it wraps."""
    return type(values) in PLAIN and not torch._C._functorch.is_functorch_wrapped_tensor(values)


def modules_of(model: nn.Module) -> dict[str, nn.Module]:
    """All modules in a model by their paths, each once; read directly, since classes override `modules()`."""
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
    """Whether the tensors among an operator's arguments hold numbers of their own that can be looked at."""
    return all(
        operand.layout is torch.strided and not (operand.is_nested or operand.is_quantized or operand.is_meta)
        for operand in operands
        if isinstance(operand, Tensor)
    )


def contraction(module: nn.Module, sole: Sole, x: Tensor) -> Contraction | None:
    """What the layer is about to run; None where its operands hold no values that could be counted, or do not fit."""
    weight, bias = module._parameters["weight"], module._parameters["bias"]
    assert weight is not None
    if sole.operator == "addmm":
        form = reading("addmm", (bias, x, weight.t()), {})
    elif sole.operator == "mm":
        form = reading("mm", (x, weight.t()), {})
    elif sole.operator == "linear":
        form = reading("linear", (x, weight, bias), {})
    else:
        conv: Any = module
        called = x, weight, bias, conv.stride, conv.padding, conv.dilation, False, (0,), conv.groups
        form = reading("convolution", called, {})
    return form if form is not None and _fits(form) else None


def _fits(form: Contraction) -> bool:
    """Whether the operator will run at all: what raises an error does no work."""
    if isinstance(form, Product):
        return bool(form.left.shape[-1] == form.right.shape[-2])
    channels = form.weight.shape[1] * form.geometry.groups
    return form.x.shape[1] == channels and all(size > 0 for size in form.geometry.out_space)


def is_own(tensor: Tensor) -> bool:
    """Whether a tensor holds numbers of its own, and is no shell round others: to read a shell crashes Python."""
    return are_readable([tensor]) and not _is_shell(tensor)


def held(tensor: Tensor) -> Tensor | None:
    """The plain tensor that holds a tensor's values, whatever is round them; None where there is none to be had.

    Of all rows that a map runs it on; of what a class of its own keeps among its attributes, the first tensor.
    """
    while not is_own(tensor):
        if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
            tensor = torch._C._functorch.get_unwrapped(tensor)
        elif inner := parts_of(tensor):
            tensor = inner[0]
        elif tensor.is_nested or tensor.is_quantized or tensor.is_meta or _is_shell(tensor):
            return None
        else:
            tensor = tensor.to_dense()
    return tensor


def parts_of(tensor: Tensor) -> list[Tensor]:
    """The tensors within one of a class that runs its operators on others: a shard, ragged rows, a mask."""
    kind: Any = type(tensor)
    if kind.__torch_dispatch__ is Tensor.__torch_dispatch__:
        return []
    names = tensor.__tensor_flatten__()[0] if hasattr(kind, "__tensor_flatten__") else tensor.__dict__  # type: ignore[attr-defined]
    return [part for part in (getattr(tensor, name) for name in names) if isinstance(part, Tensor)]


def _is_shell(tensor: Tensor) -> bool:
    mapped = torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    return mapped or type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__

"""PyTorch's own layers that run one contraction, on what they are given: it is counted as they are entered.

Nothing that runs inside them need be watched then. Whether a layer is one of them is seen on the first batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules import module as everywhere

from snnprof.record import rules
from snnprof.record.rules import Contraction

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
    if torch._C._is_any_autocast_enabled():
        return False
    weight, bias = module._parameters.get("weight"), module._parameters.get("bias", _MISSING)
    if not (is_plain(given) and is_plain(weight) and (bias is None or is_plain(bias))):
        return False
    return bool(given.dim() == sole.dims and weight is not None and weight.data_ptr() == sole.weight)


def is_given(operand: Tensor, given: Tensor) -> bool:
    """Whether an operator got what its layer was given, and no copy, part or other view of it."""
    alike = operand.shape == given.shape and operand.stride() == given.stride()
    return alike and is_plain(given) and operand.data_ptr() == given.data_ptr()


def is_plain(values: Any) -> bool:
    """Whether an operator will see a tensor as it is, and not what it wraps."""
    return type(values) in PLAIN and not torch._C._functorch.is_functorch_wrapped_tensor(values)


def contraction(module: nn.Module, sole: Sole, x: Tensor) -> Contraction | None:
    """What the layer is about to run; None where its operands hold no values that could be counted."""
    weight, bias = module._parameters["weight"], module._parameters["bias"]
    assert weight is not None
    if sole.operator == "addmm":
        return rules.reading("addmm", (bias, x, weight.t()), {})
    if sole.operator == "mm":
        return rules.reading("mm", (x, weight.t()), {})
    if sole.operator == "linear":
        return rules.reading("linear", (x, weight, bias), {})
    conv: Any = module
    called = x, weight, bias, conv.stride, conv.padding, conv.dilation, False, (0,), conv.groups
    return rules.reading("convolution", called, {})

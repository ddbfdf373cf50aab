"""Operators of a higher order: each runs functions that it is given, as `torch.cond` its branches.

Under a dispatch mode PyTorch runs none of them. Here they run as they do without one, so that all that their functions
do is seen; what is not in these tables nobody can look into.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from snnprof.record import torch_private

_BY_KERNEL = frozenset(
    "while_loop while_loop_stack_output map_impl associative_scan flex_attention hints_wrapper".split()
)
"""Those whose eager kernel takes no notice of modes."""


def opened(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What a higher-order operator makes of its arguments, by operators one can see; None where there is no way."""
    name = func.name()
    if name in _BY_HAND:
        return _BY_HAND[name](*args, **kwargs)
    kernel = func.py_kernels.get(torch_private.BY_PARTS) if name in _BY_KERNEL else None
    return kernel(*args, **kwargs) if kernel else None


def _cond(pred: Any, true: Callable[..., Any], false: Callable[..., Any], operands: Sequence[Any]) -> Any:
    return (true if pred else false)(*operands)


def _scan(
    combine: Callable[..., Any], init: Sequence[Tensor], xs: Sequence[Tensor], additional_inputs: Any, **written: Any
) -> Any:
    """Each step once: in torch 2.9 PyTorch's own loop runs the first one twice, to learn the shapes of the outputs."""
    carry, outputs = init, []
    for step in range(len(xs[0])):
        made = combine(*carry, *(x[step] for x in xs), *additional_inputs)
        carry = made[: len(init)]
        outputs.append(made[len(init) :])
    if not outputs:  # of no steps: PyTorch itself says what shapes come out
        return None
    return [*carry, *(None if each[0] is None else torch.stack(each) for each in zip(*outputs, strict=True))]


def _strict_mode(function: Callable[..., Any], operands: Sequence[Any]) -> Any:
    return function(*operands)


def _invoke_subgraph(graph: Callable[..., Any], identifier: Any, *operands: Any) -> Any:
    return graph(*operands)


_BY_HAND: dict[str, Callable[..., Any]] = {
    "cond": _cond,
    "scan": _scan,
    "strict_mode": _strict_mode,
    "invoke_subgraph": _invoke_subgraph,
}

"""Operators of a higher order, which run functions that they receive: `torch.cond`, for example, runs a branch.

Under a dispatch mode PyTorch does not run them. Here they run as they would without a mode, so that the recorder sees
every operator of their functions. Operators that are in neither table below stay opaque.
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
"""Operators whose eager kernel runs under any mode."""


def decompose(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Computes a higher-order operator's result by operators that the recorder can count; None if it cannot."""
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
    """Runs each step once. The loop of torch 2.9 runs the first one twice, to learn the shapes of the outputs."""
    carry, outputs = init, []
    for step in range(len(xs[0])):
        made = combine(*carry, *(x[step] for x in xs), *additional_inputs)
        carry = made[: len(init)]
        outputs.append(made[len(init) :])
    if not outputs:  # without a step, only PyTorch itself knows the shapes of the outputs
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

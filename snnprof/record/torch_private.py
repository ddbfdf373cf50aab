"""Every private name of PyTorch that is used, and what it is used for.

PyTorch promises nothing about these. A test looks for each and says which file needs it when it is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, UntypedStorage
from torch._guards import detect_fake_mode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["OVERLOAD", "TorchDispatchMode", "tree_leaves"]

_C: Any = torch._C


# -- modes that see operators, and functions --------------------------------------------------------------------


class Stack(NamedTuple):
    """One of PyTorch's stacks of modes."""

    length: Callable[[], int]
    pop: Callable[[], Any]
    push: Callable[[Any], None]


FUNCTION_MODES = Stack(_C._len_torch_function_stack, _C._pop_torch_function_stack, _C._push_on_torch_function_stack)
DISPATCH_MODES = Stack(
    _C._len_torch_dispatch_stack, lambda: _C._pop_torch_dispatch_stack(None), _C._push_on_torch_dispatch_stack
)


dispatch_disabled: Callable[[], Any] = _C._DisableTorchDispatch
"""A guard: as long as it lives, no mode sees an operator."""
functions_disabled: Callable[[], Any] = _C.DisableTorchFunction
"""A context in which no mode sees a call of a function."""


def only_described() -> bool:
    """Whether operators run on descriptions of tensors, as while a model exports itself: nothing is computed."""
    return _C._len_torch_dispatch_stack() > 1 and detect_fake_mode() is not None


# -- what runs ----------------------------------------------------------------------------------------------------


def in_backward() -> bool:
    """Whether autograd runs: its operators, and forward passes that it repeats, are no part of the forward pass."""
    return bool(_C._current_graph_task_id() != -1)


is_traced: Callable[[], Any] = _C._get_tracing_state
"""Truthy where `torch.jit.trace` makes a graph of what runs, in which sizes are no numbers."""


@contextmanager
def untraced() -> Iterator[None]:
    """What runs inside is no part of such a graph."""
    state = _C._get_tracing_state()
    _C._set_tracing_state(None)
    try:
        yield
    finally:
        _C._set_tracing_state(state)


is_mapped: Callable[[Tensor], bool] = _C._functorch.is_functorch_wrapped_tensor
"""Whether a tensor stands for one row of those that `torch.vmap` and its kin run a function on."""
all_rows: Callable[[Tensor], Tensor] = _C._functorch.get_unwrapped
"""What a mapped tensor stands for a row of."""


# -- operators and tensors ------------------------------------------------------------------------------------------


OVERLOAD: Any = type(torch.ops.aten.add.Tensor)
"""The class of an operator's overload."""


def schema(operator: Any) -> Any:
    """The arguments and results of an operator's overload."""
    return operator._schema


COMPOSITE: Any = _C.DispatchKey.CompositeImplicitAutograd
BY_PARTS: Any = _C.DispatchKey.CompositeExplicitAutograd


def is_composite(operator: Any) -> bool:
    """Whether an operator is made of others, whatever it runs on, by a kernel of PyTorch's own."""
    try:
        return bool(_C._dispatch_has_kernel_for_dispatch_key(operator.name(), COMPOSITE))
    except RuntimeError:  # it tells a property of tensors, and no kernel is known by its name
        return False


def run_by_parts(operator: Any, args: Any, kwargs: Any) -> Any:
    """Runs a composite by the operators that it is made of."""
    return operator._op_dk(COMPOSITE, *args, **kwargs)


def version(tensor: Tensor) -> int:
    """Counts the writes to a tensor; inference tensors count none."""
    return int(tensor._version)


def storage_address(storage: UntypedStorage) -> int:
    """Names a storage for as long as it, or a weak reference to it, lives."""
    return int(storage._cdata)


# -- the compiler ---------------------------------------------------------------------------------------------------


def without_repeats(graph: torch.fx.Graph) -> torch.fx.Graph:
    """A graph in which nothing is computed twice."""
    from torch._functorch.compile_utils import fx_graph_cse

    made: torch.fx.Graph = fx_graph_cse(graph)
    return made


def inductor() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The default compiler, and the part of it that compiles a graph of operators."""
    from torch._inductor import compile_fx

    return compile_fx.compile_fx, compile_fx.compile_fx_inner

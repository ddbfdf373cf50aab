"""All private names of PyTorch that snnprof uses, and their purpose.

PyTorch may change them in any release. A test looks for each one and, if it is gone, names the file that needs it.
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
    """One of PyTorch's stacks of modes.

    Attributes:
        length: returns the number of modes.
        pop: takes the innermost mode off and returns it.
        push: puts a mode on top.
    """

    length: Callable[[], int]
    pop: Callable[[], Any]
    push: Callable[[Any], None]


FUNCTION_MODES = Stack(_C._len_torch_function_stack, _C._pop_torch_function_stack, _C._push_on_torch_function_stack)
DISPATCH_MODES = Stack(
    _C._len_torch_dispatch_stack, lambda: _C._pop_torch_dispatch_stack(None), _C._push_on_torch_dispatch_stack
)


dispatch_disabled: Callable[[], Any] = _C._DisableTorchDispatch
"""A guard object: while it exists, no mode sees an operator."""
functions_disabled: Callable[[], Any] = _C.DisableTorchFunction
"""A context manager: inside it, no mode sees a call of a torch function."""


def only_described() -> bool:
    """Whether operators run on fake tensors and compute nothing, as while a model is exported."""
    return _C._len_torch_dispatch_stack() > 1 and detect_fake_mode() is not None


# -- what runs ----------------------------------------------------------------------------------------------------


def in_backward() -> bool:
    """Whether autograd runs. Its operators, and forward passes that it repeats, do not belong to the forward pass."""
    return bool(_C._current_graph_task_id() != -1)


is_traced: Callable[[], Any] = _C._get_tracing_state
"""Truthy while `torch.jit.trace` records a graph; sizes are tensors then, not numbers."""


@contextmanager
def untraced() -> Iterator[None]:
    """Keeps operators inside the block out of the graph that `torch.jit.trace` records."""
    state = _C._get_tracing_state()
    _C._set_tracing_state(None)
    try:
        yield
    finally:
        _C._set_tracing_state(state)


is_mapped: Callable[[Tensor], bool] = _C._functorch.is_functorch_wrapped_tensor
"""Whether a tensor stands for one row of a batch that `torch.vmap` or a similar transform runs a function on."""
all_rows: Callable[[Tensor], Tensor] = _C._functorch.get_unwrapped
"""The batch that a mapped tensor is a row of."""


# -- operators and tensors ------------------------------------------------------------------------------------------


OVERLOAD: Any = type(torch.ops.aten.add.Tensor)
"""The class of an operator's overload."""


def schema(operator: Any) -> Any:
    """The arguments and results of an operator's overload."""
    return operator._schema


COMPOSITE: Any = _C.DispatchKey.CompositeImplicitAutograd
"""Key of the kernels of composites: operators that are made of others on every device."""
BY_PARTS: Any = _C.DispatchKey.CompositeExplicitAutograd
"""Key of the eager kernels of higher-order operators."""


def is_composite(operator: Any) -> bool:
    """Whether PyTorch has a kernel that runs an operator by other operators, on any device."""
    try:
        return bool(_C._dispatch_has_kernel_for_dispatch_key(operator.name(), COMPOSITE))
    except RuntimeError:  # operators that return a property of a tensor have no registered name
        return False


def run_by_parts(operator: Any, args: Any, kwargs: Any) -> Any:
    """Runs a composite by the operators that it consists of."""
    return operator._op_dk(COMPOSITE, *args, **kwargs)


def version(tensor: Tensor) -> int:
    """The number of in-place writes to a tensor; inference tensors have none and raise."""
    return int(tensor._version)


def storage_address(storage: UntypedStorage) -> int:
    """The address that identifies a storage while it, or a weak reference to it, exists."""
    return int(storage._cdata)


# -- the compiler ---------------------------------------------------------------------------------------------------


def without_repeats(graph: torch.fx.Graph) -> torch.fx.Graph:
    """A copy of a graph without repeated computations."""
    from torch._functorch.compile_utils import fx_graph_cse

    made: torch.fx.Graph = fx_graph_cse(graph)
    return made


def inductor() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The default compiler, and its part that compiles one graph of operators."""
    from torch._inductor import compile_fx

    return compile_fx.compile_fx, compile_fx.compile_fx_inner

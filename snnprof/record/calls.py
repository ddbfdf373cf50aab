"""Calls of PyTorch's functions that run one known operator and nothing else: counted as they are made.

To see the operator itself, as the watcher does, takes three times as long. Any other call the watcher sees as before.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from snnprof.record.books import Books
from snnprof.record.dispatch import in_backward
from snnprof.record.elementwise import FREE
from snnprof.record.operators import Retelling, retelling

_ONE_OPERATOR = (
    "add add_ sub sub_ mul mul_ div div_ eq ne gt ge lt le maximum minimum clamp clamp_ relu relu_ masked_fill "
    "masked_fill_ logical_and logical_or logical_not logical_xor mean sum "
    "view permute transpose unsqueeze squeeze expand"
)
_AT_MOST_A_COPY = "reshape flatten unflatten"
_AT_MOST_A_CAST = "float to"
_ORDINARY = frozenset([Tensor, nn.Parameter, bool, int, float, tuple, list, torch.Size, torch.dtype])
_TENSORS = frozenset([Tensor, nn.Parameter])
_PYTHON = torch._C.DispatchKey.Python


class Called(NamedTuple):
    """What a function runs.

    Attributes:
        name: of the operator.
        writes: it changes its first operand in place.
        free: it moves or names values, and computes none.
        retells: what its arguments and result tell of values that were read, or are to be.
    """

    name: str
    writes: bool
    free: bool
    retells: Retelling | None

    @classmethod
    def of(cls, name: str) -> Called:
        writes = name.endswith("_")
        return cls(name, writes, name in FREE, retelling(name, writes))


def _functions() -> dict[Any, Called]:
    runs = {name: name for name in f"{_ONE_OPERATOR} {_AT_MOST_A_COPY}".split()}
    runs |= dict.fromkeys(_AT_MOST_A_CAST.split(), "_to_copy") | {"__rsub__": "rsub"}
    return {
        getattr(owner, function): Called.of(operator)
        for function, operator in runs.items()
        for owner in (Tensor, torch)
        if callable(getattr(owner, function, None))
    }


FUNCTIONS = _functions()


class Calls(TorchFunctionMode):
    """Hands what such a call runs to the recorder's books, and keeps it from the watcher."""

    def __init__(self, books: Books) -> None:
        super().__init__()
        self.books = books

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        called = FUNCTIONS.get(func)
        if called is None or kwargs or not self._tells_all(args):
            return func(*args, **kwargs) if kwargs else func(*args)
        books, frame = self.books, sys._getframe(1)
        name, writes, free, retells = called
        undispatched = torch._C._DisableTorchDispatch()
        try:
            if writes:
                books.other(frame, name, args, args[0], None)
            result = func(*args)
            if result is NotImplemented:  # Python asks the other operand next
                return result
            if not (free or writes):
                books.other(frame, name, args, result, None)
            if retells:
                retells(args, result, frame)
            return result
        finally:
            del undispatched

    def _tells_all(self, args: Any) -> bool:
        """Whether the watcher would see the operator, on these operands, and nothing and nobody else."""
        books = self.books
        return (
            bool(books.path)
            and not (books.learning or books.neurons)
            and torch._C._len_torch_dispatch_stack() == 1  # the watcher's; another mode may do anything
            and not torch._C._dispatch_tls_is_dispatch_key_excluded(_PYTHON)  # counting runs unseen
            and torch._C._len_torch_function_stack() == 0  # the user's own mode may do anything
            and type(args[0]) in _TENSORS
            and args[0].layout is torch.strided
            and _ORDINARY.issuperset(map(type, args))
            and torch._C._functorch.peek_interpreter_stack() is None  # maps run it on more
            and forward_ad._current_level < 0  # runs it on tangents too
            and not torch.is_grad_enabled()  # autograd's hooks may run more
            and not in_backward()
        )

"""Calls of PyTorch's functions that run one known operator and nothing else: counted as they are made.

To see the operator itself, as the watcher does, takes three times as long. Any other call the watcher sees as before.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from snnprof.record import torch_private
from snnprof.record.books import Books
from snnprof.record.dispatch import counted
from snnprof.record.layers import PLAIN
from snnprof.record.operators import OPERATORS
from snnprof.record.overloads import Overload
from snnprof.record.torch_private import DISPATCH_MODES, FUNCTION_MODES

_AT_MOST_A_CAST = "float to"
_ORDINARY = frozenset([*PLAIN, bool, int, float, tuple, list, torch.Size, torch.dtype])


def _functions() -> dict[Any, Overload]:
    direct = [name for name, operator in OPERATORS.items() if operator.direct]
    runs = {name: name for known in direct for name in (known, f"{known}_")}
    runs |= dict.fromkeys(_AT_MOST_A_CAST.split(), "_to_copy") | {"__rsub__": "rsub"}
    return {
        func: Overload.of(func, name, func, writes=name.endswith("_"))
        for function, name in runs.items()
        for owner in (Tensor, torch)
        if callable(func := getattr(owner, function, None))
    }


FUNCTIONS = _functions()
LEAVES = frozenset(
    getattr(Tensor, name)
    for name in "numpy __array__ tolist item __bool__ __float__ __int__ __index__ __dlpack__ data_ptr".split()
)
"""Functions by which values leave PyTorch."""


class Calls(TorchFunctionMode):
    """Hands what such a call runs to the recorder's books, and keeps it from the watcher."""

    def __init__(self, books: Books) -> None:
        super().__init__()
        self.books = books

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in LEAVES:
            self.books.leave(args[0])
        operator = FUNCTIONS.get(func)
        if operator is None or kwargs or not self._tells_all(args):
            return func(*args, **kwargs) if kwargs else func(*args)
        undispatched = torch_private.dispatch_disabled()  # by itself: what is run for each call shows
        try:
            return counted(operator, self.books, sys._getframe(1), args, {}, None)
        finally:
            del undispatched

    def _tells_all(self, args: Any) -> bool:
        """Whether the watcher would see the operator, on these operands, and nothing and nobody else."""
        books = self.books
        return (
            bool(books.path)
            and not (books.learning or books.neurons or books.telling)
            and DISPATCH_MODES.length() == 1  # the watcher's; another mode may do anything
            and FUNCTION_MODES.length() == 0  # the user's own mode may do anything
            and type(args[0]) in PLAIN
            and args[0].layout is torch.strided
            and _ORDINARY.issuperset(map(type, args))
            and not any(type(each) in PLAIN and torch_private.is_mapped(each) for each in args)
            and forward_ad.unpack_dual(args[0]).tangent is None  # type: ignore[no-untyped-call]
            and not torch.is_grad_enabled()  # autograd's hooks may run more
            and not torch_private.in_backward()
            and not torch_private.is_traced()  # in which sizes are no numbers
        )

"""Intercepts functions of PyTorch that run exactly one operator, or at most a copy besides, and counts them directly.

The dispatch mode sees the operator itself, which takes three times as long. All other calls go on to that mode.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from snnprof.record import torch_private
from snnprof.record.call_sites import CallSites
from snnprof.record.dispatch import counted
from snnprof.record.layers import PLAIN
from snnprof.record.operators import OPERATORS
from snnprof.record.overloads import Overload
from snnprof.record.torch_private import DISPATCH_MODES, FUNCTION_MODES

_AT_MOST_A_CAST = "float to"
"""Methods that run at most a cast."""
_ORDINARY = frozenset([*PLAIN, bool, int, float, tuple, list, torch.Size, torch.dtype])
"""Classes of arguments that run no code of their own."""


def _functions() -> dict[Any, Overload]:
    """The functions and methods that run one operator, with its overload."""
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
"""Functions that run one operator."""
LEAVES = frozenset(
    getattr(Tensor, name)
    for name in "numpy __array__ tolist item __bool__ __float__ __int__ __index__ __dlpack__ data_ptr".split()
)
"""Methods by which values leave PyTorch."""


class Calls(TorchFunctionMode):
    """The function mode of a recorder: counts direct calls and keeps them from the dispatch mode."""

    def __init__(self, sites: CallSites) -> None:
        super().__init__()
        self.sites = sites

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in LEAVES:
            self.sites.leave(args[0])
        operator = FUNCTIONS.get(func)
        if operator is None or kwargs or not self._tells_all(args):
            return func(*args, **kwargs) if kwargs else func(*args)
        undispatched = torch_private.dispatch_disabled()  # without `with`, whose cost per call is measurable
        try:
            return counted(operator, self.sites, sys._getframe(1), args, {}, None)
        finally:
            del undispatched

    def _tells_all(self, args: Any) -> bool:
        """Whether a call runs just this operator on just these operands, and nobody but the recorder watches it."""
        sites = self.sites
        return (
            bool(sites.path)
            and not (sites.learning or sites.neurons or sites.telling)
            and DISPATCH_MODES.length() == 1  # the recorder's; any other mode may run more operators
            and FUNCTION_MODES.length() == 0  # likewise a mode of the user's own
            and type(args[0]) in PLAIN
            and args[0].layout is torch.strided
            and _ORDINARY.issuperset(map(type, args))
            and not any(type(each) in PLAIN and torch_private.is_mapped(each) for each in args)
            and forward_ad.unpack_dual(args[0]).tangent is None  # type: ignore[no-untyped-call]
            and not torch.is_grad_enabled()  # autograd's hooks may run more
            and not torch_private.in_backward()
            and not torch_private.is_traced()  # while torch.jit.trace runs, sizes are tensors
        )

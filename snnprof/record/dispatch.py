"""Sees every operator of any model, below modules and functions, and hands each to the recorder's books."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from snnprof.record import callsite, provenance, rules
from snnprof.record.books import Books
from snnprof.record.elementwise import FREE, LINES
from snnprof.record.recall import RECALL
from snnprof.record.tally import made_of_flags

_COMPILER = "torch._dynamo"
_DISABLED = "TORCHDYNAMO_DISABLE"
"""What the compiler asks for whenever something is to be compiled."""


class Operator(NamedTuple):
    """What an operator's name tells of all its calls.

    Attributes:
        func: the operator; to hold it keeps its address its own.
        run: runs it.
        contracts: it may be a contraction.
        hides: a composite that arrives whole (as under inference_mode), or a fused kernel that can be opened.
        writes: it changes an operand in place.
        free: it moves or names values, and computes none.
        retells: what its arguments and result tell of values that were read, or are to be.
    """

    func: Any
    name: str
    run: Callable[..., Any]
    contracts: bool
    hides: bool
    writes: bool
    free: bool
    retells: Callable[[Any, Any], None] | None


# By address, since to hash an operator is to call Python.
_OPERATORS: dict[int, Operator] = {}


def operator_of(func: Any) -> Operator:
    """What is known of an aten operator."""
    known = _OPERATORS.get(id(func))
    if known:
        return known
    name = func.overloadpacket.__name__
    hides = name in rules.REWRITES or (
        name not in provenance.PASSING
        and torch._C._dispatch_has_kernel(func.name())  # it knows no operator that tells a tensor's properties
        and torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    )
    found = Operator(
        func=func,
        name=name,
        run=func._op if type(func) is OpOverload else func,  # a Python call less
        contracts=name in rules.READINGS,
        hides=hides,
        writes=func._schema.is_mutable,
        free=name in FREE,
        retells=_forget if func._schema.is_mutable else _RETELLING.get(name),
    )
    _OPERATORS[id(func)] = found
    return found


def _forget(args: Any, result: Any) -> None:
    if isinstance(args[0], Tensor):
        RECALL.forget(args[0])


def _copied(args: Any, result: Any) -> None:
    RECALL.copied(args[0], result)


def _cast(args: Any, result: Any) -> None:
    if args[0].dtype is torch.bool:
        made_of_flags(args[0], result, callsite.caller(sys._getframe(2)))


_RETELLING = {"clone": _copied, "_to_copy": _cast}


class Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands each operator that runs inside the model to the recorder's books."""

    def __init__(self, books: Books) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.books = books

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        books = self.books
        _, name, run, contracts, hides, writes, free, retells = operator_of(func)
        if not books.path or in_backward():
            return run(*args, **kwargs)
        form = rules.reading(name, args, kwargs) if contracts else None
        if form is None and hides:
            with self:
                result = rules.opened(func, args, kwargs)
            if result is not None:
                return result
        # Facts must be read before an in-place operator overwrites its operand.
        facts = books.facts_of(args, kwargs) if books.learning else None
        counter = None
        if form is not None:
            counter = books.contraction(name, form)
        elif writes and not free:
            books.other(name, args, changed(name, args, kwargs), facts)
        result = run(*args, **kwargs)
        if form is None and not free and not writes:
            books.other(name, args, result, facts)
        if retells:
            retells(args, result)
        if facts is not None:
            books.pass_on(name, writes, args, kwargs, facts, result, counter, form)
        return result

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        return True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled while this is active (`plain_kernels`), so nothing need keep the compiler out."""
        return False


def changed(name: str, args: Any, kwargs: Any) -> Any:
    """What an operator is about to write to; for `out`, which may be empty yet, something of its shape to be."""
    if "out" not in kwargs or LINES.get(name) not in ("add", "mul", "mask", "compare"):
        return args[0]
    operands = (operand for operand in args if isinstance(operand, Tensor))
    return torch.broadcast_tensors(*operands)[0]  # type: ignore[no-untyped-call]


def in_backward() -> bool:
    """Whether autograd runs: its operators, and forward passes that it repeats, are no part of the forward pass."""
    return bool(torch._C._current_graph_task_id() != -1)


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Fused attention, fused encoder layers and compiled modules run as operators one can see; undone at the end."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), _uncompiled():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Compiled modules run eagerly; the compiler is not loaded for it, which would take 50 MB among the tensors.

    Where it is not loaded yet, nothing is compiled. A model that compiles inside its forward pass then gets back what
    it wanted to compile.
    """
    if _COMPILER in sys.modules:
        with torch.compiler.set_stance("force_eager"):
            yield
        return
    before = os.environ.get(_DISABLED)
    os.environ[_DISABLED] = "1"
    try:
        yield
    finally:
        os.environ.pop(_DISABLED)
        if before is not None:
            os.environ[_DISABLED] = before

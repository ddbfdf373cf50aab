"""Sees every operator of any model, below modules and functions, and hands each to the recorder's books."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from snnprof.record import rules
from snnprof.record.books import Books
from snnprof.record.operators import operator_of

_COMPILER = "torch._dynamo"
_DISABLED = "TORCHDYNAMO_DISABLE"
"""What the compiler asks for whenever something is to be compiled."""


class Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands each operator that runs inside the model to the recorder's books."""

    def __init__(self, books: Books) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.books = books

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        books = self.books
        operator = operator_of(func)
        name = operator.name
        if not books.path or in_backward():
            return operator.run(*args, **kwargs)
        form = rules.reading(name, args, kwargs) if operator.contracts else None
        if form is None and operator.hides:
            with self:
                result = rules.opened(func, args, kwargs)
            if result is not None:
                return result
        # Facts must be read before an in-place operator overwrites its operand.
        facts = books.facts_of(args, kwargs) if books.learning else None
        counter, frame = None, sys._getframe(1)
        if form is None:
            result = operator.counted(books, frame, args, kwargs, facts)
        else:
            counter = books.contraction(name, form)
            result = operator.run(*args, **kwargs)
            if operator.retells:
                operator.retells(args, result, frame)
        if facts is not None:
            books.pass_on(name, operator.writes, args, kwargs, facts, result, counter, form, frame)
        return result

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        return True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled while this is active (`plain_kernels`), so nothing need keep the compiler out."""
        return False


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

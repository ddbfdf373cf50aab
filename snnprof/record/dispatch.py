"""Sees every operator of any model, below modules and functions, and hands each to the recorder's books."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from snnprof.record import provenance, rules
from snnprof.record.books import Books, writes
from snnprof.record.recall import RECALL


class Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands each operator that runs inside the model to the recorder's books."""

    def __init__(self, books: Books) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.books = books

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        books = self.books
        if not books.path or in_backward():
            return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        form = rules.reading(name, args, kwargs)
        if form is None and _hides_others(func):
            with self:
                result = rules.opened(func, args, kwargs)
            if result is not None:
                return result
        # Facts must be read before an in-place operator overwrites its operand.
        facts = books.facts_of(args, kwargs) if books.learning else None
        if form is not None:
            counter = books.contraction(name, form)
        else:
            books.other(name, args, kwargs, facts)
            counter = None
        result = func(*args, **kwargs)
        if writes(func) and isinstance(args[0], Tensor):
            RECALL.forget(args[0])
        elif name == "clone":
            RECALL.copied(args[0], result)
        if facts is not None:
            books.pass_on(func, name, args, kwargs, facts, result, counter, form)
        return result

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        return True


@functools.cache
def _hides_others(func: Any) -> bool:
    """A composite that arrives whole (as under inference_mode), or a fused kernel that can be opened."""
    name = func.overloadpacket.__name__
    return name in rules.REWRITES or (
        name not in provenance.PASSING
        and torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    )


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
        with sdpa_kernel(SDPBackend.MATH), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)

"""Sees every operator of any model, below modules and functions, and hands each to the recorder's books."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from snnprof.record import rules
from snnprof.record.books import Books
from snnprof.record.layers import are_readable
from snnprof.record.operators import Operator, operator_of, tensors_in, told
from snnprof.record.provenance import Facts, real
from snnprof.record.unwatched import Shared, untraced

_FAKE = torch._C._TorchDispatchModeKey.FAKE
_COMPILER = "torch._dynamo"
_DISABLED = "TORCHDYNAMO_DISABLE"
"""What the compiler asks for whenever something is to be compiled."""


class Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands each operator that runs inside the model to the recorder's books."""

    supports_higher_order_operators = True

    def __init__(self, books: Books) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.books = books

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        own = [kind for kind in types if kind.__torch_dispatch__ is not Tensor.__torch_dispatch__] if types else types
        if own and not _describe(own):
            return NotImplemented  # such tensors hold others: their class runs operators on those, which come here
        operator = operator_of(func)
        if own or not self.books.path or in_backward() or only_described():
            return operator.run(*args, **kwargs)
        if torch._C._get_tracing_state():  # in which sizes are no numbers
            with untraced():
                return self._watched(operator, args, kwargs, sys._getframe(1))
        return self._watched(operator, args, kwargs, sys._getframe(1))

    def _watched(self, operator: Operator, args: Any, kwargs: Any, frame: FrameType) -> Any:
        books, name = self.books, operator.name
        form = rules.reading(name, args, kwargs) if operator.contracts and are_readable(args) else None
        if form is None and operator.opens:
            with self:
                result = operator.opens(args, kwargs)
            if result is not None:
                return result
        if operator.strange:
            return self._strange(operator, args, kwargs, frame)
        # Facts must be read before an in-place operator overwrites its operand.
        facts = self._facts(operator, args, kwargs)
        counter = None
        if form is None:
            result = operator.counted(books, frame, args, kwargs, facts)
        else:
            result = operator.run(*args, **kwargs)
            counter = told(books, name, books.contraction, name, form)
        if facts is not None:
            passed = name, operator.writes, args, kwargs, facts, result, counter, form, frame
            told(books, name, self._pass_on, *passed)
        return result

    def _facts(self, operator: Operator, args: Any, kwargs: Any) -> list[Facts] | None:
        """Of the operands, on the first batch."""
        books = self.books
        if not books.learning:
            return None
        if not operator.free and any(tensor.is_complex() for tensor in tensors_in((args, kwargs))):
            books.recorder.note(
                "C32", books.layer, f"{operator.name} ran on complex numbers, each of which counts as one number",
                "multiply its MACs by 4 for real arithmetic; a complex number counts as non-zero where a part of it is",
            )  # fmt: skip
        facts = told(books, operator.name, books.facts_of, args, kwargs)
        return [real(())] if facts is None else facts

    def _strange(self, operator: Operator, args: Any, kwargs: Any, frame: FrameType) -> Any:
        """Lists an operator that no rule is known for; what it makes or writes may depend on all that it is given."""
        books, name = self.books, operator.name
        given = tuple(tensors_in((args, kwargs)))
        facts = self._facts(operator, given, {})
        result = operator.run(*args, **kwargs)
        told(books, name, books.other, frame, name, given, result, facts)
        for target in operator.written(args, kwargs):
            if facts is not None:
                told(books, name, self._pass_on, name, True, given, {}, facts, target, None, None, frame)
        if facts is not None:
            made = tuple(tensors_in(result))
            told(books, name, self._pass_on, name, False, given, {}, facts, made, None, None, frame)
        return result

    def _pass_on(self, name: str, in_place: bool, args: Any, kwargs: Any, facts: Any, result: Any, *rest: Any) -> None:
        """Writes the facts of a result; what comes of the unknown errs towards real data."""
        try:
            self.books.pass_on(name, in_place, args, kwargs, facts, result, *rest)
        except Exception:
            for made in tensors_in(result):
                self.books.store.set(made, real(()))
            raise

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


def only_described() -> bool:
    """Whether operators run on descriptions of tensors, as while a model exports itself: nothing is computed."""
    return bool(torch._C._len_torch_dispatch_stack()) and torch._C._get_dispatch_mode(_FAKE) is not None


def _describe(types: Iterable[type]) -> bool:
    """Whether tensors of these classes are but described."""
    return any(kind.__module__.startswith("torch._subclasses.") for kind in types)


@contextmanager
def _plain_kernels() -> Iterator[None]:
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


_PLAIN_KERNELS = Shared(_plain_kernels)


def plain_kernels() -> AbstractContextManager[None]:
    """Fused attention, fused encoder layers and compiled modules run as operators one can see; undone at the end.

    The switches for it are those of the process, so that recorders in several threads share them.
    """
    return _PLAIN_KERNELS.held()

"""Intercepts every operator of any model, below modules and functions, and hands it to the recorder's call sites."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any, TypeVar

import torch
from torch import Tensor

from snnprof.errors import SnnprofError, first_line
from snnprof.record import torch_private
from snnprof.record.call_sites import CallSites
from snnprof.record.layers import are_readable
from snnprof.record.operators import reading
from snnprof.record.overloads import Overload, changed, overload_of, tensors_in
from snnprof.record.provenance import Facts, real
from snnprof.record.suspend import Shared, Unseen
from snnprof.record.torch_private import DISPATCH_MODES, TorchDispatchMode, in_backward, only_described

R = TypeVar("R")

_COMPILER = "torch._dynamo"
_DISABLED = "TORCHDYNAMO_DISABLE"
"""Environment variable that the compiler reads whenever it would compile something."""


class OperatorMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The dispatch mode of a recorder: hands each operator that runs inside the model to its call sites."""

    supports_higher_order_operators = True

    def __init__(self, sites: CallSites) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sites = sites

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        own = [kind for kind in types if kind.__torch_dispatch__ is not Tensor.__torch_dispatch__] if types else types
        if own and not _describe(own):
            return NotImplemented  # tensors of these classes hold others, on which their class runs operators anew
        overload = overload_of(func)
        if own or not self.sites.path or in_backward() or only_described():
            return overload.run(*args, **kwargs)
        if torch_private.is_traced():  # while torch.jit.trace runs, sizes are tensors
            with torch_private.untraced():
                return self._watched(overload, args, kwargs, sys._getframe(1))
        return self._watched(overload, args, kwargs, sys._getframe(1))

    def _watched(self, overload: Overload, args: Any, kwargs: Any, frame: FrameType) -> Any:
        """Runs an operator of the model and counts it, by its parts if it has to be decomposed."""
        sites, name = self.sites, overload.name
        form = reading(name, args, kwargs) if overload.contracts and are_readable(args) else None
        if form is None and overload.decompose and not overload.only_writes(args, kwargs):
            with self:
                result = overload.decompose(args, kwargs)
            if result is not None:
                return result
        if overload.strange:
            return self._strange(overload, args, kwargs, frame)
        # Facts must be read before an in-place operator overwrites its operand.
        facts = self._facts(overload, args, kwargs)
        counter = None
        if form is None:
            result = counted(overload, sites, frame, args, kwargs, facts)
        else:
            result = overload.run(*args, **kwargs)
            counter = notify(sites, name, sites.contraction, name, form)
        if facts is not None:
            passed = name, overload.writes, args, kwargs, facts, result, counter, form, frame
            notify(sites, name, self._pass_on, *passed)
        return result

    def _facts(self, overload: Overload, args: Any, kwargs: Any) -> list[Facts] | None:
        """The facts of the operands while learning; else None."""
        sites = self.sites
        if not sites.learning:
            return None
        if not overload.free and any(tensor.is_complex() for tensor in tensors_in((args, kwargs))):
            sites.recording.note(
                "C32", sites.layer, f"{overload.name} ran on complex numbers; each counts as one number, which is "
                "non-zero if one of its parts is", "Multiply its MACs by 4 for real arithmetic",
            )  # fmt: skip
        facts = notify(sites, overload.name, sites.facts_of, args, kwargs)
        return [real(())] if facts is None else facts

    def _strange(self, overload: Overload, args: Any, kwargs: Any, frame: FrameType) -> Any:
        """Lists an operator that no rule can exist for; its results may depend on all of its arguments."""
        sites, name = self.sites, overload.name
        given = tuple(tensors_in((args, kwargs)))
        facts = self._facts(overload, given, {})
        result = overload.run(*args, **kwargs)
        notify(sites, name, sites.other, frame, name, given, result, facts)
        for target in overload.written(args, kwargs):
            if facts is not None:
                notify(sites, name, self._pass_on, name, True, given, {}, facts, target, None, None, frame)
        if facts is not None:
            made = tuple(tensors_in(result))
            notify(sites, name, self._pass_on, name, False, given, {}, facts, made, None, None, frame)
        return result

    def _pass_on(self, name: str, in_place: bool, args: Any, kwargs: Any, facts: Any, result: Any, *rest: Any) -> None:
        """Stores the facts of a result; if that fails, the result is taken for real data, which costs the most."""
        try:
            self.sites.pass_on(name, in_place, args, kwargs, facts, result, *rest)
        except Exception:
            for made in tensors_in(result):
                self.sites.store.set(made, real(()))
            raise

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Tells PyTorch to switch this mode off while it compiles."""
        return True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled while this mode is active (`plain_kernels`), so it need not keep the compiler out."""
        return False


def counted(
    overload: Overload, sites: CallSites, frame: FrameType, args: Any, kwargs: Any, facts: list[Facts] | None
) -> Any:
    """Runs an operator that is no contraction and lets the call sites count it.

    Operands that it overwrites are counted before it runs.

    Args:
        overload: the operator.
        sites: the call sites of the recorder.
        frame: frame of the code that calls it.
        args: positional arguments of the call.
        kwargs: keyword arguments of the call.
        facts: facts of its operands while learning; else None.
    """
    if overload.writes and not overload.free:
        notify(
            sites, overload.name, sites.other, frame, overload.name, args, changed(overload.name, args, kwargs), facts
        )
    result = overload.run(*args, **kwargs)
    if result is NotImplemented:  # Python will try the method of the other operand
        return result
    if not (overload.writes or overload.free):
        notify(sites, overload.name, sites.other, frame, overload.name, args, result, facts)
    if overload.quantises and facts is None:
        notify(sites, overload.name, sites.fired, frame, overload.name, result)
    return result


def notify(sites: CallSites, name: str, method: Callable[..., R], *arguments: Any) -> R | None:
    """Calls a method of the call sites about the operator `name`; if it fails, the operator is listed as uncounted.

    The model runs on in any case. No mode sees the operators of the method, which are not the model's.

    Raises:
        SnnprofError: the method refuses the model.
    """
    sites.telling += 1
    try:
        if DISPATCH_MODES.length():
            with Unseen():
                return method(*arguments)
        return method(*arguments)
    except SnnprofError:
        raise
    except Exception as error:
        sites.recording.note(
            "C31", sites.layer, f"A call of {name} is uncounted, since counting it failed: {first_line(error)}",
            "Report it with the model's code",
        )  # fmt: skip
        sites._uncount(sites.layer, name)
        return None
    finally:
        sites.telling -= 1


def _describe(types: Iterable[type]) -> bool:
    """Whether tensors of these classes only describe tensors and hold no values, as fake tensors do."""
    return any(kind.__module__.startswith("torch._subclasses.") for kind in types)


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Switches fused kernels and compilation off for the whole process."""
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
    """Runs compiled modules eagerly.

    If the compiler is not loaded yet, an environment variable keeps `torch.compile` from compiling: loading it only to
    switch it off would take 50 MB of memory between the tensors.
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
    """Runs fused attention, fused encoder layers and compiled modules as plain operators inside the `with` block.

    The switches belong to the process, so recorders in several threads share them.
    """
    return _PLAIN_KERNELS.held()

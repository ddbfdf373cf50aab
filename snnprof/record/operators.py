"""What is known of an operator by its name: whether it contracts, writes or only moves values."""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import OpOverload

from snnprof.record import callsite, rules
from snnprof.record.elementwise import FREE, LINES
from snnprof.record.propagation import QUANTISERS, TRANSFER
from snnprof.record.recall import RECALL
from snnprof.record.tally import made_of_flags

if TYPE_CHECKING:
    from snnprof.record.books import Books
    from snnprof.record.provenance import Facts

Retelling = Callable[[Any, Any, FrameType], None]
"""Takes an operator's arguments, its result, and the frame it was called from."""


class Operator(NamedTuple):
    """What an operator's name tells of all its calls.

    Attributes:
        func: the operator, or the function that runs it and nothing else; to hold it keeps its address its own.
        run: runs it.
        contracts: it may be a contraction.
        hides: a composite that arrives whole (as under inference_mode), or a fused kernel that can be opened.
        writes: it changes an operand in place.
        free: it moves or names values, and computes none.
        quantises: it may make spikes of real values.
        retells: what its arguments and result tell of values that were read, or are to be.
    """

    func: Any
    name: str
    run: Callable[..., Any]
    contracts: bool
    hides: bool
    writes: bool
    free: bool
    quantises: bool
    retells: Retelling | None

    @classmethod
    def of(
        cls, func: Any, name: str, run: Callable[..., Any], writes: bool, contracts: bool = False, hides: bool = False
    ) -> Operator:
        """What runs the operator of that name."""
        retells = _forget if writes else _RETELLING.get(name)
        return cls(func, name, run, contracts, hides, writes, name in FREE, name in QUANTISERS, retells)

    def counted(self, books: Books, frame: FrameType, args: Any, kwargs: Any, facts: list[Facts] | None) -> Any:
        """Runs it where it is no contraction, and has the books count it; what it writes to is read before.

        Args:
            frame: of the code that runs it.
            facts: of its operands, on the first batch.
        """
        if self.writes and not self.free:
            books.other(frame, self.name, args, changed(self.name, args, kwargs), facts)
        result = self.run(*args, **kwargs)
        if result is NotImplemented:  # Python asks the other operand next
            return result
        if not (self.writes or self.free):
            books.other(frame, self.name, args, result, facts)
        if self.quantises and facts is None:
            books.fired(frame, self.name, result)
        if self.retells:
            self.retells(args, result, frame)
        return result


# By address, since to hash an operator is to call Python.
_OPERATORS: dict[int, Operator] = {}


def operator_of(func: Any) -> Operator:
    """What is known of an aten operator."""
    known = _OPERATORS.get(id(func))
    if known:
        return known
    name = func.overloadpacket.__name__
    hides = name in rules.REWRITES or (
        name not in TRANSFER
        and torch._C._dispatch_has_kernel(func.name())  # it knows no operator that tells a tensor's properties
        and torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    )
    run = func._op if type(func) is OpOverload else func  # a Python call less
    found = Operator.of(func, name, run, func._schema.is_mutable, name in rules.READINGS, hides)
    _OPERATORS[id(func)] = found
    return found


def _forget(args: Any, result: Any, frame: FrameType) -> None:
    if isinstance(args[0], Tensor) and args[0].layout is torch.strided:
        RECALL.forget(args[0])


def _copied(args: Any, result: Any, frame: FrameType) -> None:
    if args[0].layout is result.layout is torch.strided:
        RECALL.copied(args[0], result)


def _reshaped(args: Any, result: Any, frame: FrameType) -> None:
    """What could not become a view is a view of a copy."""
    source = args[0]
    if source.untyped_storage().data_ptr() != result.untyped_storage().data_ptr():
        RECALL.copied(source, result.view(source.shape))


def _cast(args: Any, result: Any, frame: FrameType) -> None:
    if args[0].dtype is torch.bool and args[0].layout is torch.strided and result is not args[0]:
        made_of_flags(args[0], result, callsite.caller(frame))


_RETELLING = {
    "clone": _copied,
    "_to_copy": _cast,
    "reshape": _reshaped,
    "flatten": _reshaped,
    "unflatten": _reshaped,
}


def changed(name: str, args: Any, kwargs: Any) -> Any:
    """What an operator is about to write to; for `out`, which may be empty yet, something of its shape to be."""
    if "out" not in kwargs or LINES.get(name) not in ("add", "mul", "mask", "compare"):
        return args[0]
    operands = (operand for operand in args if isinstance(operand, Tensor))
    return torch.broadcast_tensors(*operands)[0]  # type: ignore[no-untyped-call]

"""What is known of an operator by its name: whether it contracts, writes or only moves values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves

from snnprof.errors import SnnprofError, first_line
from snnprof.record import higher_order, rules
from snnprof.record.elementwise import FREE, LINES
from snnprof.record.propagation import QUANTISERS, TRANSFER
from snnprof.record.unwatched import Undispatched

if TYPE_CHECKING:
    from snnprof.record.books import Books
    from snnprof.record.provenance import Facts

R = TypeVar("R")

_PYTHON = torch._C.DispatchKey.Python


class Operator(NamedTuple):
    """What an operator's name tells of all its calls.

    Attributes:
        func: the operator, or the function that runs it and nothing else; to hold it keeps its address its own.
        name: in aten; of another library with its namespace, `quantized::linear`.
        run: runs it.
        opens: its result, from its arguments, by operators one can see; of a composite that arrives whole (as under
            inference_mode), a fused kernel, or an operator that runs functions. Its own result may be None: it cannot.
        contracts: it may be a contraction.
        writes: it changes an operand in place.
        free: it moves or names values, and computes none.
        strange: no rule can be known for it: it is of another library, of a higher order, or returns nothing.
        quantises: it may make spikes of real values.
    """

    func: Any
    name: str
    run: Callable[..., Any]
    opens: Callable[[Any, Any], Any] | None
    contracts: bool
    writes: bool
    free: bool
    strange: bool
    quantises: bool

    @classmethod
    def of(
        cls,
        func: Any,
        name: str,
        run: Callable[..., Any],
        writes: bool,
        opens: Callable[[Any, Any], Any] | None = None,
        contracts: bool = False,
        strange: bool = False,
    ) -> Operator:
        """What runs the operator of that name."""
        return cls(func, name, run, opens, contracts, writes, name in FREE, strange, name in QUANTISERS)

    def counted(self, books: Books, frame: FrameType, args: Any, kwargs: Any, facts: list[Facts] | None) -> Any:
        """Runs it where it is no contraction, and has the books count it; what it writes to is read before.

        Args:
            frame: of the code that runs it.
            facts: of its operands, on the first batch.
        """
        if self.writes and not self.free:
            told(books, self.name, books.other, frame, self.name, args, changed(self.name, args, kwargs), facts)
        result = self.run(*args, **kwargs)
        if result is NotImplemented:  # Python asks the other operand next
            return result
        if not (self.writes or self.free):
            told(books, self.name, books.other, frame, self.name, args, result, facts)
        if self.quantises and facts is None:
            told(books, self.name, books.fired, frame, self.name, result)
        return result

    def written(self, args: Any, kwargs: Any) -> list[Tensor]:
        """What a strange operator writes to, as far as its schema says."""
        if not self.writes:
            return []
        named = zip(self.func._schema.arguments, args, strict=False)
        given = {argument.name: value for argument, value in named} | kwargs
        marked = [a.name for a in self.func._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
        return tensors_in([given.get(name) for name in marked])


def tensors_in(values: Any) -> list[Tensor]:
    """The tensors among arguments or results, however nested."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def told(books: Books, name: str, tell: Callable[..., R], *facts: Any) -> R | None:
    """Tells the books of an operator. What they cannot make anything of is listed, and the model runs on.

    None of it is the model's own work, so that no mode but the recorder's sees it.
    """
    try:
        if torch._C._len_torch_dispatch_stack() and not torch._C._dispatch_tls_is_dispatch_key_excluded(_PYTHON):
            with Undispatched():
                return tell(*facts)
        return tell(*facts)
    except SnnprofError:
        raise
    except Exception as error:
        books.recorder.note(
            "C31", books.layer, f"{name} was called with what could not be counted: {first_line(error)}",
            "it is listed as uncounted; report it with the model's code",
        )  # fmt: skip
        books._uncount(books.layer, name)
        return None


# By address, since to hash an operator is to call Python.
_OPERATORS: dict[int, Operator] = {}


def operator_of(func: Any) -> Operator:
    """What is known of an operator."""
    known = _OPERATORS.get(id(func))
    if known is None:
        known = _OPERATORS[id(func)] = _looked_up(func) if isinstance(func, OpOverload) else _of_higher_order(func)
    return known


def _looked_up(func: Any) -> Operator:
    """By its name in aten. Another library may give its operators the same names, which say nothing then."""
    name, own = func.overloadpacket.__name__, func.namespace == "aten"
    name = name if own else f"{func.namespace}::{name}"
    hides = name in rules.REWRITES or (
        name not in TRANSFER
        and torch._C._dispatch_has_kernel(func.name())  # it knows no operator that tells a tensor's properties
        and torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    )
    return Operator.of(
        func,
        name,
        func._op if type(func) is OpOverload else func,  # a Python call less
        func._schema.is_mutable,
        functools.partial(_opened, func) if hides else None,
        name in rules.READINGS,
        not own or not (func._schema.returns or name in FREE),
    )


def _of_higher_order(func: Any) -> Operator:
    return Operator.of(
        func, f"higher_order::{func.name()}", func, False, functools.partial(higher_order.opened, func), strange=True
    )


def _opened(func: Any, args: Any, kwargs: Any) -> Any:
    """What is made of nested tensors is theirs alone: their kernels are no composites."""
    nested = any(isinstance(value, Tensor) and value.is_nested for value in args)
    return None if nested else rules.opened(func, args, kwargs)


def changed(name: str, args: Any, kwargs: Any) -> Any:
    """What an operator is about to write to; for `out`, which may be empty yet, something of its shape to be."""
    if "out" not in kwargs or LINES.get(name) not in ("add", "mul", "mask", "compare"):
        return args[0] if args else None
    operands = (operand for operand in args if isinstance(operand, Tensor))
    return torch.broadcast_tensors(*operands)[0]  # type: ignore[no-untyped-call]

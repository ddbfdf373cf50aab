"""One overload of an operator as PyTorch runs it: how, whether it writes, and what the registry knows of its name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnprof.record import higher_order, torch_private
from snnprof.record.operators import decompose, operator
from snnprof.record.torch_private import OVERLOAD, schema, tree_leaves


class Overload(NamedTuple):
    """How one overload runs, or a function that runs one operator and nothing else.

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
    ) -> Overload:
        """What runs the operator of that name."""
        known = operator(name)
        return cls(func, name, run, opens, contracts, writes, known.moves, strange, known.quantises)

    def written(self, args: Any, kwargs: Any) -> list[Tensor]:
        """What a strange operator writes to, as far as its schema says."""
        if not self.writes:
            return []
        named = zip(schema(self.func).arguments, args, strict=False)
        given = {argument.name: value for argument, value in named} | kwargs
        marked = [a.name for a in schema(self.func).arguments if a.alias_info is not None and a.alias_info.is_write]
        return tensors_in([given.get(name) for name in marked])


def tensors_in(values: Any) -> list[Tensor]:
    """The tensors among arguments or results, however nested."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


# By address, since to hash an operator is to call Python.
_OVERLOADS: dict[int, Overload] = {}


def overload_of(func: Any) -> Overload:
    """What is known of an operator."""
    known = _OVERLOADS.get(id(func))
    if known is None:
        known = _OVERLOADS[id(func)] = _looked_up(func) if isinstance(func, OVERLOAD) else _of_higher_order(func)
    return known


def _looked_up(func: Any) -> Overload:
    """By its name in aten. Another library may give its operators the same names, which say nothing then."""
    name, own = func.overloadpacket.__name__, func.namespace == "aten"
    name = name if own else f"{func.namespace}::{name}"
    known = operator(name)
    is_composite = known.rewrite is not None or (known.transfer is None and torch_private.is_composite(func))
    return Overload.of(
        func,
        name,
        func,
        schema(func).is_mutable,
        functools.partial(_opened, func) if is_composite else None,
        known.reading is not None,
        not own or not (schema(func).returns or known.moves),
    )


def _of_higher_order(func: Any) -> Overload:
    return Overload.of(
        func, f"higher_order::{func.name()}", func, False, functools.partial(higher_order.opened, func), strange=True
    )


def _opened(func: Any, args: Any, kwargs: Any) -> Any:
    """What is made of nested tensors is theirs alone: their kernels are no composites."""
    nested = any(isinstance(value, Tensor) and value.is_nested for value in args)
    return None if nested else decompose(func, args, kwargs)


def changed(name: str, args: Any, kwargs: Any) -> Any:
    """What an operator is about to write to; for `out`, which may be empty yet, something of its shape to be."""
    if "out" not in kwargs or operator(name).line not in ("add", "mul", "mask", "compare"):
        return args[0] if args else None
    operands = (operand for operand in args if isinstance(operand, Tensor))
    return torch.broadcast_tensors(*operands)[0]  # type: ignore[no-untyped-call]

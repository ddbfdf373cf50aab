"""Overloads of operators: how PyTorch runs each, whether it writes to an operand, and the registry's entry for it."""

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
    """One overload of an operator, or a function that runs one operator and nothing else.

    Attributes:
        func: the operator or the function. It is kept so that no other object gets its address.
        name: name in aten; for other libraries with their namespace, as in `quantized::linear`.
        run: runs it.
        decompose: computes its result from (args, kwargs) by operators that the recorder can count, or returns None if
            that is impossible. Set for composites that may arrive whole (as under inference_mode), for fused kernels,
            and for operators that run functions; else None.
        accumulates: whether it is decomposed only if its argument `accumulate` is set, and only writes otherwise.
        contracts: whether it may be a contraction.
        writes: whether it changes an operand in place.
        free: whether it only moves or describes values and computes none.
        strange: whether no rule can exist for it: it belongs to another library, is of a higher order, or returns
            nothing.
        quantises: whether it may turn real values into spikes.
    """

    func: Any
    name: str
    run: Callable[..., Any]
    decompose: Callable[[Any, Any], Any] | None
    accumulates: bool
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
        decompose: Callable[[Any, Any], Any] | None = None,
        contracts: bool = False,
        strange: bool = False,
    ) -> Overload:
        """The entry of `func`, which runs the operator called `name`."""
        known = operator(name)
        return cls(
            func, name, run, decompose, known.accumulates, contracts, writes, known.moves, strange, known.quantises
        )

    def only_writes(self, args: Any, kwargs: Any) -> bool:
        """Whether a call writes where it could add. Such a call is not decomposed: that would take longer than it."""
        return self.accumulates and not (args[3] if len(args) > 3 else kwargs.get("accumulate"))

    def written(self, args: Any, kwargs: Any) -> list[Tensor]:
        """The operands that a strange operator writes to, according to its schema."""
        if not self.writes:
            return []
        named = zip(schema(self.func).arguments, args, strict=False)
        given = {argument.name: value for argument, value in named} | kwargs
        marked = [a.name for a in schema(self.func).arguments if a.alias_info is not None and a.alias_info.is_write]
        return tensors_in([given.get(name) for name in marked])


def tensors_in(values: Any) -> list[Tensor]:
    """The tensors among arguments or results, at any depth of nesting."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


# By address: hashing an operator would run Python code at each call.
_OVERLOADS: dict[int, Overload] = {}


def overload_of(func: Any) -> Overload:
    """The entry of an operator, made at its first call."""
    known = _OVERLOADS.get(id(func))
    if known is None:
        known = _OVERLOADS[id(func)] = _looked_up(func) if isinstance(func, OVERLOAD) else _of_higher_order(func)
    return known


def _looked_up(func: Any) -> Overload:
    """Makes the entry of an aten operator by its name; the same name in another library means nothing."""
    name, own = func.overloadpacket.__name__, func.namespace == "aten"
    name = name if own else f"{func.namespace}::{name}"
    if own and name in ("scatter", "scatter_") and "reduce" in schema(func).overload_name:
        name = "scatter_reduce"  # the overloads of `scatter` that add or multiply; the others only move values
    known = operator(name)
    is_composite = known.rewrite is not None or (known.transfer is None and torch_private.is_composite(func))
    return Overload.of(
        func,
        name,
        func,
        schema(func).is_mutable,
        functools.partial(_decomposed, func) if is_composite else None,
        known.reading is not None,
        not own or not (schema(func).returns or known.moves),
    )


def _of_higher_order(func: Any) -> Overload:
    """Makes the entry of an operator that runs functions."""
    return Overload.of(
        func, f"higher_order::{func.name()}", func, False, functools.partial(higher_order.decompose, func), strange=True
    )


def _decomposed(func: Any, args: Any, kwargs: Any) -> Any:
    """Decomposes a composite, except on nested tensors, which have kernels of their own for it."""
    nested = any(isinstance(value, Tensor) and value.is_nested for value in args)
    return None if nested else decompose(func, args, kwargs)


def changed(name: str, args: Any, kwargs: Any) -> Any:
    """The operand that an operator is about to change in place.

    `out` may still be empty. For elementwise operators an operand of the result's shape is returned in its place.
    """
    if "out" not in kwargs or operator(name).line not in ("add", "mul", "mask", "compare"):
        return args[0] if args else None
    operands = (operand for operand in args if isinstance(operand, Tensor))
    return torch.broadcast_tensors(*operands)[0]  # type: ignore[no-untyped-call]

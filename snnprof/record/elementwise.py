"""Lines of other arithmetic (batch norm, pooling, additions, masks, reductions, comparisons, products).

Decides which line a call belongs to, and how many elements it works on; `operators` has the line of each operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from snnprof.record.operators import operator
from snnprof.record.provenance import Facts

_OF_RESULT = frozenset(["add", "bias", "mul", "mask"])
"""Lines that work on as many elements as their results have."""
_READ_OUT = frozenset(["pool", "reduce", "batch_norm"])
"""Lines that work on as many elements as their operands have."""


def line_of(name: str, facts: list[Facts]) -> str | None:
    """The line that an operator's call belongs to; None if it reads no data, `uncounted` if no rule counts it.

    An addition of constants is a `bias`; a product of two operands of at most one level is a `mask`.

    Args:
        name: aten operator that computes something, without namespace and overload.
        facts: facts of its tensor operands, in order.
    """
    if not any(f.data for f in facts):
        return None
    line = operator(name).arithmetic or "uncounted"
    if line == "add":
        return "add" if len(facts) > 1 and all(f.data for f in facts[:2]) else "bias"
    if line == "mul" and len(facts) > 1 and all(_single_level(f) for f in facts[:2]):
        return "mask"
    return line


def work(name: str, line: str, args: Sequence[Any], result: Any) -> int:
    """The number of elements that a call works on.

    Those of the operand for pooling, reductions and batch norm, of the added values for a scatter, of all selected rows
    for an embedding bag; of the result otherwise, but for a comparison the larger of both.

    Args:
        name: aten operator without namespace and overload.
        line: the line that the call belongs to.
        args: positional arguments of the call.
        result: its result, or the operand that it changes in place.
    """
    if line in _OF_RESULT:
        return int(result.numel())
    known = operator(name)
    if known.lookup:
        return int(args[1].numel() * args[0].shape[1])
    if known.scatters:
        return int(max(value.numel() for value in args[1:] if isinstance(value, Tensor)))
    if line in _READ_OUT or not isinstance(result, Tensor):
        return int(args[0].numel())
    return int(max(args[0].numel(), result.numel()))  # comparisons broadcast, maxima reduce: the larger was read


def _single_level(facts: Facts) -> bool:
    """Whether all spikes of an operand have the same size."""
    return facts.single

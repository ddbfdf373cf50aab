"""Lines of other arithmetic: which one a call belongs to, and how many elements it works on.

Batch norm, pooling, adds, masks, reductions, compares; which operator is which stands in `operators`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from snnprof.record.operators import operator
from snnprof.record.provenance import Facts

_OF_RESULT = frozenset(["add", "bias", "mul", "mask"])
"""Lines of operators that have as many elements as their result."""
_READ_OUT = frozenset(["pool", "reduce", "batch_norm"])


def line_of(name: str, facts: list[Facts]) -> str | None:
    """The line an operator belongs to, or None where it reads no data; `uncounted` where there is no rule.

    Args:
        name: aten operator that does more than move data, without namespace and overload.
        facts: of its tensor operands, in order.
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
    """Elements of a line: of the operand where it is read out (pooling, reductions), else of the result.

    An embedding bag adds a row of the table for each index.

    Args:
        result: what came out, or the operand that is changed in place.
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
    return int(max(args[0].numel(), result.numel()))  # compares, and largest values: the larger is what was read


def _single_level(facts: Facts) -> bool:
    return facts.single

"""Attention without softmax: two products of spikes, in the order (QKᵀ)V or Q(KᵀV)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from snnprof.activity import Operand, OpRecord

Key = tuple[str, str, int]


@dataclass(frozen=True)
class Attention:
    """The two products of one attention.

    Attributes:
        order: `quadratic`: (QKᵀ)V, `linear`: Q(KᵀV).
        first, second: the products as they ran.
        q, k, v: the operands that carry queries, keys and values.
    """

    order: Literal["quadratic", "linear"]
    first: OpRecord
    second: OpRecord
    q: Operand
    k: Operand
    v: Operand


def attentions(ops: Iterable[OpRecord]) -> Iterator[Attention]:
    """Pairs of successive data × data products in which the second reads what fed the first."""
    products = [op for op in ops if len(op.data) == 2]
    position = 0
    while position + 1 < len(products):
        pair = _pair(products[position], products[position + 1])
        if pair:
            yield pair
        position += 2 if pair else 1


def linear_order(ops: Iterable[OpRecord]) -> dict[Key, float]:
    """For each product of a linear-order attention: MACs in the quadratic order / MACs as it ran, which is N / d."""
    factors: dict[Key, float] = {}
    for attention in attentions(ops):
        tokens, width = tokens_and_width(attention)
        if attention.order == "linear" and tokens and width:
            factors[attention.first.key] = factors[attention.second.key] = tokens / width
    return factors


def tokens_and_width(attention: Attention) -> tuple[int | None, int | None]:
    """N tokens and the width d of a head, from the first product's left operand: Q is [N, d], Kᵀ is [d, N]."""
    rows, columns = (attention.first.shape.get("left") or [None, None])[-2:]
    return (columns, rows) if attention.order == "linear" else (rows, columns)


def _pair(first: OpRecord, second: OpRecord) -> Attention | None:
    if first.layer != second.layer:
        return None
    fed = set(first.fed_by)
    left, right = second.data
    a, b = first.data
    if fed <= set(left.fed_by) and not fed <= set(right.fed_by):
        return Attention("quadratic", first, second, q=a, k=b, v=right)
    if fed <= set(right.fed_by) and not fed <= set(left.fed_by):
        return Attention("linear", first, second, q=left, k=a, v=b)
    return None

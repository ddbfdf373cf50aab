"""Spiking attention: the layers that make Q, K and V, and products of data in the order (QKᵀ)V or Q(KᵀV)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from snnprof.activity import Activity, Operand, OpRecord

Key = tuple[str, str, int]
LETTERS = {"query": "q", "key": "k", "value": "v", **{name: name for name in ("q", "k", "v", "qk", "kv", "qkv")}}
"""Word in a layer's name → what the layer makes: `q_conv` and `query` make Q, a fused `qkv_linear` makes all three."""


@dataclass(frozen=True)
class Attention:
    """The two products of one attention.

    Attributes:
        order: `quadratic` for (QKᵀ)V, `linear` for Q(KᵀV).
        first, second: the products in the order in which they ran.
        q, k, v: the operands that carry queries, keys and values.
    """

    order: Literal["quadratic", "linear"]
    first: OpRecord
    second: OpRecord
    q: Operand
    k: Operand
    v: Operand


def attentions(ops: Iterable[OpRecord]) -> Iterator[Attention]:
    """Yields pairs of successive data × data products of which the second reads the result of the first.

    The evidence is that the same neuron layers feed one of the second's operands.
    """
    products = [op for op in ops if len(op.data) == 2]
    position = 0
    while position + 1 < len(products):
        pair = _pair(products[position], products[position + 1])
        if pair:
            yield pair
        position += 2 if pair else 1


def linear_order(ops: Iterable[OpRecord]) -> dict[Key, float]:
    """Returns, for each product of a linear-order attention, MACs in the quadratic order / MACs as it ran: N / d."""
    factors: dict[Key, float] = {}
    for attention in attentions(ops):
        tokens, width = tokens_and_width(attention)
        if attention.order == "linear" and tokens and width:
            factors[attention.first.key] = factors[attention.second.key] = tokens / width
    return factors


def tokens_and_width(attention: Attention) -> tuple[int | None, int | None]:
    """Returns N tokens and the width d of a head, from the first product's left operand: Q is [N, d], Kᵀ is [d, N]."""
    rows, columns = (attention.first.shape.get("left") or [None, None])[-2:]
    return (columns, rows) if attention.order == "linear" else (rows, columns)


def _pair(first: OpRecord, second: OpRecord) -> Attention | None:
    """Returns the attention that two successive products make; None if they make none.

    The operand of the second product that carries the first's result is fed by all that fed the first. If both operands
    are, or neither, the two products are no attention.
    """
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


@dataclass(frozen=True)
class Projections:
    """The layers that make Q, K and, if the attention has values, V.

    Attributes:
        module: path of the module in which the attention runs.
        makes: what each layer makes (`q`, `k`, `v`, or several letters if it is fused), and its operation.
    """

    module: str
    makes: tuple[tuple[str, OpRecord], ...]


def projections(activity: Activity) -> list[Projections]:
    """Finds attentions by the names of their layers: Q and K of a module in which spikes are multiplied or masked."""
    found: dict[str, list[tuple[str, OpRecord]]] = {}
    for op in activity.ops:
        module, letters = _made_by(op)
        if letters:
            found.setdefault(module, []).append((letters, op))
    meets = {op.layer for op in activity.ops if len(op.data) == 2}
    meets |= {entry.layer for entry in activity.elementwise if entry.op == "mask"}
    return [
        Projections(module, tuple(makes))
        for module, makes in found.items()
        if {"q", "k"} <= set("".join(letters for letters, _ in makes)) and any(within(layer, module) for layer in meets)
    ]


def within(layer: str, module: str) -> bool:
    """Whether a layer is a module or inside it."""
    return layer == module or layer.startswith(f"{module}." if module else "")


def _made_by(op: OpRecord) -> tuple[str, str]:
    """Returns the module and the letters of a layer named after Q, K or V; two empty texts for other layers."""
    path = op.layer.split(".") if op.weights else []
    for depth in reversed(range(len(path))):
        for word in re.split(r"[_\d]+", path[depth].lower()):
            if word in LETTERS:
                return ".".join(path[:depth]), LETTERS[word]
    return "", ""

"""Straight-through forms: `x + a − a.detach()` is x, whatever a is, and lies on the grid of x.

The store knows each tensor as a sum of values times factors. If terms cancel, the result has the facts of the rest.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from snnprof.record import provenance
from snnprof.record.operators import propagate
from snnprof.record.provenance import ONE, Facts, rational
from snnprof.record.store import Atom, Form, Store
from snnprof.record.values import values_of_its_own

_LONGEST = 8
"""The most terms of a sum that is kept."""
_ONE_ITSELF: Atom = (-1, (), (), 0)
"""The number 1, of which constants are multiples."""


def simplified(
    store: Store, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor, facts: Facts
) -> tuple[Facts, Form | None]:
    """Computes the facts of an operator's result, and the sum that it is (None: it is no sum).

    If terms of the sum cancel, the facts are those of the rest. Cancelling may also be invisible: if the first operand
    of a sum is spikes and the result lies on their grid, the result is taken for spikes.

    Args:
        store: facts and sums of the operands.
        name: aten operator without namespace and overload.
        args: positional arguments of the call.
        kwargs: keyword arguments of the call.
        result: result of the call.
        facts: facts of the result by propagation.
    """
    combine = _SUMS.get(name)
    if combine is None:
        return facts, None
    parts = combine(store, args, kwargs)
    if parts is None:
        return facts, None
    total, cancelled = _added(parts)
    if len(total) > _LONGEST:
        return facts, None
    if cancelled:
        return _of_rest(store, total, facts), total
    return _proposed(store, args, result, facts), total


def _of_rest(store: Store, total: Form, facts: Facts) -> Facts:
    """The facts of the terms that remain after others cancelled."""
    terms = [
        provenance.scaled(provenance.number(1.0) if atom == _ONE_ITSELF else store.facts_of_value(atom), factor)
        for atom, factor in total.items()
    ]
    rest = functools.reduce(provenance.added, terms) if terms else provenance.NOTHING
    # The operator read every operand: its result stays data even if all terms that are data cancelled.
    return replace(rest, origin=facts.origin, decided=facts.decided, rough=True, result_of=None)


def _proposed(store: Store, args: tuple[Any, ...], result: Tensor, facts: Facts) -> Facts:
    """The facts of a sum of spikes and real values: those of the spikes, if the result lies on their grid.

    If it does not, it may after the next sum, so the facts of the spikes are kept as a proposal.
    """
    first = store.get(args[0]) if isinstance(args[0], Tensor) else None
    proposal = first and (first if first.grid and first.data else first.proposed)
    if facts.grid is not None or not proposal or not proposal.quantum:
        return facts
    if not _lies_on(result.detach(), proposal):
        return replace(facts, proposed=proposal)
    return replace(facts, grid=proposal.grid, low=proposal.low, high=proposal.high, rough=True)


def _lies_on(values: Tensor, grid: Facts) -> bool:
    """Whether all values lie on a grid, within its bound, and at least one is not zero."""
    assert grid.quantum is not None
    if not values.is_floating_point() or not values.numel() or not values_of_its_own(values):
        return False
    levels = values.double() / float(grid.quantum)
    near = (levels - levels.round()).abs() <= math.sqrt(torch.finfo(values.dtype).eps)
    within = grid.bound is None or bool(levels.abs().max() <= float(grid.bound / grid.quantum) + 0.5)
    return bool(near.all()) and within and bool(levels.round().any())


def _added(parts: list[tuple[Form, Fraction]]) -> tuple[dict[Atom, Fraction], bool]:
    """Adds sums times factors; returns also whether an atom occurred with opposite signs."""
    total: dict[Atom, Fraction] = {}
    cancelled = False
    for form, factor in parts:
        for atom, times in form.items():
            before = total.get(atom, Fraction(0))
            cancelled |= before * times * factor < 0
            total[atom] = before + times * factor
    return {atom: factor for atom, factor in total.items() if factor}, cancelled


Combine = Callable[[Store, tuple[Any, ...], dict[str, Any]], list[tuple[Form, Fraction]] | None]
"""From an operator's arguments, the sums and factors that its result adds up; None if it is no such sum."""


def _operand(store: Store, value: Any) -> Form | None:
    """The sum that a tensor or a number is; None for other arguments."""
    if isinstance(value, Tensor):
        return store.form(value)
    number = _number(value)
    return None if number is None else {_ONE_ITSELF: number} if number else {}


def _number(value: Any) -> Fraction | None:
    return rational(float(value)) if isinstance(value, int | float) and math.isfinite(value) else None


def _sum(sign: int, reverse: bool = False) -> Combine:
    """a + sign · alpha · b; reversed, b − alpha · a."""

    def combine(store: Store, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Form, Fraction]] | None:
        first, second = (_operand(store, value) for value in args[:2])
        factor = _number(kwargs.get("alpha", args[2] if len(args) > 2 else 1))
        if first is None or second is None or factor is None:
            return None
        return [(second, ONE), (first, -factor)] if reverse else [(first, ONE), (second, sign * factor)]

    return combine


def _scaled(divide: bool) -> Combine:
    """a times, or divided by, one known number."""

    def combine(store: Store, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Form, Fraction]] | None:
        factor = _factor(store, args[1])
        form = _operand(store, args[0])
        if form is None or not factor or kwargs.get("rounding_mode"):
            return None
        return [(form, 1 / factor if divide else factor)]

    return combine


def _factor(store: Store, value: Any) -> Fraction | None:
    """The value of a number or of a constant tensor that holds one number; None if it is unknown."""
    if not isinstance(value, Tensor):
        return _number(value)
    facts = store.get(value)
    return facts.low if facts and not facts.data and facts.low is not None and facts.low == facts.high else None


def _interpolated(store: Store, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Form, Fraction]] | None:
    """a + w · (b − a) of two tensors and a number."""
    weight = _number(args[2]) if len(args) > 2 else None
    if weight is None or not all(isinstance(each, Tensor) for each in args[:2]):
        return None
    start, end = store.form(args[0]), store.form(args[1])
    return [(start, ONE), (start, -weight), (end, weight)]


def _fraction(divisor: bool) -> Combine:
    """x minus its whole part, or minus the largest multiple of a divisor: x plus a new value on that grid."""

    def combine(store: Store, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Form, Fraction]] | None:
        step = _factor(store, args[1]) if divisor else ONE
        if not isinstance(args[0], Tensor) or not step:
            return None
        facts = store.of(args[0])
        parts = propagate("floor_divide" if divisor else "trunc", [facts], (args[0], float(step)), {}, args[0])
        return [(store.form(args[0]), ONE), ({store.new_value(parts[0], args[0]): ONE}, -step)]

    return combine


def _negated(store: Store, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Form, Fraction]]:
    return [(store.form(args[0]), -ONE)]


_SUMS: dict[str, Combine] = {
    "add": _sum(1),
    "sub": _sum(-1),
    "rsub": _sum(1, reverse=True),
    "mul": _scaled(divide=False),
    "div": _scaled(divide=True),
    "neg": _negated,
    "lerp": _interpolated,
    "remainder": _fraction(divisor=True),
    "frac": _fraction(divisor=False),
}

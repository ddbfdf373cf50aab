"""Straight-through forms: `x + a − a.detach()` is x, whatever a is, and lies on the grid of x.

Each tensor is known as a sum of values times factors; what cancels leaves the facts of the rest.
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
_ONE_ITSELF: Atom = (-1, (), (), 0)


def simplified(
    store: Store, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor, facts: Facts
) -> tuple[Facts, Form | None]:
    """The facts of an operator's result and the sum that it is; facts of the rest where terms of the sum cancel.

    Where cancelling cannot be seen, but spikes come first in a sum with real values and the result lies on their grid,
    the values decide.

    Args:
        facts: of the result, by propagation.
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
    terms = [
        provenance.scaled(provenance.number(1.0) if atom == _ONE_ITSELF else store.facts_of_value(atom), factor)
        for atom, factor in total.items()
    ]
    rest = functools.reduce(provenance.added, terms) if terms else provenance.NOTHING
    # Every operand was read: what the rest is fed by is data, even if all that made it data cancelled.
    return replace(rest, origin=facts.origin, rough=True, result_of=None)


def _proposed(store: Store, args: tuple[Any, ...], result: Tensor, facts: Facts) -> Facts:
    """Spikes plus what the values show to be nothing; if it is not yet, it may be after the next sum."""
    first = store.get(args[0]) if isinstance(args[0], Tensor) else None
    proposal = first and (first if first.grid and first.data else first.proposed)
    if facts.grid is not None or not proposal or not proposal.quantum:
        return facts
    if not _lies_on(result.detach(), proposal):
        return replace(facts, proposed=proposal)
    return replace(facts, grid=proposal.grid, low=proposal.low, high=proposal.high, rough=True)


def _lies_on(values: Tensor, grid: Facts) -> bool:
    """Whether values are spikes of a grid, and not all zero."""
    assert grid.quantum is not None
    if not values.is_floating_point() or not values.numel() or not values_of_its_own(values):
        return False
    levels = values.double() / float(grid.quantum)
    near = (levels - levels.round()).abs() <= math.sqrt(torch.finfo(values.dtype).eps)
    within = grid.bound is None or bool(levels.abs().max() <= float(grid.bound / grid.quantum) + 0.5)
    return bool(near.all()) and within and bool(levels.round().any())


def _added(parts: list[tuple[Form, Fraction]]) -> tuple[dict[Atom, Fraction], bool]:
    """The sum of sums times factors, and whether terms of opposite signs met in it."""
    total: dict[Atom, Fraction] = {}
    cancelled = False
    for form, factor in parts:
        for atom, times in form.items():
            before = total.get(atom, Fraction(0))
            cancelled |= before * times * factor < 0
            total[atom] = before + times * factor
    return {atom: factor for atom, factor in total.items() if factor}, cancelled


Combine = Callable[[Store, tuple[Any, ...], dict[str, Any]], list[tuple[Form, Fraction]] | None]


def _operand(store: Store, value: Any) -> Form | None:
    if isinstance(value, Tensor):
        return store.form(value)
    number = _number(value)
    return None if number is None else {_ONE_ITSELF: number} if number else {}


def _number(value: Any) -> Fraction | None:
    return rational(float(value)) if isinstance(value, int | float) and math.isfinite(value) else None


def _sum(sign: int, reverse: bool = False) -> Combine:
    def combine(store: Store, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Form, Fraction]] | None:
        first, second = (_operand(store, value) for value in args[:2])
        factor = _number(kwargs.get("alpha", args[2] if len(args) > 2 else 1))
        if first is None or second is None or factor is None:
            return None
        return [(second, ONE), (first, -factor)] if reverse else [(first, ONE), (second, sign * factor)]

    return combine


def _scaled(divide: bool) -> Combine:
    def combine(store: Store, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Form, Fraction]] | None:
        factor = _factor(store, args[1])
        form = _operand(store, args[0])
        if form is None or not factor or kwargs.get("rounding_mode"):
            return None
        return [(form, 1 / factor if divide else factor)]

    return combine


def _factor(store: Store, value: Any) -> Fraction | None:
    """A number, or a tensor of one known value."""
    if not isinstance(value, Tensor):
        return _number(value)
    facts = store.get(value)
    return facts.low if facts and not facts.data and facts.low is not None and facts.low == facts.high else None


def _interpolated(store: Store, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Form, Fraction]] | None:
    """a + w · (b − a)."""
    weight = _number(args[2]) if len(args) > 2 else None
    if weight is None or not all(isinstance(each, Tensor) for each in args[:2]):
        return None
    start, end = store.form(args[0]), store.form(args[1])
    return [(start, ONE), (start, -weight), (end, weight)]


def _fraction(divisor: bool) -> Combine:
    """x less its whole part: what is subtracted from x leaves whole numbers, or multiples of a divisor."""

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

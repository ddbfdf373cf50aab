"""What operators make of their operands' facts; which operator is like which stands in `operators`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnprof.record import provenance
from snnprof.record.provenance import (
    NOTHING,
    ONE,
    REAL_WEIGHT,
    ZERO,
    Bound,
    Facts,
    Origin,
    added,
    bounded,
    derived,
    joined,
    merged,
    multiplied,
    number,
    rational,
    scaled,
    side_by_side,
    summed,
)


class Call(NamedTuple):
    """One call of an operator: the facts of its tensor operands in order, its arguments, and its result."""

    facts: list[Facts]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    def operand(self, position: int, name: str = "") -> Facts:
        """The facts of an argument: of a tensor, or of a plain number."""
        value = self.argument(position, name)
        if isinstance(value, Tensor):
            earlier = sum(isinstance(each, Tensor) for each in self.args[:position])
            return self.facts[earlier] if position < len(self.args) else self.facts[-1]
        return constant_number(value)

    @property
    def first(self) -> Facts:
        return self.facts[0] if self.facts else REAL_WEIGHT

    @property
    def result(self) -> Tensor:
        return self.out if isinstance(self.out, Tensor) else next(t for t in self.out if isinstance(t, Tensor))

    @property
    def reduced(self) -> int:
        """How many elements each result is made of."""
        return int(self.args[0].numel()) // max(self.result.numel(), 1)


Transfer = Callable[[Call], Facts | tuple[Facts, ...]]


def constant_number(value: Any) -> Facts:
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return number(float(value))
    return REAL_WEIGHT


def _number(value: Any) -> Fraction | None:
    return rational(float(value)) if isinstance(value, bool | int | float) and math.isfinite(value) else None


# -- moved, chosen, put together ------------------------------------------------------------------------------


def of_same(call: Call) -> Facts:
    return call.first


def of_keep(call: Call) -> Facts:
    """Some of the values, or all of them elsewhere; what says which (indices) makes them data as well."""
    kept = call.first
    chosen_by = merged(call.facts)
    rows = kept.rows or (kept.origin is not Origin.DATA and chosen_by.data)
    return replace(kept, origin=chosen_by.origin, fed_by=chosen_by.fed_by, ops=chosen_by.ops, result_of=None, rows=rows)


def of_keep_with_places(call: Call) -> tuple[Facts, ...]:
    """The largest values, in order or of a window, and where they were."""
    return replace(of_keep(call), rows=False), of_last_places(call)


def of_places(call: Call) -> Facts:
    """Indices: whole numbers below the size of what they point into."""
    source = call.args[0]
    dim = call.argument(1, "dim")
    size = source.shape[dim] if isinstance(dim, int) and source.dim() else source.numel()
    return _index_below(call, int(size))


def of_last_places(call: Call) -> Facts:
    """Of operators that look along the last axis, if they are told no other; (x, k, dim) and (x, dim)."""
    source = call.args[0]
    dims = [value for value in call.args[1:] if isinstance(value, int) and not isinstance(value, bool)]
    along = dims[-1] if dims and -source.dim() <= dims[-1] < source.dim() else None
    return _index_below(call, int(source.numel() if along is None else source.shape[along]))


def of_buckets(call: Call) -> Facts:
    """How many boundaries lie below a value."""
    boundaries = max((t for t in tensors_of(call.args)), key=lambda t: t.dim() == 1)
    return _index_below(call, int(boundaries.shape[-1] if boundaries.dim() else 1) + 1)


def _index_below(call: Call, size: int) -> Facts:
    return derived(merged(call.facts), ONE, ZERO, Fraction(max(size - 1, 0)))


def of_join(call: Call) -> Facts:
    return side_by_side(call.facts)


def of_copied(call: Call) -> Facts:
    """What is written; into whole numbers it is truncated."""
    written = call.facts[1] if len(call.facts) > 1 else call.first
    return _as_dtype(written, call.result.dtype)


def of_where(call: Call) -> Facts:
    if len(call.args) < 3:
        return of_places(call)
    values = [call.operand(1), call.operand(2)]
    return _decided(side_by_side(values), call.facts)


def of_masked_fill(call: Call) -> Facts:
    return _decided(side_by_side([call.first, call.operand(2, "value")]), call.facts)


def of_scatter(call: Call) -> Facts:
    """scatter, index_copy, index_fill and masked_scatter: (self, dim, index, values)."""
    written = call.operand(3, "value" if "value" in call.kwargs else "src")
    if call.kwargs.get("reduce") in ("add", "sum", "mean", "prod", "amax", "amin"):
        return _decided(_accumulated(call.first, written), call.facts)
    return _decided(side_by_side([call.first, written]), call.facts)


def of_masked_scatter(call: Call) -> Facts:
    return _decided(side_by_side([call.first, call.facts[-1]]), call.facts)


def of_index_put(call: Call) -> Facts:
    target, written = call.first, call.facts[-1]
    if call.argument(3, "accumulate", False):
        return _decided(_accumulated(target, written), call.facts)
    return _decided(side_by_side([target, written]), call.facts)


def of_scatter_add(call: Call) -> Facts:
    return _decided(_accumulated(call.first, call.operand(3, "src")), call.facts)


def _accumulated(target: Facts, written: Facts) -> Facts:
    """Nobody can tell how many values meet at one place."""
    total = joined([target, written])
    low = ZERO if not (target.signed or written.signed) else None
    return replace(total, low=low, high=None)


def _decided(values: Facts, by: Sequence[Facts]) -> Facts:
    """Values whose place data decided are data."""
    deciding = merged(by)
    return replace(values, origin=deciding.origin, fed_by=deciding.fed_by, ops=deciding.ops, result_of=None)


def of_pad(call: Call) -> Facts:
    return replace(side_by_side([call.first, number(fill_value(call.args, call.kwargs))]), result_of=None)


def fill_value(args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
    """What `constant_pad_nd` pads with."""
    return float(args[2] if len(args) > 2 else kwargs.get("value", 0))


# -- arithmetic --------------------------------------------------------------------------------------------------


def _alpha(call: Call) -> Fraction:
    return _number(call.argument(2, "alpha", 1)) or ONE


def of_add(call: Call) -> Facts:
    return _sum_of(call, call.first, call.operand(1, "other"), _alpha(call))


def of_sub(call: Call) -> Facts:
    return _sum_of(call, call.first, call.operand(1, "other"), -_alpha(call))


def of_rsub(call: Call) -> Facts:
    return added(call.operand(1, "other"), call.first, -ONE)


def _sum_of(call: Call, a: Facts, b: Facts, factor: Fraction) -> Facts:
    """A contraction's result plus a constant is still its result: the bias may come as an operator of its own."""
    total = added(a, b, factor)
    return total if b.data else replace(total, result_of=a.result_of)


def of_mul(call: Call) -> Facts:
    other = call.operand(1, "other")
    if not isinstance(call.argument(1, "other"), Tensor):
        return scaled(call.first, _number(call.argument(1, "other")))
    a, b = call.first, other
    total = multiplied(a, b)
    if Origin.UNKNOWN in (a.origin, b.origin) and total.params and not total.data:
        total = replace(total, origin=_of_masked_weight(call))
    return replace(total, product=True) if total.data and total.grid is None else total


def _of_masked_weight(call: Call) -> Origin:
    """An unknown factor of a parameter, no larger than it, is a mask; a larger one is what the parameter scales."""
    largest = {Origin.WEIGHT: 0, Origin.UNKNOWN: 0}
    for facts, tensor in zip(call.facts, tensors_of(call.args), strict=False):
        largest[facts.origin] = max(largest[facts.origin], tensor.numel())
    return Origin.WEIGHT if largest[Origin.UNKNOWN] <= largest[Origin.WEIGHT] else Origin.UNKNOWN


def of_div(call: Call) -> Facts:
    rounding = call.argument(2, "rounding_mode")
    divisor = _divisor(call)
    quotient = scaled(call.first, 1 / divisor) if divisor else merged(call.facts)
    quotient = _decided(quotient, call.facts) if isinstance(call.argument(1, "other"), Tensor) else quotient
    if rounding:
        return _rounded(quotient, math.floor if rounding == "floor" else math.trunc)
    return quotient


def of_floor_divide(call: Call) -> Facts:
    divisor = _divisor(call)
    quotient = scaled(call.first, 1 / divisor) if divisor else merged(call.facts)
    return _rounded(_decided(quotient, call.facts), math.floor)


def _divisor(call: Call) -> Fraction | None:
    """The one number that is divided by, if there is one."""
    by = call.operand(1, "other")
    return by.low if not by.data and by.low is not None and by.low == by.high else None


def of_remainder(call: Call) -> Facts:
    divisor, a = _divisor(call), call.first
    if not divisor:
        return merged(call.facts)
    low = ZERO if divisor > 0 and not a.signed else -abs(divisor)
    rest = replace(merged(call.facts), low=low, high=abs(divisor))
    return rest if a.grid is None else replace(joined([a, number(float(divisor))]), low=low, high=abs(divisor))


def of_neg(call: Call) -> Facts:
    return scaled(call.first, -ONE)


def of_pow(call: Call) -> Facts:
    base, exponent = call.first, _number(call.argument(1, "exponent"))
    if exponent == 1:
        return replace(base, result_of=None)
    if exponent is not None and exponent > 0 and base.grid is not None:
        if base.quantum == 1 and base.single and not base.signed:
            return replace(base, result_of=None)  # zeros and ones
        if exponent.denominator == 1 and exponent <= 4:
            return _power(base, int(exponent))
    return replace(merged(call.facts), low=ZERO if exponent == 2 else None)


def _power(base: Facts, exponent: int) -> Facts:
    result = base
    for _ in range(exponent - 1):
        result = multiplied(result, base)
    return replace(result, low=ZERO) if exponent % 2 == 0 else result


def of_square(call: Call) -> Facts:
    return of_pow(Call(call.facts, (*call.args[:1], 2), {}, call.out))


def of_lerp(call: Call) -> Facts:
    """a + w · (b − a)."""
    weight = _number(call.argument(2, "weight"))
    difference = added(call.operand(1, "end"), call.first, -ONE)
    step = scaled(difference, weight) if weight is not None else multiplied(difference, call.facts[-1])
    return added(call.first, step)


def of_addcmul(call: Call) -> Facts:
    product = multiplied(call.operand(1), call.operand(2))
    return added(call.first, product, _number(call.kwargs.get("value", 1)) or ONE)


# -- quantisers: what makes a grid of real values -------------------------------------------------------------------


def of_compare(call: Call) -> Facts:
    return derived(merged(call.facts), ONE, ZERO, ONE)


def of_bitwise(call: Call) -> Facts:
    if call.result.dtype is torch.bool:
        return of_compare(call)
    signed = any(f.signed for f in call.facts)
    return derived(merged(call.facts), ONE, None if signed else ZERO, None)


def of_sign(call: Call) -> Facts:
    low, high = call.first.low, call.first.high
    below = -ONE if low is None or low < 0 else ZERO
    above = ONE if high is None or high > 0 else ZERO
    return derived(call.first, ONE, below, above)


def of_heaviside(call: Call) -> Facts:
    at_zero = call.operand(1, "values")
    return _decided(joined([on_unit(), at_zero]), call.facts)


def on_unit() -> Facts:
    """Zeros and ones."""
    return provenance.on_grid(ONE, ZERO, ONE, Origin.WEIGHT)


def of_round(call: Call) -> Facts:
    decimals = call.argument(1, "decimals", 0)
    if not decimals:
        return _rounded(call.first, round)
    step = Fraction(1, 10**decimals) if decimals > 0 else Fraction(10**-decimals)
    return scaled(_rounded(scaled(call.first, 1 / step), round), step)


def of_floor(call: Call) -> Facts:
    return _rounded(call.first, math.floor)


def of_ceil(call: Call) -> Facts:
    return _rounded(call.first, math.ceil)


def of_trunc(call: Call) -> Facts:
    return _rounded(call.first, math.trunc)


def _rounded(a: Facts, rounding: Callable[[Fraction], int]) -> Facts:
    """Whole numbers between the rounded bounds; whole numbers stay what they are."""
    if a.quantum is not None and a.quantum.denominator == 1:
        return replace(a, result_of=None, rough=False)
    low, high = (None if bound is None else Fraction(rounding(bound)) for bound in (a.low, a.high))
    return derived(a, ONE, low, high)


def of_cast(call: Call) -> Facts:
    return _as_dtype(call.first, call.result.dtype)


def _as_dtype(a: Facts, dtype: torch.dtype) -> Facts:
    """To whole numbers a cast truncates, to flags it compares."""
    if dtype is torch.bool:
        return derived(a, ONE, ZERO, ONE)
    return a if dtype.is_floating_point or dtype.is_complex else _rounded(a, math.trunc)


def of_fake_quantised(call: Call) -> Facts:
    """(x, scale, zero point, lowest, highest level): whole multiples of the scale."""
    scale, zero = call.operand(1, "scale"), call.operand(2, "zero_point")
    lowest, highest = _number(call.args[3]), _number(call.args[4])
    if scale.low is None or scale.low != scale.high or zero.low is None or lowest is None or highest is None:
        return merged(call.facts)
    return derived(merged(call.facts), scale.low, (lowest - zero.low) * scale.low, (highest - zero.low) * scale.low)


def of_copysign(call: Call) -> Facts:
    a, high = call.first, call.first.bound
    return replace(_decided(a, call.facts), low=None if high is None else -high, high=high)


# -- bounds ----------------------------------------------------------------------------------------------------------


def of_clamp(call: Call) -> Facts:
    low = call.operand(1, "min") if call.argument(1, "min") is not None else None
    high = call.operand(2, "max") if call.argument(2, "max") is not None else None
    return _between(call, low, high)


def of_hardtanh(call: Call) -> Facts:
    return _between(
        call, constant_number(call.argument(1, "min_val", -1)), constant_number(call.argument(2, "max_val", 1))
    )


def of_clamp_min(call: Call) -> Facts:
    return _between(call, call.operand(1, "min"), None)


def of_clamp_max(call: Call) -> Facts:
    return _between(call, None, call.operand(1, "max"))


def of_relu(call: Call) -> Facts:
    return _between(call, NOTHING, None)


def _between(call: Call, low: Facts | None, high: Facts | None) -> Facts:
    """A bound that may be reached is one of the values; it holds for real values too, over what quantises later."""
    a = call.first
    values = [a]
    if low is not None and low.high is not None and (a.low is None or low.high > a.low):
        values.append(low)
    if high is not None and high.low is not None and (a.high is None or high.low < a.high):
        values.append(high)
    result = replace(_decided(joined(values), call.facts), rough=a.rough)
    if a.grid is not None and any(each is not None and each.grid is None for each in (low, high)):
        result = replace(result, grid=None)
    least, most = low.low if low else None, high.high if high else None
    lowest, highest = _largest(a.low, least), _smallest(a.high, most)
    if low is not None and low.high is not None and highest is not None:
        highest = max(highest, low.high)
    if high is not None and high.low is not None and lowest is not None:
        lowest = min(lowest, high.low)
    return provenance.verifiable(replace(result, low=lowest, high=highest))


def _largest(a: Bound, b: Bound) -> Bound:
    known = [bound for bound in (a, b) if bound is not None]
    return max(known) if known else None


def _smallest(a: Bound, b: Bound) -> Bound:
    known = [bound for bound in (a, b) if bound is not None]
    return min(known) if known else None


def of_maximum(call: Call) -> Facts:
    if len(call.facts) < 2:
        return of_keep_with_places(call)[0] if isinstance(call.out, Tensor) else of_keep_with_places(call)  # type: ignore[return-value]
    total = joined(call.facts)
    return replace(total, low=_largest(call.facts[0].low, call.facts[1].low))


def of_minimum(call: Call) -> Facts:
    if len(call.facts) < 2:
        return of_maximum(call)
    total = joined(call.facts)
    return replace(total, high=_smallest(call.facts[0].high, call.facts[1].high))


def of_threshold(call: Call) -> Facts:
    """x where it is above a threshold, else a value."""
    kept = call.first if call.first.grid is None else bounded(call.first, None, None)
    return _decided(side_by_side([kept, call.operand(2, "value")]), call.facts)


def of_hardshrink(call: Call) -> Facts:
    """x, or 0 where it is small."""
    return side_by_side([call.first, NOTHING])


def of_abs(call: Call) -> Facts:
    a = call.first
    low = a.low if a.low is not None and a.low > 0 else ZERO
    return replace(a, low=low, high=a.bound, result_of=None)


def of_within(low: Bound, high: Bound) -> Transfer:
    """A real function with these bounds."""
    return lambda call: replace(merged(call.facts), low=low, high=high)


# -- sums ------------------------------------------------------------------------------------------------------------


def of_sum(call: Call) -> Facts:
    return summed(call.first, call.reduced)


def of_mean(call: Call) -> Facts:
    count = max(call.reduced, 1)
    return scaled(summed(call.first, count), Fraction(1, count))


def of_cumsum(call: Call) -> Facts:
    dim = call.argument(1, "dim", 0)
    length = call.args[0].shape[dim] if call.args[0].dim() else 1
    total = summed(call.first, length)
    low, high = call.first.low, call.first.high
    return replace(
        total,
        low=total.low if low is not None and low < 0 else low,
        high=total.high if high is not None and high > 0 else high,
    )


def of_avg_pool(call: Call) -> Facts:
    """÷ pool area; a divisor that varies at the edge (count_include_pad off, ceil mode) leaves no common step."""
    args = call.args
    area = math.prod(args[1]) if len(args[1]) > 1 else args[1][0] ** (args[0].dim() - 2)
    padded = len(args) > 3 and any(args[3])
    uneven = (len(args) > 4 and args[4]) or (padded and len(args) > 5 and not args[5])
    divisor = args[6] if len(args) > 6 and args[6] else area
    if uneven:
        return merged(call.facts)
    total = summed(call.first, area)
    if padded:  # zeros are averaged as well
        total = replace(joined([total, NOTHING]), fed_by=total.fed_by)
    return scaled(total, Fraction(1, divisor))


def of_adaptive_avg_pool(call: Call) -> Facts:
    """Window i of o over n values reaches from ⌊i·n/o⌋ to ⌈(i+1)·n/o⌉; windows of several sizes share no step."""
    axes = call.result.dim() - (call.result.dim() - len(call.args[1]))
    area = 1
    for length, results in zip(call.args[0].shape[-axes:], call.result.shape[-axes:], strict=True):
        sizes = {-(-(i + 1) * length // results) - i * length // results for i in range(results)}
        if len(sizes) != 1:
            return merged(call.facts)
        area *= sizes.pop()
    return scaled(summed(call.first, area), Fraction(1, area))


def of_folded(call: Call) -> Facts:
    """Sums of the patches that overlap at a place, one for each position in the kernel at most."""
    return joined([summed(call.first, math.prod(call.args[2])), NOTHING])


# -- made from nothing -----------------------------------------------------------------------------------------------


def of_zeros(call: Call) -> Facts:
    return NOTHING


def of_ones(call: Call) -> Facts:
    return number(1.0)


def of_unit_constant(call: Call) -> Facts:
    return on_unit()


def of_filled(position: int, name: str) -> Transfer:
    return lambda call: replace(call.operand(position, name))


def of_arange(call: Call) -> Facts:
    numbers = [value for value in call.args if isinstance(value, int | float)]
    whole = all(float(value).is_integer() for value in numbers)
    last = Fraction(max((abs(value) for value in numbers), default=0))
    return (
        provenance.on_grid(ONE, -last if any(v < 0 for v in numbers) else ZERO, last, Origin.WEIGHT)
        if whole
        else REAL_WEIGHT
    )


def of_noise(low: Bound = None, high: Bound = None) -> Transfer:
    return lambda call: replace(merged(call.facts), origin=Origin.DATA, low=low, high=high)


def of_random_flags(call: Call) -> Facts:
    return replace(of_compare(call), origin=Origin.DATA)


def of_random_whole(call: Call) -> Facts:
    return replace(derived(merged(call.facts), ONE, ZERO, None), origin=Origin.DATA)


def of_randint(call: Call) -> Facts:
    limits = [v for v in call.args if isinstance(v, int) and not isinstance(v, bool)]
    low, high = (limits[0], limits[1]) if len(limits) > 1 else (0, limits[0] if limits else 1)
    return replace(derived(merged(call.facts), ONE, Fraction(low), Fraction(max(high - 1, low))), origin=Origin.DATA)


def of_drawn_places(call: Call) -> Facts:
    return replace(of_last_places(call), origin=Origin.DATA)


def of_dropout(call: Call) -> tuple[Facts, ...]:
    """Kept values are divided by the share that is kept."""
    share = _number(call.argument(1, "p"))
    active = call.argument(2, "train")
    if not active or share is None or share >= 1:
        return (replace(call.first, result_of=None), of_compare(call))
    kept = joined([scaled(call.first, 1 / (1 - share)), NOTHING])
    return replace(kept, origin=Origin.DATA), replace(of_compare(call), origin=Origin.DATA)


def tensors_of(values: Sequence[Any]) -> list[Tensor]:
    """The tensors among an operator's arguments or results; operators nest them in lists, and no deeper."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += [inner for inner in value if isinstance(inner, Tensor)]
    return found


def of_dtype(facts: Facts, out: Any) -> Facts:
    """Whatever makes them, whole numbers are what an integer type holds, and flags are zero or one."""
    if facts.grid is not None or not isinstance(out, Tensor) or out.is_floating_point() or out.is_complex():
        return facts
    flags = out.dtype is torch.bool
    return derived(facts, ONE, ZERO if flags else facts.low, ONE if flags else facts.high)

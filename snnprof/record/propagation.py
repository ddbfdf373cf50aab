"""Transfer functions: the facts of an operator's result, given those of its operands.

`operators` assigns one to each operator. "Made of all operands" below means that the result is data if an operand is
data, and that it is fed by what feeds any of them (`provenance.merged`).
"""

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
    """One call of an operator.

    Attributes:
        facts: facts of its tensor operands, in order.
        args: its positional arguments.
        kwargs: its keyword arguments.
        out: its result: a tensor, or several.
    """

    facts: list[Facts]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument, given by position or by name."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    def operand(self, position: int, name: str = "") -> Facts:
        """The facts of an argument, a tensor or a plain number."""
        value = self.argument(position, name)
        if isinstance(value, Tensor):
            earlier = sum(isinstance(each, Tensor) for each in self.args[:position])
            return self.facts[earlier] if position < len(self.args) else self.facts[-1]
        return constant_number(value)

    @property
    def first(self) -> Facts:
        """The facts of the first tensor operand."""
        return self.facts[0] if self.facts else REAL_WEIGHT

    @property
    def result(self) -> Tensor:
        """The result, or the first tensor of several."""
        return self.out if isinstance(self.out, Tensor) else next(t for t in self.out if isinstance(t, Tensor))

    @property
    def reduced(self) -> int:
        """Number of input elements per element of the result."""
        return int(self.args[0].numel()) // max(self.result.numel(), 1)


Transfer = Callable[[Call], Facts | tuple[Facts, ...]]
"""Facts of an operator's results: one for all of them, or one for each."""


def constant_number(value: Any) -> Facts:
    """A plain number as a constant of that value; anything else as a real weight."""
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return number(float(value))
    return REAL_WEIGHT


def _number(value: Any) -> Fraction | None:
    """The value of a finite plain number; None for anything else."""
    return rational(float(value)) if isinstance(value, bool | int | float) and math.isfinite(value) else None


# -- moving, selecting, joining ------------------------------------------------------------------------------


def of_same(call: Call) -> Facts:
    """The facts of the operand: a view, a copy or a change of shape holds the same values."""
    return call.first


def of_keep(call: Call) -> Facts:
    """Grid and bounds of the first operand, whose values are selected, moved or repeated; data if an index is data."""
    kept = call.first
    chosen_by = merged(call.facts)
    rows = kept.rows or (kept.origin is not Origin.DATA and chosen_by.data)
    return replace(kept, origin=chosen_by.origin, fed_by=chosen_by.fed_by, ops=chosen_by.ops, result_of=None, rows=rows)


def of_keep_with_places(call: Call) -> tuple[Facts, ...]:
    """For values and their indices (topk, max-pool): grid and bounds of the operand, and indices."""
    return replace(of_keep(call), rows=False), of_last_places(call)


def of_places(call: Call) -> Facts:
    """Indices along `dim`, or into the whole tensor: whole numbers from 0 to its size − 1."""
    source = call.args[0]
    dim = call.argument(1, "dim")
    size = source.shape[dim] if isinstance(dim, int) and source.dim() else source.numel()
    return _index_below(call, int(size))


def of_last_places(call: Call) -> Facts:
    """Indices of an operator that works along the last axis unless its last whole-number argument names another one.

    Such arguments are (x, k, dim) and (x, dim). The indices are whole numbers from 0 to the axis's size − 1.
    """
    source = call.args[0]
    dims = [value for value in call.args[1:] if isinstance(value, int) and not isinstance(value, bool)]
    along = dims[-1] if dims and -source.dim() <= dims[-1] < source.dim() else None
    return _index_below(call, int(source.numel() if along is None else source.shape[along]))


def of_buckets(call: Call) -> Facts:
    """The number of boundaries below a value: a whole number from 0 to the number of boundaries."""
    boundaries = max((t for t in tensors_of(call.args)), key=lambda t: t.dim() == 1)
    return _index_below(call, int(boundaries.shape[-1] if boundaries.dim() else 1) + 1)


def _index_below(call: Call, size: int) -> Facts:
    """Whole numbers from 0 to size − 1, made of all operands."""
    return derived(merged(call.facts), ONE, ZERO, Fraction(max(size - 1, 0)))


def of_join(call: Call) -> Facts:
    """The parts side by side (cat, stack): grid and bounds that the quantised parts share, made of all parts."""
    return side_by_side(call.facts)


def of_copied(call: Call) -> Facts:
    """The facts of what `copy_` writes, truncated to whole numbers if the target is an integer tensor."""
    written = call.facts[1] if len(call.facts) > 1 else call.first
    return _as_dtype(written, call.result.dtype)


def of_where(call: Call) -> Facts:
    """The values of both branches side by side, data if the condition is; of a condition alone, indices."""
    if len(call.args) < 3:
        return of_places(call)
    values = [call.operand(1), call.operand(2)]
    return _decided(side_by_side(values), call.facts)


def of_masked_fill(call: Call) -> Facts:
    """The tensor's values and the fill value side by side, data if the mask is."""
    return _decided(side_by_side([call.first, call.operand(2, "value")]), call.facts)


def of_scatter(call: Call) -> Facts:
    """The tensor's values and those written side by side, or reduced at each place, data if the index is.

    Covers the operators with the arguments (self, dim, index, values): scatter, scatter_reduce, index_reduce,
    index_copy, index_fill. A reduction is the only argument that is a text; some overloads take it by position.
    """
    written = call.operand(3, "value" if "value" in call.kwargs else "src")
    together = side_by_side([call.first, written])
    named = [argument for argument in (*call.args, call.kwargs.get("reduce")) if isinstance(argument, str)]
    match named:
        case ["add" | "sum"]:
            together = _accumulated(call.first, written)
        case ["mean"]:  # of a number of values that only the index knows
            together = merged([together])
        case ["prod" | "multiply"]:
            together = _products(together)
    return _decided(together, call.facts)


def _products(values: Facts) -> Facts:
    """Products of any number of the values: −1, 0 and 1 if the values are, of both signs if one of them is negative."""
    if values.quantum not in (0, 1) or values.bound is None or values.bound > 1:
        return merged([values])
    return replace(values, high=ONE) if values.signed else values


def of_masked_scatter(call: Call) -> Facts:
    """The tensor's values and those written side by side, data if mask or index is."""
    return _decided(side_by_side([call.first, call.facts[-1]]), call.facts)


def of_index_put(call: Call) -> Facts:
    """The tensor's values and those written side by side, or accumulated, data if an index is."""
    target, written = call.first, call.facts[-1]
    if call.argument(3, "accumulate", False):
        return _decided(_accumulated(target, written), call.facts)
    return _decided(side_by_side([target, written]), call.facts)


def of_scatter_add(call: Call) -> Facts:
    """Sums of the tensor's value and any number of those added, times `alpha`; data if the index is."""
    added_up = scaled(call.operand(3, "src"), _factor(call.kwargs.get("alpha", 1)))
    return _decided(_accumulated(call.first, added_up), call.facts)


def _accumulated(target: Facts, written: Facts) -> Facts:
    """The grid that both share; no upper bound, since any number of values may meet at one place.

    The lower bound is 0 if none of them can be negative; else there is none.
    """
    total = joined([target, written])
    low = ZERO if not (target.signed or written.signed) else None
    return replace(total, low=low, high=None)


def _decided(values: Facts, by: Sequence[Facts]) -> Facts:
    """The same grid and bounds, made of all that decides about the values: what data selects is data."""
    deciding = merged(by)
    return replace(values, origin=deciding.origin, fed_by=deciding.fed_by, ops=deciding.ops, result_of=None)


def of_pad(call: Call) -> Facts:
    """The operand's values and the padding value side by side."""
    return replace(side_by_side([call.first, number(fill_value(call.args, call.kwargs))]), result_of=None)


def fill_value(args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
    """The value that `constant_pad_nd` pads with."""
    return float(args[2] if len(args) > 2 else kwargs.get("value", 0))


# -- arithmetic --------------------------------------------------------------------------------------------------


def _alpha(call: Call) -> Fraction:
    return _factor(call.argument(2, "alpha", 1))


def _factor(value: Any) -> Fraction:
    """A number among the arguments that multiplies; 1 if it is no finite number."""
    factor = _number(value)
    return ONE if factor is None else factor


def of_add(call: Call) -> Facts:
    """a + alpha · b: the steps of both grids together, and the sum of the bounds."""
    return _sum_of(call, call.first, call.operand(1, "other"), _alpha(call))


def of_sub(call: Call) -> Facts:
    """a − alpha · b: the steps of both grids together, and the difference of the bounds."""
    return _sum_of(call, call.first, call.operand(1, "other"), -_alpha(call))


def of_rsub(call: Call) -> Facts:
    """b − alpha · a: the steps of both grids together, and the difference of the bounds."""
    return added(call.operand(1, "other"), call.first, -_alpha(call))


def _sum_of(call: Call, a: Facts, b: Facts, factor: Fraction) -> Facts:
    """a + factor · b; if b is no data, it may be a bias, and a contraction's result stays that contraction's result."""
    total = added(a, b, factor)
    return total if b.data else replace(total, result_of=a.result_of)


def of_mul(call: Call) -> Facts:
    """Products: each step of one grid times each of the other, and the bounds of the products.

    A result that is data but not quantised is marked: summed, it would be a contraction written as multiply and sum.
    """
    other = call.operand(1, "other")
    if not isinstance(call.argument(1, "other"), Tensor):
        return scaled(call.first, _number(call.argument(1, "other")))
    a, b = call.first, other
    total = multiplied(a, b)
    if Origin.UNKNOWN in (a.origin, b.origin) and total.params and not total.data:
        total = replace(total, origin=_of_masked_weight(call))
    return replace(total, product=True) if total.data and total.grid is None else total


def _of_masked_weight(call: Call) -> Origin:
    """The origin of parameter × unknown: weight if the unknown has no more elements (a pruning mask), else unknown."""
    largest = {Origin.WEIGHT: 0, Origin.UNKNOWN: 0}
    for facts, tensor in zip(call.facts, tensors_of(call.args), strict=False):
        largest[facts.origin] = max(largest[facts.origin], tensor.numel())
    return Origin.WEIGHT if largest[Origin.UNKNOWN] <= largest[Origin.WEIGHT] else Origin.UNKNOWN


def of_div(call: Call) -> Facts:
    """Grid and bounds divided by the divisor, if that is one known number; else real values without bounds.

    A rounding mode makes whole numbers between the rounded bounds. The result is made of both operands.
    """
    rounding = call.argument(2, "rounding_mode")
    divisor = _divisor(call)
    quotient = scaled(call.first, 1 / divisor) if divisor else merged(call.facts)
    quotient = _decided(quotient, call.facts) if isinstance(call.argument(1, "other"), Tensor) else quotient
    if rounding:
        return _rounded(quotient, math.floor if rounding == "floor" else math.trunc)
    return quotient


def of_floor_divide(call: Call) -> Facts:
    """Whole numbers between the rounded bounds of the quotient; unbounded unless the divisor is one known number."""
    divisor = _divisor(call)
    quotient = scaled(call.first, 1 / divisor) if divisor else merged(call.facts)
    return _rounded(_decided(quotient, call.facts), math.floor)


def _divisor(call: Call) -> Fraction | None:
    """The divisor, if it is one known number."""
    by = call.operand(1, "other")
    return by.low if not by.data and by.low is not None and by.low == by.high else None


def of_remainder(call: Call) -> Facts:
    """The remainder of a known divisor d: |value| ≤ |d|, on the grid that the operand and d share.

    It is not negative if d is positive and the operand is not negative. Of an unknown divisor: real, without bounds.
    """
    divisor, a = _divisor(call), call.first
    if not divisor:
        return merged(call.facts)
    low = ZERO if divisor > 0 and not a.signed else -abs(divisor)
    rest = replace(merged(call.facts), low=low, high=abs(divisor))
    return rest if a.grid is None else replace(joined([a, number(float(divisor))]), low=low, high=abs(divisor))


def of_neg(call: Call) -> Facts:
    """The operand's grid, with its bounds mirrored at 0."""
    return scaled(call.first, -ONE)


def of_pow(call: Call) -> Facts:
    """x^1, and powers of zeros and ones, keep the facts of x; whole powers up to 4 are products of grids and bounds.

    All others are real values; squares are at least 0.
    """
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
    """The product of `exponent` equal factors; an even power is at least 0."""
    result = base
    for _ in range(exponent - 1):
        result = multiplied(result, base)
    return replace(result, low=ZERO) if exponent % 2 == 0 else result


def of_square(call: Call) -> Facts:
    """The facts of x², as in `of_pow`."""
    return of_pow(Call(call.facts, (*call.args[:1], 2), {}, call.out))


def of_lerp(call: Call) -> Facts:
    """a + w · (b − a): the facts of that sum and product."""
    weight = _number(call.argument(2, "weight"))
    difference = added(call.operand(1, "end"), call.first, -ONE)
    step = scaled(difference, weight) if weight is not None else multiplied(difference, call.facts[-1])
    return added(call.first, step)


def of_addcmul(call: Call) -> Facts:
    """a + value · b · c: the facts of that sum and product."""
    product = multiplied(call.operand(1), call.operand(2))
    return added(call.first, product, _factor(call.kwargs.get("value", 1)))


# -- quantisers: operators that put real values on a grid -----------------------------------------------------------


def of_compare(call: Call) -> Facts:
    """0 and 1, made of all operands."""
    return derived(merged(call.facts), ONE, ZERO, ONE)


def of_bitwise(call: Call) -> Facts:
    """0 and 1 for a bool result; else whole numbers without upper bound, not negative if no operand can be."""
    if call.result.dtype is torch.bool:
        return of_compare(call)
    signed = any(f.signed for f in call.facts)
    return derived(merged(call.facts), ONE, None if signed else ZERO, None)


def of_bitwise_not(call: Call) -> Facts:
    """0 and 1 for a bool result; else m − x, where m is −1, or the largest number of an unsigned type."""
    dtype = call.result.dtype
    if dtype is torch.bool:
        return of_compare(call)
    return added(number(-1.0 if dtype.is_signed else float(torch.iinfo(dtype).max)), call.first, -ONE)


def of_sign(call: Call) -> Facts:
    """−1, 0 and 1, without the signs that the operand's bounds exclude."""
    low, high = call.first.low, call.first.high
    below = -ONE if low is None or low < 0 else ZERO
    above = ONE if high is None or high > 0 else ZERO
    return derived(call.first, ONE, below, above)


def of_heaviside(call: Call) -> Facts:
    """0, 1 and the value given for x = 0, made of both operands."""
    at_zero = call.operand(1, "values")
    return _decided(joined([on_unit(), at_zero]), call.facts)


def on_unit() -> Facts:
    """The facts of constants that are 0 or 1."""
    return provenance.on_grid(ONE, ZERO, ONE, Origin.WEIGHT)


def of_round(call: Call) -> Facts:
    """Whole numbers, or multiples of 10^−decimals, between the rounded bounds."""
    decimals = call.argument(1, "decimals", 0)
    if not decimals:
        return _rounded(call.first, round)
    step = Fraction(1, 10**decimals) if decimals > 0 else Fraction(10**-decimals)
    return scaled(_rounded(scaled(call.first, 1 / step), round), step)


def of_floor(call: Call) -> Facts:
    """Whole numbers between the bounds rounded down."""
    return _rounded(call.first, math.floor)


def of_ceil(call: Call) -> Facts:
    """Whole numbers between the bounds rounded up."""
    return _rounded(call.first, math.ceil)


def of_trunc(call: Call) -> Facts:
    """Whole numbers between the bounds rounded towards 0."""
    return _rounded(call.first, math.trunc)


def _rounded(a: Facts, rounding: Callable[[Fraction], int]) -> Facts:
    """Whole numbers between the rounded bounds; a grid of whole numbers stays as it is."""
    if a.quantum is not None and a.quantum.denominator == 1:
        return replace(a, result_of=None, rough=False)
    low, high = (None if bound is None else Fraction(rounding(bound)) for bound in (a.low, a.high))
    return derived(a, ONE, low, high)


def of_cast(call: Call) -> Facts:
    """The operand's facts as the result's dtype holds them (`_as_dtype`)."""
    return _as_dtype(call.first, call.result.dtype)


def _as_dtype(a: Facts, dtype: torch.dtype) -> Facts:
    """The same facts for a float dtype, rounded towards 0 for an integer dtype, 0 and 1 for bool."""
    if dtype is torch.bool:
        return derived(a, ONE, ZERO, ONE)
    return a if dtype.is_floating_point or dtype.is_complex else _rounded(a, math.trunc)


def of_fake_quantised(call: Call) -> Facts:
    """Multiples of the scale from (lowest − zero point) · scale to (highest − zero point) · scale, if all are known.

    The arguments are (x, scale, zero point, lowest level, highest level).
    """
    scale, zero = call.operand(1, "scale"), call.operand(2, "zero_point")
    lowest, highest = _number(call.args[3]), _number(call.args[4])
    if scale.low is None or scale.low != scale.high or zero.low is None or lowest is None or highest is None:
        return merged(call.facts)
    return derived(merged(call.facts), scale.low, (lowest - zero.low) * scale.low, (highest - zero.low) * scale.low)


def of_copysign(call: Call) -> Facts:
    """The first operand's grid, with its bound on both sides of 0, made of both operands."""
    a, high = call.first, call.first.bound
    return replace(_decided(a, call.facts), low=None if high is None else -high, high=high)


# -- bounds ----------------------------------------------------------------------------------------------------------


def of_clamp(call: Call) -> Facts:
    """The operand's grid joined with the bounds that can be reached, within those bounds."""
    low = call.operand(1, "min") if call.argument(1, "min") is not None else None
    high = call.operand(2, "max") if call.argument(2, "max") is not None else None
    return _between(call, low, high)


def of_hardtanh(call: Call) -> Facts:
    """As `of_clamp`, between min_val and max_val (−1 and 1 by default)."""
    return _between(
        call, constant_number(call.argument(1, "min_val", -1)), constant_number(call.argument(2, "max_val", 1))
    )


def of_clamp_min(call: Call) -> Facts:
    """As `of_clamp`, with a lower bound alone."""
    return _between(call, call.operand(1, "min"), None)


def of_clamp_max(call: Call) -> Facts:
    """As `of_clamp`, with an upper bound alone."""
    return _between(call, None, call.operand(1, "max"))


def of_relu(call: Call) -> Facts:
    """As `of_clamp`, with 0 as the lower bound."""
    return _between(call, NOTHING, None)


def _between(call: Call, low: Facts | None, high: Facts | None) -> Facts:
    """The operand's values, limited to low ≤ value ≤ high.

    A bound that can be reached is one of the values, so its step joins the grid. Real values keep the bounds, too: a
    later quantiser derives its number of levels from them.
    """
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
    """The larger of two bounds, or the known one."""
    known = [bound for bound in (a, b) if bound is not None]
    return max(known) if known else None


def _smallest(a: Bound, b: Bound) -> Bound:
    """The smaller of two bounds, or the known one."""
    known = [bound for bound in (a, b) if bound is not None]
    return min(known) if known else None


def of_maximum(call: Call) -> Facts:
    """The grid that both operands share, at least as large as the larger of their lower bounds.

    With one operand (a maximum over axes) the operand's grid and bounds, and indices if they are returned as well.
    """
    if len(call.facts) < 2:
        return of_keep_with_places(call)[0] if isinstance(call.out, Tensor) else of_keep_with_places(call)  # type: ignore[return-value]
    total = joined(call.facts)
    return replace(total, low=_largest(call.facts[0].low, call.facts[1].low))


def of_minimum(call: Call) -> Facts:
    """The grid that both operands share, at most as large as the smaller upper bound; `of_maximum` for one operand."""
    if len(call.facts) < 2:
        return of_maximum(call)
    total = joined(call.facts)
    return replace(total, high=_smallest(call.facts[0].high, call.facts[1].high))


def of_threshold(call: Call) -> Facts:
    """x where it exceeds a threshold, else a constant: x's grid and bounds and the constant side by side."""
    kept = call.first if call.first.grid is None else bounded(call.first, None, None)
    return _decided(side_by_side([kept, call.operand(2, "value")]), call.facts)


def of_hardshrink(call: Call) -> Facts:
    """x, or 0 where |x| is small: x's grid, with 0 within the bounds."""
    return side_by_side([call.first, NOTHING])


def of_abs(call: Call) -> Facts:
    """The operand's grid, from 0 (or its positive lower bound) to the bound on its size."""
    a = call.first
    low = a.low if a.low is not None and a.low > 0 else ZERO
    return replace(a, low=low, high=a.bound, result_of=None)


def of_within(low: Bound, high: Bound) -> Transfer:
    """The transfer of a real-valued function whose results lie within these bounds."""
    return lambda call: replace(merged(call.facts), low=low, high=high)


# -- sums ------------------------------------------------------------------------------------------------------------


def of_sum(call: Call) -> Facts:
    """Sums of n values: the operand's grid, and n times its bounds."""
    return summed(call.first, call.reduced)


def of_mean(call: Call) -> Facts:
    """Means of n values: the operand's grid divided by n, within its bounds."""
    count = max(call.reduced, 1)
    return scaled(summed(call.first, count), Fraction(1, count))


def of_cumsum(call: Call) -> Facts:
    """Sums of 1 to n values: the operand's grid, and bounds up to n times its own."""
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
    """Means over a window: the operand's grid divided by the window's area, within its bounds (and 0 if it is padded).

    A divisor that varies at the edges (count_include_pad=False, ceil_mode) leaves no common step: the result is real.
    """
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
    """Means over windows: the operand's grid divided by a window's area, if all windows are equally large; else real.

    Of n values along an axis, window i of o spans those from ⌊i·n/o⌋ to ⌈(i+1)·n/o⌉.
    """
    axes = call.result.dim() - (call.result.dim() - len(call.args[1]))
    area = 1
    for length, results in zip(call.args[0].shape[-axes:], call.result.shape[-axes:], strict=True):
        sizes = {-(-(i + 1) * length // results) - i * length // results for i in range(results)}
        if len(sizes) != 1:
            return merged(call.facts)
        area *= sizes.pop()
    return scaled(summed(call.first, area), Fraction(1, area))


def of_folded(call: Call) -> Facts:
    """Sums of overlapping patches (fold), at most one value per kernel position: the operand's grid, larger bounds."""
    return joined([summed(call.first, math.prod(call.args[2])), NOTHING])


# -- constants and random numbers -----------------------------------------------------------------------------------


def of_zeros(call: Call) -> Facts:
    """Zeros, as constants; memory that is not initialised counts as zeros, too."""
    return NOTHING


def of_ones(call: Call) -> Facts:
    """Ones, as constants."""
    return number(1.0)


def of_unit_constant(call: Call) -> Facts:
    """Constants that are 0 or 1."""
    return on_unit()


def of_constant_places(call: Call) -> Facts:
    """Constant indices: whole numbers from 0 on."""
    return provenance.on_grid(ONE, ZERO, None, Origin.WEIGHT)


def of_filled(position: int, name: str) -> Transfer:
    """The transfer of an operator that fills a tensor with the argument at `position`, or called `name`."""
    return lambda call: replace(call.operand(position, name))


def of_arange(call: Call) -> Facts:
    """Constants: whole numbers up to the size of the largest argument if all arguments are whole; else real values."""
    numbers = [value for value in call.args if isinstance(value, int | float)]
    whole = all(float(value).is_integer() for value in numbers)
    last = Fraction(max((abs(value) for value in numbers), default=0))
    return (
        provenance.on_grid(ONE, -last if any(v < 0 for v in numbers) else ZERO, last, Origin.WEIGHT)
        if whole
        else REAL_WEIGHT
    )


def of_noise(low: Bound = None, high: Bound = None) -> Transfer:
    """The transfer of an operator that draws real numbers within these bounds: they are data."""
    return lambda call: replace(merged(call.facts), origin=Origin.DATA, low=low, high=high)


def of_random_flags(call: Call) -> Facts:
    """Random zeros and ones: data."""
    return replace(of_compare(call), origin=Origin.DATA)


def of_random_whole(call: Call) -> Facts:
    """Random whole numbers from 0 on, without upper bound: data."""
    return replace(derived(merged(call.facts), ONE, ZERO, None), origin=Origin.DATA)


def of_randint(call: Call) -> Facts:
    """Random whole numbers from `low` (0 by default) to `high` − 1: data."""
    limits = [v for v in call.args if isinstance(v, int) and not isinstance(v, bool)]
    low, high = (limits[0], limits[1]) if len(limits) > 1 else (0, limits[0] if limits else 1)
    return replace(derived(merged(call.facts), ONE, Fraction(low), Fraction(max(high - 1, low))), origin=Origin.DATA)


def of_drawn_places(call: Call) -> Facts:
    """Random indices along the last axis: data."""
    return replace(of_last_places(call), origin=Origin.DATA)


def of_dropout(call: Call) -> tuple[Facts, ...]:
    """For values and mask: 0 or the operand's values divided by the share of those kept, and 0 and 1; both are data.

    In evaluation mode the values keep their facts.
    """
    share = _number(call.argument(1, "p"))
    active = call.argument(2, "train")
    if not active or share is None or share >= 1:
        return (replace(call.first, result_of=None), of_compare(call))
    kept = joined([scaled(call.first, 1 / (1 - share)), NOTHING])
    return replace(kept, origin=Origin.DATA), replace(of_compare(call), origin=Origin.DATA)


def tensors_of(values: Sequence[Any]) -> list[Tensor]:
    """The tensors among an operator's arguments or results, also in lists; operators nest them no deeper."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += [inner for inner in value if isinstance(inner, Tensor)]
    return found


def of_dtype(facts: Facts, out: Any) -> Facts:
    """Facts without a grid, but for an integer result: whole numbers, or 0 and 1 for bool, whatever the operator is."""
    if facts.grid is not None or not isinstance(out, Tensor) or out.is_floating_point() or out.is_complex():
        return facts
    flags = out.dtype is torch.bool
    return derived(facts, ONE, ZERO if flags else facts.low, ONE if flags else facts.high)

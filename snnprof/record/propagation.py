"""What each operator makes of its operands' facts; one that is not in the table keeps "data" and "fed by" alone.

Adding an operator is adding its name to a rule of the table at the end, or a rule.
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


Rule = Callable[[Call], Facts | tuple[Facts, ...]]


def constant_number(value: Any) -> Facts:
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return number(float(value))
    return REAL_WEIGHT


def _number(value: Any) -> Fraction | None:
    return rational(float(value)) if isinstance(value, bool | int | float) and math.isfinite(value) else None


# -- moved, chosen, put together ------------------------------------------------------------------------------


def _same(call: Call) -> Facts:
    return call.first


def _keep(call: Call) -> Facts:
    """Some of the values, or all of them elsewhere; what says which (indices) makes them data as well."""
    kept = call.first
    chosen_by = merged(call.facts)
    rows = kept.rows or (kept.origin is not Origin.DATA and chosen_by.data)
    return replace(kept, origin=chosen_by.origin, fed_by=chosen_by.fed_by, ops=chosen_by.ops, result_of=None, rows=rows)


def _keep_with_places(call: Call) -> tuple[Facts, ...]:
    """The largest values, in order or of a window, and where they were."""
    return replace(_keep(call), rows=False), _last_places(call)


def _places(call: Call) -> Facts:
    """Indices: whole numbers below the size of what they point into."""
    source = call.args[0]
    dim = call.argument(1, "dim")
    size = source.shape[dim] if isinstance(dim, int) and source.dim() else source.numel()
    return _index_below(call, int(size))


def _last_places(call: Call) -> Facts:
    """Of operators that look along the last axis, if they are told no other; (x, k, dim) and (x, dim)."""
    source = call.args[0]
    dims = [value for value in call.args[1:] if isinstance(value, int) and not isinstance(value, bool)]
    along = dims[-1] if dims and -source.dim() <= dims[-1] < source.dim() else None
    return _index_below(call, int(source.numel() if along is None else source.shape[along]))


def _buckets(call: Call) -> Facts:
    """How many boundaries lie below a value."""
    boundaries = max((t for t in tensors_of(call.args)), key=lambda t: t.dim() == 1)
    return _index_below(call, int(boundaries.shape[-1] if boundaries.dim() else 1) + 1)


def _index_below(call: Call, size: int) -> Facts:
    return derived(merged(call.facts), ONE, ZERO, Fraction(max(size - 1, 0)))


def _join(call: Call) -> Facts:
    return side_by_side(call.facts)


def _copied(call: Call) -> Facts:
    """What is written; into whole numbers it is truncated."""
    written = call.facts[1] if len(call.facts) > 1 else call.first
    return _as_dtype(written, call.result.dtype)


def _where(call: Call) -> Facts:
    if len(call.args) < 3:
        return _places(call)
    values = [call.operand(1), call.operand(2)]
    return _decided(side_by_side(values), call.facts)


def _masked_fill(call: Call) -> Facts:
    return _decided(side_by_side([call.first, call.operand(2, "value")]), call.facts)


def _scatter(call: Call) -> Facts:
    """scatter, index_copy, index_fill and masked_scatter: (self, dim, index, values)."""
    written = call.operand(3, "value" if "value" in call.kwargs else "src")
    if call.kwargs.get("reduce") in ("add", "sum", "mean", "prod", "amax", "amin"):
        return _decided(_accumulated(call.first, written), call.facts)
    return _decided(side_by_side([call.first, written]), call.facts)


def _masked_scatter(call: Call) -> Facts:
    return _decided(side_by_side([call.first, call.facts[-1]]), call.facts)


def _index_put(call: Call) -> Facts:
    target, written = call.first, call.facts[-1]
    if call.argument(3, "accumulate", False):
        return _decided(_accumulated(target, written), call.facts)
    return _decided(side_by_side([target, written]), call.facts)


def _scatter_add(call: Call) -> Facts:
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


def _pad(call: Call) -> Facts:
    return replace(side_by_side([call.first, number(fill_value(call.args, call.kwargs))]), result_of=None)


def fill_value(args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
    """What `constant_pad_nd` pads with."""
    return float(args[2] if len(args) > 2 else kwargs.get("value", 0))


# -- arithmetic --------------------------------------------------------------------------------------------------


def _alpha(call: Call) -> Fraction:
    return _number(call.argument(2, "alpha", 1)) or ONE


def _add(call: Call) -> Facts:
    return _sum_of(call, call.first, call.operand(1, "other"), _alpha(call))


def _sub(call: Call) -> Facts:
    return _sum_of(call, call.first, call.operand(1, "other"), -_alpha(call))


def _rsub(call: Call) -> Facts:
    return added(call.operand(1, "other"), call.first, -ONE)


def _sum_of(call: Call, a: Facts, b: Facts, factor: Fraction) -> Facts:
    """A contraction's result plus a constant is still its result: the bias may come as an operator of its own."""
    total = added(a, b, factor)
    return total if b.data else replace(total, result_of=a.result_of)


def _mul(call: Call) -> Facts:
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


def _div(call: Call) -> Facts:
    rounding = call.argument(2, "rounding_mode")
    divisor = _divisor(call)
    quotient = scaled(call.first, 1 / divisor) if divisor else merged(call.facts)
    quotient = _decided(quotient, call.facts) if isinstance(call.argument(1, "other"), Tensor) else quotient
    if rounding:
        return _rounded(quotient, math.floor if rounding == "floor" else math.trunc)
    return quotient


def _floor_divide(call: Call) -> Facts:
    divisor = _divisor(call)
    quotient = scaled(call.first, 1 / divisor) if divisor else merged(call.facts)
    return _rounded(_decided(quotient, call.facts), math.floor)


def _divisor(call: Call) -> Fraction | None:
    """The one number that is divided by, if there is one."""
    by = call.operand(1, "other")
    return by.low if not by.data and by.low is not None and by.low == by.high else None


def _remainder(call: Call) -> Facts:
    divisor, a = _divisor(call), call.first
    if not divisor:
        return merged(call.facts)
    low = ZERO if divisor > 0 and not a.signed else -abs(divisor)
    rest = replace(merged(call.facts), low=low, high=abs(divisor))
    return rest if a.grid is None else replace(joined([a, number(float(divisor))]), low=low, high=abs(divisor))


def _neg(call: Call) -> Facts:
    return scaled(call.first, -ONE)


def _pow(call: Call) -> Facts:
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


def _square(call: Call) -> Facts:
    return _pow(Call(call.facts, (*call.args[:1], 2), {}, call.out))


def _lerp(call: Call) -> Facts:
    """a + w · (b − a)."""
    weight = _number(call.argument(2, "weight"))
    difference = added(call.operand(1, "end"), call.first, -ONE)
    step = scaled(difference, weight) if weight is not None else multiplied(difference, call.facts[-1])
    return added(call.first, step)


def _addcmul(call: Call) -> Facts:
    product = multiplied(call.operand(1), call.operand(2))
    return added(call.first, product, _number(call.kwargs.get("value", 1)) or ONE)


# -- quantisers: what makes a grid of real values -------------------------------------------------------------------


def _compare(call: Call) -> Facts:
    return derived(merged(call.facts), ONE, ZERO, ONE)


def _bitwise(call: Call) -> Facts:
    if call.result.dtype is torch.bool:
        return _compare(call)
    signed = any(f.signed for f in call.facts)
    return derived(merged(call.facts), ONE, None if signed else ZERO, None)


def _sign(call: Call) -> Facts:
    low, high = call.first.low, call.first.high
    below = -ONE if low is None or low < 0 else ZERO
    above = ONE if high is None or high > 0 else ZERO
    return derived(call.first, ONE, below, above)


def _heaviside(call: Call) -> Facts:
    at_zero = call.operand(1, "values")
    return _decided(joined([on_unit(), at_zero]), call.facts)


def on_unit() -> Facts:
    """Zeros and ones."""
    return provenance.on_grid(ONE, ZERO, ONE, Origin.WEIGHT)


def _round(call: Call) -> Facts:
    decimals = call.argument(1, "decimals", 0)
    if not decimals:
        return _rounded(call.first, round)
    step = Fraction(1, 10**decimals) if decimals > 0 else Fraction(10**-decimals)
    return scaled(_rounded(scaled(call.first, 1 / step), round), step)


def _floor(call: Call) -> Facts:
    return _rounded(call.first, math.floor)


def _ceil(call: Call) -> Facts:
    return _rounded(call.first, math.ceil)


def _trunc(call: Call) -> Facts:
    return _rounded(call.first, math.trunc)


def _rounded(a: Facts, rounding: Callable[[Fraction], int]) -> Facts:
    """Whole numbers between the rounded bounds; whole numbers stay what they are."""
    if a.quantum is not None and a.quantum.denominator == 1:
        return replace(a, result_of=None, rough=False)
    low, high = (None if bound is None else Fraction(rounding(bound)) for bound in (a.low, a.high))
    return derived(a, ONE, low, high)


def _cast(call: Call) -> Facts:
    return _as_dtype(call.first, call.result.dtype)


def _as_dtype(a: Facts, dtype: torch.dtype) -> Facts:
    """To whole numbers a cast truncates, to flags it compares."""
    if dtype is torch.bool:
        return derived(a, ONE, ZERO, ONE)
    return a if dtype.is_floating_point or dtype.is_complex else _rounded(a, math.trunc)


def _fake_quantised(call: Call) -> Facts:
    """(x, scale, zero point, lowest, highest level): whole multiples of the scale."""
    scale, zero = call.operand(1, "scale"), call.operand(2, "zero_point")
    lowest, highest = _number(call.args[3]), _number(call.args[4])
    if scale.low is None or scale.low != scale.high or zero.low is None or lowest is None or highest is None:
        return merged(call.facts)
    return derived(merged(call.facts), scale.low, (lowest - zero.low) * scale.low, (highest - zero.low) * scale.low)


def _copysign(call: Call) -> Facts:
    a, high = call.first, call.first.bound
    return replace(_decided(a, call.facts), low=None if high is None else -high, high=high)


# -- bounds ----------------------------------------------------------------------------------------------------------


def _clamp(call: Call) -> Facts:
    low = call.operand(1, "min") if call.argument(1, "min") is not None else None
    high = call.operand(2, "max") if call.argument(2, "max") is not None else None
    return _between(call, low, high)


def _hardtanh(call: Call) -> Facts:
    return _between(
        call, constant_number(call.argument(1, "min_val", -1)), constant_number(call.argument(2, "max_val", 1))
    )


def _clamp_min(call: Call) -> Facts:
    return _between(call, call.operand(1, "min"), None)


def _clamp_max(call: Call) -> Facts:
    return _between(call, None, call.operand(1, "max"))


def _relu(call: Call) -> Facts:
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


def _maximum(call: Call) -> Facts:
    if len(call.facts) < 2:
        return _keep_with_places(call)[0] if isinstance(call.out, Tensor) else _keep_with_places(call)  # type: ignore[return-value]
    total = joined(call.facts)
    return replace(total, low=_largest(call.facts[0].low, call.facts[1].low))


def _minimum(call: Call) -> Facts:
    if len(call.facts) < 2:
        return _maximum(call)
    total = joined(call.facts)
    return replace(total, high=_smallest(call.facts[0].high, call.facts[1].high))


def _threshold(call: Call) -> Facts:
    """x where it is above a threshold, else a value."""
    kept = call.first if call.first.grid is None else bounded(call.first, None, None)
    return _decided(side_by_side([kept, call.operand(2, "value")]), call.facts)


def _hardshrink(call: Call) -> Facts:
    """x, or 0 where it is small."""
    return side_by_side([call.first, NOTHING])


def _abs(call: Call) -> Facts:
    a = call.first
    low = a.low if a.low is not None and a.low > 0 else ZERO
    return replace(a, low=low, high=a.bound, result_of=None)


def _within(low: Bound, high: Bound) -> Rule:
    """A real function with these bounds."""
    return lambda call: replace(merged(call.facts), low=low, high=high)


# -- sums ------------------------------------------------------------------------------------------------------------


def _sum(call: Call) -> Facts:
    return summed(call.first, call.reduced)


def _mean(call: Call) -> Facts:
    count = max(call.reduced, 1)
    return scaled(summed(call.first, count), Fraction(1, count))


def _cumsum(call: Call) -> Facts:
    dim = call.argument(1, "dim", 0)
    length = call.args[0].shape[dim] if call.args[0].dim() else 1
    total = summed(call.first, length)
    low, high = call.first.low, call.first.high
    return replace(
        total,
        low=total.low if low is not None and low < 0 else low,
        high=total.high if high is not None and high > 0 else high,
    )


def _avg_pool(call: Call) -> Facts:
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


def _adaptive_avg_pool(call: Call) -> Facts:
    """Window i of o over n values reaches from ⌊i·n/o⌋ to ⌈(i+1)·n/o⌉; windows of several sizes share no step."""
    axes = call.result.dim() - (call.result.dim() - len(call.args[1]))
    area = 1
    for length, results in zip(call.args[0].shape[-axes:], call.result.shape[-axes:], strict=True):
        sizes = {-(-(i + 1) * length // results) - i * length // results for i in range(results)}
        if len(sizes) != 1:
            return merged(call.facts)
        area *= sizes.pop()
    return scaled(summed(call.first, area), Fraction(1, area))


def _folded(call: Call) -> Facts:
    """Sums of the patches that overlap at a place, one for each position in the kernel at most."""
    return joined([summed(call.first, math.prod(call.args[2])), NOTHING])


# -- made from nothing -----------------------------------------------------------------------------------------------


def _zeros(call: Call) -> Facts:
    return NOTHING


def _ones(call: Call) -> Facts:
    return number(1.0)


def _unit_constant(call: Call) -> Facts:
    return on_unit()


def _filled(position: int, name: str) -> Rule:
    return lambda call: replace(call.operand(position, name))


def _arange(call: Call) -> Facts:
    numbers = [value for value in call.args if isinstance(value, int | float)]
    whole = all(float(value).is_integer() for value in numbers)
    last = Fraction(max((abs(value) for value in numbers), default=0))
    return (
        provenance.on_grid(ONE, -last if any(v < 0 for v in numbers) else ZERO, last, Origin.WEIGHT)
        if whole
        else REAL_WEIGHT
    )


def _noise(low: Bound = None, high: Bound = None) -> Rule:
    return lambda call: replace(merged(call.facts), origin=Origin.DATA, low=low, high=high)


def _random_flags(call: Call) -> Facts:
    return replace(_compare(call), origin=Origin.DATA)


def _random_whole(call: Call) -> Facts:
    return replace(derived(merged(call.facts), ONE, ZERO, None), origin=Origin.DATA)


def _randint(call: Call) -> Facts:
    limits = [v for v in call.args if isinstance(v, int) and not isinstance(v, bool)]
    low, high = (limits[0], limits[1]) if len(limits) > 1 else (0, limits[0] if limits else 1)
    return replace(derived(merged(call.facts), ONE, Fraction(low), Fraction(max(high - 1, low))), origin=Origin.DATA)


def _drawn_places(call: Call) -> Facts:
    return replace(_last_places(call), origin=Origin.DATA)


def _dropout(call: Call) -> tuple[Facts, ...]:
    """Kept values are divided by the share that is kept."""
    share = _number(call.argument(1, "p"))
    active = call.argument(2, "train")
    if not active or share is None or share >= 1:
        return (replace(call.first, result_of=None), _compare(call))
    kept = joined([scaled(call.first, 1 / (1 - share)), NOTHING])
    return replace(kept, origin=Origin.DATA), replace(_compare(call), origin=Origin.DATA)


def tensors_of(values: Sequence[Any]) -> list[Tensor]:
    """The tensors among an operator's arguments or results; operators nest them in lists, and no deeper."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += [inner for inner in value if isinstance(inner, Tensor)]
    return found


_RULES: dict[Rule, str] = {
    _same: "alias view _unsafe_view _reshape_alias reshape permute transpose t clone contiguous detach detach_ "
    "unsqueeze squeeze squeeze_ unsqueeze_ transpose_ t_ flatten unflatten movedim as_strided as_strided_ lift_fresh "
    "lift_fresh_copy positive expand numpy_T swapaxes mT adjoint expand_as view_as alpha_dropout feature_dropout "
    "nan_to_num nan_to_num_ real to_sparse _to_sparse to_dense _to_dense _to_sparse_csr _to_sparse_csc coalesce "
    "_coalesce set_data",
    _cast: "_to_copy to",
    _keep: "select slice narrow split split_with_sizes chunk unsafe_split unsafe_split_with_sizes unsafe_chunk "
    "unbind index index_select gather take take_along_dim embedding repeat repeat_interleave tile unfold im2col flip "
    "roll rot90 diagonal diag diag_embed tril triu tril_ triu_ amax amin sorted reflection_pad1d reflection_pad2d "
    "reflection_pad3d replication_pad1d replication_pad2d replication_pad3d upsample_nearest1d upsample_nearest2d "
    "upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d pixel_shuffle "
    "pixel_unshuffle channel_shuffle masked_select atleast_1d atleast_2d atleast_3d max_pool1d max_pool2d max_pool3d",
    _keep_with_places: "max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool1d "
    "adaptive_max_pool2d adaptive_max_pool3d sort topk kthvalue median nanmedian mode cummax cummin",
    _places: "argmax argmin nonzero",
    _last_places: "argsort",
    _buckets: "searchsorted bucketize",
    _join: "cat stack concat hstack vstack select_scatter slice_scatter",
    _maximum: "maximum fmax max",
    _minimum: "minimum fmin min",
    _where: "where",
    _masked_fill: "masked_fill masked_fill_",
    _scatter: "scatter scatter_ index_fill index_fill_ index_copy index_copy_ scatter_reduce scatter_reduce_",
    _masked_scatter: "masked_scatter masked_scatter_ put put_",
    _index_put: "index_put index_put_ _index_put_impl_ _unsafe_index_put",
    _scatter_add: "scatter_add scatter_add_ index_add index_add_ index_reduce index_reduce_",
    _copied: "copy_ copy",
    _pad: "constant_pad_nd",
    _add: "add add_",
    _sub: "sub sub_",
    _rsub: "rsub",
    _mul: "mul mul_",
    _div: "div div_",
    _floor_divide: "floor_divide floor_divide_",
    _remainder: "remainder remainder_ fmod fmod_",
    _neg: "neg neg_",
    _pow: "pow pow_",
    _square: "square square_",
    _lerp: "lerp lerp_",
    _addcmul: "addcmul addcmul_",
    _compare: "gt ge lt le eq ne gt_ ge_ lt_ le_ eq_ ne_ isnan isinf isfinite signbit any all isin logical_and "
    "logical_or logical_not logical_xor logical_and_ logical_or_ logical_not_ logical_xor_",
    _heaviside: "heaviside heaviside_",
    _bitwise: "bitwise_and bitwise_or bitwise_not bitwise_xor bitwise_and_ bitwise_or_ bitwise_not_ bitwise_xor_ "
    "__and__ __or__ __xor__ bitwise_left_shift bitwise_right_shift count_nonzero bincount histc",
    _sign: "sign sgn sign_ sgn_",
    _round: "round round_",
    _floor: "floor floor_",
    _ceil: "ceil ceil_",
    _trunc: "trunc trunc_ fix fix_",
    _fake_quantised: "fake_quantize_per_tensor_affine fake_quantize_per_tensor_affine_cachemask "
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
    _copysign: "copysign copysign_",
    _clamp: "clamp clamp_ clip clip_",
    _hardtanh: "hardtanh hardtanh_",
    _clamp_min: "clamp_min clamp_min_",
    _clamp_max: "clamp_max clamp_max_",
    _relu: "relu relu_",
    _threshold: "threshold threshold_",
    _hardshrink: "hardshrink",
    _folded: "col2im",
    _abs: "abs abs_",
    _within(ZERO, ONE): "sigmoid sigmoid_ hardsigmoid hardsigmoid_ _softmax _safe_softmax softmax",
    _within(-ONE, ONE): "tanh tanh_ sin sin_ cos cos_ erf erf_",
    _within(ZERO, None): "exp exp_ softplus sqrt sqrt_ rsqrt rsqrt_",
    _sum: "sum",
    _mean: "mean",
    _cumsum: "cumsum cumsum_",
    _avg_pool: "avg_pool1d avg_pool2d avg_pool3d",
    _adaptive_avg_pool: "_adaptive_avg_pool1d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d",
    _zeros: "zeros zeros_like new_zeros zero_ empty empty_like new_empty empty_strided new_empty_strided "
    "empty_permuted",
    _ones: "ones ones_like new_ones",
    _unit_constant: "eye tril_indices triu_indices",
    _filled(1, 'fill_value'): "full full_like",
    _filled(2, 'fill_value'): "new_full",
    _filled(1, 'value'): "fill fill_",
    _filled(0, 's'): "scalar_tensor",
    _arange: "arange",
    _noise(ZERO, ONE): "rand rand_like",
    _noise(): "randn randn_like normal normal_ uniform_ exponential_ cauchy_ log_normal_ rrelu_with_noise",
    _random_flags: "bernoulli bernoulli_",
    _random_whole: "poisson geometric_ random_ randperm binomial",
    _randint: "randint randint_like",
    _drawn_places: "multinomial",
    _dropout: "native_dropout",
}  # fmt: skip

TRANSFER: dict[str, Rule] = {name: rule for rule, names in _RULES.items() for name in names.split()}
_NEED_NO_OPERAND = frozenset(
    "zeros ones empty empty_strided empty_permuted full eye tril_indices triu_indices scalar_tensor arange rand randn "
    "randperm randint normal".split()
)
RANDOM = frozenset(
    "rand rand_like randn randn_like randint randint_like randperm normal normal_ uniform_ exponential_ cauchy_ "
    "log_normal_ rrelu_with_noise bernoulli bernoulli_ poisson geometric_ random_ binomial multinomial native_dropout "
    "empty empty_like new_empty empty_strided new_empty_strided empty_permuted".split()
)
"""Operators that make other values each time."""
CONSTANTS = frozenset("ones ones_like new_ones full full_like new_full fill fill_ scalar_tensor eye".split())
"""Operators that make constants of the numbers they are called with."""
_DECIDING = (_compare, _sign, _heaviside, _round, _floor, _ceil, _trunc, _floor_divide, _fake_quantised, _random_flags)
DECIDES = frozenset(name for name, rule in TRANSFER.items() if rule in _DECIDING)
"""Operators that turn real values into whole numbers: inside a neuron, they are what fires."""
_MAKING_SPIKES = (
    *_DECIDING, _bitwise, _div, _cast, _copied, _where, _masked_fill, _scatter, _index_put, _scatter_add, _random_whole,
    _clamp, _hardtanh, _clamp_min, _clamp_max, _relu, _minimum, _maximum, _copysign, _places, _last_places, _buckets,
    _add, _sub, _rsub,
)  # fmt: skip
QUANTISERS = frozenset(name for name, rule in TRANSFER.items() if rule in _MAKING_SPIKES)
"""Operators that can turn real values into spikes, bound whole numbers, or shift spikes by a constant."""


def propagate(
    name: str, facts: list[Facts], args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
) -> tuple[Facts, ...]:
    """The facts of an operator's results, one for each or one for all.

    Args:
        name: aten operator without namespace and overload.
        facts: facts of its tensor arguments, in order.
        args, kwargs, out: as the operator was called, and its result.
    """
    rule = TRANSFER.get(name)
    if rule is None or (not facts and name not in _NEED_NO_OPERAND):
        return (_of_dtype(merged(facts), out),)
    found = rule(Call(facts, args, kwargs, out))
    return found if isinstance(found, tuple) else (_of_dtype(found, out),)


def _of_dtype(facts: Facts, out: Any) -> Facts:
    """Whatever makes them, whole numbers are what an integer type holds, and flags are zero or one."""
    if facts.grid is not None or not isinstance(out, Tensor) or out.is_floating_point() or out.is_complex():
        return facts
    flags = out.dtype is torch.bool
    return derived(facts, ONE, ZERO if flags else facts.low, ONE if flags else facts.high)

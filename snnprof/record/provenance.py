"""Where a tensor comes from decides what it can be: data or weight, fed by whom, multiples of which quantum.

Values alone cannot tell an image from spikes, so on the first batch every tensor carries `Facts`, and each operator
passes them on. The table at the end says how; an operator that is not in it keeps "data" and "fed by" and loses the
quantum. Facts are kept by storage, so that `out[t] = spikes` and views need no special care.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

MAX_LEVELS = 1 << 24
INPUT = "input"
EMPTY: frozenset[Any] = frozenset()
ZERO = Fraction(0)
ONE = Fraction(1)


@dataclass(frozen=True)
class Facts:
    """What is known of a tensor by construction.

    Attributes:
        data: it depends on the model's input, on a neuron's output or on earlier state; otherwise it is weight.
        fed_by: neuron layers (or `input`) whose output it carries.
        quantum: all values are multiples of it; 0 for nothing but zeros; None for real values.
        levels: |value| ≤ levels · quantum.
        signed: negative values are possible.
        params: parameters it is made of.
        ops: contractions whose result reaches it without passing a neuron.
        result_of: the one contraction whose unchanged result it is.
        product: it is an element-wise product with a real operand: summed, it is a contraction in disguise.
    """

    data: bool = False
    fed_by: frozenset[str] = EMPTY
    quantum: Fraction | None = None
    levels: int = 0
    signed: bool = False
    params: frozenset[str] = EMPTY
    ops: frozenset[int] = EMPTY
    result_of: int | None = None
    product: bool = False

    @property
    def bound(self) -> Fraction:
        """|value| ≤ bound, for quantised tensors."""
        return self.levels * (self.quantum or ZERO)


UNKNOWN = Facts()
NOTHING = Facts(quantum=ZERO)


def spikes(fed_by: Iterable[str], levels: int = 1, signed: bool = False) -> Facts:
    """Facts of a neuron layer's output."""
    return Facts(data=True, fed_by=frozenset(fed_by), quantum=ONE, levels=levels, signed=signed)


def real(fed_by: Iterable[str]) -> Facts:
    return Facts(data=True, fed_by=frozenset(fed_by))


# -- algebra: small pure functions on facts -------------------------------------------------------------------


def joined(parts: Sequence[Facts], *, quantised: bool = True) -> Facts:
    """Union of what feeds the parts; quantum and levels are erased unless all parts share a grid."""
    base = Facts(
        data=any(p.data for p in parts),
        fed_by=frozenset[str]().union(*(p.fed_by for p in parts)),
        params=frozenset[str]().union(*(p.params for p in parts)),
        ops=frozenset[int]().union(*(p.ops for p in parts)),
    )
    grid = common_quantum(parts) if quantised else None
    if grid is None:
        return base
    levels = max((_levels_on(p, grid) for p in parts), default=0)
    return _checked(replace(base, quantum=grid, levels=levels, signed=any(p.signed for p in parts)))


def side_by_side(parts: Sequence[Facts]) -> Facts:
    """Parts that keep to their own elements (cat, stack, slice writes).

    Where some are quantised and some real, the quantum of the former stays: values decide step by step.
    """
    quantised = [p for p in parts if p.quantum is not None]
    if len(quantised) == len(parts) or not any(p.quantum for p in quantised):
        return joined(parts)
    base = joined(parts, quantised=False)
    grid = joined(quantised)
    return replace(base, quantum=grid.quantum, levels=grid.levels, signed=grid.signed)


def added(a: Facts, b: Facts, scale: Fraction = ONE) -> Facts:
    """a + scale · b: quanta take the greatest common divisor, bounds add."""
    b = scaled(b, scale)
    total = joined([a, b])
    if total.quantum is None or total.quantum == ZERO:
        return total
    levels = _levels_on(a, total.quantum) + _levels_on(b, total.quantum)
    return _checked(replace(total, levels=levels))


def multiplied(a: Facts, b: Facts, terms: int = 1) -> Facts:
    """Products of a and b, summed over `terms` of them."""
    base = joined([a, b], quantised=False)
    if a.quantum is None or b.quantum is None:
        return base
    return _checked(
        replace(
            base,
            quantum=a.quantum * b.quantum,
            levels=a.levels * b.levels * terms,
            signed=a.signed or b.signed,
        )
    )


def scaled(a: Facts, factor: Fraction | None) -> Facts:
    """a × factor; an unknown factor erases the quantum."""
    if factor is None:
        return joined([a], quantised=False)
    plain = replace(a, result_of=None) if factor != ONE else a
    if a.quantum is None:
        return plain
    if factor == 0:
        return replace(plain, quantum=ZERO, levels=0)
    return replace(plain, quantum=a.quantum * abs(factor), signed=a.signed or factor < 0)


def summed(a: Facts, count: int) -> Facts:
    """Sums of `count` values of a."""
    if a.quantum is None:
        return joined([a], quantised=False)
    return _checked(replace(a, levels=a.levels * max(count, 1), result_of=None, product=False))


def common_quantum(parts: Sequence[Facts]) -> Fraction | None:
    grid = ZERO
    for part in parts:
        if part.quantum is None:
            return None
        grid = _gcd(grid, part.quantum)
    return grid


def _gcd(a: Fraction, b: Fraction) -> Fraction:
    if not a or not b:
        return a or b
    return Fraction(math.gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)


def _levels_on(part: Facts, grid: Fraction) -> int:
    return int(part.bound / grid) if grid else 0


def _checked(facts: Facts) -> Facts:
    """A grid too fine to verify in floating point is no evidence: the values are real."""
    return facts if facts.levels <= MAX_LEVELS else replace(facts, quantum=None, levels=0, signed=False)


# -- the store ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TimeAxis:
    """Where the time steps lie in a storage: element at offset o belongs to step (o // stride) % size.

    A stride of 0 stands for an expanded axis, which shares its elements.
    """

    stride: int
    size: int


@dataclass(frozen=True)
class Folding:
    """Where the time steps lie in a tensor: index i along `dim` belongs to step (i // inner) % size."""

    dim: int
    inner: int
    size: int


@dataclass(frozen=True)
class Zeros:
    """Zeros that an operator padded on: (before, after) for each of the last axes of a tensor that looks so."""

    sides: tuple[tuple[int, int], ...]
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @classmethod
    def of(cls, padded: Tensor, widths: Sequence[int]) -> Zeros:
        sides = tuple((max(widths[i], 0), max(widths[i + 1], 0)) for i in range(len(widths) - 2, -1, -2))
        last = padded.dim() - len(sides)
        return cls(sides, tuple(padded.shape[last:]), padded.stride()[last:])

    def around(self, tensor: Tensor, axes: int) -> tuple[tuple[int, int], ...] | None:
        """The widths on the last `axes` axes of a tensor, if it is the padded one and no other view of it."""
        last = tensor.dim() - len(self.sides)
        if last < 0 or tuple(tensor.shape[last:]) != self.shape or tensor.stride()[last:] != self.stride:
            return None
        widths = ((0, 0),) * max(axes - len(self.sides), 0) + self.sides[-axes:]
        return widths if not any(map(any, self.sides[:-axes])) else None


class Store:
    """Facts by storage, for the tensors of the first batch; holds no tensor alive."""

    def __init__(self) -> None:
        # A weak reference pins the storage's header, so its address names it for as long as the entry lives.
        self._facts: dict[int | None, tuple[StorageWeakRef, Facts, TimeAxis | None]] = {}
        self._zeros: dict[int | None, Zeros] = {}
        self._enough = 0

    def get(self, tensor: Tensor) -> Facts | None:
        entry = self._facts.get(storage_key(tensor))
        return entry[1] if entry else None

    def time(self, tensor: Tensor) -> TimeAxis | None:
        entry = self._facts.get(storage_key(tensor))
        return entry[2] if entry else None

    def set(self, tensor: Tensor, facts: Facts, time: TimeAxis | None = None) -> None:
        if storage_key(tensor) is None:
            return
        storage = tensor.untyped_storage()
        self._facts[storage._cdata] = (StorageWeakRef(storage), facts, time)  # type: ignore[no-untyped-call]
        self._zeros.pop(storage._cdata, None)
        if len(self._facts) > self._enough:
            self.forget_dead()
            self._enough = len(self._facts) * 9 // 8 + 8

    def forget_dead(self) -> None:
        """Drops the entries of storages that are gone.

        Each pins its storage's header on the heap, right behind the memory that the next tensors should get.
        """
        dead = [key for key, (reference, *_) in self._facts.items() if reference.expired()]  # type: ignore[no-untyped-call]
        for key in dead:
            del self._facts[key]
            self._zeros.pop(key, None)

    def pad(self, padded: Tensor, zeros: Zeros) -> None:
        """Remembers, until the next write, which of a tensor's elements are padding."""
        self._zeros[storage_key(padded)] = zeros

    def padding(self, tensor: Tensor, axes: int) -> tuple[tuple[int, int], ...] | None:
        """Zeros padded on the last `axes` axes of a tensor, as (before, after); None where there are none."""
        zeros = self._zeros.get(storage_key(tensor))
        return zeros.around(tensor, axes) if zeros else None

    def of(self, tensor: Tensor) -> Facts:
        """The facts of a tensor; one never seen before is a constant, known by its value where that is cheap."""
        facts = self.get(tensor)
        if storage_key(tensor) is None:
            return real(())
        if facts is None:
            facts = constant(tensor)
            self.set(tensor, facts)
        return facts


def storage_key(tensor: Tensor) -> int | None:
    """Names a tensor's storage; None for sparse and opaque tensors, which have none."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except NotImplementedError:
        return None


def constant(tensor: Tensor) -> Facts:
    """Facts of a tensor nobody fed: a single number is its own quantum, a small whole-number mask has quantum 1."""
    if tensor.numel() == 0 or tensor.is_complex() or tensor.device.type == "meta":
        return UNKNOWN
    values = tensor.detach()
    if values.numel() == 1:
        return number(float(values.item()))
    if values.numel() > 1 << 20:
        return UNKNOWN
    values = values.double()
    largest = float(values.abs().max())
    if not largest <= 15 or not bool((values == values.round()).all()):
        return UNKNOWN
    return Facts(quantum=ONE, levels=max(1, int(largest)), signed=bool((values < 0).any()))


def number(value: float) -> Facts:
    if not math.isfinite(value):
        return UNKNOWN
    return Facts(quantum=abs(Fraction(value)), levels=1 if value else 0, signed=value < 0)


# -- the time axis: told for inputs and neurons, carried by shapes --------------------------------------------


def folding(tensor: Tensor, axis: TimeAxis | None) -> Folding | None:
    """Where a storage's time steps lie in this view of it."""
    if axis is None or axis.size <= 1:
        return None
    for dim, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        if axis.stride == 0:
            if stride == 0 and size == axis.size:
                return Folding(dim, 1, size)
        elif stride and axis.stride % stride == 0:
            inner = axis.stride // stride
            if size % (inner * axis.size) == 0:
                return Folding(dim, inner, axis.size)
    return None


def axis_of(tensor: Tensor, fold: Folding | None) -> TimeAxis | None:
    """The inverse of `folding`."""
    if fold is None or fold.dim >= tensor.dim():
        return None
    return TimeAxis(fold.inner * tensor.stride(fold.dim), fold.size)


GONE = TimeAxis(0, 1)
"""No time axis, known: a mean over time, or one step of many."""
_PIECE = 1 << 18
_REDUCTIONS = frozenset("mean sum amax amin max min any all prod std var argmax argmin logsumexp nansum norm".split())


def carried(
    name: str, output: Tensor, inputs: Sequence[tuple[Tensor, TimeAxis | None]], args: tuple[Any, ...]
) -> TimeAxis | None:
    """The output's time axis: the first input's whose folded dimension is still there, at its full size.

    `GONE` where inputs had one and none is left; None where nothing is known.
    """
    for tensor, axis in inputs:
        fold = folding(tensor, axis)
        if fold is None:
            continue
        dim = _moved(name, fold.dim, tensor, output, args)
        if dim is not None and 0 <= dim < output.dim() and output.shape[dim] == tensor.shape[fold.dim]:
            return axis_of(output, replace(fold, dim=dim))
    return GONE if any(axis for _, axis in inputs) else None


def _moved(name: str, dim: int, tensor: Tensor, output: Tensor, args: tuple[Any, ...]) -> int | None:
    """Where a dimension of an operand stands in the result; None where it was reduced away."""
    more = output.dim() - tensor.dim()
    if name == "stack":
        new = (args[1] if len(args) > 1 else 0) % output.dim()
        return dim + (dim >= new)
    if name in _REDUCTIONS and len(args) > 1 and not isinstance(args[1], Tensor):
        along = [args[1]] if isinstance(args[1], int) else list(args[1] or range(tensor.dim()))
        reduced = {axis % tensor.dim() for axis in along}
        if dim in reduced:
            return None
        return dim - sum(axis < dim for axis in reduced) if more else dim
    return dim + max(more, 0)  # broadcasting adds dimensions in front, products drop them behind


# -- the table: how each operator passes facts on --------------------------------------------------------------

Passing = Callable[[list[Facts], tuple[Any, ...], dict[str, Any], Any], Facts]


def _keep(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    return replace(facts[0], result_of=None) if facts else UNKNOWN


def _same(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    return facts[0] if facts else UNKNOWN


def _join(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    return side_by_side(facts)


def _add(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    alpha = kwargs.get("alpha", args[2] if len(args) > 2 else 1)
    return _shifted(facts, added(facts[0], _second(facts, args), _fraction(alpha) or ONE))


def _sub(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    alpha = kwargs.get("alpha", args[2] if len(args) > 2 else 1)
    return _shifted(facts, added(facts[0], _second(facts, args), -(_fraction(alpha) or ONE)))


def _shifted(facts: list[Facts], total: Facts) -> Facts:
    """A contraction's result plus a constant is still its result: the bias may come as an operator of its own."""
    constant = len(facts) < 2 or not facts[1].data
    return replace(total, result_of=facts[0].result_of) if constant else total


def _rsub(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    return added(_second(facts, args), facts[0], -ONE)


def _mul(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    if len(facts) < 2:
        return scaled(facts[0], _fraction(args[1]))
    a, b = facts
    product = multiplied(a, b)
    return replace(product, product=True) if product.data and product.quantum is None else product


def _div(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    if kwargs.get("rounding_mode"):
        return joined(facts, quantised=False)
    if len(facts) < 2:
        divisor = _fraction(args[1])
    else:
        b = facts[1]
        single = b.quantum and b.levels == 1 and not b.data
        divisor = (b.quantum or ONE) * (-1 if b.signed else 1) if single else None
    return scaled(facts[0], 1 / divisor if divisor else None)


def _compare(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    base = joined(facts, quantised=False)
    return replace(base, quantum=ONE, levels=1)


def _sign(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    return replace(joined(facts, quantised=False), quantum=ONE, levels=1, signed=True)


def _neg(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    return scaled(facts[0], -ONE)


def _unsigned(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    return replace(facts[0], signed=False, result_of=None)


def _clamp(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    """Bounds on the grid keep it; rounding before makes a multi-level neuron of it."""
    low = kwargs.get("min", args[1] if len(args) > 1 else None)
    high = kwargs.get("max", args[2] if len(args) > 2 else None)
    bounds = [_fraction(value) for value in (low, high) if value is not None]
    source = facts[0]
    if source.quantum is None or any(b is None for b in bounds):
        return joined(facts, quantised=False)
    grid = source.quantum
    for bound in bounds:
        grid = _gcd(grid, abs(bound or ZERO))
    largest = max((abs(b or ZERO) for b in bounds), default=source.bound)
    limit = min(source.bound, largest) if len(bounds) == 2 and source.levels else largest
    levels = int(limit / grid) if grid else 0
    signed = source.signed and not (low is not None and low >= 0)
    return _checked(replace(source, quantum=grid, levels=levels, signed=signed, result_of=None))


def _one_bound(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    return joined([facts[0], _second(facts, args)])


def _round(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    """Whole numbers, without a bound until a clamp gives one."""
    return replace(joined(facts, quantised=False), quantum=ONE, levels=MAX_LEVELS, signed=True)


def _mean(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    count = _reduced(args, out)
    return scaled(summed(facts[0], count), Fraction(1, max(count, 1)))


def _sum(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    return summed(facts[0], _reduced(args, out))


def _cumsum(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    dim = args[1] if len(args) > 1 else kwargs["dim"]
    return summed(facts[0], args[0].shape[dim] if args[0].dim() else 1)


def _avg_pool(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    """÷ pool area; a divisor that varies at the edge (count_include_pad off, ceil mode) leaves no common quantum."""
    area = math.prod(args[1]) if len(args[1]) > 1 else args[1][0] ** (args[0].dim() - 2)
    padded = len(args) > 3 and any(args[3])
    uneven = (len(args) > 4 and args[4]) or (padded and len(args) > 5 and not args[5])
    divisor = args[6] if len(args) > 6 and args[6] else area
    if uneven:
        return joined(facts, quantised=False)
    return scaled(summed(facts[0], area), Fraction(1, divisor))


def _adaptive_avg_pool(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    source, result = args[0], _first(out)
    ratios = [divmod(i, o) for i, o in zip(source.shape[2:], result.shape[2:], strict=True)]
    if any(rest for _, rest in ratios):
        return joined(facts, quantised=False)
    area = math.prod(whole for whole, _ in ratios)
    return scaled(summed(facts[0], area), Fraction(1, area))


def _zeros(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    return NOTHING


def _ones(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    return number(1.0)


def _full(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    value = _fraction(args[1])
    return UNKNOWN if value is None else number(float(value))


def _fill(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    if len(facts) > 1:
        return facts[1]
    value = _fraction(args[1])
    return UNKNOWN if value is None else number(float(value))


def _masked_fill(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    value = facts[2] if len(facts) > 2 else _number_or_unknown(args[2])
    kept = side_by_side([facts[0], value])
    return replace(kept, data=kept.data or facts[1].data, fed_by=kept.fed_by | facts[1].fed_by)


def _where(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    values = facts[1:] + [_number_or_unknown(a) for a in args[1:] if not isinstance(a, Tensor)]
    kept = joined(values)
    return replace(kept, data=kept.data or facts[0].data, fed_by=kept.fed_by | facts[0].fed_by)


def _write(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    """copy_ and the like: what was written stands beside what was there."""
    return side_by_side(facts)


def _copy(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    return facts[1] if len(facts) > 1 else facts[0]


def _index_put(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    return side_by_side([facts[0], facts[-1]])


def _pad(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    return replace(side_by_side([facts[0], number(float(fill_value(args, kwargs)))]), result_of=None)


def fill_value(args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
    """What `constant_pad_nd` pads with."""
    return float(args[2] if len(args) > 2 else kwargs.get("value", 0))


def _logical(facts: list[Facts], args: Any, kwargs: Any, out: Any) -> Facts:
    return _compare(facts, args, kwargs, out)


def _second(facts: list[Facts], args: Any) -> Facts:
    return facts[1] if len(facts) > 1 else _number_or_unknown(args[1])


def _number_or_unknown(value: Any) -> Facts:
    fraction = _fraction(value)
    return UNKNOWN if fraction is None else number(float(fraction))


def _fraction(value: Any) -> Fraction | None:
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return Fraction(value)
    return None


def _first(out: Any) -> Tensor:
    return out if isinstance(out, Tensor) else next(t for t in out if isinstance(t, Tensor))


def _reduced(args: Any, out: Any) -> int:
    result = _first(out)
    return int(args[0].numel()) // max(result.numel(), 1)


_RULES: dict[Passing, str] = {
    _same: "alias view _unsafe_view _reshape_alias reshape permute transpose t clone contiguous detach detach_ "
    "unsqueeze squeeze squeeze_ unsqueeze_ transpose_ t_ flatten unflatten movedim as_strided lift_fresh "
    "lift_fresh_copy _to_copy positive expand numpy_T swapaxes mT adjoint to "
    "dropout native_dropout alpha_dropout feature_dropout",
    _keep: "select slice narrow split split_with_sizes chunk unsafe_split unsafe_split_with_sizes unsafe_chunk unbind "
    "index index_select gather take take_along_dim "
    "repeat repeat_interleave tile expand_as unfold im2col flip roll rot90 diagonal tril triu tril_ triu_ "
    "max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices "
    "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d amax amin "
    "sort topk reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d "
    "replication_pad3d upsample_nearest1d upsample_nearest2d upsample_nearest3d pixel_shuffle pixel_unshuffle "
    "channel_shuffle masked_select atleast_1d atleast_2d atleast_3d hardtanh_ view_as",
    _join: "cat stack concat hstack vstack maximum minimum fmax fmin max min",
    _add: "add add_",
    _sub: "sub sub_",
    _rsub: "rsub",
    _mul: "mul mul_",
    _div: "div div_",
    _compare: "gt ge lt le eq ne gt_ ge_ lt_ le_ eq_ ne_ heaviside isnan isinf isfinite bernoulli bernoulli_",
    _logical: "logical_and logical_or logical_not logical_xor logical_and_ logical_or_ logical_not_ "
    "bitwise_and bitwise_or bitwise_not bitwise_xor any all",
    _sign: "sign sgn sign_ sgn_",
    _neg: "neg neg_",
    _unsigned: "abs abs_ relu relu_",
    _clamp: "clamp clamp_ hardtanh",
    _one_bound: "clamp_min clamp_max clamp_min_ clamp_max_",
    _round: "round round_ floor floor_ ceil ceil_ trunc trunc_",
    _mean: "mean",
    _sum: "sum",
    _cumsum: "cumsum cumsum_",
    _avg_pool: "avg_pool1d avg_pool2d avg_pool3d",
    _adaptive_avg_pool: "_adaptive_avg_pool1d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d",
    _zeros: "zeros zeros_like new_zeros zero_ empty empty_like new_empty empty_strided new_empty_strided "
    "empty_permuted",
    _ones: "ones ones_like new_ones",
    _full: "full full_like new_full",
    _fill: "fill fill_",
    _masked_fill: "masked_fill masked_fill_",
    _where: "where",
    _copy: "copy_ copy",
    _write: "select_scatter slice_scatter",
    _index_put: "index_put index_put_ index_copy index_copy_ index_add_ scatter scatter_ _index_put_impl_",
    _pad: "constant_pad_nd",
}

PASSING: dict[str, Passing] = {name: rule for rule, names in _RULES.items() for name in names.split()}


def passed_on(name: str, facts: list[Facts], args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Facts:
    """The facts of an operator's result.

    Args:
        name: aten operator without namespace and overload.
        facts: facts of its tensor arguments, in order.
        args, kwargs, out: as the operator was called, and its result.
    """
    rule = PASSING.get(name)
    if rule is None or (not facts and rule not in (_zeros, _ones, _full)):
        return joined(facts, quantised=False)
    return rule(facts, args, kwargs, out)


def decides(name: str) -> bool:
    """Whether an operator turns real values into yes or no: inside a neuron, it is what fires."""
    return PASSING.get(name) in (_compare, _sign)


def whole_numbers(values: Tensor) -> bool:
    """Whether values are nothing else."""
    return all(bool((piece == torch.round(piece)).all()) for piece in _pieces(values))


def _pieces(values: Tensor) -> Iterator[Tensor]:
    """Parts that little memory is needed to look at, beside a model that needs much itself."""
    if not values.dim() or values.numel() <= _PIECE:
        yield values
        return
    rows = _PIECE * len(values) // values.numel()
    for part in torch.split(values, rows) if rows else values:
        yield from _pieces(part)


def of_input(values: Tensor, kind: str, fed_by: str = INPUT) -> Facts:
    """Facts of a model input under `--input auto|spikes|real`.

    `auto` takes {0,1}, {−1,0,1} and whole numbers up to 15 (event counts per bin) for spikes, all else for real.
    """
    if kind == "real" or values.numel() == 0 or values.is_complex() or storage_key(values) is None:
        return real([fed_by])
    numbers = values.detach().float() if values.dtype is torch.bool else values.detach()
    low, high = (float(bound) for bound in torch.aminmax(numbers))
    largest, signed = max(-low, high), low < 0
    if not math.isfinite(largest):
        return real([fed_by])
    if kind == "spikes":
        return spikes([fed_by], levels=max(1, math.ceil(largest)), signed=signed)
    whole = largest <= (1 if signed else 15) and whole_numbers(numbers)
    return spikes([fed_by], levels=max(1, int(largest)), signed=signed) if whole else real([fed_by])

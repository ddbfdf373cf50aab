"""Where a tensor comes from decides what it can be: data or weight, fed by whom, on which grid, within which bounds.

Values alone cannot tell an image from spikes, so while learning every tensor carries `Facts`. This module has the facts
and their algebra; what each operator makes of its operands' facts stands in `propagation`.
"""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

MAX_LEVELS = 1 << 24
"""Above this many levels a grid is too fine to be verified in floating point."""
INPUT = "input"
ZERO, ONE = Fraction(0), Fraction(1)
_MOST_TERMS = 8
_SIMPLE = 1 << 12
_FLOAT32 = 2.0**-23

Term = tuple[tuple[int, ...], Fraction]
"""A step of a grid: a coefficient times the units of sources, which the whole run decides (`sources`)."""
Bound = Fraction | None


class Origin(enum.IntEnum):
    """What a tensor is made of; made of several, it is the largest.

    WEIGHT: parameters, buffers that the pass does not write, numbers, constants. UNKNOWN: plain attributes, objects,
    values that left PyTorch and came back: the partner in a contraction decides. DATA: input, spikes, state, noise.
    """

    WEIGHT = 0
    UNKNOWN = 1
    DATA = 2


@dataclass(frozen=True)
class Facts:
    """What is known of a tensor by construction.

    Attributes:
        origin: what it is made of.
        fed_by: neuron layers (or `input`) whose output it carries.
        grid: all values are sums of whole multiples of these steps; empty for nothing but zeros; None for real values.
        low, high: low ≤ value ≤ high, also for real values; None where no bound is known.
        params: parameters it is made of.
        ops: contractions whose result reaches it without passing a neuron.
        result_of: the one contraction whose unchanged result it is.
        product: it is an element-wise product with a real operand: summed, it is a contraction in disguise.
        rows: it holds rows of a weight that data selected: summed, they are a contraction.
        decided: call sites at which it, or what it is made of, was already compared or rounded: a later step reads it.
        proposed: spikes that it is a sum of with real values, which may cancel in a later sum.
        rough: its grid is left after terms that cancel, which rounding may have moved it off a little.
    """

    origin: Origin = Origin.WEIGHT
    fed_by: frozenset[str] = frozenset()
    grid: frozenset[Term] | None = None
    low: Bound = None
    high: Bound = None
    params: frozenset[str] = frozenset()
    ops: frozenset[int] = frozenset()
    result_of: int | None = None
    product: bool = False
    rows: bool = False
    rough: bool = False
    decided: frozenset[int] = frozenset()
    proposed: Facts | None = None

    @property
    def data(self) -> bool:
        return self.origin is Origin.DATA

    @functools.cached_property
    def quantum(self) -> Fraction | None:
        """All values are multiples of it; 0 for nothing but zeros; None for real values."""
        return None if self.grid is None else _gcd(coefficient for _, coefficient in self.grid)

    @property
    def bound(self) -> Bound:
        """|value| ≤ bound."""
        return None if self.low is None or self.high is None else max(abs(self.low), abs(self.high))

    @property
    def levels(self) -> int | None:
        """|value| ≤ levels · quantum; None where no bound is known, and for real values."""
        if self.quantum is None or self.bound is None:
            return None
        return int(self.bound / self.quantum) if self.quantum else 0

    @property
    def signed(self) -> bool:
        """Whether negative values are possible."""
        return self.low is None or self.low < 0

    @property
    def single(self) -> bool:
        """Whether every spike has the same size."""
        return self.levels is not None and self.levels <= 1

    @property
    def sources(self) -> frozenset[int]:
        """Sources whose units its grid depends on."""
        return frozenset(source for sources, _ in self.grid or () for source in sources)


UNKNOWN = Facts(Origin.UNKNOWN)
REAL_WEIGHT = Facts()
NOTHING = Facts(grid=frozenset(), low=ZERO, high=ZERO)


def on_grid(
    quantum: Fraction, low: Bound, high: Bound, origin: Origin = Origin.DATA, fed_by: Iterable[str] = ()
) -> Facts:
    """Facts of multiples of `quantum` between two bounds."""
    return Facts(origin, frozenset(fed_by), frozenset([((), quantum)]), low, high)


def spikes(fed_by: Iterable[str], levels: int = 1, signed: bool = False, quantum: Fraction = ONE) -> Facts:
    """Facts of a neuron layer's output."""
    high = levels * quantum
    return on_grid(quantum, -high if signed else ZERO, high, fed_by=fed_by)


def real(fed_by: Iterable[str]) -> Facts:
    return Facts(Origin.DATA, frozenset(fed_by))


def number(value: float) -> Facts:
    """Facts of one constant."""
    if not math.isfinite(value):
        return REAL_WEIGHT
    exact = rational(value)
    return Facts(grid=frozenset([((), abs(exact))]) if exact else frozenset(), low=exact, high=exact)


def rational(value: float) -> Fraction:
    """A number as the simple fraction that it stands for, 0.1 as 1/10, within the rounding of float32; else exactly."""
    exact = Fraction(value)
    simple = exact.limit_denominator(_SIMPLE)
    return simple if abs(simple - exact) <= _FLOAT32 * abs(exact) else exact


# -- algebra: small pure functions on facts -------------------------------------------------------------------


def merged(parts: Sequence[Facts]) -> Facts:
    """Real values made of all parts: the union of what feeds them, and no bounds."""
    return Facts(
        origin=max((p.origin for p in parts), default=Origin.WEIGHT),
        fed_by=frozenset[str]().union(*(p.fed_by for p in parts)),
        params=frozenset[str]().union(*(p.params for p in parts)),
        ops=frozenset[int]().union(*(p.ops for p in parts)),
        rough=any(p.rough for p in parts),
        decided=frozenset[int]().union(*(p.decided for p in parts)),
    )


def joined(parts: Sequence[Facts]) -> Facts:
    """Values of any of the parts: real where one of them is, else on the grid that all share."""
    total = replace(merged(parts), low=_lowest(parts), high=_highest(parts))
    if any(p.grid is None for p in parts):
        return total
    return verifiable(replace(total, grid=_union(parts)))


def side_by_side(parts: Sequence[Facts]) -> Facts:
    """Parts that keep to their own elements (cat, stack, slice writes).

    Where some are quantised and some real, the grid of the former stays: values decide step by step.
    """
    quantised = [p for p in parts if p.grid is not None]
    if len(quantised) == len(parts) or not any(p.grid for p in quantised):
        return joined(parts)
    grid = joined(quantised)
    return replace(merged(parts), grid=grid.grid, low=grid.low, high=grid.high)


def added(a: Facts, b: Facts, scale: Fraction = ONE) -> Facts:
    """a + scale · b: the grids' steps unite, the bounds add."""
    b = scaled(b, scale)
    total = replace(joined([a, b]), low=_plus(a.low, b.low), high=_plus(a.high, b.high))
    return verifiable(total)


def multiplied(a: Facts, b: Facts, terms: int = 1) -> Facts:
    """Products of a and b, summed over `terms` of them."""
    low, high = _product_bounds(a, b)
    total = replace(merged([a, b]), low=_times(low, terms), high=_times(high, terms))
    if a.grid is None or b.grid is None:
        return total
    grid = frozenset((tuple(sorted(s + t)), p * q) for s, p in a.grid for t, q in b.grid)
    return verifiable(replace(total, grid=_limited(grid)))


def scaled(a: Facts, factor: Fraction | None) -> Facts:
    """a × factor; an unknown factor erases grid and bounds."""
    if factor is None:
        return merged([a])
    if factor == 0:
        return replace(a, grid=frozenset(), low=ZERO, high=ZERO, result_of=None)
    low, high = _times(a.low, factor), _times(a.high, factor)
    if factor < 0:
        low, high = high, low
    grid = None if a.grid is None else frozenset((sources, step * abs(factor)) for sources, step in a.grid)
    result_of = a.result_of if factor == ONE else None
    return replace(a, grid=grid, low=low, high=high, result_of=result_of)


def summed(a: Facts, count: int) -> Facts:
    """Sums of up to `count` values of a, at least one."""
    count = max(count, 1)
    low, high = (_times(bound, count) for bound in (a.low, a.high))
    total = replace(a, low=low, high=high, result_of=None, product=False, rows=False)
    return verifiable(total)


def bounded(a: Facts, low: Bound, high: Bound) -> Facts:
    """The same values, known to lie within these bounds as well."""
    narrow_low = low if a.low is None else a.low if low is None else max(a.low, low)
    narrow_high = high if a.high is None else a.high if high is None else min(a.high, high)
    return replace(a, low=narrow_low, high=narrow_high)


def derived(a: Facts, grid: Fraction | None, low: Bound, high: Bound) -> Facts:
    """What is computed from a and lies on another grid within other bounds."""
    steps = None if grid is None else frozenset([((), grid)]) if grid else frozenset[Term]()
    return replace(merged([a]), grid=steps, low=low, high=high, rough=False)


def from_source(a: Facts, source: int) -> Facts:
    """The same values, counted in the unit that a source will have shown at the end of the run."""
    assert a.quantum is not None
    return replace(a, grid=frozenset([((source,), a.quantum)]) if a.quantum else a.grid)


def unit(a: Facts, units: Sequence[int]) -> int:
    """How many quanta make one level, by the units that the sources have shown; 1 for real values and for zeros."""
    if not a.grid or not a.quantum:
        return 1
    common = _gcd(step * math.prod(units[source] for source in sources) for sources, step in a.grid)
    return int(common / a.quantum)


# -- small helpers on bounds and steps ---------------------------------------------------------------------------


def _gcd(steps: Iterable[Fraction]) -> Fraction:
    total = ZERO
    for step in steps:
        if total and step:
            numerator = math.gcd(total.numerator * step.denominator, step.numerator * total.denominator)
            total = Fraction(numerator, total.denominator * step.denominator)
        else:
            total = total or step
    return total


def _union(parts: Sequence[Facts]) -> frozenset[Term]:
    return _limited(frozenset[Term]().union(*(p.grid or () for p in parts)))


def _limited(grid: frozenset[Term]) -> frozenset[Term]:
    """Few enough steps to work with; too many are one step whose unit is one."""
    return grid if len(grid) <= _MOST_TERMS else frozenset([((), _gcd(step for _, step in grid))])


def verifiable(facts: Facts) -> Facts:
    """A grid too fine to verify in floating point is no evidence: the values are real."""
    if not facts.grid or not facts.quantum:
        return facts
    largest = facts.bound if facts.bound is not None else max(step for _, step in facts.grid)
    return facts if largest <= MAX_LEVELS * facts.quantum else replace(facts, grid=None)


def _plus(a: Bound, b: Bound) -> Bound:
    return None if a is None or b is None else a + b


def _times(a: Bound, factor: Fraction | int) -> Bound:
    return None if a is None else a * factor


def _lowest(parts: Sequence[Facts]) -> Bound:
    lows = [p.low for p in parts if p.low is not None]
    return min(lows) if lows and len(lows) == len(parts) else None


def _highest(parts: Sequence[Facts]) -> Bound:
    highs = [p.high for p in parts if p.high is not None]
    return max(highs) if highs and len(highs) == len(parts) else None


def _product_bounds(a: Facts, b: Facts) -> tuple[Bound, Bound]:
    known = [bound for bound in (a.low, a.high, b.low, b.high) if bound is not None]
    if len(known) == 4:
        corners = [x * y for x in (known[0], known[1]) for y in (known[2], known[3])]
        return min(corners), max(corners)
    return (None, None) if a.signed or b.signed else (ZERO, None)

"""Provenance: the facts that every tensor carries while the recorder learns, and their algebra.

A tensor is data or weight, is fed by neuron layers or the input, and its values lie on a grid and within bounds. Values
alone cannot tell an image from spikes; where they come from can. `propagation` has the facts of each operator's result.
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
"""Name of the model's input among the feeders of a tensor."""
ZERO, ONE = Fraction(0), Fraction(1)
_MOST_TERMS = 8
"""The most steps that a grid keeps apart."""
_SIMPLE = 1 << 12
"""The largest denominator of a number that a float is taken to stand for."""
_FLOAT32 = 2.0**-23
"""The relative rounding error of float32."""

Term = tuple[tuple[int, ...], Fraction]
"""A step of a grid: the numbers of sources, and a coefficient. The step is the coefficient times the units of these
sources, which are known at the end of the run (`unit`)."""
Bound = Fraction | None
"""A bound on values; None: unknown."""


class Origin(enum.IntEnum):
    """What a tensor is made of; if it is made of several, the largest of them.

    WEIGHT: parameters, buffers that the pass does not write, numbers, constants. UNKNOWN: plain attributes, objects,
    values that left PyTorch and came back; the partner in a contraction decides about them. DATA: input, spikes, state,
    random numbers.
    """

    WEIGHT = 0
    UNKNOWN = 1
    DATA = 2


@dataclass(frozen=True)
class Facts:
    """What is known of a tensor by the way it was made.

    Attributes:
        origin: what it is made of.
        fed_by: neuron layers (or `input`) whose output it carries.
        grid: all values are sums of whole multiples of these steps. Empty: all values are zero; None: real values.
        low: lower bound of the values, also of real ones; None: unknown.
        high: upper bound, likewise.
        params: names of the parameters that it is made of.
        ops: contractions whose result reaches it without passing a neuron.
        result_of: the contraction whose result it is, unchanged but for a bias; None: of none.
        product: whether it is an element-wise product with a real operand. If it is summed, multiply and sum are a
            contraction that the code does not write as one.
        rows: whether it holds rows of a weight that data selected. If they are summed, that is a contraction.
        rough: whether its grid remains after other terms cancelled; rounding may have moved values slightly off it.
        decided: call sites that already compared or rounded it, or what it is made of. If such a site reads it again,
            it is state.
        proposed: facts of the spikes in a sum of spikes and real values; the latter may cancel in a later sum.
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
        """Whether it depends on the input, on state or on random numbers."""
        return self.origin is Origin.DATA

    @functools.cached_property
    def quantum(self) -> Fraction | None:
        """The largest step that all values are multiples of; 0 if all values are zero, None for real values."""
        return None if self.grid is None else _gcd(coefficient for _, coefficient in self.grid)

    @property
    def bound(self) -> Bound:
        """The bound on |value|; None: unknown."""
        return None if self.low is None or self.high is None else max(abs(self.low), abs(self.high))

    @property
    def levels(self) -> int | None:
        """The largest |value| / quantum; None if no bound is known, and for real values."""
        if self.quantum is None or self.bound is None:
            return None
        return int(self.bound / self.quantum) if self.quantum else 0

    @property
    def signed(self) -> bool:
        """Whether negative values are possible."""
        return self.low is None or self.low < 0

    @property
    def single(self) -> bool:
        """Whether at most one level is possible, so that all spikes have the same size."""
        return self.levels is not None and self.levels <= 1

    @property
    def sources(self) -> frozenset[int]:
        """The sources of multi-level spikes whose units the grid depends on."""
        return frozenset(source for sources, _ in self.grid or () for source in sources)


UNKNOWN = Facts(Origin.UNKNOWN)
"""Real values of unknown origin."""
REAL_WEIGHT = Facts()
"""Real weights."""
NOTHING = Facts(grid=frozenset(), low=ZERO, high=ZERO)
"""Constant zeros."""


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
    """Facts of real-valued data."""
    return Facts(Origin.DATA, frozenset(fed_by))


def number(value: float) -> Facts:
    """Facts of one constant."""
    if not math.isfinite(value):
        return REAL_WEIGHT
    exact = rational(value)
    return Facts(grid=frozenset([((), abs(exact))]) if exact else frozenset(), low=exact, high=exact)


def rational(value: float) -> Fraction:
    """The simple fraction that a float stands for (0.1 is 1/10), if within float32 rounding; else its exact value."""
    exact = Fraction(value)
    simple = exact.limit_denominator(_SIMPLE)
    return simple if abs(simple - exact) <= _FLOAT32 * abs(exact) else exact


# -- algebra: small pure functions on facts -------------------------------------------------------------------


def merged(parts: Sequence[Facts]) -> Facts:
    """Real values without bounds, made of all parts."""
    return Facts(
        origin=max((p.origin for p in parts), default=Origin.WEIGHT),
        fed_by=frozenset[str]().union(*(p.fed_by for p in parts)),
        params=frozenset[str]().union(*(p.params for p in parts)),
        ops=frozenset[int]().union(*(p.ops for p in parts)),
        rough=any(p.rough for p in parts),
        decided=frozenset[int]().union(*(p.decided for p in parts)),
    )


def joined(parts: Sequence[Facts]) -> Facts:
    """Values of any of the parts: within the bounds of all, and on the grid that all share; real if a part is real."""
    total = replace(merged(parts), low=_lowest(parts), high=_highest(parts))
    if any(p.grid is None for p in parts):
        return total
    return verifiable(replace(total, grid=_union(parts)))


def side_by_side(parts: Sequence[Facts]) -> Facts:
    """Parts that keep their own elements (cat, stack, slice writes).

    If some are quantised and some real, the result keeps grid and bounds of the former: at each time step the values
    decide whether they are spikes.
    """
    quantised = [p for p in parts if p.grid is not None]
    if len(quantised) == len(parts) or not any(p.grid for p in quantised):
        return joined(parts)
    grid = joined(quantised)
    return replace(merged(parts), grid=grid.grid, low=grid.low, high=grid.high)


def added(a: Facts, b: Facts, scale: Fraction = ONE) -> Facts:
    """a + scale · b: the steps of both grids together, and the sum of the bounds."""
    b = scaled(b, scale)
    total = replace(joined([a, b]), low=_plus(a.low, b.low), high=_plus(a.high, b.high))
    return verifiable(total)


def multiplied(a: Facts, b: Facts, terms: int = 1) -> Facts:
    """Sums of `terms` products of a and b: each step of one grid times each of the other."""
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
    """The same values, limited to these bounds as well."""
    narrow_low = low if a.low is None else a.low if low is None else max(a.low, low)
    narrow_high = high if a.high is None else a.high if high is None else min(a.high, high)
    return replace(a, low=narrow_low, high=narrow_high)


def derived(a: Facts, grid: Fraction | None, low: Bound, high: Bound) -> Facts:
    """Values computed from a, with another grid (None: real) and other bounds."""
    steps = None if grid is None else frozenset([((), grid)]) if grid else frozenset[Term]()
    return replace(merged([a]), grid=steps, low=low, high=high, rough=False)


def from_source(a: Facts, source: int) -> Facts:
    """The same values as multi-level spikes of a source, whose unit is known at the end of the run."""
    assert a.quantum is not None
    return replace(a, grid=frozenset([((source,), a.quantum)]) if a.quantum else a.grid)


def unit(a: Facts, units: Sequence[int]) -> int:
    """How many quanta make one level, given the unit of each source; 1 for real values and for zeros."""
    if not a.grid or not a.quantum:
        return 1
    common = _gcd(step * math.prod(units[source] for source in sources) for sources, step in a.grid)
    return int(common / a.quantum)


# -- small helpers on bounds and steps ---------------------------------------------------------------------------


def _gcd(steps: Iterable[Fraction]) -> Fraction:
    """The greatest common divisor of fractions; 0 if there are none but zeros."""
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
    """The same grid; more than `_MOST_TERMS` steps become their greatest common divisor, without sources."""
    return grid if len(grid) <= _MOST_TERMS else frozenset([((), _gcd(step for _, step in grid))])


def verifiable(facts: Facts) -> Facts:
    """The same facts, but real values if the grid is too fine to be verified in floating point."""
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
    """Bounds of a · b; if some are unknown, 0 as the lower one if neither can be negative."""
    known = [bound for bound in (a.low, a.high, b.low, b.high) if bound is not None]
    if len(known) == 4:
        corners = [x * y for x in (known[0], known[1]) for y in (known[2], known[3])]
        return min(corners), max(corners)
    return (None, None) if a.signed or b.signed else (ZERO, None)

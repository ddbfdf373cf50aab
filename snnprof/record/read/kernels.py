"""The Triton kernels: `read` reads one operand, `multiply` multiplies the counts of two.

*Places* are the elements along the dimensions in which counts stay apart or the number of outputs reached differs; the
*rest* are the dimensions that are summed over. A program takes a block of places and a part of the rest. Its counts
stay in registers, [places, lanes], and reach memory by one atomic addition per figure and place. All that a kernel has
to know about an operand is in one small tensor (`facts`), so that one compiled kernel serves all shapes.

The compiler does not know the numbers in that tensor, and it loads several neighbours at once only if it knows that
they are neighbours and that they start at a multiple of VECTOR. `near` tells it: the values of a block are neighbours
along its places, or along the rest, and every other distance and size is a multiple of VECTOR.
"""

from __future__ import annotations

import triton
import triton.language as tl

PLACES, REST, PLACE_DIMS, REST_DIMS, TILES, STEP_VALUE, STEP_PLACE, QUANTUM, UNIT, REACH, BINS = range(11)
"""Positions in `facts`: numbers of places and of the rest, of their dimensions, and of tiles per program; distances of
two time steps in the values and in the counts; quantum and its inverse (or the quantum, if its inverse is not exact) as
bits of float64; outputs reached; histogram bins."""
HEAD = 11
"""Numbers before the dimensions. Those follow, innermost first, as (size, distance of values, distance of places)."""
_TILES = tl.constexpr(TILES)
_QUANTUM, _UNIT, _REACH, _BINS, _HEAD = (
    tl.constexpr(QUANTUM),
    tl.constexpr(UNIT),
    tl.constexpr(REACH),
    tl.constexpr(BINS),
    tl.constexpr(HEAD),
)
_STEP_VALUE, _STEP_PLACE = tl.constexpr(STEP_VALUE), tl.constexpr(STEP_PLACE)
_PLACE_DIMS, _REST_DIMS = tl.constexpr(PLACE_DIMS), tl.constexpr(REST_DIMS)
_LARGEST = tl.constexpr(2147483520.0)
SCATTERED, PLACES_NEAR, REST_NEAR = range(3)
"""Which values of a block are neighbours in memory: none, those along the places, those along the rest."""
VECTOR = 4
"""Values that are loaded at once."""
_SCATTERED, _PLACES_NEAR, _REST_NEAR = tl.constexpr(SCATTERED), tl.constexpr(PLACES_NEAR), tl.constexpr(REST_NEAR)
_VECTOR = tl.constexpr(VECTOR)


@triton.jit
def _fact(facts, which, aligned: tl.constexpr):
    """A size or a distance; if `aligned`, the compiler may take it for a multiple of VECTOR."""
    number = tl.load(facts + which)
    if aligned:
        number = tl.multiple_of(number, _VECTOR)
    return number


@triton.jit
def _offsets(index, dims, count, side_by_side: tl.constexpr, aligned: tl.constexpr):
    """The distance of element number `index` from the first one, in values and in places.

    `side_by_side`: there is one dimension, whose values are neighbours.
    """
    place = index.to(tl.int64) * 0
    value = index.to(tl.int64)
    if side_by_side:
        place += value * tl.load(dims + 2)
    else:
        value *= 0
        for d in range(count - 1):
            size = tl.load(dims + 3 * d).to(tl.int32)
            here = (index % size).to(tl.int64)
            index = index // size
            value += here * _fact(dims, 3 * d + 1, aligned)
            place += here * tl.load(dims + 3 * d + 2)
        if count > 0:
            value += index.to(tl.int64) * _fact(dims, 3 * count - 2, aligned)
            place += index.to(tl.int64) * tl.load(dims + 3 * count - 1)
    return value, place


@triton.jit
def _figure(row, which: tl.constexpr, number):
    """Adds a number to a figure of the row."""
    tl.atomic_add(row + which, number.to(tl.int64), sem="relaxed")


@triton.jit
def _count(
    values, row, facts, table, nonzero, levels, step, block, first,
    wide: tl.constexpr, full: tl.constexpr, checked: tl.constexpr, divided: tl.constexpr, tabled: tl.constexpr,
    kept: tl.constexpr, bins: tl.constexpr, size: tl.constexpr, lanes: tl.constexpr, near: tl.constexpr,
):  # fmt: skip
    """Counts a block of places over a part of the rest.

    A count that is `checked` but not `full` expects zeros and the quantum alone; if it finds another value, it writes
    nothing and returns 1.
    """
    aligned: tl.constexpr = near != _SCATTERED
    places = _fact(facts, 0, near == _PLACES_NEAR).to(tl.int32)
    rest = _fact(facts, 1, near == _REST_NEAR).to(tl.int32)
    place_dims, tiles = tl.load(facts + _PLACE_DIMS).to(tl.int32), tl.load(facts + _TILES).to(tl.int32)
    rest_dims = tl.load(facts + _REST_DIMS).to(tl.int32)
    quantum = tl.load(facts + _QUANTUM).to(tl.float64, bitcast=True).to(wide)
    unit = tl.load(facts + _UNIT).to(tl.float64, bitcast=True).to(wide)
    index = block * size + tl.arange(0, size)
    at, place = _offsets(index, facts + _HEAD, place_dims, near == _PLACES_NEAR, aligned)
    at += step.to(tl.int64) * _fact(facts, _STEP_VALUE, aligned)
    inside = index < places
    fired = tl.zeros([size, lanes], tl.int32)
    odd = tl.zeros([size, lanes], tl.int32)
    negative = tl.zeros([size, lanes], tl.int32)
    total = tl.zeros([size, lanes], tl.int64)
    worst = tl.zeros([size, lanes], wide)
    binned = tl.zeros([bins], tl.int32)
    for tile in range(tiles):
        summed = (first * tiles + tile) * lanes + tl.arange(0, lanes)
        there, _ = _offsets(summed, facts + _HEAD + 3 * place_dims, rest_dims, near == _REST_NEAR, aligned)
        mask = inside[:, None] & (summed < rest)[None, :]
        value = tl.load(values + (at[:, None] + there[None, :]), mask=mask, other=0).to(wide)
        fired += (value != 0).to(tl.int32)
        if checked and not full:
            odd |= ((value != 0) & (value != quantum)).to(tl.int32)
        if full:
            whole: tl.constexpr = 8388608.0 if wide == tl.float32 else 4503599627370496.0
            scaled = tl.abs(value)
            if not divided:
                scaled = scaled * unit
            elif wide == tl.float32:
                scaled = tl.math.div_rn(scaled, tl.zeros_like(scaled) + unit)
            else:
                scaled = scaled / unit
            nearest = tl.where(scaled < whole, (scaled + whole) - whole, scaled)
            off = tl.abs(nearest - scaled)
            number = off < float("inf")
            level = tl.where(number, tl.minimum(nearest, _LARGEST), 0.0).to(tl.int32)
            worst = tl.maximum(worst, tl.where(number, off, float("inf")))
            negative += ((value < 0) & (level > 0)).to(tl.int32)
            total += level.to(tl.int64)
            if bins > 1:
                last = tl.load(facts + _BINS).to(tl.int32)
                binned += tl.histogram(
                    tl.reshape(tl.where(mask, tl.minimum(level, last - 1), last), [size * lanes]), bins
                )
    strange = tl.max(tl.max(odd, 1), 0)
    if strange == 0:
        by_place = tl.sum(fired, 1)
        of_place = tl.sum(total, 1) if full else by_place.to(tl.int64)
        reach = tl.zeros([size], tl.int64) + tl.load(facts + _REACH)
        if tabled:
            reach = tl.load(table + place, mask=inside, other=0).to(tl.int64)
        _figure(row, 0, tl.sum(by_place, 0))
        _figure(row, 2, tl.sum(by_place.to(tl.int64) * reach, 0))
        if checked:
            _figure(row, 1, tl.sum(of_place, 0))
            _figure(row, 3, tl.sum(of_place * reach, 0))
        if full:
            farthest = tl.max(tl.max(worst, 1), 0).to(tl.float64)
            _figure(row, 4, tl.sum(tl.sum(negative, 1), 0))
            tl.atomic_max(row + 5, farthest.to(tl.int64, bitcast=True), sem="relaxed")
            if bins > 1:
                bin_ = tl.arange(0, bins)
                tl.atomic_add(row + 6 + bin_, binned.to(tl.int64), mask=bin_ < tl.load(facts + _BINS), sem="relaxed")
        if kept > 0:
            place += step.to(tl.int64) * tl.load(facts + _STEP_PLACE)
            tl.atomic_add(nonzero + place, by_place, mask=inside & (by_place > 0), sem="relaxed")
            if kept > 1:
                tl.atomic_add(levels + place, of_place, mask=inside & (of_place > 0), sem="relaxed")
    return strange


@triton.jit
def read(
    values, row, facts, table, nonzero, levels,
    double: tl.constexpr, quantised: tl.constexpr, single: tl.constexpr, divided: tl.constexpr, tabled: tl.constexpr,
    kept: tl.constexpr, bins: tl.constexpr, size: tl.constexpr, lanes: tl.constexpr, near: tl.constexpr,
):  # fmt: skip
    """Reads an operand; one program per (block of places and part of the rest, time step).

    Args:
        values: the operand.
        row: the row that receives the figures and the histogram.
        facts: the numbers about the operand, above.
        table: outputs reached by place, if `tabled`.
        nonzero: counts of non-zeros by place, if `kept`.
        levels: counts of levels by place, if `kept` is 2.
        double: whether to compute in float64.
        quantised: whether levels are counted.
        single: whether no level above 1 is expected; then it first counts whether values are zero or not.
        divided: whether to divide by the quantum, because multiplying by its inverse would round differently.
        tabled: whether the outputs reached depend on the place.
        kept: 0, 1 (non-zeros are kept by place) or 2 (levels, too).
        bins: a power of two above the number of histogram bins; 1 for none.
        size: places of a program.
        lanes: values per place that a program reads at once.
        near: which values are neighbours in memory.
    """
    wide: tl.constexpr = tl.float64 if double else tl.float32
    count = tl.cdiv(tl.load(facts).to(tl.int32), size)
    block, first, step = tl.program_id(0) % count, tl.program_id(0) // count, tl.program_id(1)
    row += step.to(tl.int64) * (6 + tl.load(facts + _BINS))
    if quantised and not single:
        _count(values, row, facts, table, nonzero, levels, step, block, first,
               wide, True, True, divided, tabled, kept, bins, size, lanes, near)  # fmt: skip
    else:
        strange = _count(values, row, facts, table, nonzero, levels, step, block, first,
                         wide, False, quantised, divided, tabled, kept, 1, size, lanes, near)  # fmt: skip
        if quantised:  # noqa: SIM102  (the compiler decides this one)
            if strange != 0:
                _count(values, row, facts, table, nonzero, levels, step, block, first,
                       wide, True, True, divided, tabled, kept, 1, size, lanes, near)  # fmt: skip


@triton.jit
def multiply(left, left_levels, right, right_levels, row, facts, lanes: tl.constexpr):
    """Sums the products of two operands' counts, non-zeros and levels; one program per (part, time step).

    In `facts`, the distances of values are those of the left operand, and the distances of places those of the right.
    """
    rest, dims = tl.load(facts + 1).to(tl.int32), tl.load(facts + _REST_DIMS).to(tl.int32)
    tiles, step = tl.load(facts + _TILES).to(tl.int32), tl.program_id(1)
    a = step.to(tl.int64) * tl.load(facts + _STEP_VALUE)
    b = step.to(tl.int64) * tl.load(facts + _STEP_PLACE)
    nn = tl.zeros([lanes], tl.int64)
    nl = tl.zeros([lanes], tl.int64)
    ln = tl.zeros([lanes], tl.int64)
    ll = tl.zeros([lanes], tl.int64)
    for tile in range(tiles):
        index = (tl.program_id(0) * tiles + tile) * lanes + tl.arange(0, lanes)
        at, place = _offsets(index, facts + _HEAD, dims, False, False)
        mask = index < rest
        one = tl.load(left + a + at, mask=mask, other=0).to(tl.int64)
        other = tl.load(right + b + place, mask=mask, other=0).to(tl.int64)
        of_one = tl.load(left_levels + a + at, mask=mask, other=0).to(tl.int64)
        of_other = tl.load(right_levels + b + place, mask=mask, other=0).to(tl.int64)
        nn += one * other
        nl += one * of_other
        ln += of_one * other
        ll += of_one * of_other
    row += 4 * step
    _figure(row, 0, tl.sum(nn, 0))
    _figure(row, 1, tl.sum(nl, 0))
    _figure(row, 2, tl.sum(ln, 0))
    _figure(row, 3, tl.sum(ll, 0))

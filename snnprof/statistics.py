"""From blocks of samples to a mean with an interval, and to the paired difference of two models.

A figure of a run is a ratio: something summed over the blocks / samples in them. Blocks weigh by their samples
(ratio estimator); figures that are no plain sum are jackknifed over blocks. Intervals use Student's t and are left out
below `MIN_BLOCKS`, where they would be guesses. The figure itself is exact for the samples that ran: the interval says
what other samples would have given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from snnprof.activity import Activity, Block
from snnprof.errors import SnnprofError

MIN_BLOCKS = 8
CONFIDENCE = 0.95

Figure = Callable[[Activity], float]


@dataclass(frozen=True)
class Interval:
    """A figure and how far it may be off.

    Attributes:
        value: the figure over all blocks.
        error: standard error for new data of the same kind; null below `MIN_BLOCKS` blocks.
        half: half the width of the interval for new data.
        half_of_set: the same for the whole set the samples were drawn from; null where its size is not known, 0 when
            all of it ran.
        blocks: how many blocks it rests on.
    """

    value: float
    error: float | None
    half: float | None
    half_of_set: float | None
    blocks: int

    @property
    def low(self) -> float | None:
        return None if self.half is None else self.value - self.half

    @property
    def high(self) -> float | None:
        return None if self.half is None else self.value + self.half

    @property
    def relative(self) -> float | None:
        """Half width / |value|; null where either is unknown or the value is 0."""
        return None if self.half is None or not self.value else self.half / abs(self.value)


def mean_per_sample(activity: Activity, total: Figure, confidence: float = CONFIDENCE) -> Interval | None:
    """A figure that adds over samples, per sample: SOPs, energy, correct predictions.

    Args:
        total: the figure over a whole (part of a) run, from its activity.

    Returns:
        The mean and its interval; None where the number of samples is not known.
    """
    if not activity.samples:
        return None
    value = total(activity) / activity.samples
    blocks = [(total(activity.restricted(block)), block.samples) for block in activity.blocks if block.samples]
    error = ratio_error([figure for figure, _ in blocks], [samples for _, samples in blocks])
    return _interval(value, error, len(blocks), activity, confidence)


def jackknifed(activity: Activity, figure: Figure, confidence: float = CONFIDENCE) -> Interval:
    """A figure that does not add: a ratio of counts, a minimum, a deviation.

    Each block is left out once; the spread of the figures without it gives the error.
    """
    blocks = [block for block in activity.blocks if block.samples]
    error = None
    if len(blocks) >= MIN_BLOCKS:
        whole = reduce(_plus, blocks)
        error = jackknife_error([figure(activity.restricted(_minus(whole, block))) for block in blocks])
    return _interval(figure(activity), error, len(blocks), activity, confidence)


def paired_difference(
    a: Activity, b: Activity, total: Figure, total_b: Figure | None = None, confidence: float = CONFIDENCE
) -> Interval:
    """Difference a − b per sample of two models that ran on the same samples in the same order.

    What both find hard cancels, so it is narrower than two intervals side by side.

    Args:
        total: the figure of a over a whole (part of a) run; total_b: that of b, where it is another one.

    Raises:
        SnnprofError: the two did not run on the same samples, or not in the same blocks.
    """
    _must_match(a, b)
    other = total_b or total
    figures = [
        total(a.restricted(x)) - other(b.restricted(y)) for x, y in zip(a.blocks, b.blocks, strict=True) if x.samples
    ]
    samples = [block.samples for block in a.blocks if block.samples]
    value = (total(a) - other(b)) / (a.samples or 1)
    return _interval(value, ratio_error(figures, samples), len(samples), a, confidence)


def ratio_error(figures: Sequence[float], weights: Sequence[float]) -> float | None:
    """Standard error of Σ figures / Σ weights over blocks; None below `MIN_BLOCKS`.

    The weighted ratio estimator: var = n/(n − 1) · Σ (yᵢ − R·wᵢ)² / (Σ w)².
    """
    count, weight = len(figures), sum(weights)
    if count < MIN_BLOCKS or not weight:
        return None
    ratio = sum(figures) / weight
    residuals = sum((y - ratio * w) ** 2 for y, w in zip(figures, weights, strict=True))
    return math.sqrt(count / (count - 1) * residuals) / weight


def jackknife_error(without_one: Sequence[float]) -> float | None:
    """Standard error from the figures with one block left out each; None below `MIN_BLOCKS`."""
    count = len(without_one)
    if count < MIN_BLOCKS:
        return None
    mean = sum(without_one) / count
    return math.sqrt((count - 1) / count * sum((value - mean) ** 2 for value in without_one))


def t_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t distribution, by bisection of its cumulative distribution.

    >>> round(t_quantile(0.975, 10), 4)
    2.2281
    """
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while _t_cdf(high, freedom) < probability:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_cdf(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def _interval(value: float, error: float | None, blocks: int, activity: Activity, confidence: float) -> Interval:
    if error is None:
        return Interval(value, None, None, None, blocks)
    half = t_quantile((1 + confidence) / 2, blocks - 1) * error
    return Interval(value, error, half, _of_set(half, activity), blocks)


def _of_set(half: float, activity: Activity) -> float | None:
    """Finite-population correction: of N samples, those that ran are not in doubt."""
    seen, total = activity.samples, activity.run.data.total
    if not seen or not total or seen > total:
        return None
    return half * math.sqrt(1 - seen / total)


def _plus(a: Block, b: Block) -> Block:
    return _combined(a, b, 1)


def _minus(a: Block, b: Block) -> Block:
    return _combined(a, b, -1)


def _combined(a: Block, b: Block, sign: int) -> Block:
    def each(x: Sequence[Sequence[int | None]], y: Sequence[Sequence[int | None]]) -> Any:
        return [
            [None if p is None or q is None else p + sign * q for p, q in zip(u, v, strict=True)]
            for u, v in zip(x, y, strict=True)
        ]

    correct = None if a.correct is None or b.correct is None else a.correct + sign * b.correct
    return Block.model_construct(
        samples=a.samples + sign * b.samples, correct=correct, ops=each(a.ops, b.ops),
        neurons=each(a.neurons, b.neurons), elementwise=each(a.elementwise, b.elementwise),
    )  # fmt: skip


def _must_match(a: Activity, b: Activity) -> None:
    if [block.samples for block in a.blocks] != [block.samples for block in b.blocks]:
        raise SnnprofError(
            "the two runs have different blocks of samples, so there is no paired difference",
            hint="profile both with the same --samples, --batch-size and --seed",
        )
    for name in ("fingerprint", "order_seed"):
        if getattr(a.run.data, name) != getattr(b.run.data, name):
            raise SnnprofError(
                f"the two runs saw different samples (their {name} differs), so there is no paired difference",
                hint="profile both on the same data with the same --seed",
            )


def _t_cdf(t: float, freedom: int) -> float:
    """P(T ≤ t) for t ≥ 0, from the finite sums that hold for whole degrees of freedom.

    M. Abramowitz, I. Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan2(t, math.sqrt(freedom))
    square = math.cos(angle) ** 2
    if freedom % 2:
        both = angle + math.sin(angle) * math.cos(angle) * _series(square, freedom - 3, 2, 3) if freedom > 1 else angle
        return 0.5 + both / math.pi
    return 0.5 + math.sin(angle) * _series(square, freedom - 2, 1, 2) / 2


def _series(square: float, last: int, numerator: int, denominator: int) -> float:
    """1 + n/d·c² + n(n+2)/(d(d+2))·c⁴ + … up to the power `last` of the cosine."""
    term = total = 1.0
    for _ in range(last // 2):
        term *= square * numerator / denominator
        total += term
        numerator, denominator = numerator + 2, denominator + 2
    return total

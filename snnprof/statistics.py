"""From blocks of samples to a figure with its interval, and to the difference of two models.

Proportions of samples (accuracy) have Wilson's interval; the difference of two has Tango's on the same samples, and
Newcombe's on different ones. All other figures of a run are ratios: a sum over the blocks / the samples in them. Blocks
weigh by their samples (ratio estimator); figures that are not linear are jackknifed over blocks. These intervals use
Student's t, and there are none below `MIN_BLOCKS`, where they would be guesses. The figure itself is exact for the
samples that ran: the interval says what other samples would give. docs/statistics.md has the formulas and the simulated
coverage of each.
"""

from __future__ import annotations

import math
import statistics as _statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce

from snnprof import merging
from snnprof.activity import Activity
from snnprof.errors import SnnprofError

MIN_BLOCKS = 8
CONFIDENCE = 0.95
HEAVY = 4.0
"""The tail is heavy if the largest block is above this many times the median one."""

Figure = Callable[[Activity], float]
Bounds = tuple[float, float]


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds of its 95 % confidence interval. docs/statistics.md has the formulas.

    Attributes:
        value: the figure over all samples that ran.
        low: lower bound for new data of the same kind; None below `MIN_BLOCKS` blocks.
        high: upper bound for new data of the same kind; None below `MIN_BLOCKS` blocks.
        of_set: both bounds for the whole set from which the samples were drawn; None if its size is unknown.
        error: standard error for new data; None for proportions.
        blocks: number of blocks that it follows from.
    """

    value: float
    low: float | None = None
    high: float | None = None
    of_set: Bounds | None = None
    error: float | None = None
    blocks: int = 0

    @property
    def half(self) -> float | None:
        """The longer arm of the interval (for Student's t both are equal); None without bounds."""
        return None if self.low is None or self.high is None else max(self.high - self.value, self.value - self.low)

    @property
    def relative(self) -> float | None:
        """Half width / |value|; None without bounds, or if the value is 0."""
        return None if self.half is None or not self.value else self.half / abs(self.value)


# -- sums over samples ------------------------------------------------------------------------------------------


def mean_per_sample(activity: Activity, total: Figure, confidence: float = CONFIDENCE) -> Interval | None:
    """Returns the mean per sample of a figure that adds over samples, such as SOPs or energy.

    `total` computes the figure over a run, or a part of a run, from its activity. None if the number of samples is
    unknown.
    """
    if not activity.samples:
        return None
    figures, weights = block_figures(activity, total)
    interval = ratio_interval(figures, weights, activity.run.data.total, confidence)
    return replace(interval, value=total(activity) / activity.samples)


def block_figures(activity: Activity, total: Figure) -> tuple[list[float], list[int]]:
    """Returns a figure of each block that has samples, and the number of samples in it."""
    blocks = [block for block in activity.blocks if block.samples]
    return [total(activity.restricted(block)) for block in blocks], [block.samples for block in blocks]


def ratio_interval(
    figures: Sequence[float], weights: Sequence[float], population: int | None = None, confidence: float = CONFIDENCE
) -> Interval:
    """Returns Σ figures / Σ weights over blocks; the weights are samples, out of a set of `population` samples."""
    value = sum(figures) / sum(weights) if sum(weights) else 0.0
    return _student(value, ratio_error(figures, weights), len(figures), sum(weights), population, confidence)


def paired_difference(
    a: Activity, b: Activity, total: Figure, total_b: Figure | None = None, confidence: float = CONFIDENCE
) -> Interval:
    """Difference a − b per sample of two models that ran on the same samples in the same order.

    Both find the same samples hard, and that part of the spread cancels: the interval is narrower than two separate
    ones. `total` computes the figure of a over a run, or a part of a run; `total_b` that of b, if it is another figure.

    Raises:
        SnnprofError: the two did not run on the same samples, or not in the same blocks.
    """
    must_match(a, b)
    (mine, weights), (theirs, _) = block_figures(a, total), block_figures(b, total_b or total)
    figures = [x - y for x, y in zip(mine, theirs, strict=True)]
    interval = ratio_interval(figures, weights, a.run.data.total, confidence)
    return replace(interval, value=(total(a) - (total_b or total)(b)) / (a.samples or 1))


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


def tail(figures: Sequence[float], weights: Sequence[float]) -> float | None:
    """The largest block over the median one, both per sample; None below `MIN_BLOCKS`, or if all are 0."""
    each = [figure / weight for figure, weight in zip(figures, weights, strict=True) if weight]
    if len(each) < MIN_BLOCKS or not max(each):
        return None
    middle = _statistics.median(each)
    return max(each) / middle if middle else math.inf


# -- figures that are not linear --------------------------------------------------------------------------------


def jackknifed(activity: Activity, figure: Figure, confidence: float = CONFIDENCE) -> Interval:
    """Returns a figure that does not add over samples: a ratio of counts, a minimum, a deviation.

    Each block is left out once; the spread of the figures without it gives the error.
    """
    blocks = [block for block in activity.blocks if block.samples]
    without: list[float] = []
    if len(blocks) >= MIN_BLOCKS:
        whole = reduce(merging.join, blocks)
        without = [figure(activity.restricted(merging.subtract(whole, block))) for block in blocks]
    samples, population = activity.samples or 0, activity.run.data.total
    return _student(figure(activity), jackknife_error(without), len(blocks), samples, population, confidence)


def jackknife_interval(value: float, without_one: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Returns the interval of a figure from its values with one block left out each."""
    return _student(value, jackknife_error(without_one), len(without_one), 0, None, confidence)


def jackknife_error(without_one: Sequence[float]) -> float | None:
    """Standard error from the figures with one block left out each; None below `MIN_BLOCKS`."""
    count = len(without_one)
    if count < MIN_BLOCKS:
        return None
    mean = sum(without_one) / count
    return math.sqrt((count - 1) / count * sum((value - mean) ** 2 for value in without_one))


def paired_ratio(a: Sequence[float], b: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Σ a / Σ b of two runs in the same blocks: the block jackknife of its logarithm."""
    total, other = sum(a), sum(b)
    pairs = [(total - x, other - y) for x, y in zip(a, b, strict=True)]
    error = None
    if all(x > 0 and y > 0 for x, y in pairs):
        error = jackknife_error([math.log(x / y) for x, y in pairs])
    return _on_log_scale(total / other, error, len(pairs) - 1, len(pairs), confidence)


def ratio_of(a: Interval, b: Interval, confidence: float = CONFIDENCE) -> Interval:
    """Ratio of the figures of two independent runs: relative errors in quadrature, degrees of freedom by Welch."""
    blocks = min(a.blocks, b.blocks)
    if a.error is None or b.error is None or a.value <= 0 or b.value <= 0:
        return Interval(a.value / b.value, blocks=blocks)
    parts = [(a.error / a.value, a.blocks - 1), (b.error / b.value, b.blocks - 1)]
    return _on_log_scale(a.value / b.value, *welch(parts), blocks, confidence)


def difference_of(a: Interval, b: Interval, confidence: float = CONFIDENCE) -> Interval:
    """Difference of two independent means: errors in quadrature, degrees of freedom by Welch."""
    value, blocks = a.value - b.value, min(a.blocks, b.blocks)
    if a.error is None or b.error is None:
        return Interval(value, blocks=blocks)
    error, freedom = welch([(a.error, a.blocks - 1), (b.error, b.blocks - 1)])
    half = t_quantile((1 + confidence) / 2, freedom) * error
    return Interval(value, value - half, value + half, error=error, blocks=blocks)


def welch(parts: Sequence[tuple[float, int]]) -> tuple[float, int]:
    """Errors in quadrature, and their degrees of freedom (Welch and Satterthwaite), rounded down."""
    square = sum(error**2 for error, _ in parts)
    spread = sum(error**4 / freedom for error, freedom in parts)
    freedom = square**2 / spread if spread else sum(freedom for _, freedom in parts)
    return math.sqrt(square), max(1, int(freedom + 1e-9))


def mean_of_runs(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Mean over training runs; its interval is for further training seeds."""
    mean, count = _statistics.fmean(values), len(values)
    if count < 2:
        return Interval(mean, blocks=count)
    error = _statistics.stdev(values) / math.sqrt(count)
    half = t_quantile((1 + confidence) / 2, count - 1) * error
    return Interval(mean, mean - half, mean + half, error=error, blocks=count)


# -- proportions of samples -------------------------------------------------------------------------------------


def proportion(successes: int, trials: int, population: int | None = None, confidence: float = CONFIDENCE) -> Interval:
    """Returns a share of samples, such as the accuracy, with Wilson's interval."""
    z = normal_quantile((1 + confidence) / 2)
    share = successes / trials
    low, high = wilson(successes, trials, z)
    return Interval(share, low, high, _proportion_of_set(share, trials, population, z))


def wilson(successes: float, trials: float, z: float) -> Bounds:
    """Bounds of a proportion that the score test does not reject; never beyond 0 and 1.

    E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.

    >>> [round(bound, 4) for bound in wilson(81, 263, 1.96)]
    [0.2553, 0.3662]
    """
    if not trials:
        return 0.0, 1.0
    share, more = successes / trials, z * z / trials
    middle = (share + more / 2) / (1 + more)
    half = z * math.sqrt(share * (1 - share) / trials + more / (4 * trials)) / (1 + more)
    return (max(0.0, middle - half) if successes else 0.0), (min(1.0, middle + half) if successes < trials else 1.0)


def paired_proportions(
    a: Sequence[int], b: Sequence[int], samples: Sequence[int], confidence: float = CONFIDENCE
) -> Interval:
    """Difference of two accuracies on the same samples, from the correct predictions in each block.

    A run file does not say which samples of a block a model predicts correctly. So `Agreement` bounds and estimates the
    number of samples that only one of the two models predicts correctly. Below `MIN_BLOCKS` the upper bound is used,
    which gives the widest interval.
    """
    agreement = Agreement.of(a, b, samples)
    quantile, discordant = normal_quantile((1 + confidence) / 2), float(agreement.most)
    if agreement.estimate is not None:
        discordant = agreement.estimate
        if agreement.least < discordant < agreement.most:
            quantile = t_quantile((1 + confidence) / 2, len(samples) - 1)
    more = sum(a) - sum(b)
    low, high = tango((discordant + more) / 2, (discordant - more) / 2, sum(samples), quantile)
    return Interval(more / sum(samples), low, high, blocks=len(samples))


@dataclass(frozen=True)
class Agreement:
    """On how many samples only one of two models is right.

    Attributes:
        least: lower bound from the blocks: Σ |x − y|, if x and y of a block's n samples are right.
        most: upper bound from the blocks: Σ min(x + y, 2 n − x − y).
        estimate: from the spread of the blocks' differences, kept within the bounds; None below `MIN_BLOCKS` blocks.
    """

    least: int
    most: int
    estimate: float | None

    @classmethod
    def of(cls, a: Sequence[int], b: Sequence[int], samples: Sequence[int]) -> Agreement:
        """Bounds and estimates the number from each block's samples and the correct predictions of both models."""
        blocks = list(zip(a, b, samples, strict=True))
        least = sum(abs(x - y) for x, y, _ in blocks)
        most = sum(min(x + y, 2 * n - x - y) for x, y, n in blocks)
        error = ratio_error([x - y for x, y, _ in blocks], samples)
        if error is None:
            return cls(least, most, None)
        difference = (sum(a) - sum(b)) / sum(samples)
        spread = sum(samples) * (sum(samples) * error**2 + difference**2)
        return cls(least, most, min(max(spread, least), most))


def tango(only_a: float, only_b: float, samples: int, z: float) -> Bounds:
    """Bounds of the difference of two paired proportions that the score test does not reject.

    Each of `only_a` and `only_b` is the number of samples on which one model is right and the other wrong. T. Tango,
    Stat. Med. 17 (1998) 891.

    >>> [round(bound, 4) for bound in tango(0, 0, 360, 1.96)]
    [-0.0106, 0.0106]
    """
    return -_tango_high(only_b, only_a, samples, z), _tango_high(only_a, only_b, samples, z)


def _tango_high(more: float, less: float, samples: int, z: float) -> float:
    """Returns the upper bound, by bisection: the score falls as the difference grows."""
    low, high = (more - less) / samples, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _tango_score(more, less, samples, middle) > -z else (low, middle)
    return high


def _tango_score(more: float, less: float, samples: int, difference: float) -> float:
    """The score statistic for a difference, with the maximum-likelihood estimate of the share of `less`."""
    linear = (2 * samples - more + less) * difference - more - less
    constant = -less * difference * (1 - difference)
    likeliest = (math.sqrt(linear * linear - 8 * samples * constant) - linear) / (4 * samples)
    variance = samples * (2 * likeliest + difference * (1 - difference))
    return (more - less - samples * difference) / math.sqrt(variance) if variance > 0 else 0.0


def unpaired_proportions(a: tuple[int, int], b: tuple[int, int], confidence: float = CONFIDENCE) -> Interval:
    """Difference of two accuracies on different samples, each given as (correct predictions, samples).

    Method 10 of R. G. Newcombe, Stat. Med. 17 (1998) 873.
    """
    z = normal_quantile((1 + confidence) / 2)
    (low_a, high_a), (low_b, high_b) = wilson(*a, z), wilson(*b, z)
    share_a, share_b = a[0] / a[1], b[0] / b[1]
    difference = share_a - share_b
    below, above = math.hypot(share_a - low_a, high_b - share_b), math.hypot(high_a - share_a, share_b - low_b)
    return Interval(difference, difference - below, difference + above)


def _proportion_of_set(share: float, trials: int, population: int | None, z: float) -> Bounds | None:
    """Returns the interval for a finite set: n of its N samples are as good as n / (1 − n/N) of an infinite one."""
    if not population or trials > population:
        return None
    if trials == population:
        return share, share
    effective = trials / (1 - trials / population)
    return wilson(share * effective, effective, z)


# -- quantiles --------------------------------------------------------------------------------------------------


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution."""
    return _statistics.NormalDist().inv_cdf(probability)


@lru_cache(maxsize=1024)
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


def _student(
    value: float, error: float | None, blocks: int, samples: float, population: int | None, confidence: float
) -> Interval:
    """Returns the t interval for new data, and for the whole set, whose interval is narrower by √(1 − n/N)."""
    if error is None:
        return Interval(value, blocks=blocks)
    half = t_quantile((1 + confidence) / 2, blocks - 1) * error
    of_set = None
    if samples and population and samples <= population:  # the samples that ran are known exactly
        arm = half * math.sqrt(1 - samples / population)
        of_set = value - arm, value + arm
    return Interval(value, value - half, value + half, of_set, error, blocks)


def _on_log_scale(value: float, error: float | None, freedom: int, blocks: int, confidence: float) -> Interval:
    """Returns the interval of a ratio from the standard error of its logarithm."""
    if error is None:
        return Interval(value, blocks=blocks)
    factor = math.exp(t_quantile((1 + confidence) / 2, freedom) * error)
    return Interval(value, value / factor, value * factor, error=error * value, blocks=blocks)


def must_match(a: Activity, b: Activity) -> None:
    """Checks that two runs ran on the same samples, in the same order and in the same blocks.

    Raises:
        SnnprofError: they did not.
    """
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
    """P(T ≤ t) for t ≥ 0, by the finite sums for integer degrees of freedom.

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

"""Blocks → interval: the formulas by hand, and whether 95 % means 95 %."""

from __future__ import annotations

import math
import random
import statistics as plain

import pytest

from snnprof.activity import PART_COUNTS, Activity, Block, DataFacts, Operand, OpRecord, Part, Run, op_counts
from snnprof.errors import SnnprofError
from snnprof.statistics import (
    MIN_BLOCKS,
    jackknife_error,
    jackknifed,
    mean_per_sample,
    paired_difference,
    ratio_error,
    t_quantile,
)  # fmt: skip

T_TABLE = [(1, 12.7062), (2, 4.3027), (3, 3.1824), (7, 2.3646), (8, 2.3060), (30, 2.0423), (63, 1.9983)]


@pytest.mark.parametrize(("freedom", "value"), T_TABLE)
def test_t_quantiles_of_the_printed_table(freedom, value):
    assert t_quantile(0.975, freedom) == pytest.approx(value, abs=6e-5)
    assert t_quantile(0.025, freedom) == -t_quantile(0.975, freedom)


def test_with_equal_blocks_the_ratio_estimator_is_the_standard_error_of_the_mean():
    figures = [3.0, 5.0, 4.0, 8.0, 1.0, 9.0, 2.0, 6.0]
    assert ratio_error(figures, [2.0] * 8) == pytest.approx(plain.stdev(figures) / math.sqrt(8) / 2)


def test_proportional_blocks_have_no_error():
    weights = [1, 2, 3, 4, 5, 6, 7, 8]
    assert ratio_error([3.0 * w for w in weights], weights) == pytest.approx(0, abs=1e-12)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    figures = [3.0, 5.0, 4.0, 8.0, 1.0, 9.0, 2.0, 6.0]
    without = [(sum(figures) - x) / 7 for x in figures]
    assert jackknife_error(without) == pytest.approx(plain.stdev(figures) / math.sqrt(8))


def test_too_few_blocks_give_no_interval():
    assert ratio_error([1.0] * (MIN_BLOCKS - 1), [1.0] * (MIN_BLOCKS - 1)) is None
    assert jackknife_error([1.0] * (MIN_BLOCKS - 1)) is None
    interval = mean_per_sample(run([5] * (MIN_BLOCKS - 1)), events)
    assert interval.value == 5
    assert (interval.half, interval.low, interval.high, interval.half_of_set, interval.relative) == (None,) * 5


def run(
    figures: list[int], samples: int | list[int] = 1, total: int | None = None, order: int = 0, elements: int = 100
) -> Activity:
    """One operation with so many events and spikes in each block."""
    sizes = samples if isinstance(samples, list) else [samples] * len(figures)
    operand = Operand(role="data", quantum=1.0, levels=1)

    def op(events: int, size: int) -> OpRecord:
        part = Part(kind="spikes", elements=elements * size, nonzero=events, level_sum=events, dense_macs=1000 * size,
                    valid_macs=1000 * size, events=events, by_value=events, effective=events)  # fmt: skip
        return OpRecord(layer="fc", op="linear", steps=1, parts=[part], operands=[operand, Operand(role="weight")])

    return Activity(
        run=Run(data=DataFacts(total=total, order_seed=order, fingerprint="f")),
        samples=sum(sizes),
        ops=[op(sum(figures), sum(sizes))],
        blocks=[Block(samples=s, ops=[op_counts(op(f, s))]) for f, s in zip(figures, sizes, strict=True)],
    )


def events(activity: Activity) -> float:
    return activity.ops[0].events


def share(activity: Activity) -> float:
    return activity.ops[0].events / activity.ops[0].dense_macs


def test_an_interval_by_hand():
    figures = [30, 50, 40, 80, 10, 90, 20, 60]
    interval = mean_per_sample(run(figures, samples=10, total=320), events)
    error = plain.stdev(figures) / math.sqrt(8) / 10
    assert interval.value == sum(figures) / 80
    assert interval.error == pytest.approx(error)
    assert interval.half == pytest.approx(2.3646 * error, rel=1e-4)
    assert (interval.low, interval.high) == (interval.value - interval.half, interval.value + interval.half)
    assert interval.half_of_set == pytest.approx(interval.half * math.sqrt(1 - 80 / 320))
    assert interval.relative == pytest.approx(interval.half / interval.value)
    assert interval.blocks == 8


def test_a_whole_set_is_certain_about_itself_only():
    interval = mean_per_sample(run(list(range(16)), total=16), events)
    assert interval.half_of_set == 0
    assert interval.half > 0


def test_unknown_sizes():
    assert mean_per_sample(run(list(range(16))), events).half_of_set is None
    assert mean_per_sample(Activity(), lambda activity: 1.0) is None


def test_an_uneven_last_block_weighs_by_its_samples():
    activity = run([10] * 9 + [4], samples=[10] * 9 + [4])
    interval = mean_per_sample(activity, events)
    assert interval.value == 1
    assert interval.half == pytest.approx(0, abs=1e-12)


def test_jackknife_of_a_share_leaves_each_block_out():
    figures, sizes = [30, 50, 40, 80, 10, 90, 20, 60], [1, 2, 1, 2, 1, 2, 1, 2]
    interval = jackknifed(run(figures, samples=sizes), share)
    without = [(sum(figures) - f) / (1000 * (sum(sizes) - s)) for f, s in zip(figures, sizes, strict=True)]
    assert interval.value == sum(figures) / (1000 * sum(sizes))
    assert interval.error == pytest.approx(jackknife_error(without))
    assert jackknifed(run(figures[:5]), share).half is None


def test_pairing_cancels_what_both_find_hard():
    random.seed(1)
    hard = [random.randrange(1000) for _ in range(20)]
    a, b = run([x + 100 for x in hard]), run([x + random.randrange(5) for x in hard])
    paired = paired_difference(a, b, events)
    alone = mean_per_sample(a, events)
    assert 95 < paired.value < 101
    assert paired.half < alone.half / 50
    assert paired_difference(a, a, events, total_b=lambda x: 2 * events(x)).value == -alone.value


@pytest.mark.parametrize(
    ("other", "words"),
    [(run([1] * 9), "different blocks"), (run([1] * 10, order=1), "order_seed differs")],
)
def test_runs_on_other_samples_cannot_be_paired(other, words):
    with pytest.raises(SnnprofError, match=words):
        paired_difference(run([1] * 10), other, events)


# -- coverage ---------------------------------------------------------------------------------------------------


def coverage(permuted: bool, trials: int = 400, blocks: int = 16, block: int = 8) -> tuple[float, float]:
    """How often the interval holds the truth: a set of ten classes, sorted, whose firing differs by class."""
    random.seed(7)
    population = [1000 + 300 * label + random.randrange(400) for label in range(10) for _ in range(100)]
    truth = sum(population) / len(population)
    of_set = of_data = 0
    for _ in range(trials):
        order = list(range(len(population)))
        if permuted:
            random.shuffle(order)
        seen = [population[i] for i in order[: blocks * block]]
        figures = [sum(seen[i : i + block]) for i in range(0, len(seen), block)]
        activity = run(figures, samples=block, total=len(population))
        interval = mean_per_sample(activity, events)
        of_set += abs(interval.value - truth) <= interval.half_of_set
        of_data += abs(interval.value - truth) <= interval.half
    return of_set / trials, of_data / trials


def test_an_interval_of_95_percent_holds_the_truth_95_percent_of_the_time():
    """Class-sorted data, visited in a random order: ±3 % is three standard errors of 400 trials."""
    of_set, of_data = coverage(permuted=True)
    assert 0.92 <= of_set <= 0.98
    assert of_data >= of_set


def test_without_a_permutation_sorted_data_would_deceive():
    assert coverage(permuted=False, trials=1) == (0.0, 0.0)


def test_blocks_hold_every_count():
    """The block layout this module restricts runs with is the one the schema defines."""
    activity = run([5] * 8)
    assert len(activity.blocks[0].ops[0]) == 2 + 3 * len(PART_COUNTS)
    assert events(activity.restricted(activity.blocks[0])) == 5

"""Blocks → interval: the formulas by hand, and whether 95 % means 95 %."""

from __future__ import annotations

import math
import random
import re
import statistics as plain
from pathlib import Path

import pytest

from snnprof.activity import PART_COUNTS, Activity, Block, DataFacts, Operand, OpRecord, Part, Run, op_counts
from snnprof.errors import SnnprofError
from snnprof.statistics import (
    MIN_BLOCKS,
    Agreement,
    Interval,
    difference_of,
    jackknife_error,
    jackknifed,
    mean_of_runs,
    mean_per_sample,
    paired_difference,
    paired_proportions,
    paired_ratio,
    proportion,
    ratio_error,
    ratio_of,
    t_quantile,
    tail,
    tango,
    unpaired_proportions,
    welch,
    wilson,
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
    assert (interval.half, interval.low, interval.high, interval.of_set, interval.relative) == (None,) * 5


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
    arm = interval.half * math.sqrt(1 - 80 / 320)
    assert (interval.low, interval.high) == pytest.approx(
        (interval.value - interval.half, interval.value + interval.half)
    )
    assert interval.of_set == pytest.approx((interval.value - arm, interval.value + arm))
    assert interval.relative == pytest.approx(interval.half / interval.value)
    assert interval.blocks == 8


def test_a_whole_set_is_certain_about_itself_only():
    interval = mean_per_sample(run(list(range(16)), total=16), events)
    assert interval.of_set == (interval.value, interval.value)
    assert interval.half > 0


def test_unknown_sizes():
    assert mean_per_sample(run(list(range(16))), events).of_set is None
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


def test_a_heavy_tail_is_the_largest_block_over_the_median_one():
    assert tail([10, 12, 8, 10, 10, 11, 9, 50], [1] * 8) == 50 / 10
    assert tail([20, 24, 16, 20, 20, 22, 18, 50], [2] * 7 + [1]) == 50 / 10, "per sample, also in a ragged last block"
    assert tail([0] * 7 + [3], [1] * 8) == math.inf
    assert tail([0] * 8, [1] * 8) is None
    assert tail([1] * 7, [1] * 7) is None


# -- ratios ----------------------------------------------------------------------------------------------------


def test_a_paired_ratio_is_jackknifed_on_the_log_scale():
    a, b = [30.0, 50, 40, 80, 10, 90, 20, 60], [20.0, 30, 30, 50, 10, 50, 10, 40]
    logs = [math.log((sum(a) - x) / (sum(b) - y)) for x, y in zip(a, b, strict=True)]
    error = math.sqrt(7 / 8 * sum((x - plain.fmean(logs)) ** 2 for x in logs))
    interval = paired_ratio(a, b)
    assert interval.value == 380 / 240
    assert interval.low == pytest.approx(380 / 240 / math.exp(2.36462 * error), rel=1e-5)
    assert interval.high == pytest.approx(380 / 240 * math.exp(2.36462 * error), rel=1e-5)
    assert paired_ratio([2 * x for x in b], b).half == pytest.approx(0, abs=1e-9), "what both find hard cancels"
    assert paired_ratio(a[:7], b[:7]).low is None


def test_ratios_of_independent_runs_have_relative_errors_in_quadrature():
    a, b = Interval(10.0, 9.0, 11.0, error=0.3, blocks=16), Interval(20.0, 18.0, 22.0, error=0.8, blocks=16)
    error, freedom = welch([(0.03, 15), (0.04, 15)])
    assert error == pytest.approx(0.05)
    assert freedom == int(0.05**4 / (0.03**4 / 15 + 0.04**4 / 15)) == 27
    assert ratio_of(a, b).high == pytest.approx(0.5 * math.exp(t_quantile(0.975, 27) * 0.05))
    assert ratio_of(a, Interval(20.0)).low is None


def test_means_of_training_runs_and_their_difference():
    mean = mean_of_runs([0.94, 0.95, 0.96])
    assert mean.half == pytest.approx(4.3027 * 0.01 / math.sqrt(3), rel=1e-4)
    assert mean_of_runs([0.9]).low is None
    difference = difference_of(mean, mean_of_runs([0.90, 0.91, 0.92]))
    assert difference.value == pytest.approx(0.04)
    assert difference.half == pytest.approx(t_quantile(0.975, 4) * 0.01 * math.sqrt(2 / 3))


# -- proportions -----------------------------------------------------------------------------------------------

WILSON = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]


@pytest.mark.parametrize(("right", "samples", "low", "high"), WILSON)
def test_wilsons_intervals_of_newcombes_table(right, samples, low, high):
    """R. G. Newcombe, Stat. Med. 17 (1998) 857, table I, method 3."""
    assert wilson(right, samples, 1.96) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("samples", [1, 2, 16, 360])
def test_an_accuracy_has_an_interval_from_one_sample_on_within_0_and_1(samples):
    """At the ends it is z² / (n + z²) wide."""
    z = plain.NormalDist().inv_cdf(0.975)
    none, all_ = proportion(0, samples), proportion(samples, samples)
    assert (none.low, all_.high) == (0.0, 1.0)
    assert none.high == pytest.approx(z * z / (samples + z * z))
    assert all_.low == pytest.approx(samples / (samples + z * z))


def test_the_accuracy_of_a_set_is_surer_the_more_of_it_ran():
    part, whole = proportion(90, 100, 200), proportion(180, 200, 200)
    assert part.of_set == pytest.approx(wilson(180, 200, plain.NormalDist().inv_cdf(0.975)))  # 100 / (1 − 1/2)
    assert whole.of_set == (0.9, 0.9)
    assert proportion(9, 10).of_set is None


def test_newcombes_example_of_independent_proportions():
    """R. G. Newcombe, Stat. Med. 17 (1998) 873, table II, method 10: 56/70 − 48/80."""
    interval = unpaired_proportions((56, 70), (48, 80))
    assert (interval.low, interval.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(("b", "c", "n"), [(12, 2, 50), (1, 0, 44), (5, 3, 360), (30, 60, 1000)])
def test_tangos_bounds_are_where_the_score_is_z(b, c, n):
    """The score by its definition, with the likeliest share of c found by search."""

    def score(difference: float) -> float:
        def likelihood(q: float) -> float:
            p = q + difference
            rest = 1 - p - q
            parts = [(b, p), (c, q), (n - b - c, rest)]
            return sum(k * math.log(x) for k, x in parts if k) if all(x > 0 for k, x in parts if k) else -math.inf

        low, high = max(0.0, -difference), (1 - difference) / 2
        for _ in range(200):
            left, right = low + (high - low) / 3, high - (high - low) / 3
            low, high = (low, right) if likelihood(left) > likelihood(right) else (left, high)
        q = (low + high) / 2
        return (b - c - n * difference) / math.sqrt(n * (2 * q + difference - difference**2))

    low, high = tango(b, c, n, 1.96)
    assert score(low) == pytest.approx(1.96, abs=1e-3)
    assert score(high) == pytest.approx(-1.96, abs=1e-3)
    assert tango(c, b, n, 1.96) == pytest.approx((-high, -low))


def test_models_that_never_differ_still_have_a_width():
    assert tango(0, 0, 360, 1.96) == pytest.approx((-(1.96**2) / (360 + 1.96**2), 1.96**2 / (360 + 1.96**2)))


def test_blocks_bound_on_how_many_samples_two_models_differ():
    """Of 4 samples, one model gets 3 right and the other 2: at least 1 differs, and at most 3."""
    agreement = Agreement.of([3, 4, 0], [2, 4, 1], [4, 4, 4])
    assert (agreement.least, agreement.most, agreement.estimate) == (1 + 0 + 1, 3 + 0 + 1, None)


def test_with_blocks_of_one_sample_nothing_is_left_to_estimate():
    a, b = [1, 1, 1, 0, 1, 1, 0, 1, 1, 1], [1, 0, 1, 0, 1, 1, 1, 1, 0, 1]
    agreement = Agreement.of(a, b, [1] * 10)
    assert agreement == Agreement(3, 3, 3)
    interval = paired_proportions(a, b, [1] * 10)
    assert (interval.low, interval.high) == pytest.approx(tango(2, 1, 10, plain.NormalDist().inv_cdf(0.975)))


def test_the_estimate_is_the_spread_of_the_differences_of_blocks():
    a, b = [8, 6, 9, 7, 8, 5, 9, 8], [7, 8, 9, 6, 7, 7, 8, 8]
    differences = [x - y for x, y in zip(a, b, strict=True)]
    spread = 10 * 8 * (10 * 8 * plain.variance(differences) / 8 / 100 + plain.fmean(differences) ** 2 / 100)
    assert Agreement.of(a, b, [10] * 8).estimate == pytest.approx(max(spread, sum(map(abs, differences))))
    interval = paired_proportions(a, b, [10] * 8)
    widest = paired_proportions([sum(a)], [sum(b)], [80])
    assert widest.low < interval.low < interval.high < widest.high


def test_totals_alone_give_the_widest_interval():
    z = plain.NormalDist().inv_cdf(0.975)
    interval = paired_proportions([357], [355], [360])
    assert (interval.low, interval.high) == pytest.approx(tango(5, 3, 360, z)), "3 and 5 errors, none shared"


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
        of_set += interval.of_set[0] <= truth <= interval.of_set[1]
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


# -- benchmarks/coverage.py ------------------------------------------------------------------------------------


def test_the_page_of_coverages_keeps_the_text_above_its_marker(script, tmp_path):
    coverage = script("benchmarks/coverage.py")
    page = tmp_path / "page.md"
    page.write_text(f"By hand.\n{coverage.MARKER}\nold table\n", encoding="utf-8")
    cells = [coverage.Cell("n = 16", 90.0), coverage.Cell("n = 32", 95.0)]
    coverage.written(page, coverage.page([coverage.Study("accuracy", cells)], coverage.Simulation(0, 10)))
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"By hand.\n{coverage.MARKER}\n")
    assert "old table" not in text
    assert "| accuracy | 2 | 92.5 | 90.0 | 95.0 | 1 |" in text
    assert "**Accuracy.** n = 16: 90.0." in text


def test_the_printed_page_holds_the_coverages_of_this_code(script):
    """Those that are sums and not simulated; and every mean but the limits' lies between 93 and 97 %."""
    coverage = script("benchmarks/coverage.py")
    text = (Path(__file__).parent.parent / "docs" / "statistics.md").read_text(encoding="utf-8")
    cells = [coverage._accuracy(n, share) for n in coverage.SAMPLES for share in coverage.SHARES]
    assert f"| accuracy, new data (Wilson) | {len(cells)} | {plain.fmean(c.covered for c in cells):.1f} |" in text
    means = re.findall(r"^\| ([^|]*) \| \d+ \| ([\d.]+) \|", text, re.M)
    assert len(means) == 17
    assert all(93 <= float(mean) <= 97 for title, mean in means if not title.startswith("limit"))

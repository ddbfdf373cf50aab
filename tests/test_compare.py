"""Comparisons: which facts differ, what may be claimed, and the regression gate."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest

from snnprof.activity import Activity, Block
from snnprof.compare import PRINTED, Entry, compared, grouped_by_network, judged, side_of
from snnprof.errors import CheckFailed, SnnprofError
from snnprof.pricing import price, split_gain
from snnprof.workload import catalogue

Maker = Callable[..., Activity]


def entry(activity: Activity, name: str, *hardware: str) -> Entry:
    return Entry(name, runs=(tuple(price(activity, id) for id in hardware or ("cmos45-fp32",)),))


def published(id: str) -> Entry:
    row = catalogue.published_row(id)
    return Entry(row.title, published=row)


def less_accurate(activity: Activity, wrong: int) -> Activity:
    """The same run with `wrong` fewer correct predictions in each block."""
    assert activity.accuracy
    blocks = [Block(**{**b.model_dump(), "correct": (b.correct or 0) - wrong}) for b in activity.blocks]
    accuracy = activity.accuracy.model_copy(update={"correct": activity.accuracy.correct - wrong * len(blocks)})
    return activity.model_copy(update={"blocks": blocks, "accuracy": accuracy})


def test_the_figures_of_a_side_are_per_inference(activity: Activity) -> None:
    side = side_of(entry(activity, "a"))
    report = price(activity)
    assert side.accuracy.value == pytest.approx(18 / 20)
    assert side.sops.value == pytest.approx(report.totals.sops / 20)
    assert side.energies["cmos45-fp32"].value == pytest.approx((report.energy_pj or 0) / 20)
    assert side.dense_macs == pytest.approx(sum(op.dense_macs for op in activity.ops) / 20)


def test_a_ratio_is_operations_times_prices(activity_maker: Maker) -> None:
    a, b = activity_maker("a", firing=4), activity_maker("b", firing=2)
    (ratio,) = compared([entry(a, "a"), entry(b, "b")]).ratios
    gain = split_gain(price(b), price(a))
    assert gain
    assert ratio.energy == pytest.approx(gain.total)
    assert ratio.operations is not None
    assert ratio.price is not None
    assert ratio.energy == pytest.approx(ratio.operations * ratio.price)


def test_a_saving_is_claimed_where_accuracies_agree(activity_maker: Maker) -> None:
    a, b = activity_maker("a", firing=4), activity_maker("b", firing=2)
    (ratio,) = compared([entry(a, "a", "rolls-77fj"), entry(b, "b", "rolls-77fj")]).ratios
    saved = 100 * (1 - ratio.energy)
    assert ratio.claim == f"saves {saved:.1f} ± 0.0 %"


def test_no_saving_is_claimed_where_accuracies_differ(activity_maker: Maker) -> None:
    """By one of two samples in each block: the paired difference has no spread, whatever each side's own interval."""
    a, b = activity_maker("a", firing=4), less_accurate(activity_maker("b", firing=2), wrong=1)
    (ratio,) = compared([entry(a, "a"), entry(b, "b")]).ratios
    assert ratio.claim == "accuracies differ by -50.00 points, more than ± 0.00: no saving claimed"


def test_no_saving_is_claimed_without_accuracies(activity: Activity) -> None:
    blind = activity.model_copy(update={"accuracy": None})
    (ratio,) = compared([entry(activity, "a"), entry(blind, "b")]).ratios
    assert ratio.claim == "accuracy unknown: no saving claimed"


def test_differing_facts_are_listed(activity: Activity) -> None:
    run = activity.run.model_copy(update={"timesteps": 4})
    other = activity.model_copy(update={"run": run})
    comparison = compared([entry(activity, "a", "cmos45-fp32", "rolls-77fj"), entry(other, "b", "cmos45-fp32")])
    assert "time steps T differ: 2 (a); 4 (b)" in comparison.differing
    assert any("different scopes" in text for text in comparison.differing)
    assert not any("data differ" in text for text in comparison.differing)


def test_published_rows_stand_beside_runs(activity: Activity) -> None:
    comparison = compared([entry(activity, "a"), published("ssa_bin-bin-cifar10")])
    row = comparison.sides[1]
    assert row.accuracy.value == pytest.approx(0.9577)
    assert row.sops.value == pytest.approx(0.51e9)
    assert row.energies[PRINTED].value == pytest.approx(0.039e9)
    assert not comparison.ratios, "a paper's energy is at another price: no ratio"


def test_published_rows_compare_with_each_other() -> None:
    (ratio,) = compared([published("ssa_bin-ssa-cifar10"), published("ssa_bin-bin-cifar10")]).ratios
    assert ratio.energy == pytest.approx(0.039 / 0.099334)
    assert ratio.operations == pytest.approx(0.51 / 1.29)
    assert "no saving claimed" in ratio.claim, "the accuracies differ and have no interval"


def test_the_best_are_marked(activity_maker: Maker) -> None:
    entries = [entry(activity_maker("a", firing=4), "a"), entry(activity_maker("b", firing=2), "b")]
    best = compared(entries).best
    assert best["sops"] == best["cmos45-fp32"] == {"b"}
    assert best["accuracy"] == {"a", "b"}


def test_the_baseline_is_found_by_any_of_its_names(activity_maker: Maker) -> None:
    entries = [entry(activity_maker("a"), "first"), published("ssa_bin-bin-cifar10")]
    for name in ("SSA_Bin", "ssa_bin-bin-cifar10", "paper:ssa_bin-bin-cifar10"):
        assert compared(entries, name).baseline.name == "SSA_Bin"
    assert compared(entries, "a:digits").baseline.name == "first"
    with pytest.raises(SnnprofError, match="unknown baseline 'nobody'"):
        compared(entries, "nobody")


def test_groups_are_mean_and_standard_deviation(activity_maker: Maker) -> None:
    runs = [activity_maker("net", firing=firing) for firing in (2, 3, 5)]
    (group,) = grouped_by_network([entry(run, f"seed {i}") for i, run in enumerate(runs)])
    side = side_of(group)
    sops = [price(run).totals.sops / 20 for run in runs]
    assert side.name == "net:digits (3 runs)"
    assert side.sops.value == pytest.approx(statistics.fmean(sops))
    assert side.sops.half == pytest.approx(statistics.stdev(sops))
    assert side.spread == "standard deviation over 3 runs"


def test_different_networks_are_not_grouped(activity_maker: Maker) -> None:
    entries = [entry(activity_maker("a"), "a"), entry(activity_maker("b"), "b"), published("ssa_bin-bin-cifar10")]
    assert grouped_by_network(entries) == entries


def test_the_gate_opens_and_closes(activity_maker: Maker) -> None:
    a, b = activity_maker("a", firing=4), activity_maker("b", firing=5)
    comparison = compared([entry(a, "a"), entry(b, "b")])
    excess = 100 * (price(b).totals.sops / price(a).totals.sops - 1)
    judged(comparison, excess + 0.1)
    with pytest.raises(CheckFailed, match="SOPs of b exceeds a"):
        judged(comparison, excess - 0.1)


def test_nothing_to_compare() -> None:
    with pytest.raises(SnnprofError):
        compared([])

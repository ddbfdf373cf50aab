"""Comparisons: which facts differ, what may be claimed, and the regression gate."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable

import pytest

from snnprof import catalogue
from snnprof.activity import Accuracy, Activity, Block, Part
from snnprof.comparison import PRINTED, Entry, check_regression, compared, grouped_by_network, side_of
from snnprof.errors import CheckFailed, SnnprofError
from snnprof.pricing import price, split_gain

Maker = Callable[..., Activity]


def entry(activity: Activity, name: str, *hardware: str) -> Entry:
    return Entry(name, runs=(tuple(price(activity, id) for id in hardware or ("cmos45-fp32",)),))


def published(id: str) -> Entry:
    row = catalogue.published_row(id)
    return Entry(row.title, published=row)


def many(activity: Activity, right: list[int] | None = None, samples: int = 100) -> Activity:
    """The run as if each block held `samples` samples, of which so many were right (all of them)."""
    correct = right or [samples] * len(activity.blocks)
    blocks = [
        Block(**{**block.model_dump(), "correct": count, "samples": samples})
        for block, count in zip(activity.blocks, correct, strict=True)
    ]
    total = samples * len(blocks)
    accuracy = Accuracy(correct=sum(correct), total=total)
    return activity.model_copy(update={"blocks": blocks, "accuracy": accuracy, "samples": total})


def on_data(activity: Activity, **facts: object) -> Activity:
    data = activity.run.data.model_copy(update=facts)
    return activity.model_copy(update={"run": activity.run.model_copy(update={"data": data})})


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
    assert ratio.energy.value == pytest.approx(gain.total)
    assert ratio.operations is not None
    assert ratio.price is not None
    assert ratio.energy.value == pytest.approx(ratio.operations * ratio.price)


def test_ratios_are_per_inference_whatever_the_sizes_of_the_runs(activity_maker: Maker) -> None:
    a, b = activity_maker("a", blocks=10), activity_maker("a", blocks=40)
    (ratio,) = compared([entry(a, "a"), entry(b, "b")]).ratios
    assert ratio.operations == pytest.approx(1)
    assert ratio.energy.value == pytest.approx(1)


def test_groups_of_runs_split_their_mean_energy(activity_maker: Maker) -> None:
    few = [entry(activity_maker("few", firing=firing), f"few {firing}") for firing in (1, 2, 4)]
    much = [entry(activity_maker("much", firing=firing), f"much {firing}") for firing in (6, 7, 9)]
    (ratio,) = compared(grouped_by_network([*few, *much])).ratios
    assert ratio.operations is not None
    assert ratio.price is not None
    assert ratio.operations * ratio.price == pytest.approx(ratio.energy.value)
    assert "costs" in ratio.claim or "saves" not in ratio.claim


# -- claims ----------------------------------------------------------------------------------------------------


def claim(a: Activity, b: Activity, margin: float = 1.0) -> str:
    (ratio,) = compared([entry(a, "a", "rolls-77fj"), entry(b, "b", "rolls-77fj")], margin=margin).ratios
    return ratio.claim


def test_a_saving_is_claimed_where_predictions_are_equal(activity_maker: Maker) -> None:
    a, b = many(activity_maker("a", firing=4), samples=2), many(activity_maker("b", firing=2), samples=2)
    (ratio,) = compared([entry(a, "a", "rolls-77fj"), entry(b, "b", "rolls-77fj")]).ratios
    low, high = ratio.energy.low, ratio.energy.high
    assert low is not None
    assert high is not None
    saved = 100 * (1 - ratio.energy.value)
    bounds = f"{100 * (1 - high):.1f}–{100 * (1 - low):.1f}"
    assert ratio.claim == f"saves {saved:.1f} % (95 % CI {bounds}); same predictions"


def test_a_saving_needs_the_interval_of_the_difference_above_the_margin(activity_maker: Maker) -> None:
    """One of 1000 samples is predicted by a alone: −0.1 points; Tango's interval by its formula for c = 0."""
    a, b = many(activity_maker("a", firing=4)), many(activity_maker("b", firing=2), [99] + [100] * 9)
    assert claim(a, b).startswith("saves")
    assert claim(a, b).endswith("; accuracy −0.10 points (95 % CI −0.56 to +0.28)")
    assert claim(a, b, margin=0.57).startswith("saves")
    text = claim(a, b, margin=0.55)
    assert text.startswith("energy −")
    assert text.endswith("accuracy −0.10 points (95 % CI −0.56 to +0.28): energies are not directly comparable")


def test_a_loss_that_few_samples_cannot_exclude_is_no_saving(activity_maker: Maker) -> None:
    """18 of 20 right, both: in two blocks the error may be on the other sample."""
    text = claim(activity_maker("a", firing=4), activity_maker("b", firing=2))
    assert text.endswith("energies are not directly comparable")
    assert "accuracy +0.00 points (95 % CI −" in text


def test_a_cost_is_a_saving_of_the_baseline(activity_maker: Maker) -> None:
    cheap, dear = activity_maker("b", firing=2), activity_maker("a", firing=4)
    assert claim(many(cheap), many(dear)).startswith("costs")
    worse = [90] * 10
    assert claim(many(cheap), many(dear, worse)).startswith("costs"), "and is less accurate as well"
    assert claim(many(cheap, worse), many(dear)).endswith("not directly comparable"), "it buys accuracy"


def test_ten_times_as_much_is_said_in_times(activity_maker: Maker) -> None:
    """The same spikes for one sample in place of 100: 100 times the energy per inference, and its interval."""
    a = activity_maker("a", firing=4)
    text = claim(many(a), many(a, samples=1))
    assert re.search(r"(energy|costs) 100 times as much \((95 % CI [\d.]+ to [\d.]+|no interval)\)", text)
    assert "%" not in text.partition("accuracy")[0].replace("95 %", "")


def test_no_saving_within_the_interval_of_the_energies(activity_maker: Maker) -> None:
    a = many(activity_maker("a", firing=4))
    b = many(activity_maker("a", firing=4, seed=1))
    assert claim(a, b).endswith("accuracy +0.00 points (95 % CI −0.38 to +0.38): no significant difference in energy")


def test_no_saving_is_claimed_on_different_data(activity_maker: Maker) -> None:
    a, b = many(activity_maker("a", firing=4)), many(activity_maker("b", firing=2))
    for facts in ({"fingerprint": "0" * 16}, {"source": "other"}):
        text = claim(a, on_data(b, **facts))
        assert text.startswith("energy −")
        assert text.endswith("measured on different data")


def test_no_saving_is_claimed_without_accuracies(activity_maker: Maker) -> None:
    blind = many(activity_maker("b", firing=2)).model_copy(update={"accuracy": None})
    assert claim(many(activity_maker("a", firing=4)), blind).endswith(
        "accuracy unknown: energies are not directly comparable"
    )


def test_no_saving_is_claimed_without_blocks_enough(activity_maker: Maker) -> None:
    a, b = activity_maker("a", firing=4, blocks=7), activity_maker("b", firing=2, blocks=7)
    text = claim(many(a), many(b))
    assert "(no interval), accuracy" in text
    assert text.endswith("no conclusion without an interval")


# -- what differs ----------------------------------------------------------------------------------------------


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
    assert ratio.energy.value == pytest.approx(0.039 / 0.099334)
    assert ratio.operations == pytest.approx(0.51 / 1.29)
    assert "saves" not in ratio.claim, "the accuracies differ and have no interval"


def best(*activities: Activity) -> dict[str, frozenset[str]]:
    return dict(compared([entry(activity, name) for name, activity in zip("abc", activities, strict=False)]).best)


def test_the_best_are_marked(activity_maker: Maker) -> None:
    marks = best(activity_maker("a", firing=8), activity_maker("b", firing=2))
    assert marks["sops"] == {"b"}
    assert not marks["accuracy"], "the two are equally accurate"


def test_nothing_is_best_where_intervals_overlap(activity_maker: Maker) -> None:
    sides = [side_of(entry(activity_maker("a", firing=firing), "a")).sops.interval for firing in (30, 31)]
    assert sides[0]
    assert sides[1]
    assert sides[0].value < sides[1].value
    assert sides[1].low < sides[0].high
    assert not best(activity_maker("a", firing=30), activity_maker("b", firing=31))["sops"]
    assert not best(activity_maker("a", firing=8, blocks=7), activity_maker("b", firing=2, blocks=7))["sops"]


def test_runs_on_other_data_and_published_rows_are_not_ranked(activity_maker: Maker) -> None:
    a, b = activity_maker("a", firing=8), activity_maker("b", firing=2)
    for facts in ({"fingerprint": "0" * 16}, {"source": "other"}):
        assert not any(best(a, on_data(b, **facts)).values())
        assert best(a, on_data(b, **facts), activity_maker("c", firing=1))["sops"] == {"c"}, "against a alone"
    rows = compared([published("ssa_bin-ssa-cifar10"), published("ssa_bin-bin-cifar10"), entry(a, "a")])
    assert not any(rows.best.values())


def test_the_more_accurate_is_best_beyond_both_intervals(activity_maker: Maker) -> None:
    assert best(many(activity_maker("a")), many(activity_maker("b"), [50] * 10))["accuracy"] == {"a"}


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
    check_regression(comparison, excess + 0.1)
    with pytest.raises(CheckFailed, match="above a: SOPs of b by"):
        check_regression(comparison, excess - 0.1)


def test_the_gate_sees_a_first_layer_that_grew(activity_maker: Maker) -> None:
    """On a list without a price for MACs, nothing else tells."""
    run = activity_maker("a", firing=4).model_copy(update={"blocks": []})
    stem = run.ops[0]
    twice = [Part(**{name: 2 * n if isinstance(n, int) else n for name, n in stem.parts[0].model_dump().items()})]
    grown = run.model_copy(update={"ops": [stem.model_copy(update={"parts": twice}), *run.ops[1:]]})
    before, after = (price(each, "rolls-77fj").totals for each in (run, grown))
    assert after.sops == before.sops
    excess = 100 * (after.macs / before.macs - 1)
    comparison = compared([entry(run, "a", "rolls-77fj"), entry(grown, "b", "rolls-77fj")])
    check_regression(comparison, excess + 0.1)
    with pytest.raises(CheckFailed, match=f"above a: MACs of b by {excess:.1f} %$"):
        check_regression(comparison, excess - 0.1)


def test_the_gate_says_what_there_was_none_of(activity_maker: Maker) -> None:
    run = activity_maker("a", firing=4).model_copy(update={"blocks": []})
    before = run.model_copy(update={"ops": [op for op in run.ops if op.parts[0].kind == "spikes"]})
    with pytest.raises(CheckFailed, match="MACs of b from none"):
        check_regression(compared([entry(before, "a"), entry(run, "b")]), 5)


def test_the_gate_names_every_figure_over_the_limit(activity_maker: Maker) -> None:
    names = ("cmos45-fp32", "rolls-77fj")
    runs = {"a": activity_maker("a", firing=2), "b": activity_maker("b", firing=4), "c": activity_maker("c", firing=6)}
    comparison = compared([entry(run, name, *names) for name, run in runs.items()])
    with pytest.raises(CheckFailed) as failed:
        check_regression(comparison, 1)
    for what in ("SOPs", *(f"energy on {id}" for id in names)):
        for name in "bc":
            assert f"{what} of {name} by" in str(failed.value)


def test_the_gate_does_not_open_where_nothing_can_be_compared(activity: Activity) -> None:
    unknown = activity.model_copy(update={"samples": None})
    with pytest.raises(CheckFailed, match="b and a have no operations or energy in common"):
        check_regression(compared([entry(activity, "a"), entry(unknown, "b")]), 5)


def test_nothing_to_compare() -> None:
    with pytest.raises(SnnprofError):
        compared([])


def test_a_published_baseline_by_how_its_id_begins() -> None:
    entries = [published("ssa_bin-ssa-cifar10"), published("qkformer/HST-10-512")]
    assert compared(entries, "paper:qkformer/hst").baseline.name == "HST-10-512"
    with pytest.raises(SnnprofError, match="unknown published row"):
        compared(entries, "paper:spikeyolo")


def test_rows_about_attention_alone_are_marked() -> None:
    sides = [published("spikformer_iclr/Spikformer-8-512"), published("spikformer_iclr/SSA attention/ImageNet")]
    assert compared(sides).unlike == {"Spiking self-attention": "counts the attention, not the network"}

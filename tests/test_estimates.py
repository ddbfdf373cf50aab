"""Headline figures: SSA_Bin's two firing rates, and blocks priced once."""

from __future__ import annotations

import pytest

from snnprof import estimates, pricing, statistics
from snnprof.activity import Accuracy, Activity, Block, OpRecord
from snnprof.pricing import price


def feeding(activity: Activity, name: str = "block.0.attn.attn_lif") -> Activity:
    """The run with the product attn @ v feeding the neurons after it."""
    ops = [op.model_copy(update={"feeds": [name]}) if (op.op, op.index) == ("matmul", 1) else op for op in activity.ops]
    return activity.model_copy(update={"ops": ops})


def unknown_model(activity: Activity) -> Activity:
    model = activity.run.model.model_copy(update={"name": "mine"})
    return activity.model_copy(update={"run": activity.run.model_copy(update={"model": model})})


def fed(op: OpRecord, left: list[str], right: list[str]) -> OpRecord:
    operands = [o.model_copy(update={"fed_by": names}) for o, names in zip(op.operands, (left, right), strict=True)]
    return op.model_copy(update={"operands": operands})


def test_fr_attn_is_the_non_zero_share_of_the_attention_matrix(activity: Activity) -> None:
    (product,) = estimates.attention_products(activity)
    silent, *fired = product.operands[0].histogram
    assert (product.layer, product.index) == ("block.0.attn", 1)
    assert estimates.attention_rate([product]) == pytest.approx(sum(fired) / (silent + sum(fired)))


def test_fr_out_is_the_firing_rate_after_it(activity: Activity) -> None:
    neuron = next(n for n in activity.neurons if n.layer == "block.0.attn.attn_lif")
    run = feeding(activity)
    assert estimates.output_rate(run, estimates.attention_products(run)) == neuron.spikes / neuron.updates
    assert estimates.output_rate(run, []) is None


def test_another_models_attention_is_known_by_what_its_operands_carry(activity: Activity) -> None:
    q, k, v = (f"block.0.attn.{name}_lif" for name in "qkv")
    first, second = (op for op in activity.ops if op.op == "matmul")

    def products(a: OpRecord, b: OpRecord) -> list[OpRecord]:
        return estimates.attention_products(unknown_model(activity.model_copy(update={"ops": [a, b]})))

    quadratic = fed(first, [q], [k]), fed(second, [q, k], [v])
    linear = fed(first, [k], [v]), fed(second, [q], [k, v])
    assert products(*quadratic) == [quadratic[1]]
    assert products(*linear) == []


def test_each_block_is_priced_once(activity: Activity, monkeypatch: pytest.MonkeyPatch) -> None:
    report = price(activity)
    calls, priced = [], pricing._priced_on
    monkeypatch.setattr(pricing, "_priced_on", lambda part, *more: calls.append(part) or priced(part, *more))
    intervals = [estimates.sops(report), estimates.energy(report), estimates.energy_ratio(report, report)]
    assert len(calls) == len(activity.blocks)
    assert intervals[0]
    assert intervals[0].value == pytest.approx(report.totals.sops / 20)
    assert sum(block.totals.sops for block in report.by_block) == pytest.approx(report.totals.sops)


# -- differences of two runs -----------------------------------------------------------------------------------


def answering(activity: Activity, right: list[int], samples: int) -> Activity:
    """The run with so many correct predictions in each block of `samples`."""
    blocks = [
        Block(**{**block.model_dump(), "correct": correct, "samples": samples})
        for block, correct in zip(activity.blocks, right, strict=True)
    ]
    total = samples * len(right)
    accuracy = Accuracy(correct=sum(right), total=total)
    return activity.model_copy(update={"blocks": blocks, "accuracy": accuracy, "samples": total})


def test_accuracies_on_the_same_samples_are_paired(activity: Activity) -> None:
    a, b = answering(activity, [9] * 9 + [10], 10), answering(activity, [9] * 8 + [10, 8], 10)
    paired = estimates.accuracy_difference(a, b)
    assert paired == statistics.paired_proportions([9] * 9 + [10], [9] * 8 + [10, 8], [10] * 10)


def test_accuracies_on_other_samples_are_independent(activity: Activity) -> None:
    a = answering(activity, [9] * 10, 10)
    data = a.run.data.model_copy(update={"order_seed": 1})
    b = a.model_copy(update={"run": a.run.model_copy(update={"data": data})})
    assert estimates.accuracy_difference(a, b) == statistics.unpaired_proportions((90, 100), (90, 100))


def test_of_a_whole_set_in_other_batches_the_totals_are_paired(activity: Activity) -> None:
    data = activity.run.data.model_copy(update={"total": 100})
    whole = activity.model_copy(update={"run": activity.run.model_copy(update={"data": data})})
    a = answering(whole, [9] * 10, 10)
    b = a.model_copy(update={"blocks": a.blocks[:5]})
    assert estimates.accuracy_difference(a, b) == statistics.paired_proportions([90], [90], [100])


def test_predictions_are_known_to_be_equal_by_blocks_or_by_spikes(activity: Activity) -> None:
    silent = [neuron.model_copy(update={"spikes": 0}) for neuron in activity.neurons]
    others = [block.model_copy(update={"neurons": [[0] * 6] * 7}) for block in activity.blocks]

    def same(right: list[int], wrong: list[int], **other: object) -> bool:
        a = answering(activity, right, 2)
        return estimates.same_predictions(a, answering(activity.model_copy(update=other), wrong, 2))

    assert same([2] * 9 + [1], [2] * 9 + [1]), "the same spikes everywhere"
    assert not same([2] * 9 + [1], [2] * 9 + [1], blocks=others), "the last block's one error may be another one"
    assert same([2] * 9 + [0], [2] * 9 + [0], blocks=others), "all or none right in each block"
    assert not same([2] * 10, [2] * 9 + [1])
    quiet = answering(activity.model_copy(update={"neurons": silent}), [1] * 10, 2)
    assert not estimates.same_predictions(quiet, quiet), "no spikes show nothing"


def test_a_heavy_tail_is_reported(activity: Activity, monkeypatch: pytest.MonkeyPatch) -> None:
    report = price(activity)
    assert estimates.heavy_tail(report) is None
    monkeypatch.setattr(estimates, "HEAVY", 1.0)
    figures = sorted(block.totals.sops for block in report.by_block)
    assert estimates.heavy_tail(report) == pytest.approx(figures[-1] / ((figures[4] + figures[5]) / 2))

"""Headline figures: SSA_Bin's two firing rates, and blocks priced once."""

from __future__ import annotations

import pytest

from snnprof import estimates
from snnprof.activity import Activity, OpRecord
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
    calls = []
    monkeypatch.setattr("snnprof.pricing.price", lambda part, *more: calls.append(part) or price(part, *more))
    intervals = [estimates.sops(report), estimates.energy(report), estimates.energy_difference(report, report)]
    assert len(calls) == len(activity.blocks)
    assert intervals[0]
    assert intervals[0].value == pytest.approx(report.totals.sops / 20)
    assert sum(block.totals.sops for block in report.by_block) == pytest.approx(report.totals.sops)

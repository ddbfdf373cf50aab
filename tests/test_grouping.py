"""Rows joined by operation, layer, block or role keep their sums."""

from __future__ import annotations

from typing import get_args

import pytest

from snnprof.activity import Activity
from snnprof.grouping import By, block_of, energy_of, grouped, is_contraction, role_of
from snnprof.pricing import price


@pytest.mark.parametrize("by", get_args(By))
def test_sums_do_not_depend_on_the_grouping(by: By, activity: Activity) -> None:
    report = price(activity)
    groups = grouped([report], by)
    assert sum(group.dense_macs for group in groups) == sum(op.dense_macs for op in activity.ops)
    assert sum(group.sops for group in groups) == pytest.approx(report.totals.sops)
    assert sum(group.energies["cmos45-fp32"] or 0 for group in groups) == pytest.approx(report.energy_pj)


def test_operations_of_a_layer_are_told_apart(activity: Activity) -> None:
    by_op = [group.op for group in grouped([price(activity)], "op", is_contraction) if group.name == "block.0.attn"]
    by_layer = [
        group.op for group in grouped([price(activity)], "layer", is_contraction) if group.name == "block.0.attn"
    ]
    assert by_op == ["matmul 0", "matmul 1"]
    assert by_layer == ["matmul 0, matmul 1"]


def test_the_deviation_of_a_group_is_that_of_its_sums(activity: Activity) -> None:
    """q, k and v: exact by value 360 each, formula 0.625 · 512 = 320 each."""
    qkv = next(group for group in grouped([price(activity)], "role", is_contraction) if group.name == "QKV")
    assert qkv.exact_sops == 3 * 360 * 20
    assert qkv.formula_sops == pytest.approx(3 * 320 * 20)
    assert qkv.deviation == pytest.approx(320 / 360 - 1)


def test_blocks_and_roles_come_from_the_catalogue(activity: Activity) -> None:
    assert block_of(activity, "block.0.attn.q_linear") == "block 0"
    assert role_of(activity, "block.0.attn", 1) == "AV"


def test_blocks_of_other_models_come_from_their_paths(activity: Activity) -> None:
    model = activity.run.model.model_copy(update={"name": "mine"})
    mine = activity.model_copy(update={"run": activity.run.model_copy(update={"model": model})})
    names = ["layers.3.conv", "conv1", "features.0", "", "stage.1.block.2.fc"]
    assert [block_of(mine, name) for name in names] == ["layers.3", "conv1", "features.0", "(root)", "stage.1"]
    assert role_of(mine, "layers.3.conv", 0) is None
    groups = grouped([price(mine)], "role")
    assert {group.name for group in groups} == {"other contraction", "other elementwise", "other neuron"}


def test_work_without_any_price_is_unknown_not_free(activity: Activity) -> None:
    stem = [row for row in price(activity, "rolls-77fj").rows if row.layer == "patch_embed.proj_conv"]
    assert energy_of(stem) is None

"""The summary as a value: ratios, shares and rates, each worked out from the counts."""

from __future__ import annotations

import pytest

from snnprof.activity import Activity
from snnprof.errors import SnnprofError
from snnprof.pricing import price
from snnprof.statistics import Interval
from snnprof.summary import COLUMNS, Choice, Total, summarise


def test_the_ratio_to_the_ann_is_its_dense_macs_over_this_energy(activity: Activity) -> None:
    report = price(activity, "cmos45-fp32")
    dense = 4.6 * sum(op.dense_macs / (op.steps or 1) for op in activity.ops if op.op != "matmul")
    products = [op for op in activity.ops if op.op == "matmul"]
    dense += 4.6 * sum(op.dense_macs / (op.steps or 1) for op in products)
    (total,) = summarise([report]).totals
    assert total.ann_ratio == pytest.approx(dense / report.energy_pj)
    assert total.factor == pytest.approx(max(total.ann_ratio, 1 / total.ann_ratio))


@pytest.mark.parametrize(
    ("ratio", "half", "sign"),
    [(2.0, 0.0, "below"), (0.5, 0.0, "above"), (1.02, 0.03, "equal"), (1.02, 0.01, "below"), (None, 0.0, None)],
)
def test_the_sign_is_claimed_beyond_the_interval_alone(ratio: float, half: float, sign: str) -> None:
    hardware = price(Activity(), "cmos45-fp32").hardware
    total = Total(hardware, 1.0, Interval(1.0, 1.0 - half, 1.0 + half), True, ratio)
    assert total.sign == sign


@pytest.mark.parametrize("by", ["op", "layer", "block", "role"])
def test_parts_add_up_to_the_whole(by: str, activity: Activity) -> None:
    report = price(activity, "cmos45-fp32")
    for top in (1, 3, 99):
        parts = summarise([report], Choice(by=by, top=top)).parts  # type: ignore[arg-type]
        every = [*parts.shown, *filter(None, [parts.rest])]
        assert sum(part.share or 0.0 for part in every) == pytest.approx(1.0)
        assert sum(part.energy or 0.0 for part in every) == pytest.approx(report.energy_pj / 20)
        assert sum(part.dense_macs or 0.0 for part in every) == pytest.approx(report.totals.dense_macs / 20)


@pytest.mark.parametrize("column", COLUMNS)
def test_the_largest_comes_first_and_the_unknown_last(column: str, activity: Activity) -> None:
    parts = summarise([price(activity, "cmos45-fp32")], Choice(by="op", sort=column)).parts.shown
    values = [getattr(part, column) for part in parts]
    known = [value for value in values if value is not None]
    assert values == [*sorted(known, reverse=True), *[None] * (len(values) - len(known))]


def test_one_part_is_never_joined_to_others_alone(activity: Activity) -> None:
    report = price(activity, "cmos45-fp32")
    whole = len(summarise([report], Choice(by="layer")).parts.shown)
    assert summarise([report], Choice(by="layer", top=whole - 1)).parts.rest is None
    rest = summarise([report], Choice(by="layer", top=whole - 2)).parts.rest
    assert rest is not None
    assert rest.joined == 2


def test_rates(activity: Activity) -> None:
    silent = activity.neurons[0].model_copy(update={"spikes": 0})
    rates = summarise([price(activity.model_copy(update={"neurons": [silent, *activity.neurons[1:]]}))]).rates
    assert rates is not None
    fired, updates = sum(n.spikes for n in activity.neurons[1:]), sum(n.updates for n in activity.neurons)
    assert rates.mean == pytest.approx(fired / updates)
    assert rates.lowest == (silent.layer, 0.0)
    assert rates.silent == (silent.layer,)
    assert rates.highest[1] == max(n.spikes / n.updates for n in activity.neurons[1:])
    assert sum(len(each) for _, each in rates.blocks) == len(activity.neurons)


@pytest.mark.parametrize("bad", [{"sort": "colour"}, {"columns": ("sops", "x")}, {"top": 0}])
def test_bad_choices(bad: dict[str, object]) -> None:
    with pytest.raises(SnnprofError):
        Choice(**bad)  # type: ignore[arg-type]

"""What holds for any activity: counts add, less work costs less, a row is never lost."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnprof import conventions
from snnprof.activity import Activity, NeuronRecord, Operand, OpRecord, Part
from snnprof.hardware import load_hardware
from snnprof.pricing import price

ADDITIVE = ("exact", "neurobench")
CMOS = load_hardware("cmos45-fp32")


@st.composite
def parts(draw, kind: str) -> Part:
    """Counts with events <= valid <= dense, as any run has them."""
    dense = draw(st.integers(1, 10**9))
    valid = draw(st.integers(0, dense))
    events = 0 if kind == "silent" else draw(st.integers(0, valid))
    elements = draw(st.integers(1, 10**6))
    nonzero = 0 if kind == "silent" else draw(st.integers(0, elements))
    return Part(
        kind=kind, elements=elements, nonzero=nonzero, level_sum=2 * nonzero, dense_macs=dense, valid_macs=valid,
        events=events, by_value=2 * events, effective=draw(st.integers(0, events)),
    )  # fmt: skip


@st.composite
def operations(draw, index: int = 0) -> OpRecord:
    kinds = draw(st.sets(st.sampled_from(["silent", "spikes", "real"]), min_size=1))
    levels = draw(st.sampled_from([1, 2, 40]))
    data = Operand(role="data", quantum=1.0, levels=levels, fed_by=["lif"])
    return OpRecord(
        layer=f"fc{index}", op="linear", steps=4, weights=10, bias_adds=draw(st.integers(0, 99)),
        parts=[draw(parts(kind)) for kind in ("silent", "spikes", "real") if kind in kinds],
        operands=[data, Operand(role="weight")],
    )  # fmt: skip


@st.composite
def activities(draw) -> Activity:
    updates = draw(st.integers(1, 10**6))
    spikes = draw(st.integers(0, updates))
    lif = NeuronRecord(layer="lif", type="LIFNode", size=10, steps=4, spikes=spikes, updates=updates, driven=updates)
    ops = [draw(operations(index)) for index in range(draw(st.integers(1, 3)))]
    return Activity(samples=draw(st.integers(1, 100)), ops=ops, neurons=[lif])


def again(activity: Activity, data) -> Activity:
    """Another run of the same network: the same kinds, other counts."""
    ops = [op.model_copy(update={"parts": [data.draw(parts(part.kind)) for part in op.parts]}) for op in activity.ops]
    return activity.model_copy(update={"ops": ops})


@pytest.mark.parametrize("id", ADDITIVE)
@settings(max_examples=50, deadline=None)
@given(activity=activities(), data=st.data())
def test_counts_of_merged_runs_add(id, activity, data):
    other = again(activity, data)
    convention = conventions.find(id)
    separate = [line.counts for run in (activity, other) for line in convention.lines(run)]
    merged = [line.counts for line in convention.lines(activity.merge(other))]
    assert astuple(sum(merged, conventions.Counts())) == astuple(sum(separate, conventions.Counts()))


@pytest.mark.parametrize("id", conventions.names())
@settings(max_examples=30, deadline=None)
@given(activity=activities())
def test_rows_add_to_the_total_and_a_spike_is_one_sop_and_one_ac(id, activity):
    report = price(activity, CMOS, convention=id)
    assert all(row.sops == row.acs for row in report.rows)
    for name in ("sops", "macs", "dense_macs"):
        assert sum(getattr(row, name) for row in report.rows) == getattr(report.totals, name)
    known = [row.energy_pj for row in report.rows if row.energy_pj is not None]
    assert (report.energy_pj or 0.0) == pytest.approx(sum(known))


@settings(max_examples=50, deadline=None)
@given(activity=activities())
def test_sparser_is_cheaper(activity):
    """effective <= events <= valid <= dense, so energies are in the same order, and the range holds the figure."""
    exact = conventions.find("exact").with_options(levels="events")

    def energy(**options) -> float:
        return price(activity, CMOS, convention=exact.with_options(**options)).energy_pj or 0.0

    assert energy(synapses="nonzero") <= energy() <= energy(real_count="dense")
    report = price(activity, CMOS, convention=exact)
    silent, firing = report.energy_range_pj
    assert silent <= energy() * (1 + 1e-12)
    assert energy() <= firing * (1 + 1e-12)
    macs = report.dense_run.energy_pj
    bias = sum(op.bias_adds for op in activity.ops) * CMOS.add.value
    assert energy() <= (macs + bias) * (1 + 1e-12)


@settings(max_examples=50, deadline=None)
@given(activity=activities())
def test_what_a_convention_drops_is_listed(activity):
    for id in conventions.names():
        report = price(activity, CMOS, convention=id)
        counted = {(row.layer, row.op, row.index) for row in report.rows}
        missing = sum(op.dense_macs for op in activity.ops if op.key not in counted)
        assert dict(report.left_out).get("linear", 0) == missing

"""The sheet of a run: a record for each layer and time step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snnprof import conventions
from snnprof.activity import Activity, NeuronRecord, Operand, OpRecord, Part
from snnprof.errors import SnnprofError
from snnprof.pricing import price
from snnprof.render import csv
from snnprof.render.steps import steps_document
from snnprof.step_rows import step_sheet


def part(kind: Any, events: int, elements: int = 10) -> Part:
    return Part(
        kind=kind, elements=elements, nonzero=events, level_sum=events, dense_macs=20, valid_macs=20,
        events=2 * events, by_value=2 * events, effective=2 * events,
    )  # fmt: skip


def joined(*steps: Part) -> list[Part]:
    from functools import reduce

    from snnprof.activity import add_parts

    return reduce(add_parts, [[step] for step in steps], list[Part]())


@pytest.fixture
def run() -> Activity:
    """Two steps of two samples: `fc` reads 3 and 0 of 10 spikes, `stem` real frames of which the second is all zero."""
    spikes, silent = part("spikes", 3), part("silent", 0)
    real = part("real", 9)
    weight = Operand(role="weight")
    fc = OpRecord(
        layer="fc", op="linear", steps=2, weights=4, parts=joined(spikes, silent), parts_by_step=[[spikes], [silent]],
        operands=[Operand(role="data", quantum=1, levels=1, fed_by=["lif"]), weight],
        shape={"input": [5], "output": [2], "weight": [5, 2]},
    )  # fmt: skip
    stem = OpRecord(
        layer="stem", op="linear", steps=2, weights=4, parts=joined(real, silent), parts_by_step=[[real], [silent]],
        operands=[Operand(role="data", fed_by=["input"]), weight],
    )  # fmt: skip
    lif = NeuronRecord(
        layer="lif", type="LIF", size=5, steps=2, spikes=3, spikes_per_step=[3, 0], updates=20, driven=20
    )
    return Activity(samples=2, ops=[stem, fc], neurons=[lif])


def test_each_step_has_a_record(run: Activity) -> None:
    rows = step_sheet(price(run)).rows
    assert [(row["layer"], row["step"], row["timesteps"]) for row in rows] == [
        ("stem", 1, 2), ("stem", 2, 2), ("fc", 1, 2), ("fc", 2, 2), ("lif", 1, 2), ("lif", 2, 2),
    ]  # fmt: skip
    assert [(row["sops"], row["macs"]) for row in rows[:4]] == [(0, 10), (0, 10), (3, 0), (0, 0)]
    assert [row["rate"] for row in rows] == [0.9, 0, 0.3, 0, 0.3, 0]
    assert [row["feeding_rate"] for row in rows[2:4]] == [0.3, 0]
    assert [row["spikes"] for row in rows[4:]] == [1.5, 0]
    assert (rows[2]["input_shape"], rows[2]["weight_shape"], rows[2]["per"]) == ("5", "5x2", "inference")


@pytest.mark.parametrize("rule", [each.label for each in conventions.defensible()])
def test_steps_add_up_to_the_report_or_are_unknown(rule: str, run: Activity) -> None:
    report = price(run, convention=rule)
    sheet = step_sheet(report)
    for row in report.rows:
        if row.category == "contraction" and row.layer not in sheet.untold:
            mine = [each for each in sheet.rows if each["layer"] == row.layer]
            assert sum(float(each["sops"] or 0) for each in mine) == pytest.approx(row.sops / 2)
            assert sum(float(each["macs"] or 0) for each in mine) == pytest.approx(row.macs / 2)
    assert not sheet.untold or rule.startswith("spikingformer")


def test_what_a_run_file_does_not_hold_is_unknown(run: Activity) -> None:
    ops = [op.model_copy(update={"parts_by_step": []}) for op in run.ops]
    sheet = step_sheet(price(run.model_copy(update={"ops": ops})))
    assert sheet.untold == ("stem", "fc")
    assert [(row["step"], row["sops"], row["feeding_rate"]) for row in sheet.rows[2:4]] == [
        (1, None, 0.3),
        (2, None, 0),
    ]
    assert sheet.rows[4]["spikes"] == 1.5
    text = steps_document(price(run.model_copy(update={"ops": ops}))).notes[0].texts[0]
    assert text.startswith("SOPs and MACs of stem, fc: ")


def test_excluded_layers_have_no_record(run: Activity) -> None:
    report = price(run, exclude=["stem"])
    assert {row["layer"] for row in step_sheet(report).rows} == {"fc", "lif"}
    assert any("stem" in text for notes in steps_document(report).notes for text in notes.texts)


def test_the_csv_has_the_sheet(run: Activity) -> None:
    lines = csv.render(steps_document(price(run))).splitlines()
    assert lines[0].startswith("block,role,layer,op,index,category,step,timesteps,input,rate,feeding_rate,neurons")
    assert len(lines) == 7


def test_a_file_whose_steps_do_not_add_up_is_damaged(run: Activity, tmp_path: Path) -> None:
    run.save(tmp_path / "good.json")
    assert Activity.load(tmp_path / "good.json").ops == run.ops
    worse = run.ops[1].model_copy(update={"parts_by_step": run.ops[1].parts_by_step[:1] * 2})
    run.model_copy(update={"ops": [run.ops[0], worse]}).save(tmp_path / "bad.json")
    with pytest.raises(SnnprofError, match="the steps of 'fc' do not add up"):
        Activity.load(tmp_path / "bad.json")


def test_a_bundled_run_keeps_its_sheet(run_file: Path, activity: Activity) -> None:
    """A run of an older version, whose contractions are not told apart, has rows all the same."""
    sheet = step_sheet(price(activity))
    assert len(sheet.rows) == sum(record.steps or 0 for record in (*activity.ops, *activity.neurons))

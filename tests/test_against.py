"""Explanations of another tool's counts, on a run made by hand: what is named, what adds up, what stays open."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError

import pytest

from snnprof.activity import Activity, OpRecord
from snnprof.against import Batch, Call, PeerRun, explained, tools
from snnprof.against.energy import steps
from snnprof.against.reasons import REASONS
from snnprof.against.records import Ops, total
from snnprof.errors import SnnprofError
from snnprof.render import csv, html, latex, markdown, terminal
from snnprof.render import json as as_json
from snnprof.render.against import against_document

Rule = Callable[[OpRecord], Ops]


def spikingjelly(op: OpRecord) -> Ops:
    """Its rules, written for the operations of the hand-made run."""
    if op.op == "matmul":
        return Ops(acs=op.events)
    return Ops(acs=op.events) if op.part("spikes").level_sum == op.nonzero != 0 else Ops(macs=op.dense_macs)


def neurobench(op: OpRecord) -> Ops:
    effective = sum(part.effective for part in op.parts)
    return Ops(acs=effective) if op.part("spikes").level_sum == op.nonzero else Ops(macs=effective)


def peer(activity: Activity, tool: str, rule: Rule, seen: Callable[[OpRecord], bool] = lambda op: True) -> PeerRun:
    """What a tool that counts by a rule says of each block; one batch a block, one call an operation."""
    blocks = [activity.restricted(block) for block in activity.blocks]
    batches = [
        Batch(block.samples or 0, tuple(Call(op.layer, "contraction", rule(op)) for op in block.ops if seen(op)))
        for block in blocks
    ]
    return PeerRun(tool, "0", tuple(batches))  # type: ignore[arg-type]


def weighted(op: OpRecord) -> bool:
    return op.op != "matmul"


def test_every_difference_of_spikingjelly_has_its_reason(activity: Activity) -> None:
    found = explained(activity, peer(activity, "spikingjelly", spikingjelly))
    reasons = {row.key: [change.reason for change in row.changes] for row in found.rows}
    assert reasons["patch_embed.proj_conv", "conv", 0] == ["padding"]
    assert reasons["block.0.attn.q_linear", "linear", 0] == ["levels"]
    assert reasons["block.0.attn.proj_linear", "linear", 0] == []
    assert reasons["head", "bias", None] == ["bias"]
    assert reasons["block.0", "add", None] == ["no_rule"]
    for row in found.rows:
        assert total(change.by for change in row.changes) == row.theirs - row.ours
    (stem,) = (op for op in activity.ops if op.op == "conv")
    assert found.by_reason()["padding"][1] == Ops(macs=stem.dense_macs - stem.valid_macs)
    graded = [op for op in activity.ops if op.part("spikes").level_sum > op.part("spikes").nonzero]
    spikes, macs = sum(op.part("spikes").by_value for op in graded), sum(op.dense_macs for op in graded)
    assert found.by_reason()["levels"] == (4, Ops(acs=-spikes, macs=macs))


def test_every_difference_of_neurobench_has_its_reason(activity: Activity) -> None:
    found = explained(activity, peer(activity, "neurobench", neurobench, weighted))
    reasons = {row.key: [change.reason for change in row.changes] for row in found.rows}
    assert reasons["block.0.attn", "matmul", 1] == ["not_seen"]
    assert reasons["block.0.attn.k_linear", "linear", 0] == ["levels"]
    assert reasons["block.0.mlp.fc2_linear", "linear", 0] == []
    assert reasons["block.0", "add", None] == ["not_seen"]
    assert "unexplained" not in found.by_reason()


def test_what_no_rule_leads_to_is_listed_as_unexplained(activity: Activity) -> None:
    def off(op: OpRecord) -> Ops:
        return spikingjelly(op) + Ops(macs=7 if op.layer == "head" else 0)

    found = explained(activity, peer(activity, "spikingjelly", off))
    assert found.by_reason()["unexplained"] == (1, Ops(macs=7 * len(activity.blocks)))
    document = against_document([("spikformer", found)])
    assert document.data["unexplained"] == 1
    assert document.notes[0].texts[0].startswith("unexplained: No known convention")
    assert "1 unexplained" in dict(document.facts)["Rows"]


def test_a_layer_that_snnprof_does_not_know_is_unexplained(activity: Activity) -> None:
    run = peer(activity, "spikingjelly", spikingjelly)
    first = run.batches[0]
    ghost = Batch(first.samples, (*first.calls, Call("ghost", "contraction", Ops(acs=5))))
    found = explained(activity, PeerRun("spikingjelly", "0", (ghost, *run.batches[1:])))
    (row,) = (row for row in found.rows if row.layer == "ghost")
    assert (row.ours, row.theirs) == (Ops(), Ops(acs=5))
    assert [change.reason for change in row.changes] == ["unexplained"]


def test_a_count_that_is_not_a_multiple_of_our_calls_joins_the_layer(activity: Activity) -> None:
    """Which of an attention's two products a third call belongs to cannot be told."""
    run = peer(activity, "spikingjelly", spikingjelly)
    batches = [Batch(b.samples, (*b.calls, Call("block.0.attn", "contraction", Ops(acs=1)))) for b in run.batches]
    found = explained(activity, PeerRun("spikingjelly", "0", tuple(batches)))
    (row,) = (row for row in found.rows if row.key == ("block.0.attn", "matmul", None))
    assert row.theirs - row.ours == Ops(acs=len(batches))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (lambda ops: Ops(acs=ops.macs, macs=ops.acs), "per_call"),
        (lambda ops: ops + Ops(acs=1e-9 * ops.acs), "rounding"),
    ],
)
def test_neurobench_may_round_and_decide_by_call(
    activity: Activity, changed: Callable[[Ops], Ops], reason: str
) -> None:
    def rule(op: OpRecord) -> Ops:
        counted = neurobench(op)
        return changed(counted) if op.layer == "block.0.mlp.fc2_linear" else counted

    found = explained(activity, peer(activity, "neurobench", rule, weighted))
    assert reason in found.by_reason()
    assert "unexplained" not in found.by_reason()


def test_other_batches_are_refused(activity: Activity) -> None:
    run = peer(activity, "spikingjelly", spikingjelly)
    with pytest.raises(SnnprofError, match="ran on other batches"):
        explained(activity, PeerRun("spikingjelly", "0", run.batches[1:]))


def test_the_energies_of_all_reasons_add_up(activity: Activity) -> None:
    first, *middle, last = steps(explained(activity, peer(activity, "spikingjelly", spikingjelly)))
    assert (first.reason, last.reason) == ("ours", "theirs")
    assert first.energy_pj + sum(step.energy_pj for step in middle) == pytest.approx(last.energy_pj)
    assert first.ops.acs * 0.9 + first.ops.macs * 4.6 == pytest.approx(first.energy_pj * (activity.samples or 0))


def test_every_format_shows_ours_theirs_and_why(hostile_activity: Activity) -> None:
    found = explained(hostile_activity, peer(hostile_activity, "spikingjelly", spikingjelly))
    one = against_document([("<b>x</b>_%", found)])
    for render in (terminal.render, markdown.render, latex.render, html.render):
        text = render(one)
        assert "equal" in text
        assert "taps on zero padding" in text
    assert "<b>x" not in html.render(one)
    content = json.loads(as_json.render(one))
    assert content["schema"] == "snnprof.against/0"
    assert {row["reason"] for row in content["way"]} >= {"ours", "padding", "theirs"} - {"ours", "theirs"}
    rows = csv.render(one).splitlines()
    assert len(rows) == 1 + len(found.rows)
    assert rows[0].startswith("model,layer,operation,op,index,ours,theirs,difference,ours_acs,ours_macs")


def test_several_models_stand_in_one_table(activity: Activity) -> None:
    found = explained(activity, peer(activity, "spikingjelly", spikingjelly))
    document = against_document([("a", found), ("b", found)])
    assert [column.header for column in document.tables[0].printed][:2] == ["Model", "Layer"]
    assert len(document.tables[0].rows) == 2 * len(found.rows)


def test_all_reasons_say_what_both_tools_do() -> None:
    for name, reason in REASONS.items():
        sentence = reason.sentence("NeuroBench")
        assert sentence.endswith(".")
        assert "{" not in sentence
        assert "NeuroBench" in sentence, name


@pytest.mark.parametrize("tool", ["spikingjelly", "neurobench"])
def test_a_tool_that_is_not_there_is_named(tool: tools.Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(tools, "version", missing)
    with pytest.raises(SnnprofError, match="is not installed, so nothing can be compared with it") as error:
        tools.must_be_installed(tool)
    assert error.value.exit_code == 2
    assert error.value.hint == f"pip install '{tools.REQUIREMENTS[tool]}'"


def test_an_older_version_without_counters_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(tools, "version", lambda name: "0.0.0.0.14")
    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(SnnprofError, match=r"SpikingJelly 0\.0\.0\.0\.14 has no spikingjelly\.activation_based"):
        tools.must_count("spikingjelly")

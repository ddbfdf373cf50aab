"""A convention's options in one line, and layers that are left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snnprof import conventions
from snnprof.activity import Activity, OpRecord, Part
from snnprof.conventions import Convention, Exclusion
from snnprof.conventions.counts import CHOICES
from snnprof.errors import SnnprofError
from snnprof.pricing import price

Maker = Callable[..., OpRecord]
RUNS = Path(__file__).parent.parent / "data" / "runs"
OTHER: dict[str, tuple[Any, ...]] = {
    "rate": ("input", "mean", "neuron", "network"), "levels": ("by_value", "events", "mac"), "max_levels": (0, 32),
    "attention": ("pairs", "left", "right", "dense"), "real": ("mac", "sop"),
    "real_count": ("valid", "dense", "nonzero"), "encoder": ("every_step", "once"), "synapses": ("all", "nonzero"),
    "batch_norm": ("folded", "counted"), "bias": (True, False), "reductions": (True, False),
    "neuron_updates": (True, False),
}  # fmt: skip


@pytest.fixture(scope="module")
def run() -> Activity:
    return Activity.load(RUNS / "saformer.json")


def test_options_are_read_by_name_and_value() -> None:
    found = conventions.find("exact: levels=events, attention=left ,bias=no,max_levels=7")
    assert found.changed == {"levels": "events", "max_levels": 7, "attention": "left", "bias": False}
    assert found.label == "exact:levels=events,max_levels=7,attention=left,bias=no"
    assert found.rule == f"{conventions.find('exact').title}, with levels=events, max_levels=7, attention=left, bias=no"
    assert conventions.find(found.label) == found


def test_a_preset_and_what_equals_it_have_the_plain_name() -> None:
    assert conventions.find("exact").label == conventions.find("exact:levels=by_value").label == "exact"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("exakt:levels=mac", "unknown convention 'exakt'", "exact"),
        ("exact:", "NAME=VALUE", "levels"),
        ("exact:levels", "'levels'", "convention exact takes"),
        ("exact:levels=", "NAME=VALUE", "levels"),
        ("exact:=mac", "NAME=VALUE", "levels"),
        ("exact:level=mac", "no option 'level'", "'levels'"),
        ("exact:levels=event", "levels=event", "by_value, events, mac"),
        ("exact:levels=mac,levels=mac", "twice", ""),
        ("exact:max_levels=-1", "no such value", "whole number"),
        ("exact:max_levels=٣", "no such value", "whole number"),
        ("exact:bias=maybe", "no such value", "yes, no"),
        ("exact:method=formula", "has method=exact", "another convention"),
        ("exact:rate=mean", "makes no difference", "levels"),
        ("spikingformer-script:encoder=once", "makes no difference", "no options"),
    ],
)
def test_what_is_no_option_is_refused(text: str, message: str, hint: str) -> None:
    with pytest.raises(SnnprofError, match=message) as caught:
        conventions.find(text)
    assert hint in caught.value.hint


@pytest.mark.parametrize("id", conventions.names())
def test_an_option_that_is_not_a_choice_changes_nothing(id: str, run: Activity) -> None:
    convention = conventions.find(id)
    for name in set(CHOICES) - set(convention.choices):
        for value in OTHER[name]:
            try:
                settings = replace(convention.settings, **{name: value})
            except SnnprofError:
                continue
            assert convention.count(run, settings) == convention.lines(run), (name, value)


def test_every_variant_can_be_named_and_none_is_there_twice() -> None:
    labels = [each.label for each in conventions.defensible()]
    assert len(set(labels)) == len(labels)
    assert [conventions.find(label).label for label in labels] == labels
    assert [label for label in labels if ":" not in label] == conventions.names()


@pytest.mark.parametrize(
    ("begun", "expected"),
    [
        ("spikf", ["spikformer"]),
        ("exact:att", ["exact:attention="]),
        ("exact:levels=", ["exact:levels=by_value", "exact:levels=events", "exact:levels=mac"]),
        ("exact:bias=no,enc", ["exact:bias=no,encoder="]),
        ("spikingformer-script:", []),
        ("nobody:", []),
    ],
)
def test_names_options_and_values_are_completed(begun: str, expected: list[str]) -> None:
    assert conventions.completions(begun) == expected


# -- layers left out -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layer", "holds"),
    [
        ("block.1", "block.1", True),
        ("block.1", "block.1.mlp.fc1", True),
        ("block.1", "block.10.mlp.fc1", False),
        ("block.*.mlp", "block.3.mlp.fc1", True),
        ("*.q", "block.3.attn.q", True),
        ("head", "overhead", False),
        ("Head", "head", False),
        ("*", "", False),
        ("", "", False),
    ],
)
def test_a_name_stands_for_a_whole_sub_tree(name: str, layer: str, holds: bool) -> None:
    assert Exclusion((name,)).holds(layer) is holds


def without(*names: str) -> Convention:
    return conventions.find("exact").excluding(Exclusion(names))


def test_what_is_left_out_is_counted_nowhere_and_listed(weighted: Maker, neuron: Callable[..., Any]) -> None:
    def part(events: int) -> Part:
        return Part(kind="spikes", elements=100, dense_macs=1000, valid_macs=1000, events=events, by_value=events)

    ops = [weighted(part(70), layer="a.fc"), weighted(part(30), layer="b.fc")]
    ran = Activity(samples=2, ops=ops, neurons=[neuron("a.lif"), neuron("b.lif")])
    report = price(ran, convention=without("b"))
    assert report.totals.sops == 70
    assert [row.layer for row in report.rows] == ["a.fc", "a.lif"]
    assert report.excluded == [("b", 1000)]
    assert report.ann_twin.operations == 1000 / 4
    assert report.dense_run.operations == 1000
    assert report.lower_bound
    assert "W30" in [finding.code for finding in report.findings]
    assert price(ran, exclude=["b"]).rows == report.rows
    assert not price(ran).excluded


def test_a_layer_belongs_to_the_first_name_that_stands_for_it(run: Activity) -> None:
    report = price(run, exclude=["block", "block.0"])
    whole = sum(op.dense_macs for op in run.ops if op.layer.startswith("block."))
    assert report.excluded == [("block", whole), ("block.0", 0)]


def test_rates_of_other_layers_do_not_change(run: Activity) -> None:
    """A neuron layer that is left out still feeds the layers behind it."""
    rule = "formula:rate=neuron"
    rows = {(row.layer, row.op, row.index): row.sops for row in price(run, convention=rule).rows}
    left = price(run, convention=rule, exclude=["block.0"])
    assert all(rows[row.layer, row.op, row.index] == row.sops for row in left.rows)
    assert 0 < len(left.rows) < len(rows)


@pytest.mark.parametrize(
    ("names", "message"), [(["haed"], "unknown layer to exclude 'haed'"), ([""], "unknown"), (["*"], "no operation")]
)
def test_a_name_of_no_layer_is_refused(names: list[str], message: str, run: Activity) -> None:
    with pytest.raises(SnnprofError, match=message):
        price(run, exclude=names)


def test_the_page_names_every_reading() -> None:
    page = (RUNS.parent.parent.parent / "docs" / "conventions.md").read_text(encoding="utf-8")
    assert [each.label for each in conventions.defensible() if f"`{each.label}`" not in page] == []

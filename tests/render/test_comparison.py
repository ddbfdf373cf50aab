"""Comparisons as documents: the same figures in every format and layout."""

from __future__ import annotations

import csv as csv_module
import io
import json
from collections.abc import Callable
from statistics import NormalDist
from types import ModuleType

import pytest

from snnprof import catalogue
from snnprof.activity import Accuracy, Activity
from snnprof.comparison import Comparison, Entry, compared
from snnprof.pricing import price
from snnprof.render import csv, facts, html, latex, markdown, terminal
from snnprof.render import json as json_format
from snnprof.render.comparison import comparison_document, paper_document
from snnprof.render.notes import FIRST
from snnprof.render.table import Column, Row, Table
from snnprof.statistics import wilson


@pytest.fixture
def comparison(activity_maker: Callable[..., Activity]) -> Comparison:
    """Two runs and a published row."""
    runs = {name: activity_maker("spikformer", firing=firing) for name, firing in (("one", 4), ("two", 2))}
    entries = [Entry(name, ((price(run, "cmos45-fp32"), price(run, "rolls-77fj")),)) for name, run in runs.items()]
    row = catalogue.published_row("ssa_bin-bin-cifar10")
    return compared([*entries, Entry("SSA_Bin (published)", published=row)])


def escape_of(module: ModuleType) -> Callable[[str], str]:
    if module is html:
        return lambda text: text.replace("&", "&amp;")
    return getattr(module, "escaped", str)


@pytest.mark.parametrize("module", [terminal, markdown, latex, html], ids=lambda module: module.__name__)
@pytest.mark.parametrize("layout", ["plain", "main", "ablation"])
def test_people_read_the_same_cells(layout: str, module: ModuleType, comparison: Comparison) -> None:
    document = comparison_document(comparison, "role") if layout == "plain" else paper_document(comparison, layout)  # type: ignore[arg-type]
    whole = {"fit": False} if module is latex else {}
    text = module.render(document, **whole).replace("<wbr>", "").replace(r"\allowbreak{}", "")
    cells = {cell for table in document.tables for row in table.texts() for cell in row} - {""}
    assert len(cells) > 10
    assert all(escape_of(module)(cell) in text for cell in cells)


def test_machines_read_the_figures_themselves(comparison: Comparison) -> None:
    document = comparison_document(comparison)
    rows = list(csv_module.DictReader(io.StringIO(csv.render(document))))
    records = json.loads(json_format.render(document))["sides"]
    for side, row, record in zip(comparison.sides, rows, records, strict=True):
        assert record["sops"] == float(row["sops"]) == pytest.approx(side.sops.value)
        assert row["per"] == "inference"
        assert record["accuracy"] == side.accuracy.value
        energy = side.energies.get("cmos45-fp32")
        assert record["energy_pj_cmos45_fp32"] == (pytest.approx(energy.value) if energy else None)


def test_an_ablation_has_a_group_of_columns_for_each_data_set(comparison: Comparison) -> None:
    (table,) = paper_document(comparison, "ablation").tables
    assert table.groups() == [("", 1), ("digits", 4), ("CIFAR-10", 5)], "no run says what its attention feeds"
    assert [column.header for column in table.columns[1:6]] == ["Acc", "fr_attn", "fr_out", "SOPs", "Energy"]
    published = table.rows[-1].values
    assert (published["cifar_10_fr_attn"], published["cifar_10_fr_out"]) == (0.08, 0.08)


def test_what_must_be_read_first_comes_first(activity: Activity) -> None:
    model = activity.run.model.model_copy(update={"note": "A reconstruction."})
    other = activity.model_copy(update={"run": activity.run.model_copy(update={"model": model, "timesteps": 9})})
    entries = [Entry(name, ((price(run),),)) for name, run in (("a", activity), ("b", other))]
    notes = comparison_document(compared(entries)).notes
    assert [part.topic for part in notes[:2]] == [FIRST, "What differs"]
    assert notes[0].texts == ("b: A reconstruction.",)
    assert "time steps T differ: 2 (a); 9 (b)" in notes[1].texts


def test_accuracies_have_bounds_within_0_and_100_percent(comparison: Comparison) -> None:
    """18 of 20: Wilson's bounds, in print and for machines; the difference of the two as well."""
    low, high = wilson(18, 20, NormalDist().inv_cdf(0.975))
    document = comparison_document(comparison)
    sides, ratios = document.tables[:2]
    assert sides.records()[0]["accuracy_interval"] == f"{100 * low:.1f}–{100 * high:.1f}"
    assert (sides.records()[0]["accuracy_low"], sides.records()[0]["accuracy_high"]) == pytest.approx((low, high))
    record = ratios.records()[0]
    assert record["energy_ratio_low"] <= record["energy_ratio"] <= record["energy_ratio_high"]
    assert record["accuracy_difference_low"] < 0 < record["accuracy_difference_high"]
    assert json.loads(json_format.render(document))["margin_points"] == 1.0


def test_a_table_with_best_marks_says_what_they_rank(activity_maker: Callable[..., Activity]) -> None:
    entries = [Entry(name, ((price(activity_maker("a", firing=n)),),)) for name, n in (("a", 8), ("b", 2))]
    for documents in (comparison_document(compared(entries)), paper_document(compared(entries), "main")):
        table = documents.tables[0]
        assert any(row.best for row in table.rows)
        assert any("not ranked" in note for note in table.notes)
    alone = comparison_document(compared(entries[:1])).tables[0]
    assert not any("not ranked" in note for note in alone.notes)


def test_the_accuracy_of_a_report_is_a_proportion(activity: Activity) -> None:
    def line(correct: int, total: int, of: int) -> str:
        data = activity.run.data.model_copy(update={"total": of})
        run = activity.run.model_copy(update={"data": data})
        accuracy = Accuracy(correct=correct, total=total)
        changed = activity.model_copy(update={"accuracy": accuracy, "run": run, "samples": total, "blocks": []})
        return dict(facts.facts([price(changed)]))["accuracy"]

    assert line(357, 360, 360) == "99.17 % (357/360, 95 % CI 97.6–99.7)"
    assert line(359, 360, 360) == "99.72 % (359/360, 95 % CI 98.4–100.0, approximate with 1 wrong)"
    assert line(90, 100, 200) == "90.00 % (90/100, 95 % CI 82.6–94.5; of all 200 samples 85.1–93.4)"


def test_a_heavy_tail_is_a_line_of_the_report(activity: Activity, monkeypatch: pytest.MonkeyPatch) -> None:
    report = price(activity)
    assert "heavy tail" not in dict(facts.facts([report]))
    monkeypatch.setattr("snnprof.estimates.HEAVY", 1.0)
    assert "times the median block" in dict(facts.facts([report]))["heavy tail"]


def test_papers_name_networks_by_blocks_and_width(activity: Activity) -> None:
    """Not by the preset, which also names the data or a row of an ablation; settings of the command line count."""

    def architecture(name: str, preset: str | None, settings: str = "") -> object:
        model = activity.run.model.model_copy(update={"name": name, "preset": preset})
        run = activity.run.model_copy(update={"model": model, "conditions": {"--set": settings} if settings else {}})
        entry = Entry("x", ((price(activity.model_copy(update={"run": run})),),))
        return paper_document(compared([entry]), "main").tables[0].rows[0].values["architecture"]

    assert architecture("spikformer", "4-384-cifar10") == "Spikformer-4-384"
    assert architecture("ssa_bin", "digits") == "SSA_Bin-2-64"
    assert architecture("saformer", "digits", "depth=3 width=32") == "SAFormer-3-32"
    assert architecture("sew_resnet", "34-imagenet") == "SEW-ResNet-34", "papers name a ResNet's width if it is not 64"
    assert architecture("ms_resnet", "digits") == "MS-ResNet-18-8"
    assert architecture("mine", None) is None
    assert architecture("spikformer", "gone") is None


def test_a_published_row_has_the_network_of_its_preset() -> None:
    ids = ("spikformer-4-384-400e-cifar10", "sew-resnet-34-imagenet", "sdt/Att-MS-ResNet-18@224/T1")
    rows = [catalogue.published_row(id) for id in ids]
    document = paper_document(compared([Entry(row.title, published=row) for row in rows]), "main")
    assert [row.values["architecture"] for row in document.tables[0].rows] == [
        "Spikformer-4-384",
        "SEW-ResNet-34",
        None,
    ]


def test_parameters_have_a_unit_of_their_own() -> None:
    """29.68 M parameters beside 11.09 G operations are not 0.030 G."""
    row = catalogue.published_row("spikformer_v1/Spikformer-8-512@224/T4")
    table = comparison_document(compared([Entry(name, published=row) for name in "ab"])).tables[0]
    cells = dict(zip(table.headers(), table.texts()[0], strict=True))
    assert cells["Parameters (M)"] == "29.680"
    assert cells["SOPs (G)"] == "11.090"


def test_far_apart_values_of_a_column_have_units_of_their_own() -> None:
    """2.5 million beside 11 billion: neither 0.0025 G nor 11,090 M; values near each other share a unit in the head."""
    column = Column("sops", "SOPs", "count", apart=True)
    apart = Table("t", "", (column,), tuple(Row({"sops": n}) for n in (2.53e6, 11.09e9, None)))
    assert (apart.headers(), apart.texts()) == (["SOPs"], [["2.530 M"], ["11.090 G"], ["–"]])
    near = Table("t", "", (column,), tuple(Row({"sops": n}) for n in (2.53e6, 11.09e6)))
    assert (near.headers(), near.texts()) == (["SOPs (M)"], [["2.530"], ["11.090"]])

"""Every format: a golden file, hostile names, and the same numbers everywhere."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from types import ModuleType

import pandas as pd
import pytest

from snnprof.activity import Activity
from snnprof.pricing import price
from snnprof.render import csv as csv_format
from snnprof.render import html, latex, markdown, terminal
from snnprof.render import json as json_format
from snnprof.render.table import Column, Document, Notes, Row, Table
from snnprof.render.tables import report_document

FORMATS = {
    "table.txt": terminal, "csv": csv_format, "json": json_format, "md": markdown, "tex": latex, "html": html,
}  # fmt: skip
FOR_PEOPLE = {name: FORMATS[name] for name in ("table.txt", "md", "tex", "html")}


@pytest.fixture
def document() -> Document:
    """Hand-made, so that the golden files change only when a format does."""
    columns = (
        Column("layer", "Layer"),
        Column("sops", "SOPs", "count", interval="sops_ci95"),
        Column("deviation", "Deviation", "signed_percent", drop=1),
        Column("energy_pj", "cmos45-fp32", "energy"),
    )
    rows = (
        Row({"layer": "patch_embed.proj_conv", "sops": None, "deviation": None, "energy_pj": 24.7e6}, "stem"),
        Row({"layer": "block.0.attn", "sops": 1.25e6, "sops_ci95": 2e4, "deviation": 0.19, "energy_pj": 1.125e6}, "b",
            best=frozenset({"energy_pj"})),
        Row({"layer": "block.0.mlp", "sops": 2.5e6, "deviation": -0.58, "energy_pj": 2.25e6}, "b"),
        Row({"layer": "total", "sops": 3.75e6, "energy_pj": 28.075e6}, total=True),
    )  # fmt: skip
    return Document(
        title="spikformer:digits on digits",
        tables=(Table("operations", "Operations per inference", columns, rows, ("±: 95 % interval.",)),),
        facts=(("data", "digits; samples 20 of 360; T = 4"), ("accuracy", "98.9 %")),
        notes=(Notes("Read this first", ("the head reads an average, not spikes; priced as MAC",)),),
        data={"samples": 20},
        command="snnprof report run.json",
    )


@pytest.mark.parametrize("suffix", FORMATS)
def test_golden(suffix: str, document: Document, golden: Callable[[str, str], None]) -> None:
    text = re.sub(r"<(style|script)>.*?</\1>", r"<\1></\1>", FORMATS[suffix].render(document), flags=re.S)
    golden(f"report.{suffix}", re.sub(r"sha256-[^']*", "sha256-", text))


def test_golden_siunitx(document: Document, golden: Callable[[str, str], None]) -> None:
    golden("report.siunitx.tex", latex.render(document, siunitx=True))


def test_siunitx_columns_are_as_wide_as_their_numbers() -> None:
    """Sign, digits before and after the point, digits of the half-width; a name stays what it was."""
    columns = (Column("name", "Name"), Column("n", "N", "count", interval="half"), Column("d", "D", "signed_percent"))
    rows = (
        Row({"name": "a", "n": 12.534e6, "half": 2.9e4, "d": -1.11}, best=frozenset({"n"})),
        Row({"name": "b", "n": 2.5e6, "d": None}),
    )
    text = latex.render(Document("t", (Table("t", "", columns, rows),)), siunitx=True)
    assert r"\begin{tabular}{@{}lS[table-format=2.3(2)]S[table-format=+3.1]@{}}" in text
    assert r"a & \bfseries 12.534 +- 0.029 & -111.0 \\" in text
    assert r"b & 2.500 & {--} \\" in text
    assert " & {N} & {D} \\\\\nName & {(M)} & {(\\%)} \\\\\n" in text


def test_groups_of_columns_stand_under_one_heading() -> None:
    columns = (Column("m", "Method"), Column("a", "Acc", group="x"), Column("b", "SOPs", "count", group="x"),
               Column("c", "Acc", group="y"))  # fmt: skip
    document = Document("t", (Table("t", "", columns, (Row({"m": "n", "a": "1", "b": 2, "c": "3"}),)),))
    assert document.tables[0].headers() == ["Method", "x Acc", "x SOPs", "y Acc"]
    tex = latex.render(document)
    assert r"\multicolumn{1}{c}{} & \multicolumn{2}{c}{x} & \multicolumn{1}{c}{y} \\" in tex
    assert r"\cmidrule(lr){2-3}\cmidrule(lr){4-4}" in tex
    page = html.render(document)
    assert '<th colspan="2">x</th>' in page
    assert ">Acc</th>" in page


def report(activity: Activity, **options: object) -> Document:
    return report_document([price(activity, "cmos45-fp32"), price(activity, "rolls-77fj")], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("module", FOR_PEOPLE.values(), ids=FOR_PEOPLE)
def test_formats_for_people_print_the_same_cells(module: ModuleType, activity: Activity) -> None:
    document = report(activity)
    whole = {"fit": False} if module is latex else {}
    text = module.render(document, **whole).replace("<wbr>", "").replace(r"\allowbreak{}", "")
    for table in document.tables:
        for cell in {cell for row in table.texts() for cell in row} - {"", "–"}:
            assert escape_of(module)(cell) in text


def escape_of(module: ModuleType) -> Callable[[str], str]:
    if module is html:
        return lambda text: text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return getattr(module, "escaped", str)


def test_csv_reads_back_equal(activity: Activity) -> None:
    document = report(activity)
    rows = list(csv.DictReader(io.StringIO(csv_format.render(document))))
    assert document.machine is not None
    for record, row in zip(document.machine.records(), rows, strict=True):
        for key, value in record.items():
            expected = pytest.approx(value, rel=1e-11) if isinstance(value, float) else value
            assert row[key] == "" if value is None else type(value)(row[key]) == expected, key
    assert all(re.fullmatch("[a-z0-9_]+", name) for name in rows[0])


def test_csv_energies_add_up_to_the_total(activity: Activity) -> None:
    frame = pd.read_csv(io.StringIO(csv_format.render(report(activity))))
    expected = price(activity, "cmos45-fp32").energy_pj
    assert expected is not None
    assert frame["energy_pj_cmos45_fp32"].sum() == pytest.approx(expected / 20)
    assert frame["dense_macs"].sum() == pytest.approx(sum(op.dense_macs for op in activity.ops) / 20)


def test_printed_columns_add_up_to_the_printed_total(activity: Activity) -> None:
    """Each printed cell is off by half of its last digit at most."""
    table = report(activity).tables[0]
    for position, column in enumerate(table.printed):
        if column.kind not in ("count", "energy"):
            continue
        *cells, total = [row[position] for row in table.texts()]
        numbers = [number(cell) for cell in cells]
        assert sum(numbers) == pytest.approx(number(total), abs=0.0005 * (len(numbers) + 1)), column.header


def number(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-")) if text not in ("", "–") else 0.0


def test_json_holds_the_facts_and_every_table(activity: Activity) -> None:
    content = json.loads(json_format.render(report(activity)))
    assert content["schema"] == "snnprof.report/0"
    assert content["samples"] == 20
    assert content["convention"]["id"] == "exact"
    assert [h["id"] for h in content["hardware"]] == ["cmos45-fp32", "rolls-77fj"]
    assert len(content["rows"]) > len(activity.ops)
    assert len(content["neurons"]) == len(activity.neurons)


def test_nothing_unpriced_is_shown_as_zero(activity: Activity) -> None:
    """The image's convolution is all MACs, for which the analog synapse has no price."""
    content = json.loads(json_format.render(report(activity)))
    stem = next(row for row in content["rows"] if row["layer"] == "patch_embed.proj_conv" and row["op"] == "conv")
    assert stem["energy_pj_rolls_77fj"] is None
    assert stem["exact_sops"] is None


# -- hostile names ---------------------------------------------------------------------------------------------


def test_hostile_names_in_csv(hostile_activity: Activity, hostile_names: tuple[str, ...]) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_format.render(report(hostile_activity)))))
    assert set(hostile_names) <= {row["layer"] for row in rows}


def test_hostile_names_in_json(hostile_activity: Activity, hostile_names: tuple[str, ...]) -> None:
    content = json.loads(json_format.render(report(hostile_activity)))
    assert set(hostile_names) <= {row["layer"] for row in content["rows"]}


def test_hostile_names_in_a_pipe(hostile_activity: Activity, hostile_names: tuple[str, ...]) -> None:
    text = terminal.render(report(hostile_activity))
    assert all(name in text for name in hostile_names)
    assert "…" not in text
    assert "\x1b" not in text


def test_escape_sequences_do_not_reach_the_terminal(activity: Activity) -> None:
    ops = [op.model_copy(update={"layer": "x\x1b[31m\ny"}) for op in activity.ops[:1]]
    text = terminal.render(report(activity.model_copy(update={"ops": ops, "blocks": []})))
    assert "\x1b" not in text
    assert "x\\x1b[31m y" in text


def test_hostile_names_in_markdown(hostile_activity: Activity) -> None:
    lines = [line for line in markdown.render(report(hostile_activity)).splitlines() if line.startswith("|")]
    tables = {len(re.findall(r"(?<!\\)\|", line)) for line in lines if "rate" in line or "---" in line}
    assert all(len(re.findall(r"(?<!\\)\|", line)) in tables for line in lines)
    assert not any(re.search(r"(?<!\\)<script", line) for line in lines)


def test_hostile_names_in_latex(hostile_activity: Activity) -> None:
    body = [line for line in latex.render(report(hostile_activity)).splitlines() if not line.startswith("%")]
    text = "\n".join(body).replace(r"\allowbreak{}", "")
    assert r"a\_b\%c" in text
    assert r"\textless{}script\textgreater{}" in text
    assert not re.search(r"(?<!\\)[%#_]", text)
    assert r"{[}red{]}" in text, r"a bare [ after \\ would be read as a length"
    assert all(ord(character) < 0x180 for character in text)


def test_hostile_names_in_html(hostile_activity: Activity) -> None:
    text = html.render(report(hostile_activity)).replace("<wbr>", "")
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


# -- terminal --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_a_narrow_terminal_loses_columns_but_no_digits(width: int, activity: Activity) -> None:
    document = report(activity)
    text = terminal.render(document, width)
    for table in document.tables:
        columns = terminal.fitting(table, width)
        for cells in table.texts(columns):
            numbers = [re.escape(cell) for cell, column in zip(cells, columns, strict=True) if column.numeric]
            assert re.search(r"\s+".join([*numbers]) + "$", text, re.M)


@pytest.mark.parametrize("width", [None, 40, 60, 80, 100, 140])
def test_columns_that_have_no_room_are_named(width: int | None, activity: Activity) -> None:
    """CSV holds the rows of the first table alone, JSON those of all tables."""
    document = report(activity)
    words = " ".join(terminal.render(document, width).split())
    for table, form in zip(document.tables, ["csv", *["json"] * len(document.tables)], strict=False):
        shown = terminal.fitting(table, width)
        missing = [column for column in table.printed if column not in shown]
        names = ", ".join(table.headers(missing))
        advice = f"To see them: widen the terminal, pipe into 'less -S', or add --format {form}."
        assert not missing or f"Columns left out: {names}. {advice}" in words
    assert ("Columns left out" in words) == any(terminal.fitting(t, width) != t.printed for t in document.tables)


def test_tables_fit_a_terminal_of_80_columns(activity: Activity) -> None:
    lines = terminal.render(report(activity), 80).splitlines()
    assert max(map(len, lines)) <= 80


def test_colour_only_when_asked(activity: Activity) -> None:
    assert "\x1b[" in terminal.render(report(activity), 80, colour=True)
    assert "\x1b[" not in terminal.render(report(activity), 80)


# -- web page --------------------------------------------------------------------------------------------------


def test_the_web_page_is_whole_and_offline(activity: Activity) -> None:
    text = html.render(report(activity, figures=True))
    assert not re.search(r"<(link|img|iframe)\b|\bsrc=|@import|url\(|https?://", text)
    assert "prefers-color-scheme: dark" in text


def test_the_web_page_closes_what_it_opens(hostile_activity: Activity) -> None:
    tags = Tags()
    tags.feed(html.render(report(hostile_activity, figures=True)))
    assert tags.open == []
    assert tags.mistakes == []


class Tags(HTMLParser):
    """Which tags are open, and which were closed out of turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.mistakes: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "br", "wbr", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open.pop() != tag:
            self.mistakes.append(tag)


@pytest.mark.parametrize("by", ["op", "layer", "block", "role"])
def test_every_grouping_keeps_the_total(by: str, activity: Activity) -> None:
    totals = {by: report(activity, by=by).tables[0].rows[-1].values for by in ("op", by)}
    assert totals[by]["energy_pj_cmos45_fp32"] == totals["op"]["energy_pj_cmos45_fp32"]
    assert totals[by]["exact_sops"] == totals["op"]["exact_sops"]


def test_a_machine_that_can_price_nothing_does_not_vanish(activity: Activity) -> None:
    real = activity.model_copy(update={"ops": activity.ops[:1], "neurons": [], "elementwise": [], "blocks": []})
    table = report(real).tables[0]
    assert table.texts()[-1][-1] == "–"
    assert table.headers()[-1].startswith("rolls-77fj")

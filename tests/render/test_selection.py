"""--sort, --top and --columns of a table: which rows stay, in which order, and that the total stays the total."""

from __future__ import annotations

import csv
import io

import pytest

from snnprof.activity import Activity
from snnprof.errors import SnnprofError
from snnprof.pricing import price
from snnprof.render import csv as csv_format
from snnprof.render import terminal
from snnprof.render.selection import Selection
from snnprof.render.table import Document
from snnprof.render.tables import report_document


@pytest.fixture
def document(activity: Activity) -> Document:
    return report_document([price(activity, "cmos45-fp32"), price(activity, "rolls-77fj")])


def test_nothing_chosen_changes_nothing(document: Document) -> None:
    assert Selection().of(document) == document


def test_rows_come_largest_first_and_the_unknown_last(document: Document) -> None:
    table = Selection(sort="energy").of(document).tables[0]
    energies = [row.values.get("energy_pj_cmos45_fp32") for row in table.rows if not row.total]
    known = [value for value in energies if value is not None]
    assert energies[: len(known)] == sorted(known, reverse=True)
    assert table.rows[-1] == document.tables[0].rows[-1], "the total stays last, and whole"


def test_names_come_by_letter(document: Document) -> None:
    layers = [row.values["layer"] for row in Selection(sort="layer").of(document).tables[0].rows if not row.total]
    assert layers == sorted(layers)


def test_what_is_left_out_is_said(document: Document) -> None:
    table = Selection(top=2).of(document).tables[0]
    assert [row.values["layer"] for row in table.rows] == ["patch_embed.proj_conv", "block.0.attn.q_linear", "total"]
    assert table.notes[-1] == f"{len(document.tables[0].rows) - 3} more rows are in the total."


def test_columns_are_those_named_beside_the_name(document: Document) -> None:
    chosen = Selection(columns=("energy", "rate"), top=1).of(document)
    header = terminal.render(chosen).splitlines()[3].split("   ")
    assert [name.strip() for name in header if name.strip()] == [
        "Layer", "cmos45-fp32 (nJ)", "rolls-77fj (pJ)", "Input rate",
    ]  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(csv_format.render(chosen))))
    assert len(rows) == 1
    assert list(rows[0]) == [
        "block", "role", "layer", "op", "index", "category", "per",
        "energy_pj_cmos45_fp32", "energy_pj_rolls_77fj", "rate",
    ]  # fmt: skip


@pytest.mark.parametrize("bad", [{"sort": "colour"}, {"columns": ("layer", "x")}, {"top": 0}])
def test_bad_choices(bad: dict[str, object]) -> None:
    with pytest.raises(SnnprofError):
        Selection(**bad)  # type: ignore[arg-type]

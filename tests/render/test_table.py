"""How a value is printed: one unit per kind and table, unknown as –, a small number never as 0."""

from __future__ import annotations

import pytest

from snnprof.render import terminal
from snnprof.render.table import Column, Document, Row, Table, number_text

COUNT = Column("macs", "MACs", "count")
ENERGY = Column("energy_pj", "Energy", "energy")


def texts(column: Column, *values: float | None) -> list[str]:
    table = Table("t", "", (column,), tuple(Row({column.key: value}) for value in values))
    return [*table.headers(), *(cell for row in table.texts() for cell in row)]


def test_the_unit_is_that_of_the_largest_value() -> None:
    assert texts(COUNT, 934_035_456, 1_500_000) == ["MACs (M)", "934.035", "1.500"]
    assert texts(ENERGY, 354.2e6, 0.5e6) == ["Energy (µJ)", "354.200", "0.500"]
    assert texts(ENERGY, 0.25) == ["Energy (fJ)", "250.000"]


def test_small_counts_stay_whole() -> None:
    assert texts(COUNT, 9_999, 3) == ["MACs", "9,999", "3"]
    assert texts(COUNT, 12.5, 3) == ["MACs", "12.500", "3"]


def test_a_small_number_is_not_nothing() -> None:
    assert texts(COUNT, 1e9, 23_456, 0) == ["MACs (G)", "1.000", "0.000023", "0"]


def test_unknown_is_a_dash_and_a_missing_key_is_blank() -> None:
    table = Table("t", "", (COUNT, ENERGY), (Row({"macs": None}), Row({"macs": 1, "energy_pj": 2.0})))
    assert table.texts()[0] == ["–", ""]


def test_columns_of_one_kind_share_a_unit() -> None:
    columns = (COUNT, Column("sops", "SOPs", "count"))
    table = Table("t", "", columns, (Row({"macs": 5e9, "sops": 2e6}),))
    assert table.headers() == ["MACs (G)", "SOPs (G)"]
    assert table.texts() == [["5.000", "0.002"]]


def test_a_column_may_insist_on_its_unit() -> None:
    assert texts(Column("e", "Energy", "energy", unit="mJ"), 99.334e6) == ["Energy (mJ)", "0.0993"]


def test_intervals_stand_behind_their_value() -> None:
    column = Column("sops", "SOPs", "count", interval="spread")
    spreads = ((2e6, 1e5), (2e6, None), (2e6, 1e-9), (2341, 400))
    table = Table("t", "", (column,), tuple(Row({"sops": value, "spread": half}) for value, half in spreads))
    assert table.texts() == [["2.000 ± 0.100"], ["2.000"], ["2.000 ± 0"], ["0.00234 ± 0.00040"]]
    assert table.keys() == ["sops", "spread"]


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (-11.1, "signed_percent", "−11.1"),
        (4.0, "signed_percent", "+4.0"),
        (0.0, "rate", "0"),
        (-1.1e-14, "signed_percent", "0"),
        (-0.0004, "signed_percent", "−0.00040"),
        (1234567, "integer", "1,234,567"),
    ],
)
def test_numbers(value: float, kind: str, text: str) -> None:
    assert number_text(value, kind) == text  # type: ignore[arg-type]


def test_columns_nobody_filled_are_left_out() -> None:
    optional = Column("note", "Note", drop=1)
    assert Table("t", "", (COUNT, optional), (Row({"macs": 1, "note": None}),)).printed == (COUNT,)


def test_a_narrow_terminal_folds_sentences_and_cuts_paths_alone() -> None:
    """Words are lost from no sentence; of a path that is longer than the column, the middle is."""
    sentence = "energy -2.2 % (95 % CI -2.7 to -1.8): energies are not directly comparable"
    path = "block.0.attention.query.projection.linear"
    rows = (Row({"name": "a", "claim": sentence}), Row({"name": path, "claim": "b"}))
    table = Table("t", "", (Column("name", "Layer"), Column("claim", "In words")), rows)
    lines = terminal.render(Document("title", (table,)), 60).splitlines()
    assert max(map(len, lines)) <= 60
    assert " ".join(" ".join(line[31:] for line in lines[4:]).split()).startswith(sentence)
    assert terminal.shortened(path, 28) in "".join(lines)

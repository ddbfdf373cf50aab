"""Printed numbers: what rounds to them, and what is none."""

from __future__ import annotations

import copy
import pickle

import pytest

from snnprof.audit.printed import COUNTS, ENERGIES, Printed, Range, quantity


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("4.50", 4.495, 4.505), ("4.5", 4.45, 4.55), ("6.82", 6.815, 6.825), ("350", 349.5, 350.5),
        ("0.099334", 0.0993335, 0.0993345), ("1.29e9", 1.285e9, 1.295e9), (".5", 0.45, 0.55), ("0", 0.0, 0.5),
    ],
)  # fmt: skip
def test_a_printed_number_stands_for_what_rounds_to_it(text: str, low: float, high: float) -> None:
    assert Printed(text).range == Range(pytest.approx(low), pytest.approx(high))  # type: ignore[arg-type]
    assert Printed(text) == float(text)


@pytest.mark.parametrize(
    "text", ["", "nan", "inf", "-1", "1,2", "1 2", "1e400", "1e99", "0x1", "1_0", "٣", "4.5 mJ", "9" * 50]
)
def test_what_no_table_prints_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number that a table can print"):
        Printed(text)


def test_copies_keep_the_digits() -> None:
    for same in (copy.deepcopy(Printed("4.50")), pickle.loads(pickle.dumps(Printed("4.50"))), Printed(Printed("4.50"))):
        assert same.text == "4.50"


def test_units() -> None:
    assert quantity("4.50mJ", ENERGIES, None).range.low == pytest.approx(4.495e9)
    assert quantity("99.334 uJ", ENERGIES, "mJ").text == "99.334 µJ"
    assert quantity("4.50", ENERGIES, "mJ").between == "4.495 to 4.505 mJ"
    assert quantity("86.70 M", COUNTS, "G").in_unit(1e9).range == Printed("0.08670").range
    for wrong in ("4.5 kWh", "4.5", "mJ", "4.5 mJ mJ"):
        with pytest.raises(ValueError, match=r"unit|not a number"):
            quantity(wrong, ENERGIES, None)


def test_how_far_ranges_are_apart() -> None:
    assert Range(1, 2).off(Range(1.5, 3)) == 0
    assert Range(2.2, 3).off(Range(1, 2)) == pytest.approx(0.1)
    assert Range(0.5, 0.9).off(Range(1, 2)) == pytest.approx(-0.1)

"""The cases of benchmarks/accuracy.py: snnprof is right on every one, and the page shows what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def accuracy(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("benchmarks/accuracy.py")


def test_snnprof_is_right_on_every_case(accuracy: ModuleType) -> None:
    rows = accuracy.judged({"snnprof": accuracy.ask_snnprof})
    assert len(rows) >= 40
    assert [case.name for case, answers in rows if answers["snnprof"].kind != accuracy.RIGHT] == []


def test_verdicts(accuracy: ModuleType) -> None:
    count = accuracy.Count
    case = accuracy.Case("c", None, (), count(sops=10), 20, {"by value": count(sops=12)})
    kinds = [
        accuracy.verdict(case, answer).kind
        for answer in (
            accuracy.Answer(10, 0), accuracy.Answer(10), accuracy.Answer(12, 0), accuracy.Answer(11, 0),
            accuracy.Answer(10, 5), accuracy.Answer(dense=20), accuracy.Answer(dense=40), ValueError("no"),
        )
    ]  # fmt: skip
    right, convention, wrong = accuracy.RIGHT, accuracy.CONVENTION, accuracy.WRONG
    assert kinds == [right, right, convention, wrong, wrong, right, wrong, wrong]


def test_the_page_lists_the_cases_as_they_are(accuracy: ModuleType) -> None:
    page = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")
    for case in accuracy.cases():
        assert f"| {case.name} | {case.exact} | {case.dense} |" in page, case.name

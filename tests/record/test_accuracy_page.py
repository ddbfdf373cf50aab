"""The cases of benchmarks/accuracy.py: snnprof is right on every one, and the page shows what it says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def accuracy(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("benchmarks/accuracy.py")


def test_snnprof_is_right_on_every_case(accuracy: ModuleType) -> None:
    rows = accuracy.judged({"snnprof": accuracy.ask_snnprof})
    assert len(rows) >= 63
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


def test_spikes_and_their_levels_by_hand(accuracy: ModuleType) -> None:
    """Three outputs: two single spikes, then quarters of 1 and 3 levels."""
    layer, count = nn.Linear(4, 3), accuracy.Count
    calls = [(layer, torch.tensor([[1.0, 0.0, 1.0, 0.0]])), (layer, torch.tensor([[0.25, 0.75, 0.0, 0.0]]))]
    exact, conventions = accuracy.spike_counts(calls, quantum=0.25)
    assert exact == count(sops=3 * (2 + 1 + 3))
    assert conventions["by event"] == count(sops=3 * (2 + 2))
    assert conventions["graded spikes as dense MAC"] == count(sops=3 * 2, macs=3 * 4)
    assert conventions["graded spikes as sparse MAC"] == count(sops=3 * 2, macs=3 * 2)


def test_a_case_of_state_tells_a_fresh_batch_from_one_that_goes_on(accuracy: ModuleType) -> None:
    case = accuracy.state_case()
    assert list(case.conventions.values()) != [case.exact]


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")


def test_the_page_lists_the_cases_as_they_are(accuracy: ModuleType, page: str) -> None:
    for case in accuracy.cases():
        assert f"| {case.name} | {case.exact} | {case.dense} |" in page, case.name


def test_the_page_counts_the_corpus(accuracy: ModuleType, page: str) -> None:
    assert page.endswith(f"{accuracy.corpus()}\n")


def test_the_page_says_that_every_idiom_is_right(script: Callable[[str], ModuleType]) -> None:
    tests = script("tests/record/test_idioms.py")
    assert (tests.KNOWN_SAID, len(tests.FORMS)) == ((), script("benchmarks/accuracy.py").FORMS)


def test_the_page_quotes_the_run_of_random_programs(accuracy: ModuleType, page: str) -> None:
    assert accuracy.random_programs() in page
    *failed, last = accuracy.PROGRAMS.splitlines()
    assert re.fullmatch(rf"\d+ programs, {len(failed)} failed", last)

"""A small part of benchmarks/robustness.py, with a seed of its own; docs/robustness.md has all of it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def robustness(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("benchmarks/robustness.py")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")
def test_bad_input_ends_in_a_sentence(robustness: ModuleType) -> None:
    good = robustness.Good.made()
    robustness.warmed()
    outcomes = list(robustness.tried(robustness.cases(good, count=60, seed=7), good))
    assert len(outcomes) > 100
    assert [(o.case.arguments, o.complaints) for o in outcomes if o.complaints] == []
    assert {o.ending for o in outcomes} >= {"result", "sentence"}


def test_what_counts_as_wrong(robustness: ModuleType, tmp_path: Path) -> None:
    """A judge that finds nothing wrong is worth nothing."""
    case = robustness.Case("k", ("report", "x"))
    assert list(robustness._complaints(2, "error: no\n", "", case)) == []
    assert list(robustness._complaints(2, "no\n", "", case)) == ["no sentence"]
    assert list(robustness._complaints(70, "error: internal error\n", "", case)) == ["exit status 70"]
    assert list(robustness._complaints(-signal.SIGALRM, "", "", case)) == ["waited for 90 s"]
    assert list(robustness._complaints(-signal.SIGXCPU, "", "", case)) == ["computed for 20 s"]
    assert list(robustness._complaints(-11, "", "", case)) == ["died by SIGSEGV"]
    assert "a traceback" in list(robustness._complaints(2, "Traceback\nerror: x\n", "", case))
    before, after = {"a": b"1", "b": b"2"}, {"b": b"3", "c": b"4", "canary": b""}
    assert list(robustness._touched(frozenset(), before, after)) == [
        "code in a file ran", "a was lost", "b was changed", "c was made",
    ]  # fmt: skip
    assert list(robustness._touched(frozenset({"b", "c"}), {"b": b"2"}, {"b": b"3", "c": b"4"})) == []

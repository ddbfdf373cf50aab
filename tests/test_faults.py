"""A small part of benchmarks/faults.py; docs/robustness.md has all of it."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from snnprof.activity import Activity


@pytest.fixture(scope="module")
def faults(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("benchmarks/faults.py")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")
def test_nothing_is_lost(faults: ModuleType, tmp_path: Path) -> None:
    faults.robustness.warmed()
    rng = random.Random(5)
    outcomes = [*faults.kills(tmp_path / "kills", 4, rng), *faults.interrupts(tmp_path / "interrupts", 3, rng)]
    assert len(outcomes) > 15
    assert [(o.kind, o.what, o.complaints) for o in outcomes if o.complaints or o.lost] == []


def test_what_counts_as_lost(faults: ModuleType, run_file: Path, activity: Activity) -> None:
    """A judge that finds nothing wrong is worth nothing."""
    assert faults.unfit(run_file, 20) == ([], False)
    assert faults.unfit(run_file, 22) == (["22 samples became 20"], True)
    assert faults.unfit(run_file.with_name("none.json"), 0) == ([], False)
    assert faults.unfit(run_file.with_name("none.json"), 2) == (["2 samples became 0"], True)
    whole = run_file.read_text()
    run_file.write_text(whole.replace('"samples":20', '"samples":21', 1))
    assert faults.unfit(run_file, 20) == (["the file is no whole run"], True)
    run_file.write_text(whole[:-20])
    assert faults.unfit(run_file, 20) == (["the file is no whole run"], True)

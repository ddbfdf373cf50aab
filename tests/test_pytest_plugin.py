"""The fixture `snn_budget`, as another project's tests use it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import snnprof
from snnprof.activity import Activity
from snnprof.errors import SnnprofError
from snnprof.pytest_plugin import Energy, budget_of

pytest_plugins = ["pytester"]

THEIR_TESTS = """
import pytest
import torch

try:
    from snnprof.pytest_plugin import snn_budget  # in a checkout that was installed before the entry point existed
except ImportError:
    pass

SPIKES = torch.tensor([[1.0, 0, 1, 0], [1, 0, 0, 0]])


@pytest.fixture
def budget(snn_budget):
    return snn_budget(torch.nn.Linear(4, 3, bias=False), [SPIKES], hardware="cmos45-fp32")


def test_cheap_enough(budget):
    assert budget.energy < "5 pJ"
    assert budget.sops <= 4.5


def test_too_dear(budget):
    assert budget.energy < "4 pJ"
"""


def test_a_test_that_goes_over_its_budget_fails(pytester: pytest.Pytester) -> None:
    """3 spikes × 3 weights over 2 samples: 4.5 SOPs, at 0.9 pJ 4.05 pJ per inference."""
    pytester.makepyfile(THEIR_TESTS)
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*assert 4.050 pJ < '4 pJ'*"])


def test_what_a_budget_knows(activity: Activity, run_file: Path) -> None:
    report = snnprof.price(activity, hardware="rolls-77fj")
    for run in (activity, run_file):
        budget = budget_of(run, hardware="rolls-77fj")
        assert budget.sops == report.totals.sops / 20
        assert budget.macs == report.totals.macs / 20
        assert budget.energy.picojoules == report.energy_pj / 20
        assert budget.unpriced["mac"] == dict(report.unpriced)["mac"] / 20
        assert repr(budget.energy).startswith("≥ ")


def test_energies_compare_with_texts_and_with_each_other() -> None:
    energy = Energy(2e8)
    assert "0.1 mJ" < energy <= "0.2 mJ"
    assert energy == "200 µJ"
    assert energy > Energy(1.0)
    assert energy != 2e8, "a number has no unit"
    with pytest.raises(ValueError, match="with a unit"):
        energy < "0.2"  # noqa: B015
    with pytest.raises(TypeError, match="has no unit"):
        energy < 0.2  # type: ignore[operator]  # noqa: B015


def test_unknown_is_no_budget(activity: Activity) -> None:
    unsized = budget_of(activity.model_copy(update={"samples": None, "blocks": []}))
    for figure in ("sops", "macs", "energy"):
        with pytest.raises(SnnprofError, match="number of samples of this run is unknown"):
            getattr(unsized, figure)
    real = snnprof.profile(nn.Linear(4, 3), [torch.rand(2, 4)])
    with pytest.raises(SnnprofError, match="rolls-77fj has no price"):
        _ = budget_of(real, hardware="rolls-77fj").energy

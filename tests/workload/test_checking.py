"""A run checks itself: two counters agree, and where one is wrong, everybody is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import snnprof
from snnprof.record import readings
from snnprof.render.tables import report_document

X = (torch.rand(4, 2, 6, 6, generator=torch.Generator().manual_seed(0)) < 0.3).float()


def _net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(108, 4))


def test_both_counters_agree_and_every_output_says_so() -> None:
    activity = snnprof.profile(_net(), [X])
    check = activity.self_check
    assert check is not None
    assert (check.samples, check.rows, check.equal, check.differences) == (1, 2, 2, [])
    document = report_document([snnprof.price(activity)])
    assert ("self-check", "2 of 2 operations re-counted with equal results (one sample)") in list(document.facts)
    assert snnprof.Activity.from_json(activity.to_json()).self_check == check


def test_the_check_changes_no_count_and_can_be_left_out() -> None:
    with_check, without = (snnprof.profile(_net(), [X, X[:1]], self_check=check) for check in (True, False))
    assert without.self_check is None
    for checked, plain in zip(with_check.ops, without.ops, strict=True):
        assert checked.model_dump() == plain.model_dump()
    assert with_check.blocks == without.blocks


def test_a_miscount_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    geometry = readings.geometry

    def wrong(*arguments: object) -> object:
        found = geometry(*arguments)  # type: ignore[arg-type]
        return found._replace(taps=tuple((1,) * len(axis) for axis in found.taps))

    monkeypatch.setattr(readings, "geometry", wrong)
    activity = snnprof.profile(_net(), [X])
    assert activity.self_check is not None
    assert [(row.layer, row.op) for row in activity.self_check.differences] == [("0", "conv")]
    assert [finding.layer for finding in activity.findings if finding.code == "C16"] == ["0"]


def test_a_model_that_takes_whole_batches_only() -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(72, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.view(4, 72))

    check = snnprof.profile(Whole(), [X]).self_check
    assert check is not None
    assert (check.samples, check.equal, check.rows) == (4, 1, 1)


MODEL = """
import torch
from torch import nn

class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2, bias=False)

    def forward(self, x):
        return self.layer(((x @ torch.eye(4)).relu() > 0.4).float().sqrt().exp().log())

build = Twice
"""


def test_strict_fails_on_spikes_that_were_counted_as_real(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODEL)
    (tmp_path / "data.py").write_text(
        "import torch\ndef batches():\n    return [torch.tensor([[0.9, 0.1, 0.7, 0.2]])]\n"
    )
    command = [
        sys.executable, "-m", "snnprof", "profile", "--model", f"{tmp_path}/net.py:build", "--format", "json",
        "--data", f"{tmp_path}/data.py:batches", "--strict",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert "C22" in {finding["code"] for finding in report["findings"]}
    assert report["self_check"]["equal"] == report["self_check"]["rows"]

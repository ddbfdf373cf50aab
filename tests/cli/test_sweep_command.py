"""`snnprof sweep` from the command line: one table, run files that repeat their run, Ctrl-C, refusals."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from snnprof.__main__ import main
from snnprof.activity import Activity

CODE = """
import os, signal, sys
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fires, self.last = Fires(), nn.Linear(width, 3, bias=False)
    def forward(self, x):
        if os.environ.get("STOP") == str(self.fires.thresh):
            os.environ["STOP"] = ""
            os.kill(os.getpid(), signal.SIGINT)
        return self.last(self.fires(x))

class Fires(nn.Module):
    thresh = 1.0
    def forward(self, x):
        return (x >= self.thresh).float()

def build(width=4):
    return Net(width)

def data():
    x = torch.linspace(0, 2, 32).reshape(8, 4)
    return [(x[i:i + 1], torch.arange(1)) for i in range(8)]
"""
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(CODE)
    (tmp_path / "notes.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SWEEP = ["sweep", "net.py:build", "--data", "net.py:data", "--over", "threshold=0.5,1.5", "--no-self-check"]


def test_a_sweep_ends_in_one_table(here: Path, capsys: Capture) -> None:
    assert main([*SWEEP, "--format", "csv", "--hardware", "cmos45-fp32"]) == 0
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["threshold"], float(row["sops"])) for row in rows] == [("0.5", 3 * 24 / 8), ("1.5", 3 * 8 / 8)]
    files = sorted((here / "net-build-sweep").iterdir())
    assert [file.name for file in files] == ["threshold-0.5.json", "threshold-1.5.json"]
    assert "next: snnprof plot net-build-sweep/*.json --over threshold" in err
    argv = Activity.load(files[0]).run.argv
    assert argv[:2] == ["profile", "net.py:build"]
    assert argv[-4:] == ["--threshold", "0.5", "--output", "net-build-sweep/threshold-0.5.json"]
    assert main([*argv[:-2], "--output", "again.json", "--quiet"]) == 0  # the command in the file repeats the run
    assert Activity.load(here / "again.json").ops == Activity.load(files[0]).ops
    capsys.readouterr()
    assert main(["plot", *map(str, files), "--output", "s.svg"]) == 0
    assert main([*SWEEP, "--format", "json"]) == 0  # nothing runs again
    loaded = json.loads(capsys.readouterr().out)
    assert (loaded["schema"], loaded["setting"]) == ("snnprof.sweep/0", "threshold")


def test_ctrl_c_keeps_what_is_there(here: Path) -> None:
    """The second run is interrupted; the same command finishes it."""
    command = [sys.executable, "-m", "snnprof", *SWEEP, "--format", "csv"]
    stopped = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "STOP": "1.5"})
    assert stopped.returncode == 130, stopped.stderr
    assert "1 of 2 runs are complete; the same command continues the sweep" in stopped.stderr
    assert len(stopped.stdout.splitlines()) == 2
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert len(again.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--over", "timesteps=0"], "--over timesteps needs whole numbers"),
        (["--over", "steps=1"], "unknown setting to sweep over 'steps'"),
        (["--over", "timesteps=1,2", "--timesteps", "2"], "--timesteps and --over timesteps contradict each other"),
        (["--over", "set.hidden=1"], "set.hidden=1: net.py:build has no setting 'hidden'"),
        (["--over", "threshold.conv1=1"], "threshold.conv1=1: unknown neuron layer 'conv1'"),
        (["--over", "seed=1", "--output", "notes.txt"], "cannot keep runs in notes.txt: it is a file"),
        (["--over", "seed=1", "--output", "net.py"], "cannot write net.py: this command reads it"),
        (["--over", "seed=1", "--input-rate", "2"], "--input-rate must be above 0 and at most 1"),
        (["--over", "seed=1", "--threshold", "high"], "--threshold needs a positive number"),
        (["--over", "seed=1", "--input-rate", "0.5"], "needs data with values from 0 to 1; these are from"),
    ],
)
def test_refusals_are_one_sentence(words: list[str], message: str, here: Path, capsys: Capture) -> None:
    before = set(here.iterdir())
    assert main(["sweep", "net.py:build", "--data", "net.py:data", *words, "--quiet"]) == 2
    assert {path for path in set(here.iterdir()) - before if path.name != "__pycache__"} == set()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err


def test_other_settings_are_refused_until_forced(here: Path, capsys: Capture) -> None:
    assert main([*SWEEP, "--quiet"]) == 0
    assert main([*SWEEP, "--quiet", "--seed", "7"]) == 2
    err = capsys.readouterr().err
    assert "threshold=0.5: cannot resume this run: --seed differs" in err
    assert "name another folder with --output, or replace its runs with --force" in err
    assert main([*SWEEP, "--quiet", "--seed", "7", "--force"]) == 0
    assert Activity.load(here / "net-build-sweep" / "threshold-0.5.json").run.seed == 7


def test_a_resumed_profile_keeps_its_threshold(here: Path) -> None:
    """`--resume` takes the settings of the run's own command."""
    command = [sys.executable, "-m", "snnprof", "profile"]
    words = ["net.py:build", "--data", "net.py:data", "--threshold", "1.5", "--no-self-check", "-o", "r.json"]
    stopped = subprocess.run([*command, *words], capture_output=True, text=True, env={**os.environ, "STOP": "1.5"})
    assert stopped.returncode == 130, stopped.stderr
    again = subprocess.run([*command, "--resume", "r.json"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert sum(op.nonzero for op in Activity.load(here / "r.json").ops) == 8


def test_what_profile_takes_a_sweep_takes(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["sweep", "--help"]) == 0
    text = capsys.readouterr().out
    for option in ("--over", "--set", "--data", "--samples", "--until-ci", "--hardware", "--convention", "--neuron"):
        assert option in text
    assert "--resume" not in text

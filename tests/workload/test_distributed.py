"""Several gloo processes give the integers of one, however unevenly the batches fall."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from snnprof.activity import Activity
from snnprof.errors import SnnprofError
from snnprof.workload.distributed import Team

STOPS = """
from snnprof.workload.session import Session
take = Session._take
def stopping(self, batch):
    if self.batches == 13:
        raise SystemExit(9)
    take(self, batch)
Session._take = stopping
"""


@pytest.mark.parametrize(
    ("ranks", "count", "options"),
    [
        pytest.param(2, 40, {}, id="even"),
        pytest.param(3, 38, {"samples": 37, "seed": 4}, id="uneven-end"),
        pytest.param(4, 9, {}, id="more-ranks-than-batches"),
        pytest.param(2, 260, {"batch_size": 2}, id="blocks-of-several-batches"),
        pytest.param(3, 300, {"batch_size": 2, "until_ci": 2.0}, id="until-ci"),
    ],
)
def test_as_one_process(ranks, count, options, apart, net, images, facts, tmp_path):
    asked = {"model": net, "data": images(count, bright=(5, 6)), "batch_size": 4, **options}
    alone, team = tmp_path / "alone.json", tmp_path / "team.json"
    apart.run(apart.profile(alone, **asked))
    apart.team(ranks, apart.profile(team, **asked))
    assert facts(team) == facts(alone)
    if "until_ci" in options:
        assert 32 <= Activity.load(alone).samples < count


def test_a_team_saves_and_goes_on(apart, net, images, facts, tmp_path):
    asked = {"model": net, "data": images(60), "batch_size": 3}
    alone, team = tmp_path / "alone.json", tmp_path / "team.json"
    apart.run(apart.profile(alone, **asked))
    apart.team(2, STOPS + apart.profile(team, save_seconds=0.0, **asked), [9, 9])
    saved = Activity.load(team)
    assert not saved.run.complete
    assert 0 < saved.samples < 60
    apart.team(3, apart.profile(team, **asked, resume=str(team)))
    assert facts(team) == facts(alone)


def test_processes_with_different_weights_are_refused(apart, net, images, tmp_path):
    seeds = """
import os, snnprof.workload.models as models
built = models._built
models._built = lambda builder, settings, spec, seed: built(builder, settings, spec, int(os.environ["RANK"]))
"""
    run = tmp_path / "run.json"
    apart.team(2, seeds + apart.profile(run, model=net, data=images(40), batch_size=4), [2, 2])
    assert "do not have the same data or weights" in (tmp_path / "run.json.error").read_text()
    assert not run.exists()


def test_one_sentence_for_what_all_ranks_find_wrong(apart, net, tmp_path):
    apart.team(2, apart.profile(tmp_path / "run.json", model=net, data="missing.npz"), [2, 2])
    assert (tmp_path / "run.json.error").read_text() == "there is no data file missing.npz\n"


def test_alone(monkeypatch):
    team = Team()
    assert (team.leads, team.gather(5), team.together(lambda: 7)) == (True, [5], 7)
    team.dismiss()
    with pytest.raises(SnnprofError):
        team.together(_fails)


def _fails():
    raise SnnprofError("no")


def test_torchrun_prints_once(net, images, tmp_path):
    run = tmp_path / "run.json"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "snnprof"]
    asked = ["--model", net, "--data", images(13), "--batch-size", "4", "--timesteps", "2", "--device", "cpu"]
    done = subprocess.run(
        [*torchrun, "profile", *asked, "--output", str(run), "--format", "csv"],
        capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("block,role,layer") == 1
    assert done.stderr.count("wrote ") == 1
    assert Activity.load(run).samples == 13

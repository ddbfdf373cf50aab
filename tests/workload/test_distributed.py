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
    assert "have different data or weights" in (tmp_path / "run.json.error").read_text()
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


OWN_DATA = """
import os, torch
def batches():
    rank = int(os.environ.get("RANK", 0))
    for number in range({count}):
        torch.manual_seed(number)
        x, y = torch.rand(4, 1, 6, 6), torch.arange(4) % 3
        {change}
        yield x, y
"""


@pytest.mark.parametrize(
    ("count", "change"),
    [
        pytest.param("12 - 3 * rank", "", id="fewer"),
        pytest.param("12 - 11 * rank", "", id="one-batch"),
        pytest.param("12", "x[0, 0, 0, 0] += 0.25 * (rank == 1 and number == 9)", id="another-input"),
        pytest.param("12", "y[1] = 2 if rank == 1 and number == 4 else 1", id="another-label"),
        pytest.param("12", "x = x[:3 + (rank == 0)] if number == 11 else x; y = y[:len(x)]", id="a-shorter-end"),
    ],
)
def test_iterables_that_differ_are_refused_on_every_rank(count, change, apart, net, tmp_path):
    (tmp_path / "data.py").write_text(OWN_DATA.format(count=count, change=change))
    run, data = tmp_path / "run.json", f"{tmp_path / 'data.py'}:batches"
    apart.team(2, apart.profile(run, save_seconds=0.0, model=net, data=data), [2, 2])
    said = (tmp_path / "run.json.error").read_text().splitlines()
    assert len(said) == 2
    assert all("do not draw the same data" in line or "do not have the same data" in line for line in said)
    assert not run.exists() or not Activity.load(run).run.complete


def test_arrays_that_differ_far_in_are_refused(apart, net, images, tmp_path):
    changed = """
import os, torch, snnprof.workload.stored as stored
samples = stored._samples
def other(path, x):
    found = samples(path, x)
    found[-1] += float(os.environ["RANK"])
    return found
stored._samples = other
from snnprof.workload import batches
batches.PRINTED_BYTES = 64
"""
    run = tmp_path / "run.json"
    apart.team(2, changed + apart.profile(run, model=net, data=images(40), batch_size=4), [2, 2])
    assert "have different data or weights" in (tmp_path / "run.json.error").read_text()
    assert not run.exists()


GONE = """
import os, time
from pathlib import Path
from snnprof.workload import distributed
from snnprof.workload.session import Session
distributed.PEER_SECONDS = 3.0
take = Session._take
def stopping(self, batch):
    if os.environ["RANK"] == "1" and self.batches == 13:
        {stop}
        os._exit(9)
    take(self, batch)
Session._take = stopping
"""
STANDS = """end = time.monotonic() + 40
        while time.monotonic() < end and not Path({error!r}).exists():
            time.sleep(0.1)"""


@pytest.mark.parametrize("stop", ["", STANDS], ids=["killed", "stopped"])
def test_a_process_that_is_gone_ends_the_others(stop, apart, net, images, tmp_path):
    run, error = tmp_path / "run.json", tmp_path / "run.json.error"
    gone = GONE.format(stop=stop.format(error=str(error)))
    apart.team(2, gone + apart.profile(run, save_seconds=0.0, model=net, data=images(60), batch_size=3), [2, 9])
    assert error.read_text() == "another process of this run has stopped, or did not answer within 3 s\n"
    assert not Activity.load(run).run.complete

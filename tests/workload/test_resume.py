"""A run that was killed goes on where it was saved, and ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnprof.activity import Activity
from snnprof.errors import SnnprofError
from snnprof.workload.options import ProfileOptions
from snnprof.workload.run import profile_run

SLOWLY = """
import time
from snnprof.workload.session import Session
take = Session._take
Session._take = lambda *batch: (time.sleep(0.004), take(*batch))[1]
"""
OTHER_WEIGHTS = "net = Net()\n    net.head.bias.data.zero_()\n    return net"


def _killed(process, seconds: float, saved: Path | None) -> None:
    """Some time after its start; where `saved` is given, not before there is that file, however slow the machine."""
    while saved and process.is_alive() and not saved.exists():
        time.sleep(0.01)
    time.sleep(seconds)
    if process.pid and process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()


@pytest.mark.parametrize("goal", [{}, {"until_ci": 3.0}], ids=["all", "until-ci"])
def test_killed_ten_times(goal, apart, net, images, facts, tmp_path):
    asked = {"model": net, "data": images(330, bright=(150, 151, 290)), "batch_size": 3, **goal}
    whole, killed = tmp_path / "whole.json", tmp_path / "killed.json"
    apart.run(apart.profile(whole, **asked))
    assert Activity.load(whole).samples == (264 if goal else 330)  # in blocks of two batches
    moment, kills, resumed = random.Random(7), 0, 0
    while kills < 10:
        resume = str(killed) if killed.exists() else None
        process = apart.start(SLOWLY + apart.profile(killed, save_seconds=0.02, **asked, resume=resume))
        _killed(process, moment.uniform(0.05, 0.4), killed if kills >= 2 else None)
        kills += process.exitcode == -signal.SIGKILL
        resumed += resume is not None
        if process.exitcode == 0:  # it came to its end before the kill did
            assert facts(killed) == facts(whole)
            killed.unlink()
    if killed.exists():
        apart.run(apart.profile(killed, **asked, resume=str(killed)))
        assert facts(killed) == facts(whole)
    assert resumed >= 5


@pytest.fixture
def half(net, images, tmp_path):
    """The options of a run, and the same run as far as half of its batches."""
    asked = ProfileOptions(
        model=net, data=images(40), batch_size=4, timesteps=2, device="cpu", output=tmp_path / "whole.json"
    )
    whole = profile_run(asked)
    path = tmp_path / "half.json"
    blocks = whole.blocks[:5]
    part = whole.restricted(blocks[0])
    for block in blocks[1:]:
        part = part.merge(whole.restricted(block))
    part = part.model_copy(update={"run": part.run.model_copy(update={"complete": False})})
    part.save(path)
    return replace(asked, output=None, resume=path), whole


def test_resume_without_output_goes_on_in_the_same_file(half):
    asked, whole = half
    activity = profile_run(asked)
    assert activity.blocks == whole.blocks
    assert activity.run.argv == whole.run.argv
    assert activity.run.complete
    assert Activity.load(asked.resume) == activity


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
def test_names_that_are_not_utf8_are_kept(tmp_path):
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/\xff"))
    folder.mkdir()
    (folder / "net.py").write_text("from torch import nn\ndef build():\n    return nn.Linear(3, 2)\n")
    np.savez(folder / "x.npz", x=np.ones((4, 3), dtype=np.float32))
    asked = ProfileOptions(
        model=f"{folder / 'net.py'}:build", data=str(folder / "x.npz"), output=folder / "run.json", argv=(str(folder),)
    )
    activity = profile_run(asked)
    activity.save(folder / "run.json")
    loaded = Activity.load(folder / "run.json")
    assert loaded == activity
    assert loaded.run.data.source == str(folder / "x.npz")
    assert profile_run(replace(asked, output=None, resume=folder / "run.json")) == activity


def test_a_complete_run_is_not_run_again(half, monkeypatch):
    asked, whole = half
    whole.save(asked.resume)
    monkeypatch.setattr("snnprof.workload.session.Session.run", lambda *a: pytest.fail("it ran"))
    assert profile_run(asked) == Activity.load(asked.resume)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"batch_size": 5}, "--batch-size differs (4 then, 5 now)"),
        ({"seed": 1}, "--seed differs (0 then, 1 now)"),
        ({"samples": 20}, "the order of the samples differs (none then, 0 now)"),
        ({"timesteps": 3}, "--timesteps differs (2 then, 3 now)"),
        ({"layout": "batch-time"}, "--layout differs"),
        ({"input": "real"}, "--input differs (auto then, real now)"),
        ({"amp": "bf16"}, "--amp differs (none then, bf16 now)"),
        ({"neurons": ("Conv2d",)}, "--neuron differs"),
    ],
)
def test_another_run_is_refused(half, change, what):
    asked, _ = half
    with pytest.raises(SnnprofError, match="cannot go on from this run") as caught:
        profile_run(replace(asked, **change))
    assert what in str(caught.value)


def test_other_data_and_other_weights_are_refused(half, images, tmp_path):
    asked, _ = half
    other = images(40, bright=(1,))
    with pytest.raises(SnnprofError, match="the content of the data differs"):
        profile_run(replace(asked, data=other))
    images(40)
    (tmp_path / "net.py").write_text((tmp_path / "net.py").read_text().replace("return Net()", OTHER_WEIGHTS))
    with pytest.raises(SnnprofError, match="the weights differs"):
        profile_run(asked)


def test_a_run_that_ends_within_a_batch_is_refused(half):
    asked, whole = half
    torn = whole.restricted(whole.blocks[0]).model_copy(update={"samples": 3})
    torn.model_copy(update={"run": torn.run.model_copy(update={"complete": False})}).save(asked.resume)
    with pytest.raises(SnnprofError, match="in the middle of batch 0"):
        profile_run(asked)


def test_blocks_of_another_make_are_refused(half):
    asked, whole = half
    whole.merge(whole).model_copy(update={"samples": 20, "run": whole.run.model_copy(update={"complete": False})}).save(
        asked.resume
    )
    with pytest.raises(SnnprofError, match="does not hold the samples"):
        profile_run(asked)


def test_an_iterable_is_read_again_and_its_order_is_checked(net, tmp_path):
    script = """
import torch
from torch.utils.data import DataLoader, TensorDataset
def batches(shuffle={}):
    torch.manual_seed(1)
    x = torch.rand(33, 1, 6, 6)
    return DataLoader(TensorDataset(x, torch.arange(33) % 3), batch_size=4, shuffle=shuffle)
"""
    (tmp_path / "data.py").write_text(script.format("True"))
    asked = ProfileOptions(
        model=net, data=f"{tmp_path / 'data.py'}:batches", timesteps=2, device="cpu", output=tmp_path / "run.json"
    )
    whole = profile_run(asked)
    assert (whole.samples, whole.run.data.total) == (33, 33)
    part = whole.restricted(whole.blocks[0]).merge(whole.restricted(whole.blocks[1]))
    part.model_copy(update={"run": part.run.model_copy(update={"complete": False})}).save(tmp_path / "part.json")
    resumed = replace(asked, output=None, resume=tmp_path / "part.json")
    assert profile_run(resumed).blocks == whole.blocks
    part.model_copy(update={"run": part.run.model_copy(update={"complete": False})}).save(tmp_path / "part.json")
    (tmp_path / "data.py").write_text(script.format("False"))
    with pytest.raises(SnnprofError, match="the content of the data differs"):
        profile_run(resumed)

"""The export for SANA-FE: synapses by hand, and the simulator itself where it is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from snnprof.__main__ import main
from snnprof.activity import Activity, OpRecord
from snnprof.errors import SnnprofError
from snnprof.mapping import map_to_chip
from snnprof.sana_fe import replay
from snnprof.spike_trace import SpikeTrace
from tests.test_mapping import conv, dense, lif, part, product, ran

NET = '''
import torch
from torch import nn


class Neurons(nn.Module):
    """A leaky integrate-and-fire layer over [T, B, ...]."""

    def forward(self, x):
        v, out = torch.zeros_like(x[0]), []
        for step in x:
            v = v / 2 + step
            spike = (v >= 1).to(x)
            v = v * (1 - spike)
            out.append(spike)
        return torch.stack(out)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.lif1 = nn.Conv2d(2, 6, 3, padding=1, stride=2), Neurons()
        self.conv2, self.lif2 = nn.Conv2d(6, 8, 3, groups=2, bias=False), Neurons()
        self.pool, self.fc, self.lif3 = nn.AvgPool2d(2), nn.Linear(8, 20), Neurons()
        self.head = nn.Linear(20, 3)
        for layer in (self.conv1, self.conv2, self.fc):
            nn.init.uniform_(layer.weight, -0.3, 0.8)

    def each(self, layer, x):
        return torch.stack([layer(step) for step in x])

    def forward(self, x):
        x = self.lif1(self.each(self.conv1, x))
        x = self.lif2(self.each(self.conv2, x))
        x = self.each(self.pool, x).flatten(2)
        x = self.lif3(self.each(self.fc, x))
        return self.each(self.head, x).mean(0)


def build():
    return Net()
'''


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with padding, stride, groups and pooling: profiled, then exported by the command line."""
    folder = tmp_path_factory.mktemp("sana_fe")
    (folder / "net.py").write_text(NET, encoding="utf-8")
    frames = np.random.default_rng(1).random((5, 4, 2, 9, 9)) < 0.3  # [T, samples, ...]
    np.savez(folder / "data.npz", x=frames.astype(np.float32).swapaxes(0, 1), y=np.arange(4) % 3)
    profile = [
        "profile", "net.py:build", "--data", "data.npz", "--layout", "time-batch", "--timesteps", "5", "--neuron",
        "Neurons", "--device", "cpu", "--quiet", "-o", "run.json",
    ]  # fmt: skip
    for command in (profile, ["export", "run.json", "--output", "replay"]):
        done = subprocess.run([sys.executable, "-m", "snnprof", *command], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder


def counted(folder: Path) -> Activity:
    """One sample of the same network."""
    done = subprocess.run(
        [sys.executable, "-m", "snnprof", "profile", "net.py:build", "--data", "data.npz", "--layout", "time-batch",
         "--timesteps", "5", "--neuron", "Neurons", "--device", "cpu", "--quiet", "--samples", "1", "--batch-size", "1",
         "--force", "-o", "one.json"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Activity.load(folder / "one.json")


def test_sana_fe_counts_the_same_synaptic_events(exported):
    pytest.importorskip("sanafe", reason="the simulator SANA-FE")
    facts = json.loads((exported / "replay" / "network.json").read_text(encoding="utf-8"))
    ours = sum(part.by_value for op in counted(exported).ops for part in op.parts)
    assert facts["left_out"] == []
    assert facts["synaptic_events"] == ours > 1000
    done = subprocess.run(
        [sys.executable, exported / "replay" / "replay.py"], capture_output=True, text=True, check=True, timeout=300
    )
    assert f"synaptic events {ours} of {ours}" in done.stdout
    assert f"spikes {facts['spikes']} of {facts['spikes']}" in done.stdout


def test_nothing_there_is_overwritten(exported, capsys, monkeypatch):
    monkeypatch.chdir(exported)
    assert main(["export", "run.json", "--output", "replay"]) == 2
    assert "replay exists" in capsys.readouterr().err


# -- by hand ------------------------------------------------------------------------------------------------------


def with_levels(op: OpRecord, levels: np.ndarray) -> OpRecord:
    op.parts = [part(0, int(levels.sum()))]
    return op


def test_synapses_are_those_of_the_operation():
    """Two steps: spikes 0 and 2, then 2; each of 3 inputs reaches 4 outputs."""
    spikes = np.array([[1, 0, 1], [0, 0, 1]])
    activity = ran(with_levels(dense("fc", 3, 4, "a"), spikes), lif("a", 3, 3), lif("fc.lif", 4))
    made = replay(activity, SpikeTrace(2, {"a": spikes}, {"fc": spikes}), map_to_chip(activity, "loihi1"))
    (edge,) = made.edges
    assert (edge[0].title, edge[1].title, len(edge[2]), made.events) == ("a", "fc.lif", 12, 3 * 4)
    assert made.facts()["spikes"] == 3


def test_a_grouped_convolution_joins_each_group_with_itself():
    levels = np.zeros((2, 4 * 9), dtype=int)
    levels[0, 4] = 1  # the middle of channel 0, in the first of two groups: all four taps, two filters
    op = with_levels(conv("c", [4, 3, 3], [4, 2, 2], [2, 2], "a", groups=2), levels)
    activity = ran(op, lif("a", 36, 1), lif("c.lif", 16))
    made = replay(activity, SpikeTrace(2, {"a": levels}, {"c": levels}), map_to_chip(activity, "loihi1"))
    near, far = made.edges[0][2:]
    assert sorted(far[near == 4].tolist()) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert made.events == 8


def test_sums_of_spikes_are_taken_from_each_of_their_layers():
    a, b = np.array([[1, 1], [0, 0]]), np.array([[1, 0], [0, 1]])
    op = with_levels(dense("fc", 2, 5), a + b)
    op.operands[0].fed_by = ["a", "b"]
    activity = ran(op, lif("a", 2, 2), lif("b", 2, 2), lif("fc.lif", 5))
    made = replay(activity, SpikeTrace(2, {"a": a, "b": b}, {"fc": a + b}), map_to_chip(activity, "loihi1"))
    assert [edge[0].title for edge in made.edges] == ["a", "b"]
    assert made.events == 4 * 5
    pooled = replay(activity, SpikeTrace(2, {"a": b, "b": b}, {"fc": a + b}), map_to_chip(activity, "loihi1"))
    assert [edge[0].title for edge in pooled.edges] == ["input of fc", "input of fc"], "levels 1 and 2"
    assert pooled.events == 4 * 5


def test_what_cannot_be_written_is_listed():
    real = dense("stem", 2, 3)
    real.parts = [part(6, 2, "real")]
    shown = with_levels(dense("fc", 2, 3), np.array([[1, 0], [0, 0]]))
    other = with_levels(dense("other", 2, 3), np.array([[1, 1], [0, 0]]))
    hidden = with_levels(dense("hidden", 2, 3), np.array([[1, 1], [0, 0]]))
    blind = with_levels(conv("blind", [1, 3, 3], [1, 3, 3], [1, 1]), np.zeros((2, 9)))
    del blind.shape["stride"]
    names = ("stem.lif", "fc.lif", "other.lif", "hidden.lif", "blind.lif", "k")
    activity = ran(
        real, shown, other, hidden, blind, product("k", "k"), *(lif(name, 3) for name in names), lif("out", 4)
    )
    inputs = {"fc": np.array([[1, 0], [0, 0]]), "other": np.array([[1, 0], [0, 0]])}
    made = replay(activity, SpikeTrace(2, {}, inputs), map_to_chip(activity, "loihi1"))
    assert dict(made.left_out) == {
        "stem": "it reads real values", "other": "the module read something else than was counted",
        "hidden": "its module does not show what it reads", "blind": "where its result goes is not known",
        "attn": "a product of data with data",
    }  # fmt: skip
    assert made.events == 3


@pytest.mark.parametrize(
    ("chip", "size", "complaint"),
    [("loihi2", 4, "not loihi2"), ("loihi1", 5000, "has no place"), ("loihi1", 4, "nothing of this run")],
)
def test_what_sana_fe_cannot_take_is_one_sentence(chip, size, complaint):
    activity = ran(product("a", "a"), dense("fc", size, 3), lif("a", 8), lif("fc.lif", 3))
    with pytest.raises(SnnprofError, match=complaint):
        replay(activity, SpikeTrace(2, {}, {}), map_to_chip(activity, chip))


def test_a_run_without_its_command_is_refused(tmp_path, capsys):
    run = tmp_path / "run.json"
    ran(lif("a", 8)).save(run)
    assert main(["export", str(run), "--output", str(tmp_path / "new")]) == 2
    assert "does not hold the command" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert main(["export", str(run), "--output", str(tmp_path / "new"), "--format", "nir"]) == 2
    assert "unknown format 'nir'" in capsys.readouterr().err

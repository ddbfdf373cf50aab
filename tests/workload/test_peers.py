"""snnprof beside SpikingJelly 2.0 and NeuroBench on the same batches: what was measured, and every reason for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from snnprof import price
from snnprof.activity import Activity
from snnprof.against import Explained, explained
from snnprof.against.energy import steps
from snnprof.against.records import Ops, Row, total
from snnprof.errors import SnnprofError
from snnprof.models import digits
from snnprof.options import ProfileOptions, ignore_progress
from snnprof.workload import models
from snnprof.workload.peers.run import both

ODD = '''
"""A network in which conventions differ: padded, pooled, signed, transposed, circular, shared, functional."""
import torch
from torch import nn
from torch.nn import functional

class Sign(nn.Module):
    def forward(self, x):
        return torch.sign(torch.round(x))

class Spike(nn.Module):
    def forward(self, x):
        return (x > 0.5).float()

class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.padded, self.spike1 = nn.Conv2d(1, 8, 3, padding=1), Spike()
        self.pool, self.pooled = nn.AvgPool2d(2), nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.norm, self.spike2 = nn.BatchNorm2d(8), Spike()
        self.transposed, self.sign = nn.ConvTranspose2d(8, 8, 2, stride=2, bias=False), Sign()
        self.circular, self.spike3 = nn.Conv2d(8, 4, 3, padding=1, padding_mode="circular"), Spike()
        self.shared, self.weight = nn.Linear(256, 256, bias=False), nn.Parameter(torch.randn(10, 256))
        with torch.no_grad():
            self.pooled.weight[:, :, 0] = 0

    def forward(self, x):
        x = self.spike1(self.padded(x))
        x = self.spike2(self.norm(self.pooled(self.pool(x))) * 3)
        x = self.spike3(self.circular(self.sign(self.transposed(x) * 9))).flatten(1)
        x = self.spike3(self.shared(self.spike3(self.shared(x) * 4)) * 4)
        return functional.linear(x, self.weight)

class Step(nn.Module):
    """Called once for each step, by a caller that loops."""
    def __init__(self):
        super().__init__()
        self.hidden, self.out, self.spike, self.v = nn.Linear(64, 100), nn.Linear(100, 10), Spike(), None

    def reset(self):
        self.v = None

    def forward(self, x):
        current = self.hidden(x.flatten(1))
        self.v = current if self.v is None else 0.9 * self.v + current
        return self.out(self.spike(self.v))

class Rare(nn.Module):
    """Weights of 1, arguments by name, and attention that PyTorch fuses."""
    def __init__(self):
        super().__init__()
        self.named, self.spike, self.ones = nn.Linear(8, 16), Spike(), nn.Linear(16, 16, bias=False)
        self.fused, self.out = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(16, 10)
        with torch.no_grad():
            self.ones.weight.fill_(1.0)

    def forward(self, x):
        x = self.named(input=x.squeeze(1)) - 0.5
        x = self.ones(x) + self.spike(x)
        return self.out((x + self.fused(x, x, x, need_weights=False)[0]).mean(1))

def network():
    torch.manual_seed(0)
    return Odd()

def rare():
    torch.manual_seed(0)
    return Rare()

def step():
    torch.manual_seed(0)
    return Step()
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("peers")
    for size in (8, 16):
        x, y = digits.load(size)
        np.savez(place / f"eight{size}.npz", x=x[:8], y=y[:8])
    (place / "odd.py").write_text(ODD)
    return place


def beside(tool: str, options: ProfileOptions) -> tuple[Activity, Explained]:
    pytest.importorskip("spikingjelly.activation_based.op_counter" if tool == "spikingjelly" else "neurobench.metrics")
    activity, peer = both(options, tool, ignore_progress)  # type: ignore[arg-type]
    return activity, explained(activity, peer)


@pytest.fixture(scope="module")
def spikformer(folder: Path) -> tuple[Activity, Explained]:
    """The bundled network on the first eight test digits, T = 4."""
    return beside("spikingjelly", ProfileOptions(model="spikformer", data=str(folder / "eight16.npz")))


def rows(found: Explained, *ends: str, index: int | None = None, op: str = "") -> list[Row]:
    kept = [row for row in found.rows if row.layer.endswith(ends) and row.op in (op or ("conv", "linear", "matmul"))]
    return [row for row in kept if index is None or row.index == index]


def sides(found: list[Row]) -> tuple[Ops, Ops]:
    return total(row.ours for row in found), total(row.theirs for row in found)


def test_spikformer_beside_spikingjelly_as_measured(spikformer: tuple[Activity, Explained]) -> None:
    activity, found = spikformer
    stem = rows(found, "conv1", "conv2", "conv3", "rpe_conv")
    assert sides(stem) == (Ops(acs=8_216_208),) * 2
    assert sides(rows(found, "attn.proj_linear", "fc2_linear")) == (Ops(acs=1_001_408),) * 2
    assert sides(rows(found, "attn", index=0, op="matmul")) == (Ops(acs=16_028),) * 2
    assert sides(rows(found, "attn", index=1, op="matmul")) == (Ops(acs=23_300), Ops(acs=50_496))
    graded = rows(found, "q_linear", "k_linear", "v_linear", "fc1_linear")
    assert sides(graded) == (Ops(acs=9_873_920), Ops(macs=29_360_128))
    assert sides(rows(found, "proj_conv")) == (Ops(macs=541_696), Ops(macs=589_824))
    norms = [row for row in found.rows if row.op == "batch_norm"]
    assert sides(norms)[1] == Ops(acs=1_213_752, macs=1_212_416)

    reasons = {row.key: [change.reason for change in row.changes] for row in found.rows}
    assert all(reasons[row.key] == ["levels"] for row in graded)
    assert all(reasons[row.key] == [] for row in stem)
    assert reasons["patch_embed.proj_conv", "conv", 0] == ["padding"]
    assert reasons["block.1.attn", "matmul", 1] == ["one_side"]
    assert {reason for row in norms for reason in reasons[row.key]} == {"batch_norm"}
    assert "unexplained" not in found.by_reason()

    ends = {step.reason: step.energy_pj / 1e6 for step in steps(found)}
    assert (round(ends["ours"], 3), round(ends["theirs"], 2)) == (2.614, 19.47)
    assert ends["ours"] == pytest.approx(price(activity, "cmos45-fp32").energy_pj / 8e6)


def test_the_counts_are_those_of_spikingjelly_used_by_itself(spikformer: tuple[Activity, Explained]) -> None:
    counting = pytest.importorskip("spikingjelly.activation_based.op_counter")
    model = models.load_model("spikformer").eval()
    x = torch.from_numpy(digits.load(16)[0][:8])
    synops, macs = counting.SynOpCounter(), counting.MACCounter()
    with torch.no_grad(), counting.DispatchCounterMode([synops, macs]):
        model(x)
    report = counting.estimate_simple_energy(model, x)
    found = spikformer[1]
    assert sides([row for row in found.rows if row.index is not None])[1].acs == synops.get_total()
    assert found.theirs.macs == macs.get_total() == report.counts["mac"]
    assert found.theirs.acs == report.counts["ac"]
    assert found.peer.energy_pj == pytest.approx(report.energy_compute_pj)


@pytest.mark.parametrize("tool", ["spikingjelly", "neurobench"])
@pytest.mark.parametrize("name", ["ssa_bin", "saformer", "sew_resnet", "ms_resnet"])
def test_nothing_stays_unexplained_in_the_other_bundled_networks(tool: str, name: str, folder: Path) -> None:
    _, found = beside(tool, ProfileOptions(model=name, data=str(folder / "eight16.npz"), batch_size=3))
    assert "unexplained" not in found.by_reason()
    assert found.theirs.acs > 0
    assert [total(change.by for change in row.changes) for row in found.rows] == [
        row.theirs - row.ours for row in found.rows
    ]


EXPECTED = {
    "spikingjelly": {
        "padded": ["padding"], "pooled": ["scaled", "padding"], "transposed": [], "circular": ["signed"],
        "shared": [], "": [],
    },
    "neurobench": {
        "padded": ["zero_inputs"], "pooled": ["scaled", "zero_weights"], "transposed": ["not_seen"], "circular": [],
        "shared": [], "": ["not_seen"],
    },
}  # fmt: skip


@pytest.mark.parametrize("tool", EXPECTED)
def test_an_odd_network_of_ones_own(tool: str, folder: Path) -> None:
    options = ProfileOptions(
        model=f"{folder / 'odd.py'}:network", data=str(folder / "eight8.npz"), neurons=("Sign", "Spike"), batch_size=4
    )
    _, found = beside(tool, options)
    contractions = [row for row in found.rows if row.index is not None]
    assert {row.layer: [change.reason for change in row.changes] for row in contractions} == EXPECTED[tool]
    assert "unexplained" not in found.by_reason()


@pytest.mark.parametrize("tool", EXPECTED)
def test_a_network_that_its_caller_runs_step_by_step(tool: str, folder: Path) -> None:
    options = ProfileOptions(
        model=f"{folder / 'odd.py'}:step", data=str(folder / "eight8.npz"), layout="step", timesteps=5,
        neurons=("Spike",), batch_size=4,
    )  # fmt: skip
    _, found = beside(tool, options)
    assert "unexplained" not in found.by_reason()
    (out,) = (row for row in found.rows if row.layer == "out" and row.index is not None)
    assert out.ours == out.theirs != Ops()


def test_weights_of_ones_and_fused_attention_in_spikingjelly(folder: Path) -> None:
    options = ProfileOptions(model=f"{folder / 'odd.py'}:rare", data=str(folder / "eight8.npz"), neurons=("Spike",))
    _, found = beside("spikingjelly", options)
    reasons = {(row.layer, row.index): [change.reason for change in row.changes] for row in found.rows}
    assert reasons["ones", 0] == ["binary_weights"]
    fused = [key for key in reasons if key[0] == "fused" and key[1] is not None]
    assert len(fused) == 4  # the projection in, two products, the projection out
    assert all(reasons[key] == ["no_rule"] for key in fused)
    assert "unexplained" not in found.by_reason()


def test_what_neurobench_cannot_count_is_one_sentence(folder: Path) -> None:
    options = ProfileOptions(model=f"{folder / 'odd.py'}:rare", data=str(folder / "eight8.npz"), neurons=("Spike",))
    with pytest.raises(SnnprofError, match="NeuroBench cannot count 'named': "):
        beside("neurobench", options)


def test_neurobench_used_by_itself_counts_the_same(folder: Path) -> None:
    pytest.importorskip("neurobench.metrics")
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel

    _, found = beside("neurobench", ProfileOptions(model="spikformer", data=str(folder / "eight16.npz")))
    x = torch.from_numpy(digits.load(16)[0][:8])
    wrapped, metric = TorchModel(models.load_model("spikformer").eval()), SynapticOperations()
    wrapped.register_hooks()
    with torch.no_grad():
        wrapped(x)
    figures = metric(wrapped, None, (x, None))
    wrapped.cleanup_hooks()
    assert (found.theirs.acs / 8, found.theirs.macs / 8) == (figures["Effective_ACs"], figures["Effective_MACs"])
    assert found.peer.dense == 8 * figures["Dense"] == found.dense


def test_the_command_reads_a_run_file_again(folder: Path) -> None:
    pytest.importorskip("spikingjelly.activation_based.op_counter")

    def snnprof(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "snnprof", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)

    own = ("odd.py:network", "--data", "eight8.npz", "--neuron", "Spike", "--neuron", "Sign", "--samples", "6")
    assert snnprof("profile", *own, "-o", "odd.json", "--quiet").returncode == 0
    done = snnprof("compare", "odd.json", "--against", "spikingjelly", "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert "\nodd.json,padded,conv,conv,0," in done.stdout
    wrong = snnprof("compare", "odd.json", "--against", "spikingjelly", "--by", "layer")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: --by has no meaning with --against\n")
    bare = snnprof("compare", "odd.py:network", "--against", "spikingjelly")
    assert bare.stderr.startswith("error: odd.py:network comes without data\nhint: profile it first")

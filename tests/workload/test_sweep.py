"""Sweeps over real models: thresholds of every framework, rate-coded input, runs that are kept and continued."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snnprof
from snnprof.errors import SnnprofError
from snnprof.grid import PlannedRun, axes, file_names, grid
from snnprof.options import ProfileOptions
from snnprof.workload.batches import InputSpec, Sampler, array_facts
from snnprof.workload.map_dataset import TensorDataset
from snnprof.workload.rate_coding import RateCoded
from snnprof.workload.run import profile_run
from snnprof.workload.sweep import SharedSources, run_sweep, sweep
from snnprof.workload.thresholds import places, set_thresholds

CODE = """
import torch
from torch import nn

class Fires(nn.Module):
    def __init__(self, v_threshold=1.0):
        super().__init__()
        self.v_threshold = v_threshold
    def forward(self, x):
        return (x >= self.v_threshold).float()

class Net(nn.Module):
    def __init__(self, width=4, timesteps=2):
        super().__init__()
        self.first, self.last, self.timesteps = Fires(), nn.Linear(width, 3, bias=False), timesteps
    def forward(self, x):
        return sum(self.last(self.first(x * (step + 1))) for step in range(self.timesteps))

def build(width=4, timesteps=2):
    torch.manual_seed(0)
    return Net(width, timesteps)

def data():
    x = torch.linspace(0, 2, 32).reshape(8, 4)
    return [(x[i:i + 2], torch.arange(2)) for i in range(0, 8, 2)]
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(CODE)
    return path


class Neuron(nn.Module):
    """A hand-written neuron: known by its attribute alone."""

    def __init__(self, thresh: float = 1.0) -> None:
        super().__init__()
        self.thresh = thresh

    def forward(self, x: Tensor) -> Tensor:
        return (x >= self.thresh).to(x.dtype)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.timesteps = 2
        self.block = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), Neuron()) for _ in range(2)])
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros(len(x), 3)
        for _ in range(self.timesteps):
            spikes = x
            for part in self.block:
                spikes = part(spikes)
            total = total + self.last(spikes)
        return total


# -- thresholds ------------------------------------------------------------------------------------------------


def test_thresholds_of_all_or_of_some_layers_and_back() -> None:
    model = Net()
    undo = set_thresholds(model, [("", 0.5), ("block.1", 2.0)])
    assert [part[1].thresh for part in model.block] == [0.5, 2.0]  # type: ignore[index]
    undo()
    assert [part[1].thresh for part in model.block] == [1.0, 1.0]  # type: ignore[index]
    set_thresholds(model, [("block.*.1", 0.25)])
    assert [part[1].thresh for part in model.block] == [0.25, 0.25]  # type: ignore[index]


def test_a_threshold_changes_what_fires() -> None:
    fired = []
    for threshold in (0.5, 1.5):
        model = nn.Sequential(Neuron(), nn.Linear(4, 1, bias=False))
        set_thresholds(model, [("", threshold)])
        activity = snnprof.profile(model, torch.tensor([[0.0, 1.0, 1.2, 2.0]]), self_check=False)
        fired.append(activity.ops[0].nonzero)
    assert fired == [3, 1]


def test_what_has_no_threshold_is_one_sentence() -> None:
    with pytest.raises(SnnprofError, match="no neuron of this model has a threshold"):
        set_thresholds(nn.Sequential(nn.Linear(2, 2), nn.Threshold(0.1, 0.0)), [("", 1.0)])
    with pytest.raises(SnnprofError, match=r"unknown neuron layer 'blok\.0'") as caught:
        set_thresholds(Net(), [("blok.0", 1.0)])
    assert "block.0.1" in caught.value.hint


FRAMEWORKS: dict[str, tuple[str, Callable[[Any], float]]] = {
    "spikingjelly": ("from spikingjelly.activation_based.neuron import LIFNode as made", lambda n: n.v_threshold),
    "snntorch": ("from snntorch import Leaky; made = lambda: Leaky(beta=0.9)", lambda n: float(n.threshold)),
    "norse": ("from norse.torch import LIFCell as made", lambda n: float(n.p.v_th)),
    "sinabs": ("from sinabs.layers import IAF as made", lambda n: float(n.spike_threshold)),
}


@pytest.mark.parametrize("package", FRAMEWORKS)
def test_frameworks_keep_their_thresholds_where_snnprof_looks(package: str) -> None:
    pytest.importorskip(package)
    names: dict[str, Callable[[], nn.Module]] = {}
    exec(FRAMEWORKS[package][0], names)
    neuron, read = names["made"](), FRAMEWORKS[package][1]
    before = read(neuron)
    (place,) = places(nn.Sequential(neuron))
    assert place.layer == "0"
    undo = set_thresholds(nn.Sequential(neuron), [("", 0.375)])
    assert read(neuron) == 0.375
    undo()
    assert read(neuron) == before


# -- rate-coded input ------------------------------------------------------------------------------------------


def coded(x: Tensor, rate: float, size: int, seed: int = 0) -> list[Tensor]:
    source = TensorDataset(array_facts("x", "array", x), InputSpec(), x, None)
    batches = RateCoded(source, rate, seed).batches(Sampler(size), lambda number, start: True)
    return [batch.x for batch in batches if isinstance(batch.x, Tensor)]


def test_an_element_fires_with_probability_rate_times_x() -> None:
    (fired,) = coded(torch.tensor([[0.0, 0.5, 1.0]]).expand(4000, 3).contiguous(), 0.6, 4000)
    assert set(fired.flatten().tolist()) == {0.0, 1.0}
    assert fired.mean(0).tolist() == pytest.approx([0.0, 0.3, 0.6], abs=4 * (0.25 / 4000) ** 0.5)


def test_a_batch_is_drawn_alike_in_every_run() -> None:
    x = torch.rand(6, 5)
    assert all(torch.equal(a, b) for a, b in zip(coded(x, 0.5, 2), coded(x, 0.5, 2), strict=True))
    assert not torch.equal(torch.cat(coded(x, 0.5, 2)), torch.cat(coded(x, 0.5, 2, seed=1)))
    first, *_ = coded(x.repeat(2, 1)[[0, 1, 0, 1]], 0.5, 2)
    assert torch.equal(first, coded(x, 0.5, 2)[0])


@pytest.mark.parametrize("x", [[-0.1, 0.5], [0.0, 1.5], [float("nan"), 0.5]])
def test_other_values_have_no_rate(x: list[float]) -> None:
    with pytest.raises(SnnprofError, match="needs data with values from 0 to 1"):
        coded(torch.tensor([x]), 0.5, 1)


# -- sweeps from Python ----------------------------------------------------------------------------------------


def test_a_module_is_swept_and_put_back() -> None:
    torch.manual_seed(0)
    model, x = Net(), torch.rand(8, 4)
    batches: Iterator[tuple[Tensor, Tensor]] = ((x[i : i + 1], torch.tensor([0])) for i in range(8))
    found = sweep(model, batches, {"timesteps": [1, 3], "threshold.block.0": [0.1, 100]}, self_check=False)
    assert (found.setting, found.values, found.families) == ("timesteps", ("1", "3"), ("threshold.block.0",))
    low, high = found.curves
    assert [stop.side.timesteps for stop in low.stops] == [1, 3]
    assert low.stops[1].side.dense_macs == 3 * low.stops[0].side.dense_macs  # type: ignore[operator]
    assert high.stops[0].side.sops.value < low.stops[0].side.sops.value  # type: ignore[operator]
    assert (model.timesteps, model.block[0][1].thresh) == (2, 1.0)  # type: ignore[index]


def test_a_function_is_called_with_its_settings(code: Path) -> None:
    names: dict[str, Callable[..., nn.Module]] = {}
    exec(CODE, names)
    found = sweep(names["build"], names["data"](), {"set.timesteps": [1, 2]}, self_check=False)  # type: ignore[arg-type]
    assert found.values == ("1", "2")
    assert [stop.side.dense_macs for stop in found.curves[0].stops] == [12, 24]
    with pytest.raises(SnnprofError, match=r"set\.timesteps is an argument of the function"):
        sweep(names["build"](), names["data"](), {"set.timesteps": [1]})  # type: ignore[arg-type]


def test_input_rate_from_python() -> None:
    model = nn.Sequential(Neuron(0.5), nn.Linear(4, 1, bias=False))
    found = sweep(model, torch.ones(200, 4), {"input_rate": [0.25, 1]}, self_check=False)
    sparse, full = (stop.side.sops.value for stop in found.curves[0].stops)
    assert full == 4
    assert sparse == pytest.approx(1, abs=0.25)


class Stops(nn.Module):
    """Presses Ctrl-C when its threshold is 2."""

    v_threshold = 1.0

    def forward(self, x: Tensor) -> Tensor:
        if self.v_threshold == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return (x >= self.v_threshold).float()


def test_ctrl_c_keeps_the_runs_before_it() -> None:
    model, batches = nn.Sequential(Stops(), nn.Linear(4, 1)), [torch.ones(1, 4)] * 3
    found = sweep(model, batches, {"threshold": [0.5, 2, 3]}, self_check=False)
    assert found.values == ("0.5",)
    with pytest.raises(KeyboardInterrupt):
        sweep(model, batches, {"threshold": [2, 3]}, self_check=False)
    assert model[0].v_threshold == 1.0


def test_an_argument_and_a_sweep_contradict_each_other() -> None:
    with pytest.raises(SnnprofError, match="--over timesteps contradict"):
        sweep(Net(), torch.ones(1, 4), {"timesteps": [1]}, timesteps=2)


def test_checkpoints_from_python(tmp_path: Path) -> None:
    model = nn.Linear(2, 1, bias=False)
    paths = []
    for name in "ab":
        torch.save({"weight": torch.full((1, 2), float(ord(name)))}, tmp_path / f"{name}.pt")
        paths.append(tmp_path / f"{name}.pt")
    before = model.weight.detach().clone()
    found = sweep(model, torch.ones(1, 2), {"checkpoint": paths}, self_check=False)
    assert found.values == ("a.pt", "b.pt")
    assert torch.equal(model.weight, before)


# -- runs in files ---------------------------------------------------------------------------------------------


def planned(code: Path, folder: Path, seed: int = 0) -> list[PlannedRun]:
    given = ProfileOptions(model=f"{code}:build", data=f"{code}:data", self_check=False, seed=seed)
    points = grid(axes(["set.timesteps=1,2"]))
    return [
        PlannedRun(point, replace(point.options(given), output=folder / name))
        for point, name in zip(points, file_names(points), strict=True)
    ]


def test_finished_runs_are_not_repeated_and_others_are_refused(code: Path, tmp_path: Path) -> None:
    first = [activity for _, activity in run_sweep(planned(code, tmp_path))]
    files = sorted(tmp_path.glob("*.json"))
    assert [file.name for file in files] == ["set.timesteps-1.json", "set.timesteps-2.json"]
    before = [file.stat().st_mtime_ns for file in files]
    files[1].unlink()
    again = [activity for _, activity in run_sweep(planned(code, tmp_path))]
    assert [a.ops for a in again] == [a.ops for a in first]
    assert files[0].stat().st_mtime_ns == before[0]
    with pytest.raises(SnnprofError, match="cannot resume this run: --seed differs"):
        list(run_sweep(planned(code, tmp_path, seed=1)))
    forced = [activity for _, activity in run_sweep(planned(code, tmp_path, seed=1), force=True)]
    assert [a.run.seed for a in forced] == [1, 1]


def test_an_interrupted_run_continues(code: Path, tmp_path: Path) -> None:
    """The first run stops after two of four batches, as Ctrl-C leaves it; the same sweep finishes it."""
    (tmp_path / "whole").mkdir()
    whole = [activity for _, activity in run_sweep(planned(code, tmp_path / "whole"))]
    text = code.read_text()
    seen = tmp_path / "seen"
    stopping = "import os, signal, pathlib\n" + text.replace(
        "return [(x[i:i + 2], torch.arange(2)) for i in range(0, 8, 2)]",
        f"flag = pathlib.Path({str(seen)!r})\n"
        "    def made():\n"
        "        for i in range(0, 8, 2):\n"
        "            if i == 4 and not flag.exists():\n"
        "                flag.touch()\n"
        "                os.kill(os.getpid(), signal.SIGINT)\n"
        "            yield x[i:i + 2], torch.arange(2)\n"
        "    return made()",
    )
    code.write_text(stopping)
    _, stopped = next(run_sweep(planned(code, tmp_path)))
    assert seen.exists()
    assert not stopped.run.complete
    assert 0 < (stopped.samples or 0) < 8
    finished = [activity for _, activity in run_sweep(planned(code, tmp_path))]
    assert [a.run.complete for a in finished] == [True, True]
    assert [a.ops for a in finished] == [a.ops for a in whole]


def test_data_is_opened_once_for_all_time_steps(tmp_path: Path) -> None:
    torch.save({"x": torch.rand(4, 3), "y": torch.zeros(4)}, tmp_path / "d.pt")
    shared = SharedSources()
    a, b = (shared(str(tmp_path / "d.pt"), InputSpec(timesteps=steps), None) for steps in (1, 2))
    assert a is b
    stepwise = [shared(str(tmp_path / "d.pt"), InputSpec(layout="step", timesteps=steps), None) for steps in (1, 2)]
    assert stepwise[0] is not stepwise[1]


def test_what_a_sweep_by_name_refuses() -> None:
    with pytest.raises(SnnprofError, match="takes its data by name"):
        sweep("saformer", torch.zeros(1), {"timesteps": [1]})
    with pytest.raises(SnnprofError, match="unexpected keyword argument 'sample'"):
        sweep("saformer", None, {"timesteps": [1]}, sample=3)
    with pytest.raises(SnnprofError, match="needs batches"):
        sweep(nn.Identity(), None, {"timesteps": [1]})
    with pytest.raises(SnnprofError, match="a sweep needs a setting"):
        sweep(nn.Identity(), torch.zeros(1))


def test_profile_takes_the_settings_of_a_sweep(code: Path) -> None:
    """What each run file's command says: the same integers without a sweep."""
    options = ProfileOptions(model=f"{code}:build", data=f"{code}:data", thresholds=(("first", 0.5),), self_check=False)
    activity = profile_run(options)
    assert activity.run.conditions["--threshold"] == "first=0.5"
    x = torch.linspace(0, 2, 32)
    assert activity.ops[0].nonzero == int((x >= 0.5).sum() + (2 * x >= 0.5).sum())

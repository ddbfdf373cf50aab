"""T is seen, not guessed: told and untold runs agree, a wrong T is an error, and several answers are none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snnprof
from snnprof.activity import Activity
from snnprof.errors import SnnprofError

T, B = 4, 5
X = torch.rand(B, 6, generator=torch.Generator().manual_seed(0))


class StepLIF(nn.Module):
    """One step a call; keeps its potential."""

    def __init__(self) -> None:
        super().__init__()
        self.v: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.v = self.v + (x - self.v) / 2
        spikes = (self.v > 0.1).float()
        self.v = self.v * (1 - spikes)
        return spikes


class MultiLIF(nn.Module):
    """All steps in one call, `[T, B, ...]`."""

    def forward(self, x: Tensor) -> Tensor:
        v, out = torch.zeros_like(x[0]), []
        for step in x:
            v = v * 0.5 + step
            out.append((v > 0.1).float())
        return torch.stack(out)


class Inside(nn.Module):
    """Makes its own time axis, in one of the ways people write it."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.way = nn.Linear(6, 8, bias=False), nn.Linear(8, 3), way
        self.fire = StepLIF() if way == "calls" else MultiLIF()

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "calls":
            return torch.stack([self.b(self.fire(self.a(x))) for _ in range(T)]).mean(0)
        if self.way == "line":
            v, out = torch.zeros(len(x), 8), torch.zeros(len(x), 3)
            for _ in range(T):
                v = v * 0.5 + self.a(x)
                spikes = (v > 0.1).float()
                v, out = v - spikes, out + self.b(spikes)
            return out / T
        frames = x.expand(T, *x.shape) if self.way == "expand" else x.unsqueeze(0).repeat(T, 1, 1)
        return self.b(self.fire(self.a(frames.flatten(0, 1)).view(T, -1, 8)).flatten(0, 1)).view(T, -1, 3).mean(0)


def _shown(activity: Activity) -> Any:
    report = snnprof.price(activity)
    neurons = [(n.size, n.steps, n.spikes, n.spikes_per_step, n.updates) for n in activity.neurons]
    return neurons, [op.steps for op in activity.ops], report.ann_twin.energy_pj, activity.run.timesteps


@pytest.mark.parametrize("way", ["calls", "line", "repeat", "expand"])
def test_told_and_untold_runs_agree(way: str) -> None:
    told, untold = (snnprof.profile(Inside(way), [X, X[:2]], timesteps=steps) for steps in (T, None))
    assert _shown(told) == _shown(untold)
    assert _shown(untold)[-1] == T
    (neuron,) = untold.neurons
    assert (neuron.size, neuron.steps, len(neuron.spikes_per_step)) == (8, T, T)
    assert told.blocks == untold.blocks


@pytest.mark.parametrize("way", ["calls", "line", "repeat"])
def test_a_wrong_number_of_steps_is_an_error(way: str) -> None:
    with pytest.raises(SnnprofError, match="runs 4 time steps, not the 7"):
        snnprof.profile(Inside(way), [X], timesteps=7)


class Surrogate(torch.autograd.Function):
    """As networks that are trained make their spikes; a backward pass is not run here."""

    @staticmethod
    def forward(context: Any, over: Tensor, slope: float = 1.0) -> Tensor:
        context.save_for_backward(over)
        return (over >= 0).to(over)


FIRES: dict[str, Any] = {
    "v - 1": lambda v, th: Surrogate.apply(v - 1),
    "v - threshold": lambda v, th: Surrogate.apply(v - th),
    "v - thresholds": lambda v, th: Surrogate.apply(v - th.expand(8)),
    "v / threshold - 1": lambda v, th: Surrogate.apply(v / th - 1),
    "slope": lambda v, th: Surrogate.apply((v - 1) * 2, 4.0),
    "heaviside": lambda v, th: torch.heaviside(v - 1, torch.ones(())),
    "where": lambda v, th: torch.where(v / 1.5 - 1 >= 0, 1.0, 0.0),
    "sign": lambda v, th: (torch.sign(v.sub(1)) + 1) / 2,
}
RESETS: dict[str, Any] = {
    "subtract": lambda v, spikes: v - spikes,
    "zero": lambda v, spikes: v * (1 - spikes.detach()),
    "where": lambda v, spikes: torch.where(spikes > 0, torch.zeros_like(v), v),
}


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("fire", FIRES)
def test_a_loop_that_compares_the_potential_minus_its_threshold_is_time(fire: str, reset: str) -> None:
    """What is compared is a value of its own, of which no later potential is made."""

    class Neurons(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.threshold = nn.Parameter(torch.ones(1))

        def forward(self, currents: Tensor) -> Tensor:
            v, out = torch.zeros_like(currents[0]), []
            for current in currents:
                v = v * 0.5 + current
                spikes = FIRES[fire](v, self.threshold)
                v = RESETS[reset](v, spikes)
                out.append(spikes)
            return torch.stack(out)

    class Folded(nn.Module):
        """Time lies in the batch where the second layer reads it."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b, self.fire = nn.Linear(6, 8), nn.Linear(8, 3), Neurons()

        def forward(self, x: Tensor) -> Tensor:
            spikes = self.fire(self.a(x).mul(4).expand(T, -1, -1))
            return self.b(spikes.flatten(0, 1)).unflatten(0, (T, -1)).mean(0)

    activity = snnprof.profile(Folded(), [X])
    assert activity.run.timesteps == T
    assert [neuron.steps for neuron in activity.neurons] == [T]
    assert {op.layer: op.steps for op in activity.ops} == {"a": 1, "b": T}
    assert snnprof.price(activity).ann_twin.operations == B * (6 * 8 + 8 * 3)


def test_several_thresholds_of_one_value_are_no_time() -> None:
    class Population(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.b = nn.Linear(18, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.cat([Surrogate.apply(x - threshold) for threshold in (0.2, 0.4, 0.6)], 1))

    assert snnprof.profile(Population(), [X]).run.timesteps == 1


def test_without_state_there_is_one_step() -> None:
    activity = snnprof.profile(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), [X])
    assert activity.run.timesteps == 1
    assert snnprof.price(activity).ann_twin.operations == B * (6 * 8 + 8 * 3)


def test_a_loop_over_samples_is_no_time() -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.stack([(row > 0).float() for row in self.a(x)]))

    assert snnprof.profile(Rows(), [X]).run.timesteps == 1


def test_a_shared_activation_is_no_time() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
            self.fire = Fires()

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = self.fire(layer(x))
            return x

    assert snnprof.profile(Shared(), [X]).run.timesteps == 1


class Fires(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x > 0).float()


def test_several_answers_are_none() -> None:
    """Two time axes of different lengths: no twin, no steps, and a reason."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.fire, self.again = nn.Linear(6, 8), nn.Linear(8, 3), MultiLIF(), MultiLIF()

        def forward(self, x: Tensor) -> Tensor:
            spikes = self.fire(self.a(x).expand(4, len(x), 8).clone())
            return self.b(self.again(spikes[:3]).mean(0))

    report = snnprof.price(snnprof.profile(Two(), [X]))
    assert report.activity.run.timesteps is None
    assert report.ann_twin.energy_pj is None
    assert "W12" in {finding.code for finding in report.findings}


class TimeFirst(nn.Module):
    def __init__(self, fire: nn.Module) -> None:
        super().__init__()
        self.a, self.fire, self.b = nn.Linear(6, 8), fire, nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.fire(self.a(x)).mean(0))


FRAMES = (torch.rand(T, 32, 6, generator=torch.Generator().manual_seed(1)) < 0.5).float()


@pytest.mark.parametrize("fire", [Fires, MultiLIF])
def test_time_first_taken_for_batch_first(fire: type[nn.Module]) -> None:
    with pytest.raises(SnnprofError, match="second axis") as caught:
        snnprof.profile(TimeFirst(fire()), [(FRAMES, torch.zeros(32, dtype=torch.long))])
    assert "time-batch" in (caught.value.hint or "")
    unlabelled = snnprof.profile(TimeFirst(fire()), [FRAMES])
    assert any(f.code == "C14" and "time-batch" in f.hint for f in unlabelled.findings)
    told = snnprof.profile(TimeFirst(fire()), [(FRAMES, torch.zeros(32, dtype=torch.long))], "time-batch")
    assert "C14" not in {finding.code for finding in told.findings}
    assert told.samples == 32

"""What fresh readers of the counting broke: one small network for each kind of fault."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snnprof

T, X = 5, torch.rand(4, 6, generator=torch.Generator().manual_seed(0))


class Surrogate(nn.Module):
    def forward(self, v: Tensor) -> Tensor:
        return (v > 0.3).float()


class Cell(nn.Module):
    """One step a call; its surrogate is a child."""

    def __init__(self) -> None:
        super().__init__()
        self.surrogate, self.v = Surrogate(), 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.v = self.v * 0.5 + x
        spikes: Tensor = self.surrogate(self.v)
        self.v = self.v * (1 - spikes)
        return spikes


class MultiStep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = Cell()

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.cell(step) for step in x])


class Wrapped(nn.Module):
    """Repeats its input; a wrapper runs a single-step neuron along the time axis, each contraction runs once."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.fire, self.b = nn.Linear(6, 8), MultiStep(), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.fire(self.a(x.repeat(T, 1, 1)))).mean(0)


def test_a_wrapper_round_a_single_step_neuron_shows_its_steps() -> None:
    told, untold = (snnprof.profile(Wrapped(), [X], timesteps=steps) for steps in (T, None))
    assert untold.run.timesteps == T
    assert [n.layer for n in untold.neurons] == ["fire.cell"]
    assert (told.ops, told.neurons) == (untold.ops, untold.neurons)
    with pytest.raises(snnprof.errors.SnnprofError, match="runs 5 time steps"):
        snnprof.profile(Wrapped(), [X], timesteps=3)


def test_weights_that_are_shared_without_state_leave_T_unknown() -> None:
    class Siamese(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.fire, self.b = nn.Linear(6, 8), Surrogate(), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.fire(self.a(x))) - self.b(self.fire(self.a(x.flip(0))))

    report = snnprof.price(snnprof.profile(Siamese(), [X]))
    assert report.activity.run.timesteps is None
    assert (report.ann_twin.energy_pj, "W12" in {f.code for f in report.findings}) == (None, True)


@pytest.mark.parametrize("weight", [torch.eye(3).view(1, 1, 3, 3), torch.ones(1, 1, 3, 3)])
def test_the_self_check_sees_no_convolution_of_the_recorder(weight: Tensor) -> None:
    conv = nn.Conv2d(1, 1, 3, bias=False)
    conv.weight.data = weight
    check = snnprof.profile(conv, [(torch.rand(2, 1, 5, 5) < 0.5).float()]).self_check
    assert check is not None
    assert (check.rows, check.equal) == (1, 1)


class Keeps(nn.Module):
    """State that starts as nothing, in an object, as an array, or as numbers."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.way, self.v, self.held = way, None, SimpleNamespace(v=None)
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        kept: Any = self.held.v if self.way == "object" else self.v
        v = self.a(x) if kept is None else torch.as_tensor(kept) * 0.9 + self.a(x)
        spikes = (v > 0.3).float()
        v = v * (1 - spikes)
        if self.way == "object":
            self.held.v = v
        else:
            self.v = v.numpy().copy() if self.way == "array" else v.tolist()
        return self.b(spikes)


@pytest.mark.parametrize("way", ["object", "array", "numbers"])
def test_the_same_batch_twice_costs_twice(way: str) -> None:
    one, two = (snnprof.profile(Keeps(way), [X] * n, layout="step", timesteps=3) for n in (1, 2))
    assert two.ops[1].events == 2 * one.ops[1].events > 0
    assert snnprof.profile(Keeps(way), [X, X[:2]], layout="step", timesteps=3).samples == 6


def test_levels_of_neurons_add_when_runs_merge() -> None:
    class Integer(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.clamp(0, 4).round()

    net = nn.Sequential(nn.Linear(2, 2, bias=False), Integer(), nn.Linear(2, 2))
    net[0].weight.data = torch.eye(2)
    batches = [torch.tensor([[2.2, 0.0]]), torch.tensor([[1.1, 4.0]])]
    apart = [snnprof.profile(net, [batch], input="real") for batch in batches]
    assert apart[0].merge(apart[1]).neurons[0].level_sum == 2 + 1 + 4


def test_generators_of_the_model_are_left_as_found() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)
            self.torch, self.numpy, self.python = torch.Generator(), np.random.default_rng(0), random.Random(0)

        def forward(self, x: Tensor) -> Tensor:
            noise = torch.rand(x.shape, generator=self.torch) + float(self.numpy.random()) + self.python.random()
            return self.layer(x + noise)

    net = Noisy()
    before = net.torch.get_state(), net.numpy.bit_generator.state, net.python.getstate()
    snnprof.profile(net, [X, X])
    assert torch.equal(net.torch.get_state(), before[0])
    assert (net.numpy.bit_generator.state, net.python.getstate()) == before[1:]


def test_lines_tell_their_spikes_by_step_where_the_layout_tells_T() -> None:
    class Lines(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, frames: Tensor) -> Tensor:
            v, out = torch.zeros(frames.shape[1], 8), torch.zeros(frames.shape[1], 3)
            for x in frames:
                v = v * 0.5 + self.a(x)
                spikes = (v > 0.3).float()
                v, out = v - spikes, out + self.b(spikes)
            return out

    (neuron,) = snnprof.profile(Lines(), [torch.rand(T, 4, 6)], "time-batch").neurons
    assert len(neuron.spikes_per_step) == T
    assert sum(neuron.spikes_per_step) == neuron.spikes > 0


def test_frames_along_the_first_axis_are_named_if_the_model_puts_out_frames() -> None:
    net = nn.Sequential(nn.Linear(6, 8), MultiStep(), nn.Linear(8, 3))
    assert "C14" in {finding.code for finding in snnprof.profile(net, [torch.rand(T, 4, 6)]).findings}

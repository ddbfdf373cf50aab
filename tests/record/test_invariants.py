"""What must not change a count: how the samples are batched, ordered, split over runs or fed over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snnprof
from snnprof.activity import PART_COUNTS, Activity

T, SAMPLES = 3, 12


class Fire(nn.Module):
    """Integrate and fire, one step a call; keeps its potential."""

    def __init__(self) -> None:
        super().__init__()
        self.v: Tensor | None = None

    def reset(self) -> None:
        self.v = None

    def forward(self, current: Tensor) -> Tensor:
        v = current if self.v is None else self.v + current
        spike = (v >= 1).float()
        self.v = v - spike
        return spike


class FireAll(nn.Module):
    """The same over all steps of one call, [T, B, ...]."""

    def forward(self, current: Tensor) -> Tensor:
        cell = Fire()
        return torch.stack([cell(step) for step in current])


class PerStep(nn.Module):
    """Runs a batch layer on [T, B, ...]."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class Net(nn.Module):
    """conv → fire → average pooling → conv → fire, added to itself → linear; `multi` takes [T, B, ...]."""

    def __init__(self, multi: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        per_step = PerStep if multi else nn.Identity
        fire = FireAll if multi else Fire
        self.conv1, self.fire1 = nn.Conv2d(2, 4, 3, padding=1), fire()
        self.conv2, self.fire2 = nn.Conv2d(4, 4, 3, padding=1, bias=False), fire()
        self.pool, self.head = nn.AvgPool2d(2), nn.Linear(36, 5)
        for p in self.parameters():  # whole sixteenths: sums are exact in any order
            p.data = torch.round(p.data * 4 * 16) / 16
        self.wrap = {name: per_step(getattr(self, name)) for name in ("conv1", "conv2", "pool")} if multi else {}
        self.multi = multi

    def _run(self, name: str, x: Tensor) -> Tensor:
        return self.wrap[name](x) if self.multi else getattr(self, name)(x)

    def forward(self, x: Tensor) -> Tensor:
        a = self.fire1(self._run("conv1", x))
        b = self.fire2(self._run("conv2", a)) + a
        return self.head(self._run("pool", b).flatten(2 if self.multi else 1))


@pytest.fixture(scope="module")
def frames() -> Tensor:
    """[T, SAMPLES, 2, 6, 6] in sixteenths."""
    torch.manual_seed(1)
    return torch.round(torch.rand(T, SAMPLES, 2, 6, 6) * 16) / 16


@pytest.fixture(scope="module")
def whole(frames: Tensor) -> Activity:
    return snnprof.profile(Net(True), frames, "time-batch", neuron=("FireAll",))


def _counts(activity: Activity) -> dict[str, Any]:
    """Every integer of a run, whatever its batches."""
    ops = {
        f"{op.layer} {op.index}": [
            [(part.kind, *(getattr(part, name) for name in PART_COUNTS)) for part in op.parts],
            op.bias_adds, op.steps, op.fed_by, [operand.histogram for operand in op.operands],
        ]
        for op in activity.ops
    }  # fmt: skip
    neurons = {n.layer: (n.spikes, n.spikes_per_step, n.updates, n.driven, n.fired_bitmap) for n in activity.neurons}
    lines = {(line.layer, line.op): (line.elements, line.nonzero) for line in activity.elementwise}
    return {"ops": ops, "neurons": neurons, "lines": lines}


def test_the_network_is_worth_testing(whole: Activity) -> None:
    kinds = {op.layer: [part.kind for part in op.parts] for op in whole.ops}
    assert kinds == {"conv1": ["real"], "conv2": ["spikes"], "head": ["spikes"]}
    head = whole.ops[2].part("spikes")
    assert 0 < head.events < head.by_value
    assert all(n.spikes for n in whole.neurons)


@pytest.mark.parametrize("size", [1, 5])
def test_batch_size(whole: Activity, frames: Tensor, size: int) -> None:
    """Batches of one, and of five with an uneven last one, against one batch."""
    split = snnprof.profile(Net(True), frames.split(size, 1), "time-batch", neuron=("FireAll",))
    assert _counts(split) == _counts(whole)
    assert split.samples == SAMPLES


def test_steps_in_the_callers_loop(whole: Activity, frames: Tensor) -> None:
    looped = snnprof.profile(Net(False), frames, "step", timesteps=T, neuron=("Fire",))
    assert _counts(looped)["ops"] == _counts(whole)["ops"]
    assert _counts(looped)["neurons"] == _counts(whole)["neurons"]
    assert {op.calls for op in looped.ops} == {T}


def test_batch_first_frames(whole: Activity, frames: Tensor) -> None:
    class BatchFirst(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.transpose(0, 1).contiguous())

    turned = snnprof.profile(BatchFirst(True), frames.transpose(0, 1).contiguous(), "batch-time", neuron=("FireAll",))
    assert _counts(turned) == _counts(whole)


def test_order_of_samples(whole: Activity, frames: Tensor) -> None:
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(3))
    turned = snnprof.profile(Net(True), frames[:, order].split(4, 1), "time-batch", neuron=("FireAll",))
    assert _counts(turned) == _counts(whole)


def test_two_runs_merged(whole: Activity, frames: Tensor) -> None:
    first, second = (
        snnprof.profile(Net(True), half, "time-batch", neuron=("FireAll",))
        for half in frames.split([5, SAMPLES - 5], 1)
    )
    merged = first.merge(second)
    assert _counts(merged) == _counts(whole)
    assert merged.samples == SAMPLES


def test_file_round_trip(whole: Activity, tmp_path: Path) -> None:
    whole.save(tmp_path / "run.json")
    assert Activity.load(tmp_path / "run.json") == whole


def test_bounds(whole: Activity) -> None:
    for op in whole.ops:
        assert 0 <= op.part("spikes").effective <= op.events <= op.valid_macs <= op.dense_macs
    for neuron in whole.neurons:
        assert 0 <= neuron.spikes <= neuron.updates
        assert neuron.driven <= neuron.updates
        assert sum(neuron.spikes_per_step) == neuron.spikes


def test_two_profiles_agree(whole: Activity, frames: Tensor) -> None:
    net = Net(True)
    runs = [snnprof.profile(net, frames, "time-batch", neuron=("FireAll",)) for _ in range(2)]
    assert _counts(runs[0]) == _counts(runs[1]) == _counts(whole)


def test_blocks_sum_to_the_run(frames: Tensor) -> None:
    split = snnprof.profile(Net(True), frames.split(5, 1), "time-batch", neuron=("FireAll",))
    assert [block.samples for block in split.blocks] == [5, 5, 2]
    for position, neuron in enumerate(split.neurons):
        assert sum(block.neurons[position][0] for block in split.blocks) == neuron.spikes


@pytest.mark.parametrize("named", [("Fire",), ()])
def test_every_batch_counts(frames: Tensor, named: tuple[str, ...]) -> None:
    """What is learned on the first batch must not blind the recorder on later ones."""
    several = snnprof.profile(Net(False), [frames] * 3, "step", timesteps=T, neuron=named)
    per_block = [block.ops for block in several.blocks]
    assert per_block[0] == per_block[1] == per_block[2]
    assert all(counts[0] == T for counts in per_block[0])

"""Contractions by time step: the counts of each step against the same step run alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snnprof.activity import Activity, add_parts
from snnprof.record.counters import MOST_STEPS
from snnprof.record.recorder import Recorder

T, B = 4, 3


class Fires(nn.Module):
    """Hands out 0 and 1 and is named as a neuron layer."""

    def forward(self, x: Tensor) -> Tensor:
        return (x > 0.5).float()


class Net(nn.Module):
    """A stem on real frames, spikes into a convolution and a linear layer, a head on the mean over time."""

    def __init__(self, looped: bool) -> None:
        super().__init__()
        self.looped = looped
        self.stem, self.conv = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)
        self.a, self.b = Fires(), Fires()
        self.fc, self.head = nn.Linear(2 * 36, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        """`[T, B, 1, 6, 6]`"""
        if self.looped:
            out = torch.stack([self.step(frame) for frame in x])
        else:
            out = self.step(x.flatten(0, 1)).unflatten(0, (T, B))
        return self.head(out.mean(0))

    def step(self, x: Tensor) -> Tensor:
        return self.fc(self.b(self.conv(self.a(self.stem(x)))).flatten(1))


def frames(seed: int, silent: int | None = None) -> Tensor:
    x = torch.randn(T, B, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    if silent is not None:
        x[silent] = 0
    return x


def recorded(net: nn.Module, *batches: Tensor, **options: Any) -> Activity:
    with (
        Recorder(net, layout="time-batch", neuron=["Fires"], **{"timesteps": T, **options}) as recorder,
        torch.no_grad(),
    ):
        for number, batch in enumerate(batches):
            if number:
                recorder.new_sequence()
            net(batch)
    return recorder.activity(samples=B * len(batches))


def nonzeros(net: Net, x: Tensor) -> dict[str, list[int]]:
    """What each layer reads that is not zero, step by step, by the layers themselves."""
    found: dict[str, list[int]] = {"stem": [], "conv": [], "fc": []}
    for frame in x:
        a = net.a(net.stem(frame))
        b = net.b(net.conv(a))
        for name, read in (("stem", frame), ("conv", a), ("fc", b)):
            found[name].append(int((read != 0).sum()))
    return found


@pytest.mark.parametrize("looped", [False, True])
def test_each_step_has_what_ran_at_it(looped: bool) -> None:
    torch.manual_seed(0)
    net, x = Net(looped), [frames(1), frames(2)]
    activity = recorded(net, *x)
    ops = {op.layer: op for op in activity.ops}
    expected = [nonzeros(net, batch) for batch in x]
    for name in ("stem", "conv", "fc"):
        steps = ops[name].parts_by_step
        assert [sum(part.nonzero for part in step) for step in steps] == [
            sum(each[name][t] for each in expected) for t in range(T)
        ]
    assert [sum(part.events for part in step) for step in ops["fc"].parts_by_step] == [
        5 * sum(part.nonzero for part in step) for step in ops["fc"].parts_by_step
    ]
    assert len(ops["head"].parts_by_step) == ops["head"].steps == 1


@pytest.mark.parametrize("looped", [False, True])
def test_the_steps_add_up_to_the_run(looped: bool) -> None:
    torch.manual_seed(0)
    activity = recorded(Net(looped), frames(1, silent=2), frames(2))
    for op in activity.ops:
        total: list[Any] = []
        for step in op.parts_by_step:
            total = add_parts(total, step)
        assert total == op.parts


def test_whole_sequences_need_no_word_between_them() -> None:
    net = Net(looped=False)
    with Recorder(net, layout="time-batch", timesteps=T, neuron=["Fires"]) as recorder:
        net(frames(1))
        net(frames(2))
    assert [len(op.parts_by_step) for op in recorder.activity(samples=2 * B).ops[:3]] == [T, T, T]


def test_one_step_is_the_whole(record: Callable[..., Activity]) -> None:
    net = nn.Linear(4, 2)
    with Recorder(net) as recorder:
        for _ in range(3):
            net(torch.rand(2, 4))
    (op,) = recorder.activity(samples=6, timesteps=1).ops
    assert op.parts_by_step == [op.parts]


def test_both_ways_of_running_count_alike() -> None:
    torch.manual_seed(0)
    folded = recorded(Net(looped=False), frames(1))
    torch.manual_seed(0)
    looped = recorded(Net(looped=True), frames(1))
    assert [op.parts_by_step for op in folded.ops] == [op.parts_by_step for op in looped.ops]


def test_levels_are_in_the_units_of_the_run(record: Callable[..., Activity], spikes: Any) -> None:
    """Spikes of 0 and 3 alone are one level each, at each step as in the whole."""
    x = 3 * spikes(T, B, 8)
    (op,) = record(nn.Linear(8, 2), x, samples=B, timesteps=T, layout="time-batch", input_kind="spikes").ops
    assert op.part("spikes").by_value == sum(part.by_value for step in op.parts_by_step for part in step)


def test_a_layer_that_runs_twice_a_step_is_not_told_apart(record: Callable[..., Activity]) -> None:
    layer = nn.Linear(8, 8)
    (op,) = record(lambda x: layer(layer(x)), torch.rand(T, B, 8), samples=B, timesteps=T, layout="time-batch").ops
    assert op.parts_by_step == []


def test_steps_of_a_long_sequence_are_not_told_apart(record: Callable[..., Activity]) -> None:
    x = torch.rand(MOST_STEPS + 1, 1, 2)
    (op,) = record(nn.Linear(2, 2), x, samples=1, timesteps=len(x), layout="time-batch").ops
    assert (op.steps, op.parts_by_step) == (len(x), [])


def test_merged_runs_add_step_by_step() -> None:
    torch.manual_seed(0)
    net = Net(looped=False)
    both, first, second = recorded(net, frames(1), frames(2)), recorded(net, frames(1)), recorded(net, frames(2))
    merged = first.merge(second)
    assert [op.parts_by_step for op in merged.ops] == [op.parts_by_step for op in both.ops]
    untold = [op.model_copy(update={"parts_by_step": []}) for op in second.ops]
    lost = first.merge(second.model_copy(update={"ops": untold}))
    assert not any(op.parts_by_step for op in lost.ops)


def test_a_block_does_not_tell_steps_apart() -> None:
    activity = recorded(Net(looped=False), frames(1), frames(2))
    assert not any(op.parts_by_step for op in activity.restricted(activity.blocks[0]).ops)

"""Learning ends by itself where the caller drives the passes, and begins again where a pass meets something new."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from snnprof.activity import Activity
from snnprof.record.recorder import Recorder

X = (torch.arange(48).reshape(4, 12) % 3 == 0).float()


class Leaky(nn.Module):
    """A hand-written neuron that keeps its potential and its spikes from call to call."""

    def __init__(self) -> None:
        super().__init__()
        self.v: Tensor | float = 0.0

    def forward(self, current: Tensor) -> Tensor:
        self.v = 0.5 * self.v + current
        spikes = (self.v > 0.5).float()
        self.v = self.v * (1 - spikes)
        return spikes


class Stepped(nn.Module):
    """One time step: what fired in the step before is read again; the head runs when it is told to."""

    def __init__(self, head: Callable[[int], bool] = lambda step: True) -> None:
        super().__init__()
        self.fc, self.again = nn.Linear(12, 6, bias=False), nn.Linear(6, 6, bias=False)
        self.neuron, self.out = Leaky(), nn.Linear(6, 2, bias=False)
        self.spikes: Tensor | None = None
        self.head, self.step, self.fired = head, 0, [torch.zeros(4, 6)]
        for weight in self.parameters():
            nn.init.constant_(weight, 0.125)

    def forward(self, x: Tensor) -> Tensor:
        before = torch.zeros(4, 6) if self.spikes is None else self.spikes
        self.spikes = self.neuron(self.fc(x) + self.again(before))
        self.fired.append(self.spikes)
        self.step += 1
        return self.out(self.spikes) if self.head(self.step) else self.spikes


def recorded(net: nn.Module, passes: int, **options: Any) -> tuple[Activity, list[bool]]:
    """The counts of so many passes, and whether each of them ended in learning."""
    learning = []
    with torch.no_grad(), Recorder(net, **options) as recorder:
        for _ in range(passes):
            net(X)
            learning.append(recorder.sites.learning)
    return recorder.activity(samples=4 * passes), learning


def test_a_pass_that_teaches_nothing_new_ends_learning() -> None:
    net = nn.Sequential(nn.Linear(12, 6), Leaky(), nn.Linear(6, 2))
    activity, learning = recorded(net, 8)
    assert learning[0]
    assert not any(learning[3:])
    assert activity.ops[0].events == 8 * 6 * int(X.sum())
    assert [part.kind for part in activity.ops[1].parts if part.events] in (["spikes"], [])


def test_the_third_pass_of_a_caller_costs_what_a_later_pass_does() -> None:
    net = nn.Sequential(nn.Linear(12, 6), Leaky(), nn.Linear(6, 2))

    def calls(then: Callable[[], Any] = lambda: None) -> int:
        """Python functions that one pass from the start of a sequence calls."""
        number, net[1].v = 0, 0.0

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal number
            number += event == "call"

        sys.setprofile(count)
        try:
            net(X)
            then()
        finally:
            sys.setprofile(None)
        return number

    def next_batch() -> None:
        """What a run does between two batches."""
        led.end_batch()
        led.widen_input(X)

    with torch.no_grad(), Recorder(net) as led:
        calls(next_batch)
        of_a_run = calls(next_batch)
    with torch.no_grad(), Recorder(net):
        calls()
        calls()
        assert calls() <= of_a_run


def test_state_that_is_carried_from_pass_to_pass_is_still_spikes() -> None:
    net = Stepped()
    activity, learning = recorded(net, 12, layout="step")
    assert not learning[-1]
    by_layer = {op.layer: op for op in activity.ops}
    read = torch.stack(net.fired[:-1])  # the first is the state before the first step
    assert by_layer["again"].part("spikes").events == 6 * int(read.sum())
    assert by_layer["again"].part("real").events == 0
    assert by_layer["again"].fed_by == ["neuron"]


def test_an_operation_met_later_is_said_and_then_learned() -> None:
    net = Stepped(head=lambda step: step > 6)
    activity, learning = recorded(net, 12, layout="step")
    assert not learning[5]
    assert not learning[-1]
    head = next(op for op in activity.ops if op.layer == "out")
    once, later = net.fired[7], torch.stack(net.fired[8:])
    # Nobody knew where the operand of its first call came from; from the next pass on it is spikes.
    assert head.part("real").events == 2 * int(once.sum())
    assert head.part("spikes").events == 2 * int(later.sum())
    assert [finding.layer for finding in activity.findings if finding.code == "C01"] == ["out"]
    again = next(op for op in activity.ops if op.layer == "again")
    assert again.part("real").events == 0
    assert again.fed_by == ["neuron"]


def test_all_steps_of_a_sequence_are_learned_where_the_caller_says_how_many() -> None:
    net = Stepped(head=lambda step: step % 8 == 0)
    activity, _ = recorded(net, 16, layout="step", timesteps=8)
    head = next(op for op in activity.ops if op.layer == "out")
    assert head.part("spikes").events == 2 * int(net.fired[8].sum() + net.fired[16].sum())
    assert head.part("real").events == 0
    assert "C01" not in {finding.code for finding in activity.findings}


def test_sequences_that_the_caller_steps_through() -> None:
    net = nn.Sequential(nn.Linear(12, 6, bias=False), Leaky())
    with torch.no_grad(), Recorder(net, layout="step", timesteps=3) as recorder:
        for number in range(2):
            if number:
                recorder.new_sequence()
                net[1].v = 0.0
            for _ in range(3):
                net(X)
    activity = recorder.activity(samples=8)
    assert activity.ops[0].steps == 3
    assert activity.neurons[0].steps == 3
    assert len(activity.neurons[0].spikes_per_step) == 3
    assert sum(activity.neurons[0].spikes_per_step) == activity.neurons[0].spikes


def test_memory_is_flat_over_many_passes() -> None:
    """Of a recorder whose caller never ends anything: the same objects after 2,000 passes as after 20."""
    net = nn.Sequential(nn.Linear(12, 6), Leaky(), nn.Linear(6, 2))

    def alive() -> int:
        gc.collect()
        return len(gc.get_objects())

    with torch.no_grad(), Recorder(net):
        for number in range(2000):
            net(X)
            if number == 20:
                before = alive()
        assert alive() - before < 100


def test_activity_is_a_reading() -> None:
    """To read the counts, however often and whenever, changes none of those that come later."""

    def counted(reads: bool) -> Activity:
        net = Stepped(head=lambda step: step > 3)
        with torch.no_grad(), Recorder(net, layout="step") as recorder:
            for _ in range(6):
                net(X)
                if reads:
                    assert recorder.activity(samples=4) == recorder.activity(samples=4)
        return recorder.activity(samples=24)

    assert counted(reads=True) == counted(reads=False)


def test_an_input_whose_counts_grow_stays_spikes() -> None:
    net = nn.Linear(12, 3, bias=False)
    with torch.no_grad(), Recorder(net) as recorder:
        for most in (1, 1, 1, 3):
            net(X * most)
    (op,) = recorder.activity(samples=16).ops
    assert op.part("real").events == 0
    assert op.part("spikes").by_value == 3 * int(X.sum()) * (1 + 1 + 1 + 3)


def test_a_line_that_fires_in_a_later_branch_alone_is_counted_from_the_next_pass_on() -> None:
    """Its first pass has no facts; it must not go on as the line that fires nothing."""

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c, self.both = nn.Linear(12, 6), nn.Linear(6, 8), nn.Linear(8, 2), False

        def forward(self, x: Tensor) -> Tensor:
            spikes = (self.a(x) > 0).float()
            if self.both:
                return self.c((self.b(spikes) > 0).float())  # type: ignore[no-any-return]
            return spikes

    net, passes = Branches(), 6
    with Recorder(net) as recorder, torch.no_grad():
        for _ in range(4):
            net(X)
        net.both = True
        for _ in range(passes):
            net(X)
    first, second = recorder.activity(samples=len(X), timesteps=1).neurons
    assert first.updates == (4 + passes) * len(X) * 6
    assert second.updates == (passes - 1) * len(X) * 8

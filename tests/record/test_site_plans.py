"""At each place in the code other arithmetic is counted by what it reads, in every batch alike: by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snnprof.activity import Activity
from snnprof.record.recorder import Recorder

N = 2 * 6  # elements of a tensor
WEIGHT = torch.arange(6.0) + 1
AsModule = Callable[[Callable[..., Any]], nn.Module]


class Network(nn.Module):
    """A function in a network: a module with a contraction inside is no neuron, whatever it puts out."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.function = nn.Linear(6, 1, bias=False), function

    def forward(self, x: Tensor) -> Tensor:
        self.layer(x)
        return self.function(x)


def counted(net: nn.Module, batches: int = 3) -> Activity:
    with torch.no_grad(), Recorder(net, input="real") as recorder:
        for _ in range(batches):
            net(torch.linspace(-1, 1, N).reshape(2, 6))
            recorder.end_batch()
            recorder.end_block(2)
    return recorder.activity()


def spikes(x: Tensor, threshold: float) -> Tensor:
    return (x > threshold).float()


def state_of_zeros(x: Tensor) -> Tensor:
    v = torch.zeros(2, 6)
    for _ in range(3):
        v = v * 0.5 + x
    return v


def reset_of_zeros(x: Tensor) -> Tensor:
    v = torch.zeros(2, 6)
    for _ in range(3):
        fired = (v >= 0.3).float()
        v = v * (1 - fired) + x
    return v


def total_from_a_number(x: Tensor) -> Tensor:
    total: Tensor | int = 0
    for threshold in (0.0, 0.5, 0.9):
        total = total + spikes(x, threshold)
    return torch.as_tensor(total)


def times_eight(values: Tensor) -> Tensor:
    return values * 8.0


def product(left: Tensor, right: Tensor | float) -> Tensor:
    return left * right


# what is run → the elements of each line
CASES: dict[str, tuple[Callable[[Tensor], Tensor], dict[str, int]]] = {
    "a state that starts as zeros": (state_of_zeros, {"mul": 3 * N, "add": 3 * N}),
    "what depends on such a state": (
        reset_of_zeros,
        {"compare": 3 * N, "bias": 3 * N, "mul": 3 * N, "add": 3 * N},
    ),
    "a sum of two": (lambda x: sum([spikes(x, 0.0), spikes(x, 0.5)]), {"compare": 2 * N, "bias": N, "add": N}),
    "a sum that starts as a number": (total_from_a_number, {"compare": 3 * N, "bias": N, "add": 2 * N}),
    "run on data and on weights": (lambda x: times_eight(x) + times_eight(WEIGHT), {"mul": N, "bias": N}),
    "run on weights and on data": (lambda x: times_eight(WEIGHT) + times_eight(x), {"mul": N, "bias": N}),
    "run on spikes and on constants": (
        lambda x: product(spikes(x, 0.0), spikes(x, 0.5)) + product(torch.full((6,), 0.3), 2.0),
        {"compare": 2 * N, "mask": N, "bias": N},
    ),
    "constants alone": (lambda x: x * (torch.ones(6) * 2 + torch.zeros(6)), {"mul": N}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_batch_is_counted_alike(case: str) -> None:
    run, expected = CASES[case]
    activity = counted(Network(run))
    lines = [line.op for line in activity.elementwise]
    for block in activity.blocks:
        assert {op: row[0] for op, row in zip(lines, block.elementwise, strict=True)} == expected
    assert activity.uncounted == activity.findings == []


def test_spikes_among_them_are_counted_in_every_batch() -> None:
    activity = counted(Network(CASES["a sum that starts as a number"][0]))
    x = torch.linspace(-1, 1, N)
    first, second, third = (int((x > threshold).sum()) for threshold in (0.0, 0.5, 0.9))
    sums = {line.op: line.nonzero for line in activity.elementwise}
    assert sums["bias"] == 3 * first
    assert sums["add"] == 3 * (int((x > 0.0).sum() + second) + first + third)


def test_a_recording_that_the_user_drives_makes_up_for_the_first_step_too(as_module: AsModule) -> None:
    net = as_module(state_of_zeros)
    with torch.no_grad(), Recorder(net, input="real") as recorder:
        net(torch.rand(2, 6))
    assert {line.op: line.elements for line in recorder.activity(samples=2).elementwise} == {"mul": 3 * N, "add": 3 * N}
    assert {line.op: line.elements for line in recorder.activity(samples=2).elementwise} == {"mul": 3 * N, "add": 3 * N}


class Branching(nn.Module):
    """Multiplies from its second pass on."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.passes = nn.Linear(6, 6), 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        y = self.linear(x)
        return y * y if self.passes > 1 else y


def test_arithmetic_that_the_first_batch_did_not_run_is_listed() -> None:
    activity = counted(Branching())
    assert [(entry.layer, entry.op, entry.calls) for entry in activity.uncounted] == [("", "mul", 2)]
    assert [finding.code for finding in activity.findings] == ["C01", "C05"]


def test_code_made_anew_is_listed(as_module: AsModule) -> None:
    def run(x: Tensor) -> Tensor:
        result: Tensor = eval(compile("x * 2", f"<{torch.rand(1)}>", "eval"), {"x": x})
        return result

    activity = counted(as_module(run))
    assert [(entry.op, entry.calls) for entry in activity.uncounted] == [("mul", 2)]

"""Time steps are told once and then carried by shapes, also where T, batch and channels happen to be the same size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snnprof.record.recorder import Recorder

S = 4  # T = batch = channels, so that no size gives anything away
W = torch.randn(S, S)

# what is done to frames [T, B, C] before a linear layer reads them → does the layer still run once a step?
CASES: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "as they are": (lambda x: x, True),
    "folded": (lambda x: x.flatten(0, 1), True),
    "copied": (lambda x: x.clone().contiguous(), True),
    "batch first": (lambda x: x.transpose(0, 1).contiguous(), True),
    "batch first, folded": (lambda x: x.transpose(0, 1).flatten(0, 1), True),
    "channels turned": (lambda x: x.transpose(1, 2), True),
    "added": (lambda x: x + x, True),
    "broadcast": (lambda x: torch.ones(S) + x, True),
    "pooled over channels": (lambda x: torch.nn.functional.max_pool1d(x, 3, 1, 1), True),
    "stacked tokens": (lambda x: torch.stack([x, x], 2), True),
    "tokens behind": (lambda x: x.unsqueeze(2).repeat(1, 1, 3, 1), True),
    "mean over tokens": (lambda x: x.unsqueeze(2).repeat(1, 1, S, 1).mean(2), True),
    "mean over channels": (lambda x: x.unsqueeze(3).repeat(1, 1, 1, S).mean(2), True),
    "multiplied by a matrix": (lambda x: x @ torch.eye(S), True),
    "multiplied from the left": (lambda x: torch.eye(S).expand(S, S, S) @ x, True),
    "mean over time": (lambda x: x.mean(0), False),
    "sum over time": (lambda x: x.sum(dim=0), False),
    "mean over time, kept": (lambda x: x.mean(0, keepdim=True).squeeze(0), False),
    "largest over time": (lambda x: x.amax(0), False),
    "max over time": (lambda x: x.max(0).values, False),
    "last step": (lambda x: x[-1], False),
    "last step copied": (lambda x: x[-1].clone(), False),
    "weighted over time": (lambda x: torch.einsum("tbc,t->bc", x, torch.ones(S)), False),
}


@pytest.mark.parametrize("layout", ["time-batch", "batch-time"])
@pytest.mark.parametrize("name", CASES)
def test_steps_follow_the_time_axis(record: Any, spikes: Any, name: str, layout: str) -> None:
    change, per_step = CASES[name]

    def forward(x: Tensor) -> Tensor:
        frames = x if layout == "time-batch" else x.transpose(0, 1)
        return change(frames) @ W

    op = record(forward, spikes(S, S, S, rate=0.5), samples=S, timesteps=S, layout=layout).ops[-1]
    assert op.steps == (S if per_step else 1)
    assert op.op == "linear"


@pytest.mark.parametrize("layout", ["time-batch", "batch-time"])
@pytest.mark.parametrize("fold", [True, False])
def test_a_silent_step_is_found_wherever_time_lies(record: Any, spikes: Any, layout: str, fold: bool) -> None:
    """Step 2 of 4 is silent, step 3 real: the parts of the layer must say so."""
    frames = spikes(S, S, S, rate=0.5)
    frames[2] = 0
    frames[3] += 0.3
    x = frames if layout == "time-batch" else frames.transpose(0, 1).contiguous()
    (op,) = record(lambda x: (x.flatten(0, 1) if fold else x) @ W, x, layout=layout, input_kind="spikes").ops
    share = S * S
    assert {part.kind: part.elements for part in op.parts} == {"silent": share, "spikes": 2 * share, "real": share}
    assert op.part("spikes").nonzero == int(frames[:2].sum())


class Cell(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x > 0.5).float()


@pytest.mark.parametrize("layout", ["time-batch", "batch-time"])
def test_spikes_by_step(record: Any, layout: str) -> None:
    frames = torch.zeros(S, S, S)
    for t in range(S):
        frames[t].view(-1)[: t + 1] = 1
    x = frames if layout == "time-batch" else frames.transpose(0, 1).contiguous()
    activity = record(nn.Sequential(Cell()), x, samples=S, layout=layout, neuron=("Cell",))
    (neuron,) = activity.neurons
    assert neuron.spikes_per_step == [1, 2, 3, 4]
    assert (neuron.size, neuron.steps, neuron.updates) == (S, S, S**3)


def test_attention_over_time_and_tokens(record: Any, spikes: Any) -> None:
    """[T, B, H, N, d], all of the same size: both products run once a step."""
    q, k, v = (spikes(S, S, S, S, S, seed=seed) for seed in range(3))
    model = nn.Module()
    model.forward = lambda q: (q @ k.transpose(-2, -1) * 0.5) @ v  # type: ignore[method-assign]
    activity = record(model, q, samples=S, layout="time-batch")
    assert [op.steps for op in activity.ops] == [S, S]


def test_three_steps_of_an_untold_recording_are_unknown(record: Any) -> None:
    layer = nn.Linear(4, 2)
    (op,) = record(lambda x: [layer(x) for _ in range(3)], torch.rand(2, 4)).ops
    assert op.steps is None
    (op,) = record(lambda x: [layer(x) for _ in range(3)], torch.rand(2, 4), timesteps=3).ops
    assert op.steps == 3


def test_a_smaller_batch_disproves_an_axis_taken_for_time() -> None:
    """Three samples of three channels look like three steps of three samples; two samples do not."""
    net = nn.Conv1d(3, 2, 1)
    with torch.no_grad(), Recorder(net, timesteps=3) as recorder:
        for size in (3, 2):
            net((torch.arange(size * 3 * S).reshape(size, 3, S) % 2).float())
            recorder.end_batch()
            recorder.end_block(size)
    (op,) = recorder.activity().ops
    assert op.events == 5 * 3 * S // 2 * 2
    assert op.steps is None


def test_a_smaller_batch_of_spikes_disproves_an_axis_taken_for_time() -> None:
    class Fires(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x > 0.5).float()

    net = Fires()
    with torch.no_grad(), Recorder(net, timesteps=3, neuron=("Fires",)) as recorder:
        for size in (3, 2):
            net((torch.arange(size * 3 * S).reshape(size, 3, S) % 2).float())
            recorder.end_batch()
            recorder.end_block(size)
    (neuron,) = recorder.activity().neurons
    assert neuron.spikes == 5 * 3 * S // 2

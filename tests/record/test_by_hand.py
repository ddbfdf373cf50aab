"""Toy networks whose spikes are chosen by hand: every number of the Activity is worked out on paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snnprof
from snnprof.activity import Activity, NeuronRecord, Operand, OpRecord, Part, unpack_bits

T, B = 2, 2
A = torch.tensor([[[1, 0], [1, 1]], [[0, 0], [0, 0]]])
"""Spikes of neuron layer `a`, [T, B, 2]: three at step 0, none at step 1."""
S = torch.tensor([[[1, 0, 0, 1], [0, 0, 0, 0]], [[1, 1, 0, 0], [0, 0, 1, 0]]])
"""Spikes of neuron layer `b`, [T, B, 4]: two, then three; neuron 0 of sample 0 fires at every step."""


class Chosen(nn.Module):
    """A neuron layer that fires as it was told, whatever comes in."""

    def __init__(self, spikes: Tensor) -> None:
        super().__init__()
        self.spikes = spikes.float()

    def forward(self, current: Tensor) -> Tensor:
        return self.spikes.clone()


class Toy(nn.Module):
    """[B, 3] → stem → a → fc → b → mean over T → head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a = nn.Linear(3, 2), Chosen(A)
        self.fc, self.b = nn.Linear(2, 4, bias=False), Chosen(S)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        current = self.stem(x)
        spikes = self.a(current.unsqueeze(0).repeat(T, 1, 1))
        spikes = self.b(self.fc(spikes))
        return self.head(spikes.mean(0))


@pytest.fixture(scope="module")
def toy() -> Activity:
    """Two equal batches of the toy network."""
    torch.manual_seed(0)
    x = torch.tensor([[0.5, 1.5, 2.5], [0.25, 0.0, 0.75]])
    return snnprof.profile(Toy(), [(x, torch.tensor([0, 1]))] * 2, timesteps=T, neuron=("Chosen",))


def _ops(toy: Activity) -> dict[str, OpRecord]:
    return {op.layer: op for op in toy.ops}


def test_stem_reads_real_values_once_per_inference(toy: Activity) -> None:
    stem = _ops(toy)["stem"]
    counts = {"dense_macs": 24, "valid_macs": 24, "events": 20, "by_value": 20, "effective": 20}
    assert stem.parts == [Part(kind="real", elements=12, nonzero=10, level_sum=10, **counts)]
    assert (stem.calls, stem.steps, stem.weights, stem.bias_adds) == (2, 1, 6, 8)
    assert (stem.fed_by, stem.feeds) == (["input"], ["a"])
    assert stem.operands == [Operand(role="data", fed_by=["input"]), Operand(role="weight")]


def test_fc_reads_spikes_and_a_silent_step(toy: Activity) -> None:
    fc = _ops(toy)["fc"]
    silent = Part(kind="silent", elements=8, dense_macs=32, valid_macs=32)
    spikes = Part(
        kind="spikes", elements=8, nonzero=6, level_sum=6, dense_macs=32, valid_macs=32, events=24, by_value=24,
        effective=24,
    )  # fmt: skip
    assert fc.parts == [silent, spikes]
    assert (fc.calls, fc.steps, fc.weights, fc.bias_adds) == (2, 2, 8, 0)
    assert (fc.fed_by, fc.feeds) == (["a"], ["b"])
    assert fc.operands[0] == Operand(role="data", quantum=1, levels=1, histogram=[10, 6], fed_by=["a"])


def test_head_reads_a_mean_over_two_steps(toy: Activity) -> None:
    """Sample 0 sums to (2, 1, 0, 1), sample 1 to (0, 0, 1, 0), in halves."""
    head = _ops(toy)["head"]
    part = Part(
        kind="spikes", elements=16, nonzero=8, level_sum=10, dense_macs=32, valid_macs=32, events=16, by_value=20,
        effective=16,
    )  # fmt: skip
    assert head.parts == [part]
    assert (head.calls, head.steps, head.weights, head.bias_adds) == (2, 1, 8, 8)
    assert (head.fed_by, head.feeds) == (["b"], [])
    assert head.operands[0] == Operand(role="data", quantum=0.5, levels=2, histogram=[8, 6, 2], fed_by=["b"])


def _bits(neuron: NeuronRecord, name: str) -> list[bool]:
    return [bool(bit) for bit in unpack_bits(getattr(neuron, name), neuron.size)]


def test_neurons(toy: Activity) -> None:
    a, b = toy.neurons
    assert (a.layer, a.type, a.found_by, a.size, a.steps) == ("a", "Chosen", "named", 2, T)
    assert (a.spikes, a.level_sum, a.spikes_per_step) == (6, 6, [6, 0])
    assert (a.updates, a.driven) == (16, 16)
    assert _bits(a, "fired_bitmap") == [True, True]
    assert _bits(a, "always_bitmap") == [False, False]
    assert (b.layer, b.size, b.spikes, b.spikes_per_step) == ("b", 4, 10, [4, 6])
    assert (b.updates, b.driven) == (32, 16)  # step 1 gets nothing from fc
    assert _bits(b, "fired_bitmap") == [True, True, True, True]
    assert _bits(b, "always_bitmap") == [False, False, False, False]


def test_other_arithmetic_and_findings(toy: Activity) -> None:
    (line,) = toy.elementwise
    assert (line.layer, line.op, line.elements, line.nonzero) == ("", "reduce", 32, 10)
    assert toy.uncounted == []
    # fvcore traces one sample, of which the chosen spikes make two.
    assert [(finding.code, finding.layer) for finding in toy.findings] == [("C17", "head")]


def test_run_facts(toy: Activity) -> None:
    assert toy.samples == 4
    assert [len(toy.blocks), toy.blocks[0].samples] == [2, 2]
    assert toy.run.model.parameters == toy.run.model.parameters_used == 8 + 8 + 10
    assert toy.accuracy is not None
    assert toy.accuracy.total == 4


def test_blocks_add_up_to_the_run(toy: Activity) -> None:
    first, second = (toy.restricted(block) for block in toy.blocks)
    merged = first.merge(second)
    assert [(op.key, op.parts, op.bias_adds) for op in merged.ops] == [
        (op.key, op.parts, op.bias_adds) for op in toy.ops
    ]
    assert merged.neurons == toy.neurons
    assert merged.elementwise == toy.elementwise


def test_always_firing_neuron() -> None:
    always = torch.tensor([[[1, 0]], [[1, 1]]])
    activity = snnprof.profile(nn.Sequential(Chosen(always)), torch.ones(2, 1, 2), "time-batch", neuron=("Chosen",))
    (neuron,) = activity.neurons
    assert _bits(neuron, "always_bitmap") == [True, False]
    assert _bits(neuron, "fired_bitmap") == [True, True]


# -- several levels, two operands, a loop ----------------------------------------------------------------------


class Attention(nn.Module):
    """q kᵀ · ½ → (·) v on chosen spikes, [T, B, N, d] = [1, 1, 2, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.q = Chosen(torch.tensor([[[[1, 0, 1], [0, 0, 1]]]]))
        self.k = Chosen(torch.tensor([[[[1, 0, 1], [0, 1, 0]]]]))
        self.v = Chosen(torch.tensor([[[[1, 1, 0], [0, 1, 0]]]]))

    def forward(self, x: Tensor) -> Tensor:
        scores = self.q(x) @ self.k(x).transpose(-2, -1)
        return (scores * 0.5) @ self.v(x)


def test_attention(record: Any) -> None:
    """q kᵀ = [[2, 0], [1, 0]]: q has 3 spikes, k 3; the scores 2 non-zeros of levels 2 and 1; v 3 spikes."""
    activity = record(Attention(), torch.ones(1, 1, 2, 3), samples=1, neuron=("Chosen",))
    scores, values = activity.ops
    pairs = Part(
        kind="spikes", elements=6, nonzero=3, level_sum=3, dense_macs=12, valid_macs=12, events=3, by_value=3,
        effective=3, left=6, right=6,
    )  # fmt: skip
    assert scores.parts == [pairs]
    assert (scores.op, scores.index, scores.weights, scores.fed_by) == ("matmul", 0, 0, ["k", "q"])
    assert scores.source.startswith("test_by_hand.py:")
    # scores column 0 holds both non-zeros and meets v's row 0, which has two: 4 pairs, by value (2 + 1) · 2 = 6.
    pairs = Part(
        kind="spikes", elements=4, nonzero=2, level_sum=3, dense_macs=12, valid_macs=12, events=4, by_value=6,
        effective=4, left=6, right=6,
    )  # fmt: skip
    assert values.parts == [pairs]
    left, right = values.operands
    assert (left.quantum, left.levels, left.histogram, left.fed_by) == (0.5, 3, [2, 1, 1], ["k", "q"])
    assert (right.quantum, right.levels, right.histogram, right.fed_by) == (1, 1, [3, 3], ["v"])


def test_one_layer_twice_is_one_operation(record: Any) -> None:
    layer = nn.Linear(3, 2, bias=False)
    x = torch.tensor([[1.0, 0.0, 1.0]])
    (op,) = record(lambda x: (layer(x), layer(x)), x, samples=1).ops
    assert (op.calls, op.steps, op.events, op.dense_macs) == (2, None, 8, 12)


def test_mixed_real_and_spike_steps_stay_apart(record: Any, spikes: Any) -> None:
    """[T, B, 64] whose step 0 is real: 84 spikes in the other steps reach 10 outputs each."""
    frames = torch.zeros(4, 2, 64)
    frames[1:].view(-1)[:84] = 1
    frames[0] = torch.randn(2, 64)
    activity = record(nn.Linear(64, 10), frames, samples=2, layout="time-batch", input_kind="spikes")
    (op,) = activity.ops
    assert op.part("spikes").events + op.part("silent").events == 840
    assert op.part("real").valid_macs == 2 * 64 * 10
    assert op.part("real").events == 2 * 64 * 10
    assert "C03" in {finding.code for finding in activity.findings}


def test_encoder_whose_frames_are_equal(record: Any) -> None:
    layer, image = nn.Linear(4, 2), torch.rand(1, 4)
    for frames, same in ((image.expand(3, 1, 4), True), (torch.rand(3, 1, 4), False)):
        (op,) = record(layer, frames, samples=1, layout="time-batch").ops
        assert op.operands[0].constant_over_time is same
        assert op.steps == 3


def test_encoder_called_step_by_step() -> None:
    layer, image = nn.Linear(4, 2), torch.rand(2, 4)
    still = snnprof.profile(layer, image, "step", timesteps=3)
    assert still.ops[0].operands[0].constant_over_time is True
    moving = snnprof.profile(layer, torch.rand(3, 2, 4), "step", timesteps=3)
    assert moving.ops[0].operands[0].constant_over_time is False


def test_frames_written_into_one_buffer_are_not_constant(record: Any) -> None:
    layer = nn.Linear(4, 2)

    def loop(x: Tensor) -> Tensor:
        buffer = torch.empty_like(x[0])
        for frame in x:
            buffer.copy_(frame)
            out = layer(buffer)
        return out

    (op,) = record(loop, torch.rand(3, 1, 4), samples=1, timesteps=3).ops
    assert op.operands[0].constant_over_time is False


@pytest.fixture(params=["no_grad", "inference_mode", "grad"])
def grad_mode(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    modes = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode, "grad": torch.enable_grad}
    with modes[request.param]():
        yield modes[request.param]


@pytest.mark.usefixtures("grad_mode")
def test_the_same_integers_in_every_grad_mode(record: Any) -> None:
    model = Toy()
    activity = record(model, torch.ones(2, 3), samples=2, timesteps=T, neuron=("Chosen",))
    assert {op.layer: op.events for op in activity.ops} == {"stem": 12, "fc": 12, "head": 8}
    assert [n.spikes for n in activity.neurons] == [3, 5]
    assert [(e.op, e.elements) for e in activity.elementwise] == [("reduce", 16)]

"""Where a tensor comes from, on code as people write it: spikes stay spikes, real stays real, doubt is MAC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnprof.activity import Activity, OpRecord
from snnprof.record import values

W = torch.randn(4, 8)


def read(x: Tensor) -> Tensor:
    """The contraction that reads a tensor under test."""
    return F.linear(x, W[:, : x.shape[-1]] if x.shape[-1] <= 8 else torch.randn(4, x.shape[-1]))


def _last(activity: Activity) -> OpRecord:
    return activity.ops[-1]


# what is done to 0/1 spikes [4, 8] → quantum, levels, Σ levels as a function of the spikes
KEPT: dict[str, tuple[Callable[[Tensor], Tensor], float, int | None]] = {
    "reshape": (lambda s: s.reshape(8, 4).t().contiguous().view(4, 8), 1, 1),
    "permute": (lambda s: s.view(2, 2, 8).permute(1, 0, 2).flatten(0, 1), 1, 1),
    "chunk": (lambda s: torch.cat(s.chunk(2, dim=1), 0), 1, 1),
    "split": (lambda s: torch.stack(s.split(2)).flatten(0, 1), 1, 1),
    "unbind": (lambda s: torch.stack(s.unbind(0)), 1, 1),
    "index": (lambda s: s[[3, 1, 2, 0]], 1, 1),
    "roll": (lambda s: torch.roll(s, 1, 1), 1, 1),
    "gather": (lambda s: s.gather(1, torch.arange(8).flip(0).expand(4, 8)), 1, 1),
    "repeat": (lambda s: s.repeat(2, 1), 1, 1),
    "expand": (lambda s: s.unsqueeze(0).expand(3, 4, 8), 1, 1),
    "dropout in eval": (lambda s: F.dropout(s, 0.5, False), 1, 1),
    "max pooling": (lambda s: F.max_pool1d(s.unsqueeze(0), 2)[0], 1, 1),
    "average pooling": (lambda s: F.avg_pool1d(s.unsqueeze(0), 2)[0], 0.5, 2),
    "adaptive average": (lambda s: F.adaptive_avg_pool1d(s.unsqueeze(0), 2)[0], 0.25, 4),
    "2-D average": (lambda s: F.avg_pool2d(s.view(1, 1, 4, 8), 2).flatten(1), 0.25, 4),
    "padded average": (lambda s: F.avg_pool1d(s.unsqueeze(0), 3, 1, 1)[0], 1 / 3, 3),
    "sum over rows": (lambda s: s.sum(0, keepdim=True), 1, 4),
    "mean over rows": (lambda s: s.mean(0, keepdim=True), 0.25, 4),
    "residual sum": (lambda s: s + s.flip(0), 1, 2),
    "residual in place": (lambda s: s.clone().add_(s.flip(0)), 1, 2),
    "difference": (lambda s: s - s.flip(0), 1, 1),
    "product with spikes": (lambda s: s * s.flip(0), 1, 1),
    "masked by comparison": (lambda s: s * (s > 0.5), 1, 1),
    "masked_fill": (lambda s: s.masked_fill(torch.eye(8)[:4].bool(), 0.0), 1, 1),
    "where": (lambda s: torch.where(s > 0.5, s, torch.zeros_like(s)), 1, 1),
    "times a constant": (lambda s: s * 0.125, 0.125, 1),
    "divided by a constant": (lambda s: s / 4, 0.25, 1),
    "times a constant tensor": (lambda s: s * torch.tensor(0.3), 0.3, 1),
    "one minus": (lambda s: 1 - s, 1, 1),
    "negated": (lambda s: -s, 1, 1),
    "reflected with a factor": (lambda s: torch.rsub(s, 1.0, alpha=2), 1, 1),
    "reflected from spikes with a factor": (lambda s: torch.rsub(s, s.flip(0), alpha=2), 1, 2),
    "added with factor 0": (lambda s: torch.add(s, s.flip(0) * 0.37, alpha=0), 1, 1),
    "inverted whole numbers": (lambda s: (~s.int()).float(), 1, 2),
    "inverted unsigned numbers": (lambda s: (~s.to(torch.uint8)).float(), 1, 255),
    "scattered, reduced by sum": (lambda s: _reduced(s, "sum"), 1, None),
    "scattered, reduced by maximum": (lambda s: _reduced(s, "amax"), 1, 1),
    "scattered, reduced by product": (lambda s: _reduced(s, "prod"), 1, 1),
    "scattered, negative, reduced by product": (lambda s: _reduced(-s, "prod").clamp_min(0), 1, 1),
    "scattered, reduced by add": (lambda s: torch.zeros(4, 8).scatter(1, PLACES, s, reduce="add"), 1, None),
    "scattered, reduced by multiply": (lambda s: torch.ones(4, 8).scatter(1, PLACES, s, reduce="multiply"), 1, 1),
    "rows reduced by maximum": (
        lambda s: torch.zeros(4, 8).index_reduce(0, torch.tensor([0, 0, 2, 2]), s, "amax"),
        1,
        1,
    ),
    "rows added with a factor": (
        lambda s: torch.zeros(4, 8).index_add(0, torch.tensor([0, 0, 2, 2]), s, alpha=0.5),
        0.5,
        None,
    ),
    "indices of a triangle": (lambda s: s + torch.tril_indices(4, 4)[0, :8], 1, None),
    "cat of two": (lambda s: torch.cat([s, s.flip(0)], 0), 1, 1),
    "cat with zeros": (lambda s: torch.cat([s, torch.zeros(2, 8)], 0), 1, 1),
    "padded": (lambda s: F.pad(s, (1, 1))[:, :8], 1, 1),
    "written into a buffer": (lambda s: _into_buffer(s), 1, 1),
    "accumulated in a buffer": (lambda s: _accumulated(s), 1, 4),
    "through half precision": (lambda s: s.half().float(), 1, 1),
    "through bool": (lambda s: s.bool().float(), 1, 1),
    "logical or": (lambda s: torch.logical_or(s, s.flip(0)).float(), 1, 1),
    "maximum": (lambda s: torch.maximum(s, s.flip(0)), 1, 1),
    "clamped sum": (lambda s: (s + s.flip(0)).clamp(0, 1), 1, 1),
    "bounded difference": (lambda s: (s - s.flip(0)).clamp_min(0), 1, 1),
    "cumulative sum": (lambda s: s.cumsum(1), 1, 8),
    "drawn at random": (lambda s: torch.bernoulli(s), 1, 1),
    "nearest upsampling": (lambda s: F.interpolate(s.unsqueeze(0), scale_factor=2)[0], 1, 1),
    "einops style": (lambda s: torch.einsum("ij->ji", s).t(), 1, 1),
    "index_select": (lambda s: s.index_select(0, torch.tensor([0, 2])), 1, 1),
    "unfold": (lambda s: s.unfold(1, 4, 4).reshape(-1, 4), 1, 1),
}


PLACES = torch.tensor([0, 0, 2, 2, 5, 5, 5, 3]).expand(4, 8)


def _reduced(s: Tensor, how: str) -> Tensor:
    return torch.ones(4, 8).scatter_reduce(1, PLACES, s, how)


def _into_buffer(s: Tensor) -> Tensor:
    out = torch.empty(4, 8)
    for t, row in enumerate(s):
        out[t] = row
    return out


def _accumulated(s: Tensor) -> Tensor:
    total = torch.zeros(8)
    for row in s:
        total = total + row
    return total.unsqueeze(0)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("name", KEPT)
def test_spikes_stay_spikes(record: Any, spikes: Any, name: str, inference: bool) -> None:
    change, quantum, levels = KEPT[name]
    s = spikes(4, 8, rate=0.5)
    changed = change(s)
    with torch.inference_mode(inference):
        activity = record(lambda s: read(change(s)), s)
    op = _last(activity)
    assert [part.kind for part in op.parts] == ["spikes"]
    operand = op.operands[0]
    assert operand.quantum == pytest.approx(quantum)
    assert operand.levels == levels  # None where any number of spikes may come together
    assert operand.fed_by == ["input"]
    part = op.part("spikes")
    assert part.level_sum == int((changed / quantum).round().abs().sum())
    assert part.by_value == 4 * part.level_sum
    assert part.events == 4 * int((changed != 0).sum())
    assert operand.residual < 1e-5
    assert activity.uncounted == []


SCALE, MATRIX = nn.Parameter(torch.tensor(0.37)), nn.Parameter(torch.rand(8) + 0.5)

ERASED: dict[str, Callable[[Tensor], Tensor]] = {
    "times a learned vector": lambda s: s * MATRIX,
    "plus a learned vector": lambda s: s + MATRIX,
    "layer norm": lambda s: F.layer_norm(s, (8,)),
    "batch norm": lambda s: F.batch_norm(s, torch.zeros(8), torch.ones(8) * 2, training=False),
    "softmax": lambda s: s.softmax(-1),
    "gelu": F.gelu,
    "exponential": lambda s: (s * 0.3).exp(),
    "a real weight": lambda s: F.linear(s, torch.randn(8, 8)),
    "cumulative product": lambda s: (s + 0.1).cumprod(0),
    "divided by what varies": lambda s: s / s.sum().clamp(min=1).sqrt(),
    "bilinear upsampling": lambda s: F.interpolate(s.view(1, 1, 4, 8), scale_factor=1.5, mode="bilinear").flatten(1),
    "edge-corrected average": lambda s: F.avg_pool1d(s.unsqueeze(0), 3, 1, 1, count_include_pad=False)[0],
    "scattered, reduced by mean": lambda s: torch.zeros(4, 8).scatter_reduce(1, PLACES, s, "mean"),
    "rows reduced by mean": lambda s: torch.zeros(4, 8).index_reduce(0, torch.tensor([0, 0, 2, 2]), s, "mean"),
    "products of fractions": lambda s: torch.ones(4, 8).scatter(1, PLACES, s * 0.5, reduce="multiply"),
    "plus noise": lambda s: s + torch.rand_like(s),
}


@pytest.mark.parametrize("name", ERASED)
def test_what_is_no_longer_on_a_grid_is_real(record: Any, spikes: Any, name: str) -> None:
    op = _last(record(lambda s: read(ERASED[name](s)), spikes(4, 8, rate=0.5)))
    assert [part.kind for part in op.parts] == ["real"]
    assert op.operands[0].quantum is None
    assert op.operands[0].fed_by == ["input"]


def test_a_learned_scalar_keeps_the_grid(record: Any, spikes: Any) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([0.37]))
            self.fc = nn.Linear(8, 4)

        def forward(self, s: Tensor) -> Tensor:
            return self.fc(s * self.scale)

    s = spikes(4, 8)
    op = _last(record(Scaled(), s))
    assert op.part("spikes").events == 4 * int(s.sum())
    assert op.operands[0].quantum == pytest.approx(0.37)


# -- real input that looks like spikes --------------------------------------------------------------------------

IMAGES = {
    "bytes over 255": lambda: torch.randint(0, 256, (4, 8)) / 255,
    "digits over 16": lambda: torch.randint(0, 17, (4, 8)) / 16,
    "a constant": lambda: torch.full((4, 8), 0.5),
    "two values": lambda: torch.randint(0, 2, (4, 8)) * 0.5,
    "bytes": lambda: torch.randint(0, 256, (4, 8)).float() + 20,
    "normalised": lambda: torch.randn(4, 8),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_real(record: Any, name: str) -> None:
    op = _last(record(read, IMAGES[name]()))
    assert [part.kind for part in op.parts] == ["real"]


def test_input_can_be_told(record: Any, spikes: Any) -> None:
    s = spikes(4, 8)
    assert _last(record(read, s, input_kind="real")).parts[0].kind == "real"
    assert _last(record(read, s * 20, input_kind="spikes")).parts[0].kind == "spikes"
    counts = record(read, s * 3)
    assert _last(counts).parts[0].kind == "spikes"
    assert "C08" in {finding.code for finding in counts.findings}


# -- zero padding as an operator --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["function", "module", "conv's own"])
@pytest.mark.parametrize("widths", [(1, 1, 1, 1), (0, 2, 1, 0), (2, 2, 0, 0)])
def test_padded_zeros_are_padding(record: Any, brute: Any, spikes: Any, how: str, widths: tuple[int, ...]) -> None:
    conv = nn.Conv2d(3, 4, 3, bias=False)
    x = spikes(2, 3, 6, 6)
    padded = {
        "function": lambda x: conv(F.pad(x, widths)),
        "module": nn.Sequential(nn.ZeroPad2d(widths), conv),
        "conv's own": nn.Sequential(nn.ConstantPad2d(widths, 0.0), nn.Conv2d(3, 4, 3, bias=False)),
    }[how]
    op = _last(record(padded, x))
    mask = F.pad(torch.ones(2, 3, 6, 6), widths).double()
    ones = torch.ones(4, 3, 3, 3).double()
    assert op.valid_macs == int(F.conv2d(mask, ones).sum())
    assert op.events == int(F.conv2d(F.pad(x, widths).double(), ones).sum())
    assert op.dense_macs == F.conv2d(mask, ones).numel() * 27
    assert op.elements == x.numel()


def test_padding_that_moved_is_data(record: Any, spikes: Any) -> None:
    """Zeros padded on the width and then transposed to the height: counted as data, never as what they are not."""
    conv = nn.Conv2d(1, 1, 3, bias=False)
    op = _last(record(lambda x: conv(F.pad(x, (1, 1)).transpose(-2, -1)), spikes(1, 1, 6, 4)))
    assert op.elements == 36
    assert op.valid_macs == op.dense_macs


def test_padding_that_was_written_to_is_data(record: Any, spikes: Any) -> None:
    conv = nn.Conv2d(1, 1, 3, bias=False)

    def forward(x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1))
        padded[:, :, 0] = 1.0
        return conv(padded)

    op = _last(record(forward, spikes(1, 1, 4, 4)))
    assert op.elements == 36


# -- PEERS: pooling, residuals, scaled attention ------------------------------------------------------------------


def test_pooling_and_residuals_before_a_convolution(record: Any, brute: Any, spikes: Any) -> None:
    conv = nn.Conv2d(8, 8, 3, padding=1)
    a, b = spikes(1, 8, 8, 8), spikes(1, 8, 8, 8, seed=1)
    for name, change in {
        "residual": lambda x: x + b,
        "max pooling": lambda x: F.max_pool2d(x, 2),
        "average pooling": lambda x: F.avg_pool2d(x, 2),
    }.items():
        op = _last(record(lambda x, change=change: conv(change(x)), a))
        x = change(a)
        quantum = 0.25 if name == "average pooling" else 1.0
        assert op.events == brute.events(conv, x), name
        assert op.part("spikes").by_value == brute.by_value(conv, x, quantum), name


def test_scaled_attention(record: Any, spikes: Any) -> None:
    q, k, v = (spikes(2, 4, 16, 8, seed=seed) for seed in range(3))
    scores = q @ k.transpose(-2, -1)
    first, second = record(lambda q, k, v: ((q @ k.transpose(-2, -1)) * 0.125) @ v, q, k, v).ops
    assert first.events == int(scores.sum())
    assert second.operands[0].quantum == 0.125
    assert second.operands[0].levels == 8
    assert second.events == int(((scores != 0).float() @ v).sum())
    assert second.part("spikes").by_value == int((scores @ v).sum())


def test_linear_attention_is_counted_as_it_ran(record: Any, spikes: Any) -> None:
    q, k, v = (spikes(2, 4, 16, 8, seed=seed) for seed in range(3))
    first, second = record(lambda q, k, v: q @ (k.transpose(-2, -1) @ v), q, k, v).ops
    assert first.dense_macs == second.dense_macs == 2 * 4 * 16 * 8 * 8
    assert second.part("spikes").by_value == int((q @ (k.transpose(-2, -1) @ v)).sum())


def test_a_mean_too_long_to_verify_is_real(record: Any) -> None:
    s = torch.ones(1, 8)
    op = _last(record(lambda s: read(s.expand(1 << 12, 8).sum(0).expand(1 << 13, 8).sum(0, keepdim=True)), s))
    assert [part.kind for part in op.parts] == ["real"]


# -- neurons, time, state -----------------------------------------------------------------------------------------


class Fire(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x > 0.3).float()


class Loop(nn.Module):
    """A network that makes its own time axis in one of the ways people write it."""

    def __init__(self, steps: int, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.steps, self.way = steps, way
        self.stem, self.fire, self.fc = nn.Linear(6, 8), Fire(), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        t, b = self.steps, x.shape[0]
        if self.way == "list and stack":
            spikes = torch.stack([self.fire(self.stem(x) * (i + 1)) for i in range(t)])
            return self.fc(spikes).mean(0)
        if self.way == "cat and view":
            spikes = torch.cat([self.fire(self.stem(x) * (i + 1)) for i in range(t)]).view(t, b, 8)
            return self.fc(spikes).mean(0)
        if self.way == "buffer":
            buffer = torch.zeros(t, b, 8)
            for i in range(t):
                buffer[i] = self.fire(self.stem(x) * (i + 1))
            return self.fc(buffer).mean(0)
        if self.way == "loop":
            out: Any = 0
            for i in range(t):
                out = out + self.fc(self.fire(self.stem(x) * (i + 1)))
            return out / t
        frames = x.unsqueeze(0).repeat(t, 1, 1) * torch.arange(1, t + 1).view(t, 1, 1)
        spikes = self.fire(self.stem(frames.flatten(0, 1))).view(t, b, 8)
        return self.fc(spikes).mean(0)


@pytest.mark.parametrize("way", ["list and stack", "cat and view", "buffer", "loop", "folded"])
def test_ways_of_making_time(record: Any, way: str) -> None:
    activity = record(Loop(4, way), torch.rand(2, 6), samples=2, timesteps=4, neuron=("Fire",))
    fc = next(op for op in activity.ops if op.layer == "fc")
    (neuron,) = activity.neurons
    assert (fc.steps, fc.fed_by) == (4, ["fire"])
    assert {part.kind for part in fc.parts} <= {"spikes", "silent"}
    assert fc.events == 3 * neuron.spikes
    assert neuron.steps == 4
    assert neuron.updates == 4 * 2 * 8
    assert sum(neuron.spikes_per_step) == neuron.spikes
    stem = next(op for op in activity.ops if op.layer == "stem")
    assert stem.steps == 4
    assert stem.feeds == ["fire"]


def test_carried_state_is_data(record: Any, spikes: Any) -> None:
    """A recurrent spiking layer: the state starts as zeros and becomes spikes."""
    recurrent = nn.Linear(8, 8, bias=False)
    fire = Fire()

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inputs, self.recurrent, self.fire = nn.Linear(8, 8), recurrent, fire

        def forward(self, frames: Tensor) -> Tensor:
            state = torch.zeros(frames.shape[1], 8)
            for x in frames:
                state = self.fire(self.inputs(x) + self.recurrent(state))
            return state

    frames = spikes(5, 2, 8)
    activity = record(Recurrent(), frames, samples=2, layout="time-batch", neuron=("Fire",))
    by_layer = {op.layer: op for op in activity.ops}
    op, (neuron,) = by_layer["recurrent"], activity.neurons
    assert op.calls == 5
    assert op.part("silent").elements >= 16
    assert op.part("real").elements == 0
    assert op.fed_by == ["fire"]
    assert op.events == 8 * sum(neuron.spikes_per_step[:-1])
    assert by_layer["inputs"].steps == op.steps == neuron.steps == 5


def test_real_and_spiking_steps_of_one_layer_called_in_a_loop(record: Any, spikes: Any) -> None:
    """Step 0 reads the image, later steps read spikes: one decision per call."""
    layer = nn.Linear(8, 8)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.fire = layer, Fire()

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                x = self.fire(self.layer(x))
            return x

    activity = record(Net(), torch.rand(2, 8), samples=2, timesteps=3, neuron=("Fire",))
    (op,) = activity.ops
    assert op.part("real").dense_macs == 2 * 64
    assert op.part("spikes").events == 8 * sum(activity.neurons[0].spikes_per_step[:2])
    assert op.fed_by == ["fire", "input"]
    assert "C03" in {finding.code for finding in activity.findings}


def test_cat_over_channels_of_spikes_and_real_is_real(record: Any, spikes: Any) -> None:
    """In one step both kinds meet: the step errs towards MAC, and says so."""
    activity = record(lambda s, r: read(torch.cat([s, r], 1)), spikes(4, 4), torch.randn(4, 4))
    op = _last(activity)
    assert [part.kind for part in op.parts] == ["real"]


def test_values_off_their_grid_are_real(record: Any) -> None:
    """The neuron says it spikes, but one of its values is 0.5."""

    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.clamp(0, 1)

    x = torch.tensor([[1.0, 0.0, 0.5, 1.0, 0, 0, 0, 0]])
    activity = record(nn.Sequential(Broken(), nn.Linear(8, 4)), x, neuron=("Broken",), input_kind="real")
    op = _last(activity)
    assert [part.kind for part in op.parts] == ["real"]
    assert "C07" in {finding.code for finding in activity.findings}


# -- batch norm that folds ---------------------------------------------------------------------------------------

NORM, CONV = nn.BatchNorm2d(4).eval(), nn.Conv2d(3, 4, 3, padding=1, bias=False)
FOLDS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "conv, norm": (lambda x: NORM(CONV(x)), True),
    "conv, bias, norm": (lambda x: NORM(CONV(x) + torch.ones(4, 1, 1)), True),
    "conv, view, norm": (lambda x: NORM(CONV(x).reshape(-1, 4, 6, 6)), True),
    "twice conv, norm": (lambda x: NORM(CONV(x)) + NORM(CONV(x)), True),
    "conv, norm, and the sum of both": (lambda x: _both(CONV(x)), False),
    "conv, relu, norm": (lambda x: NORM(CONV(x).relu()), False),
    "norm of the input": (lambda x: CONV(NORM(torch.cat([x, x[:, :1]], 1))[:, :3]), False),
}


def _both(current: Tensor) -> Tensor:
    return NORM(current) + current


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("name", FOLDS)
def test_batch_norm_folds_into_a_contraction_that_feeds_it_alone(
    record: Any, spikes: Any, name: str, inference: bool
) -> None:
    change, folds = FOLDS[name]
    with torch.inference_mode(inference):
        activity = record(change, spikes(2, 3, 6, 6))
    (line,) = [line for line in activity.elementwise if line.op == "batch_norm"]
    assert line.foldable is folds
    assert line.elements == 2 * 4 * 36 * (2 if "twice" in name else 1)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["auto", "spikes"])
def test_an_input_that_is_no_number_is_real(wrong: float, kind: str) -> None:
    assert values.of_input(torch.tensor([0.0, wrong, 1.0]), kind).quantum is None


@pytest.mark.parametrize("shape", [(3 << 18,), (2, 3 << 17), (3, 2, 1 << 18), ()])
def test_one_fraction_among_whole_numbers_is_found(shape: tuple[int, ...]) -> None:
    tensor = torch.ones(shape)
    assert values.whole_numbers(tensor)
    tensor.view(-1)[-1] = 0.5
    assert not values.whole_numbers(tensor)

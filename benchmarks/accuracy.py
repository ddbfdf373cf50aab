"""Who counts right: small cases with a known answer, snnprof and the tools that count the same things.

    python benchmarks/accuracy.py                                  # table on stdout
    python benchmarks/accuracy.py --markdown docs/accuracy.md      # the page

The answer to each case is a brute-force count: the operation itself in float64, with ones for weights, on operands that
hold 1 for each spike, n for an integer spike n, and 0 elsewhere. Tools that are not installed are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import importlib.util
import io
import logging
import sys
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import snnprof

ROOT = Path(__file__).parents[1]
SEED = 0
B = 2
T = 4
PROGRAMS = "1963 programs, 0 failed"
"""What `python benchmarks/programs.py --count 2000 --seed 0` printed: a run of minutes, so its result is kept here."""


# -- the cases ---------------------------------------------------------------------------------------------------


class Forward(nn.Module):
    """A function as a model; `parts` are its layers."""

    def __init__(self, function: Callable[..., Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*self.parts, *inputs)


@dataclass(frozen=True)
class Count:
    """Synaptic operations by spikes (one AC each), and multiply-accumulates by real values."""

    sops: int = 0
    macs: int = 0

    def __str__(self) -> str:
        parts = [f"{self.sops} SOP" if self.sops else "", f"{self.macs} MAC" if self.macs else ""]
        return " + ".join(part for part in parts if part) or "0"


@dataclass(frozen=True)
class Case:
    """A model, its input, and the true counts.

    Attributes:
        exact: what really happens.
        dense: multiply-accumulates of a dense machine, padding taps included.
        conventions: counts that are right under a definition of their own, by its name.
        inference: run under inference_mode.
        batches: how often the input is run, each time as a new sequence.
        samples: rows of the input, where its first axis does not say.
        options: snnprof's, beyond its defaults.
    """

    name: str
    model: nn.Module
    inputs: tuple[Any, ...]
    exact: Count
    dense: int
    conventions: dict[str, Count] = field(default_factory=dict)
    inference: bool = False
    batches: int = 1
    samples: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.samples or self.inputs[0].shape[0]


def spikes(*shape: int, rate: float = 0.3, levels: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    fired = torch.rand(shape, generator=generator) < rate
    return (fired * torch.randint(1, levels + 1, shape, generator=generator)).float()


def total(layer: nn.Module, x: Tensor, weight: Callable[[Tensor], Tensor] = torch.ones_like) -> int:
    """What a layer sums up on these operands, its weights replaced and its biases zero."""
    ones = copy.deepcopy(layer).double().requires_grad_(False)
    for parameter in ones.parameters():
        parameter.copy_(weight(parameter) if parameter.dim() > 1 else torch.zeros_like(parameter))
    return int(ones(x.double()).sum().round())


def layer_case(
    name: str, layer: nn.Module, x: Tensor, *, quantum: float = 1.0, kind: str = "spikes", graded: bool = False
) -> Case:
    """A case of one weighted layer inside a container, for some tools see children alone."""
    dense = _dense(layer, x)
    if kind == "real":
        skipped = Count(macs=total(layer, (x != 0).float()))
        conventions = {"padding taps as MAC": Count(macs=dense), "zeros skipped": skipped}
        return Case(name, nn.Sequential(layer), (x,), Count(macs=total(layer, torch.ones_like(x))), dense, conventions)
    exact, conventions = spike_counts([(layer, x)], quantum, graded)
    return Case(name, nn.Sequential(layer), (x,), exact, dense, conventions)


def spike_counts(
    calls: list[tuple[nn.Module, Tensor]], quantum: float = 1.0, graded: bool = False
) -> tuple[Count, dict[str, Count]]:
    """The true count of layers that read spikes, and what it is under other conventions.

    Args:
        quantum: an integer spike n · quantum counts n; where all are 0 or 1 it is 1.
        graded: whether even spikes that are all 0 or 1 are booked as graded ones.
    """
    plain = [(layer, x) for layer, x in calls if binary(x) and not graded]
    levels = [(layer, x) for layer, x in calls if not binary(x) or graded]
    sops, by_event = (sum(total(layer, fired(x)) for layer, x in part) for part in (plain, levels))
    by_value = sum(total(layer, x if binary(x) else (x / quantum).round().abs()) for layer, x in levels)
    live, live_events = (sum(total(layer, fired(x), not_zero) for layer, x in part) for part in (plain, levels))
    conventions = {"zero weights skipped": Count(live + live_events)} if by_value == by_event else {}
    if levels:
        valid = sum(total(layer, torch.ones_like(x)) for layer, x in levels)
        conventions |= {
            "by event": Count(sops + by_event),
            "graded spikes as dense MAC": Count(sops, sum(_dense(layer, x) for layer, x in levels)),
            "graded spikes as valid MAC": Count(sops, valid),
            "graded spikes as sparse MAC": Count(sops, by_event),
            "graded spikes as effective MAC": Count(live, live_events),
        }
    return Count(sops + by_value), conventions


def fired(x: Tensor) -> Tensor:
    return (x != 0).float()


def binary(x: Tensor) -> bool:
    return torch.equal(x, fired(x).to(x.dtype))


def not_zero(weight: Tensor) -> Tensor:
    return (weight != 0).double()


def _dense(layer: nn.Module, x: Tensor) -> int:
    with torch.no_grad():
        out = layer(x)
    if isinstance(layer, nn.ConvTranspose2d):
        return x.numel() * layer.weight[0].numel()
    weight = next(p for p in layer.parameters() if p.dim() > 1)
    return out.numel() * weight[0].numel()


def product_case(name: str, function: Callable[..., Tensor], a: Tensor, b: Tensor) -> Case:
    """A case of spikes × spikes: pairs, with the one-sided counts as conventions."""
    fired_a, fired_b = fired(a).double(), fired(b).double()
    ones_a, ones_b = torch.ones_like(fired_a), torch.ones_like(fired_b)
    conventions = {
        "left operand's spikes alone": Count(sops=int(function(fired_a, ones_b).sum())),
        "right operand's spikes alone": Count(sops=int(function(ones_a, fired_b).sum())),
        "by value": Count(sops=int(function(a.double(), b.double()).sum())),
    }
    pairs = Count(sops=int(function(fired_a, fired_b).sum()))
    return Case(name, Forward(function), (a, b), pairs, int(function(ones_a, ones_b).sum()), conventions)


def mac_case(name: str, model: nn.Module, inputs: tuple[Tensor, ...], macs: int, **kw: Any) -> Case:
    return Case(name, model, inputs, Count(macs=macs), macs, **kw)


def with_spikes(count: int, *shape: int) -> Tensor:
    x = torch.zeros(shape)
    x.view(-1)[torch.randperm(x.numel(), generator=torch.Generator().manual_seed(SEED))[:count]] = 1
    return x


def corner() -> Tensor:
    x = torch.zeros(1, 3, 8, 8)
    x[0, 0, 0, 0] = 1
    return x


def cases() -> list[Case]:
    torch.manual_seed(SEED)
    conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    linear, biased = nn.Linear(64, 10, bias=False), nn.Linear(64, 10)
    image, x64 = with_spikes(37, 1, 3, 8, 8), spikes(B, 64)
    pruned = nn.Linear(64, 10, bias=False)
    pruned.weight.data.mul_(torch.rand(10, 64) < 0.5)
    ones = nn.Linear(64, 10, bias=False)
    nn.init.ones_(ones.weight)
    return [
        layer_case("Conv2d 3→8, k3 p1, 37 spikes", conv, image),
        layer_case("the same, one spike in a corner", conv, corner()),
        layer_case("the same, real input", conv, torch.randn(1, 3, 8, 8) + 9, kind="real"),
        layer_case("the same, with bias", nn.Conv2d(3, 8, 3, padding=1), image),
        layer_case("depthwise 8→8", nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), spikes(1, 8, 8, 8)),
        layer_case("2 groups, stride 2", nn.Conv2d(4, 8, 3, 2, 1, groups=2, bias=False), spikes(1, 4, 8, 8)),
        layer_case("dilation 2", nn.Conv2d(3, 8, 3, padding=2, dilation=2, bias=False), image),
        layer_case("circular padding", nn.Conv2d(3, 8, 3, padding=1, bias=False, padding_mode="circular"), image),
        layer_case("ConvTranspose2d k2 s2", nn.ConvTranspose2d(3, 8, 2, 2, bias=False), image),
        layer_case("Conv1d k1", nn.Conv1d(16, 8, 1, bias=False), spikes(B, 16, 12)),
        layer_case("Conv3d k3 p1", nn.Conv3d(2, 4, 3, padding=1, bias=False), spikes(1, 2, 4, 6, 6)),
        layer_case("Linear 64→10", biased, x64),
        layer_case("Linear on [T, B, N, C]", linear, spikes(4, B, 5, 64)),
        layer_case("Linear, integers 0…2", linear, spikes(B, 64, levels=2)),
        layer_case("Linear, ternary", linear, spikes(B, 64) - spikes(B, 64, seed=1)),
        layer_case("Linear, spikes of size 0.37", Scaled(linear, 0.37), x64, graded=True),
        layer_case("Linear, silent input", linear, torch.zeros(B, 64)),
        layer_case("Linear, weights all 1, real input", ones, torch.randn(B, 64), kind="real"),
        layer_case("Linear, half of the weights zero", pruned, x64),
        layer_case("constant image 0.5", conv, torch.full((1, 3, 8, 8), 0.5), kind="real"),
        mixed_case(linear),
        product_case("q kᵀ, binary", lambda q, k: q @ k.transpose(-2, -1), *heads(2)),
        product_case("attn v, integer × binary", torch.matmul, spikes(B, 4, 16, 16, levels=4, rate=0.2), heads(3)[2]),
        product_case("einsum q, k", lambda q, k: torch.einsum("bhnd,bhmd->bhnm", q, k), *heads(2)),
        sdpa_case(),
        attention_case(),
        encoder_case(),
        lstm_case(),
        functional_case("F.conv2d", Forward(lambda layer, x: F.conv2d(x, layer.weight, padding=1), conv), conv, image),
        functional_case("F.linear", Forward(lambda layer, x: F.linear(x, layer.weight), linear), linear, x64),
        replaced(layer_case("the model is the layer itself", linear, x64), model=linear),
        functional_case("keyword call", Forward(lambda layer, x: layer(input=x), linear), linear, x64),
        twice_case(linear),
        pooled_case("max-pool, then conv", nn.MaxPool2d(2), conv, 1.0),
        pooled_case("average-pool, then conv", nn.AvgPool2d(2), conv, 0.25),
        residual_case(),
        functional_case("SpikingJelly's layer.Linear", sub_class(linear), linear, x64),
        replaced(layer_case("Conv2d under inference_mode", conv, image), inference=True),
        replaced(layer_case("Linear under inference_mode", linear, x64), inference=True),
        functional_case("Linear in double precision", copy.deepcopy(linear).double(), linear, x64),
        *code_cases(),
    ]  # fmt: skip


def heads(count: int) -> tuple[Tensor, ...]:
    return tuple(spikes(B, 4, 16, 8, seed=seed) for seed in range(count))


def real_heads() -> tuple[Tensor, ...]:
    return tuple(torch.randn(B, 4, 16, 8) for _ in range(3))


def replaced(case: Case, **kw: Any) -> Case:
    return Case(**{**case.__dict__, **kw})


class Scaled(nn.Sequential):
    """Spikes arrive multiplied by a constant, as they do behind an attention scale; `total` counts unscaled ones."""

    def __init__(self, layer: nn.Module, size: float) -> None:
        super().__init__(layer)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * self.size) if x.dtype is torch.float32 else super().forward(x)


def mixed_case(linear: nn.Linear) -> Case:
    """Step 0 of [T, B, 64] is real, steps 1 to 3 are spikes: one call."""
    x = spikes(4, B, 64)
    x[0] = torch.randn(B, 64) + 9
    exact = Count(sops=10 * int((x[1:] != 0).sum()), macs=B * 640)
    conventions = {"one real value makes the call MAC": Count(macs=4 * B * 640)}
    options = {"layout": "time-batch", "input": "spikes"}
    name = 'Linear, step 0 real, steps 1–3 spikes (`layout="time-batch", input="spikes"`)'
    return Case(name, nn.Sequential(linear), (x,), exact, 4 * B * 640, conventions, options=options)


def sdpa_case() -> Case:
    model = Forward(F.scaled_dot_product_attention)
    return mac_case("scaled_dot_product_attention, real", model, real_heads(), 2 * B * 4 * 16 * 16 * 8)


def attention_case() -> Case:
    layer, x = nn.MultiheadAttention(32, 4, batch_first=True).eval(), torch.randn(B, 16, 32)
    macs = B * 16 * 4 * 32 * 32 + 2 * B * 16 * 16 * 32
    return mac_case("nn.MultiheadAttention, eval", Forward(lambda layer, x: layer(x, x, x)[0], layer), (x,), macs)


def encoder_case() -> Case:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval()
    x = torch.randn(B, 16, 32)
    macs = B * 16 * (4 * 32 * 32 + 2 * 32 * 64) + 2 * B * 16 * 16 * 32
    seen: list[Tensor] = []
    handle = layer.linear2.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    with torch.no_grad():
        torch.backends.mha.set_fastpath_enabled(False)
        layer(x)
        torch.backends.mha.set_fastpath_enabled(True)
    handle.remove()
    skipped = macs - 32 * int((seen[0] == 0).sum())
    conventions = {"zeros skipped": Count(macs=skipped)}
    return mac_case("nn.TransformerEncoderLayer, eval", layer, (x,), macs, conventions=conventions)


def lstm_case() -> Case:
    """Spikes meet the input weights; the hidden state is real, and zero at first."""
    layer, x = nn.LSTM(16, 8), spikes(5, B, 16)
    sops, step = 32 * int(x.sum()), B * 32 * 8
    conventions = {"zeros skipped": Count(sops, 4 * step)}
    model = Forward(lambda layer, x: layer(x)[0], layer)
    return Case("nn.LSTM on spikes", model, (x,), Count(sops, 5 * step), 5 * (B * 32 * 16 + step), conventions)


def functional_case(name: str, model: nn.Module, layer: nn.Module, x: Tensor) -> Case:
    return replaced(
        layer_case(name, layer, x), model=nn.Sequential(model) if len(list(model.children())) == 0 else model
    )


def twice_case(linear: nn.Linear) -> Case:
    """One layer on two inputs."""
    a, b = spikes(B, 64), spikes(B, 64, seed=1)
    model = Forward(lambda layer, a, b: layer(a) + layer(b), linear)
    return Case("one Linear called twice", model, (a, b), Count(sops=10 * int((a + b).sum())), 2 * B * 640)


def pooled_case(name: str, pool: nn.Module, conv: nn.Conv2d, quantum: float) -> Case:
    x = spikes(1, 3, 16, 16)
    case = layer_case(name, conv, pool(x), quantum=quantum)
    return replaced(case, model=nn.Sequential(pool, conv), inputs=(x,))


def residual_case() -> Case:
    conv, a, b = nn.Conv2d(8, 8, 3, padding=1, bias=False), spikes(1, 8, 8, 8), spikes(1, 8, 8, 8, seed=1)
    case = layer_case("residual sum 0…2, then conv", conv, a + b)
    return replaced(case, model=Forward(lambda conv, a, b: conv(a + b), conv), inputs=(a, b))


def sub_class(linear: nn.Linear) -> nn.Module:
    try:
        from spikingjelly.activation_based import layer
    except ImportError:
        return linear
    same = layer.Linear(64, 10, bias=False)
    same.weight = linear.weight
    return nn.Sequential(same)


# -- code as people write it ---------------------------------------------------------------------------------------


class MaskedSpike(torch.autograd.Function):
    """SpyTorch, stork."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        out = torch.zeros_like(v)
        out[v > 0] = 1.0
        return out


class Levels(nn.Module):
    """An integer neuron that divides by the number of its levels."""

    def forward(self, v: Tensor) -> Tensor:
        return torch.round(torch.clamp(v, 0, 4)) / 4


class Fires(nn.Module):
    def forward(self, v: Tensor) -> Tensor:
        return (v > 0).float() * 8.0


class Keeps(nn.Module):
    """An integrate-and-fire neuron of no framework, called once for each step; nothing resets it."""

    def __init__(self) -> None:
        super().__init__()
        self.v: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.v = x if self.v is None else self.v + x
        out = (self.v > 8).float()
        self.v = self.v * (1 - out)
        return out


class Unrolls(nn.Module):
    """A leaky neuron that runs all time steps of `[T, B, N]` in one call."""

    def forward(self, x: Tensor) -> Tensor:
        v, out = torch.zeros_like(x[0]), []
        for step in x:
            v = v / 2 + step
            out.append((v > 2).float())
            v = v * (1 - out[-1])
        return torch.stack(out)


class Rows(nn.Module):
    """A graph network: features of all nodes are an attribute, the input says which nodes are read."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table, self.layer = table, nn.Linear(table.shape[1], 10, bias=False)

    def forward(self, nodes: Tensor) -> Tensor:
        return self.layer(self.table[nodes])


class Reservoir(nn.Module):
    """Fixed random weights that are neither parameters nor buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.inwards, self.recurrent = torch.randn(64, 32), torch.randn(32, 32)
        self.head = nn.Linear(32, 10, bias=False)

    def states(self, x: Tensor) -> list[Tensor]:
        states = [torch.zeros(len(x), 32)]
        for _ in range(T):
            states.append(((x @ self.inwards + states[-1] @ self.recurrent) > 2).float())
        return states

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.states(x)[-1])


@dataclass
class Sample:
    x: Tensor


def readings(model: nn.Module, *inputs: Any, batches: int = 1) -> list[tuple[nn.Module, Tensor]]:
    """Each call of a weighted layer, with what it reads, as a copy of the model runs without any tool."""
    alone, calls = copy.deepcopy(model), []
    layers = [layer for layer in alone.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_pre_hook(lambda m, args: calls.append((m, args[0].clone()))) for layer in layers]
    for _ in range(batches):
        torch.manual_seed(SEED)
        with torch.no_grad():
            alone(*inputs)
    for hook in hooks:
        hook.remove()
    return calls


def code_case(
    name: str, model: nn.Module, *inputs: Any, quantum: float = 1.0, samples: int | None = None, **options: Any
) -> Case:
    """A case of a network whose layers all read spikes; `options` are snnprof's."""
    calls = readings(model, *inputs)
    exact, conventions = spike_counts(calls, quantum)
    dense = sum(_dense(layer, x) for layer, x in calls)
    return Case(name, model, inputs, exact, dense, conventions, samples=samples, options=options)


def fire_case(name: str, fire: Callable[[Tensor], Tensor], quantum: float = 1.0, **options: Any) -> Case:
    """Linear 64→32 on spikes, new spikes made of its result in one way or another, Linear 32→10."""
    a, b = two_layers()
    module = isinstance(fire, nn.Module)
    model = nn.Sequential(a, fire, b) if module else Forward(lambda a, b, x: b(fire(a(x))), a, b)
    return code_case(name, model, spikes(B, 64), quantum=quantum, **options)


def two_layers() -> tuple[nn.Linear, nn.Linear]:
    a, b = nn.Linear(64, 32, bias=False), nn.Linear(32, 10, bias=False)
    a.weight.data *= 8
    return a, b


def code_cases() -> list[Case]:
    linear, conv, x = nn.Linear(64, 10, bias=False), nn.Conv2d(3, 8, 3, padding=1, bias=False), spikes(B, 64)
    noisy = Forward(lambda layer, x: layer((torch.rand_like(x) < 0.4).float()), linear)
    unpacks = Forward(lambda layer, sample: layer(sample.x), linear)
    return [
        fire_case("spikes by mask assignment in an autograd.Function", MaskedSpike.apply),
        fire_case("spikes by where with two numbers", lambda v: torch.where(v > 0, 1.0, 0.0)),
        fire_case("3 winners by scatter", lambda v: torch.zeros_like(v).scatter(1, v.topk(3, 1).indices, 1.0)),
        fire_case("one-hot of argmax", lambda v: F.one_hot(v.argmax(-1), v.shape[-1]).float()),
        code_case("noise made in the forward pass", noisy, x),
        code_case("input inside an object", unpacks, Sample(x), samples=B),
        code_case("rows of a feature table by index", Rows(spikes(8, 64)), torch.tensor([0, 2, 3, 7])),
        events_case(),
        fire_case("(sign + 1) / 2", lambda v: (torch.sign(v) + 1) / 2),
        fire_case("integer neuron, round(clamp)", lambda v: torch.round(torch.clamp(v, 0, 4))),
        fire_case("the same divided by 4, in a module", Levels(), 0.25),
        fire_case("integer neuron, cast to int", lambda v: v.clamp(0, 4).int().float()),
        fire_case("integer neuron, floor division", lambda v: v.clamp(0, 2) // 0.5),
        fire_case('neuron of amplitude 8 (`neuron=("Fires",)`)', Fires(), 8.0, neuron=("Fires",)),
        fire_case("straight-through with a factor", straight_through),
        pooled_case("LPPool of norm 1, then conv", nn.LPPool2d(1, 2), conv, 1.0),
        iand_case(),
        state_case(),
        reservoir_case(),
        fire_case("spikes through NumPy", lambda v: torch.from_numpy((v.numpy() > 0).astype(np.float32))),
        bag_case(),
        kernel_case(conv),
        time_case(),
    ]


def straight_through(v: Tensor) -> Tensor:
    hard = (v > 0).float()
    return hard.detach() + 2.5 * hard - 2.5 * hard.detach()


def events_case() -> Case:
    """Events `(polarity, y, x)`, several of them at one place, become a frame of counts."""
    events = torch.randint(0, 6, (40, 3), generator=torch.Generator().manual_seed(SEED)) % torch.tensor([2, 6, 6])

    def on_frame(conv: nn.Module, events: Tensor) -> Tensor:
        frame = torch.zeros(1, 2, 6, 6)
        frame[0].index_put_(tuple(events.t()), torch.ones(len(events)), accumulate=True)
        return conv(frame)

    conv = nn.Conv2d(2, 8, 3, padding=1, bias=False)
    return code_case("events into a frame by index, then conv", Forward(on_frame, conv), events, samples=1)


def iand_case() -> Case:
    """Shortcuts that keep to 0 and 1 however many follow each other; then a mean of 4 tokens before the head."""

    def residuals(*args: Any) -> Tensor:
        *blocks, head, x = args
        for block in blocks:
            x = x * (1 - (block(x) > 0.5).float())
        return head(x.mean(1))

    blocks = [nn.Linear(64, 64, bias=False) for _ in range(6)]
    model = Forward(residuals, *blocks, nn.Linear(64, 10, bias=False))
    return code_case("6 IAND residuals, mean of 4 tokens, head", model, spikes(B, 4, 64), quantum=1 / 4)


def state_case() -> Case:
    """Each batch begins with no potential, as the first one does."""
    a, b = two_layers()
    model, x = Forward(lambda a, fire, b, x: sum(b(fire(a(x))) for _ in range(T)), a, Keeps(), b), spikes(B, 64)
    once = code_case("state of an unknown class, two equal batches", model, x)
    carried, _ = spike_counts(readings(model, x, batches=2))
    conventions = {"the second batch goes on from the first one's state": carried}
    exact = Count(2 * once.exact.sops)
    return replaced(once, exact=exact, dense=2 * once.dense, conventions=conventions, batches=2)


def reservoir_case() -> Case:
    model, x = Reservoir(), spikes(B, 64)
    states = [int(state.sum()) for state in model.states(x)]
    sops = T * 32 * int(x.sum()) + 32 * sum(states[:-1]) + 10 * states[-1]
    dense = B * (T * (64 + 32) * 32 + 32 * 10)
    return Case("reservoir held as a plain attribute", model, (x,), Count(sops), dense)


def bag_case() -> Case:
    """Addresses of spikes; the rows that they select are added up."""
    bag, addresses = nn.EmbeddingBag(64, 10, mode="sum"), torch.randint(0, 64, (B, 19))
    sops = int(F.embedding_bag(addresses, torch.ones(64, 10), mode="sum").sum())
    return Case("nn.EmbeddingBag of spike addresses", nn.Sequential(bag), (addresses,), Count(sops), sops)


def kernel_case(conv: nn.Conv2d) -> Case:
    """A real input becomes the kernel, another one is spikes: each of them adds the value that it meets."""
    image, make, control = (
        with_spikes(37, 1, 3, 8, 8),
        nn.Linear(16, conv.weight.numel(), bias=False),
        torch.randn(1, 16),
    )
    model = Forward(lambda make, x, control: F.conv2d(x, make(control).view(conv.weight.shape), padding=1), make)
    exact = Count(total(conv, image), make.weight.numel())
    dense = _dense(conv, image) + exact.macs
    return Case("conv whose kernel the network makes", model, (image, control), exact, dense)


def time_case() -> Case:
    """Still spikes are shown T times; all steps go through the layers at once."""

    def through_time(a: nn.Module, fire: nn.Module, b: nn.Module, x: Tensor) -> Tensor:
        currents = a(x.repeat(T, 1, 1).flatten(0, 1)).view(T, -1, 32)
        return b(fire(currents).flatten(0, 1)).view(T, -1, 10).mean(0)

    a, b = two_layers()
    return code_case(
        "T made inside forward, `timesteps` not given", Forward(through_time, a, Unrolls(), b), spikes(B, 64)
    )


# -- the tools: a model and its input → (SOPs, MACs) or dense MACs -----------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a tool said; None where it has no such figure."""

    sops: float | None = None
    macs: float | None = None
    dense: float | None = None


def _run(case: Case) -> Any:
    """One batch, seeded, so that all tools see the same noise."""
    torch.manual_seed(SEED)
    with torch.inference_mode() if case.inference else torch.no_grad():
        return case.model(*_as_model(case))


def _as_model(case: Case) -> tuple[Any, ...]:
    """The input in the format of the weights."""
    dtype = next((parameter.dtype for parameter in case.model.parameters()), torch.float32)
    return tuple(x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x for x in case.inputs)


def ask_snnprof(case: Case) -> Answer:
    totals = snnprof.price(_profiled(case) if _is_batch(case) else _recorded(case)).totals
    return Answer(totals.sops, totals.macs)


def _is_batch(case: Case) -> bool:
    """Whether `profile` takes the input as it is."""
    return len(case.inputs) == 1 and isinstance(case.inputs[0], Tensor)


def _profiled(case: Case) -> snnprof.Activity:
    with torch.inference_mode(case.inference):
        return snnprof.profile(case.model, [*_as_model(case)] * case.batches, **case.options)


def _recorded(case: Case) -> snnprof.Activity:
    with snnprof.Recorder(case.model, **case.options) as recorder:
        _run(case)
    return recorder.activity(samples=case.rows)


def ask_spikingjelly(case: Case) -> Answer:
    from spikingjelly.activation_based import op_counter

    counters = op_counter.SynOpCounter(), op_counter.MACCounter()
    with op_counter.DispatchCounterMode(list(counters)):
        for _ in range(case.batches):
            _run(case)
    sops, macs = (counter.get_total() for counter in counters)
    return Answer(sops, macs)


def ask_neurobench(case: Case) -> Answer:
    from neurobench.metrics.manager.workload_manager import WorkloadMetricManager
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel

    model, metric, manager = TorchModel(case.model), SynapticOperations(), WorkloadMetricManager([SynapticOperations])
    manager.register_hooks(model)
    for _ in range(case.batches):
        result = metric(model, _run(case), (case.inputs[0], None))
        manager.reset_hooks(model)
    samples = case.inputs[0].shape[0] * case.batches
    return Answer(result["Effective_ACs"] * samples, result["Effective_MACs"] * samples)


def ask_sinabs(case: Case) -> Answer:
    from sinabs import SNNAnalyzer

    analyzer, per_sample = SNNAnalyzer(case.model), 0.0
    for _ in range(case.batches):
        _run(case)
        stats = analyzer.get_layer_statistics()["parameter"]
        per_sample += sum(float(layer["synops"]) for layer in stats.values())
    return Answer(sops=per_sample * case.rows)


def ask_fvcore(case: Case) -> Answer:
    from fvcore.nn import FlopCountAnalysis

    with torch.no_grad():
        analysis = FlopCountAnalysis(case.model, _as_model(case)).unsupported_ops_warnings(False)
        flops = analysis.uncalled_modules_warnings(False).tracer_warnings("none").by_operator()
    ignored = ("batch_norm", "layer_norm", "adaptive_avg_pool2d", "upsample")
    return Answer(dense=case.batches * sum(count for name, count in flops.items() if name not in ignored))


def ask_flop_counter(case: Case) -> Answer:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        for _ in range(case.batches):
            _run(case)
    return Answer(dense=counter.get_total_flops() / 2)


TOOLS: dict[str, tuple[str, str, Callable[[Case], Answer]]] = {
    "snnprof": ("snnprof", "snnprof", ask_snnprof),
    "SpikingJelly": ("spikingjelly", "spikingjelly.activation_based.op_counter", ask_spikingjelly),
    "NeuroBench": ("neurobench", "neurobench.metrics.workload", ask_neurobench),
    "sinabs": ("sinabs", "sinabs", ask_sinabs),
    "fvcore": ("fvcore", "fvcore.nn", ask_fvcore),
    "FlopCounterMode": ("torch", "torch.utils.flop_counter", ask_flop_counter),
}
"""Column → distribution, module that must be importable, how to ask."""


def installed() -> dict[str, Callable[[Case], Answer]]:
    found = {}
    for name, (_, module, ask) in TOOLS.items():
        with contextlib.suppress(ImportError), quiet():
            importlib.import_module(module)
            found[name] = ask
    return found


# -- verdicts ----------------------------------------------------------------------------------------------------

RIGHT, CONVENTION, WRONG = "right", "other convention", "count wrong"


@dataclass(frozen=True)
class Verdict:
    kind: str
    text: str


def verdict(case: Case, answer: Answer | Exception) -> Verdict:
    """Right, right under a convention of its own, or wrong; and the figure."""
    if isinstance(answer, Exception):
        return Verdict(WRONG, f"**{type(answer).__name__}**")
    if answer.dense is not None and answer.sops is None:
        return Verdict(RIGHT, _number(answer.dense)) if answer.dense == case.dense else _wrong(_number(answer.dense))
    shown = _shown(answer)
    if _agrees(answer, case.exact):
        return Verdict(RIGHT, shown)
    for name, count in case.conventions.items():
        if _agrees(answer, count):
            return Verdict(CONVENTION, f"{shown} ({name})")
    return _wrong(shown)


def _wrong(text: str) -> Verdict:
    return Verdict(WRONG, f"**{text}**")


def _agrees(answer: Answer, count: Count) -> bool:
    """A tool without MACs is held to the SOPs alone, and where there are none, to saying nothing."""
    return answer.sops == count.sops and (answer.macs is None or answer.macs == count.macs)


def _shown(answer: Answer) -> str:
    parts = [f"{_number(answer.sops)} SOP" if answer.sops else "", f"{_number(answer.macs)} MAC" if answer.macs else ""]
    return " + ".join(part for part in parts if part) or "0"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.10g}" if float(value).is_integer() else f"{value:.1f}"


def judged(tools: dict[str, Callable[[Case], Answer]]) -> list[tuple[Case, dict[str, Verdict]]]:
    rows = []
    for case in cases():
        answers: dict[str, Verdict] = {}
        for name, ask in tools.items():
            with quiet():
                try:
                    answer: Answer | Exception = ask(replaced(case, model=copy.deepcopy(case.model)))
                except Exception as error:  # that a tool fails is a result
                    answer = error
            answers[name] = verdict(case, answer)
        rows.append((case, answers))
    return rows


@contextlib.contextmanager
def quiet() -> Any:
    """Tools talk; the table is the only output."""
    logging.disable(logging.WARNING)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


# -- the page ----------------------------------------------------------------------------------------------------

HEAD = """# Accuracy

Small cases with a known answer, snnprof, and the tools that count the same things. Made by

    python benchmarks/accuracy.py --markdown docs/accuracy.md

*Exact* is a brute-force count: the operation itself in float64, with ones for weights, on operands that hold 1 for a
spike of any size, n for an integer spike n · quantum, and 0 elsewhere; they are what the layers read when the network
runs without any tool. SOP: additions that spikes cause, one per (spike, weight) or pair of spikes, and n for an integer
spike n; MAC: multiply-accumulates of real values, without taps on zero padding. *Dense* is what a dense machine does,
padding included; fvcore and FlopCounterMode (÷ 2) are held to that, the others to *exact*.

snnprof's column is what it says by default, `price(profile(model, batches))`; a case that gives it options names them.
Models with several inputs, or with an object as input, run under its `Recorder`.

**Bold: the count is wrong** (or the tool failed). In brackets: right under another convention, which is named. Plain:
right. A tool without MACs (sinabs) is held to the SOPs. Totals over the batch. The cases up to *Linear in double
precision* are operations; those that follow are small networks, written as people write them.

"""


def page(rows: list[tuple[Case, dict[str, Verdict]]], tools: list[str]) -> str:
    lines = [HEAD.rstrip("\n"), ""]
    lines.append("| case | exact | dense | " + " | ".join(f"{name} {_version(name)}" for name in tools) + " |")
    lines.append("|---|---|---|" + "---|" * len(tools))
    for case, answers in rows:
        cells = [case.name, str(case.exact), str(case.dense), *(answers[name].text for name in tools)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["", summary(rows, tools), "", random_programs(), "", corpus(), ""]
    return "\n".join(lines)


def summary(rows: list[tuple[Case, dict[str, Verdict]]], tools: list[str]) -> str:
    lines = [f"| of {len(rows)} cases | " + " | ".join(tools) + " |", "|---|" + "---|" * len(tools)]
    for kind in (RIGHT, CONVENTION, WRONG):
        counts = [sum(answers[name].kind == kind for _, answers in rows) for name in tools]
        lines.append(f"| {kind} | " + " | ".join(str(count) for count in counts) + " |")
    return "\n".join(lines)


RANDOM = """## Random programs

`python benchmarks/programs.py --count 2000 --seed 0` printed:

{printed}

A program is a small network put together at random from lines of PyTorch that people write: ways to make spikes,
layers, attention, pooling, indexing, shortcuts, state over several steps, values that went through NumPy. snnprof
profiles it on two or three batches of spikes, counts, pixels or real numbers, and its events and dense MACs are
compared with those of a second counter, which shares no code with snnprof and runs each contraction that PyTorch
dispatches once more on zeros and ones. A program fails if a figure differs, if `profile` raises an error, or if the
run's self-check does not find every row equal; the few that do not run without snnprof either are left out."""

CORPUS = """## Ways to make spikes

`tests/record/idioms.py` holds {idioms} ways to make spikes or real values, written after public code, and says how many
additions each value is worth. Each runs between two linear layers in three forms: as a module, as a function and as an
`autograd.Function`. `tests/record/test_idioms.py` compares SOPs and MACs with the activations; all {networks} networks
are counted right.

| kind | idioms | × {forms} forms |
|---|---|---|
{rows}"""

FORMS = 3


def random_programs() -> str:
    return RANDOM.format(printed=textwrap.indent(PROGRAMS, " " * 4))


def corpus() -> str:
    """How many idioms of each kind the corpus has."""
    kinds = Counter(idiom.kind for idiom in _idioms())
    kinds["all"] = number = kinds.total()
    rows = "\n".join(f"| {kind} | {count} | {FORMS * count} |" for kind, count in kinds.items())
    return CORPUS.format(idioms=number, networks=FORMS * number, forms=FORMS, rows=rows)


def _idioms() -> list[Any]:
    """The corpus, which is in no package; its dataclasses and scripted functions look their module up."""
    spec = importlib.util.spec_from_file_location("idioms", ROOT / "tests" / "record" / "idioms.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    with quiet():
        spec.loader.exec_module(module)
    return module.IDIOMS


def _version(name: str) -> str:
    try:
        return version(TOOLS[name][0]).partition("+")[0]
    except PackageNotFoundError:
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--markdown", type=Path, help="write the page to this file")
    arguments = parser.parse_args()
    tools = installed()
    text = page(judged(tools), list(tools))
    if arguments.markdown:
        arguments.markdown.write_text(text, encoding="utf-8", newline="\n")
    else:
        print(text)


if __name__ == "__main__":
    main()

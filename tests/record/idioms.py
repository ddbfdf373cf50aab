"""How people make spikes in PyTorch: small functions from membrane potentials to what the next layer reads.

Each is written after public code (SpyTorch, stork, norse, snntorch, spikingjelly, SpikeYOLO, QCFS, sparch, EMS-YOLO,
SpikeNet, binary networks, converted networks, event frames). What each element is worth follows shared/COUNTING.md:
a spike of any size is one addition, an integer spike n·q is n, and what has no grid is multiplied.
"""

from __future__ import annotations

import collections
import copy
import io
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Fire = Callable[[Tensor], Tensor]
Spikes = Callable[[Tensor], Tensor]


def single(h: Tensor) -> Tensor:
    """One addition for each spike, whatever its size."""
    return h != 0


def levels(quantum: float) -> Spikes:
    """n additions for a spike n · quantum."""
    return lambda h: (h.double() / quantum).round().abs()


@dataclass(frozen=True)
class Idiom:
    """One way to make spikes.

    Attributes:
        fire: potentials `[B, 16]` to what the next layer reads, `[rows, width]`; or a module class that does so.
        spikes: additions that each element of the result is worth, per output of the next layer.
        neuron: class names for the option of that name; the module form then has the first of them.
        width: the result's last dimension.
        real: the result has no grid, or more levels than are unrolled: all of it is multiplied.
        inner: additions per sample by rows of tables selected inside, which are contractions of their own.
        steps: how often the network calls it in one pass.
        seeded: `torch.manual_seed` makes it repeatable.
    """

    name: str
    kind: str
    fire: Fire | type[nn.Module]
    spikes: Spikes = single
    neuron: tuple[str, ...] = ()
    width: int = 16
    real: bool = False
    inner: int = 0
    steps: int = 1
    seeded: bool = True


IDIOMS: list[Idiom] = []


def _group(kind: str, fires: dict[str, Fire], spikes: Spikes = single, **options: Any) -> None:
    IDIOMS.extend(Idiom(name, kind, fire, spikes, **options) for name, fire in fires.items())


def _idiom(name: str, kind: str, spikes: Spikes = single, **options: Any) -> Callable[[Any], Any]:
    def add(fire: Any) -> Any:
        IDIOMS.append(Idiom(name, kind, fire, spikes, **options))
        return fire

    return add


def _fired(v: Tensor) -> Tensor:
    """Plain spikes, for idioms about what happens to them next."""
    return (v > 0.5).float()


def _others(v: Tensor) -> Tensor:
    """Spikes of another population."""
    return (v < 1.0).float()


def _grid(v: Tensor) -> Tensor:
    """Plain spikes as images `[B, 1, 4, 4]`."""
    return _fired(v).view(-1, 1, 4, 4)


# -- comparisons and casts ---------------------------------------------------------------------------------------


def _into_given_memory(v: Tensor) -> Tensor:
    out = torch.empty_like(v)
    torch.gt(v, 0, out=out)
    return out


_group("comparison", {
    "greater, float": lambda v: (v > 0).float(),
    "gt, to dtype": lambda v: v.gt(0).to(v.dtype),
    "ge, type_as": lambda v: torch.ge(v, 0).type_as(v),
    "to another tensor's type": lambda v: (v >= 0).to(v),
    "times one": lambda v: (v > 0) * 1.0,
    "one times": lambda v: 1.0 * (v >= 0.5),
    "type by name": lambda v: (v > 0).type("torch.FloatTensor"),
    "greater than a zero tensor": lambda v: torch.gt(v, torch.as_tensor(0.0)).to(v.dtype),
    "one minus less": lambda v: 1 - (v < 0).float(),
    "subtract, then ge": lambda v: v.sub(1.0).ge(0.0).float(),
    "heaviside": lambda v: torch.heaviside(v, torch.zeros(())),
    "heaviside that fires at zero": lambda v: torch.heaviside(v - 0.5, torch.tensor([1.0])),
    "a window, and": lambda v: ((v > 0) & (v < 2)).float(),
    "a window, logical_and": lambda v: torch.logical_and(v > 0, v < 2).float(),
    "a window, product": lambda v: (v > 0).float() * (v < 2).float(),
    "not below": lambda v: (~(v < 0)).float(),
    "xor of two thresholds": lambda v: ((v > 0) ^ (v > 2)).float(),
    "above the mean of its layer": lambda v: (v > v.mean(1, keepdim=True)).float(),
    "above the median": lambda v: (v > v.median(1, keepdim=True).values).float(),
    "above a quantile": lambda v: (v > v.quantile(0.75, dim=1, keepdim=True)).float(),
    "one level of a rounded value": lambda v: torch.eq(v.round(), 1).float(),
    "signbit": lambda v: torch.signbit(-v).float(),
    "not equal to zero after relu": lambda v: (F.relu(v) != 0).float(),
    "logical_not twice": lambda v: torch.logical_not(torch.logical_not(F.relu(v))).float(),
    "compared as integers": lambda v: (v.int() > 0).float(),
    "compared in place": lambda v: v.gt_(0.5),
    "compared into given memory": _into_given_memory,
    "above a vector of thresholds": lambda v: (v > torch.linspace(-1, 1, 16)).float(),
})  # fmt: skip
_group("comparison", {"any of a group": lambda v: (v.view(-1, 4, 4) > 2).any(-1).float()}, width=4)

_group("cast", {
    "bool of relu": lambda v: F.relu(v).bool().float(),
    "half and back": lambda v: (v > 0).half().float(),
    "bfloat16 and back": lambda v: (v > 0).bfloat16().float(),
    "double and back": lambda v: (v > 0).double().float(),
    "byte and back": lambda v: (v > 0).byte().float(),
    "long and back": lambda v: (v > 0).long().to(v.dtype),
    "the sign bit by shifting": lambda v: ((v.view(torch.int32) >> 31) + 1).float(),
    "sparse and back": lambda v: (v > 0).float().to_sparse().to_dense(),
    "a tensor of a tensor": lambda v: torch.as_tensor(v > 0, dtype=torch.float32),
})  # fmt: skip
_group("cast", {
    "int of clamp": lambda v: v.clamp(0, 4).int().float(),
    "long of clamp": lambda v: torch.clamp(v, 0, 4).long().to(v.dtype),
    "uint8 of clamp": lambda v: v.clamp(0, 3.9).to(torch.uint8).float(),
    "clamp of rounded int": lambda v: v.round().int().clamp(0, 4).float(),
    "type int, signed": lambda v: v.clamp(-3, 3).type(torch.int).type(torch.float),
}, levels(1))  # fmt: skip
_group("cast", {"int8 halves": lambda v: (v * 2).clamp(-4, 4).to(torch.int8).float() / 2}, levels(0.5))

# -- masks and where ---------------------------------------------------------------------------------------------


@_idiom("ones where a mask is", "mask")
def _(v: Tensor) -> Tensor:
    out = torch.zeros_like(v)
    out[v > 0] = 1.0
    return out


@_idiom("zeros where a mask is", "mask")
def _(v: Tensor) -> Tensor:
    out = torch.ones_like(v)
    out[v <= 0] = 0.0
    return out


@_idiom("new_zeros and a mask", "mask")
def _(v: Tensor) -> Tensor:
    out = v.new_zeros(v.shape)
    out[v.ge(1.0)] = 1
    return out


@_idiom("both sides of a copy", "mask")
def _(v: Tensor) -> Tensor:
    out = v.clone()
    out[v > 0] = 1.0
    out[v <= 0] = 0.0
    return out


@_idiom("both sides in place", "mask")
def _(v: Tensor) -> Tensor:
    fired = v > 0
    v[fired] = 1.0
    v[~fired] = 0.0
    return v


@_idiom("both sides of empty memory", "mask")
def _(v: Tensor) -> Tensor:
    out, fired = torch.empty_like(v), v > 0
    out[fired], out[~fired] = 1.0, 0.0
    return out


@_idiom("an amplitude where a mask is", "mask")
def _(v: Tensor) -> Tensor:
    out = torch.zeros(v.shape)
    out[v > 0] = 0.37
    return out


@_idiom("three values by two masks", "mask")
def _(v: Tensor) -> Tensor:
    out = torch.zeros_like(v)
    out[v > 1] = 1.0
    out[v < -1] = -1.0
    return out


@_idiom("levels by masks", "mask", levels(1))
def _(v: Tensor) -> Tensor:
    out = torch.zeros_like(v)
    out[(v > 0) & (v <= 2)] = 1.0
    out[v > 2] = 2.0
    return out


@_idiom("masked_scatter", "mask")
def _(v: Tensor) -> Tensor:
    return torch.zeros_like(v).masked_scatter_(v > 0, torch.ones_like(v))


@_idiom("by the indices of what fired", "mask")
def _(v: Tensor) -> Tensor:
    out = torch.zeros_like(v)
    rows, columns = torch.nonzero(v > 0, as_tuple=True)
    out[rows, columns] = 1.0
    return out


@_idiom("by flat indices", "mask")
def _(v: Tensor) -> Tensor:
    out = torch.zeros_like(v)
    out.view(-1)[(v > 0).view(-1).nonzero().squeeze(1)] = 1.0
    return out


@_idiom("put by flat indices", "mask")
def _(v: Tensor) -> Tensor:
    fired = (v.flatten() > 0).nonzero().squeeze(1)
    return torch.zeros_like(v).put_(fired, torch.ones(len(fired)))


@_idiom("columns that won, index_fill", "mask")
def _(v: Tensor) -> Tensor:
    return torch.zeros_like(v).index_fill_(1, v.mean(0).topk(3).indices, 1.0)


@_idiom("a row and its winner", "mask")
def _(v: Tensor) -> Tensor:
    out = torch.zeros_like(v)
    out[torch.arange(len(v)), v.argmax(1)] = 1.0
    return out


@_idiom("spikes silenced by a later mask", "mask")
def _(v: Tensor) -> Tensor:
    out = _fired(v)
    out[:, ::4] = 0.0
    out[v > 3] = 0.0
    return out


THETA = nn.Parameter(torch.tensor(0.75))

_group("where", {
    "two numbers": lambda v: torch.where(v > 0, 1.0, 0.0),
    "two whole numbers": lambda v: torch.where(v > 0, 1, 0).float(),
    "ones and zeros": lambda v: torch.where(v > 0, torch.ones_like(v), torch.zeros_like(v)),
    "two tensors of one number": lambda v: torch.where(v > 0, torch.tensor(1.0), torch.tensor(0.0)),
    "zeros first": lambda v: torch.where(v < 0, torch.zeros_like(v), torch.ones_like(v)),
    "an amplitude": lambda v: torch.where(v > 1, 0.37, 0.0),
    "amplitude eight": lambda v: torch.where(v > 0, 8.0, 0.0),
    "a threshold that is learned": lambda v: torch.where(v > THETA, THETA, torch.zeros(())),
    "nested for three values": lambda v: torch.where(v > 1, 1.0, torch.where(v < -1, -1.0, 0.0)),
    "masked_fill of zeros": lambda v: torch.zeros_like(v).masked_fill(v > 0, 1.0),
    "masked_fill in place": lambda v: torch.zeros_like(v).masked_fill_(v > 0, 1.0),
    "masked_fill of both sides": lambda v: v.masked_fill(v > 0, 1.0).masked_fill(v <= 0, 0.0),
    "method on spikes": lambda v: _fired(v).where(v < 3, torch.zeros(())),
})  # fmt: skip
_group("where", {
    "nested for three levels": lambda v: torch.where(v > 2, 2.0, torch.where(v > 0, 1.0, 0.0)),
}, levels(1))  # fmt: skip

# -- signs -------------------------------------------------------------------------------------------------------


@_idiom("sign with zeros to one", "sign")
def _(v: Tensor) -> Tensor:
    out = torch.sign(v)
    out[out == 0] = 1
    return out


@_idiom("binary units by a polynomial's gradient", "sign")
def _(v: Tensor) -> Tensor:
    """Bi-Real Net: the polynomial is taken away and added again."""
    low, middle, high = ((v < edge).float() for edge in (-1.0, 0.0, 1.0))
    first = -low + (v * v + 2 * v) * (1 - low)
    second = first * middle + (-v * v + 2 * v) * (1 - middle)
    third = second * high + (1 - high)
    return torch.sign(v).detach() - third.detach() + third


_group("sign", {
    "sign": torch.sign,
    "sgn": lambda v: v.sgn(),
    "half of sign plus one": lambda v: (torch.sign(v) + 1) / 2,
    "sign plus one": lambda v: torch.sign(v) + 1,
    "half of sign plus a half": lambda v: torch.sign(v) * 0.5 + 0.5,
    "sign, add, divide": lambda v: v.sign().add(1).div(2),
    "in a chain in place": lambda v: v.sub(1.0).sign_().clamp_(0, 1),
    "positive part by clamp": lambda v: torch.sign(v).clamp(min=0),
    "positive part by relu": lambda v: F.relu(torch.sign(v - 0.5)),
    "sign of relu": lambda v: torch.sign(F.relu(v)),
    "times three plus three": lambda v: torch.sign(v) * 3 + 3,
    "times a mask": lambda v: torch.sign(v) * (v.abs() > 1),
    "times a float mask": lambda v: torch.sign(v) * (v.abs() > 1).float(),
    "times an amplitude": lambda v: torch.sign(v) * 0.37,
    "copysign": lambda v: torch.copysign(torch.ones_like(v), v),
    "where of plus and minus one": lambda v: torch.where(v >= 0, 1.0, -1.0),
    "twice minus one": lambda v: (v >= 0).float() * 2 - 1,
    "twice minus one, as integers": lambda v: (2 * (v > 0).int() - 1).float(),
    "up minus down": lambda v: (v > 1).float() - (v < -1).float(),
    "size of ternary": lambda v: ((v > 1).float() - (v < -1).float()).abs(),
    "positive part of ternary": lambda v: F.relu((v > 1).float() - (v < -1).float()),
    "square of sign": lambda v: (torch.sign(v) * (v.abs() > 1)).square(),
    "negative amplitude": lambda v: -0.5 * (v > 0).float(),
})  # fmt: skip

# -- integer neurons ---------------------------------------------------------------------------------------------


class MultiSpike(torch.autograd.Function):
    """SDT-V3, SpikeYOLO."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, most: int = 4) -> Tensor:
        ctx.save_for_backward(v)
        return torch.round(torch.clamp(v, min=0, max=most))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (v,) = ctx.saved_tensors
        return grads[0] * ((v >= 0) & (v <= 4)), None


class GradFloor(torch.autograd.Function):
    """QCFS."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        return v.floor()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]


def _qcfs(v: Tensor, top: float = 2.0, steps: int = 4) -> Tensor:
    v = torch.clamp(v / top, 0, 1)
    return GradFloor.apply(v * steps + 0.5) / steps * top


def _expanded(v: Tensor, most: int = 4) -> Tensor:
    """SpikeYOLO at inference: an integer as so many steps of binary spikes."""
    count = torch.round(torch.clamp(v, 0, most))
    return torch.cat([(count > t).to(v.dtype) for t in range(most)])


def _bit_planes(v: Tensor) -> Tensor:
    code = v.clamp(0, 7).int()
    return torch.cat([((code >> bit) & 1).float() for bit in range(3)])


def _bits_by_remainder(v: Tensor) -> Tensor:
    code, planes = v.clamp(0, 7).floor(), []
    for _ in range(3):
        planes.append(code % 2)
        code = torch.div(code, 2, rounding_mode="floor")
    return torch.cat(planes)


def _pact(v: Tensor, top: float = 4.0) -> Tensor:
    clipped = 0.5 * (v.abs() - (v - top).abs() + top)
    return torch.round(clipped)


def _learned_step(v: Tensor) -> Tensor:
    """LSQ."""
    scaled = (v / THETA).clamp(0, 7)
    return ((scaled.round() - scaled).detach() + scaled) * THETA


EDGES = torch.tensor([0.0, 1.0, 2.0, 4.0])

_group("integer", {
    "round of clamp": lambda v: torch.round(torch.clamp(v, 0, 4)),
    "clamp of round": lambda v: torch.clamp(torch.round(v), 0, 4),
    "floor of clamp": lambda v: v.clamp(0, 4).floor(),
    "clamp of floor": lambda v: v.floor().clamp(0, 4),
    "ceil of clamp": lambda v: torch.ceil(v.clamp(0, 3)),
    "trunc, signed": lambda v: torch.trunc(v.clamp(-3, 3)),
    "fix": lambda v: v.clamp(-3, 3).fix(),
    "round of relu6": lambda v: F.relu6(v).round(),
    "relu6 of round": lambda v: F.relu6(v.round()),
    "round of hardtanh": lambda v: torch.round(F.hardtanh(v, 0.0, 4.0)),
    "round of relu, no bound": lambda v: torch.round(F.relu(v)),
    "floor of clamp_min, no bound": lambda v: v.clamp_min(0).floor(),
    "round in place": lambda v: v.clamp_(0, 4).round_(),
    "round of minimum": lambda v: torch.minimum(F.relu(v).round(), torch.tensor(4.0)),
    "floor and a half": lambda v: torch.floor(v.clamp(0, 4) + 0.5),
    "div to the floor": lambda v: torch.div(v.clamp(0, 4), 1.0, rounding_mode="floor"),
    "div to zero": lambda v: torch.div(v.clamp(-2, 2), 0.5, rounding_mode="trunc"),
    "floor division": lambda v: v.clamp(min=0) // 1,
    "floor division, clamped after": lambda v: (v.clamp(min=0) // 0.25).clamp(max=8),
    "spikes times their number": lambda v: (v > 1) * torch.div(v, 1.0, rounding_mode="trunc").clamp(max=5),
    "value minus remainder": lambda v: v.clamp(0, 4) - v.clamp(0, 4) % 1,
    "value minus fraction": lambda v: v.clamp(0, 4) - v.clamp(0, 4).frac(),
    "an autograd function": MultiSpike.apply,
    "thresholds passed, added": lambda v: (v > 0).float() + (v > 1).float() + (v > 2).float(),
    "thresholds passed, summed": lambda v: (v.unsqueeze(-1) > EDGES).sum(-1).float(),
    "bucketize": lambda v: torch.bucketize(v, EDGES).float(),
    "searchsorted": lambda v: torch.searchsorted(EDGES, v).to(v.dtype),
    "clipped by sizes": _pact,
    "round, straight through": lambda v: v + (v.clamp(0, 4).round() - v).detach(),
    "positive minus negative": lambda v: v.clamp(0, 3).round() - (-v).clamp(0, 2).round(),
}, levels(1))  # fmt: skip
_group("integer", {
    "divided by its levels": lambda v: torch.round(torch.clamp(v, 0, 4)) / 4,
    "scaled, rounded, divided": lambda v: torch.round(torch.clamp(v * 2, 0, 4)) / 4,
    "an autograd function, divided": lambda v: MultiSpike.apply(v) / 4,
    "rounded to quarters": lambda v: torch.round(v.clamp(0, 1) * 4) / 4,
    "fake quantiser": lambda v: torch.fake_quantize_per_tensor_affine(v, 0.25, 0, 0, 15),
    "fake quantiser with a zero point": lambda v: torch.fake_quantize_per_tensor_affine(v, 0.25, 8, 0, 15),
}, levels(0.25))  # fmt: skip
_group("integer", {
    "times a threshold": lambda v: torch.floor(torch.clamp(v / 0.75, 0, 4)) * 0.75,
    "times a learned threshold": lambda v: torch.floor(torch.clamp(v / THETA, 0, 4)) * THETA,
    "a learned step": _learned_step,
}, levels(0.75))  # fmt: skip
_group("integer", {
    "quantised clip-floor-shift": _qcfs,
    "floor of the level, divided": lambda v: torch.floor(v * 4 / 2 + 0.5).clamp(0, 4) / 4 * 2,
}, levels(0.5))  # fmt: skip
_group("integer", {"rounded to a decimal": lambda v: v.clamp(0, 2).round(decimals=1)}, levels(0.1))
_group("integer", {"two bits": lambda v: torch.round(v.clamp(0, 1) * 3) / 3}, levels(1 / 3))
_group("integer", {
    "unrolled to binary steps": _expanded,
    "bit planes by shifting": _bit_planes,
    "bit planes by remainders": _bits_by_remainder,
    "round of a sigmoid": lambda v: torch.round(torch.sigmoid(v)),
    "round of clamp to one": lambda v: v.clamp(0, 1).round(),
    "floor of clamp to one": lambda v: (v + 0.5).clamp(0, 1).floor(),
})  # fmt: skip
_group("integer", {
    "thermometer of thresholds": lambda v: (v.unsqueeze(-1) > EDGES[:3]).float().flatten(1),
}, width=48)  # fmt: skip

# -- selections: the largest, ranks, counts -------------------------------------------------------------------------


def _inhibition(v: Tensor) -> Tensor:
    """snntorch: only the largest may fire."""
    fired, index = (v > 0).float(), v.argmax(1)
    out = torch.zeros_like(fired)
    for i in range(len(v)):
        out[i][index[i]] = fired[i][index[i]]
    return out


def _sorted_threshold(v: Tensor) -> Tensor:
    ordered, _ = torch.sort(v, dim=1, descending=True)
    return (v >= ordered[:, 3:4]).to(v.dtype)


def _scatter_ones(v: Tensor) -> Tensor:
    index = v.topk(3, 1).indices
    return torch.zeros_like(v).scatter_(1, index, torch.ones_like(index, dtype=v.dtype))


def _codes(v: Tensor) -> Tensor:
    """Where the most frequent of the rounded values stands."""
    _, inverse, counts = v.round().unique(return_inverse=True, return_counts=True)
    return (inverse == counts.argmax()).float()


_group("selection", {
    "k largest, scatter": lambda v: torch.zeros_like(v).scatter(1, v.topk(3, 1).indices, 1.0),
    "k largest, scatter of ones": _scatter_ones,
    "k largest, threshold": lambda v: (v >= v.topk(3, 1).values[:, -1:]).float(),
    "k largest, one_hot": lambda v: F.one_hot(v.topk(3, 1).indices, 16).sum(1).float(),
    "k largest, min of topk": lambda v: torch.ge(v, v.topk(3, 1)[0].min(1, keepdim=True)[0]).float(),
    "kthvalue": lambda v: (v >= v.kthvalue(13, 1, keepdim=True).values).float(),
    "sorted threshold": _sorted_threshold,
    "largest, one_hot": lambda v: F.one_hot(v.argmax(-1), v.shape[-1]).float(),
    "largest, scatter": lambda v: torch.zeros_like(v).scatter_(1, v.argmax(1, keepdim=True), 1),
    "largest, rows of eye": lambda v: torch.eye(16)[v.argmax(1)],
    "largest, compared": lambda v: (v == v.max(1, keepdim=True).values).float(),
    "largest, amax": lambda v: v.eq(v.amax(1, keepdim=True)).to(v.dtype),
    "largest only where it fires": _inhibition,
    "the first ranks": lambda v: (v.argsort(1, descending=True).argsort(1) < 3).float(),
    "the most frequent code": _codes,
    "largest of a distribution": lambda v: F.one_hot(v.softmax(-1).argmax(-1), 16).to(torch.float32),
    "in the order of potentials": lambda v: _fired(v).gather(1, v.topk(16, 1).indices),
})  # fmt: skip
_group("selection", {
    "rank order": lambda v: v.argsort(1).argsort(1).float(),
    "rank order by scatter": lambda v: torch.zeros_like(v).scatter_(
        1, v.argsort(1), torch.arange(16.0).expand(len(v), 16)
    ),
}, levels(1))  # fmt: skip
_group("selection", {
    "one_hot of levels": lambda v: F.one_hot(v.clamp(0, 3).long(), 4).flatten(1).float(),
}, width=64)  # fmt: skip

# -- noise -------------------------------------------------------------------------------------------------------


def _multinomial(v: Tensor) -> Tensor:
    return torch.zeros_like(v).scatter_(1, torch.multinomial(v.softmax(1), 3), 1.0)


def _numpy_noise(v: Tensor) -> Tensor:
    return torch.from_numpy((np.random.rand(*v.shape) < 0.4).astype(np.float32))


def _python_noise(v: Tensor) -> Tensor:
    return torch.tensor([[float(random.random() < 0.4) for _ in row] for row in v])


_group("random", {
    "rand below a constant": lambda v: (torch.rand(v.shape) < 0.4).float(),
    "rand_like below the rate": lambda v: (torch.rand_like(v) < v.sigmoid()).float(),
    "rate above rand": lambda v: torch.sigmoid(v).gt(torch.rand(v.shape)).to(v),
    "bernoulli": lambda v: torch.bernoulli(v.sigmoid()),
    "bernoulli, method": lambda v: v.clamp(0, 1).bernoulli(),
    "bernoulli in place": lambda v: torch.empty_like(v).bernoulli_(0.3),
    "a distribution's sample": lambda v: torch.distributions.Bernoulli(logits=v).sample(),
    "noise on the potential": lambda v: (v + torch.randn_like(v) > 0).float(),
    "a uniform threshold": lambda v: (v > torch.empty_like(v).uniform_(-1, 1)).float(),
    "multinomial": _multinomial,
    "the first of a race": lambda v: F.one_hot((torch.empty_like(v).exponential_() / v.exp()).argmin(1), 16).float(),
    "gumbel, hard": lambda v: F.gumbel_softmax(v, hard=True),
    "randint of two": lambda v: torch.randint(0, 2, v.shape).float(),
    "dropout of spikes": lambda v: F.dropout(_fired(v), 0.3, training=True),
    "a mask that drops": lambda v: _fired(v) * (torch.rand_like(v) > 0.5),
    "a mask that drops and scales": lambda v: _fired(v) * torch.bernoulli(torch.full_like(v, 0.5)) / 0.5,
    "a random permutation": lambda v: _fired(v)[:, torch.randperm(16)],
    "jitter by rolling": lambda v: torch.roll(_fired(v), int(torch.randint(0, 4, ())), 1),
})  # fmt: skip
_group("random", {
    "NumPy's noise": _numpy_noise,
    "Python's noise": _python_noise,
}, seeded=False)  # fmt: skip
_group("random", {
    "poisson": lambda v: torch.poisson(v.clamp(0, 3)),
    "binomial": lambda v: torch.binomial(torch.full_like(v, 4.0), v.sigmoid()),
    "bernoulli over steps, summed": lambda v: torch.bernoulli(v.sigmoid().expand(4, *v.shape)).sum(0),
    "stochastic rounding": lambda v: torch.floor(v.clamp(0, 3) + torch.rand_like(v)),
}, levels(1))  # fmt: skip
_group("random", {
    "bernoulli over steps, averaged": lambda v: torch.bernoulli(v.sigmoid().repeat(4, 1, 1)).mean(0),
}, levels(0.25))  # fmt: skip

# -- autograd functions --------------------------------------------------------------------------------------------


class SuperSpike(torch.autograd.Function):
    """SpyTorch, stork."""

    scale = 10.0

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        out = torch.zeros_like(v)
        out[v > 0] = 1.0
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (v,) = ctx.saved_tensors
        return grads[0] / (SuperSpike.scale * torch.abs(v) + 1.0) ** 2


class Boxcar(torch.autograd.Function):
    """sparch, EMS-YOLO."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, threshold: float = 0.5) -> Tensor:
        ctx.save_for_backward(v)
        ctx.threshold = threshold
        return v.gt(threshold).float()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (v,) = ctx.saved_tensors
        return grads[0] * (abs(v - ctx.threshold) < 0.5), None


class Triangle(torch.autograd.Function):
    """Temporal efficient training: the width travels along as a tensor."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, width: float) -> Tensor:
        out = (v > 0).float()
        ctx.save_for_backward(v, out, torch.tensor([width]))
        return out


class TwoResults(torch.autograd.Function):
    """Spikes and the potential after the reset."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> tuple[Tensor, Tensor]:
        fired = torch.ge(v, 1.0)
        return fired.to(v), v.masked_fill(fired, 0.0)


class Apart(torch.autograd.Function):
    """With a context of its own, as torch.func wants it."""

    @staticmethod
    def forward(v: Tensor) -> Tensor:
        return torch.heaviside(v, v.new_zeros(()))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)


class Dirty(torch.autograd.Function):
    """In the memory of its operand."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        ctx.mark_dirty(v)
        return v.sub_(0.5).sign_().clamp_(min=0)


class Nested(torch.autograd.Function):
    """One function in another's body."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        return SuperSpike.apply(v - 0.5) * 0.37


class Ternary(torch.autograd.Function):
    """Two thresholds, written by two masks."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        up, down = v >= 1.0, v <= -1.0
        out = v.clone().zero_()
        out.masked_fill_(up, 1.0)
        out.masked_fill_(down, -1.0)
        return out


@torch.jit.script
def _scripted(v: Tensor) -> Tensor:
    return (v >= 0.5).to(v.dtype)


_group("autograd function", {
    "zeros and a mask": SuperSpike.apply,
    "with a threshold": Boxcar.apply,
    "of a potential above its threshold": lambda v: Boxcar.apply(v - 1.0, 0.0),
    "with constants saved": lambda v: Triangle.apply(v - 0.5, 1.0),
    "with two results": lambda v: TwoResults.apply(v)[0],
    "with a context apart": Apart.apply,
    "in its operand's memory": Dirty.apply,
    "in another function": Nested.apply,
    "with three values": Ternary.apply,
    "a scripted function": _scripted,
    "under no_grad in a forward": torch.no_grad()(lambda v: (v > 0).float()),
    "mapped over the batch": torch.vmap(lambda row: (row > 0).float()),
    "mapped over both axes": torch.vmap(torch.vmap(lambda x: torch.where(x > 0, 1.0, 0.0))),
})  # fmt: skip

# -- straight-through forms ------------------------------------------------------------------------------------------


def _hard_first(v: Tensor) -> Tensor:
    hard, soft = (v > 0).float(), torch.sigmoid(v)
    return hard + soft - soft.detach()


def _difference_first(v: Tensor) -> Tensor:
    soft = torch.sigmoid(4 * v)
    hard = (soft > 0.5).float()
    return (hard - soft).detach() + soft


def _soft_first(v: Tensor) -> Tensor:
    soft = torch.tanh(v)
    return soft + ((v > 0).float() - soft).detach()


def _detached_first(v: Tensor) -> Tensor:
    hard, soft = (v > 0).float(), v.sigmoid()
    return hard.detach() - soft.detach() + soft


def _by_data(v: Tensor) -> Tensor:
    hard, soft = (v > 0).float(), v.sigmoid()
    return soft - soft.data + hard.data


def _factor(v: Tensor, factor: float = 2.5) -> Tensor:
    hard = (v > 0).float()
    return hard.detach() + factor * hard - factor * hard.detach()


def _soft_factor(v: Tensor, factor: float = 0.3) -> Tensor:
    hard, soft = (v > 0).float(), v.sigmoid()
    return hard + factor * soft - (factor * soft).detach()


def _equal_factors(v: Tensor) -> Tensor:
    hard, soft = (v > 0).float(), v.sigmoid()
    return 0.3 * soft + hard - 0.3 * soft.detach()


def _of_clamp(v: Tensor) -> Tensor:
    soft = v.clamp(0, 1)
    return soft + ((v > 0.5).float() - soft).detach()


def _of_sign(v: Tensor) -> Tensor:
    soft = F.hardtanh(v)
    return soft.add((torch.sign(v) - soft).detach())


def _in_place(v: Tensor) -> Tensor:
    soft = v.sigmoid()
    out = (soft > 0.6).float()
    out -= soft.detach()
    out += soft
    return out


def _without_grad(v: Tensor) -> Tensor:
    soft = v.sigmoid()
    with torch.no_grad():
        change = torch.where(v > 0, 1.0, 0.0) - soft
    return soft + change


def _amplitude(v: Tensor) -> Tensor:
    soft = v.tanh()
    return (0.37 * (v > 0).float() - soft).detach() + soft


def _data_swapped(v: Tensor) -> Tensor:
    out = torch.sigmoid(v)
    out.data = (v > 0).float()
    return out


def _data_copied(v: Tensor) -> Tensor:
    out = torch.sigmoid(v)
    out.data.copy_((v > 0).float())
    return out


def _multiplied_by_one(v: Tensor) -> Tensor:
    soft = torch.tanh(v)
    return (v > 0).float() * (1 + soft - soft.detach())


_group("straight through", {
    "hard plus soft minus soft": _hard_first,
    "hard minus soft, plus soft": _difference_first,
    "soft plus a detached difference": _soft_first,
    "detached first": _detached_first,
    "by .data": _by_data,
    "with a factor": _factor,
    "with a factor on the soft part": _soft_factor,
    "with equal factors apart": _equal_factors,
    "of clamp": _of_clamp,
    "of sign": _of_sign,
    "in place": _in_place,
    "under no_grad": _without_grad,
    "an amplitude": _amplitude,
    "data swapped": _data_swapped,
    "data copied": _data_copied,
    "times one plus a cancelled sum": _multiplied_by_one,
    "soft part computed twice": lambda v: (v > 0).float() + v.sigmoid() - v.sigmoid().detach(),
    "lerp to the end": lambda v: torch.lerp(v.sigmoid(), (v > 0).float(), 1.0),
})  # fmt: skip

# -- NumPy, lists and single numbers -------------------------------------------------------------------------------


def _written_in_numpy(v: Tensor) -> Tensor:
    values = v.detach().numpy()
    values[:] = values > 0
    return v


def _number_by_number(v: Tensor) -> Tensor:
    out = torch.zeros(v.shape)
    for i in range(v.shape[0]):
        for j in range(v.shape[1]):
            if v[i, j].item() > 0:
                out[i, j] = 1.0
    return out


def _listed_places(v: Tensor) -> Tensor:
    out = torch.zeros_like(v)
    for i, j in (v > 0).nonzero().tolist():
        out[i][j] = 1
    return out


def _ones_or_zeros(v: Tensor) -> Tensor:
    return torch.stack([torch.ones(16) if row.mean() > 0 else torch.zeros(16).index_fill_(0, row.argmax(), 1.0)
                        for row in v])  # fmt: skip


def _packed(v: Tensor) -> Tensor:
    bits = np.packbits(v.numpy() > 0, axis=1)
    return torch.from_numpy(np.unpackbits(bits, axis=1)).float()


def _saved_and_loaded(v: Tensor) -> Tensor:
    file = io.BytesIO()
    torch.save((v > 0).float(), file)
    file.seek(0)
    return torch.load(file)


_group("numpy and lists", {
    "from_numpy": lambda v: torch.from_numpy((v.detach().cpu().numpy() > 0).astype(np.float32)),
    "np.where": lambda v: torch.as_tensor(np.where(v.numpy() > 0, 1.0, 0.0), dtype=torch.float32),
    "np.heaviside": lambda v: torch.tensor(np.heaviside(v.numpy(), 0)),
    "np.sign": lambda v: torch.from_numpy(np.sign(v.numpy())),
    "through NumPy unchanged": lambda v: torch.from_numpy((v > 0).float().numpy()),
    "NumPy, then a threshold": lambda v: (torch.from_numpy(v.numpy().copy()) > 0).float(),
    "written in NumPy": _written_in_numpy,
    "packed bits": _packed,
    "a list of lists": lambda v: torch.tensor([[1.0 if x > 0 else 0.0 for x in row] for row in v.tolist()]),
    "a list of rows": lambda v: torch.stack([(row > 0).float() for row in v]),
    "a flat list of tensors": lambda v: torch.stack([(x > 0).float() for x in v.flatten()]).view(-1, 16),
    "number by number": _number_by_number,
    "places from a list": _listed_places,
    "rows chosen in Python": _ones_or_zeros,
    "a buffer of bytes": lambda v: torch.frombuffer(bytearray((v > 0).byte().numpy().tobytes()), dtype=torch.uint8)
    .view(-1, 16).float(),
    "dlpack": lambda v: torch.from_dlpack((v > 0).float()),
    "a deep copy": lambda v: copy.deepcopy((v > 0).float()),
    "saved and loaded": _saved_and_loaded,
})  # fmt: skip
_group("numpy and lists", {
    "np.digitize": lambda v: torch.from_numpy(np.digitize(v.numpy(), [0.0, 1.0, 2.0]).astype(np.float32)),
    "np.clip and np.round": lambda v: torch.from_numpy(np.round(np.clip(v.numpy(), 0, 4))),
}, levels(1))  # fmt: skip

# -- state inside one call -----------------------------------------------------------------------------------------

STEPS = 4


def _charge(mem: Any, v: Tensor) -> Any:
    return mem + (v - mem) / 2


@_idiom("a local potential, stacked", "state in one call")
def _(v: Tensor) -> Tensor:
    mem, out = torch.zeros_like(v), []
    for _ in range(STEPS):
        mem = _charge(mem, v)
        out.append((mem > 1.0).float())
        mem = mem * (1 - out[-1])
    return torch.stack(out).flatten(0, 1)


@_idiom("a potential that starts as a number", "state in one call")
def _(v: Tensor) -> Tensor:
    mem: Any = 0.0
    out = []
    for _ in range(STEPS):
        mem = _charge(mem, v)
        out.append(mem.gt(1.0).to(v))
        mem = mem - out[-1]
    return torch.cat(out)


@_idiom("written into a tensor step by step", "state in one call")
def _(v: Tensor) -> Tensor:
    """EMS-YOLO."""
    out, mem, fired = torch.zeros(STEPS, *v.shape), torch.zeros_like(v), torch.zeros_like(v)
    for step in range(STEPS):
        mem = mem * 0.25 * (1 - fired.detach()) + v if step >= 1 else v
        fired = Boxcar.apply(mem)
        out[step] = fired
    return out.flatten(0, 1)


@_idiom("potentials in a list", "state in one call")
def _(v: Tensor) -> Tensor:
    mems, out = [torch.zeros_like(v)], []
    for _ in range(STEPS):
        mems.append(_charge(mems[-1], v))
        out.append((mems[-1] > 1.0).float())
        mems[-1] = mems[-1] - out[-1] * 1.0
    return torch.cat(out)


@_idiom("a dict of state", "state in one call")
def _(v: Tensor) -> Tensor:
    state, out = {"v": torch.zeros_like(v), "z": torch.zeros_like(v)}, []
    for _ in range(STEPS):
        state["v"] = _charge(state["v"], v) * (1 - state["z"])
        state["z"] = torch.heaviside(state["v"] - 1.0, torch.zeros(()))
        out.append(state["z"])
    return torch.stack(out, 0).view(-1, 16)


@_idiom("an object of state", "state in one call")
def _(v: Tensor) -> Tensor:
    state, out = SimpleNamespace(mem=torch.zeros_like(v), spk=torch.zeros_like(v)), []
    for _ in range(STEPS):
        state.mem = 0.9 * state.mem + v - state.spk.detach() * 1.0
        state.spk = SuperSpike.apply(state.mem - 1.0)
        out.append(state.spk)
    return torch.cat(out)


class LIFState(NamedTuple):
    """norse."""

    z: Tensor
    v: Tensor
    i: Tensor


@_idiom("a named tuple of state", "state in one call")
def _(v: Tensor) -> Tensor:
    state, out = LIFState(*(torch.zeros_like(v) for _ in range(3))), []
    for _ in range(STEPS):
        decayed = state.v + 0.1 * (state.i - state.v)
        z = torch.gt(decayed - 0.1, torch.as_tensor(0.0)).to(v.dtype)
        state = LIFState(z, (1 - z.detach()) * decayed, 0.8 * state.i + v)
        out.append(state.z)
    return torch.cat(out)


@_idiom("a generator of steps", "state in one call")
def _(v: Tensor) -> Tensor:
    def steps() -> Iterator[Tensor]:
        mem = torch.zeros_like(v)
        for _ in range(STEPS):
            mem = _charge(mem, v)
            fired = mem >= 1.0
            yield fired.float()
            mem = mem.masked_fill(fired, 0.0)

    return torch.cat(list(steps()))


@_idiom("reset by a mask, in place", "state in one call")
def _(v: Tensor) -> Tensor:
    mem, out = torch.zeros_like(v), []
    for _ in range(STEPS):
        mem.mul_(0.5).add_(v)
        fired = mem > 1.0
        mem[fired] = 0.0
        out.append(fired)
    return torch.stack(out).flatten(0, 1).float()


@_idiom("state that starts as noise", "state in one call")
def _(v: Tensor) -> Tensor:
    """sparch."""
    mem, fired, out = torch.rand(v.shape), torch.rand(v.shape), []
    for _ in range(STEPS):
        mem = 0.9 * (mem - fired) + 0.1 * v
        fired = Boxcar.apply(mem - 1.0, -0.5)
        out.append(fired)
    return torch.cat(out)


@_idiom("a threshold that adapts", "state in one call")
def _(v: Tensor) -> Tensor:
    mem, threshold, out = torch.zeros_like(v), torch.ones_like(v), []
    for _ in range(STEPS):
        mem = _charge(mem, v)
        fired = (mem > threshold).float()
        mem, threshold = mem - fired * threshold, threshold * 0.9 + fired * 0.5 + 0.1
        out.append(fired)
    return torch.cat(out)


@_idiom("a refractory period", "state in one call")
def _(v: Tensor) -> Tensor:
    mem, rest, out = torch.zeros_like(v), torch.zeros(v.shape, dtype=torch.int), []
    for _ in range(STEPS):
        mem = torch.where(rest > 0, mem, _charge(mem, v))
        fired = (mem > 1.0) & (rest == 0)
        rest = torch.where(fired, 2, (rest - 1).clamp(min=0))
        mem = torch.where(fired, torch.zeros_like(mem), mem)
        out.append(fired.float())
    return torch.cat(out)


@_idiom("a quadratic neuron with recovery", "state in one call")
def _(v: Tensor) -> Tensor:
    """Izhikevich."""
    mem, u, out = torch.full_like(v, -65.0), torch.full_like(v, -13.0), []
    for _ in range(STEPS):
        mem = mem + 0.04 * mem**2 + 5 * mem + 140 - u + 30 * v
        fired = (mem >= 30).float()
        mem, u = mem * (1 - fired) - 65 * fired, u + 0.02 * (0.2 * mem - u) + 8 * fired
        out.append(fired)
    return torch.cat(out)


@_idiom("only the first spike", "state in one call")
def _(v: Tensor) -> Tensor:
    mem, done, out = torch.zeros_like(v), torch.zeros_like(v), []
    for _ in range(STEPS):
        mem = _charge(mem, v)
        fired = (mem > 1.0).float() * (1 - done)
        done = torch.clamp(done + fired, max=1)
        out.append(fired)
    return torch.cat(out)


@_idiom("spikes of the size of the threshold, averaged", "state in one call", levels(0.75 / STEPS))
def _(v: Tensor) -> Tensor:
    """A converted network."""
    mem, total = torch.full_like(v, 0.375), torch.zeros_like(v)
    for _ in range(STEPS):
        mem = mem + v
        fired = (mem >= 0.75).float() * 0.75
        mem = mem - fired
        total = total + fired
    return total / STEPS


@_idiom("counted over the steps", "state in one call", levels(1))
def _(v: Tensor) -> Tensor:
    mem, count = torch.zeros_like(v), torch.zeros_like(v)
    for _ in range(STEPS):
        mem = _charge(mem, v)
        fired = (mem > 0.9).float()
        mem = mem - fired
        count += fired
    return count


@_idiom("averaged over the steps", "state in one call", levels(1 / STEPS))
def _(v: Tensor) -> Tensor:
    mem, out = torch.zeros_like(v), []
    for _ in range(STEPS):
        mem = _charge(mem, v)
        out.append((mem > 0.9).float())
        mem = mem * (1 - out[-1])
    return torch.stack(out).mean(0)


@_idiom("bursts that double", "state in one call", levels(1))
def _(v: Tensor) -> Tensor:
    mem, size, out = torch.zeros_like(v), torch.ones_like(v), []
    for _ in range(3):
        mem = mem + v
        fired = (mem >= size).float()
        mem = mem - fired * size
        out.append(fired * size)
        size = torch.where(fired > 0, size * 2, torch.ones_like(size))
    return torch.cat(out)


@_idiom("sigma-delta, signed", "state in one call")
def _(v: Tensor) -> Tensor:
    error, out = torch.zeros_like(v), []
    for _ in range(STEPS):
        error = error + v / 4
        fired = (error > 0.5).float() - (error < -0.5).float()
        error = error - fired
        out.append(fired)
    return torch.cat(out)


# -- state from call to call ---------------------------------------------------------------------------------------


class Reads(nn.Module):
    """A leaky neuron; its children say where the potential is kept between calls."""

    def step(self, mem: Any, v: Tensor) -> tuple[Any, Tensor]:
        mem = _charge(mem, v)
        fired = (mem > 1.0).float()
        return mem * (1 - fired), fired


@_idiom("an attribute that starts as a number", "state between calls", steps=3)
class NumberFirst(Reads):
    def __init__(self) -> None:
        super().__init__()
        self.v: Any = 0.0

    def forward(self, v: Tensor) -> Tensor:
        self.v, fired = self.step(self.v, v)
        return fired


@_idiom("an attribute that starts as None", "state between calls", steps=3)
class NoneFirst(Reads):
    def __init__(self) -> None:
        super().__init__()
        self.mem: Tensor | None = None

    def forward(self, v: Tensor) -> Tensor:
        if self.mem is None or self.mem.shape != v.shape:
            self.mem = torch.zeros_like(v)
        self.mem, fired = self.step(self.mem, v)
        return fired


@_idiom("an attribute that is made on the first call", "state between calls", steps=3)
class MadeLater(Reads):
    def forward(self, v: Tensor) -> Tensor:
        if not hasattr(self, "mem") or self.mem.shape != v.shape:
            self.mem: Any = torch.zeros_like(v)
        self.mem, fired = self.step(self.mem, v)
        return fired


@_idiom("a list", "state between calls", steps=3)
class InList(Reads):
    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Any] = [0.0]

    def forward(self, v: Tensor) -> Tensor:
        self.kept[0], fired = self.step(self.kept[0], v)
        return fired


@_idiom("a dict", "state between calls", steps=3)
class InDict(Reads):
    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Any] = {}

    def forward(self, v: Tensor) -> Tensor:
        self.kept["mem"], fired = self.step(self.kept.get("mem", 0.0), v)
        return fired


@_idiom("an object", "state between calls", steps=3)
class InObject(Reads):
    def __init__(self) -> None:
        super().__init__()
        self.kept = SimpleNamespace(mem=0.0)

    def forward(self, v: Tensor) -> Tensor:
        self.kept.mem, fired = self.step(self.kept.mem, v)
        return fired


@_idiom("a queue of late spikes", "state between calls", steps=3)
class Delayed(Reads):
    def __init__(self) -> None:
        super().__init__()
        self.queue: collections.deque[Tensor] = collections.deque()

    def forward(self, v: Tensor) -> Tensor:
        self.queue.append((v > 0.5).float())
        return self.queue.popleft() if len(self.queue) > 1 else torch.zeros_like(v)


@_idiom("a buffer that is replaced", "state between calls", steps=3)
class InBuffer(Reads):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mem", torch.zeros(()))
        self.mem: Tensor

    def forward(self, v: Tensor) -> Tensor:
        self.mem, fired = self.step(self.mem, v)
        return fired


@_idiom("a buffer that is written, for each neuron", "state between calls", steps=3)
class Shared(nn.Module):
    """BindsNET: one threshold a neuron, for the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.ones(16))
        self.threshold: Tensor

    def forward(self, v: Tensor) -> Tensor:
        fired = v > self.threshold
        self.threshold.mul_(0.9).add_(fired.float().mean(0))
        return fired.float()


@_idiom("a spike that forbids the next", "state between calls", steps=3)
class Refractory(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last: Any = 0.0

    def forward(self, v: Tensor) -> Tensor:
        self.last = (v > 0.5).float() * (1 - self.last)
        return self.last


@_idiom("a child that fires", "state between calls", steps=3)
class Parent(nn.Module):
    class Surrogate(nn.Module):
        def forward(self, v: Tensor) -> Tensor:
            return (v >= 0).float()

    def __init__(self) -> None:
        super().__init__()
        self.surrogate, self.v = Parent.Surrogate(), 0.0

    def reset(self) -> None:
        self.v = 0.0

    def forward(self, v: Tensor) -> Tensor:
        self.v = self.v + (v - self.v) / 2
        fired: Tensor = self.surrogate(self.v - 0.6)
        self.v = self.v * (1 - fired)
        return fired


@_idiom("changes since the last call", "state between calls", steps=3)
class Delta(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last: Any = None

    def forward(self, v: Tensor) -> Tensor:
        now = (v > 0.5).float()
        changed = now - self.last if self.last is not None else now
        self.last = now
        return changed


# -- neurons that the caller names ---------------------------------------------------------------------------------


def _by_layer(v: Tensor) -> Tensor:
    return (v > THETA).float() * THETA


_group("named neuron", {
    "of amplitude 0.37": lambda v: (v > 0).float() * 0.37,
    "of amplitude 8": lambda v: (v > 0).float() * 8.0,
    "of the size of its threshold": _by_layer,
    "of plus and minus an amplitude": lambda v: torch.sign(v) * (v.abs() > 0.5) * 0.37,
    "of ones": lambda v: (v >= 0.2).to(v),
    "with two results": lambda v: TwoResults.apply(v)[0],
}, neuron=("Fires",))  # fmt: skip
_group("named neuron", {
    "of whole numbers": lambda v: torch.round(torch.clamp(v, 0, 4)),
    "of whole numbers, written in NumPy": lambda v: torch.from_numpy(np.round(np.clip(v.numpy(), 0, 4))),
}, levels(1), neuron=("Fires",))  # fmt: skip
_group("named neuron", {
    "of quarters": lambda v: torch.round(torch.clamp(v, 0, 4)) / 4,
}, levels(0.25), neuron=("Fires",))  # fmt: skip
_group("named neuron", {"of graded values": lambda v: v * (v > 0)}, neuron=("Fires",), real=True)

# -- what spikes do to spikes --------------------------------------------------------------------------------------

_group("logic", {
    "and by product": lambda v: _fired(v) * _others(v),
    "and by minimum": lambda v: torch.minimum(_fired(v), _others(v)),
    "or by maximum": lambda v: torch.maximum(_fired(v), _others(v)),
    "or by a clamped sum": lambda v: (_fired(v) + _others(v)).clamp(max=1),
    "or by probabilities": lambda v: _fired(v) + _others(v) - _fired(v) * _others(v),
    "or of bools": lambda v: (_fired(v).bool() | _others(v).bool()).float(),
    "xor by the size of a difference": lambda v: (_fired(v) - _others(v)).abs(),
    "xor of integers": lambda v: (_fired(v).int() ^ _others(v).int()).float(),
    "and of integers": lambda v: torch.bitwise_and(_fired(v).long(), _others(v).long()).float(),
    "the shortcut IAND": lambda v: _fired(v) * (1 - _others(v)),
    "the shortcut IAND, negated first": lambda v: (1.0 - _fired(v)) * _others(v),
    "not": lambda v: 1 - _fired(v),
    "gated by a token's spikes": lambda v: _fired(v) * (_others(v).sum(1, keepdim=True) > 9).float(),
    "addcmul": lambda v: torch.addcmul(torch.zeros_like(v), _fired(v), _others(v)),
    "lerp": lambda v: torch.lerp(torch.zeros_like(v), torch.ones_like(v), _fired(v)),
    "and with a random mask": lambda v: torch.mul(_fired(v), torch.rand(1, 16) < 0.7),
    "power of spikes": lambda v: _fired(v) ** 2,
    "square of spikes": lambda v: _fired(v).square(),
    "einsum, element by element": lambda v: torch.einsum("bn,bn->bn", _fired(v), _others(v)),
    "changes from place to place": lambda v: F.pad(_fired(v).diff(dim=1), (1, 0)),
    "times a scale and back": lambda v: _fired(v).mul(0.125).div(0.125),
    "times a small number": lambda v: _fired(v) * 1e-3,
    "a majority": lambda v: (_fired(v) + _others(v) + (v > 0).float() >= 2).float(),
})  # fmt: skip
_group("logic", {
    "residual sum": lambda v: _fired(v) + _others(v),
    "residual sum in place": lambda v: _fired(v).add_(_others(v)),
    "residual sum of three": lambda v: sum([_fired(v), _others(v), (v > 0).float()]),
    "add by torch": lambda v: torch.add(_fired(v), _others(v), alpha=2),
    "spikes plus one": lambda v: _fired(v) + 1,
    "sum of a stack": lambda v: torch.stack([_fired(v), _others(v)]).sum(0),
    "integers gated by spikes": lambda v: v.clamp(0, 4).round() * _others(v),
    "square of integers": lambda v: v.clamp(0, 3).round() ** 2,
    "largest of integers and spikes": lambda v: torch.maximum(v.clamp(0, 4).floor(), _others(v)),
    "cumulative sum": lambda v: _fired(v).cumsum(1),
    "addition of spikes scaled by two": lambda v: _fired(v) * 2 + _others(v),
}, levels(1))  # fmt: skip
_group("logic", {
    "half of a residual sum": lambda v: (_fired(v) + _others(v)) / 2,
    "mean of a stack": lambda v: torch.stack([_fired(v), _others(v)]).mean(0),
    "two populations of two sizes": lambda v: _fired(v) * 0.5 + _others(v),
}, levels(0.5))  # fmt: skip

# -- pooling -------------------------------------------------------------------------------------------------------

_group("pool", {
    "average": lambda v: F.avg_pool2d(_grid(v), 2).flatten(1),
    "average by a module": lambda v: nn.AvgPool2d(2)(_grid(v)).flatten(1),
    "adaptive average": lambda v: F.adaptive_avg_pool2d(_grid(v), 2).flatten(1),
    "mean of a view": lambda v: _grid(v).view(-1, 2, 2, 2, 2).mean((2, 4)).flatten(1),
    "average by area": lambda v: F.interpolate(_grid(v), size=2, mode="area").flatten(1),
}, levels(0.25), width=4)  # fmt: skip
_group("pool", {
    "sum by LPPool": lambda v: F.lp_pool2d(_grid(v), 1, 2).flatten(1),
    "sum by divisor": lambda v: F.avg_pool2d(_grid(v), 2, divisor_override=1).flatten(1),
    "average times its area": lambda v: (F.avg_pool2d(_grid(v), 2) * 4).flatten(1),
    "sum of a view": lambda v: _fired(v).view(-1, 4, 4).sum(-1),
    "counted": lambda v: torch.count_nonzero(_fired(v).view(-1, 4, 4), dim=2).float(),
}, levels(1), width=4)  # fmt: skip
_group("pool", {
    "largest": lambda v: F.max_pool2d(_grid(v), 2).flatten(1),
    "adaptive largest": lambda v: F.adaptive_max_pool2d(_grid(v), 2).flatten(1),
    "largest of a view": lambda v: _fired(v).view(-1, 4, 4).amax(-1),
    "every second": lambda v: _grid(v)[..., ::2, ::2].flatten(1),
}, width=4)  # fmt: skip
_group("pool", {
    "global average": lambda v: F.adaptive_avg_pool1d(_fired(v).unsqueeze(1), 1).flatten(1),
}, levels(1 / 16), width=1)  # fmt: skip
_group("pool", {
    "padded average": lambda v: F.avg_pool1d(_fired(v).unsqueeze(1), 3, 1, 1).squeeze(1),
}, levels(1 / 3))  # fmt: skip

# -- rearranged ----------------------------------------------------------------------------------------------------

_group("rearranged", {
    "roll": lambda v: torch.roll(_fired(v), 3, 1),
    "flip": lambda v: _fired(v).flip(1),
    "transposed there and back": lambda v: _fired(v).t().contiguous().t(),
    "chunks in another order": lambda v: torch.cat(_fired(v).chunk(4, 1)[::-1], 1),
    "split and stack": lambda v: torch.stack(_fired(v).split(4, 1), 1).flatten(1),
    "steps by repeat": lambda v: _fired(v).repeat(3, 1),
    "steps by expand": lambda v: _fired(v).expand(3, *v.shape).reshape(-1, 16),
    "steps by stack": lambda v: torch.stack([_fired(v), _others(v)], 1).flatten(0, 1),
    "steps by cat": lambda v: torch.cat([_fired(v), torch.zeros_like(v), _others(v)]),
    "einsum": lambda v: torch.einsum("bn->nb", _fired(v)).t(),
    "interleaved": lambda v: torch.stack([_fired(v)[:, :8], _others(v)[:, 8:]], 2).flatten(1),
    "channels shuffled": lambda v: _fired(v).view(-1, 4, 4).transpose(1, 2).reshape(-1, 16),
    "pixel shuffle": lambda v: F.pixel_shuffle(_fired(v).view(-1, 4, 2, 2), 2).flatten(1),
    "gather": lambda v: _fired(v).gather(1, torch.arange(15, -1, -1).expand(len(v), 16)),
    "index_select": lambda v: _fired(v).index_select(1, torch.tensor([5, 3, 1, 0] * 4)),
    "rows by fancy index": lambda v: _fired(v)[[0, 0, 2, 1]],
    "rolled in place": lambda v: _shifted(v),
    "windows": lambda v: F.pad(_fired(v), (0, 2)).unfold(1, 3, 1)[..., 1].contiguous(),
    "lower triangle": lambda v: _fired(v).tril(),
    "as_strided": lambda v: torch.as_strided(_fired(v), v.shape, (16, 1)),
    "movedim": lambda v: _fired(v).view(-1, 4, 4).movedim(2, 1).flatten(1),
    "rotated": lambda v: torch.rot90(_grid(v), 1, (2, 3)).flatten(1),
    "selected by a mask and put back": lambda v: _put_back(v),
})  # fmt: skip
_group("rearranged", {
    "padded": lambda v: F.pad(_fired(v), (4, 4)),
    "padded by reflection": lambda v: F.pad(_fired(v), (4, 4), mode="reflect"),
    "two populations": lambda v: torch.cat([_fired(v)[:, :12], _others(v)[:, :12]], 1),
    "on and off": lambda v: torch.stack([v > 1, v < -1], 1).flatten(1).float()[:, 4:28],
}, width=24)  # fmt: skip
_group("rearranged", {
    "nearest upsampling": lambda v: F.interpolate(_fired(v).unsqueeze(1), scale_factor=2).flatten(1),
    "repeat_interleave": lambda v: _fired(v).repeat_interleave(2, 1),
    "tile": lambda v: torch.tile(_fired(v), (1, 2)),
    "concatenated with amplitudes": lambda v: torch.cat([_fired(v) * 0.5, _others(v) * 0.5], 1),
}, width=32)  # fmt: skip
_group("rearranged", {
    "patches by im2col": lambda v: F.unfold(_grid(v), 2, stride=2).transpose(1, 2).flatten(0, 1),
}, width=4)  # fmt: skip


def _shifted(v: Tensor) -> Tensor:
    """TSM: some channels come from the sample before."""
    spikes = _fired(v)
    out = torch.zeros_like(spikes)
    out[1:, :4] = spikes[:-1, :4]
    out[:, 4:] = spikes[:, 4:]
    return out


def _put_back(v: Tensor) -> Tensor:
    spikes, mask = _fired(v), torch.arange(16).expand(len(v), 16) % 3 > 0
    out = torch.zeros_like(spikes)
    out[mask] = spikes[mask]
    return out


# -- times of spikes -----------------------------------------------------------------------------------------------


def _latency(v: Tensor) -> Tensor:
    """The stronger, the earlier: one spike in four steps."""
    when = ((1 - v.clamp(0, 1)) * 3).round().long()
    return F.one_hot(when, 4).permute(2, 0, 1).flatten(0, 1).float()


def _first_of(v: Tensor) -> Tensor:
    fired = torch.stack([v > 3, v > 2, v > 1, v > 0]).float()
    return (fired * (fired.cumsum(0) == 1)).flatten(0, 1)


def _first_by_argmax(v: Tensor) -> Tensor:
    fired = torch.stack([v > 3, v > 2, v > 1, v > 0]).int()
    first = torch.zeros(fired.shape).scatter_(0, fired.argmax(0, keepdim=True), 1.0)
    return (first * fired.any(0)).flatten(0, 1)


def _last_minus(v: Tensor) -> Tensor:
    """A delta code between two frames."""
    frames = torch.stack([v, v.roll(1, 1), v.roll(2, 1)])
    change = frames[1:] - frames[:-1]
    return (torch.sign(change) * (change.abs() > 2.0)).flatten(0, 1)


def _phase(v: Tensor) -> Tensor:
    """Bits of a code, each with the weight of its step: one spike a step, folded into that step's weights."""
    code = v.clamp(0, 7).floor()
    high = (code >= 4).float()
    low = (code - 4 * high >= 2).float()
    return torch.cat([high, low])


_group("time code", {
    "latency by one_hot": _latency,
    "first spike by cumsum": _first_of,
    "first spike by argmax": _first_by_argmax,
    "delta between frames": _last_minus,
    "phases": _phase,
    "step by step against a ramp": lambda v: torch.cat([(v > t).float() - (v > t + 1).float() for t in range(3)]),
})  # fmt: skip
_group("time code", {
    "delta of rounded values": lambda v: (v / 2).round().diff(dim=1, prepend=torch.zeros(len(v), 1)),
    "spikes so far": lambda v: torch.stack([v > 2, v > 1, v > 0]).float().cumsum(0).flatten(0, 1),
}, levels(1))  # fmt: skip

# -- event frames, graphs, tables ----------------------------------------------------------------------------------


def _events(v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sample, place and polarity of the events that potentials stand for; neighbours share a place."""
    rows, columns = (v.abs() > 1).nonzero(as_tuple=True)
    return rows, columns // 2, (v[rows, columns] > 0).long()


def _put_events(v: Tensor) -> Tensor:
    rows, places, _ = _events(v)
    frame = torch.zeros(len(v), 8)
    return frame.index_put_((rows, places), torch.ones(len(rows)), accumulate=True)


def _added_events(v: Tensor) -> Tensor:
    rows, places, _ = _events(v)
    frame = torch.zeros(len(v) * 8).index_add_(0, rows * 8 + places, torch.ones(len(rows)))
    return frame.view(-1, 8)


def _scattered_events(v: Tensor) -> Tensor:
    rows, places, _ = _events(v)
    return torch.zeros(len(v) * 8).scatter_add_(0, rows * 8 + places, torch.ones(len(rows))).view(-1, 8)


def _counted_events(v: Tensor) -> Tensor:
    rows, places, _ = _events(v)
    return torch.bincount(rows * 8 + places, minlength=len(v) * 8).view(-1, 8).float()


def _histogram_of_events(v: Tensor) -> Tensor:
    rows, places, _ = _events(v)
    return torch.stack([torch.histc(places[rows == i].float(), 8, -0.5, 7.5) for i in range(len(v))])


def _numpy_events(v: Tensor) -> Tensor:
    rows, places, _ = (part.numpy() for part in _events(v))
    frame = np.zeros((len(v), 8), dtype=np.float32)
    np.add.at(frame, (rows, places), 1)
    return torch.from_numpy(frame)


def _polarities(v: Tensor) -> Tensor:
    rows, places, polarity = _events(v)
    frame = torch.zeros(len(v), 2, 8)
    frame[rows, polarity, places] = 1.0
    return frame.flatten(1)


def _signed_events(v: Tensor) -> Tensor:
    rows, places, polarity = _events(v)
    frame = torch.zeros(len(v), 8)
    frame[rows, places] = polarity.float() * 2 - 1
    return frame


_group("event frame", {
    "counts by index_put": _put_events,
    "counts by index_add": _added_events,
    "counts by scatter_add": _scattered_events,
    "counts by bincount": _counted_events,
    "counts by histc": _histogram_of_events,
    "counts in NumPy": _numpy_events,
}, levels(1), width=8)  # fmt: skip
_group("event frame", {
    "signs": _signed_events,
    "clipped counts": lambda v: _put_events(v).clamp(max=1),
}, width=8)  # fmt: skip
_group("event frame", {"two polarities": _polarities})

SOURCES, TARGETS = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([1, 2, 0, 2, 0, 1])


def _neighbours(v: Tensor) -> Tensor:
    """Messages along the edges between the first three nodes, added up."""
    spikes = _fired(v)
    return torch.zeros_like(spikes).index_add_(0, TARGETS, spikes[SOURCES])


def _neighbours_by_scatter(v: Tensor) -> Tensor:
    spikes = _fired(v)
    return torch.zeros_like(spikes).scatter_add_(0, TARGETS.unsqueeze(1).expand(6, 16), spikes[SOURCES])


def _any_neighbour(v: Tensor) -> Tensor:
    spikes = _fired(v)
    index = TARGETS.unsqueeze(1).expand(6, 16)
    return torch.zeros_like(spikes).scatter_reduce_(0, index, spikes[SOURCES], "amax")


_group("graph", {
    "messages by index_add": _neighbours,
    "messages by scatter_add": _neighbours_by_scatter,
    "messages and the node's own": lambda v: _neighbours(v) + _fired(v),
}, levels(1))  # fmt: skip
_group("graph", {"mean of sampled neighbours": lambda v: _fired(v)[SOURCES].view(3, 2, 16).mean(1)}, levels(0.5))
_group("graph", {"any neighbour": _any_neighbour})

TABLE = nn.Parameter(torch.randn(16, 16, generator=torch.Generator().manual_seed(2)))

_group("table", {
    "rows summed by embedding_bag": lambda v: F.embedding_bag(v.topk(3, 1).indices, TABLE, mode="sum"),
    "rows summed after indexing": lambda v: TABLE[v.topk(3, 1).indices].sum(1),
    "rows summed after embedding": lambda v: F.embedding(v.topk(3, 1).indices, TABLE).sum(1),
}, real=True, inner=3 * 16)  # fmt: skip
_group("table", {
    "one row": lambda v: F.embedding(v.argmax(1), TABLE),
    "a row of two": lambda v: TABLE[:2, 0][(v > 0).long()],
}, real=True)  # fmt: skip
_group("table", {
    "rows of ones and zeros": lambda v: torch.eye(16).roll(1, 1).index_select(0, v.argmax(1)),
    "a code of zeros and ones": lambda v: torch.tensor([0.0, 1.0])[(v > 0).long()],
})  # fmt: skip

# -- real values ---------------------------------------------------------------------------------------------------

MANY = torch.randn(16, generator=torch.Generator().manual_seed(3)).abs() + 0.1


def _time_surface(v: Tensor) -> Tensor:
    return torch.where(v > 0, torch.exp(-v), torch.zeros_like(v))


_group("real", {
    "relu": F.relu,
    "nothing at all": lambda v: v,
    "gated by its own spikes": lambda v: v * (v > 0).float(),
    "graded spikes": lambda v: torch.where(v > 1, v, torch.zeros_like(v)),
    "masked_fill of one side": lambda v: v.masked_fill(v < 0, 0.0),
    "one side assigned": lambda v: F.relu(v).index_put((v > 3,), torch.tensor(3.0)),
    "threshold": lambda v: F.threshold(v, 0.5, 0.0),
    "hard shrinking": lambda v: F.hardshrink(v, 1.0),
    "clamp to zero and one": lambda v: v.clamp(0, 1),
    "sigmoid": torch.sigmoid,
    "softmax": lambda v: v.softmax(-1),
    "k largest values": lambda v: torch.zeros_like(v).scatter(1, v.topk(3, 1).indices, v.topk(3, 1).values),
    "dropout": lambda v: F.dropout(v, 0.5, training=True),
    "spikes times a learned vector": lambda v: _fired(v) * TABLE[0],
    "spikes plus a learned vector": lambda v: _fired(v) + TABLE[1],
    "spikes after layer norm": lambda v: F.layer_norm(_fired(v), (16,)),
    "spikes times what varies": lambda v: _fired(v) * v.abs().mean(1, keepdim=True),
    "amplitudes for each neuron": lambda v: _fired(v) * MANY,
    "spikes plus noise": lambda v: _fired(v) + torch.randn_like(v),
    "a leaky trace of spikes": lambda v: _fired(v) * 0.7 + _fired(v.roll(1, 0)).roll(1, 1).sigmoid(),
    "a time surface": _time_surface,
    "sign times the mean size": lambda v: torch.sign(v) * v.abs().mean(1, keepdim=True),
    "round of a part of it": lambda v: torch.cat([v[:, :8].round(), v[:, 8:]], 1),
    "spikes beside real values": lambda v: torch.cat([_fired(v)[:, :8], v[:, 8:]], 1),
    "eight bits": lambda v: torch.round(v * 16).clamp(-128, 127) / 16,
    "eight bits, fake quantised": lambda v: torch.fake_quantize_per_tensor_affine(v, 0.0625, 0, -128, 127),
    "sixty-four levels": lambda v: torch.round(v.clamp(0, 4) * 16) / 16,
    "rate over sixty-four steps": lambda v: torch.bernoulli(v.sigmoid().expand(64, *v.shape)).mean(0),
    "NumPy, graded": lambda v: torch.from_numpy(np.maximum(v.numpy(), 0)),
}, real=True)  # fmt: skip
_group("real", {
    "bilinear upsampling": lambda v: F.interpolate(
        _fired(v).unsqueeze(1), scale_factor=1.5, mode="linear"
    ).flatten(1),
}, real=True, width=24)  # fmt: skip
_group("real", {
    "pooling by a norm": lambda v: F.lp_pool2d(_grid(v), 2, 2).flatten(1),
}, real=True, width=4)  # fmt: skip

"""Random small programs, each profiled and compared with an independent count of its contractions.

    python benchmarks/programs.py --count 2000 --seed 0    # one line for each program that fails
    python benchmarks/programs.py --seed 7 --count 1 --show    # and its source

A program grows piece by piece, each of which runs as it is added, so that shapes fit. It fails where `profile` raises,
where its events or dense MACs are others than those of the operators on zeros and ones, or by the run's own check.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

import snnprof
from snnprof.activity import Activity

FACTORS = dict.fromkeys("convolution mm bmm mv dot".split(), 0) | dict.fromkeys("addmm baddbmm addmv".split(), 1)
SHAPES = [(8,), (12,), (3, 8), (4, 6), (2, 6, 6), (4, 5, 5)]
INPUTS: dict[str, Callable[..., Tensor]] = {
    "spikes": lambda *shape: (torch.rand(shape) < 0.4).float(),
    "signed spikes": lambda *shape: torch.randint(-1, 2, shape).float(),
    "counts": lambda *shape: torch.randint(0, 5, shape).float(),
    "real": torch.randn,
    "pixels": lambda *shape: torch.randint(0, 256, shape) / 255,
}
IMPORTS = """from types import SimpleNamespace
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn"""

# Each line is as likely as any other, and in a line each of what stands apart by " | "; statements stand apart by "; ".
FIRES = """
(v > 0.2).float() | v.gt(0).to(v.dtype) | (v >= 0.1) * 8.0 | torch.where(v > 0.5, 1.0, 0.0) | torch.sign(v)
torch.where(v > 0.5, 2, 0).float() | (torch.sign(v) + 1) / 2 | torch.sign(v) * (v.abs() > 0.5) | F.relu(v)
torch.copysign(torch.ones_like(v), v) | torch.heaviside(v, torch.zeros(())) | torch.round(torch.clamp(v, 0, 4))
torch.round(v.clamp(0, 1) * 4) / 4 | torch.round(F.relu(v)) | v.clamp(0, 3).floor() | v.clamp(-2, 2).trunc()
v.clamp(0, 4).int().float() | v.clamp(0, 2) // 0.5 | torch.ceil(F.relu6(v)) | v * (v > 0.5)
torch.floor(v * 4 / 2 + 0.5).clamp(0, 4) / 4 * 2 | torch.fake_quantize_per_tensor_affine(v, 0.25, 0, 0, 15)
torch.bucketize(v, torch.tensor([0.0, 0.5, 1.0])).float() | torch.zeros_like(v).masked_fill(v > 0, 0.37)
torch.zeros_like(v).scatter(-1, v.topk(2, -1).indices, 1.0) | (v >= v.topk(2, -1).values[..., -1:]).float()
F.one_hot(v.argmax(-1), v.shape[-1]).float() | v + (v.clamp(0, 4).round() - v).detach()
torch.from_numpy((v.numpy() > 0).astype(np.float32)) | torch.from_numpy(np.round(np.clip(v.numpy(), 0, 4)))
torch.tensor((v > 0).tolist(), dtype=torch.float32) | torch.stack([(row > 0.3).float() for row in v])
(torch.rand_like(v) < 0.3).float() | F.dropout((v > 0).float(), 0.5, training=True) | torch.bernoulli(v.sigmoid())
out = torch.zeros_like(v); out[v > 0] = 1.0; out | out = v.clone(); out[v > 0] = 1.0; out[v <= 0] = 0.0; out
out = torch.zeros(v.shape); out[v > 1] = 2.0; out[(v > 0) & (v <= 1)] = 1.0; out
out = v.clone(); out.sub_(0.1).sign_().clamp_(0, 1); out
soft, hard = torch.sigmoid(v), (v > 0).float(); (hard - soft).detach() + soft
hard = (v > 0).float(); hard.detach() + 2.5 * hard - 2.5 * hard.detach()
"""
PIECES = """
x = {dense}(x) | x = F.linear(x, {kernel}) | x = x @ {kernel}.t() | x = torch.einsum("...i,oi->...o", x, {kernel})
x = F.linear(x, {kernel} * {pruned}) | x = F.linear(x, {kernel} + {tall} @ {flat}) | x = {dense}({dense}.bias + x)
x = ({kernel} @ x.transpose(-2, -1)).transpose(-2, -1) | x = x + {positions}(torch.arange(1.0, 3.0).unsqueeze(0))
x = {fire}({dense}(x)) | x = {fire}({square}(x)) + x | x = x * (1 - {fire}({square}(x))) | x = {square}({fire}(x)) + x
x = {square}(x) - {square}(x.flip(-1)) | x = x * (torch.mv(x, torch.ones(x.shape[1])) > 0).unsqueeze(1)
x = {conv}(x) | x = {conv}({fire}(x)) | x = {conv}(F.pad(x, (1, 0))) | x = {conv}(x.contiguous())
x = {fire}({conv}(x)) | x = {conv}(x) + {conv}(x.roll(1, -1)) | x = {deconv}({fire}(x)) | x = {deconv}(x)
x = ({q} @ {k}.transpose(-2, -1)) * 0.125 @ {v} | x = {q} @ ({k}.transpose(-2, -1) @ {v}) | x = {q} * {k}.sigmoid()
x = torch.einsum("...nd,...md->...nm", {q}, {k}) @ x | x = torch.baddbmm(x, {q} @ {k}.transpose(1, 2), {v})
x = ({q} @ {k}.transpose(-2, -1)).softmax(-1) @ {v} | x = F.scaled_dot_product_attention({q}, {k}, {v})
x = {q} * ({k}.sum(-1, keepdim=True) > 1) | x = {q} @ x.transpose(-2, -1) | x = {q} @ x.mT @ {fire}(x)
x = {fire}(x)
x = x.flatten(1) | x = x.unflatten(-1, (2, -1)) | x = x.transpose(1, -1) | x = x.roll(1, -1) | x = x.flip(1)
x = torch.cat(x.chunk(2, 1)[::-1], 1) | x = torch.cat([x, x.flip(-1)], -1) | x = F.pad(x, (1, 2)) | x = x.unsqueeze(1)
x = F.pad(x, (1, 1), value=1.0) | x = x[..., ::2] | x = x.repeat_interleave(2, 1) | x = x.expand(2, *x.shape)[1]
x = torch.stack([x, x.roll(1, 1)]).flatten(0, 1) | x = x.contiguous() * 0.5 | x = x.narrow(-1, 1, 2)
x = x.index_select(-1, torch.tensor([1, 0, 1])) | x = F.interpolate(x, scale_factor=2) | x = x.half().float()
x = x * (x > 0.3) | x = x.masked_fill(x < 0.2, 0.0) | x = x.clone(); x[:, ::2] = 0.0 | x = x * {keep}
x = torch.where(x > 0, x, torch.zeros_like(x)) | x = x * (1 - (x > 0.5).float()) | x = torch.minimum(x, x.roll(1, -1))
x = 1 - x | x = x.clone(); x[x.abs() < 0.3] = 0.0 | x = x.clamp(0, 1)
x = F.avg_pool{dims}d(x, 2) | x = F.max_pool{dims}d(x, 2) | x = F.adaptive_avg_pool{dims}d(x, 2) | x = x.cumsum(-1)
x = F.lp_pool{dims}d(x, 1, 2) | x = F.avg_pool{dims}d(x, 3, 1, 1) | x = x.mean(-1, keepdim=True) | x = x.sum(1)
x = x.mean(1) | x = x.amax(-1, keepdim=True) | x = {batch}(x) | x = F.relu({batch}(x)) | x = {layer}(x)
steps = []; for t in range({T}): steps.append({neuron}(x)); x = torch.stack(steps).mean(0)
steps = []; for t in range({T}): steps.append({neuron}({square}(x) * (t + 1))); x = torch.cat(steps)
x = sum({neuron}({square}(x if t % 2 else {fire}(x))) for t in range({T}))
for t in range({T}): x = {neuron}({dense}(x))
s = torch.zeros_like(x); for t in range({T}): s = {fire}({square}(x) + {back}(s)); x = s
s = [torch.rand(x.shape)]; for t in range({T}): s.append({fire}({square}(x) + {back}(s[-1]))); x = torch.cat(s[1:])
s = {{"z": x}}; for t in range({T}): s["z"] = {fire}({back}(s["z"])); x = s["z"]
out = torch.zeros({T}, *x.shape); for t in range({T}): out[t] = {fire}({square}(x) * (t + 1)); x = out.flatten(0, 1)
kept = x | kept = {fire}(x) | kept = {square}(x)
x = x + kept if x.shape == kept.shape else x | x = x - kept if x.shape == kept.shape else x
x = x * (1 - kept) if x.shape == kept.shape else x | x = torch.cat([x, kept], 1) if x[0].shape == kept[0].shape else x
x = (x + kept) / 2 if x.shape == kept.shape else x | x = torch.maximum(x, kept) if x.shape == kept.shape else x
x = {square}(x) if x.shape[0] > 2 else {back}(x) | if x.shape[0] > 2: x = {fire}(x) | if x.shape[0] % 2: x = {square}(x)
x = torch.cat([{square}(half) for half in x.split(2)]) | if x.abs().max() > 1: x = {square}(x)
x = torch.from_numpy(x.numpy().copy()) | x = torch.tensor(x.tolist()) | x = torch.from_numpy(x.numpy() * 2)
x = torch.as_tensor(np.maximum(x.numpy(), 0)) | x = torch.from_numpy(np.roll(x.numpy(), 1, -1))
"""
LAYERS = {
    "dense": "nn.Linear({size}, {size}, bias=True)",
    **dict.fromkeys(("square", "back", "q", "k", "v"), "nn.Linear({size}, {size}, bias={bias})"),
    "head": "nn.Linear({size}, 3)",
    "positions": "nn.Linear(2, {size})",
    "kernel": "nn.Parameter(torch.randn(6, {size}) / 3)",
    "tall": "nn.Parameter(torch.randn(6, 2))",
    "flat": "nn.Parameter(torch.randn(2, {size}) / 3)",
    "pruned": "(torch.rand(6, {size}) < 0.5)",
    "keep": "(torch.rand({size}) < 0.6).float()",
    "batch": "nn.BatchNorm{dims}d({channels})",
    "layer": "nn.LayerNorm({size})",
    "conv": "nn.Conv{dims}d({channels}, {filters}, {taps}, {stride}, {padding}, {dilation}, {groups}, {bias})",
    "deconv": "nn.ConvTranspose{dims}d({channels}, {filters}, {taps}, {stride}, {padding}, {extra}, {groups}, {bias})",
}
NUMBERS = {"taps": (1, 2, 3), "stride": (1, 1, 2), "padding": (0, 1), "dilation": (1, 1, 2), "T": (2, 3, 4)}
NEURON = """
class {name}(nn.Module):
    def __init__(self):
        super().__init__()
        {start}

    def forward(self, v):
        {place} = {place} * 0.5 + v
        s = ({place} > 0.4).float()
        {place} = {place} * (1 - s)
        return s
"""
STATES = """
self.mem: self.mem = 0.0 | self.kept[0]: self.kept = [0.0] | self.kept["v"]: self.kept = {"v": 0.0}
self.kept.v: self.kept = SimpleNamespace(v=0.0) | self.buffer: self.register_buffer("buffer", torch.zeros(()))
"""
HEADS = ["def {0}(v):", "def forward(self, v):", "@staticmethod\ndef forward(ctx, v):"]
CLASSES = ["", "class {0}(nn.Module):", "class {0}(torch.autograd.Function):"]


def _any(rng: random.Random, text: str) -> str:
    return rng.choice(rng.choice(text.strip().splitlines()).split(" | "))


def _indented(lines: Iterable[str], by: int = 4) -> str:
    return textwrap.indent("\n".join(lines), " " * by)


@dataclass
class Writer:
    """A program that grows line by line, each of which runs at once on a small batch `x`."""

    rng: random.Random
    x: Tensor
    init: list[str] = field(default_factory=list)
    helpers: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scope: dict[str, Any] = {"self": nn.Module(), "x": self.x}
        exec(IMPORTS, self.scope)
        self.run("kept = x", self.lines)

    def run(self, code: str, where: list[str]) -> None:
        exec(code, self.scope)
        where.append(code)

    def grow(self) -> None:
        """Adds a piece; one that does not suit x leaves nothing behind."""
        x, written = self.scope["x"].clone(), [(part, len(part)) for part in (self.init, self.helpers, self.lines)]
        piece = _any(self.rng, PIECES).replace("; ", "\n")
        try:
            self.run(piece.format_map(Names(self)), self.lines)
            new = self.scope["x"]
            suits = new.dim() > 1 and new.numel() <= 3000 and 0 < float(new.abs().max()) < 1e4
        except Exception:
            suits = False
        if not suits:
            self.scope["x"] = x
            for part, length in written:
                del part[length:]

    def source(self) -> str:
        init, body = _indented(["super().__init__()", *self.init], 8), _indented([*self.lines, "return x"], 8)
        program = f"class Program(nn.Module):\n    def __init__(self):\n{init}\n\n    def forward(self, x):\n{body}\n"
        return "\n\n".join([IMPORTS, *self.helpers, program])


class Names(dict[str, Any]):
    """What the names in a piece stand for: sizes of x, random numbers, and layers and helpers made on demand."""

    def __init__(self, w: Writer) -> None:
        channels, *space = w.scope["x"].shape[1:]
        super().__init__(channels=channels, size=[channels, *space][-1], dims=max(len(space), 1))
        self |= {name: w.rng.choice(choices) for name, choices in NUMBERS.items()}
        self |= {"groups": w.rng.choice([1, 1, channels]), "extra": self["stride"] - 1, "bias": w.rng.random() < 0.5}
        self["filters"] = self["groups"] * w.rng.choice([1, 2, 3])
        self.w = w

    def __missing__(self, key: str) -> str:
        if key not in LAYERS:
            return self.setdefault(key, self.neuron() if key == "neuron" else self.fire())
        made = self.layer(LAYERS[key].format_map(self), key)
        return self.setdefault(key, f"{self.fire()}({made}(x))" if key in "qkv" else made)

    def layer(self, code: str, stem: str) -> str:
        """An attribute of the program."""
        name = f"self.{stem}{len(self.w.init)}"
        self.w.run(f"{name} = {code}", self.w.init)
        return name

    def neuron(self) -> str:
        (place, start), name = _any(self.w.rng, STATES).split(": ", 1), f"Neuron{len(self.w.helpers)}"
        self.w.run(NEURON.format(name=name, start=start, place=place).lstrip(), self.w.helpers)
        return self.layer(f"{name}()", "neuron")

    def fire(self) -> str:
        """A quantiser as a function, a module or an autograd.Function."""
        *lines, result = _any(self.w.rng, FIRES).split("; ")
        name, form = f"Fire{len(self.w.helpers)}", self.w.rng.randrange(3)
        code = f"{HEADS[form].format(name)}\n{_indented([*lines, f'return {result}'])}"
        self.w.run(f"{CLASSES[form].format(name)}\n{_indented([code])}\n" if form else f"{code}\n", self.w.helpers)
        return [name, self.layer(f"{name}()", "fire") if form == 1 else "", f"{name}.apply"][form]


@dataclass
class Case:
    """A program, its batches, and whether it is profiled under inference_mode."""

    seed: int
    source: str
    inputs: str
    batches: list[Tensor]
    inference: bool

    def program(self) -> nn.Module:
        scope: dict[str, Any] = {"__name__": f"program{self.seed}"}
        exec(compile(self.source, f"<program {self.seed}>", "exec"), scope)
        torch.manual_seed(self.seed)
        return scope["Program"]().eval()

    def __str__(self) -> str:
        mode = "inference_mode" if self.inference else "no_grad"
        return f"# seed {self.seed}: {self.inputs}, batches of {[*map(len, self.batches)]}, {mode}\n\n{self.source}"


def made(seed: int) -> Case:
    rng = random.Random(seed)
    shape, inputs = rng.choice(SHAPES), rng.choice(list(INPUTS))
    torch.manual_seed(seed)
    batches = [INPUTS[inputs](size, *shape) for size in rng.sample([1, 2, 3, 4, 5], rng.choice([2, 3]))]
    writer = Writer(rng, batches[0].clone())
    with torch.no_grad():
        for _ in range(rng.randint(4, 12)):
            writer.grow()
        writer.run("x = {head}(x)".format_map(Names(writer)), writer.lines)
    return Case(seed, writer.source(), inputs, batches, rng.random() < 0.2)


class Pairs(TorchDispatchMode):
    """Counts each contraction by the operator itself on zeros and ones; apart, the dense MACs of constants."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.pairs = self.dense = self.constant = 0
        of_constants = (p for name, p in program.named_parameters() if name.startswith(("tall", "positions")))
        self._of_constants = {p.untyped_storage().data_ptr() for p in of_constants}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in FACTORS:
            a, b = args[FACTORS[name] :][:2]
            ones = (a != 0).double(), (b != 0).double()
            met = func(*ones, None, *args[3:]) if name == "convolution" else ones[0] @ ones[1]
            terms = b[0].numel() if name == "convolution" else a.shape[-1]
            dense = (a if name == "convolution" and args[6] else met).numel() * terms
            if {a.untyped_storage().data_ptr(), b.untyped_storage().data_ptr()} & self._of_constants:
                self.constant += dense
            else:
                self.pairs += round(met.sum().item())
                self.dense += dense
        return func(*args, **(kwargs or {}))


def _bare(case: Case) -> list[Pairs] | None:
    """Each batch through a program of its own, seeded as `profile` does; None where it does not run."""
    counts = []
    for number, x in enumerate(case.batches):
        program = case.program()
        torch.manual_seed(number)
        try:
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), Pairs(program) as pairs:  # no attention in one piece
                finite = torch.isfinite(program(x.clone())).all()
        except Exception:
            return None
        if not finite:
            return None
        counts.append(pairs)
    return counts


def compared(activity: Activity, bare: list[Pairs]) -> Iterator[str]:
    """Where an activity has other sums than the batches by themselves."""
    events = sum(op.events if len(op.data) == 2 else sum(p.effective for p in op.parts) for op in activity.ops)
    sums = [("events", events, sum(each.pairs for each in bare))]
    sums += [("dense MACs", sum(op.dense_macs for op in activity.ops), sum(each.dense for each in bare))]
    if (listed := getattr(activity, "constant_ops", None)) is not None:
        sums += [("MACs of constants", sum(op.dense_macs for op in listed), sum(each.constant for each in bare))]
    if (check := getattr(activity, "self_check", None)) is not None:
        sums += [("rows of the self-check", check.equal, check.rows)]
    yield from (f"{what} {got}, right {right}" for what, got, right in sums if got != right)


def wrong(case: Case) -> list[str] | None:
    """What is wrong with the profile of a program; None where it does not run by itself."""
    bare = _bare(case)
    if bare is None:
        return None
    program = case.program()
    try:
        with torch.inference_mode(case.inference):
            activity = snnprof.profile(program, [x.clone() for x in case.batches])
    except Exception as error:
        return [f"{type(error).__name__}: {str(error).splitlines()[0]}"]
    return list(compared(activity, bare))


def main() -> int:
    parser = argparse.ArgumentParser(description="Random programs, profiled and counted a second time.")
    parser.add_argument("--count", type=int, default=200, help="how many programs")
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    parser.add_argument("--show", action="store_true", help="print the programs' source")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    verdicts = []
    for case in map(made, range(options.seed, options.seed + options.count)):
        print(*[case] * options.show, end="")
        verdicts.append(differences := wrong(case))
        if differences:
            print(f"seed {case.seed}: {'; '.join(differences)}", flush=True)
    print(f"{len([v for v in verdicts if v is not None])} programs, {len([v for v in verdicts if v])} failed")
    return int(any(verdicts))


if __name__ == "__main__":
    sys.exit(main())

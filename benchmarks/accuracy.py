"""Who counts right: small cases with a known answer, snnprof and the tools that count the same things.

    python benchmarks/accuracy.py                                  # table on stdout
    python benchmarks/accuracy.py --markdown docs/accuracy.md      # the page

The answer to each case is a brute-force count: the operation itself in float64, on operands that hold 1 where they are
not zero and 0 elsewhere, with ones for weights. Tools that are not installed are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import snnprof

SEED = 0
B = 2


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
    """

    name: str
    model: nn.Module
    inputs: tuple[Tensor, ...]
    exact: Count
    dense: int
    conventions: dict[str, Count] = field(default_factory=dict)
    inference: bool = False


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
    fired = (x != 0).float()
    valid = total(layer, torch.ones_like(x))
    dense = _dense(layer, x)
    if kind == "real":
        conventions = {"padding taps as MAC": Count(macs=dense), "zeros skipped": Count(macs=total(layer, fired))}
        return Case(name, nn.Sequential(layer), (x,), Count(macs=valid), dense, conventions)
    events = total(layer, fired)
    by_value = total(layer, (x / quantum).round().abs())
    effective = total(layer, fired, lambda weight: (weight != 0).double())
    conventions = {
        "by value": Count(sops=by_value), "zero weights skipped": Count(sops=effective),
        "graded spikes as dense MAC": Count(macs=dense), "graded spikes as valid MAC": Count(macs=valid),
        "graded spikes as sparse MAC": Count(macs=events), "graded spikes as effective MAC": Count(macs=effective),
    }  # fmt: skip
    graded |= quantum != 1.0 or float(x.max()) > 1 or float(x.min()) < 0
    kept = conventions if graded else {"zero weights skipped": conventions["zero weights skipped"]}
    return Case(name, nn.Sequential(layer), (x,), Count(sops=events), dense, kept)


def _dense(layer: nn.Module, x: Tensor) -> int:
    with torch.no_grad():
        out = layer(x)
    if isinstance(layer, nn.ConvTranspose2d):
        return x.numel() * layer.weight[0].numel()
    weight = next(p for p in layer.parameters() if p.dim() > 1)
    return out.numel() * weight[0].numel()


def product_case(name: str, function: Callable[..., Tensor], a: Tensor, b: Tensor) -> Case:
    """A case of spikes × spikes: pairs, with the one-sided counts as conventions."""
    fired_a, fired_b = (a != 0).double(), (b != 0).double()
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
    name = "Linear, step 0 real, steps 1–3 spikes"
    return Case(name, nn.Sequential(linear), (x,), exact, 4 * B * 640, conventions)


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
    """Spikes meet the input weights; the hidden state is zero at first and real from then on."""
    layer, x = nn.LSTM(16, 8), spikes(5, B, 16)
    exact = Count(sops=32 * int(x.sum()), macs=32 * 4 * B * 8)
    return Case("nn.LSTM on spikes", Forward(lambda layer, x: layer(x)[0], layer), (x,), exact, 5 * B * 32 * (16 + 8))


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


# -- the tools: a model and its input → (SOPs, MACs) or dense MACs -----------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a tool said; None where it has no such figure."""

    sops: float | None = None
    macs: float | None = None
    dense: float | None = None


def _run(case: Case, model: nn.Module) -> Any:
    inputs = [x.double() if next(model.parameters(), x).dtype is torch.float64 else x for x in case.inputs]
    with torch.inference_mode() if case.inference else torch.no_grad():
        return model(*inputs)


def ask_snnprof(case: Case) -> Answer:
    layout = "time-batch" if case.inputs[0].dim() == 3 and case.inputs[0].shape[0] == 4 else "batch"
    kind = "spikes" if "step 0 real" in case.name else "auto"
    with snnprof.Recorder(case.model, layout=layout, input=kind) as recorder:
        _run(case, case.model)
    activity = recorder.activity(samples=B)
    sops = sum(op.part("spikes").events for op in activity.ops)
    macs = sum(op.part("real").valid_macs for op in activity.ops)
    return Answer(sops, macs, sum(op.dense_macs for op in activity.ops))


def ask_spikingjelly(case: Case) -> Answer:
    from spikingjelly.activation_based import op_counter

    counters = op_counter.SynOpCounter(), op_counter.MACCounter()
    with op_counter.DispatchCounterMode(list(counters)):
        _run(case, case.model)
    sops, macs = (counter.get_total() for counter in counters)
    return Answer(sops, macs)


def ask_neurobench(case: Case) -> Answer:
    from neurobench.metrics.manager.workload_manager import WorkloadMetricManager
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel

    model = TorchModel(copy.deepcopy(case.model))
    WorkloadMetricManager([SynapticOperations]).register_hooks(model)
    out = _run(case, model.net)
    result = SynapticOperations()(model, out, (case.inputs[0], None))
    samples = case.inputs[0].shape[0]
    return Answer(result["Effective_ACs"] * samples, result["Effective_MACs"] * samples)


def ask_sinabs(case: Case) -> Answer:
    from sinabs import SNNAnalyzer

    model = copy.deepcopy(case.model)
    analyzer = SNNAnalyzer(model)
    _run(case, model)
    stats = analyzer.get_layer_statistics()["parameter"]
    per_sample = sum(float(layer["synops"]) for layer in stats.values())
    return Answer(sops=per_sample * case.inputs[0].shape[0])


def ask_fvcore(case: Case) -> Answer:
    from fvcore.nn import FlopCountAnalysis

    with torch.no_grad():
        analysis = FlopCountAnalysis(copy.deepcopy(case.model), _as_model(case)).unsupported_ops_warnings(False)
        flops = analysis.uncalled_modules_warnings(False).tracer_warnings("none").by_operator()
    ignored = ("batch_norm", "layer_norm", "adaptive_avg_pool2d", "upsample")
    return Answer(dense=sum(count for name, count in flops.items() if name not in ignored))


def ask_flop_counter(case: Case) -> Answer:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        _run(case, case.model)
    return Answer(dense=counter.get_total_flops() / 2)


def _as_model(case: Case) -> tuple[Tensor, ...]:
    dtype = next(case.model.parameters(), case.inputs[0]).dtype
    return tuple(x.to(dtype) for x in case.inputs)


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
                    answer: Answer | Exception = ask(case)
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

*Exact* is a brute-force count: the operation itself in float64, on operands that hold 1 where they are not zero and 0
elsewhere, with ones for weights. SOP: additions that spikes cause, one per (spike, weight) or pair of spikes; MAC:
multiply-accumulates of real values, without taps on zero padding. *Dense* is what a dense machine does, padding
included; fvcore and FlopCounterMode (÷ 2) are held to that, the others to *exact*.

**Bold: the count is wrong** (or the tool failed). In brackets: right under another convention, which is named. Plain:
right. A tool without MACs (sinabs) is held to the SOPs. Totals over the batch.

"""


def page(rows: list[tuple[Case, dict[str, Verdict]]], tools: list[str]) -> str:
    lines = [HEAD.rstrip("\n"), ""]
    lines.append("| case | exact | dense | " + " | ".join(f"{name} {_version(name)}" for name in tools) + " |")
    lines.append("|---|---|---|" + "---|" * len(tools))
    for case, answers in rows:
        cells = [case.name, str(case.exact), str(case.dense), *(answers[name].text for name in tools)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["", summary(rows, tools), ""]
    return "\n".join(lines)


def summary(rows: list[tuple[Case, dict[str, Verdict]]], tools: list[str]) -> str:
    lines = [f"| of {len(rows)} cases | " + " | ".join(tools) + " |", "|---|" + "---|" * len(tools)]
    for kind in (RIGHT, CONVENTION, WRONG):
        counts = [sum(answers[name].kind == kind for _, answers in rows) for name in tools]
        lines.append(f"| {kind} | " + " | ".join(str(count) for count in counts) + " |")
    return "\n".join(lines)


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

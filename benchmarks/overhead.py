"""How much slower a profiled forward pass is: profiled ÷ bare, in interleaved pairs of one run.

    python benchmarks/overhead.py                     # CPU, all cases, table on stdout
    python benchmarks/overhead.py --case spikformer --pairs 15 --markdown docs/overhead.md

Each pair runs the same batch bare, under a dispatch mode that does nothing, and under the Recorder after its first
batch; what is printed are medians and ranges of the ratios to the bare pass beside it.
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import snnprof
from snnprof.record.recorder import Recorder


class NoOp(TorchDispatchMode):
    """What any dispatch-level tool pays before it counts anything."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class PlainLoop(nn.Module):
    """A hand-written LIF network: two convolutions in a Python loop over T, no framework."""

    def __init__(self, channels: int = 32, timesteps: int = 4) -> None:
        super().__init__()
        self.timesteps = timesteps
        self.encode = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.head = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        first = second = torch.zeros(())
        total: Tensor | float = 0.0
        for _ in range(self.timesteps):
            first = first + (self.encode(x) - first) / 2
            spikes = (first >= 0.3).float()
            first = first * (1 - spikes)
            second = second + (self.conv(spikes) - second) / 2
            out = (second >= 0.1).float()
            second = second * (1 - out)
            total = total + self.head(out.mean((2, 3)))
        return torch.as_tensor(total) / self.timesteps


def spikformer_4_384(device: str) -> tuple[nn.Module, Tensor, int]:
    model = snnprof.load_model("spikformer:4-384-cifar10").to(device)
    _enliven(model)
    return model, torch.rand(8, 3, 32, 32, device=device), 4


def plain_loop(device: str) -> tuple[nn.Module, Tensor, int]:
    return PlainLoop().to(device).eval(), torch.rand(8, 3, 32, 32, device=device), 4


def spikformer_8_512(device: str) -> tuple[nn.Module, Tensor, int]:
    model = snnprof.load_model("spikformer:8-512-imagenet").to(device)
    _enliven(model)
    return model, torch.rand(64 if device == "cuda" else 1, 3, 224, 224, device=device), 4


CASES: dict[str, Callable[[str], tuple[nn.Module, Tensor, int]]] = {
    "spikformer": spikformer_4_384,
    "plain-loop": plain_loop,
    "spikformer-imagenet": spikformer_8_512,
}


def _enliven(model: nn.Module) -> None:
    """Untrained networks are nearly silent; small running variances make them spike at some ten percent."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_var is not None
            module.running_var.fill_(0.02)


def timed(run: Callable[[], Any], device: str) -> float:
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(case: str, device: str, pairs: int) -> dict[str, list[float]]:
    """Ratios to the bare pass beside them."""
    model, x, timesteps = CASES[case](device)
    recorder = Recorder(model, timesteps=timesteps)

    def bare() -> None:
        model(x)

    def no_op() -> None:
        with NoOp():
            model(x)

    def profiled() -> None:
        with recorder:
            model(x)
            recorder.end_batch()
            recorder.end_block(len(x))

    ratios: dict[str, list[float]] = {"no-op mode": [], "snnprof": []}
    with torch.no_grad():
        for run in (bare, no_op, profiled, profiled):
            run()
        for _ in range(pairs):
            gc.collect()
            base = timed(bare, device)
            ratios["no-op mode"].append(timed(no_op, device) / base)
            base = timed(bare, device)
            ratios["snnprof"].append(timed(profiled, device) / base)
    return ratios


def table(results: dict[str, dict[str, list[float]]], device: str, pairs: int) -> str:
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    lines = [
        f"torch {torch.__version__}, {name}, {platform.system()} {platform.machine()}; {pairs} interleaved pairs",
        "",
        "| case | tool | median ratio to bare | lowest | highest |",
        "|---|---|---:|---:|---:|",
    ]
    for case, ratios in results.items():
        for tool, values in ratios.items():
            row = (statistics.median(values), min(values), max(values))
            lines.append(f"| {case} | {tool} | {row[0]:.3f} | {row[1]:.3f} | {row[2]:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=CASES, help="default: spikformer and plain-loop")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--markdown", type=Path, help="write the table here as well")
    arguments = parser.parse_args()
    cases = arguments.case or ["spikformer", "plain-loop"]
    results = {case: measure(case, arguments.device, arguments.pairs) for case in cases}
    text = table(results, arguments.device, arguments.pairs)
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(f"# Overhead\n\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()

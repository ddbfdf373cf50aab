"""How much slower a profiled forward pass is: profiled ÷ bare, in interleaved pairs of one run.

    python benchmarks/overhead.py              # on the CPU; the table on stdout is for docs/overhead.md
    python benchmarks/overhead.py --compile
    python benchmarks/overhead.py --device cuda --case spikformer-imagenet

Each round runs the same batch bare and then under one tool, for every tool in turn; what is printed are medians and
ranges of the ratios to the bare pass just before, and of a counting compiled pass to a plain compiled one. snnprof is
timed after it has learned: attached, one block a batch; as a caller drives a Recorder; and within `profile()`.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import functools
import gc
import io
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import snnprof
from snnprof.record.recorder import Recorder
from snnprof.workload.compiling import Compiling

Case = tuple[nn.Module, Tensor, int]
Run = Callable[[], Any]


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
        first = second = torch.zeros((), device=x.device)
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


# -- cases -----------------------------------------------------------------------------------------------------


def spikformer_4_384(device: str, batch: int = 8) -> Case:
    return _lively("spikformer:4-384-cifar10", device), torch.rand(batch, 3, 32, 32, device=device), 4


def plain_loop(device: str, batch: int = 8) -> Case:
    torch.manual_seed(0)
    return PlainLoop().to(device).eval(), torch.rand(batch, 3, 32, 32, device=device), 4


def spikformer_8_512(device: str) -> Case:
    batch = 64 if device == "cuda" else 1
    return _lively("spikformer:8-512-imagenet", device), torch.rand(batch, 3, 224, 224, device=device), 4


CASES: dict[str, Callable[[str], Case]] = {
    "spikformer": spikformer_4_384,
    "plain-loop": plain_loop,
    "spikformer-imagenet": spikformer_8_512,
    "spikformer-128": functools.partial(spikformer_4_384, batch=128),
    "plain-loop-256": functools.partial(plain_loop, batch=256),
}
TITLES = {
    "spikformer": "Spikformer-4-384, 32 × 32, T = 4, batch 8",
    "plain-loop": "plain LIF loop, 32 channels, 32 × 32, T = 4, batch 8",
    "spikformer-imagenet": "Spikformer-8-512, 224 × 224, T = 4, batch 64 (1 on a CPU)",
    "spikformer-128": "Spikformer-4-384, 32 × 32, T = 4, batch 128",
    "plain-loop-256": "plain LIF loop, 32 channels, 32 × 32, T = 4, batch 256",
}


def _lively(name: str, device: str) -> nn.Module:
    """Untrained networks are nearly silent; small running variances make them spike at some ten percent."""
    model = snnprof.load_model(name).to(device)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_var is not None
            module.running_var.fill_(0.02)
    return model


# -- tools: each prepares what it does once, and returns what it does for every batch ----------------------------


def no_op(model: nn.Module, x: Tensor, timesteps: int) -> Run:
    def run() -> None:
        with NoOp():
            model(x)

    return run


def flop_counter_mode(model: nn.Module, x: Tensor, timesteps: int) -> Run:
    from torch.utils.flop_counter import FlopCounterMode

    def run() -> None:
        with FlopCounterMode(display=False):
            model(x)

    return run


def fvcore(model: nn.Module, x: Tensor, timesteps: int) -> Run:
    from fvcore.nn import FlopCountAnalysis

    def run() -> None:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            analysis = FlopCountAnalysis(model, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            analysis.tracer_warnings("none").total()

    return run


def spikingjelly(model: nn.Module, x: Tensor, timesteps: int) -> Run:
    from spikingjelly.activation_based import op_counter

    def run() -> None:
        with op_counter.DispatchCounterMode([op_counter.SynOpCounter(), op_counter.MACCounter()]):
            model(x)

    return run


def neurobench(model: nn.Module, x: Tensor, timesteps: int) -> Run:
    from neurobench.metrics.manager.workload_manager import WorkloadMetricManager
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel

    wrapped = TorchModel(copy.deepcopy(model))
    manager = WorkloadMetricManager([SynapticOperations])
    manager.register_hooks(wrapped)
    manager.initialize_metrics()

    def run() -> None:
        predictions = wrapped(x)
        manager.run_metrics(wrapped, predictions, (x, None), x.shape[0], x.shape[0])

    return run


def eager(model: nn.Module, x: Tensor, timesteps: int) -> Run:
    return _snnprof(model, x, timesteps, lambda recorder: model)


def driven(model: nn.Module, x: Tensor, timesteps: int) -> Run:
    """As README drives it: `with Recorder(model): model(x); model(x); model(x)`, of which the third pass is timed."""
    recorder = Recorder(model, timesteps=timesteps)
    with recorder:
        model(x)
        model(x)

    def run() -> float:
        with recorder:
            return timed(lambda: model(x), x.device.type)

    return run


def profiled(model: nn.Module, x: Tensor, timesteps: int) -> Run:
    """`profile()`, from one batch that it takes to the next; the second of three, since it learns from the first."""

    def run() -> float:
        asked: list[float] = []

        def batches() -> Iterator[Tensor]:
            for _ in range(3):
                if x.is_cuda:
                    torch.cuda.synchronize()
                asked.append(time.perf_counter())
                yield x

        snnprof.profile(model, batches(), timesteps=timesteps, device=x.device.type, self_check=False)
        return asked[2] - asked[1]

    return run


def compiled(model: nn.Module, x: Tensor, timesteps: int) -> Run:
    return _snnprof(model, x, timesteps, lambda recorder: Compiling(model, recorder))


def compiled_alone(model: nn.Module, x: Tensor, timesteps: int) -> Run:
    fast = torch.compile(model, dynamic=False)

    def run() -> float:
        fast(x)  # as the counting one, which is timed after a batch that is not
        return timed(lambda: fast(x), x.device.type)

    return run


def _snnprof(model: nn.Module, x: Tensor, timesteps: int, caller: Callable[[Recorder], Callable[[Tensor], Any]]) -> Run:
    recorder = Recorder(model, timesteps=timesteps)
    call = caller(recorder)

    def batch() -> None:
        call(x)
        recorder.end_batch()
        recorder.end_block(len(x))

    def run() -> float:
        """The time a batch takes; to attach and detach comes once a run, not once a batch."""
        with recorder:
            batch()
            return timed(batch, x.device.type)

    return run


TOOLS: dict[str, Callable[[nn.Module, Tensor, int], Run]] = {
    "no-op dispatch mode": no_op,
    "**snnprof**": eager,
    "**snnprof**, `with Recorder(model)`": driven,
    "**snnprof**, `profile()`": profiled,
    "FlopCounterMode (dense)": flop_counter_mode,
    "fvcore (dense)": fvcore,
    "SpikingJelly SynOp + MAC": spikingjelly,
    "NeuroBench SynapticOperations": neurobench,
}
PLAIN, COUNTING = "torch.compile, plain", "**snnprof --compile**"
COMPILED = {PLAIN: compiled_alone, COUNTING: compiled}
AGAINST_PLAIN = f"{COUNTING} ÷ {PLAIN}"


# -- measuring -------------------------------------------------------------------------------------------------


def timed(run: Run, device: str) -> float:
    """Seconds that a run took, or that it tells."""
    start = time.perf_counter()
    told = run()
    if device == "cuda":
        torch.cuda.synchronize()
    return told if isinstance(told, float) else time.perf_counter() - start


def measure(case: str, device: str, rounds: int, tools: dict[str, Any]) -> dict[str, list[float]]:
    """Ratios to the bare pass beside them; tools that are not installed or fail are left out, and said so."""
    model, x, timesteps = CASES[case](device)
    runs: dict[str, Run] = {}
    with torch.no_grad():
        for name, prepare in tools.items():
            try:
                runs[name] = prepare(model, x, timesteps)
                runs[name]()
            except Exception as error:
                runs.pop(name, None)
                print(f"{case}: {name} left out: {type(error).__name__}: {str(error)[:80]}")
        ratios: dict[str, list[float]] = {name: [] for name in runs}
        model(x)
        for _ in range(rounds):
            for name, run in runs.items():
                gc.collect()
                bare = timed(lambda: model(x), device)
                ratios[name].append(timed(run, device) / bare)
        if COMPILED.keys() <= runs.keys():
            pairs = [[timed(runs[name], device) for name in COMPILED] for _ in range(rounds)]
            ratios[AGAINST_PLAIN] = [own / plain for plain, own in pairs]
    return ratios


def table(results: dict[str, dict[str, list[float]]], device: str, rounds: int) -> str:
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    lines = [
        f"torch {torch.__version__}, {name}, {platform.system()} {platform.machine()}; {rounds} rounds",
        "",
        "| case | tool (÷ the bare pass) | median | lowest | highest |",
        "|---|---|---:|---:|---:|",
    ]
    for case, ratios in results.items():
        for tool, values in ratios.items():
            row = (statistics.median(values), min(values), max(values))
            lines.append(f"| {TITLES[case]} | {tool} | {row[0]:.2f} | {row[1]:.2f} | {row[2]:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=CASES, help="default: spikformer and plain-loop")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--compile", action="store_true", help="also inside torch.compile; takes minutes to compile")
    arguments = parser.parse_args()
    cases = arguments.case or ["spikformer", "plain-loop"]
    tools = {**TOOLS, **COMPILED} if arguments.compile else TOOLS
    results = {case: measure(case, arguments.device, arguments.rounds, tools) for case in cases}
    print(table(results, arguments.device, arguments.rounds))


if __name__ == "__main__":
    main()

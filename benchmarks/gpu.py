"""Is counting right on this machine's GPU, and what does it cost? One command, one Markdown file, under five minutes.

    python benchmarks/gpu.py --markdown gpu.md        # what `make gpu` runs
    python benchmarks/gpu.py --device cpu             # a dry run without a GPU

It needs what snnprof itself needs; SpikingJelly is looked at where it is installed. `tests/record/test_device.py` runs
the same checks, on the CPU where there is no GPU.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

try:
    import torch
    from torch import Tensor, distributed, nn

    import snnprof
    from snnprof.options import ProfileOptions
    from snnprof.record import read
    from snnprof.record.recorder import Recorder
    from snnprof.workload import sources
    from snnprof.workload.batches import InputSpec, Loading, Sampler
    from snnprof.workload.run import profile_run
except ModuleNotFoundError as error:
    print(f"error: {error.name} is missing: install the project with 'pip install {ROOT}'", file=sys.stderr)
    sys.exit(2)

SECONDS = 280
"""After which no further case is timed."""
ROUNDS = 5
TIMED = ("no-op dispatch mode", "**snnprof**", "FlopCounterMode (dense)", "SpikingJelly SynOp + MAC")
CASES = {
    "cuda": ["spikformer-imagenet", "spikformer-128", "spikformer", "plain-loop-256", "plain-loop"],
    "cpu": ["plain-loop"],
}
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class Left(Exception):
    """A check that this machine cannot make, and why."""


# -- networks --------------------------------------------------------------------------------------------------


class Contractions(nn.Module):
    """Its input is read by a strided, grouped convolution, a transposed one, a product, and a product with itself."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
        self.up = nn.ConvTranspose2d(4, 2, 3, stride=2)
        self.row = nn.Linear(6, 5)
        with torch.no_grad():
            self.conv.weight[0].zero_()  # effective events differ
            self.row.weight[:, 1].zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean() + self.up(x).mean() + self.row(x).mean() + (x @ x.transpose(2, 3)).mean()


class Kinds(nn.Module):
    """Every kind of operand meets every kind of contraction. Weights and pixels are multiples of powers of two, so are
    potentials, and every threshold lies between two of them: each device puts out the same spikes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encode = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.conv = nn.Conv2d(4, 4, 3, stride=2, groups=2)
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.head = nn.Linear(8, 3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_((parameter * 32).round() / 32)
            self.conv.weight[0].zero_()  # effective events differ
            self.head.weight[:, 1].zero_()

    def forward(self, x: Tensor) -> Tensor:
        v, results = torch.zeros(()), []
        for _ in range(3):
            v = v + (self.encode(x) - v) / 2
            spikes = (v > 0.0625 + 2**-14).float()
            v = v * (1 - spikes)
            signed = torch.sign(v) * (v.abs() > 0.03125 + 2**-14)
            levels = torch.round(v * 4 + 2**-12).clamp(0, 3) / 4
            up = self.up(self.conv(spikes + levels)) + self.up(self.conv(signed))
            pooled = torch.nn.functional.avg_pool2d(spikes, 4).flatten(1)
            rows = torch.nn.functional.pad(pooled, (0, 8 - pooled.shape[1] % 8)).unflatten(1, (-1, 8))
            results.append(self.head(rows @ rows.transpose(1, 2) @ rows).mean(1) + up.mean())
        return torch.stack(results).mean(0)


def spikformer() -> nn.Module:
    """Untrained networks are nearly silent; small running variances make them spike."""
    model = snnprof.load_model("spikformer")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_var is not None
            module.running_var.fill_(0.02)
    return model


def images(size: int, seed: int = 0) -> Tensor:
    """Pixels in sixteenths."""
    return torch.randint(0, 17, (size, 2, 8, 8), generator=torch.Generator().manual_seed(seed)) / 16


# -- checks: each returns what to note, and raises AssertionError or Left -----------------------------------------


def backends(device: str) -> list[str]:
    """What can read an operand there, by name; Triton's kernels also on a CPU, where they are interpreted."""
    operand = torch.zeros(1, device=device)
    return [name for name, backend in read.BACKENDS.items() if not backend.available() and backend.reads(operand)]


@contextmanager
def read_by(name: str) -> Iterator[None]:
    """One backend reads what it can, and PyTorch the rest."""
    known = dict(read.BACKENDS)
    read.BACKENDS.clear()
    read.BACKENDS.update({one: known[one] for one in (name, "reference")})
    try:
        yield
    finally:
        read.BACKENDS.clear()
        read.BACKENDS.update(known)


VALUES: dict[str, Callable[[Tensor], Tensor]] = {
    "spikes": lambda u: (u < 0.3).double(),
    "signed": lambda u: (u < 0.3).double() - (u > 0.8).double(),
    "levels": lambda u: (u * 4).floor(),
    "real": lambda u: u * (u > 0.5),
}
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "with gaps": lambda x: torch.stack([x, 1 - x], -1)[..., 0],
    "expanded": lambda x: x[:1].expand_as(x),
}


def operands(device: str) -> str:
    """Counts equal a brute force, for every backend, number format, memory layout and kind of values."""
    made, cannot = 0, set[str]()
    for backend, dtype, (number, lies) in itertools.product(backends(device), DTYPES, enumerate(LAYOUTS.values())):
        kinds = list(VALUES)
        if backend == "triton" and device == "cpu":  # interpreted, value by value
            kinds = [kinds[(number + DTYPES.index(dtype)) % len(kinds)]]
        for kind in kinds:
            u = torch.rand(2, 3, 4, 6, 6, generator=torch.Generator().manual_seed(made), dtype=torch.float64)
            batches = [lies(VALUES[kind](each).to(device, dtype)) for each in u]
            try:
                with read_by(backend):
                    found = counted(Contractions().to(device, dtype), batches)
            except NotImplementedError:
                cannot.add(str(dtype))
                continue
            expected = brute_force([x.cpu().double() for x in batches], whole=kind != "real")
            assert found == expected, (backend, dtype, number, kind, found, expected)
            made += 1
    missing = "".join(f"; PyTorch does not run {name} here" for name in sorted(cannot))
    return f"{made} cases, read by {' and '.join(backends(device))}{missing}"


def counted(model: nn.Module, batches: list[Tensor]) -> dict[str, tuple[int, int, int]]:
    """Events, effective events and events by value of each layer's contraction."""
    with torch.no_grad(), Recorder(model) as recorder:
        for x in batches:
            model(x)
            recorder.end_batch()
            recorder.end_block(len(x))
    activity = recorder.activity()
    assert activity.uncounted == []
    return {
        op.layer: (op.events, sum(part.effective for part in op.parts), sum(part.by_value for part in op.parts))
        for op in activity.ops
    }


@torch.no_grad()
def brute_force(batches: list[Tensor], whole: bool) -> dict[str, tuple[int, int, int]]:
    """The layers themselves in float64: ones for what is not zero, or |values| if whole, and ones or live weights."""
    model, found = Contractions().double(), {}
    ones = [(x != 0).double() for x in batches]
    values = [x.abs() for x in batches] if whole else ones
    for name, layer in model.named_children():
        live = layer.weight != 0  # type: ignore[operator]
        layer.bias.zero_()  # type: ignore[operator, union-attr]
        sums = []
        for weight, operands in ((live | True, ones), (live, ones), (live | True, values)):
            layer.weight.copy_(weight)  # type: ignore[operator, union-attr]
            sums.append(sum(int(layer(x).sum().round()) for x in operands))
        found[name] = (sums[0], sums[1], sums[2])
    pairs, by_value = (sum(int((x @ x.transpose(2, 3)).sum()) for x in each) for each in (ones, values))
    return {**found, "": (pairs, pairs, by_value)}


def same_as_on_the_cpu(device: str) -> str:
    """A network of every kind of operand, whose numbers are exact: the same record on both, in either layout."""
    expected, total = record(Kinds(), "cpu"), 0
    for memory in (torch.contiguous_format, torch.channels_last):
        there = record(Kinds().to(device, memory_format=memory), device, memory)
        assert there == expected, memory
        total = sum(op["parts"][0]["events"] for op in there["ops"])
    return f"{total} events"


def record(model: nn.Module, device: str, memory: torch.memory_format = torch.contiguous_format) -> dict[str, Any]:
    """What is counted of four batches, the last a smaller one. Once learned, nothing of one waits for the device."""
    with torch.no_grad(), Recorder(model.eval(), timesteps=3) as recorder:
        for number, size in enumerate((3, 3, 3, 2)):
            x = images(size, number).to(device, memory_format=memory)
            with waiting_is_an_error(device == "cuda" and number == 2):
                model(x)
                recorder.end_batch()
            recorder.end_block(size)
    return recorder.activity().model_dump(exclude={"run"})


@contextmanager
def waiting_is_an_error(on: bool) -> Iterator[None]:
    if not on:
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def second_counter(device: str) -> str:
    """Spikformer, whose numbers differ from device to device: the second counter and fvcore agree with the first."""
    for memory in (torch.contiguous_format, torch.channels_last):
        model = spikformer().to(memory_format=memory)
        x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)).to(memory_format=memory)
        agrees(snnprof.profile(model, [x, x[:3]], device=device))
    return "contiguous and channels last"


def agrees(activity: snnprof.Activity) -> None:
    check = activity.self_check
    assert check is not None
    assert check.equal == check.rows > 0, check.differences
    assert (activity.uncounted, activity.coverage) == ([], 1.0)


def bfloat16(device: str) -> str:
    """Autocast to bfloat16: what was counted is what ran; the note says what the format changed."""
    activity = profile_run(
        ProfileOptions(model="spikformer", data="digits", samples=16, batch_size=8, amp="bfloat16", device=device)
    )
    agrees(activity)
    turned = [finding.text for finding in activity.findings if finding.code == "C11"]
    return turned[0] if turned else "no spike differs from float32"


def spikingjelly(device: str) -> str:
    """SpikingJelly's neurons, with each of their kernels: the same counts as by PyTorch's operators on the CPU."""
    try:
        from spikingjelly.activation_based import functional, neuron
    except ImportError:
        raise Left("SpikingJelly is not installed") from None
    kernels = getattr(neuron.LIFNode(step_mode="m"), "supported_backends", (None,))
    expected, ran = None, []
    x = torch.stack([images(2, step).flatten(1) for step in range(4)])
    for where, kernel in [("cpu", None), *((device, kernel) for kernel in kernels)]:
        torch.manual_seed(0)
        options = {} if kernel is None else {"backend": kernel}
        try:
            model = nn.Sequential(nn.Linear(128, 16), neuron.LIFNode(step_mode="m", **options), nn.Linear(16, 4))
            for parameter in model.parameters():
                parameter.data = (parameter * 512).round() / 128  # exact on every device, and they fire
            functional.reset_net(model)
            activity = snnprof.profile(model, [x], layout="time-batch", timesteps=4, device=where)
        except ImportError as error:
            ran.append(f"{kernel}: {error}")
            continue
        found = [(op.layer, op.events, op.parts) for op in activity.ops], [n.spikes for n in activity.neurons]
        expected = expected or found
        assert found == expected, kernel
        assert sum(found[1]) > 0
        ran.append(kernel or "its own choice")
    return f"kernels: {', '.join(ran[1:])}"


def processes(device: str) -> str:
    """DistributedDataParallel under NCCL (gloo on a CPU): the counts of all processes add up to those of one."""
    size = torch.cuda.device_count() if device == "cuda" else 2
    said = torchrun(size, str(Path(__file__)), "--device", device, "--as-rank")
    assert "counts add up" in said, said[-2000:]
    return f"{size} process{'es' if size > 1 else ''}, {'NCCL' if device == 'cuda' else 'gloo'}"


def as_rank(device: str) -> None:
    """What each process of `processes` does."""
    rank, size, backend = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), "gloo"
    if device == "cuda":
        device, backend = f"cuda:{rank}", "nccl"
        torch.cuda.set_device(rank)
    distributed.init_process_group(backend)
    batches = [images(2, number).to(device) for number in range(2 * size)]
    model = Kinds().eval().to(device)
    ours = events(nn.parallel.DistributedDataParallel(model), batches[rank::size])
    total = torch.tensor(ours, device=device)
    distributed.all_reduce(total)
    alone = events(model, batches)
    distributed.destroy_process_group()
    assert total.tolist() == alone, (total.tolist(), alone)
    print("counts add up")


def events(model: nn.Module, batches: list[Tensor]) -> list[int]:
    return [sums[0] for sums in counted(model, batches).values()]


def command_line(device: str) -> str:
    """`torchrun -m snnprof profile` with a process for each GPU (two on a CPU): the integers of one process."""
    size = torch.cuda.device_count() if device == "cuda" else 2
    with tempfile.TemporaryDirectory() as folder:
        runs = [Path(folder) / f"{number}.json" for number in (1, size)]
        for run, number in zip(runs, (1, size), strict=True):
            arguments = ["--model", "spikformer", "--samples", "40", "--batch-size", "8", "--device", device]
            torchrun(number, "-m", "snnprof", "profile", *arguments, "--output", str(run), "--force")
        one, several = map(snnprof.Activity.load, runs)
    assert several.blocks == one.blocks
    return f"{size} process{'es' if size > 1 else ''}"


def torchrun(size: int, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={size}", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def loading(device: str) -> str:
    """Workers deliver the batches that one process reads, in memory that copies to a GPU need not wait for."""
    source = sources.open_source("random", InputSpec(shape=(3, 8, 8)), 23)
    dealt = [
        list(source.batches(Sampler(4), lambda number, start: True, Loading(workers, pinned=device == "cuda")))
        for workers in (0, 2)
    ]
    for alone, ahead in zip(*dealt, strict=True):
        assert isinstance(alone.x, Tensor)
        assert isinstance(ahead.x, Tensor)
        assert ahead.x.equal(alone.x)
        assert ahead.x.is_pinned() == (device == "cuda" and ahead.start > 0)  # the first one shows what the data are
    return f"{len(dealt[0])} batches"


CHECKS: dict[str, Callable[[str], str]] = {
    check.__name__: check
    for check in (
        operands, same_as_on_the_cpu, second_counter, bfloat16, spikingjelly, loading, processes, command_line,
    )
}  # fmt: skip


# -- the page --------------------------------------------------------------------------------------------------


def checked(device: str) -> tuple[list[str], bool]:
    """Rows of the table of checks, and whether all hold."""
    rows, right = [], True
    for name, check in CHECKS.items():
        start = time.perf_counter()
        try:
            outcome, note = "right", check(device)
        except Left as reason:
            outcome, note = "left out", str(reason)
        except Exception as error:
            outcome, note, right = "**wrong**", f"{type(error).__name__}: {error}"[:1000], False
        what = " ".join((check.__doc__ or "").split())
        note = note.replace("|", "\\|").replace("\n", " ")
        rows.append(f"| {what} | {outcome} | {note} | {time.perf_counter() - start:.0f} |")
        print(f"{name}: {outcome}, {note}", file=sys.stderr)
    return rows, right


def timed(device: str, deadline: float) -> tuple[str, list[str]]:
    """The overhead table, and rows of peak memory; what there was no time for is named."""
    import overhead

    tools = {name: overhead.TOOLS[name] for name in TIMED}
    results, memory, late = {}, [], []
    for case in CASES[device]:
        if time.perf_counter() > deadline:
            late.append(overhead.TITLES[case])
            continue
        results[case] = overhead.measure(case, device, ROUNDS, tools)
        if device == "cuda":
            memory.append(peak_memory(case, overhead))
    left = f"\n\nNo time was left for: {'; '.join(late)}." if late else ""
    return overhead.table(results, device, ROUNDS) + left, memory


def peak_memory(case: str, overhead: Any) -> str:
    """A row: the most that PyTorch held on the device in a pass, bare and counted."""
    model, x, timesteps = overhead.CASES[case]("cuda")
    peaks = []
    with torch.no_grad():
        for run in (lambda: model(x), overhead.eager(model, x, timesteps)):
            run()
            torch.cuda.reset_peak_memory_stats()
            run()
            peaks.append(torch.cuda.max_memory_allocated())
    return f"| {overhead.TITLES[case]} | {peaks[0] / 2**20:.0f} | {peaks[1] / 2**20:.0f} | {peaks[1] / peaks[0]:.3f} |"


def page(device: str, checks: list[str], overhead: str, memory: list[str]) -> str:
    name = torch.cuda.get_device_name() if device == "cuda" else "a CPU (dry run)"
    versions = f"snnprof {snnprof.__version__}, torch {torch.__version__}, CUDA {torch.version.cuda}"
    lines = [
        f"# snnprof on {name}", "", f"{versions}, {platform.platform()}. Made by `make gpu`.", "",
        "## Counts", "", "| check | outcome | note | s |", "|---|---|---|---:|", *checks,
        "", "## Overhead", "", overhead,
    ]  # fmt: skip
    if memory:
        lines += [
            "",
            "## Peak memory",
            "",
            "| case | bare, MiB | counted, MiB | ÷ bare |",
            "|---|---:|---:|---:|",
            *memory,
        ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=CASES)
    parser.add_argument("--markdown", type=Path, help="write the page here as well")
    parser.add_argument("--only", choices=CHECKS, help="one check, and no page")
    parser.add_argument("--as-rank", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device: str = arguments.device
    if device == "cuda" and not torch.cuda.is_available():
        print("error: PyTorch finds no CUDA device here; --device cpu makes a dry run", file=sys.stderr)
        return 2
    if arguments.as_rank:
        as_rank(device)
        return 0
    if arguments.only:
        print(CHECKS[arguments.only](device))
        return 0
    deadline = time.perf_counter() + SECONDS
    checks, right = checked(device)
    text = page(device, checks, *timed(device, deadline))
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text, encoding="utf-8")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())

"""What it costs to load data beside the passes that are counted: run with loading ÷ the same run from memory, paired.

    python benchmarks/loading.py                       # table on stdout
    python benchmarks/loading.py --device cuda --workers 0 4 8 16

Files are made for it: JPEGs of 500 × 375 pixels, and recordings of 200,000 events. They come from the page cache. The
two columns of milliseconds are CPU time on a CPU, which a busy machine does not change much.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import nn

import snnprof
from snnprof.record.recorder import Recorder
from snnprof.workload import sources
from snnprof.workload.batches import Batch, InputSpec, Loading, Sampler

CASES = {  # samples, batch size, model, T, source, what the model needs
    "JPEGs, Spikformer-4-384 (32 × 32)": (
        32, 8, "spikformer:4-384-cifar10", 4, "imagefolder", InputSpec(shape=(3, 32, 32)),
    ),
    "JPEGs, Spikformer-8-512 (224 × 224)": (
        8, 2, "spikformer:8-512-imagenet", 4, "imagefolder", InputSpec(shape=(3, 224, 224)),
    ),
    "events, Spikformer-2-256 (128 × 128, T = 16)": (
        8, 2, "spikformer:2-256-dvs128gesture", 16, "dvs128-gesture",
        InputSpec(shape=(16, 2, 128, 128), events=True, timesteps=16),
    ),
}  # fmt: skip


def files(folder: Path, kind: str, count: int) -> None:
    rng = np.random.default_rng(0)
    if kind == "imagefolder":
        from PIL import Image

        (folder / "class").mkdir()
        for number in range(count):
            coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)  # smooth, as photographs are
            Image.fromarray(coarse).resize((500, 375)).save(folder / "class" / f"{number}.jpg", quality=90)
    else:
        for number in range(count):
            place = folder / f"user{number}_led"
            place.mkdir()
            events = rng.integers(0, (128, 128, 2, 6000), (200_000, 4))
            np.save(place / "0.npy", events[events[:, 3].argsort()])


def seconds(model: nn.Module, timesteps: int, batches: Iterable[Batch], device: str) -> float:
    """One run: every batch moved to the device and counted, after a first one that is not timed."""
    with torch.no_grad(), Recorder(model, timesteps=timesteps) as recorder:
        start = 0.0
        for number, batch in enumerate(batches):
            assert isinstance(batch.x, torch.Tensor)
            model(batch.x.to(device, non_blocking=True))
            recorder.end_batch()
            if number == 0:
                recorder.end_block(batch.stop)
                start = time.perf_counter()
        recorder.end_block(batch.stop)
        return time.perf_counter() - start


def measure(case: str, device: str, workers: list[int], rounds: int) -> list[str]:
    samples, size, name, timesteps, kind, needs = CASES[case]
    model = snnprof.load_model(name).to(device)
    with tempfile.TemporaryDirectory() as folder:
        files(Path(folder), kind, samples)
        source = sources.open_source(f"{kind}:{folder}", needs)

        def dealt(count: int) -> Iterable[Batch]:
            return source.batches(Sampler(size), lambda number, start: True, Loading(count, device == "cuda"))

        clock = time.process_time if device == "cpu" else time.perf_counter
        start = clock()
        kept = list(dealt(0))
        loading = (clock() - start) / samples
        start = clock()
        seconds(model, timesteps, kept, device)
        counted = (clock() - start) / samples
        ratios = {count: list[float]() for count in workers}
        for _ in range(rounds):
            for count in workers:
                bare = seconds(model, timesteps, kept, device)
                ratios[count].append(seconds(model, timesteps, dealt(count), device) / bare)
    row = [case, f"{1000 * loading:.1f}", f"{1000 * counted:.1f}"]
    return row + [
        f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})" for values in ratios.values()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", action="append", choices=CASES)
    arguments = parser.parse_args()
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {device}; {arguments.rounds} rounds\n")
    head = ["case", "loading, ms a sample", "counted pass, ms a sample", *(f"{n} workers" for n in arguments.workers)]
    print(f"| {' | '.join(head)} |\n|---|{'---:|' * (len(head) - 1)}")
    for case in arguments.case or CASES:
        print(f"| {' | '.join(measure(case, arguments.device, arguments.workers, arguments.rounds))} |", flush=True)


if __name__ == "__main__":
    main()

"""How much memory a pass takes while it is counted: bare, under a no-op dispatch mode, and counted.

    python benchmarks/memory.py

Each runs in a process of its own, after three bare passes. "In use" is the most that was allocated at one time and not
yet freed: the heap, counted by a preloaded library (`heap.c`, compiled on the spot: glibc and a C compiler are needed),
and the pages in which snnprof keeps its sums. "Resident" is what the system lent the process for it at the most; how
much of it lies unused between tensors that come and go is up to the heap, and differs from process to process.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from overhead import CASES, TITLES, NoOp

import snnprof.record.memory
from snnprof.record.recorder import Recorder

PASSES = 4
SOURCE = Path(__file__).with_name("heap.c")
MODES = ("bare", "no-op dispatch mode", "counted")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, default="spikformer")
    parser.add_argument("--processes", type=int, default=3, help="of each kind; medians are shown")
    parser.add_argument("--mode", choices=MODES, help=argparse.SUPPRESS)
    parser.add_argument("--library", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.mode:
        print(json.dumps(measured(arguments.case, arguments.mode, ctypes.CDLL(arguments.library))))
    else:
        print(table(arguments.case, arguments.processes))


def measured(case: str, mode: str, heap: Any) -> list[float]:
    """Peaks in MB: the heap in use, pages of snnprof's own, the resident size."""
    heap.heap_highest.restype = ctypes.c_long
    model, x, timesteps = CASES[case]("cpu")
    own = pages_taken()
    with torch.no_grad():
        for _ in range(3):
            model(x)
        heap.heap_restart()
        RUNS[mode](model, x, timesteps)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return [size / 1e6 for size in (heap.heap_highest(), sum(own), resident)]


def pages_taken() -> list[int]:
    """Grows by the sizes of the pages that snnprof takes from now on."""
    sizes: list[int] = []
    take = snnprof.record.memory.pages

    def pages(size: int, dtype: torch.dtype) -> torch.Tensor:
        sizes.append(size * dtype.itemsize)
        return take(size, dtype)

    snnprof.record.memory.pages = pages
    return sizes


def bare(model: torch.nn.Module, x: torch.Tensor, timesteps: int) -> None:
    for _ in range(PASSES):
        model(x)


def no_op(model: torch.nn.Module, x: torch.Tensor, timesteps: int) -> None:
    with NoOp():
        bare(model, x, timesteps)


def counted(model: torch.nn.Module, x: torch.Tensor, timesteps: int) -> None:
    recorder = Recorder(model, timesteps=timesteps)
    with recorder:
        for _ in range(PASSES):
            model(x)
            recorder.end_batch()
            recorder.end_block(len(x))


RUNS: dict[str, Callable[[torch.nn.Module, torch.Tensor, int], None]] = dict(
    zip(MODES, (bare, no_op, counted), strict=True)
)


def table(case: str, processes: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        library = str(Path(folder) / "heap.so")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, str(SOURCE)], check=True)
        found = {mode: [_in_process(case, mode, library) for _ in range(processes)] for mode in MODES}
    lines = [
        f"{TITLES[case]}; torch {torch.__version__}, {torch.get_num_threads()} threads; {processes} processes each",
        "",
        "| | in use, MB | ÷ bare | resident, MB | ÷ bare |",
        "|---|---:|---:|---:|---:|",
    ]
    used = {mode: statistics.median(heap + pages for heap, pages, _ in runs) for mode, runs in found.items()}
    resident = {mode: statistics.median(run[2] for run in runs) for mode, runs in found.items()}
    for mode in MODES:
        ratios = used[mode] / used["bare"], resident[mode] / resident["bare"]
        lines.append(f"| {mode} | {used[mode]:.0f} | {ratios[0]:.3f} | {resident[mode]:.0f} | {ratios[1]:.3f} |")
    return "\n".join(lines)


def _in_process(case: str, mode: str, library: str) -> list[float]:
    command = [sys.executable, __file__, "--case", case, "--mode", mode, "--library", library]
    run = subprocess.run(command, env={**os.environ, "LD_PRELOAD": library}, check=True, capture_output=True, text=True)
    peaks: list[float] = json.loads(run.stdout.splitlines()[-1])
    return peaks


if __name__ == "__main__":
    main()

"""Counts on a device: the checks of benchmarks/gpu.py, which run on the CPU where there is no GPU; and nothing is asked
of values there while a block runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.profiler import profile

from snnprof.record.recorder import Recorder

ROOT = Path(__file__).parents[2]
WAITING = {"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero", "aten::equal"}


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CHECKS = (
    "operands", "same_as_on_the_cpu", "second_counter", "bfloat16", "spikingjelly", "loading", "processes",
    "command_line",
)  # fmt: skip
KINDS: dict[str, tuple[str, Callable[[int], Tensor], dict[str, Any]]] = {
    "all kinds": ("Kinds", lambda size: torch.rand(size, 2, 8, 8), {"timesteps": 3}),
    "all kinds, step by step": ("Kinds", lambda size: (torch.rand(size, 2, 8, 8) > 0.5).float(), {}),
    "spikformer": ("spikformer", lambda size: torch.rand(size, 1, 8, 8), {"timesteps": 4}),
}


@pytest.fixture(scope="module")
def gpu(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("benchmarks/gpu.py")


def test_all_checks_run_here(gpu: ModuleType) -> None:
    assert tuple(gpu.CHECKS) == CHECKS


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_counts_are_right_on_this_device(check: str, gpu: ModuleType) -> None:
    if check == "command_line" and DEVICE == "cpu":
        pytest.skip("tests/workload/test_distributed.py runs several processes on the CPU")
    try:
        assert gpu.CHECKS[check](DEVICE)
    except gpu.Left as reason:
        pytest.skip(str(reason))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("triton") is None, reason="there is no Triton")
def test_tritons_kernels_count_right_in_its_interpreter() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--only", "operands"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "triton" in done.stdout


def test_a_machine_without_a_gpu_is_told_in_one_sentence() -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "benchmarks/gpu.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: PyTorch finds no CUDA device here; --device cpu makes a dry run\n"


# -- nothing is asked of values while a block runs, however they are read ------------------------------------------


def counted(kind: str, gpu: ModuleType) -> tuple[dict[str, Any], set[str]]:
    """What was counted of three batches, the last a smaller one; and what waited for values once they were learned."""
    make, data, options = KINDS[kind]
    net, waited = getattr(gpu, make)().eval().to(DEVICE), set[str]()
    with torch.no_grad(), Recorder(net, **options) as recorder:
        for number, size in enumerate((3, 3, 2)):
            torch.manual_seed(number)
            x = data(size).to(DEVICE)
            with profile() as events:
                net(x)
            if number:
                waited |= {event.name for event in events.function_events} & WAITING
            recorder.end_batch()
            recorder.end_block(size)
    return recorder.activity().model_dump(exclude={"run"}), waited


@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_the_same_whatever_reads_and_nothing_waits_for_them(kind: str, gpu: ModuleType) -> None:
    expected, _ = counted(kind, gpu)
    for backend in gpu.backends(DEVICE):
        with gpu.read_by(backend):
            found, waited = counted(kind, gpu)
        assert found == expected, backend
        assert waited == set(), backend
    assert sum(op["parts"][0]["events"] for op in expected["ops"])

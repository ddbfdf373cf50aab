"""Counts on a device: the checks of benchmarks/gpu.py, which run on the CPU where there is no GPU; and nothing is asked
of values there while a block runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.profiler import profile

from snnprof.record import ledger, tally
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


def test_a_machine_without_a_gpu_is_told_in_one_sentence() -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "benchmarks/gpu.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: PyTorch finds no CUDA device here; --device cpu makes a dry run\n"


# -- what tells a device from the CPU is asked in two places; both are told that the CPU's tensors lie on a device ----


@pytest.fixture
def on_a_device(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def tell() -> None:
        monkeypatch.setattr(tally, "_may_ask", lambda values: False)
        monkeypatch.setattr(ledger, "_at_hand", lambda device: False)

    return tell


def counted(kind: str, gpu: ModuleType) -> tuple[dict[str, Any], set[str]]:
    """What was counted of three batches, the last a smaller one; and what waited for values once they were learned."""
    make, data, options = KINDS[kind]
    net, waited = getattr(gpu, make)().eval(), set[str]()
    with torch.no_grad(), Recorder(net, **options) as recorder:
        for number, size in enumerate((3, 3, 2)):
            torch.manual_seed(number)
            x = data(size)
            with profile() as events:
                net(x)
            if number:
                waited |= {event.name for event in events.function_events} & WAITING
            recorder.end_batch()
            recorder.end_block(size)
    return recorder.activity().model_dump(exclude={"run"}), waited


@pytest.mark.parametrize("kind", KINDS)
def test_counts_on_a_device_are_those_on_the_host(kind: str, on_a_device: Callable[[], None], gpu: ModuleType) -> None:
    on_host, _ = counted(kind, gpu)
    on_a_device()
    there, waited = counted(kind, gpu)
    assert there == on_host
    assert waited == set()
    assert sum(op["parts"][0]["events"] for op in there["ops"])

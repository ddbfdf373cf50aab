"""Reading operands in any layout, on any number of threads, by every backend, against a count value by value."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from snnprof.record.read import BACKENDS, multiply, native
from snnprof.record.read.operand import ANY, LEVELS, NEGATIVE, NONZERO, REACHED, RESIDUAL, SINGLE, Grid, Reach, Sums
from snnprof.record.read.reference import traced
from snnprof.record.recorder import Recorder

ROOT = Path(__file__).parent.parent.parent
SCRIPT = "tests/record/reading.py"
HERE = [name for name, backend in BACKENDS.items() if not backend.available()]
needs_triton = pytest.mark.skipif("not installed" in BACKENDS["triton"].available(), reason="there is no Triton")


@contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """Reads on so many threads, however few the values."""
    worthwhile, before = native._WORTHWHILE, torch.get_num_threads()
    native._WORTHWHILE = 1
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        native._WORTHWHILE = worthwhile
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def reading() -> ModuleType:
    import importlib.util

    spec = importlib.util.spec_from_file_location("reading", ROOT / SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@settings(deadline=None)
@given(seed=st.integers(0, 1 << 30), threads=st.integers(1, 4))
def test_every_backend_counts_what_is_there(reading: ModuleType, seed: int, threads: int) -> None:
    asked = reading.case(seed)
    with on_threads(threads):
        answers = {name: reading.answer(name, asked) for name in HERE}
    with traced():
        graph = reading.answer("reference", asked)
    right = reading.brute(asked) if asked.values.numel() < 3000 else answers["reference"]
    assert answers == dict.fromkeys(answers, right)
    if asked.grid != SINGLE:
        assert graph == right
    else:  # that it is something else is all that a graph tells
        found = [(row[NONZERO], row[REACHED], row[RESIDUAL] > 0) for row in graph[0]]
        ones = [row[LEVELS] == row[NONZERO] and not row[RESIDUAL] and not row[NEGATIVE] for row in right[0]]
        assert found == [(row[NONZERO], row[REACHED], not one) for row, one in zip(right[0], ones, strict=True)]


@needs_triton
def test_the_kernels_count_the_same_in_their_interpreter() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", SCRIPT, "40"], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}, timeout=600,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    assert "triton" in run.stdout


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from snnprof.record.read import kernels

def compiled(kernel, constants, **pointers):
    signature = {**pointers, **dict.fromkeys(constants, "constexpr")}
    triton.compile(ASTSource(kernel, signature, constants), target=GPUTarget("cuda", 80, 32), options={"num_warps": 8})

operand = dict(row="*i64", facts="*i64", table="*i32", nonzero="*i32", levels="*i64")
forms = {
    "*fp32": dict(double=False, quantised=True, single=True, divided=False, tabled=True, kept=0, bins=1, size=256, lanes=8, near=1),
    "*bf16": dict(double=False, quantised=True, single=False, divided=True, tabled=False, kept=2, bins=32, size=16, lanes=128, near=0),
    "*fp64": dict(double=True, quantised=True, single=False, divided=True, tabled=False, kept=0, bins=1, size=1, lanes=2048, near=2),
}
for dtype, constants in forms.items():
    compiled(kernels.read, constants, values=dtype, **operand)
compiled(kernels.multiply, dict(lanes=2048), left="*i32", left_levels="*i64", right="*i32", right_levels="*i32", row="*i64",
         facts="*i64")
"""  # noqa: E501


@needs_triton
@pytest.mark.slow
def test_the_kernels_compile_for_a_gpu() -> None:
    """The interpreter takes what the compiler refuses."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if "NVIDIA" in run.stderr and "ptxas" in run.stderr:
        pytest.skip("Triton brought no assembler")
    assert run.returncode == 0, run.stderr[-3000:]


def figures(backend: str, values: Tensor, grid: Grid, reach: Reach = 1) -> Tensor:
    row = torch.zeros(grid.width, dtype=torch.int64)
    BACKENDS[backend].read(values, grid, reach, row, None, None)
    return row


def farthest(row: Tensor) -> float:
    return float(row[RESIDUAL : RESIDUAL + 1].view(torch.float64))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("wrong", [-1.0, 0.5, 2.0, math.nan, math.inf, -math.inf, 1 + 2**-23, 2.0**-149, 300.0])
@pytest.mark.parametrize("place", [0, 6, 11])
def test_what_is_no_spike_is_found(backend: str, threads: int, wrong: float, place: int) -> None:
    values = torch.ones(3, 4)
    values[1] = 0
    values.view(-1)[place] = wrong
    with on_threads(threads):
        row = figures(backend, values, SINGLE)
        assert figures(backend, values, ANY).tolist() == [8 + (place == 6), 0, 8 + (place == 6), 0, 0, 0]
    spikes = bool(row[LEVELS] == row[NONZERO]) and int(row[NEGATIVE]) == 0 and farthest(row) == 0
    assert row[NONZERO] == 8 + (place == 6)
    assert not spikes


@pytest.mark.parametrize("backend", HERE)
def test_no_number_is_infinitely_far_from_any_level(backend: str) -> None:
    for wrong in (math.nan, math.inf, -math.inf):
        assert farthest(figures(backend, torch.tensor([1.0, wrong, 2.0]), Grid(1.0, 40))) == math.inf


@pytest.mark.parametrize("backend", HERE)
def test_a_table_of_what_is_reached(backend: str) -> None:
    values = torch.tensor([[1.0, 0, 3], [0, 2, 1]])
    row = figures(backend, values, Grid(1.0, 3), torch.tensor([5, 7, 11], dtype=torch.int32))
    assert row.tolist() == [4, 7, 5 + 11 + 7 + 11, 5 + 33 + 14 + 11, 0, 0, 2, 2, 1, 1]


@pytest.mark.parametrize("shape", [(1, 4099, 4099), (4099, 4099), ((1 << 24) + 3, 1)])
def test_a_traced_read_counts_beyond_what_float32_holds(shape: tuple[int, ...]) -> None:
    values = torch.ones(shape, dtype=torch.bool)
    with traced():
        row = figures("reference", values, SINGLE)
    assert row.tolist() == [values.numel()] * 4 + [0, 0]


@pytest.mark.parametrize("depth", [0, 1])
def test_products_of_counts_that_are_kept(depth: int) -> None:
    """Stacks broadcast, also where one has a dimension more."""
    left = torch.tensor([[[[1, 2], [3, 4]], [[0, 1], [5, 0]]]], dtype=torch.int32)
    right = torch.tensor([[[2, 3], [1, 1]]], dtype=torch.int32)
    right = right if depth else right[:, :1]
    levels = left.long() * 10
    row = torch.zeros(4, dtype=torch.int64)
    multiply(Sums((), left, levels), Sums((), right), row)
    meeting = int((left[0] * right[0]).sum())
    assert row.tolist() == [meeting, meeting, 10 * meeting, 10 * meeting]


class Pooled(nn.Module):
    """How many of 400 pixels of each channel fired, into a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x > 0).float().sum((2, 3)))


def test_a_histogram_is_whole_or_not_there() -> None:
    """Levels beyond a byte are summed, and known to be spikes, but not told apart, nor those of other batches."""
    few, many = torch.zeros(1, 3, 20, 20), torch.ones(1, 3, 20, 20)
    few[0, 0, 0, :5] = 1
    with Recorder(model := Pooled()) as recorder:
        for x in (few, many):
            model(x)
    (op,) = recorder.activity(samples=2).ops
    assert op.operands[0].histogram == []
    assert [(part.kind, part.nonzero, part.level_sum) for part in op.parts] == [("spikes", 1 + 3, 5 + 3 * 400)]


class Copies(nn.Module):
    """Three copies of one operand, each multiplied; the second is silenced in a way that raises no version."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(6, 2, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        spikes = (x > 0).float()
        copies = [spikes.clone() for _ in range(3)]
        copies[1].data.zero_()
        return sum((head(copy) for head, copy in zip(self.heads, copies, strict=True)), torch.zeros(()))


class Written(nn.Module):
    """Spikes made of flags, of which some are silenced in a way that raises no version, before they are multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, bias=False)
        self.second = nn.Conv2d(2, 3, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros(())
        for step in range(3):
            spikes = (x > step).float()
            total = total + self.first(spikes).mean()
            silenced = (x > step).float()
            silenced.data[:, 0] = 0
            total = total + self.second(silenced).mean()
        return total


@pytest.mark.parametrize("passes", [1, 3])
def test_spikes_made_of_flags_and_written_to(passes: int) -> None:
    torch.manual_seed(0)
    model, x = Written().eval(), torch.rand(4, 2, 5, 5) * 4
    with torch.no_grad(), Recorder(model, timesteps=3) as recorder:
        for _ in range(passes):
            model(x)
            recorder.end_batch()
            recorder.end_block(4)
    activity = recorder.activity()
    fan = torch.nn.functional.conv_transpose2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3)) * 3
    all_of_it = sum(int(((x > step) * fan).sum()) for step in range(3))
    half_of_it = sum(int(((x > step)[:, 1:] * fan).sum()) for step in range(3))
    assert [op.events for op in activity.ops] == [passes * all_of_it, passes * half_of_it]


@pytest.mark.parametrize("passes", [1, 3])
def test_a_write_that_autograd_does_not_see(passes: int) -> None:
    x = torch.linspace(-1, 1, 24).reshape(4, 6)
    fired = int((x > 0).sum())
    model = Copies()
    with Recorder(model) as recorder:
        for _ in range(passes):
            model(x)
    assert [op.events for op in recorder.activity(samples=4).ops] == [2 * fired * passes, 0, 2 * fired * passes]

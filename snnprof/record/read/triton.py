"""Reads operands on a GPU with one Triton kernel per operand, without copies, allocations or synchronisation.

PyTorch's builds for GPUs include Triton. Compiling a kernel takes seconds, but only once: Triton caches it on disk.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import struct
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnprof.errors import first_line
from snnprof.record.read.operand import ANY, Dim, Dims, Grid, Reach, Steps, Sums, layout_of

_PROGRAMS = 1056
"""The most programs per time step: eight for each multiprocessor of the largest cards."""
_TILE = 2048
"""Values that a program reads at once: places × lanes."""
_WARPS = 8
"""Warps of a program."""
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_DTYPES = frozenset([*_FLOATS, torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether Triton's interpreter runs the kernels on the CPU, as in their tests."""


class NoKernels(Exception):
    """Triton cannot make kernels on this machine."""


class _State:
    """Whether a kernel has run on this machine, and the reason if the first one failed."""

    works = False
    broken = ""


@functools.cache
def _is_installed() -> bool:
    """Whether Triton is installed; cached, since every read on a GPU needs it."""
    return importlib.util.find_spec("triton") is not None


def missing() -> str:
    """Why Triton cannot be used on this machine; "" if it can."""
    if not _is_installed():
        return "Triton is not installed"
    return _State.broken or ("" if INTERPRETED or torch.cuda.is_available() else "PyTorch finds no GPU")


def reads(values: Tensor) -> bool:
    """Whether the kernels can read an operand: a GPU tensor of a common dtype with at most 2³⁰ values."""
    there = values.is_cpu if INTERPRETED else values.is_cuda
    return there and type(values) is Tensor and values.dtype in _DTYPES and values.numel() <= 1 << 30 and not missing()


def read(
    values: Tensor, grid: Grid, reach: Reach, row: Tensor, steps: Steps | None = None, sums: Sums | None = None
) -> None:
    """Reads an operand as `snnprof.record.read.read` says."""
    dims = layout_of(values, steps, reach, sums)
    tabled = isinstance(reach, Tensor)
    launch = _launch(dims, grid, 0 if isinstance(reach, Tensor) else reach, tabled or sums is not None, values.device)
    kept = 0 if sums is None else 1 if sums.levels is None else 2
    values = values.view(torch.uint8) if values.dtype is torch.bool else values
    nonzero, levels = (sums.nonzero, row if sums.levels is None else sums.levels) if sums else (row, row)
    table = reach if isinstance(reach, Tensor) else row
    _run(
        "read", launch, values, (values, row, launch.facts, table, nonzero, levels),
        double=values.dtype is torch.float64, quantised=grid.quantum is not None, single=grid.levels <= 1,
        divided=not grid.exact, tabled=tabled, kept=kept, bins=launch.bins, size=launch.size, lanes=launch.lanes,
        near=launch.near,
    )  # fmt: skip


def multiply(left: Sums, right: Sums, dims: Dims, row: Tensor) -> None:
    """Multiplies counts as `snnprof.record.read.multiply` says; `dims` are the loops over both (`operand.paired`)."""
    launch = _launch(dims, ANY, 0, False, row.device)
    one, other = (
        left.nonzero if left.levels is None else left.levels,
        right.nonzero if right.levels is None else right.levels,
    )
    _run("multiply", launch, row, (left.nonzero, one, right.nonzero, other, row, launch.facts), lanes=launch.lanes)


class _Launch(NamedTuple):
    """How a kernel is started on operands of one memory layout.

    Attributes:
        grid: number of programs, and time steps.
        facts: the numbers that the kernel needs (`kernels.py`), on the operand's device.
        size: places of a program.
        lanes: values per place that a program reads at once.
        bins: histogram bins, rounded up to a power of two; 1 for none.
        near: which values are neighbours in memory (`kernels.py`).
    """

    grid: tuple[int, int]
    facts: Tensor
    size: int
    lanes: int
    bins: int
    near: int


@functools.lru_cache(maxsize=4096)
def _launch(dims: Dims, grid: Grid, reach: int, by_place: bool, device: torch.device) -> _Launch:
    """Plans the start of a kernel; `by_place`: counts stay apart along dimensions with a table or sums."""
    (steps, step_value, step_place), *others = dims
    inner = others[::-1]
    apart = [dim for dim in inner if by_place and dim[2]]
    rest = [dim for dim in inner if not (by_place and dim[2])]
    places, summed = (functools.reduce(lambda n, dim: n * dim[0], group, 1) for group in (apart, rest))
    size = _block(places, bool(apart) and inner[0] is apart[0])
    lanes = _TILE // size
    blocks, tiles = -(-places // size), -(-summed // lanes)
    parts = max(1, min(tiles, _PROGRAMS // blocks))
    quantum = grid.quantum or 1.0
    units = struct.unpack("<2q", struct.pack("<2d", quantum, 1 / quantum if grid.exact else quantum))
    head = [places, summed, len(apart), len(rest), -(-tiles // parts), step_value, step_place, *units, reach, grid.bins]
    facts = torch.tensor([*head, *(number for dim in [*apart, *rest] for number in dim)], dtype=torch.int64)
    bins = 1 if not grid.bins else max(32, 1 << grid.bins.bit_length())
    near = _near(apart, rest, step_value)
    return _Launch((blocks * parts, steps), facts.to(device), size, lanes, bins, near)


def _near(places: list[Dim], rest: list[Dim], step: int) -> int:
    """Whether places, or the rest, may be loaded several at once.

    They must be one dimension of neighbours in memory, and all other distances multiples of the vector size.
    """
    from snnprof.record.read import kernels

    for near, which, other in ((kernels.PLACES_NEAR, places, rest), (kernels.REST_NEAR, rest, places)):
        distances = [step, *(distance for _, distance, _ in other)]
        if len(which) == 1 and which[0][1] == 1 and not any(n % kernels.VECTOR for n in (which[0][0], *distances)):
            return near
    return kernels.SCATTERED


def _block(places: int, side_by_side: bool) -> int:
    """The places of a program: many if places are neighbours in memory, else few, so that it reads the rest in rows."""
    if places == 1:
        return 1
    if not side_by_side:
        return 16
    return 256 if places > 64 else 64


def _run(kernel: str, launch: _Launch, where: Tensor, pointers: tuple[Tensor, ...], **constants: Any) -> None:
    """Starts a kernel.

    Raises:
        NoKernels: the first kernel failed: Triton needs a C compiler and a GPU that it supports.
    """
    try:
        _start(kernel, launch, where, pointers, constants)
    except Exception as error:
        if _State.works:
            raise
        _State.broken = f"Triton makes no kernels here: {first_line(error)}"
        warnings.warn(f"{_State.broken}; PyTorch counts in their place, several times slower", stacklevel=2)
        raise NoKernels(_State.broken) from error
    _State.works = True


def _start(
    kernel: str, launch: _Launch, where: Tensor, pointers: tuple[Tensor, ...], constants: dict[str, Any]
) -> None:
    from snnprof.record.read import kernels

    start = getattr(kernels, kernel)[launch.grid]
    if where.is_cuda and where.device.index != torch.cuda.current_device():
        with torch.cuda.device(where.device):
            start(*pointers, **constants, num_warps=_WARPS)
    else:
        start(*pointers, **constants, num_warps=_WARPS)

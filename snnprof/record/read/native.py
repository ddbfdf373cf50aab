"""Reads operands on the CPU in one pass of compiled code (`_reader.c`), if a C compiler built it."""

from __future__ import annotations

import torch
from torch import Tensor

from snnprof.record.read.operand import Grid, Reach, Steps, Sums, layout_of, wide

try:
    import snnprof.record.read._reader as compiled
except ImportError:
    compiled = None  # type: ignore[assignment]

_WORTHWHILE = 1 << 15
"""Values per thread: for fewer, another thread costs more than it saves."""
_NOWHERE = (0, 0)


def missing() -> str:
    """Why the compiled reader cannot be used on this machine; "" if it can."""
    return "" if compiled is not None else "snnprof was installed without a C compiler"


def reads(values: Tensor) -> bool:
    """Whether the compiled reader can read an operand: a CPU tensor of any dtype with fewer than 2³¹ values."""
    return compiled is not None and values.is_cpu and type(values) is Tensor and values.numel() < 1 << 31


def read(
    values: Tensor, grid: Grid, reach: Reach, row: Tensor, steps: Steps | None = None, sums: Sums | None = None
) -> None:
    """Reads an operand as `snnprof.record.read.read` says; bool, float32 and float64 without a copy."""
    values = wide(values)
    quantum = grid.quantum or 0.0
    if values.dtype is torch.bool and quantum not in (0.0, 1.0):
        values = values.float()
    dims = layout_of(values, steps, reach, sums)
    table = reach if isinstance(reach, Tensor) else None
    storage = values.untyped_storage()
    compiled.read(
        (storage.data_ptr(), storage.nbytes()),
        int(values.storage_offset()),
        values.element_size(),
        sum(dims, ()),
        quantum,
        grid.levels <= 1,
        0 if isinstance(reach, Tensor) else reach,
        _memory(table),
        _memory(row),
        grid.bins,
        _memory(sums.nonzero if sums else None),
        _memory(sums.levels if sums else None),
        max(1, min(torch.get_num_threads(), values.numel() // _WORTHWHILE)),
    )


def _memory(tensor: Tensor | None) -> tuple[int, int]:
    """Address and size in bytes of a tensor's memory."""
    return _NOWHERE if tensor is None else (tensor.data_ptr(), tensor.numel() * tensor.element_size())

"""Memory of our own, apart from the heap that the model's tensors come from and go to.

What lasts among tensors that come and go leaves gaps that nothing fits into: counters on the heap let a process grow to
twice its size. So what a recording keeps on the CPU lies in pages of its own.
"""

from __future__ import annotations

import math
import mmap
import sys
import threading
from collections.abc import Sequence

import torch
from torch import Tensor

_CHUNK = 1 << 20
_ALIGNED = 64


def pages(size: int, dtype: torch.dtype) -> Tensor:
    """So many zeros, in pages that are given back when the tensor goes."""
    with torch.inference_mode(False):  # memory made under it could not be written to outside it
        return torch.frombuffer(_mapped(max(size, 1) * dtype.itemsize), dtype=dtype)


def _mapped(size: int) -> mmap.mmap:
    """Python maps shared memory by default: a forked process would write into its parent's sums."""
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def zeros(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A sum's start, on any device."""
    if device.type == "cpu":
        return _CELLS.take(math.prod(shape), dtype).view(tuple(shape))
    with torch.inference_mode(False):
        return torch.zeros(shape, dtype=dtype, device=device)


class _Cells:
    """Small sums side by side in one chunk; it goes when the last of them goes."""

    def __init__(self) -> None:
        self._chunk = pages(0, torch.uint8)
        self._used = 0
        self._lock = threading.Lock()  # recorders in several threads take from it at once

    def take(self, size: int, dtype: torch.dtype) -> Tensor:
        length = math.ceil(max(size, 1) * dtype.itemsize / _ALIGNED) * _ALIGNED
        if length > _CHUNK // 4:
            return pages(size, dtype)[:size]
        with self._lock:
            if self._used + length > self._chunk.numel():
                self._chunk, self._used = pages(_CHUNK, torch.uint8), 0
            chunk, start = self._chunk, self._used
            self._used += length
        with torch.inference_mode(False):
            return chunk[start : start + length].view(dtype)[:size]


_CELLS = _Cells()

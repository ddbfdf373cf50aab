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
    size = math.prod(shape)
    if device.type == "cpu":
        return pages(size, dtype)[:size].view(tuple(shape))
    with torch.inference_mode(False):
        return torch.zeros(shape, dtype=dtype, device=device)


class _Workspace(threading.local):
    """Memory for a device and dtype that every call uses again: fresh memory costs more than the arithmetic in it."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[torch.device, torch.dtype, str], Tensor] = {}

    def zeros(self, size: int, dtype: torch.dtype, device: torch.device, use: str) -> Tensor:
        """So many, until the next call for that use."""
        buffer = self._buffers.get((device, dtype, use))
        if buffer is None or buffer.numel() < size:
            buffer = self._buffers[device, dtype, use] = zeros((size,), dtype, device)
        return buffer[:size].zero_()

    def clear(self) -> None:
        self._buffers.clear()


WORKSPACE = _Workspace()

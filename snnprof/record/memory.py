"""Memory for counters, apart from the heap that the model's tensors use.

Counters stay while the model's tensors come and go. On the heap they would leave gaps between them that no later tensor
fits into, and the process would grow to twice its size. On the CPU counters therefore lie in memory pages of their own.
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
    """A tensor of `size` zeros in memory pages of its own, which are freed with the tensor."""
    with torch.inference_mode(False):  # tensors made under inference mode cannot be written to outside it
        return torch.frombuffer(_mapped(max(size, 1) * dtype.itemsize), dtype=dtype)


def _mapped(size: int) -> mmap.mmap:
    """Maps private memory: with Python's default, a forked process would write into its parent's counters."""
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def zeros(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeroed counters on any device."""
    size = math.prod(shape)
    if device.type == "cpu":
        return pages(size, dtype)[:size].view(tuple(shape))
    with torch.inference_mode(False):
        return torch.zeros(shape, dtype=dtype, device=device)


class _Workspace(threading.local):
    """One buffer per device, dtype and use, which every call reuses: to allocate takes longer than to count."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[torch.device, torch.dtype, str], Tensor] = {}

    def zeros(self, size: int, dtype: torch.dtype, device: torch.device, use: str) -> Tensor:
        """A tensor of `size` zeros, valid until the next call for the same use."""
        buffer = self._buffers.get((device, dtype, use))
        if buffer is None or buffer.numel() < size:
            buffer = self._buffers[device, dtype, use] = zeros((size,), dtype, device)
        return buffer[:size].zero_()

    def clear(self) -> None:
        """Frees all buffers of this thread."""
        self._buffers.clear()


WORKSPACE = _Workspace()
"""Working memory, for each thread its own."""

"""The log of a recording: rows of int64 that reads write on their device, added up on the host once a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnprof.record.memory import zeros
from snnprof.record.suspend import Unseen

Array = NDArray[Any]
_ARENA = 1 << 17
_ALIGNED = 2  # a kernel is compiled once for rows that start at multiples of 16 bytes


class Series(Protocol):
    """Calls that are alike: each writes a row of `size` numbers."""

    size: int

    def take(self, rows: Array) -> None:
        """Adds up the rows `[calls, size]` that were written since the last time."""


class Counter(Protocol):
    def end_block(self) -> None:
        """Closes a block with what was taken since the last one."""


class CountLog:
    """Where reads write. A device is waited for at the end of a block, and where an arena is full."""

    def __init__(self) -> None:
        self._arenas: dict[torch.device, _Arena] = {}
        self._counters: list[Counter] = []

    def register(self, counter: Counter) -> None:
        """A counter whose blocks are closed with the log's."""
        self._counters.append(counter)

    def record(self, series: Series, device: torch.device, write: Callable[[Tensor], object]) -> None:
        """Has a row written for one call; what fails leaves none."""
        arena = self._arenas.get(device)
        if arena is None:
            arena = self._arenas[device] = _Arena(device)
        arena.record(series, write)

    def copy(self, series: Series, row: Tensor) -> None:
        """Takes a row that was written elsewhere."""
        self.record(series, row.device, lambda own: own.copy_(row))

    def flush(self) -> None:
        """Hands all rows to their series."""
        with Unseen():
            for arena in self._arenas.values():
                arena.flush()

    def end_block(self) -> None:
        """Reads the devices' rows back, one copy for each device."""
        self.flush()
        for counter in self._counters:
            counter.end_block()


class _Arena:
    """Rows side by side in the memory of one device, zeros where none is."""

    def __init__(self, device: torch.device) -> None:
        self._memory = zeros((_ARENA,), torch.int64, device)
        self._used = 0
        self._starts: dict[Series, list[int]] = {}

    def record(self, series: Series, write: Callable[[Tensor], object]) -> None:
        start, end = self._used, self._used + series.size
        if end > len(self._memory):
            self.flush()
            start, end = 0, series.size
            if end > len(self._memory):
                self._memory = zeros((end,), torch.int64, self._memory.device)
        self._used = -(-end // _ALIGNED) * _ALIGNED
        write(self._memory[start:end])
        self._starts.setdefault(series, []).append(start)

    def flush(self) -> None:
        if not self._used:
            return
        written = self._memory[: self._used]
        numbers = written.cpu().numpy()
        for series, starts in self._starts.items():
            series.take(numbers[np.add.outer(starts, np.arange(series.size))])
        self._starts.clear()
        written.zero_()
        self._used = 0


class Total:
    """Calls of which only the number of non-zeros counts."""

    def __init__(self, add: Callable[[int], None]) -> None:
        self.size, self._add = 6, add

    def take(self, rows: Array) -> None:
        self._add(int(rows[:, 0].sum()))

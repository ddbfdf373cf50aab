"""The log of a recording: reads write rows of int64 on their device, and the host adds them up once per block."""

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
"""Numbers in the log's memory on one device, 1 MiB."""
_ALIGNED = 2  # rows start at multiples of 16 bytes: for other addresses Triton would compile the kernel again


class Series(Protocol):
    """Calls that are alike; each writes one row of `size` int64 numbers into the log."""

    size: int

    def take(self, rows: Array) -> None:
        """Adds up rows.

        Args:
            rows: the rows of all calls since the last flush, int64 `[calls, size]` on the host.
        """


class Counter(Protocol):
    """Adds up the counts of its series, block by block."""

    def end_block(self) -> None:
        """Closes a block of all that was added since the last one."""


class CountLog:
    """The log that reads write their rows into.

    It synchronises with a device only at the end of a block, or when its memory on that device is full.
    """

    def __init__(self) -> None:
        self._arenas: dict[torch.device, _Arena] = {}
        self._counters: list[Counter] = []

    def register(self, counter: Counter) -> None:
        """Adds a counter, which closes its blocks together with the log.

        Args:
            counter: receives `end_block` after each flush at the end of a block.
        """
        self._counters.append(counter)

    def record(self, series: Series, device: torch.device, write: Callable[[Tensor], object]) -> None:
        """Has one call write a row. If `write` raises, the log keeps no row of the call.

        Args:
            series: the series that takes the row at the next flush.
            device: where to write.
            write: fills the row, int64 zeros `[series.size]` on that device.
        """
        arena = self._arenas.get(device)
        if arena is None:
            arena = self._arenas[device] = _Arena(device)
        arena.record(series, write)

    def copy(self, series: Series, row: Tensor) -> None:
        """Adds a row that already exists, as a compiled graph returns it.

        Args:
            series: the series that takes the row at the next flush.
            row: int64 `[series.size]`.
        """
        self.record(series, row.device, lambda own: own.copy_(row))

    def flush(self) -> None:
        """Copies the rows of all devices to the host and hands them to their series."""
        with Unseen():
            for arena in self._arenas.values():
                arena.flush()

    def end_block(self) -> None:
        """Flushes, with one copy per device, and lets all counters close a block."""
        self.flush()
        for counter in self._counters:
            counter.end_block()


class _Arena:
    """The log's memory on one device: rows one behind the other, zeros everywhere else."""

    def __init__(self, device: torch.device) -> None:
        self._memory = zeros((_ARENA,), torch.int64, device)
        self._used = 0
        self._starts: dict[Series, list[int]] = {}

    def record(self, series: Series, write: Callable[[Tensor], object]) -> None:
        """Has one call write a row; if memory is too small for it, flushes first."""
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
        """Hands the rows to their series and clears the memory."""
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
    """A series of which only the number of non-zeros counts; `add` receives their sum."""

    def __init__(self, add: Callable[[int], None]) -> None:
        self.size, self._add = 6, add

    def take(self, rows: Array) -> None:
        """Adds the non-zeros, the first figure of each row."""
        self._add(int(rows[:, 0].sum()))

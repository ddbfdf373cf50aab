"""Running sums kept on the device, read back once per block."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from snnprof.record.memory import zeros


class Ledger:
    """Cells of int64 counters; `drain` empties all of them with one copy per device."""

    def __init__(self) -> None:
        self._cells: list[Tensor] = []
        self._readers: list[Callable[[list[int]], None]] = []

    def cell(self, size: int, device: torch.device, reader: Callable[[list[int]], None]) -> Tensor:
        """A new cell; `reader` gets what it held at each drain."""
        cell = zeros((size,), torch.int64, device)
        self._cells.append(cell)
        self._readers.append(reader)
        return cell

    def drain(self) -> None:
        by_device: dict[torch.device, list[int]] = {}
        for position, cell in enumerate(self._cells):
            by_device.setdefault(cell.device, []).append(position)
        for positions in by_device.values():
            values = torch.cat([self._cells[p] for p in positions]).tolist()
            start = 0
            for position in positions:
                end = start + self._cells[position].numel()
                self._readers[position](values[start:end])
                start = end
        for cell in self._cells:
            cell.zero_()

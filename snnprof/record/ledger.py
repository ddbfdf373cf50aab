"""Running sums kept on the device, read back once per block."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from snnprof.record.memory import zeros

_SHEET = 4096

Entry = tuple[int, int, Callable[[list[int]], None]]
"""Where a cell begins and ends on its sheet, and who reads it."""


class Ledger:
    """Cells of int64 counters, side by side on a few sheets; `drain` empties a sheet with one copy."""

    def __init__(self) -> None:
        self._sheets: list[tuple[Tensor, list[Entry]]] = []

    def cell(self, size: int, device: torch.device, reader: Callable[[list[int]], None]) -> Tensor:
        """A new cell; `reader` gets what it held at each drain."""
        sheet, entries = self._with_room(size, device)
        start = entries[-1][1] if entries else 0
        entries.append((start, start + size, reader))
        return sheet[start : start + size]

    def _with_room(self, size: int, device: torch.device) -> tuple[Tensor, list[Entry]]:
        for sheet, entries in reversed(self._sheets):
            if sheet.device == device and entries[-1][1] + size <= sheet.numel():
                return sheet, entries
        self._sheets.append((zeros((max(size, _SHEET),), torch.int64, device), []))
        return self._sheets[-1]

    def drain(self) -> None:
        for sheet, entries in self._sheets:
            values = sheet.tolist()
            sheet.zero_()
            for start, end, reader in entries:
                reader(values[start:end])

"""Running sums kept on the device that counts, read back once per block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snnprof.record.memory import zeros
from snnprof.record.reduce import Array, on_host

_SHEET = 4096

Entry = tuple[int, int, Callable[[Array], None]]
"""Where a cell begins and ends on its sheet, and who reads it."""


class Cell:
    """Counters side by side. What is added to them was counted on their device, or read on the host."""

    def __init__(self, counters: Tensor) -> None:
        self._counters = counters
        self._on_host = counters.numpy() if counters.is_cpu else None

    def add(self, place: int | slice, number: Any) -> None:
        if self._on_host is None:
            self._counters[place] += torch.as_tensor(number, device=self._counters.device)
        else:  # NumPy adds a few numbers ten times faster
            self._on_host[place] += on_host(number)

    def add_rows(self, kinds: Any, rows: Any) -> None:
        """Adds each of the rows to the counters of its kind, which lie one kind after the other."""
        if self._on_host is None:
            device = self._counters.device
            kinds, rows = torch.as_tensor(kinds, device=device), torch.as_tensor(rows, device=device)
            self._counters.view(-1, rows.shape[1]).index_add_(0, kinds, rows)
            return
        width = rows.shape[1]
        for kind, row in zip(kinds.tolist(), on_host(rows), strict=True):  # two rows may be of one kind
            self._on_host[kind * width : (kind + 1) * width] += row


class Ledger:
    """Cells of int64 counters, side by side on a few sheets; `drain` empties a sheet with one copy."""

    def __init__(self) -> None:
        self._sheets: list[tuple[Tensor, list[Entry]]] = []

    def cell(self, size: int, device: torch.device, reader: Callable[[Array], None]) -> Cell:
        """A new cell; `reader` gets what it held at each drain, int64 `[size]`."""
        sheet, entries = self._with_room(size, device)
        start = entries[-1][1] if entries else 0
        entries.append((start, start + size, reader))
        return Cell(sheet[start : start + size])

    def _with_room(self, size: int, device: torch.device) -> tuple[Tensor, list[Entry]]:
        for sheet, entries in reversed(self._sheets):
            if sheet.device == device and entries[-1][1] + size <= sheet.numel():
                return sheet, entries
        self._sheets.append((zeros((max(size, _SHEET),), torch.int64, device), []))
        return self._sheets[-1]

    def drain(self) -> None:
        for sheet, entries in self._sheets:
            values = sheet.cpu().numpy().copy()
            sheet.zero_()
            for start, end, reader in entries:
                reader(values[start:end])

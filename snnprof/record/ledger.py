"""Running sums kept where they are counted, on the device or the host, and read back once per block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from snnprof.record.memory import zeros

_SHEET = 4096

Reader = Callable[[Sequence[int]], None]
Entry = tuple[int, int, Reader]
"""Where a cell begins and ends on its sheet, and who reads it."""


class DeviceCell:
    """Counters side by side, on a device. What is added to them was counted there, or read on the host."""

    def __init__(self, counters: Tensor) -> None:
        self._counters = counters

    def add(self, place: int, number: Any) -> None:
        self._counters[place] += torch.as_tensor(number, device=self._counters.device)

    def add_each(self, first: int, numbers: Any) -> None:
        """Adds numbers to neighbouring counters."""
        self._counters[first : first + len(numbers)] += torch.as_tensor(numbers, device=self._counters.device)

    def add_rows(self, kinds: Any, rows: Any) -> None:
        """Adds each of the rows to the counters of its kind, which lie one kind after the other."""
        device = self._counters.device
        kinds, rows = torch.as_tensor(kinds, device=device), torch.as_tensor(rows, device=device)
        self._counters.view(-1, rows.shape[1]).index_add_(0, kinds, rows)


class HostCell:
    """The same beside the CPU's tensors: Python adds a few numbers faster than anything that works on arrays."""

    def __init__(self, size: int) -> None:
        self.counters = [0] * size

    def add(self, place: int, number: Any) -> None:
        self.counters[place] += int(number)

    def add_each(self, first: int, numbers: Any) -> None:
        for place, number in enumerate(_numbers(numbers), first):
            self.counters[place] += number

    def add_rows(self, kinds: Any, rows: Any) -> None:
        for kind, row in zip(_numbers(kinds), _numbers(rows), strict=True):
            self.add_each(kind * len(row), row)


Cell = DeviceCell | HostCell


def _at_hand(device: torch.device) -> bool:
    """Whether numbers that are counted there can be asked for without waiting."""
    return device.type == "cpu"


def _numbers(values: Any) -> Any:
    return values.tolist() if isinstance(values, Tensor) else values


class Ledger:
    """Cells of int64 counters; those of a device lie side by side on a few sheets, emptied with one copy each."""

    def __init__(self) -> None:
        self._sheets: list[tuple[Tensor, list[Entry]]] = []
        self._on_host: list[tuple[HostCell, Reader]] = []

    def cell(self, size: int, device: torch.device, reader: Reader) -> Cell:
        """A new cell; `reader` gets what it held at each drain, `size` numbers."""
        if _at_hand(device):
            cell = HostCell(size)
            self._on_host.append((cell, reader))
            return cell
        sheet, entries = self._with_room(size, device)
        start = entries[-1][1] if entries else 0
        entries.append((start, start + size, reader))
        return DeviceCell(sheet[start : start + size])

    def _with_room(self, size: int, device: torch.device) -> tuple[Tensor, list[Entry]]:
        for sheet, entries in reversed(self._sheets):
            if sheet.device == device and entries[-1][1] + size <= sheet.numel():
                return sheet, entries
        self._sheets.append((zeros((max(size, _SHEET),), torch.int64, device), []))
        return self._sheets[-1]

    def drain(self) -> None:
        """Hands what was added since the last time to the readers."""
        for cell, reader in self._on_host:
            held, cell.counters = cell.counters, [0] * len(cell.counters)
            reader(held)
        for sheet, entries in self._sheets:
            values = sheet.tolist()
            sheet.zero_()
            for start, end, reader in entries:
                reader(values[start:end])

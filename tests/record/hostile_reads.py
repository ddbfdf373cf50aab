"""Calls the compiled reader with random operands and with hostile arguments; no PyTorch, so that it runs under ASan.

    python tests/record/hostile_reads.py FILE.so ROUNDS

An operand lies in exactly as much memory as it needs, at any address: one byte too far is found there.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import math
import random
import sys
from types import ModuleType
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

Array = np.ndarray[Any, Any]
LARGE = (2**31 - 1, 2**31, 2**62, 2**63 - 1, 2**64, 2**200)
WRONG = (-1, 0, -(2**63), *LARGE, None, "x", 1.5, (), [2, 4], b"abcd")
FIGURES = 6


def main() -> None:
    reader, rounds = loaded(sys.argv[1]), int(sys.argv[2])
    for seed in range(rounds):
        told(reader, random.Random(seed))
        refused(reader, random.Random(seed))
    print(f"{rounds} rounds")


def loaded(path: str) -> ModuleType:
    loader = importlib.machinery.ExtensionFileLoader("_reader", path)
    spec = importlib.util.spec_from_file_location("_reader", path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


class Case:
    """An operand of levels in memory of its own, and where its counts go."""

    def __init__(self, chance: random.Random) -> None:
        self.dtype = np.dtype(chance.choice([np.uint8, np.float32, np.float64]))
        flags, several = self.dtype.itemsize == 1, chance.random() < 0.5
        self.most = 1 if flags else chance.choice([2, 9, 40, 255, 300] if several else [0, 1])
        self.quantum = 1.0 if flags else chance.choice([1.0, 0.5, 4.0]) if self.most else 0.0
        self.bins = self.most + 1 if 1 < self.most < 256 else 0
        self.threads = chance.randint(1, 4)
        self._lay_out(chance)
        self._fill(chance)
        self._place(chance)
        self.row = np.zeros((self.shape[0], FIGURES + self.bins), np.int64)

    def _lay_out(self, chance: random.Random) -> None:
        self.shape = self._shape(chance)
        self.strides = self._strides(chance)
        self.first, self.shift = chance.randrange(4), chance.randrange(8)
        reach = sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True))
        self.bytes = (self.first + reach + 1) * self.dtype.itemsize
        self.memory = np.zeros(self.shift + self.bytes, np.uint8)
        self.storage = self.memory.ctypes.data + self.shift

    def _fill(self, chance: random.Random) -> None:
        flat = np.frombuffer(self.memory.data, self.dtype, offset=self.shift)
        drawn = [chance.choice([0, 0, chance.randint(0, max(1, self.most))]) for _ in range(len(flat))]
        if self.dtype.itemsize != 1 and chance.random() < 0.3:  # not what is expected
            drawn[chance.randrange(len(drawn))] = chance.choice([-1, 400])
        flat[:] = np.array(drawn) * (self.quantum or 1.0)
        jumps = [stride * self.dtype.itemsize for stride in self.strides]
        self.values = as_strided(flat[self.first :], self.shape, jumps)

    def _place(self, chance: random.Random) -> None:
        """Some dimensions are kept, or a table is of them; or neither."""
        self.kept = [chance.random() < 0.5 for _ in self.shape]
        form = chance.choice(["number", "table", "sums", "levels"])
        size = math.prod(n for n, keep in zip(self.shape, self.kept, strict=True) if keep)
        self.places, jump = [0] * len(self.shape), 1
        for dim in reversed(range(len(self.shape))):
            if self.kept[dim] and form != "number":
                self.places[dim], jump = jump, jump * self.shape[dim]
        self.reach = chance.randint(0, 9)
        self.table = np.array([chance.randint(0, 9) for _ in range(size)], np.int32) if form == "table" else None
        self.nonzero = np.zeros(size, np.int32) if form in ("sums", "levels") else None
        self.levels = np.zeros(size, np.int64) if form == "levels" else None

    def _shape(self, chance: random.Random) -> tuple[int, ...]:
        shape = [chance.randint(1, 4) for _ in range(chance.randint(2, 5))]
        if chance.random() < 0.05:
            shape = [2, 5000]  # longer than a block
        return tuple(shape)

    def _strides(self, chance: random.Random) -> tuple[int, ...]:
        """Any order in memory, with gaps, or the same values again."""
        order = list(range(len(self.shape)))
        chance.shuffle(order)
        strides, jump = [0] * len(order), 1
        for dim in order:
            strides[dim] = chance.choice([jump, jump, jump + 1, 0])
            jump = max(jump, strides[dim] * self.shape[dim])
        return tuple(strides)

    def arguments(self) -> dict[str, Any]:
        dims = sum(zip(self.shape, self.strides, self.places, strict=True), ())
        return {
            "values": (self.storage, self.bytes), "first": self.first, "size": self.dtype.itemsize, "dims": dims,
            "quantum": self.quantum, "single": self.most <= 1, "reach": self.reach, "table": _memory(self.table),
            "row": _memory(self.row), "bins": self.bins, "nonzero": _memory(self.nonzero),
            "levels": _memory(self.levels), "threads": self.threads,
        }  # fmt: skip


def _memory(array: Array | None) -> tuple[int, int]:
    return (0, 0) if array is None else (array.ctypes.data, array.nbytes)


def told(reader: ModuleType, chance: random.Random) -> None:
    """What is read is what NumPy counts."""
    case = Case(chance)
    reader.read(*case.arguments().values())
    flags = (case.values != 0).astype(np.int64)
    levels = np.abs(np.rint(case.values / case.quantum)).astype(np.int64) if case.quantum else np.zeros_like(flags)
    shape = [n if keep else 1 for n, keep in zip(case.shape, case.kept, strict=True)]
    reach = case.reach if case.table is None else case.table.reshape(shape)
    step = tuple(range(1, flags.ndim))
    expected = [each.sum(step) for each in (flags, levels, flags * reach, levels * reach)]
    assert (expected == case.row[:, :4].T).all(), case.arguments()
    if case.bins:
        bins = [np.bincount(np.minimum(each, case.most).ravel(), minlength=case.bins) for each in levels]
        assert (case.row[:, FIGURES:] == bins).all(), case.arguments()
    summed = tuple(dim for dim, keep in enumerate(case.kept) if not keep)
    for sums, counts in ((case.nonzero, flags), (case.levels, levels)):
        assert sums is None or (sums.reshape(shape) == counts.sum(summed, keepdims=True)).all(), case.arguments()


def refused(reader: ModuleType, chance: random.Random) -> None:
    """Whatever one or two arguments are, there is a result or one of two errors.

    Memory that is larger than what is there is the one lie that no reader can see through.
    """
    case = Case(chance)
    arguments = case.arguments()
    for name in chance.sample(list(arguments), chance.randint(1, 2)):
        arguments[name] = _hostile(chance, name, case)
    with contextlib.suppress(TypeError, ValueError):
        reader.read(*arguments.values())


def _hostile(chance: random.Random, name: str, case: Case) -> Any:
    if name in ("values", "table", "row", "nonzero", "levels"):
        address, size = case.arguments()[name]
        less = (address, chance.randrange(size)) if size else (0, 0)
        wrong = [(0, 8), (8, 0), (address, -1), (-1, 8), (address, 2**64), (2**200, 8), (address,), [address, size]]
        others = [_memory(case.row), _memory(case.nonzero), (case.storage, case.bytes)]
        return chance.choice([less, less, (0, 0), *wrong, *others, *WRONG[7:]])
    if name == "dims":
        numbers = list(case.arguments()["dims"])
        numbers[chance.randrange(len(numbers))] = chance.choice([0, 1, 2, 5, -1, *LARGE, "x", None])
        return chance.choice([tuple(numbers), tuple(numbers), tuple(numbers[:-1]), (1, 1, 1) * 33, *WRONG])
    return chance.choice([math.nan, math.inf, -math.inf, 0.5, 1e300, 5e-324, 2.0**18, 256, 257, *WRONG])


if __name__ == "__main__":
    main()

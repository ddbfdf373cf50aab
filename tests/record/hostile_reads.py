"""Calls the compiled reader with random operands and with hostile arguments; no PyTorch, so that it runs under ASan.

    python tests/record/hostile_reads.py FILE.so ROUNDS

An operand lies in exactly as much memory as it needs, at any address: one byte too far is found there.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import itertools
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


def main() -> None:
    reader, rounds = loaded(sys.argv[1]), int(sys.argv[2])
    for seed in range(rounds):
        told(reader, random.Random(seed))
        refused(reader, random.Random(seed))
        multiplied(reader, random.Random(seed))
    print(f"{rounds} rounds")


def loaded(path: str) -> ModuleType:
    loader = importlib.machinery.ExtensionFileLoader("_sweep", path)
    spec = importlib.util.spec_from_file_location("_sweep", path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


class Case:
    """An operand of levels in memory of its own, and sums of it."""

    def __init__(self, chance: random.Random) -> None:
        self.dtype = np.dtype(chance.choice([np.uint8, np.float32, np.float64]))
        flags, several = self.dtype.itemsize == 1, chance.random() < 0.5
        self.most = 1 if flags else chance.choice([2, 9, 40, 255, 300] if several else [0, 1])
        self.scale = 1.0 if flags else chance.choice([1.0, 2.0, 0.25])
        self.threads = chance.randint(1, 4)
        self._lay_out(chance)
        self._fill(chance)
        self.kept = [chance.random() < 0.5 for _ in self.shape]
        sums = [n if keep else 1 for n, keep in zip(self.shape, self.kept, strict=True)]
        levels = self.most > 1
        self.nonzero = np.zeros(sums, np.int32) if levels or chance.random() < 0.8 else None
        self.levels = np.zeros(sums, np.int32) if levels else None
        self.histogram = np.zeros(256, np.int64) if levels and self.most < 256 else None

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
        flat[:] = np.array(drawn) / self.scale
        jumps = [stride * self.dtype.itemsize for stride in self.strides]
        self.values = as_strided(flat[self.first :], self.shape, jumps)

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
        return {
            "storage": self.storage, "bytes": self.bytes, "first": self.first, "size": self.dtype.itemsize,
            "shape": self.shape, "strides": self.strides, "nonzero": self.nonzero, "levels": self.levels,
            "histogram": self.histogram, "scale": self.scale, "most": float(self.most), "threads": self.threads,
        }  # fmt: skip


def told(reader: ModuleType, chance: random.Random) -> None:
    """What is read is what NumPy counts."""
    case = Case(chance)
    fired = reader.read_operand(*case.arguments().values())
    summed = tuple(dim for dim, keep in enumerate(case.kept) if not keep)
    flags = case.values != 0
    assert list(fired) == flags.sum(tuple(range(1, flags.ndim))).tolist(), case.arguments()
    if case.nonzero is not None:
        assert (case.nonzero == flags.sum(summed, keepdims=True)).all(), case.arguments()
    if case.levels is not None:
        levels = np.rint(case.values * case.scale).astype(np.int64)
        assert (case.levels == levels.sum(summed, keepdims=True)).all(), case.arguments()
        if case.histogram is not None:
            assert (case.histogram == np.bincount(levels.ravel(), minlength=256)).all(), case.arguments()


def refused(reader: ModuleType, chance: random.Random) -> None:
    """Whatever one or two arguments are, there is a result or one of two errors.

    A storage or a number of bytes larger than what is there is the one lie that no reader can see through.
    """
    case = Case(chance)
    arguments = case.arguments()
    for name in chance.sample(list(arguments), chance.randint(1, 2)):
        arguments[name] = _hostile(chance, name, case)
    with contextlib.suppress(TypeError, ValueError):
        reader.read_operand(*arguments.values())


def _hostile(chance: random.Random, name: str, case: Case) -> Any:
    if name == "storage":
        return chance.choice([0, -1, 2**64, 2**200, None, "x", 1.5])
    if name == "bytes":
        return chance.choice([chance.randrange(case.bytes), 0, -1, -(2**63), 2**64, None, "x"])
    if name in ("shape", "strides"):
        some = [
            chance.choice([0, 1, 2, 5, -1, *LARGE, "x"]) for _ in range(chance.choice([0, 1, 2, len(case.shape), 40]))
        ]
        return chance.choice([tuple(some), tuple(some), case.shape[:1], (*case.shape, 1), *WRONG])
    if name in ("nonzero", "levels", "histogram"):
        return _hostile_sums(chance, case)
    return chance.choice([math.nan, math.inf, -math.inf, 0.5, 1e300, 5e-324, 2.0**18, *WRONG])


def _hostile_sums(chance: random.Random, case: Case) -> Any:
    """Buffers of another size, type or order, full ones, read-only ones, and those that lie on each other."""
    sums = [n if keep else 1 for n, keep in zip(case.shape, case.kept, strict=True)]
    frozen = np.zeros(sums, np.int32)
    frozen.flags.writeable = False
    return chance.choice([
        np.full(sums, 2**31 - 1, np.int32), np.full(256, 2**63 - 1, np.int64), frozen, np.zeros(sums, np.float32),
        np.zeros(sums, ">i4"), np.zeros([*sums, 2], np.int32)[..., 0], np.zeros(sums[:-1], np.int32),
        np.zeros((), np.int32), np.zeros(0, np.int32), np.zeros([n + 1 for n in sums], np.int32), case.nonzero,
        case.levels, case.memory, np.frombuffer(bytearray(4 * math.prod(sums) + 1), np.int32, offset=1).reshape(sums),
        np.frombuffer(bytearray(2049), np.int64, offset=1), np.zeros(256, "i4,i4"), bytearray(2048), *WRONG,
    ])  # fmt: skip


def multiplied(reader: ModuleType, chance: random.Random) -> None:
    """Products are Python's own, or refused where 64 bits might not hold their sum."""
    steps, size = chance.randint(1, 3), chance.randint(1, 9)
    numbers = [-(2**31), 2**31 - 1, 0, 1, -1, 12345, 2**30]
    left, right = (
        np.array([[chance.choice(numbers) for _ in range(size)] for _ in range(steps)], np.int32) for _ in range(2)
    )
    products = left.astype(object) * right.astype(object)
    try:
        assert list(reader.dot(left, right)) == products.sum(1).tolist()
    except ValueError:
        assert abs(products).sum(1).max() >= 2**63
    for wrong in itertools.product((left, left[:, :1], left.T, left.astype(np.int64), right[0], None, b"ab"), repeat=2):
        with contextlib.suppress(TypeError, ValueError):
            reader.dot(*wrong)


if __name__ == "__main__":
    main()

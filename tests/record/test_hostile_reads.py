"""The compiled reader called directly: no argument makes it read or write outside of the memory it was given."""

from __future__ import annotations

import math
import os
import random
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from snnprof.record.read.native import compiled

ROOT = Path(__file__).parent.parent.parent
HOSTILE = "tests/record/hostile_reads.py"
SANITIZED = "SNNPROF_SANITIZE" in os.environ
needs_reader = pytest.mark.skipif(compiled is None, reason="there was no C compiler")
ROUNDS = 3000 if SANITIZED else 150

Script = Callable[[str], ModuleType]


def test_the_sanitized_reader_runs_under_make_sanitize_alone() -> None:
    """That the tests ran under the sanitizers means that they ran the reader that was built with them."""
    place = Path(str(compiled.__file__)).parts if compiled else ()
    assert ("sanitize" in place) is SANITIZED
    if SANITIZED:
        assert "libasan" in Path("/proc/self/maps").read_text(encoding="utf-8")


@needs_reader
def test_random_operands_are_read_as_numpy_reads_them(script: Script) -> None:
    hostile = script(HOSTILE)
    for seed in range(ROUNDS):
        hostile.told(compiled, random.Random(seed))


@needs_reader
def test_hostile_arguments_are_refused(script: Script) -> None:
    hostile = script(HOSTILE)
    for seed in range(ROUNDS):
        hostile.refused(compiled, random.Random(seed))


def compiler() -> str:
    """A C compiler that has the sanitizers' libraries, or the test is skipped."""
    cc = shutil.which(os.environ.get("CC", "gcc"))
    if cc is None or sys.platform != "linux":
        pytest.skip("there is no gcc on Linux to build with sanitizers")
    if not Path(library(cc)).is_file():
        pytest.skip("the compiler has no AddressSanitizer")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        pytest.skip("there is no Python.h to build with")
    return cc


def library(cc: str) -> str:
    found = subprocess.run([cc, "-print-file-name=libasan.so"], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def built(cc: str, flags: list[str], folder: Path) -> Path:
    target = folder / "_reader.so"
    source, include = ROOT / "snnprof" / "record" / "read" / "_reader.c", sysconfig.get_path("include")
    subprocess.run([cc, "-shared", "-fPIC", *flags, f"-I{include}", str(source), "-o", str(target)], check=True)
    return target


@pytest.mark.skipif(SANITIZED, reason="all of it runs under the sanitizers already")
def test_a_small_part_runs_under_the_sanitizers(script: Script, tmp_path: Path) -> None:
    cc = compiler()
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    flags = ["-fopenmp", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    assert all(f'"{flag}"' in setup for flag in flags), "what 'make sanitize' builds with"
    reader = built(cc, flags, tmp_path)
    environment = {
        **os.environ, "LD_PRELOAD": library(cc), "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, HOSTILE, str(reader), "300"], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "300 rounds\n"), done.stderr[-3000:]


# -- what each rule is for ---------------------------------------------------------------------------------------


def read(**changed: object) -> list[list[int]]:
    """Reads eight ones in two steps, and how often a value was one in each."""
    values, row = np.ones((2, 4), np.float32), np.zeros((2, 6), np.int64)
    arguments = {
        "values": memory(values), "first": 0, "size": 4, "dims": (2, 4, 0, 4, 1, 0), "quantum": 1.0, "single": True,
        "reach": 3, "table": (0, 0), "row": memory(row), "bins": 0, "nonzero": (0, 0), "levels": (0, 0), "threads": 2,
    }  # fmt: skip
    assert compiled is not None
    compiled.read(*{**arguments, **changed}.values())  # type: ignore[arg-type]
    return row.tolist()


def memory(array: np.ndarray[Any, Any]) -> tuple[int, int]:
    return array.ctypes.data, array.nbytes


SUMS, LEVELS, ROW, VALUES = (
    np.zeros(8, np.int32),
    np.zeros(8, np.int64),
    np.zeros((2, 6), np.int64),
    np.ones(8, np.float32),
)


@needs_reader
@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"first": 1}, "outside their memory"), ({"first": -1}, "no value there"),
        ({"first": 2**62}, "outside their memory"),
        ({"values": (VALUES.ctypes.data, 31)}, "outside their memory"), ({"values": (0, 0)}, "no value there"),
        ({"size": 8}, "outside their memory"), ({"size": 2}, "1, 4 or 8 bytes"),
        ({"dims": (2, 4, 0, 5, 1, 0)}, "outside their memory"),
        ({"dims": (2, 2**62, 0, 4, 1, 0)}, "outside their memory"),
        ({"dims": (8, 1, 0)}, "steps and 1 to 31"), ({"dims": (2, 4, 0, 4, 1)}, "steps and 1 to 31"),
        ({"dims": ()}, "steps and 1 to 31"), ({"dims": (2, 4, 0, 0, 1, 0)}, "a size is positive"),
        ({"dims": (2, 4, 0, 4, -1, 0)}, "not negative"), ({"dims": (2**31, 0, 0, 4, 1, 0)}, "too many values"),
        ({"dims": (2**64, 4, 0, 4, 1, 0)}, "too large"), ({"values": (-1, 32)}, "negative"),
        ({"threads": 2**31}, "too large"),
        ({"threads": 0}, "a thread"), ({"reach": -1}, r"below 2\*\*31"), ({"reach": 2**31}, r"below 2\*\*31"),
        ({"quantum": -1.0}, "positive and finite"), ({"quantum": math.inf}, "positive and finite"),
        ({"quantum": math.nan}, "positive and finite"), ({"quantum": 5e-324}, "positive and finite"),

        ({"size": 1, "quantum": 2.0}, "flags are multiples of 1"), ({"bins": 257}, "at most 256"),
        ({"bins": -1}, "at most 256"),
        ({"row": (ROW.ctypes.data, 88)}, "six figures"), ({"row": (0, 0)}, "six figures"), ({"bins": 1}, "six figures"),
        ({"row": (ROW.ctypes.data + 4, 96)}, "six figures"),
        ({"levels": memory(LEVELS)}, "beside non-zeros"),
        ({"table": memory(SUMS), "nonzero": memory(LEVELS)}, "a table or"),
        ({"dims": (2, 4, 8, 4, 1, 1), "nonzero": memory(SUMS)}, "places lie outside"),
        ({"dims": (2, 4, 8, 4, 1, 1), "table": memory(SUMS)}, "places lie outside"),
        ({"nonzero": (SUMS.ctypes.data + 1, 8)}, "places lie outside"),
        ({"values": memory(SUMS), "nonzero": memory(SUMS)}, "memory of their own"),
        ({"nonzero": memory(SUMS), "row": memory(SUMS)}, "memory of their own"),
        ({"values": (VALUES.ctypes.data, 0)}, "an address and bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),  # addresses differ from process to process
)  # fmt: skip
def test_nothing_outside_of_the_memory_is_read_or_written(changed: dict[str, object], why: str) -> None:
    assert read() == [[4, 4, 12, 12, 0, 0]] * 2
    with pytest.raises(ValueError, match=why):
        read(**changed)


@needs_reader
def test_memory_is_a_tuple_of_two_numbers() -> None:
    for wrong in (None, [1, 2], (1,), b"x", 1):
        with pytest.raises(TypeError, match="memory is a tuple"):
            read(values=wrong)


@needs_reader
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_may_start_at_any_address(dtype: type) -> None:
    size = np.dtype(dtype).itemsize
    for shift in range(size):
        raw = np.zeros(8 * size + shift, np.uint8)
        values = np.frombuffer(raw.data, dtype, offset=shift)
        values[::3] = 1
        row = np.zeros((2, 6), np.int64)
        read(values=(raw.ctypes.data + shift, 8 * size), size=size, row=memory(row))
        assert row[:, 0].tolist() == [2, 1]


@needs_reader
def test_sums_that_pass_32_bits() -> None:
    """The largest level that is told, again and again, 0 bytes apart."""
    value, row, levels = np.full(1, 2.0**31, np.float64), np.zeros((1, 6), np.int64), np.zeros(1, np.int64)
    wide = {"values": memory(value), "size": 8, "dims": (1, 0, 0, 5000, 0, 0), "row": memory(row)}
    read(**wide, nonzero=memory(SUMS), levels=memory(levels))
    largest = 2**31 - 128
    assert row.tolist() == [[5000, 5000 * largest, 15000, 15000 * largest, 0, 0]]
    assert levels.tolist() == [5000 * largest]

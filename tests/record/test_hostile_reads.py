"""The compiled reader called directly: no argument makes it read or write outside of the memory it was given."""

from __future__ import annotations

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

from snnprof.record import sweep

ROOT = Path(__file__).parent.parent.parent
HOSTILE = "tests/record/hostile_reads.py"
SANITIZED = "SNNPROF_SANITIZE" in os.environ
needs_reader = pytest.mark.skipif(sweep.compiled is None, reason="there was no C compiler")
ROUNDS = 3000 if SANITIZED else 150

Script = Callable[[str], ModuleType]


def test_the_sanitized_reader_runs_under_make_sanitize_alone() -> None:
    """That the tests ran under the sanitizers means that they ran the reader that was built with them."""
    place = Path(str(sweep.compiled.__file__)).parts if sweep.compiled else ()
    assert ("sanitize" in place) is SANITIZED
    if SANITIZED:
        assert "libasan" in Path("/proc/self/maps").read_text(encoding="utf-8")


@needs_reader
def test_random_operands_are_read_as_numpy_reads_them(script: Script) -> None:
    hostile = script(HOSTILE)
    for seed in range(ROUNDS):
        hostile.told(sweep.compiled, random.Random(seed))


@needs_reader
def test_hostile_arguments_are_refused(script: Script) -> None:
    hostile = script(HOSTILE)
    for seed in range(ROUNDS):
        hostile.refused(sweep.compiled, random.Random(seed))
        hostile.multiplied(sweep.compiled, random.Random(seed))


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
    target = folder / "_sweep.so"
    source, include = ROOT / "snnprof" / "record" / "_sweep.c", sysconfig.get_path("include")
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


def read(values: np.ndarray[Any, Any], **changed: object) -> object:
    """Reads eight values in two steps."""
    arguments = {
        "storage": values.ctypes.data, "bytes": values.nbytes, "first": 0, "size": 4, "shape": (2, 4),
        "strides": (4, 1), "nonzero": np.zeros((2, 1), np.int32), "levels": None, "histogram": None,
        "scale": 1.0, "most": 1.0, "threads": 2,
    }  # fmt: skip
    assert sweep.compiled is not None
    return sweep.compiled.read_operand(*{**arguments, **changed}.values())  # type: ignore[arg-type]


@needs_reader
def test_one_dimension_is_refused() -> None:
    """Its only dimension would be the steps and a step's values at once."""
    values = np.ones(8, np.float32)
    with pytest.raises(ValueError, match="steps and 1 to 31 further"):
        read(values, shape=(8,), strides=(1,), nonzero=np.zeros(8, np.int32))
    with pytest.raises(ValueError, match="steps and 1 to 31 further"):
        read(values, shape=(8,), strides=(1,), nonzero=None)


@needs_reader
def test_a_first_value_beyond_all_memory_is_refused() -> None:
    """Times the bytes of a value it passes 2**63."""
    with pytest.raises(ValueError, match="outside their memory"):
        read(np.ones(8, np.float32), first=2**62)


@needs_reader
def test_sums_of_levels_that_pass_32_bits_are_refused() -> None:
    """A value again and again, 0 bytes apart."""
    values = np.full(1, 2.0**17, np.float32)
    levels, times = np.zeros((1, 1), np.int32), 2**14
    wide = {"bytes": 4, "strides": (0, 0), "nonzero": np.zeros((1, 1), np.int32), "levels": levels, "most": 2.0**17}
    with pytest.raises(ValueError, match=r"may reach 2\*\*31"):
        read(values, shape=(1, times), **wide)
    assert read(values, shape=(1, times - 1), **wide) == (times - 1,)
    assert levels.tolist() == [[(times - 1) * 2**17]]


@needs_reader
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_may_start_at_any_address(dtype: type) -> None:
    size = np.dtype(dtype).itemsize
    for shift in range(size):
        memory = np.zeros(8 * size + shift, np.uint8)
        values = np.frombuffer(memory.data, dtype, offset=shift)
        values[::3] = 1
        place = {"storage": memory.ctypes.data + shift, "bytes": 8 * size, "size": size}
        assert read(memory, **place) == (2, 1)


@needs_reader
def test_sums_of_products_that_pass_64_bits_are_refused() -> None:
    assert sweep.compiled is not None
    large = np.full((1, 2), -(2**31), np.int32)
    assert sweep.compiled.dot(large[:, :1].copy(), large[:, :1].copy()) == (2**62,)
    with pytest.raises(ValueError, match=r"reaches 2\*\*63"):
        sweep.compiled.dot(large, large)


@needs_reader
def test_one_memory_is_not_read_and_added_to() -> None:
    values, sums = np.ones(8, np.float32), np.zeros((2, 4), np.int32)
    with pytest.raises(ValueError, match="memory of their own"):
        read(values, nonzero=values.view(np.int32).reshape(2, 4))
    with pytest.raises(ValueError, match="memory of their own"):
        read(values, nonzero=sums, levels=sums, most=2.0)

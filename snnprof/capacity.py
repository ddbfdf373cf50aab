"""How much fits into memory, and archives that would unpack to more, as their tables of contents say."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Collection
from pathlib import Path

from snnprof.errors import SnnprofError

SHARE = 0.5  # of the memory: checking samples copies them once
BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # NumPy and PyTorch write these; others unpack to any size
_CONTAINERS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_bytes() -> float:
    """Returns the memory of this machine, or of this container if that is less; infinite if both are unknown."""
    return min([_physical(), *map(_limit, _CONTAINERS)])


def must_fit(what: str, size: int, hint: str = "") -> None:
    """Checks that data fits into memory with room to work on it.

    Raises:
        SnnprofError: its size is more than half of the memory.
    """
    memory = memory_bytes()
    if size > SHARE * memory:
        raise SnnprofError(
            f"{what} takes {size / 1e9:.1f} GB in memory, more than half of this machine's {memory / 1e9:.1f} GB",
            hint=hint,
        )


def must_unpack(path: Path, members: Collection[str] = (), hint: str = "") -> None:
    """Checks a zip archive before anything reads it. `members` are the names to be read; empty: all.

    A file that is no archive passes: its reader reports it.

    Raises:
        SnnprofError: the members unpack to more than fits, or are packed by a method that does not bound their size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = [entry for entry in archive.infolist() if not members or entry.filename in members]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return
    if odd := [entry.filename for entry in found if entry.compress_type not in BOUNDED]:
        raise SnnprofError(f"{path}: {odd[0]!r} is packed by another method than numpy's and PyTorch's", hint=hint)
    must_fit(str(path), sum(entry.file_size for entry in found), hint)


def _physical() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return float("inf")


def _limit(file: str) -> float:
    try:
        return float(Path(file).read_text())
    except (OSError, ValueError):  # "max": no limit
        return float("inf")

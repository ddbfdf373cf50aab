"""What memory can hold, and archives that would unpack to more: seen in their tables of contents, before reading."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Collection
from pathlib import Path

from snnprof.errors import SnnprofError

SHARE = 0.5  # of the memory: samples are copied once while they are looked through
BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy and torch write; of others Python unpacks at will
_CONTAINERS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_bytes() -> float:
    """The memory of this machine, or of this container where that is less; infinite where neither is known."""
    return min([_physical(), *map(_limit, _CONTAINERS)])


def must_fit(what: str, size: int, hint: str = "") -> None:
    """Raises SnnprofError where so many bytes are more than this machine can work on."""
    memory = memory_bytes()
    if size > SHARE * memory:
        raise SnnprofError(
            f"{what} takes {size / 1e9:.1f} GB in memory, more than half of this machine's {memory / 1e9:.1f} GB",
            hint=hint,
        )


def must_unpack(path: Path, members: Collection[str] = (), hint: str = "") -> None:
    """Looks at a zip archive before anything is read from it; what is no archive is left to its reader.

    Args:
        members: names that will be read; none stands for all.

    Raises:
        SnnprofError: they unpack to more than fits, or in a way whose end is not known before.
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

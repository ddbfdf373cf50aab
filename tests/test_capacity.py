"""Archives that would fill the memory are refused by their table of contents, whoever reads them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snnprof import capacity
from snnprof.errors import SnnprofError
from snnprof.maps import AttentionMaps
from snnprof.workload import checkpoints, sources
from snnprof.workload.batches import InputSpec

MEMORY = 10_000_000
ZEROS = np.zeros((1, 2_000_000), dtype=np.float32)  # 8 MB: fits this memory, but not twice


def open_data(path: Path) -> Any:
    return sources.open_source(str(path), InputSpec())


@pytest.fixture(autouse=True)
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "memory_bytes", lambda: float(MEMORY))


def deflated(path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """The same archive, packed: a bomb where the content is all zeros."""
    with zipfile.ZipFile(path) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a.npz", open_data),
        ("a.pt", open_data),
        ("a.pt", checkpoints.read),
        ("a.npz", AttentionMaps.load),
    ],
)
def test_a_zip_bomb_is_not_unpacked(
    name: str, read: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    np.savez(path, x=ZEROS) if path.suffix == ".npz" else torch.save({"x": torch.from_numpy(ZEROS)}, path)
    assert deflated(path).stat().st_size < 20_000

    def unpack(*arguments: object, **options: object) -> None:
        raise AssertionError("unpacked")

    monkeypatch.setattr(np, "load", unpack)
    monkeypatch.setattr(torch, "load", unpack)
    with pytest.raises(SnnprofError, match=r"takes 0.0 GB in memory, more than half of this machine's 0.0 GB"):
        read(path)


def test_members_that_are_not_read_do_not_count(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.ones((2, 3)), other=ZEROS)
    assert open_data(tmp_path / "a.npz").facts.total == 2


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_that_python_does_not_bound(method: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones((2, 3)))
    with pytest.raises(SnnprofError, match="packed by another method"):
        open_data(deflated(tmp_path / "a.npz", method))


def test_a_tensor_that_repeats_one_number(tmp_path: Path) -> None:
    torch.save({"x": torch.rand(1).expand(2_000_000, 2)}, tmp_path / "a.pt")
    with pytest.raises(SnnprofError, match="'x' takes"):
        open_data(tmp_path / "a.pt")


def test_what_is_no_archive_is_left_to_its_reader(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"PK no zip")
    capacity.must_unpack(tmp_path / "a")
    (tmp_path / "b").write_bytes(io.BytesIO().getvalue())
    capacity.must_unpack(tmp_path / "b")


def test_a_container_may_hold_less_than_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(capacity, "_CONTAINERS", (str(limit),))
    whole = capacity.memory_bytes()
    limit.write_text("max\n")
    assert capacity.memory_bytes() == whole
    limit.write_text("4096\n")
    assert capacity.memory_bytes() == 4096

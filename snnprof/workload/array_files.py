"""Reads samples and labels from files of arrays: `.npz`, `.npy`, `.pt`, `.h5` and `.csv`."""

from __future__ import annotations

import csv
import warnings
import zipfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snnprof import capacity
from snnprof.errors import SnnprofError
from snnprof.workload.hdf5 import h5py_for
from snnprof.workload.iterable_dataset import as_batch

NAMES = (
    ("x", "y"), ("x_test", "y_test"), ("X_test", "y_test"), ("test_images", "test_labels"), ("X", "y"),
    ("images", "labels"), ("inputs", "labels"), ("data", "labels"), ("data", "label"), ("inputs", "targets"),
    ("data", "targets"), ("data", "target"),
)  # fmt: skip
"""Usual names of samples and labels, first choice first; a test split comes before names that may hold all data."""
LABEL_COLUMNS = ("label", "labels", "y", "class", "target", "targets")
NUMPY_HINT = "save it with numpy.savez(FILE, x=..., y=...)"
TORCH_HINT = "save it with torch.save({'x': ..., 'y': ...}, FILE)"
HDF5_HINT = "store two datasets 'x' (samples first) and 'y', or read it in a function: --data FILE.py:FUNCTION"
CSV_HINT = "write one sample per line, numbers only, and name the column of labels 'label' in a header"
PIECES_HINT = "read it in pieces in your own function: --data FILE.py:FUNCTION"
SHOWN = 6


@dataclass(frozen=True)
class Content:
    """The samples and labels of a file.

    Attributes:
        x: the samples as stored.
        y: the labels as stored; None if there are none.
        note: how they were found, for the run file; None where that is obvious.
    """

    x: Any
    y: Any = None
    note: str | None = None


def read(path: Path) -> Content:
    """Reads the samples and labels of a file.

    Raises:
        SnnprofError: the file is missing or damaged, would not fit in memory, or holds no samples.
    """
    if not path.is_file():
        raise SnnprofError(f"there is no data file {path}")
    return READERS[path.suffix.lower()](path)


def _npz(path: Path) -> Content:
    try:
        with zipfile.ZipFile(path) as archive:
            x, y = _names_in(path, [name.removesuffix(".npy") for name in archive.namelist()], NUMPY_HINT)
        capacity.must_unpack(path, [f"{name}.npy" for name in (x, y) if name], PIECES_HINT)
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in (x, y) if name}
    except SnnprofError:
        raise
    except Exception as error:  # a damaged archive raises errors of many kinds
        raise SnnprofError(f"{path} is not a readable .npz file: {_first_line(error)}", hint=NUMPY_HINT) from error
    return Content(arrays[x], arrays.get(y or ""), _named(x, y))


def _npy(path: Path) -> Content:
    capacity.must_fit(str(path), path.stat().st_size, PIECES_HINT)
    try:
        return Content(np.load(path, allow_pickle=False), None, "a .npy file has no labels")
    except Exception as error:
        raise SnnprofError(f"{path} is not a readable .npy file: {_first_line(error)}", hint=NUMPY_HINT) from error


def _pt(path: Path) -> Content:
    capacity.must_unpack(path, (), PIECES_HINT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old kinds of tensors, which are refused later
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise SnnprofError(f"{path} is not a readable file of tensors", hint=TORCH_HINT) from error
    if not isinstance(content, dict):
        return Content(*as_batch(content))
    x, y = _names_in(path, [name for name in content if isinstance(name, str)], TORCH_HINT, "tensor")
    return Content(content[x], content.get(y), _named(x, y))


def _hdf5(path: Path) -> Content:
    h5py = h5py_for(path, "pip install h5py")
    try:
        with h5py.File(path, "r") as file:
            arrays = {name: entry for name, entry in file.items() if isinstance(entry, h5py.Dataset)}
            x, y = _names_in(path, list(arrays), HDF5_HINT, "dataset")
            found = {name: arrays[name] for name in (x, y) if name}
            capacity.must_fit(str(path), sum(dataset.nbytes for dataset in found.values()), PIECES_HINT)
            return Content(found[x][()], found[y][()] if y else None, _named(x, y))
    except SnnprofError:
        raise
    except Exception as error:  # for a damaged file, the HDF5 library raises errors of many kinds
        raise SnnprofError(f"{path} is not a readable HDF5 file: {_first_line(error)}", hint=HDF5_HINT) from error


def _csv(path: Path) -> Content:
    import pandas as pd

    capacity.must_fit(str(path), 4 * path.stat().st_size, PIECES_HINT)
    try:
        header, separator = _header(path)
        table = pd.read_csv(path, sep=separator, header=0 if header else None, encoding="utf-8-sig")
    except Exception as error:
        raise SnnprofError(f"{path} is not a readable table: {_first_line(error)}", hint=CSV_HINT) from error
    odd = [str(name) for name, column in table.items() if column.dtype.kind not in "biuf"]
    if odd:
        raise SnnprofError(f"{path}: column {odd[0]!r} holds text, not numbers", hint=CSV_HINT)
    label = next((name for name in table if header and str(name).strip().lower() in LABEL_COLUMNS), None)
    x = table.drop(columns=[] if label is None else [label]).to_numpy()
    if label is None:
        return Content(x, None, "no column is called 'label': each column is part of x")
    return Content(x, table[label].to_numpy(), f"labels from column {str(label).strip()!r}")


def _header(path: Path) -> tuple[bool, str]:
    """Whether the first line of a table holds the names of the columns, and which character separates them."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        line = stream.readline(1 << 20)
    separator = max(",;\t", key=line.count)
    cells = next(csv.reader([line], delimiter=separator), [])
    return not all(_is_number(cell) for cell in cells), separator


def _is_number(text: str) -> bool:
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True


READERS: dict[str, Callable[[Path], Content]] = {
    ".npz": _npz, ".npy": _npy, ".pt": _pt, ".pth": _pt, ".h5": _hdf5, ".hdf5": _hdf5, ".csv": _csv, ".tsv": _csv,
}  # fmt: skip


def _names_in(path: Path, names: Collection[str], hint: str, kind: str = "array") -> tuple[str, str | None]:
    """The names of samples and labels among the names in a file; None for labels if there are none.

    Raises:
        SnnprofError: none is a usual name of samples.
    """
    for x, y in NAMES:
        if x in names and y in names:
            return x, y
    if alone := next((x for x, _ in NAMES if x in names), None):
        return alone, None
    shown = f"; it holds {_listed(list(names))}" if names else ""
    raise SnnprofError(f"{path} holds no {kind} 'x'{shown}", hint=hint)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:SHOWN])) + (", …" if len(names) > SHOWN else "")


def _named(x: str, y: str | None) -> str | None:
    return None if x == "x" else f"samples from {x!r}" + (f", labels from {y!r}" if y else "")


def _first_line(error: Exception) -> str:
    if "allow_pickle" in str(error):  # NumPy advises to load the file with allow_pickle=True, which is unsafe
        return "it holds Python objects, or no arrays at all"
    return str(error).strip().partition("\n")[0] or type(error).__name__

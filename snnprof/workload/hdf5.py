"""The optional package h5py, which reads data in HDF5 and graphs in NIR."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from snnprof.errors import SnnprofError


def h5py_for(path: Path, install: str) -> Any:
    """Imports h5py to read a file.

    Raises:
        SnnprofError: it is not installed; `install` is the command that the hint names.
    """
    try:
        return import_module("h5py")
    except ImportError as error:
        raise SnnprofError(f"reading {path} needs the h5py package", hint=install) from error

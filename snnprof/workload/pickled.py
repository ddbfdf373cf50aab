"""Reads PyTorch files without running any code in them.

`torch.load(weights_only=True)` reads tensors and plain containers, and refuses a file that holds anything else. But
training scripts save other objects beside the weights: an accuracy from NumPy, a path, a configuration. Here, objects
of harmless types become plain values, and an object of an unknown class becomes a dict with its attributes: the class
is never imported. A file that calls an unknown function is refused.
"""

from __future__ import annotations

import argparse
import datetime
import pickle
import pickletools
import struct
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch

from snnprof.errors import SnnprofError

RESAVE = "save its state dict: torch.save(model.state_dict(), FILE)"
LEGACY_PICKLES = 4  # pickles in a file from before torch 1.6: magic number, version, system, content
UNREADABLE = (
    RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError, OSError, struct.error,
)  # fmt: skip
"""The errors that the readers raise on a damaged file."""
STARTS = {
    b"version https://git-lfs": ("a Git LFS pointer in place of the file", "fetch the file itself: git lfs pull"),
    b"<!doctype html": ("a web page", "the download needs a login or a confirmation; fetch the file again"),
    b"<html": ("a web page", "the download needs a login or a confirmation; fetch the file again"),
    b"\x1f\x8b": ("a gzip archive", "unpack it"),
    b"\x89hdf": ("an HDF5 file", "load it in the program that made it, and " + RESAVE),
}
MEMBERS = {
    "constants.pkl": ("a TorchScript archive", "torch.save(torch.jit.load(FILE).state_dict(), NEW)"),
    "serialized_exported_program.json": ("an exported program", "torch.save(torch.export.load(FILE).state_dict, NEW)"),
    "archive_format": ("an exported program", "torch.save(torch.export.load(FILE).state_dict, NEW)"),
}


class Array:
    """A NumPy array; only its shape, number format and bytes are taken from the file."""

    def __init__(self, *ignored: Any) -> None:
        self.values: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, fortran, raw = state[1:]
        if isinstance(dtype, DType) and dtype.plain and isinstance(raw, bytes):
            flat = np.frombuffer(bytearray(raw), dtype.plain)
            self.values = flat.astype(flat.dtype.newbyteorder("=")).reshape(shape, order="F" if fortran else "C")


class DType:
    """A NumPy number format as the file names it."""

    def __init__(self, name: Any = "", *ignored: Any) -> None:
        self.name, self.order = str(name), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = str(state[1]).replace("|", "=")

    @property
    def plain(self) -> np.dtype[Any] | None:
        """The format as NumPy's; None for objects, texts and records, which are not read."""
        if self.name[:1] not in set("biufc") or not self.name[1:].isdigit():
            return None
        return np.dtype(self.name).newbyteorder(self.order)  # type: ignore[arg-type]


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    """A NumPy scalar as a Python number; None for formats that are not read."""
    if not isinstance(dtype, DType) or dtype.plain is None or not isinstance(raw, bytes):
        return None
    return np.frombuffer(raw, dtype.plain)[0].item()


def _array(*ignored: Any) -> Array:
    return Array()


def _mapping(*ignored: Any) -> OrderedDict[Any, Any]:
    return OrderedDict()


def _list(items: Any = (), *ignored: Any) -> list[Any]:
    return list(items) if isinstance(items, list | tuple) else []


def _namespace(*ignored: Any) -> argparse.Namespace:
    return argparse.Namespace()


def _posix(*parts: str) -> str:
    return str(PurePosixPath(*parts))


def _windows(*parts: str) -> str:
    return str(PureWindowsPath(*parts))


HARMLESS: dict[str, Any] = {
    "argparse.Namespace": argparse.Namespace,
    "types.SimpleNamespace": _namespace,
    "collections.defaultdict": _mapping,
    "collections.deque": _list,
    "builtins.frozenset": frozenset,
    **{f"builtins.{kind.__name__}": kind for kind in (dict, list, int, float, str, bool, tuple)},
    **{f"datetime.{kind.__name__}": kind for kind in
       (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone)},
    **{f"{module}.{name}": _posix for module in ("pathlib", "pathlib._local")
       for name in ("PosixPath", "PurePosixPath")},
    **{f"{module}.{name}": _windows for module in ("pathlib", "pathlib._local")
       for name in ("WindowsPath", "PureWindowsPath")},
    "numpy.dtype": DType,
    "numpy.ndarray": Array,
    **{f"numpy.{core}.multiarray.{name}": made for core in ("core", "_core")
       for name, made in (("scalar", _scalar), ("_reconstruct", _array))},
}  # fmt: skip
"""The harmless classes and functions that a file may name, each with what is called in its place."""

_PLAIN = {"torch", "torch._utils", "torch._tensor", "torch.storage", "torch.serialization", "torch.nn.parameter",
          "collections", "_codecs"}  # fmt: skip
"""Modules that every file of tensors and plain containers names; `torch.load` itself checks what it takes of them."""


class _NotCalled(type):
    """Metaclass of stand-ins: unpickling may create an object of the class, but an explicit call is refused."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise pickle.UnpicklingError(f"calls {cls.__name__}")


def stand_in(name: str) -> type:
    """A class in place of the unknown class `name`: its objects are dicts with the attributes from the file."""

    def new(cls: type, *args: Any) -> OrderedDict[Any, Any]:
        bag: OrderedDict[Any, Any] = (
            OrderedDict()
        )  # the only type to which torch.load may give both items and attributes
        bag.class_name = name  # type: ignore[attr-defined]
        return bag

    return _NotCalled(name, (), {"__new__": new})


def class_of(value: Any) -> str | None:
    """The name of the class that a stand-in replaces; None for any other value."""
    return vars(value).get("class_name") if type(value) is OrderedDict else None


def is_module(value: Any) -> bool:
    """Whether a value stands for an nn.Module that was saved as an object."""
    return class_of(value) is not None and {"_parameters", "_modules"} <= vars(value).keys()


def load(path: Path) -> Any:
    """Reads a PyTorch file: tensors, plain values, and a dict of attributes for each object of another class.

    Raises:
        SnnprofError: the file is of another kind, damaged, or calls functions.
    """
    _must_be_weights(path)
    try:
        return _loaded(path, {})
    except pickle.UnpicklingError:
        strange = _strange_names(path)
    except UNREADABLE as error:
        raise _damaged(path) from error
    if not strange:
        raise _damaged(path)
    try:
        return _loaded(path, {name: stand_in(name) for name in strange})
    except pickle.UnpicklingError as error:
        if any(name.startswith("torch.nn.modules.") for name in strange):
            raise whole_module(path) from error
        raise SnnprofError(
            f"checkpoint {path} contains pickled code besides weights, which snnprof does not run", hint=RESAVE
        ) from error
    except UNREADABLE as error:
        raise _damaged(path) from error


def whole_module(path: Path, name: str = "") -> SnnprofError:
    """The error for a model that was saved as an object: to read it, its code would have to run."""
    kind = f" ({name.rpartition('.')[2]})" if name else ""
    return SnnprofError(
        f"checkpoint {path} is a whole pickled module{kind}, not a state dict, and reading it would run its code",
        hint="if you trust it: torch.save(torch.load(FILE, weights_only=False).state_dict(), NEW)",
    )


def _loaded(path: Path, more: dict[str, Callable[..., Any]]) -> Any:
    known = [(made, name) for name, made in {**more, **HARMLESS}.items()]
    with torch.serialization.safe_globals(known), warnings.catch_warnings():  # type: ignore[arg-type]
        warnings.simplefilter("ignore")  # about old kinds of tensors; as weights they are refused later
        return torch.load(path, map_location="cpu", weights_only=True)


def _must_be_weights(path: Path) -> None:
    """Raises SnnprofError if the file is of another kind in spite of its name."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
        found = next((kind for member, kind in MEMBERS.items() if member in names), None)
    except (zipfile.BadZipFile, *UNREADABLE):
        with path.open("rb") as stream:
            start = stream.read(64).lstrip().lower()
        found = next((kind for sign, kind in STARTS.items() if start.startswith(sign)), None)
    if found:
        raise SnnprofError(f"checkpoint {path} is {found[0]}, not a state dict", hint=found[1])


def _damaged(path: Path) -> SnnprofError:
    return SnnprofError(f"checkpoint {path} is cut short, damaged or no PyTorch file")


def _strange_names(path: Path) -> set[str]:
    """The unknown classes and functions that a file names; empty if its pickles cannot be read."""
    try:
        with _pickle_of(path) as stream:
            return {name for name in _names(stream) if name not in HARMLESS and name.rpartition(".")[0] not in _PLAIN}
    except (*UNREADABLE, zipfile.BadZipFile, StopIteration, MemoryError):
        return set()


def _pickle_of(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        return path.open("rb")
    archive = zipfile.ZipFile(path)
    return archive.open(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def _names(stream: Any) -> Iterator[str]:
    """The names in the GLOBAL operations of a file's pickles; protocol 2 uses the Python 2 names of some modules."""
    for _ in range(LEGACY_PICKLES):
        if not stream.peek(1):
            return
        for operation, argument, _ in pickletools.genops(stream):
            if operation.name == "GLOBAL":
                module, _, name = str(argument).partition(" ")
                module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
                yield f"{module}.{name}"

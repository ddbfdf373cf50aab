"""CIFAR-10 and CIFAR-100 from the files users already have, python or binary version; nothing is downloaded."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from snnprof.errors import SnnprofError

PIXELS = 3 * 32 * 32
_LAYOUT = {
    "cifar10": ("cifar-10-batches-py/test_batch", "cifar-10-batches-bin/test_batch.bin", b"labels", 1),
    "cifar100": ("cifar-100-python/test", "cifar-100-binary/test.bin", b"fine_labels", 2),
}


def load(name: str, folder: Path, spec: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], str]:
    """The test split: images uint8 [N, 3, 32, 32], labels int64 [N], and the source's name.

    Raises:
        SnnprofError: the folder holds neither version, or a damaged file.
    """
    python, binary, key, label_bytes = _LAYOUT[name]
    for base in (folder, folder.parent):
        if (base / python).is_file():
            return (*_python(base / python, key), spec)
        if (base / binary).is_file():
            return (*_binary(base / binary, label_bytes), spec)
    for path in (folder / Path(python).name, folder / Path(binary).name):
        if path.is_file():
            read = _binary(path, label_bytes) if path.suffix == ".bin" else _python(path, key)
            return (*read, spec)
    raise SnnprofError(
        f"there is no {name} in {folder}",
        hint=f"unpack the archive from cs.toronto.edu/~kriz/cifar.html so that {folder / python} exists",
    )


class _Numpy(pickle.Unpickler):
    """CIFAR's pickles hold numpy arrays and nothing else; anything else is refused, not run."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "numpy" and name in ("_reconstruct", "ndarray", "dtype", "_frombuffer"):
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a CIFAR file")


def _python(path: Path, key: bytes) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    try:
        with path.open("rb") as stream:
            content = _Numpy(stream, encoding="bytes").load()
        images = np.asarray(content[b"data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
        labels = np.asarray(content[key], dtype=np.int64)
    except Exception as error:
        raise SnnprofError(f"{path} is not a CIFAR file: {error}") from error
    return images, labels


def _binary(path: Path, label_bytes: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rows = np.fromfile(path, dtype=np.uint8)
    if not rows.size or rows.size % (label_bytes + PIXELS):
        raise SnnprofError(f"{path} is not a CIFAR file: {rows.size} bytes is no whole number of images")
    rows = rows.reshape(-1, label_bytes + PIXELS)
    return rows[:, label_bytes:].reshape(-1, 3, 32, 32), rows[:, label_bytes - 1].astype(np.int64)

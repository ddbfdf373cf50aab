"""CIFAR-10 and CIFAR-100 from the user's files, in the python or the binary version; nothing is downloaded."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnprof.errors import SnnprofError
from snnprof.workload.batches import InputSpec, array_facts
from snnprof.workload.map_dataset import TensorDataset

PIXELS = 3 * 32 * 32
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class _Version:
    """Where the files of a data set are and how they hold labels; in the binary version the last label byte counts."""

    python: str
    binary: str
    key: bytes
    label_bytes: int
    classes: int


_VERSIONS = {
    "cifar10": _Version("cifar-10-batches-py/test_batch", "cifar-10-batches-bin/test_batch.bin", b"labels", 1, 10),
    "cifar100": _Version("cifar-100-python/test", "cifar-100-binary/test.bin", b"fine_labels", 2, 100),
}


def open_folder(name: str, folder: Path, wanted: InputSpec) -> TensorDataset:
    """Reads the test split, scaled to [0, 1] and normalised as in the model's training.

    Args:
        name: `cifar10` or `cifar100`.
        folder: the unpacked archive, or the folder that contains it.
        wanted: what the model needs of its data; mean and standard deviation come from its preset.

    Raises:
        SnnprofError: the folder holds neither version, or a damaged file.
    """
    version = _VERSIONS[name]
    path = _test_file(name, folder, version)
    images, labels = _binary(path, version) if path.suffix == ".bin" else _python(path, version)
    if labels.min() < 0 or labels.max() >= version.classes:
        raise SnnprofError(f"{path} is not a {name} file: it has labels from {labels.min()} to {labels.max()}")
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    mean, std = normalisation(wanted)
    facts = array_facts(f"{name}:{folder}", "image", x, note=f"test split; {scaling(wanted)}")
    return TensorDataset(facts, wanted, x, y, lambda batch: (batch.float() / 255 - mean) / std)


def normalisation(wanted: InputSpec) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel, [C, 1, 1], for images in [0, 1]."""
    mean, std = torch.tensor(wanted.mean or (0.0,)), torch.tensor(wanted.std or (1.0,))
    return mean.view(-1, 1, 1), std.view(-1, 1, 1)


def scaling(wanted: InputSpec) -> str:
    """How the pixels were scaled, in words for the run file."""
    if not wanted.mean:
        return "pixels scaled to [0, 1], not normalised"
    return f"pixels scaled to [0, 1], then normalised by mean {list(wanted.mean)} and std {list(wanted.std)}"


def _test_file(name: str, folder: Path, version: _Version) -> Path:
    known = [version.python, version.binary]
    inside = [folder / Path(file).name for file in known]
    for path in [folder / file for file in known] + inside:
        if path.is_file():
            return path
    raise SnnprofError(
        f"there is no {name} in {folder}",
        hint=f"unpack the archive from www.cs.toronto.edu/~kriz/cifar.html so that {folder / version.python} exists",
    )


class _Numpy(pickle.Unpickler):
    """Reads CIFAR's pickles, which hold NumPy arrays only; it refuses all other classes and functions."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "numpy" and name in ("_reconstruct", "ndarray", "dtype", "_frombuffer"):
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a CIFAR file")


def _python(path: Path, version: _Version) -> tuple[Bytes, NDArray[np.int64]]:
    try:
        with path.open("rb") as stream:
            content = _Numpy(stream, encoding="bytes").load()
        images, labels = np.asarray(content[b"data"]), np.asarray(content[version.key])
    except Exception as error:  # a damaged pickle raises errors of any kind
        raise SnnprofError(f"{path} is not a readable CIFAR file: {type(error).__name__}: {error}") from error
    if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != PIXELS or not len(images):
        raise SnnprofError(f"{path} is not a CIFAR file: its images are {images.dtype} {list(images.shape)}")
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise SnnprofError(f"{path} is not a CIFAR file: {len(images)} images, labels {list(labels.shape)}")
    return images.reshape(-1, 3, 32, 32), labels.astype(np.int64)


def _binary(path: Path, version: _Version) -> tuple[Bytes, NDArray[np.int64]]:
    size = version.label_bytes + PIXELS
    rows = np.fromfile(path, dtype=np.uint8)
    if not rows.size or rows.size % size:
        raise SnnprofError(f"{path} is not a CIFAR file: {rows.size} bytes are not a whole number of images of {size}")
    rows = rows.reshape(-1, size)
    images = np.ascontiguousarray(rows[:, version.label_bytes :]).reshape(-1, 3, 32, 32)
    return images, rows[:, version.label_bytes - 1].astype(np.int64)

"""`FILE.npz` and `FILE.pt`: arrays `x` (samples first) and, where there are labels, `y`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnprof import capacity
from snnprof.errors import SnnprofError
from snnprof.workload.batches import Arrays, Wanted, array_facts, holds_frames, oddity
from snnprof.workload.stream import as_batch

NUMPY_HINT = "save it with numpy.savez(FILE, x=..., y=...)"
TORCH_HINT = "save it with torch.save({'x': ..., 'y': ...}, FILE)"
PIECES_HINT = "read it piece by piece in a function of your own: --data FILE.py:FUNCTION"


def open_file(path: Path, wanted: Wanted) -> Arrays:
    """The samples of a file.

    Raises:
        SnnprofError: it is missing or damaged, would not fit in memory, or does not hold samples and labels of one
            length.
    """
    if not path.is_file():
        raise SnnprofError(f"there is no data file {path}")
    capacity.must_unpack(path, ("x.npy", "y.npy") if path.suffix == ".npz" else (), PIECES_HINT)
    x, y = _npz(path) if path.suffix == ".npz" else _pt(path)
    samples, labels = _samples(path, x), _labels(path, y, wanted)
    if labels is not None and len(labels) != len(samples):
        raise SnnprofError(f"{path}: 'y' holds {len(labels)} labels for {len(samples)} samples")
    return Arrays(array_facts(str(path), "array", samples, _note(samples, wanted)), wanted, samples, labels)


def _note(samples: Tensor, wanted: Wanted) -> str | None:
    """What layout `step` takes the samples for."""
    if wanted.layout != "step" or not wanted.timesteps:
        return None
    if holds_frames(samples.shape[1:], wanted.timesteps):
        return f"each sample is {wanted.timesteps} frames {list(samples.shape[2:])}, one for each time step"
    return f"each sample is shown {wanted.timesteps} times"


def _npz(path: Path) -> tuple[Any, Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("x", "y") if name in archive.files}
    except Exception as error:  # a damaged archive raises zipfile, zlib, memory and header errors of many kinds
        raise SnnprofError(f"{path} is not a readable .npz file: {_first_line(error)}", hint=NUMPY_HINT) from error
    if "x" not in arrays:
        raise SnnprofError(f"{path} holds no array 'x'", hint=NUMPY_HINT)
    return arrays["x"], arrays.get("y")


def _pt(path: Path) -> tuple[Any, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old kinds of tensors, which are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise SnnprofError(f"{path} is not a readable file of tensors", hint=TORCH_HINT) from error
    if not isinstance(content, dict):
        return as_batch(content)
    if "x" not in content:
        raise SnnprofError(f"{path} holds no tensor 'x'", hint=TORCH_HINT)
    return content["x"], content.get("y")


def _samples(path: Path, x: Any) -> Tensor:
    samples = _tensor(path, "x", x)
    if samples.dim() < 2 or not samples.numel():
        raise SnnprofError(f"{path}: 'x' must be [samples, ...], not {list(samples.shape)}")
    if samples.is_floating_point() and not bool(torch.isfinite(samples).all()):
        bad = int((~torch.isfinite(samples.flatten(1))).any(1).sum())
        raise SnnprofError(f"{path}: {bad} of the {len(samples)} samples in 'x' hold NaN or infinity")
    return samples


def _labels(path: Path, y: Any, wanted: Wanted) -> Tensor | None:
    if y is None:
        return None
    labels = _tensor(path, "y", y)
    if labels.dim() != 1 or not len(labels) or labels.is_floating_point() or labels.dtype is torch.bool:
        raise SnnprofError(
            f"{path}: 'y' must be one whole number for each sample, not {labels.dtype} {list(labels.shape)}",
            hint="leave 'y' out to profile without accuracy",
        )
    labels = labels.long()
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or (wanted.classes and highest >= wanted.classes):
        raise SnnprofError(
            f"{path}: labels run from {lowest} to {highest}; they must count classes from 0",
            hint=f"the model has {wanted.classes or 'no known number of'} classes; leave 'y' out for no accuracy",
        )
    return labels


def _tensor(path: Path, name: str, value: Any) -> Tensor:
    try:
        tensor = torch.as_tensor(value).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        kind = getattr(value, "dtype", type(value).__name__)
        raise SnnprofError(f"{path}: '{name}' must hold numbers, not {kind}") from error
    if odd := oddity(tensor):
        raise SnnprofError(f"{path}: '{name}' must be a plain dense array of real numbers, not {odd}")
    capacity.must_fit(f"{path}: '{name}'", tensor.numel() * tensor.element_size(), PIECES_HINT)
    return tensor


def _first_line(error: Exception) -> str:
    if "allow_pickle" in str(error):  # numpy's advice to load it unsafely is not ours
        return "it holds Python objects, or no arrays at all"
    return str(error).strip().partition("\n")[0] or type(error).__name__

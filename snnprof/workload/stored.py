"""Files of arrays, such as `FILE.npz`, as a data source; the first axis counts the samples."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snnprof import capacity
from snnprof.errors import SnnprofError
from snnprof.workload import arrays
from snnprof.workload.array_files import PIECES_HINT, READERS, read
from snnprof.workload.batches import InputSpec, array_facts, holds_frames, oddity
from snnprof.workload.labels import class_numbers
from snnprof.workload.map_dataset import TensorDataset

SUFFIXES = tuple(READERS)


def open_file(path: Path, wanted: InputSpec) -> TensorDataset:
    """Reads the samples of a file and their labels, if there are any.

    Raises:
        SnnprofError: the file is missing or damaged, would not fit in memory, or holds samples or labels that do not
            fit each other or the model.
    """
    content = read(path)
    samples = _samples(path, content.x)
    labels = _labels(path, content.y, len(samples), wanted)
    notes = [content.note, _swapped(content.x)]
    if path.suffix.lower() in (".csv", ".tsv"):
        samples, note = _shaped(path, samples, wanted)
        notes.append(note)
    whole = _are_tokens(samples, wanted)
    if whole:
        notes.append("whole numbers go to the embedding unchanged")
    notes.append(_step_note(samples, wanted))
    facts = array_facts(str(path), "array", samples, "; ".join(filter(None, notes)) or None)
    return TensorDataset(
        facts, wanted, samples, labels, torch.Tensor.long if whole else partial(_real, dtype=wanted.dtype)
    )


def _real(samples: Tensor, dtype: torch.dtype) -> Tensor:
    return samples.to(dtype)


def _are_tokens(samples: Tensor, wanted: InputSpec) -> bool:
    """Whether the samples are rows of integers that are valid indices of the embedding with which the model begins."""
    if wanted.tokens is None or samples.is_floating_point() or samples.dtype is torch.bool or samples.dim() != 2:
        return False
    low, high = (int(bound) for bound in torch.aminmax(samples.long()))
    return low >= 0 and high < wanted.tokens


def _shaped(path: Path, samples: Tensor, wanted: InputSpec) -> tuple[Tensor, str | None]:
    """The rows of a table in the shape that the model takes, and a note if they were reshaped.

    Raises:
        SnnprofError: a row has another number of elements than a sample.
    """
    shape = wanted.shape
    if shape is None or len(shape) == 1:
        return samples, None
    if samples.shape[1] != math.prod(shape):
        raise SnnprofError(
            f"{path}: a sample has {samples.shape[1]} numbers, and this model takes {list(shape)}, which is "
            f"{math.prod(shape)}"
        )
    return samples.reshape(-1, *shape), f"the {samples.shape[1]} columns are reshaped to {list(shape)}"


def _swapped(x: Any) -> str | None:
    return "big-endian numbers of the file are converted" if arrays.swapped(x) else None


def _step_note(samples: Tensor, wanted: InputSpec) -> str | None:
    """A note on how layout `step` interprets the samples; None for other layouts."""
    if wanted.layout != "step" or not wanted.timesteps:
        return None
    if holds_frames(samples.shape[1:], wanted):
        return f"each sample is {wanted.timesteps} frames {list(samples.shape[2:])}, one for each time step"
    return f"each sample is shown {wanted.timesteps} times"


def _samples(path: Path, x: Any) -> Tensor:
    samples = _tensor(path, "x", x)
    if samples.dim() < 2 or not samples.numel():
        raise SnnprofError(f"{path}: 'x' must be [samples, ...], not {list(samples.shape)}")
    if samples.is_floating_point() and not bool(torch.isfinite(samples).all()):
        bad = int((~torch.isfinite(samples.flatten(1))).any(1).sum())
        raise SnnprofError(f"{path}: {bad} of the {len(samples)} samples in 'x' hold NaN or infinity")
    return samples


def _labels(path: Path, y: Any, samples: int, wanted: InputSpec) -> Tensor | None:
    if y is None:
        return None
    stored = _tensor(path, "y", y)
    if stored.dim() and len(stored) != samples:
        raise SnnprofError(
            f"{path}: 'y' holds {len(stored)} labels for {samples} samples",
            hint="the first axis of 'x' must be the samples, whatever --layout says",
        )
    labels, why = class_numbers(stored, samples)
    if labels is None:
        raise SnnprofError(
            f"{path}: 'y' must be one whole number for each sample, or one-hot, but its labels {why}",
            hint="leave 'y' out to profile without accuracy",
        )
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or (wanted.classes and highest >= wanted.classes):
        raise SnnprofError(
            f"{path}: labels run from {lowest} to {highest}; they must count classes from 0",
            hint=f"the model has {wanted.classes or 'an unknown number of'} classes; without 'y' there is no accuracy",
        )
    return labels


def _tensor(path: Path, name: str, value: Any) -> Tensor:
    try:
        tensor = arrays.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = getattr(value, "dtype", type(value).__name__)
        raise SnnprofError(f"{path}: '{name}' must hold numbers, not {kind}") from error
    if odd := oddity(tensor):
        raise SnnprofError(f"{path}: '{name}' must be a plain dense array of real numbers, not {odd}")
    capacity.must_fit(f"{path}: '{name}'", tensor.numel() * tensor.element_size(), PIECES_HINT)
    return tensor

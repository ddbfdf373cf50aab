"""Converts arrays of any library to tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

NATIVE = {"u2": "i4", "u4": "i8", "u8": "i8", "f16": "f8", "f12": "f8"}
"""NumPy's number formats that PyTorch hardly supports, each with the format that it is converted to."""


def as_tensor(value: Any) -> Tensor:
    """Converts a value from a user's code or file: a tensor, an array in any byte order, a list, a data frame.

    Raises:
        TypeError, ValueError, RuntimeError: the value holds no numbers.
    """
    if isinstance(value, Tensor):
        return value.detach()
    if hasattr(value, "__array__") and not isinstance(value, np.generic):
        return torch.from_numpy(native(np.asarray(value)))
    if isinstance(value, list | tuple) and value and all(isinstance(each, np.ndarray) for each in value):
        return as_tensor(np.asarray(value))  # PyTorch would convert them number by number, and warn that this is slow
    return torch.as_tensor(value)


def native(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array in this machine's byte order, in a number format and memory layout that PyTorch can read."""
    kind = f"{array.dtype.kind}{array.dtype.itemsize}"
    wanted = np.dtype(NATIVE.get(kind, array.dtype.newbyteorder("=")))
    if kind == "u8" and array.size and array.max() > np.iinfo(np.int64).max:
        wanted = np.dtype(np.float64)
    copied = array if array.dtype == wanted and array.flags.writeable else array.astype(wanted)
    return np.ascontiguousarray(copied).reshape(copied.shape)  # ascontiguousarray gives a 0-dimensional array an axis


def swapped(value: Any) -> bool:
    """Whether an array has another byte order than this machine."""
    dtype = getattr(value, "dtype", None)
    return isinstance(dtype, np.dtype) and not dtype.isnative

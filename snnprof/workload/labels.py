"""Converts labels to class numbers: from class numbers, a column of them, or one-hot rows."""

from __future__ import annotations

import torch
from torch import Tensor


def class_numbers(y: Tensor, samples: int) -> tuple[Tensor | None, str]:
    """The labels as class numbers `[B]` and ""; None and the reason if they are no class numbers.

    >>> class_numbers(torch.eye(3), 3)
    (tensor([0, 1, 2]), '')
    >>> class_numbers(torch.tensor([0.5, 1.0]), 2)
    (None, 'are real numbers, not classes')
    """
    if y.shape in ((samples, 1), ()) and y.numel() == samples:
        y = y.reshape(samples)
    if y.dim() < 1 or len(y) != samples:
        count = len(y) if y.dim() else 1
        return None, f"number {count} for {samples} samples"
    if y.dim() == 2:
        hot = y != 0
        if bool((hot.sum(1) == 1).all()) and bool((y[hot] == 1).all()):
            return hot.long().argmax(1), ""
    if y.dim() > 1:
        return None, f"are {list(y.shape[1:])} numbers per sample, not one class"
    if y.is_floating_point():
        if bool(torch.isnan(y).any()):
            return None, f"hold NaN for {int(torch.isnan(y).sum())} of {samples} samples"
        if not bool((y == y.round()).all()):
            return None, "are real numbers, not classes"
    return y.long(), ""

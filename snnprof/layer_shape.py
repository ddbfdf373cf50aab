"""Sizes of an operation that memory models need, from its record."""

from __future__ import annotations

import math
import re

from snnprof.activity import Activity, OpRecord

_WORD_BITS = {"binary": 1, "ternary": 2}


def word_bits(precision: str) -> int | None:
    """Returns the bits of a number format: `fp32` 32, `int8` 8, `binary` 1; None for `analog`.

    >>> word_bits("bf16")
    16
    """
    digits = re.search(r"\d+$", precision)
    return int(digits.group()) if digits else _WORD_BITS.get(precision)


def outputs(op: OpRecord) -> float | None:
    """Returns the number of results that a weighted operation computed over the run; None if its shape is unknown."""
    shapes = [op.shape.get(name) for name in ("input", "output", "weight")]
    if not all(shapes):
        return None
    read, written, weight = (float(math.prod(shape)) for shape in shapes if shape)
    if not read or not weight:
        return None
    if op.op == "linear":
        return op.dense_macs / read
    taps: float = weight / op.shape["weight"][0]
    return op.dense_macs / (read * taps) * written if op.shape.get("transposed") else op.dense_macs / taps


def spikes_out(op: OpRecord, activity: Activity) -> float:
    """Returns the spikes of the neuron layers that an operation's results reach."""
    return sum(neuron.spikes for neuron in activity.neurons if neuron.layer in op.feeds)


def kernel(op: OpRecord) -> tuple[list[int], list[int]]:
    """Returns kernel and stride along each axis.

    A linear layer is a kernel of one tap; a transposed convolution has stride 1.
    """
    if op.op != "conv":
        return [1], [1]
    taps = list(op.shape["weight"][2:]) or [1]
    strides = op.shape.get("stride") or [1] * len(taps)
    return taps, [1] * len(taps) if op.shape.get("transposed") else list(strides)


def channels(op: OpRecord) -> float:
    """Returns the number of output channels that one input element reaches."""
    written: float = op.shape["output"][0]
    return written / (op.shape.get("groups") or 1)

"""Facts from the values of tensors whose making the recorder did not see: inputs, unknown tensors, neuron outputs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import torch
from torch import Tensor, nn

from snnprof.record import layers
from snnprof.record.provenance import (
    INPUT,
    NOTHING,
    ONE,
    UNKNOWN,
    ZERO,
    Facts,
    Origin,
    number,
    on_grid,
    rational,
    real,
    spikes,
)

_PIECE = 1 << 18
"""Values that are looked at in one piece."""
COUNTS = 15
"""The largest whole number that is taken for an event count."""
_SIZES = 256
"""The most different sizes of values, and the most levels, among which a common step is looked for."""
_FEW = 8
"""The most evenly spaced sizes that look like spikes."""
_OFF_GRID = 1e-3
"""The largest distance from a whole number of steps, in steps."""


def unknown(tensor: Tensor) -> Facts:
    """Facts of a tensor that the pass did not make: of unknown origin (a parameter: weight), with `constant`'s grid."""
    origin = Origin.WEIGHT if isinstance(tensor, nn.Parameter) else Origin.UNKNOWN
    return replace(constant(tensor), origin=origin)


def constant(tensor: Tensor) -> Facts:
    """Facts of a weight by its values: of one number, of zeros, or of whole numbers up to 15 in size; else real.

    More than 2²⁰ values are not read and taken for real.
    """
    if tensor.numel() == 0 or tensor.is_complex() or not values_of_its_own(tensor):
        return replace(UNKNOWN, origin=Origin.WEIGHT)
    values = tensor.detach()
    if values.numel() == 1:
        return number(float(values.item()))
    if values.numel() > 1 << 20:
        return replace(UNKNOWN, origin=Origin.WEIGHT)
    low, high = (float(bound) for bound in torch.aminmax(values.double()))
    if low == high == 0:
        return NOTHING
    if not max(-low, high) <= COUNTS or not whole_numbers(values):
        return replace(UNKNOWN, origin=Origin.WEIGHT)
    return on_grid(ONE, Fraction(low), Fraction(high), Origin.WEIGHT)


def of_input(tensor: Tensor, kind: str, fed_by: str = INPUT) -> Facts:
    """Facts of a model input under `--input auto|spikes|real` (`kind`).

    `auto` takes {0, 1}, {−1, 0, 1} and whole numbers up to 15 (event counts per bin) for spikes, everything else for
    real values. `spikes` reads the grid off the values.
    """
    if kind == "real" or tensor.numel() == 0 or tensor.is_complex() or not values_of_its_own(tensor):
        return real([fed_by])
    values = tensor.detach().float() if tensor.dtype is torch.bool else tensor.detach()
    low, high = (float(bound) for bound in torch.aminmax(values))
    largest, signed = max(-low, high), low < 0
    if not math.isfinite(largest):
        return real([fed_by])
    if kind == "spikes":
        step = smallest_step(values) or ONE  # without a common step, the values of each time step decide
        return spikes([fed_by], max(1, math.ceil(largest / step)), signed, step)
    whole = largest <= (1 if signed else COUNTS) and whole_numbers(values)
    return spikes([fed_by], levels=max(1, int(largest)), signed=signed) if whole else real([fed_by])


def of_neuron(tensor: Tensor, known: Facts | None, name: str) -> Facts:
    """Facts of a neuron layer's output.

    If the layer's own operators leave a grid on which the values lie, the output has that grid. Otherwise its values
    decide: those of one amplitude, and whole numbers up to 15, are spikes; all others are real.

    Args:
        tensor: the output.
        known: its facts by propagation; None: unknown.
        name: name of the layer.
    """
    values = tensor.detach() if tensor.is_floating_point() else tensor.detach().float()
    if known is not None and known.data and known.grid and known.quantum:
        nearest = _OFF_GRID if known.rough else _OFF_GRID / _SIZES
        on_its_grid = _off_grid(values, float(known.quantum)) <= nearest
        if on_its_grid:
            return replace(on_grid(known.quantum, known.low, known.high, fed_by=[name]), rough=known.rough)
    step = smallest_step(values)
    if step is None or not values.numel():
        return real([name])
    low, high = (float(bound) for bound in torch.aminmax(values))
    most = round(max(-low, high) / float(step))
    if most == 0:  # no neuron has fired yet
        return on_grid(ONE, ZERO, None, fed_by=[name])
    if most > 1 and not (whole_numbers(values) and most * step <= COUNTS):
        return real([name])
    return on_grid(step, -most * step if low < 0 else ZERO, most * step, fed_by=[name])


def _off_grid(values: Tensor, quantum: float) -> float:
    """The largest distance of values / quantum from a whole number; in pieces, to save memory for the doubles."""
    if not values.numel():
        return 0.0
    pieces = torch.split(values.reshape(-1), _PIECE * 4)
    return float(torch.stack([_distance(piece.double() / quantum) for piece in pieces]).max())


def _distance(levels: Tensor) -> Tensor:
    return (levels - levels.round()).abs().max()


def smallest_step(values: Tensor) -> Fraction | None:
    """The number that all values are whole multiples of; 1 for zeros, None if there is none.

    It is the smallest size that occurs, if that divides all others; or else the greatest common divisor, if at least
    half of its multiples occur. Only the first 2²⁰ values are looked at, to save time; reads verify all of them later.
    """
    sizes = torch.unique(values.detach().reshape(-1)[: _PIECE * 4].double().abs())
    sizes = sizes[sizes > 0]
    if not sizes.numel():
        return ONE
    if sizes.numel() > _SIZES or not math.isfinite(float(sizes[-1])):
        return None
    common = _greatest_common_divisor(sizes.tolist())
    for step in (float(sizes[0]), common):
        levels = round(float(sizes[-1]) / step) if step else 0
        if not 0 < levels <= _SIZES or (step == common and sizes.numel() * 2 < levels):
            continue
        step = float(sizes[-1]) / levels  # the largest multiple has the smallest relative error
        multiples = sizes / step
        if bool(((multiples - multiples.round()).abs() <= _OFF_GRID).all()):
            return rational(step)
    return None


def _greatest_common_divisor(sizes: list[float]) -> float:
    """Euclid's algorithm for numbers with rounding errors."""
    common, tolerance = 0.0, sizes[-1] * _OFF_GRID / _SIZES
    for size in sizes:
        while size > tolerance:
            common, size = size, abs(math.remainder(common, size))
    return common


def raw_bytes(tensor: Tensor) -> bool:
    """Whether the values look like an 8-bit image: whole numbers from 0 to 255, the largest above 63."""
    if not values_of_its_own(tensor) or tensor.is_complex() or not tensor.numel():
        return False
    low, high = (float(bound) for bound in torch.aminmax(tensor.detach().float()))
    return low >= 0 and 63 < high <= 255 and whole_numbers(tensor.detach().float())


def look_like_spikes(tensor: Tensor) -> bool:
    """Whether the values look like spikes: zeros and a few multiples of one step, at most 8 steps large.

    Values of one size with both signs look like spikes, too.
    """
    if not tensor.is_floating_point() or not values_of_its_own(tensor) or not tensor.numel():
        return False
    sizes = torch.unique(tensor.detach().reshape(-1)[: _PIECE * 4].double().abs())
    both_signs = sizes.numel() == 1 and bool((tensor.detach() < 0).any() and (tensor.detach() > 0).any())
    if not both_signs and (not 1 < sizes.numel() <= _FEW or float(sizes[0]) != 0.0):
        return False
    step = smallest_step(tensor)
    return step is not None and float(sizes[-1]) / float(step) <= _FEW + _OFF_GRID


def whole_numbers(values: Tensor) -> bool:
    """Whether all values are whole numbers."""
    if not values.is_floating_point():
        return True
    return all(bool((piece == torch.round(piece)).all()) for piece in _pieces(values))


def _pieces(values: Tensor) -> Iterator[Tensor]:
    """Splits values into pieces, so that looking at them takes little memory beside the model's."""
    if not values.dim() or values.numel() <= _PIECE:
        yield values
        return
    rows = _PIECE * len(values) // values.numel()
    for part in torch.split(values, rows) if rows else values:
        yield from _pieces(part)


def values_of_its_own(tensor: Tensor) -> bool:
    """Whether a tensor is a plain array of its own values (`layers.is_own`)."""
    return layers.is_own(tensor)

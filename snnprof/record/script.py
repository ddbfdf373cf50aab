"""The script of the learning batch: its operations in order, as a compiled graph has to repeat them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from snnprof.record.counters import LineCounter, OpCounter
from snnprof.record.firing import FiringLine
from snnprof.record.measure import Plan


class Call(NamedTuple):
    """One operation of the learning batch.

    Attributes:
        layer: path of the module that ran it.
        family: `contraction`, the line of other arithmetic, the operator, or what `firing_family` returns.
        counter: adds its counts; a function if the operation is only listed as uncounted; None if nothing is counted.
        plan: how a contraction is counted.
        macs: dense multiply-accumulates of a contraction.
        padding: zeros that an earlier operator padded on, (before, after) for each axis in space.
        positions: of the spike operands of other arithmetic, among its tensors.
    """

    layer: str
    family: str
    counter: OpCounter | LineCounter | FiringLine | Callable[[], None] | None
    plan: Plan | None = None
    macs: int = 0
    padding: tuple[tuple[int, int], ...] | None = None
    positions: tuple[int, ...] | None = None


def firing_family(name: str) -> str:
    """The family of the calls of an operator that may make spikes."""
    return f"fires {name}"

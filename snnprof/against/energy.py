"""Prices both tools' operations alike, so that only the counting differs."""

from __future__ import annotations

from dataclasses import dataclass

from snnprof.against.records import Explained, Ops
from snnprof.hardware import load_hardware

PRICES = "cmos45-fp32"
"""4.6 pJ for a multiply-accumulate, 0.9 pJ for an addition: the prices in most papers, and in SpikingJelly."""


@dataclass(frozen=True)
class Step:
    """One line on the way from the energy of snnprof to that of the other tool.

    Attributes:
        reason: id of a reason; `ours` and `theirs` for the two ends.
        rows: number of rows of the comparison in which it occurs.
        ops: operations over the run; for a reason, those that it adds.
        energy_pj: picojoules per inference; for a reason, what it adds.
    """

    reason: str
    rows: int
    ops: Ops
    energy_pj: float


def steps(explained: Explained) -> list[Step]:
    """Returns our operations, what each reason adds to them, and theirs; the energies in between add up."""
    middle = explained.by_reason()
    if explained.peer.own:
        middle["own"] = (0, explained.peer.own)
    ends = [("ours", (len(explained.rows), explained.ours)), ("theirs", (len(explained.rows), explained.theirs))]
    lines = [ends[0], *middle.items(), ends[1]]
    return [Step(name, rows, ops, energy_pj(ops) / max(1, explained.samples)) for name, (rows, ops) in lines]


def energy_pj(ops: Ops) -> float:
    """Returns the picojoules of arithmetic at `PRICES`."""
    prices = load_hardware(PRICES).energy
    assert prices.ac is not None
    assert prices.mac is not None
    assert prices.mul is not None
    return ops.acs * prices.ac.value + ops.macs * prices.mac.value + ops.muls * prices.mul.value

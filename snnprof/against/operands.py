"""What an operand was in a part of a run, by the counts of that part rather than by the whole run's evidence."""

from __future__ import annotations

from snnprof.activity import OpRecord, Part
from snnprof.conventions.counts import Options
from snnprof.conventions.kinds import occurred, split

EXACT = Options()


def summed(parts: list[Part], name: str) -> int:
    return sum(getattr(part, name) for part in parts)


def is_ternary(op: OpRecord) -> bool:
    """Whether the (left) data operand held only −1, 0 and 1."""
    spikes = op.part("spikes")
    real = op.part("real").elements or op.data[0].quantum not in (1, None)
    return not real and spikes.level_sum == spikes.nonzero


def left_is_binary(op: OpRecord) -> bool:
    """Whether the (left) data operand held only 0 and 1."""
    return is_ternary(op) and not op.data[0].signed


def beyond_binary(op: OpRecord) -> str:
    """Why a spiking operand is not 0 and 1: the id of a reason."""
    operand = op.data[0]
    if op.part("real").elements:
        return "mixed"
    if operand.signed:
        return "signed"
    return "levels" if operand.quantum == 1 else "scaled"


def as_spikes(op: OpRecord) -> list[Part]:
    """The parts that `exact` counts as additions."""
    return split(op, EXACT)[0]


def run_parts(op: OpRecord, each_step: bool) -> list[Part]:
    """What a tool that judges a call as a whole takes part in: silent steps too, unless each step is its own call."""
    return [part for part in occurred(op) if not (each_step and part.kind == "silent")]

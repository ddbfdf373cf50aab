"""What kind of data an operand was in a part of a run, by the counts of that part instead of the whole run's."""

from __future__ import annotations

from snnprof.activity import OpRecord, Part
from snnprof.conventions.counts import Options
from snnprof.conventions.kinds import occurred, split

EXACT = Options()


def summed(parts: list[Part], name: str) -> int:
    """Adds up one count over some parts."""
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
    """Returns why a spiking operand is not only 0 and 1, as the id of a reason."""
    operand = op.data[0]
    if op.part("real").elements:
        return "mixed"
    if operand.signed:
        return "signed"
    return "levels" if operand.quantum == 1 else "scaled"


def as_spikes(op: OpRecord) -> list[Part]:
    """Returns the parts that `exact` counts as additions."""
    return split(op, EXACT)[0]


def run_parts(op: OpRecord, each_step: bool) -> list[Part]:
    """Returns the parts that a tool counts which judges each call as a whole.

    These are all parts; if each step is its own call, all but the silent ones.
    """
    return [part for part in occurred(op) if not (each_step and part.kind == "silent")]

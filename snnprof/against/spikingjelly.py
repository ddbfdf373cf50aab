"""SpikingJelly 2.0's SynOp, AC and MAC counts, derived from the counts of snnprof.

Its rules: a contraction with an operand of only 0 and 1 costs additions (SynOps). If both operands are binary, these
are pairs of two spikes; else the spikes of the binary operand, each times the extent of the other one. Any other
contraction costs dense MACs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snnprof.activity import ElementwiseRecord, OpRecord
from snnprof.against.operands import (
    as_spikes,
    beyond_binary,
    left_is_binary,
    run_parts,
    summed,
)
from snnprof.against.records import Call, Change, Ops


def unseen(ours: Ops) -> Iterator[list[Change]]:
    """Yields the way for operations for which the tool has no rule."""
    yield [Change("no_rule", Ops() - ours)]


def contraction(op: OpRecord, ours: Ops, calls: Sequence[Call], each_step: bool) -> Iterator[list[Change]]:
    """Yields the ways from our figure to theirs, by which operands were all 0 and 1; several if calls differ in that.

    `calls` are theirs of this operation; `each_step` says that the model calls it once for each time step.
    """
    for binary in sorted({call.binary or (left_is_binary(op), False) for call in calls}, reverse=True):
        if len(op.data) > 1:
            yield [_product(op, ours, binary)]
        elif all(binary):
            met = Change("values", Ops(acs=op.events) - ours)
            yield [met, Change("zero_weights", Ops(acs=summed(op.parts, "effective") - op.events))]
        elif binary[0]:
            yield [Change("values", Ops(acs=op.events) - ours)]
        elif binary[1]:
            yield [Change("binary_weights", Ops(acs=round(op.dense_macs * calls[0].density)) - ours)]
        else:
            yield _dense(op, ours, each_step)
            yield _dense(op, ours, not each_step)


def _dense(op: OpRecord, ours: Ops, each_step: bool) -> list[Change]:
    parts = run_parts(op, each_step)
    valid = summed(parts, "valid_macs")
    changes = [Change(beyond_binary(op), Ops(macs=valid) - ours)] if as_spikes(op) else []
    return [*changes, Change("padding", Ops(macs=summed(parts, "dense_macs") - valid))]


def _product(op: OpRecord, ours: Ops, binary: tuple[bool, bool]) -> Change:
    """Returns the change for data × data."""
    if not any(binary):
        return Change("dense_product", Ops(macs=op.dense_macs) - ours)
    met = op.events if all(binary) else summed(op.parts, "left" if binary[0] else "right")
    return Change("one_side", Ops(acs=met) - ours)


def arithmetic(kind: str, line: ElementwiseRecord | None, ours: Ops, calls: Sequence[Call]) -> Iterator[list[Change]]:
    """Yields the ways for everything that is neither a contraction nor an addition.

    `kind` is our name of the operator, `line` our record of it, `calls` are theirs.
    """
    if not calls:
        yield [Change("bias" if kind in ("bias", "shift") else "no_rule", Ops() - ours)]
        return
    if line is None:
        return
    outputs = sum(call.outputs for call in calls)
    if kind == "batch_norm":
        channels = sum(call.channels for call in calls)
        yield [Change("batch_norm", Ops(acs=line.elements + channels, macs=line.elements) - ours)]
        yield [Change("batch_norm", Ops(acs=line.elements + channels) - ours)]  # without an affine
    elif kind in ("reduce", "pool"):
        yield [Change("reduction", Ops(acs=line.elements - outputs) - ours)]

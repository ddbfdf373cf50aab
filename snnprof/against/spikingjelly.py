"""SpikingJelly 2.0's SynOp, AC and MAC counters, re-derived from our counts.

Its rules: a contraction with an operand that is all 0 and 1 costs additions (SynOps): a pair of two spikes where both
operands are, else the spikes of that operand, each times the other's extent; any other contraction costs dense MACs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snnprof.activity import ElementwiseRecord, OpRecord
from snnprof.against.operands import (
    as_spikes,
    beyond_binary,
    left_is_binary,
    may_be_binary,
    must_be_binary,
    run_parts,
    summed,
)
from snnprof.against.records import Call, Change, Ops


def contraction(op: OpRecord, ours: Ops, each_step: bool) -> Iterator[list[Change]]:
    """The ways from our figure to theirs that what is known of the operands allows, the surest first.

    Args:
        each_step: the model calls the operation once for each time step.
    """
    if len(op.data) > 1:
        yield from _product(op, ours)
        return
    if left_is_binary(op):
        yield []
    yield _dense(op, ours, each_step)
    if not each_step:
        yield _dense(op, ours, True)
    yield [Change("values", Ops(acs=op.events) - ours)]


def _dense(op: OpRecord, ours: Ops, each_step: bool) -> list[Change]:
    parts = run_parts(op, each_step)
    valid = summed(parts, "valid_macs")
    changes = [Change(beyond_binary(op), Ops(macs=valid) - ours)] if as_spikes(op) else []
    return [*changes, Change("padding", Ops(macs=summed(parts, "dense_macs") - valid))]


def _product(op: OpRecord, ours: Ops) -> Iterator[list[Change]]:
    """Data × data: what of the right operand is known for the whole run only may hold in a part of it, or not."""
    left, right = left_is_binary(op), op.data[1]
    if left and may_be_binary(right):
        yield [Change("one_side", Ops(acs=op.events) - ours)]
    if left and not must_be_binary(right):
        yield [Change("one_side", Ops(acs=summed(op.parts, "left")) - ours)]
    if not left and may_be_binary(right):
        yield [Change("one_side", Ops(acs=summed(op.parts, "right")) - ours)]
    if not left and not must_be_binary(right):
        yield [Change("dense_product", Ops(macs=op.dense_macs) - ours)]


def arithmetic(kind: str, line: ElementwiseRecord | None, ours: Ops, calls: Sequence[Call]) -> Iterator[list[Change]]:
    """The same for what is neither a contraction nor an addition.

    Args:
        kind: our name of the operator.
        line: our record of it.
        calls: theirs.
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

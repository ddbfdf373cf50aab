"""NeuroBench's SynapticOperations, derived from the counts of snnprof.

Its rules: for each module with weights, pairs of a non-zero input and a non-zero weight. They are additions
(Effective_ACs) if all inputs of a call are −1, 0 or 1, else multiply-accumulates (Effective_MACs). It counts nothing
else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snnprof.activity import ElementwiseRecord, OpRecord
from snnprof.against.operands import as_spikes, beyond_binary, is_ternary, summed
from snnprof.against.records import Call, Change, Ops
from snnprof.conventions.kinds import occurred


def unseen(ours: Ops) -> Iterator[list[Change]]:
    """Yields the way for operations of which the tool has no figure."""
    yield [Change("not_seen", Ops() - ours)]


def contraction(op: OpRecord, ours: Ops, calls: Sequence[Call], each_step: bool) -> Iterator[list[Change]]:
    """Yields the ways from our figure to theirs that the known facts of the operands allow, the most certain first."""
    if len(op.data) > 1:
        return
    spikes = as_spikes(op)
    real = [part for part in occurred(op) if part not in spikes]
    effective = Change("zero_weights", Ops(macs=summed(op.parts, "effective") - op.events))
    if not real and is_ternary(op):
        yield [Change("zero_weights", Ops(acs=effective.by.macs))]
    changes = []
    if spikes:
        changes.append(Change(beyond_binary(op), Ops(acs=-ours.acs, macs=summed(spikes, "events"))))
    if real:
        changes.append(Change("zero_inputs", Ops(macs=summed(real, "events") - ours.macs)))
    yield [*changes, effective]
    yield [Change("values", Ops(acs=summed(op.parts, "effective")) - ours)]


def arithmetic(kind: str, line: ElementwiseRecord | None, ours: Ops, calls: Sequence[Call]) -> Iterator[list[Change]]:
    """Yields the way for everything that is no module with weights: NeuroBench does not see it."""
    if not calls:
        yield [Change("bias" if kind in ("bias", "shift") else "not_seen", Ops() - ours)]

"""The kind of data that an operation reads: spikes of one level, spikes of several levels, or real numbers."""

from __future__ import annotations

from snnprof.activity import Operand, OpRecord, Part
from snnprof.conventions.counts import Options


def occurred(op: OpRecord) -> list[Part]:
    """Returns the parts in which something ran."""
    return [part for part in op.parts if part.dense_macs or part.elements]


def spiking(op: OpRecord) -> list[Operand]:
    """Returns the data operands whose values are multiples of a quantum."""
    return [operand for operand in op.data if operand.quantum is not None]


def single_level(op: OpRecord) -> bool:
    """Whether one operand is 0/1, −1/0/1 or scaled, so that each pair is one addition of the other operand's value."""
    return any(operand.max_level is not None and operand.max_level <= 1 for operand in spiking(op))


def level_bound(op: OpRecord) -> int | None:
    """Returns the largest number of additions for one pair; None if unknown.

    The bound follows from how the model makes the operands; if that gives none, from the values that the run showed.
    """
    bound = 1
    for operand in spiking(op):
        level = operand.levels if operand.levels is not None else operand.max_level
        if level is None:
            return None
        bound *= level
    return bound


def unrolled(op: OpRecord, options: Options) -> bool:
    """Whether spikes of this operation count as additions; otherwise they count as multiplications."""
    if single_level(op):
        return True
    if options.levels == "mac":
        return False
    bound = level_bound(op)
    return bound is not None and bound <= options.max_levels


def split(op: OpRecord, options: Options) -> tuple[list[Part], list[Part]]:
    """Returns the operation's parts as (driven by spikes, multiply-accumulate).

    Silent parts are no evidence of either. They go with the spikes, unless all other parts are multiply-accumulate: a
    machine that multiplies would execute them too.
    """
    multiplied = {"real"} if unrolled(op, options) else {"real", "spikes"}
    parts = occurred(op)
    evidence = {part.kind for part in parts} - {"silent"}
    if evidence and evidence <= multiplied:
        multiplied.add("silent")
    return [p for p in parts if p.kind not in multiplied], [p for p in parts if p.kind in multiplied]


def label(op: OpRecord) -> str:
    """Names the data of an operation: `silent`, `real`, `binary`, `ternary`, `scaled`, `integer n<=7` or `mixed`.

    Data × data has one label for each side, such as `binary x integer n<=7`.
    """
    kinds = {part.kind for part in occurred(op)} - {"silent"}
    if not kinds:
        return "silent"
    if len(op.data) > 1:
        return " x ".join(operand_label(operand) for operand in op.data)
    if len(kinds) > 1:
        return "mixed"
    return "real" if "real" in kinds or not op.data else operand_label(op.data[0])


def operand_label(operand: Operand) -> str:
    """Names the values of one operand, such as `binary` or `integer n<=7`."""
    level = operand.max_level
    if operand.quantum is None or level is None:
        return "real" if operand.quantum is None else "integer"
    if level > 1:
        return f"integer n<={level}"
    if operand.signed:
        return "ternary"
    return "binary" if operand.quantum == 1 else "scaled"

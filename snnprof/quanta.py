"""Converts the records of runs that count levels in different quanta to quanta that all of them share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from snnprof.records import Operand, OpRecord, Part

MAX_UNIT = 255
"""The largest level that the recorder distinguishes, and so the largest number of levels that can make one unit."""


def on_common_grid(ops: Sequence[OpRecord]) -> list[OpRecord]:
    """Returns records of one operation by several runs, with levels counted in quanta that all of them share.

    A run counts levels in the greatest common divisor of those that it showed; another run may have shown finer ones.
    """
    factors = [_factors_to_common([op.operands[i].quantum for op in ops]) for i in range(len(ops[0].operands))]
    return [
        finer(op, [factor[number] for factor in factors]) if any(factor[number] != 1 for factor in factors) else op
        for number, op in enumerate(ops)
    ]


def finer(op: OpRecord, factors: Sequence[int]) -> OpRecord:
    """Returns the record with each operand's quantum divided by a factor."""
    data = [factor for factor, operand in zip(factors, op.operands, strict=True) if operand.role == "data"]
    parts = [_finer_part(part, data) for part in op.parts]
    by_step = [[_finer_part(part, data) for part in step] for step in op.parts_by_step]
    operands = [_finer_operand(operand, factor) for operand, factor in zip(op.operands, factors, strict=True)]
    return op.model_copy(update={"parts": parts, "parts_by_step": by_step, "operands": operands})


def _finer_part(part: Part, factors: Sequence[int]) -> Part:
    """Returns the counts with the levels of each data operand multiplied by its factor."""
    if part.kind != "spikes":
        return part
    counts = {"by_value": part.by_value * math.prod(factors), "level_sum": part.level_sum * factors[0]}
    return part.model_copy(update=counts)


def _finer_operand(operand: Operand, factor: int) -> Operand:
    if operand.quantum is None or factor == 1:
        return operand
    spread = [0] * max(0, (len(operand.histogram) - 1) * factor + 1)
    spread[::factor] = operand.histogram
    levels = None if operand.levels is None else operand.levels * factor
    return operand.model_copy(update={"quantum": operand.quantum / factor, "levels": levels, "histogram": spread})


def _factors_to_common(quanta: Sequence[float | None]) -> list[int]:
    """Returns by what to divide each quantum to get the largest one of which all are multiples; 1 for real operands."""
    known = [quantum for quantum in quanta if quantum is not None]
    if len(set(known)) < 2:
        return [1] * len(quanta)
    ratios = [Fraction(quantum / known[0]).limit_denominator(MAX_UNIT) for quantum in known]
    shared = math.lcm(*(ratio.denominator for ratio in ratios))
    whole = [int(ratio * shared) for ratio in ratios]
    divisor = math.gcd(*whole)
    found = iter([number // divisor for number in whole])
    return [1 if quantum is None else next(found) for quantum in quanta]

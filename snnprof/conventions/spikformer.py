"""Spikformer: the first convolution multiplies at every step, everything else adds at its input's firing rate."""

from __future__ import annotations

from snnprof.activity import Activity, OpRecord
from snnprof.conventions.counts import Convention, Counts, Line, Options, spike_driven
from snnprof.conventions.exact import contraction
from snnprof.conventions.formula import rate_times_macs


def lines(activity: Activity, options: Options) -> list[Line]:
    """Counts contractions; the first convolution by MACs, everything else by additions."""
    encoder = first_convolution(activity)
    return [contraction(op, op_counts(op, activity, options, op is encoder), options) for op in activity.ops]


def first_convolution(activity: Activity) -> OpRecord | None:
    """Returns the encoder: the first convolution, or the first operation of a network without convolutions."""
    return next((op for op in activity.ops if op.op == "conv"), activity.ops[0] if activity.ops else None)


def op_counts(op: OpRecord, activity: Activity, options: Options, encoder: bool) -> Counts:
    """Returns all dense MACs of the encoder as MACs, or rate × dense MACs of any other operation as additions."""
    if encoder:
        return Counts(macs=op.dense_macs)
    return spike_driven(rate_times_macs(op, activity, options.rate, op.parts))


CONVENTION = Convention(
    id="spikformer",
    title="E = 4.6 pJ · T · MAC(first convolution) + 0.9 pJ · Σ rate · T · FLOPs",
    source=(
        "Z. Zhou et al., Spikformer, ICLR 2023 (arXiv 2209.15425); no counting code published. That the first "
        "convolution is charged at each step is inferred from the paper's table"
    ),
    suggested_hardware="cmos45-fp32",
    settings=Options(method="formula"),
    count=lines,
    choices=("rate", "encoder"),
    variants=({"rate": "neuron"}, {"encoder": "once"}),
)

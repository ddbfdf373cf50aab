"""SSA_Bin: every operation is a SOP, at one firing rate for the whole network."""

from __future__ import annotations

from snnprof.activity import Activity
from snnprof.conventions.counts import Convention, Line, Options, spike_driven
from snnprof.conventions.exact import contraction
from snnprof.conventions.formula import rate_times_macs


def lines(activity: Activity, options: Options) -> list[Line]:
    """Counts every contraction as rate × dense MACs; by default the rate is that of the whole network."""
    return [
        contraction(op, spike_driven(rate_times_macs(op, activity, options.rate, op.parts)), options)
        for op in activity.ops
    ]


CONVENTION = Convention(
    id="ssa-bin",
    title="E = 77 fJ · rate · T · FLOPs, one average rate for the whole network",
    source=(
        "Shen et al., Enhancing Spiking Transformers with Binary Attention Mechanisms, ICLR 2024 Tiny Papers, Eq. 9; "
        "no code published. rate=input is the other reading"
    ),
    suggested_hardware="rolls-77fj",
    settings=Options(method="formula", rate="network", real="sop"),
    count=lines,
    choices=("rate", "encoder"),
    variants=({"rate": "input"}, {"encoder": "once"}),
)

"""QKFormer: Spikformer's arithmetic plus the sums of token QK attention; its masks are free.

A sum over the channels of a head costs rate × FLOPs, as everything else: one addition per spike of Q.
"""

from __future__ import annotations

from snnprof.activity import Activity
from snnprof.conventions import spikformer
from snnprof.conventions.counts import Convention, Line, Options
from snnprof.conventions.exact import elementwise_counts


def lines(activity: Activity, options: Options) -> list[Line]:
    """Counts as Spikformer, and the sums of token attention."""
    return spikformer.lines(activity, options) + _sums(activity, options)


def _sums(activity: Activity, options: Options) -> list[Line]:
    """Returns the sums of layers that also run a mask: they decide which tokens pass."""
    masked = {entry.layer for entry in activity.elementwise if entry.op == "mask"}
    return [
        Line(entry.layer, entry.op, None, "elementwise", elementwise_counts(entry, options), entry.elements)
        for entry in activity.elementwise
        if entry.op == "reduce" and entry.layer in masked
    ]


CONVENTION = Convention(
    id="qkformer",
    title="E = 4.6 pJ · T · MAC(first convolution) + 0.9 pJ · Σ rate · T · FLOPs, sums of token attention included",
    source=(
        "C. Zhou et al., QKFormer, NeurIPS 2024 (arXiv 2403.16552); no counting code published, and no counts or "
        "rates beside its energies. That token attention adds one by one is taken from its definition"
    ),
    suggested_hardware="cmos45-fp32",
    settings=Options(method="formula"),
    count=lines,
    choices=("rate", "encoder"),
    variants=({"encoder": "once"},),
)

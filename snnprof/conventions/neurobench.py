"""NeuroBench: effective synaptic operations of weighted layers. Activations −1, 0, 1 accumulate, others multiply."""

from __future__ import annotations

from snnprof.activity import Activity, OpRecord
from snnprof.conventions.counts import Convention, Counts, Line, Options, spike_driven
from snnprof.conventions.exact import contraction


def lines(activity: Activity, options: Options) -> list[Line]:
    """Counts weighted layers. NeuroBench counts no products of data with data, and ignores biases."""
    return [contraction(op, _counts(op), options) for op in activity.ops if len(op.data) == 1]


def _counts(op: OpRecord) -> Counts:
    effective = sum(part.effective for part in op.parts)
    return spike_driven(effective) if _ternary(op) else Counts(macs=effective)


def _ternary(op: OpRecord) -> bool:
    """Whether all activations were −1, 0 or 1.

    NeuroBench looks at the values, so a scaled spike of 0.5 multiplies; and one real step makes all steps multiply.
    """
    operand = op.data[0]
    within = operand.quantum == 1 and operand.max_level is not None and operand.max_level <= 1
    return within and not op.part("real").elements


CONVENTION = Convention(
    id="neurobench",
    title="Effective ACs and MACs: non-zero activation × non-zero weight",
    source="J. Yik et al., NeuroBench, Nat. Commun. 16:1545, 2025; code published. It gives no energies",
    suggested_hardware=None,
    settings=Options(levels="mac", real_count="nonzero", synapses="nonzero", bias=False, neuron_updates=False),
    count=lines,
    choices=("encoder",),
)

"""Spike-driven Transformer: as Spikformer, but Q, K and V at the rate of the neurons behind them, and SDSA's additions.

    first convolution   T · R · FLOPs MACs; R is 1 for an image, which is the same at every step
    Q, K, V             T · R · 3 N D² additions, R: mean of the firing rates of Q, K and V
    SDSA                T · (R_Q + R_K) · N D additions, on the line of its sum; its masks are free
    everything else     T · R · FLOPs additions, R: rate of the input; the head and products of data included

Layers that make Q, K or V in front of neurons are recognised by their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from snnprof.activity import Activity, NeuronRecord, OpRecord
from snnprof.conventions import spikformer
from snnprof.conventions.attention import Key, Projections, projections, within
from snnprof.conventions.counts import Convention, Counts, Line, Options, spike_driven
from snnprof.conventions.exact import contraction
from snnprof.conventions.formula import firing_rate, rate_of


def lines(activity: Activity, options: Options) -> list[Line]:
    """Counts every contraction, and the sum of each attention that masks and sums."""
    encoder = spikformer.first_convolution(activity)
    rates = _output_rates(activity)

    def counts(op: OpRecord) -> Counts:
        if op is encoder:
            return Counts(macs=_encoder_rate(op, activity, options) * op.dense_macs)
        if op.key in rates:
            return spike_driven(rates[op.key] * op.dense_macs)
        return spikformer.op_counts(op, activity, options, encoder=False)

    return [contraction(op, counts(op), options) for op in activity.ops] + list(_sums(activity))


def unrecognised(activity: Activity) -> list[str]:
    """Returns the attention layers whose layers of Q, K and V are not recognised.

    A layer is an attention if it multiplies data with data, or masks and sums it.
    """
    kinds = {kind: {entry.layer for entry in activity.elementwise if entry.op == kind} for kind in ("mask", "reduce")}
    attentions = {op.layer for op in activity.ops if len(op.data) == 2} | (kinds["mask"] & kinds["reduce"])
    known = [each.module for each in projections(activity) if _rate(activity, each) is not None]
    return sorted(layer for layer in attentions if not any(within(layer, module) for module in known))


def _encoder_rate(op: OpRecord, activity: Activity, options: Options) -> float:
    """Returns 1 for an image, and the share of non-zero pixels for event frames, which change from step to step."""
    if all(operand.constant_over_time is not False for operand in op.data):
        return 1.0
    return rate_of(op, activity, options.rate, op.parts) or 0.0


def _output_rates(activity: Activity) -> dict[Key, float]:
    """Returns, for each operation that makes Q, K or V, the mean firing rate of the neurons behind all three."""
    return {
        op.key: rate
        for attention in projections(activity)
        if (rate := _rate(activity, attention)) is not None
        for _, op in attention.makes
    }


def _rate(activity: Activity, attention: Projections) -> float | None:
    return firing_rate(_after(activity, (op for _, op in attention.makes)))


def _sums(activity: Activity) -> Iterator[Line]:
    """Yields the additions of an attention that masks and sums: the spikes of Q and K, T · (R_Q + R_K) · N D."""
    for attention in projections(activity):
        inside = [entry for entry in activity.elementwise if within(entry.layer, attention.module)]
        if not any(entry.op == "mask" for entry in inside):
            continue
        for entry in [entry for entry in inside if entry.op == "reduce"][:1]:
            adds = _spikes_of_q_and_k(activity, attention)
            yield Line(entry.layer, entry.op, None, "elementwise", Counts(adds=adds), entry.elements)


def _spikes_of_q_and_k(activity: Activity, attention: Projections) -> float:
    """Adds up the spikes of Q and K; behind a fused layer, their share as if Q, K and V fired alike."""
    spikes = 0.0
    for letters, op in attention.makes:
        share = len(set(letters) & {"q", "k"}) / len(letters)
        spikes += share * sum(neuron.spikes for neuron in _after(activity, [op]))
    return spikes


def _after(activity: Activity, ops: Iterable[OpRecord]) -> list[NeuronRecord]:
    names = {name for op in ops for name in op.feeds}
    return [neuron for neuron in activity.neurons if neuron.layer in names]


CONVENTION = Convention(
    id="sdt",
    title="As spikformer, with Q, K, V at their mean output rate and (R_Q + R_K) · N D additions per SDSA",
    source=(
        "M. Yao et al., Spike-driven Transformer, NeurIPS 2023 (arXiv 2307.01694), Table 1; no counting code "
        "published. The rates of its Table S1 give 5.35 mJ so; the paper prints 4.50 mJ"
    ),
    suggested_hardware="cmos45-fp32",
    settings=Options(method="formula"),
    count=lines,
    choices=("rate", "encoder"),
    variants=({"encoder": "once"},),
)

"""The headline figures of a run with their intervals: operations, energy, accuracy, per inference."""

from __future__ import annotations

from collections.abc import Iterable

from snnprof.activity import Activity, OpRecord
from snnprof.grouping import energy_of, is_contraction, role_of
from snnprof.pricing import EnergyReport
from snnprof.statistics import Interval, mean_per_sample, paired_difference


def sops(report: EnergyReport) -> Interval | None:
    """Synaptic operations per inference, by the report's convention; null where the samples are not known."""
    return mean_per_sample(report.activity, lambda part: _again(report, part).totals.sops)


def energy(report: EnergyReport) -> Interval | None:
    """Picojoules per inference; null where nothing has a price or the samples are not known."""
    if energy_of([report.totals]) is None:
        return None
    return mean_per_sample(report.activity, lambda part: _again(report, part).energy_pj or 0.0)


def accuracy(activity: Activity) -> Interval | None:
    """Share of correct predictions; null where there are no labels."""
    return mean_per_sample(activity, correct) if activity.accuracy else None


def accuracy_difference(a: Activity, b: Activity) -> Interval | None:
    """Paired difference of accuracies; null where either has none.

    Raises:
        SnnprofError: the two did not run on the same samples.
    """
    return paired_difference(a, b, correct) if a.accuracy and b.accuracy else None


def energy_difference(a: EnergyReport, b: EnergyReport) -> Interval:
    """Paired difference of energies per inference, a − b.

    Raises:
        SnnprofError: the two did not run on the same samples.
    """
    return paired_difference(
        a.activity,
        b.activity,
        lambda part: _again(a, part).energy_pj or 0.0,
        lambda part: _again(b, part).energy_pj or 0.0,
    )


def correct(activity: Activity) -> float:
    return float(activity.accuracy.correct) if activity.accuracy else 0.0


def attention_products(activity: Activity) -> list[OpRecord]:
    """The products of an attention matrix with V; none where the layer multiplies Q (Kᵀ V) or has no such matrix."""
    before: dict[str, OpRecord] = {}
    found = []
    for op in activity.ops:
        if op.op == "matmul" and _weighs_values(activity, op, before.get(op.layer)):
            found.append(op)
        before[op.layer] = op
    return found


def _weighs_values(activity: Activity, op: OpRecord, before: OpRecord | None) -> bool:
    """As the catalogue says; else whether its left operand carries all that the product before it read."""
    role = role_of(activity, op.layer, op.index)
    if role is not None:
        return role == "AV"
    pairs = before is not None and len(before.data) == len(op.data) == 2
    return pairs and before is not None and set(before.fed_by) <= set(op.data[0].fed_by)


def attention_rate(products: Iterable[OpRecord]) -> float | None:
    """fr_attn of SSA_Bin's table 1: the non-zero share of the attention matrices."""
    counted = [(op.nonzero, op.elements) for op in products]
    elements = sum(each for _, each in counted)
    return sum(nonzero for nonzero, _ in counted) / elements if elements else None


def output_rate(activity: Activity, products: Iterable[OpRecord]) -> float | None:
    """fr_out of SSA_Bin's table 1: the firing rate of the neurons that the attention products feed."""
    fed = {name for op in products for name in op.feeds}
    neurons = [neuron for neuron in activity.neurons if neuron.layer in fed]
    updates = sum(neuron.updates for neuron in neurons)
    return sum(neuron.spikes for neuron in neurons) / updates if updates else None


def dense_macs(report: EnergyReport) -> float | None:
    return report.per_inference(sum(row.dense_macs for row in report.rows if is_contraction(row)))


def _again(report: EnergyReport, part: Activity) -> EnergyReport:
    """The same pricing of a block of the run, or of the run itself."""
    if part is report.activity:
        return report
    blocks = report.activity.blocks
    return next(priced for block, priced in zip(blocks, report.by_block, strict=True) if block is part.blocks[0])

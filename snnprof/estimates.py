"""The headline figures of a run with their intervals: operations, energy and accuracy, per inference."""

from __future__ import annotations

from collections.abc import Iterable

from snnprof import statistics
from snnprof.activity import Activity, OpRecord
from snnprof.conventions import Counts
from snnprof.errors import SnnprofError
from snnprof.grouping import energy_of, is_contraction, role_of
from snnprof.pricing import EnergyReport, Row
from snnprof.reuse import Traffic, traffic
from snnprof.statistics import HEAVY, Interval, mean_per_sample


def sops(report: EnergyReport) -> Interval | None:
    """Synaptic operations per inference, by the report's convention; None if the number of samples is unknown."""
    return mean_per_sample(report.activity, lambda part: _again(report, part).totals.sops)


def energy(report: EnergyReport) -> Interval | None:
    """Picojoules per inference; None if nothing has a price or the number of samples is unknown."""
    if energy_of([report.totals]) is None:
        return None
    return mean_per_sample(report.activity, lambda part: _again(report, part).energy_pj or 0.0)


def heavy_tail(report: EnergyReport) -> float | None:
    """SOPs per sample of the largest block over those of the median block; None unless it is a heavy tail."""
    figures = [block.totals.sops for block in report.by_block]
    tail = statistics.tail(figures, [block.samples for block in report.activity.blocks])
    return tail if tail is not None and tail > HEAVY else None


def accuracy(activity: Activity) -> Interval | None:
    """Share (0 to 1) of correct predictions; None without labels."""
    counted = activity.accuracy
    if counted is None or not counted.total:
        return None
    return statistics.proportion(counted.correct, counted.total, activity.run.data.total)


def accuracy_difference(a: Activity, b: Activity) -> Interval | None:
    """Difference a − b of two accuracies, as a share; None if either is unknown.

    It is paired by blocks if both ran on the same samples in the same blocks. If only the blocks differ, it follows
    from the two totals alone, and is as wide as they allow. Otherwise the samples count as independent.
    """
    x, y = a.accuracy, b.accuracy
    if x is None or y is None or not x.total or not y.total:
        return None
    mine, theirs, samples = _correct_by_block(a), _correct_by_block(b), [block.samples for block in a.blocks]
    if mine and theirs and same_blocks(a, b):
        return statistics.paired_proportions(mine, theirs, samples)
    if _same_set(a, b) and x.total == y.total:
        return statistics.paired_proportions([x.correct], [y.correct], [x.total])
    return statistics.unpaired_proportions((x.correct, x.total), (y.correct, y.total))


def same_predictions(a: Activity, b: Activity) -> bool:
    """Whether two runs are known to predict the same samples correctly.

    They do if in each block both are right on all samples, or both on none; or if every neuron layer fires equally
    often in each block, as it does if only the arithmetic between the neurons differs.
    """
    mine, theirs, samples = _correct_by_block(a), _correct_by_block(b), [block.samples for block in a.blocks]
    if not mine or mine != theirs or not same_blocks(a, b):
        return False
    same_spikes = [block.neurons for block in a.blocks] == [block.neurons for block in b.blocks]
    fired = any(neuron.spikes for neuron in a.neurons)
    return not statistics.Agreement.of(mine, theirs, samples).most or (same_spikes and fired)


def energy_ratio(a: EnergyReport, b: EnergyReport) -> Interval | None:
    """Energy per inference of a over that of b; None if either is unknown or 0. Paired on the same blocks."""
    mine, theirs = energy(a), energy(b)
    if mine is None or theirs is None or not mine.value or not theirs.value:
        return None
    if not same_blocks(a.activity, b.activity):
        return statistics.ratio_of(mine, theirs)
    return statistics.paired_ratio(_energies(a), _energies(b))


def _energies(report: EnergyReport) -> list[float]:
    blocks = zip(report.by_block, report.activity.blocks, strict=True)
    return [priced.energy_pj or 0.0 for priced, block in blocks if block.samples]


def same_blocks(a: Activity, b: Activity) -> bool:
    """Whether two runs ran on the same samples in the same blocks, so that they can be compared block by block."""
    try:
        statistics.must_match(a, b)
    except SnnprofError:
        return False
    return bool(a.blocks) and a.run.data.source == b.run.data.source


def _same_set(a: Activity, b: Activity) -> bool:
    """Whether both runs are on all samples of the same set, in whatever order."""
    x, y = a.run.data, b.run.data
    whole = a.samples == x.total == b.samples == y.total
    return whole and x.fingerprint is not None and (x.source, x.fingerprint) == (y.source, y.fingerprint)


def _correct_by_block(activity: Activity) -> list[int]:
    """Returns the correct predictions of each block; empty unless they add up to the run's."""
    each = [block.correct for block in activity.blocks]
    known = [correct for correct in each if correct is not None]
    whole = activity.accuracy is not None and sum(known) == activity.accuracy.correct
    return known if whole and len(known) == len(each) else []


def attention_products(activity: Activity) -> list[OpRecord]:
    """Returns the products of an attention matrix with V.

    A layer that computes Q (Kᵀ V), or has no attention matrix, has none.
    """
    before: dict[str, OpRecord] = {}
    found = []
    for op in activity.ops:
        if op.op == "matmul" and _weighs_values(activity, op, before.get(op.layer)):
            found.append(op)
        before[op.layer] = op
    return found


def _weighs_values(activity: Activity, op: OpRecord, before: OpRecord | None) -> bool:
    """Whether a product multiplies an attention matrix with V.

    The catalogue knows it of its models. In other models the left operand must come from all the neurons whose spikes
    the product before it read.
    """
    role = role_of(activity, op.layer, op.index)
    if role is not None:
        return role == "AV"
    pairs = before is not None and len(before.data) == len(op.data) == 2
    return pairs and before is not None and set(before.fed_by) <= set(op.data[0].fed_by)


def attention_rate(products: Iterable[OpRecord]) -> float | None:
    """Non-zero share of the attention matrices: fr_attn of table 1 in the paper of SSA_Bin; None without elements."""
    counted = [(op.nonzero, op.elements) for op in products]
    elements = sum(each for _, each in counted)
    return sum(nonzero for nonzero, _ in counted) / elements if elements else None


def output_rate(activity: Activity, products: Iterable[OpRecord]) -> float | None:
    """Firing rate of the neurons that the attention products feed: fr_out of table 1 in the paper of SSA_Bin."""
    fed = {name for op in products for name in op.feeds}
    neurons = [neuron for neuron in activity.neurons if neuron.layer in fed]
    updates = sum(neuron.updates for neuron in neurons)
    return sum(neuron.spikes for neuron in neurons) / updates if updates else None


def dense_macs(report: EnergyReport) -> float | None:
    """MACs of a dense machine per inference; None if the number of samples is unknown."""
    return report.per_inference(sum(row.dense_macs for row in report.rows if is_contraction(row)))


def _again(report: EnergyReport, part: Activity) -> EnergyReport:
    """Returns the report of a block of the run, or of the run itself."""
    if part is report.activity:
        return report
    blocks = report.activity.blocks
    return next(priced for block, priced in zip(blocks, report.by_block, strict=True) if block is part.blocks[0])


def moves_between_levels(report: EnergyReport) -> bool:
    """Whether the price list counts the traffic between levels of a memory."""
    memory = report.hardware.memory
    return memory is not None and memory.accesses == "reuse"


def memory_traffic(report: EnergyReport) -> list[tuple[Row, Traffic, str]]:
    """Returns what each contraction moves between memory levels over the run: row, traffic and name of the level.

    Contractions whose traffic is unknown are missing.
    """
    memory, ops = report.hardware.memory, {op.key: op for op in report.activity.ops}
    found = []
    for row in report.rows:
        op = ops.get((row.layer, row.op, row.index if row.index is not None else -1))
        if memory is None or op is None:
            continue
        moved = traffic(op, Counts(sops=row.sops, macs=row.macs), report.activity, report.hardware)
        found += [(row, each, memory.levels[each.level].name) for each in moved or []]
    return found

"""The script in Spikingformer's repository, with its quirks.

A layer whose input is exactly 0/1 adds, at the mean of its input; any other layer multiplies in every operation. The
operations of a layer include its bias, but those of a linear layer's bias ignore the tokens. The energy sums only
layers with `conv` or `head` in their names, so it undercounts a model whose layers are called `*_linear`. Attention
costs T·h·N·d²·(min(rate of k, rate of v) + rate of q) additions, whichever order it ran in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from snnprof.activity import Activity, Operand, OpRecord
from snnprof.conventions.attention import Attention, attentions, tokens_and_width
from snnprof.conventions.counts import Convention, Counts, Line, Options, spike_driven
from snnprof.conventions.formula import firing_rate

IN_THE_ENERGY = ("conv", "head")


@dataclass(frozen=True)
class Operations:
    """The totals that the script prints, over the run: all its modules, without attention.

    Attributes:
        total: every operation, at a rate of one.
        acs: those of binary layers at their rate, and one per neuron-step.
        macs: those of the other layers.
    """

    total: float
    acs: float
    macs: float


def lines(activity: Activity, options: Options) -> list[Line]:
    """Counts the layers that enter the script's energy, and attentions."""
    weighted = [op for op in activity.ops if op.weights and _named(op)]
    return [_line(op, _counts(op, activity.samples)) for op in weighted] + list(_attention_lines(activity))


def operations(activity: Activity) -> Operations:
    """Returns the script's totals over convolutions, linear layers, batch norms, pools and neurons."""
    layers = [op for op in activity.ops if op.weights]
    counts = sum((_counts(op, activity.samples) for op in layers), Counts())
    norms = 2.0 * sum(entry.elements for entry in activity.elementwise if entry.op == "batch_norm")
    pools = [entry for entry in activity.elementwise if entry.op == "pool"]
    updates = sum(neuron.updates for neuron in activity.neurons)
    return Operations(
        total=sum(_dense(op, activity.samples) for op in layers)
        + norms
        + sum(pool.elements for pool in pools)
        + updates,
        acs=counts.acs + sum(pool.nonzero or 0 for pool in pools) + updates,
        macs=counts.macs + norms + sum(pool.elements for pool in pools if pool.nonzero is None),
    )


def _named(op: OpRecord) -> bool:
    return any(word in op.layer for word in IN_THE_ENERGY)


def _line(op: OpRecord, counts: Counts) -> Line:
    return Line(op.layer, op.op, op.index, "contraction", counts, op.elements)


def _counts(op: OpRecord, samples: int | None) -> Counts:
    dense = _dense(op, samples)
    if not _binary(op):
        return Counts(macs=dense)
    return spike_driven(dense * op.nonzero / op.elements if op.elements else 0.0)


def _dense(op: OpRecord, samples: int | None) -> float:
    """Returns dense MACs and the bias: of a linear layer one addition per output and step, whatever its tokens."""
    if op.op != "linear" or not op.bias_adds or not samples or not op.steps or not op.shape.get("output"):
        return op.dense_macs + op.bias_adds
    bias: int = op.shape["output"][0]
    return op.dense_macs + bias * samples * op.steps


def _binary(op: OpRecord) -> bool:
    """Whether all values are exactly 0 and 1: the script looks at values, not at where they come from."""
    operand = op.data[0]
    plain = operand.quantum == 1 and not operand.signed
    return plain and (operand.max_level or 0) <= 1 and not op.part("real").elements


def _attention_lines(activity: Activity) -> Iterator[Line]:
    for attention in attentions(activity.ops):
        tokens, width = tokens_and_width(attention)
        rates = [_rate(operand, activity) for operand in (attention.q, attention.k, attention.v)]
        if tokens and width and None not in rates:
            q, k, v = (rate or 0.0 for rate in rates)
            first, second = attention.first, attention.second
            base = _base(attention, tokens, width)
            yield _line(first, spike_driven(base * min(k, v)))
            yield _line(second, spike_driven(base * q))


def _base(attention: Attention, tokens: int, width: int) -> float:
    """Returns T·h·N·d² over the run: the MACs of the first product in the linear order."""
    dense = attention.first.dense_macs
    return dense if attention.order == "linear" else dense * width / tokens


def _rate(operand: Operand, activity: Activity) -> float | None:
    return firing_rate(neuron for neuron in activity.neurons if neuron.layer in operand.fed_by)


CONVENTION = Convention(
    id="spikingformer-script",
    title="Input rate × operations for 0/1 inputs, all operations for others; layers named conv or head only",
    source="C. Zhou et al., Spikingformer (arXiv 2304.11954); energy_consumption_calculation in its repository",
    suggested_hardware="cmos45-fp32",
    settings=Options(method="formula", levels="mac", real_count="dense"),
    count=lines,
    choices=(),
)

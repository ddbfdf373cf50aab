"""Exact: counts every spike that meets a weight; estimates nothing."""

from __future__ import annotations

from snnprof.activity import Activity, ElementwiseRecord, OpRecord, Part
from snnprof.conventions.counts import Convention, Counts, Line, Options, spike_driven
from snnprof.conventions.kinds import single_level, split
from snnprof.errors import SnnprofError


def lines(activity: Activity, options: Options) -> list[Line]:
    """Counts every contraction, element-wise operation and neuron layer."""
    contractions = [contraction(op, op_counts(op, options), options) for op in activity.ops]
    return contractions + other_lines(activity, options)


def op_counts(op: OpRecord, options: Options) -> Counts:
    """Returns the SOPs and MACs of one operation over the run."""
    spikes, multiplied = split(op, options)
    sops = sum(_events(op, part, options) for part in spikes)
    macs = sum(_macs(part, options) for part in multiplied)
    return spike_driven(sops + macs) if options.real == "sop" else spike_driven(sops) + Counts(macs=macs)


def contraction(op: OpRecord, counts: Counts, options: Options) -> Line:
    """Makes the line of an operation, scaled if its encoder counts once."""
    share = encoder_share(op, options)
    return Line(op.layer, op.op, op.index, "contraction", counts.scaled(share), op.elements)


def encoder_share(op: OpRecord, options: Options) -> float:
    """Returns 1, or 1/T for an operation that counts once because its input is the same at each step.

    Raises:
        SnnprofError: T is unknown.
    """
    constant = all(o.fed_by == ["input"] and o.constant_over_time for o in op.data)
    if options.encoder == "every_step" or not op.data or not constant:
        return 1.0
    if not op.steps:
        raise SnnprofError(
            f"encoder=once: the number of time steps of {op.layer!r} is not known",
            hint="profile again with --timesteps",
        )
    return 1 / op.steps


def other_lines(activity: Activity, options: Options) -> list[Line]:
    """Counts everything outside the contractions: biases, element-wise arithmetic, neuron updates.

    A constant added to a product of data with data (V̄ of SSA_Bin) is called `shift`, because it is not a layer's bias.
    """
    biases = [
        Line(
            op.layer,
            "bias" if op.weights else "shift",
            op.index,
            "elementwise",
            Counts(adds=op.bias_adds),
            op.bias_adds,
        )
        for op in activity.ops
        if options.bias and op.bias_adds
    ]
    elementwise = [
        Line(entry.layer, entry.op, None, "elementwise", elementwise_counts(entry, options), entry.elements)
        for entry in activity.elementwise
        if not vanishes(entry, options)
        and (options.bias or entry.op != "bias")
        and (options.reductions or entry.op != "reduce")
    ]
    neurons = [
        Line(neuron.layer, neuron.type, None, "neuron", Counts(), neuron.updates)
        for neuron in activity.neurons
        if options.neuron_updates
    ]
    return biases + elementwise + neurons


def vanishes(entry: ElementwiseRecord, options: Options) -> bool:
    """Whether a batch norm folds into a contraction with a bias: its shift joins that bias, which has its own line."""
    return entry.op == "batch_norm" and entry.foldable and entry.biased and options.batch_norm == "folded"


def elementwise_counts(entry: ElementwiseRecord, options: Options) -> Counts:
    """Returns what an element-wise operation computes.

    A mask is a logic operation, for which no price list has a price. A pool adds or compares, and the run does not say
    which.
    """
    work = entry.elements if entry.nonzero is None else min(entry.nonzero, entry.elements)
    if entry.op == "batch_norm":
        if entry.foldable and options.batch_norm == "folded":
            return Counts(adds=entry.elements)
        return Counts(adds=entry.elements, muls=entry.elements)
    if entry.op in ("add", "bias", "reduce"):
        return Counts(adds=work)
    if entry.op == "mul":
        return Counts(muls=work)
    return Counts(compares=entry.elements) if entry.op == "compare" else Counts()


def _events(op: OpRecord, part: Part, options: Options) -> float:
    """Returns the additions of a part that spikes drive.

    Raises:
        SnnprofError: the run did not record spikes of several levels by non-zero weight.
    """
    if len(op.data) > 1:
        return _pairs(op, part, options)
    if options.levels == "events" or single_level(op):
        return part.effective if options.synapses == "nonzero" else part.events
    if options.synapses == "nonzero":
        raise SnnprofError(
            f"synapses=nonzero: spikes of several levels in {op.layer!r} were not recorded by weight",
            hint="use levels=events or levels=mac",
        )
    return part.by_value


def _pairs(op: OpRecord, part: Part, options: Options) -> float:
    if options.attention != "pairs":
        return float(getattr(part, "dense_macs" if options.attention == "dense" else options.attention))
    return part.events if options.levels == "events" or single_level(op) else part.by_value


def _macs(part: Part, options: Options) -> float:
    if options.real_count == "nonzero":
        return part.effective if options.synapses == "nonzero" else part.events
    return part.dense_macs if options.real_count == "dense" else part.valid_macs


CONVENTION = Convention(
    id="exact",
    title="one addition per spike and synapse; an input of value n counts n times",
    source="snnprof",
    suggested_hardware=None,
    settings=Options(),
    count=lines,
    choices=(
        "levels",
        "max_levels",
        "attention",
        "real",
        "real_count",
        "encoder",
        "synapses",
        "batch_norm",
        "bias",
        "reductions",
        "neuron_updates",
    ),
    variants=(
        {"levels": "events"},
        {"levels": "mac"},
        {"attention": "left"},
        {"attention": "right"},
        {"attention": "dense"},
        {"encoder": "once"},
        {"real_count": "dense"},
    ),
)

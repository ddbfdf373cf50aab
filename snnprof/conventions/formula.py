"""Formula: firing rate × dense MACs, as papers print it, and its deviation from the exact count."""

from __future__ import annotations

from collections.abc import Iterable

from snnprof.activity import Activity, NeuronRecord, OpRecord, Part
from snnprof.conventions import exact
from snnprof.conventions.counts import Convention, Counts, Line, Options, Rate, spike_driven
from snnprof.conventions.kinds import split

_DEFAULT = Options()
_ONCE = Options(levels="events")


def lines(activity: Activity, options: Options) -> list[Line]:
    """Counts contractions by rate × dense MACs, and everything else as `exact` does."""
    contractions = [exact.contraction(op, op_counts(op, activity, options), options) for op in activity.ops]
    return contractions + exact.other_lines(activity, options)


def op_counts(op: OpRecord, activity: Activity, options: Options) -> Counts:
    """Returns rate × dense MACs for parts that spikes drive, dense MACs for the others, over the run."""
    spikes, multiplied = split(op, options)
    sops = rate_times_macs(op, activity, options.rate, spikes)
    macs = sum(part.dense_macs for part in multiplied)
    return spike_driven(sops + macs) if options.real == "sop" else spike_driven(sops) + Counts(macs=macs)


def rate_times_macs(op: OpRecord, activity: Activity, rate: Rate, parts: list[Part]) -> float:
    """SOP_l = fr_l · T · FLOPs_l. The dense MACs of a run already contain T and the samples."""
    dense = sum(part.dense_macs for part in parts)
    share = rate_of(op, activity, rate, parts)
    return 0.0 if share is None else share * dense


def rate_of(op: OpRecord, activity: Activity, rate: Rate, parts: list[Part]) -> float | None:
    """Returns the firing rate that a formula multiplies with; None if nothing was read.

    `input` is non-zeros / elements of what the operation reads (of the left operand for data × data), `mean` the mean
    level, `neuron` spikes / neuron-steps of the layers that feed it, `network` the same for all layers. An operation
    that no neuron feeds uses its input rate in place of `neuron`.
    """
    if rate == "network":
        return firing_rate(activity.neurons)
    if rate == "neuron" and (feeding := _feeding(op, activity)):
        return firing_rate(feeding)
    elements = sum(part.elements for part in parts)
    spikes = sum(part.level_sum if rate == "mean" else part.nonzero for part in parts)
    return spikes / elements if elements else None


def _feeding(op: OpRecord, activity: Activity) -> list[NeuronRecord]:
    names = set(op.fed_by)
    return [neuron for neuron in activity.neurons if neuron.layer in names]


def firing_rate(neurons: Iterable[NeuronRecord]) -> float | None:
    """Returns the spikes per neuron and step of several layers: each neuron-step has the same weight."""
    layers = list(neurons)
    updates = sum(layer.updates for layer in layers)
    return sum(layer.spikes for layer in layers) / updates if updates else None


def formula_sops(op: OpRecord, activity: Activity, rate: Rate = "input") -> float | None:
    """Returns rate × dense MACs of an operation over the run; None if spikes drive no part of it."""
    spikes, _ = split(op, _DEFAULT)
    return rate_times_macs(op, activity, rate, spikes) if spikes else None


def exact_sops(op: OpRecord) -> float:
    """Returns the exact count over the run, with the default options."""
    return exact.op_counts(op, _DEFAULT).sops


def spike_events(op: OpRecord) -> float:
    """Returns the exact count over the run with each spike counted once, whatever its value."""
    return exact.op_counts(op, _ONCE).sops


def deviation(op: OpRecord, activity: Activity, rate: Rate = "input") -> float | None:
    """Returns formula / exact − 1; None if the exact count is 0 or spikes drive no part of the operation."""
    formula, counted = formula_sops(op, activity, rate), exact_sops(op)
    return None if formula is None or not counted else formula / counted - 1


CONVENTION = Convention(
    id="formula",
    title="Formula: input rate × dense MACs",
    source="SOP = fr · T · FLOPs, as in the Spikformer and Spike-driven Transformer papers",
    suggested_hardware=None,
    settings=Options(method="formula"),
    count=lines,
    choices=("rate", "levels", "max_levels", "real", "encoder", "batch_norm", "bias", "reductions", "neuron_updates"),
    variants=({"rate": "mean"}, {"rate": "neuron"}, {"rate": "network"}, {"encoder": "once"}),
)

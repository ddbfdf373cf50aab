"""The work of one inference of a run, in the terms to which prices can be fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from snnprof import conventions
from snnprof.activity import Activity
from snnprof.errors import SnnprofError


@dataclass(frozen=True)
class Work:
    """Operations per inference by the convention `exact`; neuron updates and spikes as the run counted them."""

    sops: float
    macs: float
    updates: float
    spikes: float


@dataclass(frozen=True)
class Term:
    """A price to fit: its title, the name of its work, and how much of this work an inference has."""

    title: str
    work: str
    count: Callable[[Work], float]


TERMS: dict[str, Term] = {
    "static": Term("static power", "time", lambda work: 0.0),
    "sop": Term("per SOP", "SOPs", lambda work: work.sops),
    "neuron_update": Term("per neuron update", "neuron updates", lambda work: work.updates),
    "mac": Term("per MAC", "MACs", lambda work: work.macs),
    "spike_out": Term("per spike sent", "spikes", lambda work: work.spikes),
}


def work_of(activity: Activity, name: str) -> Work:
    """Returns the work of a run.

    Raises:
        SnnprofError: its number of samples is unknown.
    """
    samples = activity.samples
    if not samples:
        raise SnnprofError(f"{name} does not say how many samples it counted, so nothing is known per inference")
    lines = [line for line in conventions.find("exact").lines(activity) if line.category == "contraction"]
    return Work(
        sops=sum(line.counts.sops for line in lines) / samples,
        macs=sum(line.counts.macs for line in lines) / samples,
        updates=sum(neuron.updates for neuron in activity.neurons) / samples,
        spikes=sum(neuron.spikes for neuron in activity.neurons) / samples,
    )

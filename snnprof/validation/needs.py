"""What one event would cost if the whole measured energy were spent on events of its kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from snnprof.pricing import price
from snnprof.twins import all_firing
from snnprof.validation.activities import activity_of
from snnprof.validation.cases import Case


@dataclass(frozen=True)
class Need:
    """Measured energy / number of events, in picojoules.

    Attributes:
        case: the measurement.
        operations: SOPs, or MACs of a dense run; an upper bound if `at_least`.
        operation_pj: picojoules per operation.
        at_least: the activity is not published: fewer operations than assumed would each cost more.
        dense: the operations are MACs.
        spike_pj: picojoules per spike; None if the number of spikes is not published.
        neuron_step_pj: picojoules per neuron and time step, a bound on the price of an update; None if the sizes are
            not published.
    """

    case: Case
    operations: float
    operation_pj: float
    at_least: bool
    dense: bool
    spike_pj: float | None
    neuron_step_pj: float | None


def need(case: Case) -> Need | None:
    """Returns the need of a case; None if it is a power, or if neither sizes nor spikes are published."""
    activity, measured = activity_of(case), case.measured.energy
    if measured is None or activity is None:
        return None
    known = case.activity
    ran = activity if known else all_firing(activity)
    operations = price(ran).operations
    steps = sum(neuron.updates for neuron in activity.neurons)
    return Need(
        case, operations, measured / operations, known is None, bool(known and known.dense),
        measured / known.spikes if known and known.spikes else None, measured / steps if steps else None,
    )  # fmt: skip


def needs(chosen: Iterable[Case]) -> list[Need]:
    """Returns the needs of all cases that have one."""
    return [found for case in chosen if (found := need(case))]

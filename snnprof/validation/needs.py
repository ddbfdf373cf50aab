"""What one event would have to cost, if all that was measured were spent on such events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from snnprof.pricing import price
from snnprof.twins import all_firing
from snnprof.validation.activities import activity_of
from snnprof.validation.cases import Case


@dataclass(frozen=True)
class Need:
    """Measured energy / events, in picojoules.

    Attributes:
        operations: SOPs, or MACs where nothing is sparse; at most that many where `at_least`.
        at_least: the activity is not published, so that fewer events would have to cost more.
        spike: per spike; None where their number is not published.
        neuron_step: per neuron and time step, which bounds the price of an update; None where no sizes are published.
    """

    case: Case
    operations: float
    operation_pj: float
    at_least: bool
    dense: bool
    spike_pj: float | None
    neuron_step_pj: float | None


def need(case: Case) -> Need | None:
    """None where the case is a power, or neither sizes nor spikes are published."""
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
    """Of all cases that have one."""
    return [found for case in chosen if (found := need(case))]

"""Makes an activity of one inference of a measured case, as far as its counts are published."""

from __future__ import annotations

import math

from snnprof.activity import Activity, ModelFacts, NeuronRecord, Operand, OpRecord, Part, Run
from snnprof.traffic import Route, Traffic
from snnprof.validation.cases import Case, Counts
from snnprof.validation.layers import Network, Size, neurons, sizes

_CELLS = "neurons"


def activity_of(case: Case) -> Activity | None:
    """Returns what ran in one inference; None if neither sizes nor spikes are published.

    If the spikes are unknown, no neuron fires in it: `EnergyReport.energy_range_pj` spans the possible energies.
    """
    counts = case.activity or Counts()
    if case.layers:
        ops = _ops(case.layers, counts)
        cells = [] if counts.dense else [_cells(case.layers, counts)]
    elif counts.spikes and counts.fan_out:
        ops, cells = [_spikes_times_fan_out(counts.spikes, counts.fan_out)], []
    else:
        return None
    run = Run(model=ModelFacts(title=case.title), timesteps=case.layers.steps if case.layers else None)
    return Activity(run=run, samples=1, ops=ops, neurons=cells)


def traffic_of(case: Case) -> Traffic:
    """Returns messages and hops per spike: the published totals of the whole network, divided by its spikes."""
    counts = case.activity
    if not counts or not counts.spikes or counts.messages is None:
        return Traffic()
    each = [None if total is None else total / counts.spikes
            for total in (counts.messages, counts.east_west, counts.north_south)]  # fmt: skip
    return Traffic(Route(messages=each[0], east_west=each[1], north_south=each[2]))


def _ops(network: Network, counts: Counts) -> list[OpRecord]:
    layers = sizes(network)
    events = counts.events or [0] * len(layers)
    numbered = enumerate(zip(layers, events, strict=True), 1)
    return [_op(f"layer {n}", size, network.steps, seen, counts.dense) for n, (size, seen) in numbered]


def _op(name: str, size: Size, steps: int, events: int, dense: bool) -> OpRecord:
    part = Part(
        kind="real" if dense else "spikes", elements=math.prod(size.input) * steps, dense_macs=size.dense_macs * steps,
        valid_macs=size.valid_macs * steps, events=events, by_value=events, effective=events,
    )  # fmt: skip
    shape = {"input": [*size.input], "output": [*size.output], "weight": [*size.weight]}
    data = Operand(role="data") if dense else _spikes()
    return OpRecord(
        layer=name, op=size.op, steps=steps, shape=shape, weights=math.prod(size.weight), parts=[part],
        operands=[data, Operand(role="weight")], feeds=[_CELLS],
    )  # fmt: skip


def _spikes_times_fan_out(spikes: int, fan_out: int) -> OpRecord:
    events = spikes * fan_out
    part = Part(
        kind="spikes", elements=spikes, nonzero=spikes, level_sum=spikes, dense_macs=events, valid_macs=events,
        events=events, by_value=events, effective=events,
    )  # fmt: skip
    return OpRecord(layer="all layers", op="conv", parts=[part], operands=[_spikes(), Operand(role="weight")])


def _spikes() -> Operand:
    return Operand(role="data", quantum=1.0, levels=1, fed_by=[_CELLS])


def _cells(network: Network, counts: Counts) -> NeuronRecord:
    """Returns all neurons as one layer, since publications give totals."""
    size, spikes = neurons(network), counts.spikes or 0
    return NeuronRecord(
        layer=_CELLS, type="LIF", size=size, steps=network.steps, updates=size * network.steps,
        driven=counts.driven or 0, spikes=spikes, level_sum=spikes,
    )  # fmt: skip

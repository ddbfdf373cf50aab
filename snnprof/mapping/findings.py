"""What a chip cannot hold or do of a network, and what to do about it. snnprof/explanations.yaml explains the codes."""

from __future__ import annotations

from collections.abc import Iterator

from snnprof.activity import Activity, Finding, NeuronRecord
from snnprof.mapping.mapped import Mapping, Placement
from snnprof.units import count_text

WORDS = {
    "neurons": "neurons", "synapses": "synapses", "synapse_bits": "bits of synapses",
    "fan_in": "synapses of one neuron", "axons_in": "input axons",
}  # fmt: skip
"""Limit of a core → its name for readers."""


def findings(mapping: Mapping, activity: Activity) -> Iterator[Finding]:
    """Yields all that a reader must know about a mapping, whatever the prices."""
    yield from _too_much(mapping)
    for placement in mapping.placements:
        yield from _does_not_fit(mapping, placement)
    yield from _products(mapping)
    for placement in mapping.placements:
        yield from _too_many_destinations(mapping, placement)
        yield from _too_few_ways_out(mapping, placement)
        yield from _real_input(mapping, placement)
    yield from _values(mapping, activity)
    yield from _several_layers(mapping, activity)


def _does_not_fit(mapping: Mapping, placement: Placement) -> Iterator[Finding]:
    cut, outcome = "however it is cut", "it has no place, so cores and chips are lower bounds"
    hint = "Make the layer smaller, or choose another chip"
    if placement.grid.given:
        cut, outcome = "as your file cuts it", "counted as you placed it"
        hint = "Cut it into more cores, or correct the limit in your file"
    for name, (need, limit) in placement.grid.broken.items():
        needs = f"Needs {count_text(need)} {WORDS[name]} of a core, {cut}"
        has = f"a core of {mapping.chip.id} has {count_text(limit)}"
        yield _finding("M01", f"{needs}; {has}; {outcome}", hint, placement.layer.name)


def _too_much(mapping: Mapping) -> Iterator[Finding]:
    for name, (need, limit) in mapping.together.items():
        text = f"The layers need {count_text(need)} {WORDS[name]} together; {mapping.chip.id} has {count_text(limit)}"
        yield _finding("M01", text, "Make the network smaller, or choose another chip")
    chip = mapping.chip
    if chip.one_chip and mapping.chips > 1:
        text = f"The layers need {mapping.cores} cores; {chip.id} has {chip.cores_per_chip} and works alone"
        yield _finding("M01", text, "Make the network smaller, or choose another chip")


def _too_many_destinations(mapping: Mapping, placement: Placement) -> Iterator[Finding]:
    limit, each = mapping.chip.destinations, mapping.destinations_of(placement.layer.name)
    if limit and each > limit.value:
        text = f"Its spikes go to {each:.3g} cores on average; {mapping.chip.id} sends a spike to {limit.value} at most"
        more = "it needs copies of its neurons, which were not counted"
        yield _finding(
            "M03", f"{text}, so {more}", "Count such copies yourself, or choose another chip", placement.layer.name
        )


def _too_few_ways_out(mapping: Mapping, placement: Placement) -> Iterator[Finding]:
    limit = mapping.chip.cores[placement.grid.kind].axons_out
    need = placement.on_a_core * mapping.destinations_of(placement.layer.name)
    if limit and placement.grid.placed and need > limit.value:
        needs = f"A core of this layer needs {count_text(need)} output axons, one for each neuron and target core"
        text = f"{needs}; a core of {mapping.chip.id} has {count_text(limit.value)}"
        hint = "It needs more cores than counted: name their number in a file, or choose another chip"
        yield _finding("M03", text, hint, placement.layer.name)


def _real_input(mapping: Mapping, placement: Placement) -> Iterator[Finding]:
    for connection in placement.layer.connections:
        if connection.op.part("real").elements:
            text = f"Reads real values, and the cores of {mapping.chip.id} take spikes: encode them outside the chip"
            yield _finding(
                "M04", text, "State how the input reaches the chip; its energy is not in the total", connection.op.layer
            )


def _values(mapping: Mapping, activity: Activity) -> Iterator[Finding]:
    """Finds neurons whose spikes carry numbers, on a chip with binary spikes. Sums of spikes arrive as single ones."""
    if mapping.chip.spikes == "graded":
        return
    for neuron in filter(_is_graded, activity.neurons):
        text = f"Sends spikes that carry numbers, and those of {mapping.chip.id} carry none"
        yield _finding(
            "M04",
            f"{text}: a value n needs n spikes and n messages, counted as one here",
            "Use binary neurons, or a chip with graded spikes",
            neuron.layer,
        )


def _several_layers(mapping: Mapping, activity: Activity) -> Iterator[Finding]:
    """Finds sums of currents that several layers read: PyTorch computes them once, a chip once for each layer."""
    for op in activity.ops:
        times = len(op.feeds)
        if times > 1 and len(op.data) == 1:
            text = f"Its result reaches {times} neuron layers, and a core of {mapping.chip.id} adds spikes for its own"
            more = f"the chip would do {times} times these synaptic operations, which are counted once"
            hint = "State this next to the energy; the time and the cores have them at each layer"
            yield _finding("M07", f"{text}: {more}", hint, op.layer)


def _is_graded(neuron: NeuronRecord) -> bool:
    return neuron.level_sum > neuron.spikes


def _products(mapping: Mapping) -> Iterator[Finding]:
    for op in mapping.unplaced:
        product = f"Multiplies data with data, which no synapse of {mapping.chip.id} does"
        text = f"{product}: its operations are priced, but have no place"
        hint = "State this next to the energy; the messages of the layers that it reads are not known"
        yield _finding("M02", text, hint, op.layer)


def _finding(code: str, text: str, hint: str, layer: str = "") -> Finding:
    return Finding(code=code, layer=layer, text=text, hint=hint)

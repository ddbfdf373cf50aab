"""The neuron layers of a model: those of known or named classes, and modules that turn out to be hand-written ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from snnprof.record import measure, neurons, provenance, timeaxis, values
from snnprof.record.call_sites import CallSites
from snnprof.record.counters import NeuronCounter
from snnprof.record.held_state import tensors_in
from snnprof.record.neurons import NeuronLayer
from snnprof.record.provenance import Facts
from snnprof.record.read.operand import Steps
from snnprof.record.seen_time import SeenTime
from snnprof.record.timeaxis import TimeDim


@dataclass
class _Candidate:
    """A module that may turn out to be a neuron, as it was entered.

    Attributes:
        facts: of its first input; empty if nothing is known of it.
        state: the values of its own attributes.
        decisions: how many decisions the pass had made before.
        calls: how many calls of neuron layers the recording had seen before.
    """

    facts: list[Facts]
    state: dict[str, Any]
    decisions: int
    calls: int


class NeuronLayers:
    """Counts the spikes of neuron layers, and recognises hand-written neurons while learning.

    Attributes:
        watched: the neuron layers, and how to read their spikes.
        counters: the sums of those that have run.
        steps: where the time steps lie in their outputs.
    """

    def __init__(
        self, sites: CallSites, names: Mapping[nn.Module, str], watched: dict[nn.Module, NeuronLayer], seen: SeenTime
    ) -> None:
        self.watched = watched
        self.counters: dict[nn.Module, NeuronCounter] = {}
        self.steps: dict[nn.Module, Steps | None] = {}
        self._sites, self._names, self._seen_time = sites, names, seen
        self._candidates: dict[nn.Module, _Candidate] = {}
        self._calls: list[nn.Module] = []

    def all_counters(self) -> list[NeuronCounter]:
        """The sums of neuron layers, and of lines of code that fire."""
        return [*self.counters.values(), *self._sites.spikes.lines.counters()]

    def stateful(self) -> list[NeuronCounter]:
        """The sums of neuron layers and firing lines that keep state from call to call."""
        spikes = self._sites.spikes
        layers = [counter for module, counter in self.counters.items() if self.watched[module].stateful]
        lines = [line for line in spikes.lines.by_name.values() if line.sites & spikes.decisions.carrying]
        return layers + [line.counter for line in lines if line.counter is not None]

    def end_learning(self) -> None:
        """Tells all counters that T will not change any more."""
        for counter in self.all_counters():
            counter.end_learning()

    def contain(self, layer: str) -> bool:
        """Whether a module is a neuron layer that has run, or lies inside one."""
        return any(neurons.within(layer, self._names[module]) for module in self.counters)

    def knowledge(self) -> tuple[Any, ...]:
        """Everything that decides how the next pass counts neuron layers."""
        grids = {module: counter.grid for module, counter in self.counters.items()}
        return dict(self.watched), grids, dict(self.steps)

    # -- entering ------------------------------------------------------------------------------------------

    def consider(self, module: nn.Module, inputs: list[Tensor]) -> None:
        """Remembers how a module was entered that may turn out to be a neuron layer."""
        self._candidates[module] = _Candidate(
            [facts for facts in map(self._sites.store.get, inputs[:1]) if facts],
            neurons.own_state(module), len(self._sites.spikes.decisions.made), len(self._calls),
        )  # fmt: skip

    def forget(self, module: nn.Module) -> None:
        """Drops what was remembered of a module that an exception left."""
        self._candidates.pop(module, None)

    def forget_all(self) -> None:
        """Drops what was remembered of all modules, as recording ends."""
        self._candidates.clear()

    def drive(self, module: nn.Module, name: str, inputs: list[Tensor]) -> None:
        """Counts the inputs of a neuron layer that are not zero."""
        counter = self._counter(module, name)
        if not inputs:
            return
        if not neurons.recurrent(module):
            counter.drive(neurons.values(name, inputs[0]))
        if self._sites.learning:
            self._calls.append(module)
            facts = self._sites.store.get(inputs[0])
            for op in facts.ops if facts else ():
                self._sites.contractions.by_id[op].feeds.add(name)

    def _counter(self, module: nn.Module, name: str) -> NeuronCounter:
        if module not in self.counters:
            log, timesteps = self._sites.log, self._sites.recording.timesteps
            found_by = self.watched[module].found_by
            self.counters[module] = NeuronCounter(log, name, type(module).__name__, found_by, timesteps)
        return self.counters[module]

    # -- leaving -------------------------------------------------------------------------------------------

    def concerns(self, module: nn.Module) -> bool:
        """Whether a module is a neuron layer, or may turn out to be one."""
        return module in self._candidates or module in self.watched

    def leave(self, module: nn.Module, name: str, arguments: Any, output: Any) -> None:
        """Counts the spikes that a neuron layer puts out, once it is known to be one."""
        candidate = self._candidates.pop(module, None)
        if candidate is not None and module not in self.watched:
            self._recognise(module, name, tensors_in(arguments), output, candidate)
        if module in self.watched:
            self._see_steps(module, name, output, candidate)
            self._fire(module, name, output)

    def _recognise(
        self, module: nn.Module, name: str, inputs: list[Tensor], output: Any, candidate: _Candidate
    ) -> None:
        """Recognises a hand-written neuron: the smallest module with state, or that turns real values into spikes."""
        contractions, decisions = self._sites.contractions, self._sites.spikes.decisions
        position = self._spikes_among(output)
        if position is None or len(decisions.made) == candidate.decisions or contractions.ran_below(name):
            return
        inner = {module for module in self._calls[candidate.calls :] if module in self.watched}
        if any(self.watched[m].stateful for m in inner):
            return
        stateful = neurons.wrote_state(candidate.state, module) or decisions.steps_since(candidate.decisions) > 1
        was_real = bool(candidate.facts) and candidate.facts[0].data and candidate.facts[0].grid is None
        if stateful or (was_real and not inner and not contractions.ran_at(name)):
            self._take_in(inner, name)
            self.watched[module] = NeuronLayer(neurons.picking(position), "behaviour", stateful)
            self._calls.append(module)
            self.drive(module, name, inputs)

    def _spikes_among(self, output: Any) -> int | None:
        """The position, among the tensors that a module puts out, of the first that holds spikes."""
        for position, tensor in enumerate(tensors_in(output)):
            facts = self._sites.store.get(tensor)
            if facts and facts.data and facts.grid:
                return position
        return None

    def _take_in(self, inner: set[nn.Module], name: str) -> None:
        """Neuron layers and lines inside a module that turns out to be a neuron are part of it."""
        spikes = self._sites.spikes
        for module in inner:
            del self.watched[module], self.counters[module]
            spikes.renamed[self._names[module]] = name
        for line in spikes.lines.within(name):
            spikes.renamed[line] = name
        self._sites.arithmetic.forget_lines(name)

    def _see_steps(self, module: nn.Module, name: str, output: Any, candidate: _Candidate | None) -> None:
        """Sees, while learning, how many steps a neuron layer made of one call."""
        if not self._sites.learning or candidate is None:
            return
        watched = self.watched[module]
        if watched.found_by == "named" and not watched.stateful and neurons.wrote_state(candidate.state, module):
            self.watched[module] = replace(watched, stateful=True)
        spikes = watched.kind.spikes(output)
        if spikes is None or not spikes.dim():
            return
        along = watched.kind.time_first(module)
        steps = spikes.shape[0] if along else self._sites.spikes.decisions.steps_since(candidate.decisions)
        if steps in spikes.shape or steps == 1:
            self._seen_time.of_call(name, steps, tuple(spikes.shape))

    def _fire(self, module: nn.Module, name: str, output: Any) -> None:
        spikes = self.watched[module].kind.spikes(output)
        counter = self._counter(module, name)
        if spikes is None:
            return
        spikes = neurons.values(name, spikes)
        if neurons.recurrent(module):
            counter.drive_all(spikes.numel())
        if self._sites.learning:
            self._learn_spikes(module, name, spikes, counter)
        counter.fire(spikes, self.steps.get(module), self._sites.recording.batch_size, counter.grid)
        if counter.source is not None:
            counter.source.observe(spikes, counter.grid)

    def _learn_spikes(self, module: nn.Module, name: str, spikes: Tensor, counter: NeuronCounter) -> None:
        """Stores the facts of spikes: on the grid of the layer's own operators, or else on the grid of the values."""
        sites, timesteps = self._sites, self._sites.recording.timesteps
        facts = values.of_neuron(spikes, sites.store.get(spikes), name)
        if facts.grid is None:
            sites.recording.note(
                "C07", name, "The output of this neuron layer is graded; layers that read it count as real-valued",
                "If it is no spiking neuron, leave it out of --neuron",
            )  # fmt: skip
        elif not facts.single:
            counter.source = counter.source or sites.spikes.lines.sources.new()
            facts = provenance.from_source(facts, counter.source.index)
        grid = measure.grid_of(facts)
        counter.grid = grid if counter.grid.quantum is None else counter.grid._replace(
            levels=max(counter.grid.levels, grid.levels), signed=counter.grid.signed or grid.signed
        )  # fmt: skip
        fold = None
        if timesteps and self.watched[module].kind.time_first(module) and spikes.shape[0] == timesteps:
            fold = TimeDim(0, 1, timesteps)
        axis = timeaxis.axis_of(spikes, fold) or sites.store.time(spikes)
        sites.store.set(spikes, facts, axis)
        self.steps[module] = sites.steps.of(spikes)

"""Sees, while learning, which operators make spikes of real values: those of a neuron layer, or of a line of code."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from dataclasses import replace
from types import FrameType
from typing import Any

from torch import Tensor

from snnprof.record import layers, provenance
from snnprof.record.contraction_sites import ContractionSites
from snnprof.record.decisions import Decisions, Feed
from snnprof.record.firing import FiringLine, FiringLines
from snnprof.record.operators import operator
from snnprof.record.pass_state import PassState
from snnprof.record.propagation import tensors_of
from snnprof.record.provenance import Facts
from snnprof.record.script import Call, firing_family
from snnprof.record.site_plans import CallSite


class FiringSites:
    """Decides what makes the spikes of an operator, and counts lines that fire.

    Attributes:
        decisions: the lines that compare or round real values, and which of them keep state.
        lines: those that make spikes outside every neuron layer.
        renamed: names of lines and modules that turned out to be part of a neuron layer, and the name of the layer.
    """

    def __init__(self, state: PassState, contractions: ContractionSites, named: dict[int, str]) -> None:
        self.decisions = Decisions(lambda op: contractions.by_id[op].all_calls)
        self.lines = FiringLines(state.recording, state.log, named)
        self.renamed: dict[str, str] = {}
        self._state = state

    def fired(self, name: str, facts: list[Facts], args: Any, made: Facts, output: Tensor, frame: FrameType) -> Facts:
        """Returns the facts of an operator's result; of spikes, with the neuron layer or the line that makes them.

        Args:
            name: of the operator.
            facts: of its operands.
            args: its arguments.
            made: the facts of its result, by propagation.
            output: its result.
            frame: the code that runs it.
        """
        state = self._state
        if not operator(name).quantises or not layers.is_own(output):
            return made
        place = CallSite(state.layer, name, frame)
        if not made.data:
            self._fired_on_constants(place, facts, args, output)
            return made
        call = self._feed(facts, args) if made.grid or operator(name).decides else Feed()
        if operator(name).decides:
            self._decide(place, facts, args, call)
        if state.neurons:
            return replace(made, fed_by=frozenset(state.neurons[:1])) if operator(name).decides else made
        steps = state.steps.of_made(name, output, tensors_of(args), args)
        made, line = self.lines.learn(place, facts, made, output, steps, call)
        if line is not None and operator(name).decides:
            line.sites.add(self.decisions.made[-1])
        self._note(name, line)
        return made

    def _feed(self, facts: list[Facts], args: Any) -> Feed:
        """What feeds the data among the operands of a call."""
        store = self._state.store
        data = [(operand, known) for operand, known in zip(tensors_of(args), facts, strict=False) if known.data]
        terms = {value: term for operand, _ in data for value, term in store.terms(operand).items()}
        return self.decisions.feed(provenance.merged([known for _, known in data]).ops, terms, store.written)

    def _decide(self, place: CallSite, facts: list[Facts], args: Any, call: Feed) -> None:
        """An operator makes whole numbers of real values, which are marked with the line that it belongs to."""
        decided = frozenset[int]().union(*(known.decided for known in facts if known.data))
        number = self.decisions.decide(place.chain, call, decided)
        for operand, known in zip(tensors_of(args), facts, strict=False):
            if known.data:
                self._state.store.decide(operand, number)

    def _fired_on_constants(self, place: CallSite, facts: list[Facts], args: Any, output: Tensor) -> None:
        """A state may start as zeros: the line that compares it in the first step is a neuron all the same."""
        script = self._state.script
        if operator(place.name).decides:
            number = self.decisions.decide_on_constants(place.chain)
            for operand in tensors_of(args):
                self._state.store.decide(operand, number)
            if not self._state.neurons:
                self.lines.idle(
                    place, output, functools.partial(self._found, place.layer, place.name, len(script or ()))
                )
        self._note(place.name, None)

    def _note(self, name: str, line: FiringLine | None) -> None:
        """Adds a call of an operator that may make spikes to the script."""
        if self._state.script is not None and not self._state.neurons:
            self._state.script.append(Call(self._state.layer, firing_family(name), line))

    def _found(self, layer: str, name: str, number: int, line: FiringLine) -> None:
        """A call on constants, with that number in the script, was one of a line that fires."""
        if self._state.script is not None:
            self._state.script[number] = Call(layer, firing_family(name), line)

    def count(self, frame: FrameType, name: str, result: Any) -> None:
        """Counts spikes that a line makes, after learning."""
        state = self._state
        if state.learning or state.neurons or not self.lines or not isinstance(result, Tensor):
            return
        line = self.lines.find(CallSite(state.layer, name, frame))
        if line is not None:
            self.lines.count(line, result)

    # -- names ---------------------------------------------------------------------------------------------

    def now_called(self, name: str) -> str:
        """The neuron layer that a name turned out to be part of."""
        while name in self.renamed:
            name = self.renamed[name]
        return name

    def fed_by(self, names: Iterable[str], known: Collection[str]) -> frozenset[str]:
        """The neuron layers that feed an operand, with what feeds a line that has no row in the line's place.

        Args:
            names: of neuron layers and lines that feed it.
            known: names that have a row.
        """
        found: set[str] = set()
        open_names, done = set(names), set[str]()
        while open_names:
            name = self.now_called(open_names.pop())
            if name in done:
                continue
            done.add(name)
            if name in self.lines.by_name and name not in known:
                open_names |= self.lines.by_name[name].upstream
            else:
                found.add(name)
        return frozenset(found)

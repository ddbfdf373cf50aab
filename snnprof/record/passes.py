"""The beginning and the end of a forward pass: its input, the state that it leaves, and whether learning goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from snnprof.record import timeaxis, values
from snnprof.record.call_sites import CallSites
from snnprof.record.held_state import HeldState, know_state, tensors_in
from snnprof.record.neuron_layers import NeuronLayers
from snnprof.record.provenance import Facts
from snnprof.record.seen_time import SeenTime
from snnprof.record.timeaxis import TimeDim


class Passes:
    """Follows the passes of a recording, and ends and starts learning.

    Attributes:
        number: how many passes began.
        led: a caller says where batches end, so learning ends with the first of them and never starts again.
    """

    def __init__(
        self,
        sites: CallSites,
        layers: NeuronLayers,
        names: Mapping[nn.Module, str],
        state_names: set[tuple[nn.Module, str]],
        seen: SeenTime,
    ) -> None:
        self.number = 0
        self.led = False
        self._sites, self._layers, self._names = sites, layers, names
        self._recording, self._seen_time = sites.recording, seen
        self._state_names, self._state = state_names, HeldState(sites, names, state_names)
        self._known: tuple[Any, ...] = ()  # what decided how the pass before was counted
        self._inputs_facts: list[Facts | None] = []

    def begin(self, inputs: list[Tensor]) -> None:
        """The outermost module is called: its inputs are data, unless they are state of an earlier pass."""
        sites = self._sites
        self.number += 1
        sites.begin_pass()
        if sites.met_new and not self.led:
            self._learn_again(inputs)
        if not inputs:
            return
        axis = self._know_axes(inputs[0])
        sites.spikes.lines.begin_pass()
        if sites.learning:
            self._know_inputs(inputs, axis)
        elif not self.led:
            self.widen_input(inputs[0])

    def end(self, output: Any) -> None:
        """The outermost module is left."""
        if not self._sites.learning:
            return
        self._sites.know_outputs(tensors_in(output))
        unclear = bool(self._sites.spikes.decisions.unclear)
        # A line of attention may run once for each block: only weights that are read again tell of time.
        weighted = [op for op in self._sites.ops.values() if "weight" in op.roles]
        self._seen_time.end_pass(weighted, self._layers.stateful(), unclear)
        self._state.note_written()
        if not self.led:
            self._end_learning_if_nothing_new()

    # -- learning ------------------------------------------------------------------------------------------

    def _end_learning_if_nothing_new(self) -> None:
        """A pass that teaches nothing ends learning, but not before all steps of a caller's sequence were seen."""
        before, self._known = self._known, self._knowledge()
        whole = self._recording.layout != "step" or self.number >= (self._recording.timesteps or 1)
        if whole and before == self._known:
            self._state.remember()
            self.end_learning()

    def end_learning(self) -> None:
        """From here on passes look plans up."""
        if not self._sites.learning:
            return
        self._sites.end_learning()
        if self._recording.timesteps is None:
            for op in self._sites.ops.values():
                op.end_learning()
        self._layers.end_learning()

    def _learn_again(self, inputs: list[Tensor]) -> None:
        """A pass met what none before had shown; tensors that it left are known by the attributes they lie in."""
        self._sites.learn_again()
        for module, name in self._names.items():
            self._sites.weights.know(module, name)
        self._state.know_again()
        know_state(self._sites, inputs, self._inputs_facts)

    def _knowledge(self) -> tuple[Any, ...]:
        """Everything that decides how the next pass is counted."""
        recording = self._recording
        return (
            self._sites.knowledge(), self._layers.knowledge(), set(self._state_names), recording.batch_size,
            recording.timesteps,
        )  # fmt: skip

    # -- the input -----------------------------------------------------------------------------------------

    def _know_axes(self, first: Tensor) -> int | None:
        """Reads T and the batch size off the first input; returns its time axis, None if it has none."""
        recording = self._recording
        axis = {"time-batch": 0, "batch-time": 1}.get(recording.layout)
        if axis is not None and first.dim() > axis:
            recording.timesteps = recording.timesteps or first.shape[axis]
        rows = 1 if axis == 0 else 0
        recording.batch_size = first.shape[rows] if first.dim() > rows else 1
        return axis

    def _know_inputs(self, inputs: list[Tensor], axis: int | None) -> None:
        """Stores the facts of inputs of which nothing is known."""
        sites = self._sites
        for tensor in inputs:
            if sites.store.get(tensor) is None:
                facts = values.of_input(tensor, self._recording.input)
                self._note_input(tensor, facts)
                sites.input_facts = sites.input_facts or (facts if facts.grid and not facts.signed else None)
                fold = None if axis is None else TimeDim(axis, 1, self._recording.timesteps or 1)
                sites.store.set(tensor, facts, timeaxis.axis_of(tensor, fold))
        self._inputs_facts = [sites.store.get(tensor) for tensor in inputs]

    def _note_input(self, tensor: Tensor, facts: Facts) -> None:
        kind, note = self._recording.input, self._recording.note
        if kind == "auto" and facts.levels is not None and facts.levels > 1:
            note(
                "C08", "", f"The model's input holds whole numbers up to {facts.levels}, which count as events",
                "Pass --input real for pixel values, or --input spikes to confirm",
            )  # fmt: skip
        elif kind == "spikes" and values.smallest_step(tensor) is None:
            note(
                "C08", "", "--input spikes was given, but the values of the input have no common step; those that are "
                "not whole numbers count as real", "Pass the input before normalisation",
            )  # fmt: skip
        image = tensor.dim() > 2 and facts.grid is None and kind != "spikes"
        self._sites.contractions.raw_input |= image and values.raw_bytes(tensor)

    def widen_input(self, x: Tensor) -> None:
        """Widens the bounds of the input if a batch holds larger event counts than the first: they are spikes too."""
        known = self._sites.input_facts
        if known is None or known.levels is None or not known.quantum or not x.is_cpu or not x.numel():
            return  # a device would have to be waited for
        levels = float(x.max()) / float(known.quantum)
        counts = self._recording.input == "spikes" or levels <= values.COUNTS
        if known.levels < levels and levels.is_integer() and counts:
            self._sites.widen_input(int(levels))

"""The Recorder: attaches to a model, counts the operators of its forward passes on their device, and detaches."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from torch import Tensor, nn

from snnprof.activity import Activity, Block, Finding
from snnprof.merging import thinned
from snnprof.record import neurons
from snnprof.record.accumulate import CountLog
from snnprof.record.assembly import Assembly
from snnprof.record.call_sites import CallSites
from snnprof.record.counters import NeuronCounter
from snnprof.record.dispatch import plain_kernels
from snnprof.record.hooks import ModuleHooks
from snnprof.record.memory import WORKSPACE
from snnprof.record.neuron_layers import NeuronLayers
from snnprof.record.passes import Passes
from snnprof.record.read.operand import Steps
from snnprof.record.recording import Recording
from snnprof.record.seen_time import SeenTime


class Recorder:
    """Counts every contraction and spike of the forward passes that run inside it.

    It only observes: the model's results and weights stay as they are. `docs/recorder.md` describes its parts.

    Attributes:
        model: the recorded model.
        recording: layout, T, kind of input, and the findings so far.
        sites: the counters of contractions and other arithmetic, and the facts of the tensors.
        seen_time: what the passes showed of T.
        log: takes the counts that are read on the device.
        watched: the neuron layers that are known so far; learning may find more.
        state_names: (module, attribute) for each attribute in which a pass left values that it made of its input.

    Example:
        >>> import torch, snnprof
        >>> layer = torch.nn.Linear(4, 3, bias=False)
        >>> with snnprof.Recorder(layer) as recorder:
        ...     _ = layer(torch.tensor([[1.0, 0.0, 1.0, 0.0]]))
        >>> recorder.activity(samples=1).ops[0].events
        6
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        layout: str = "batch",
        timesteps: int | None = None,
        input: str = "auto",
        neuron: Sequence[str] = (),
    ) -> None:
        """Prepares to watch `model`.

        Args:
            model: any module. The recorder adds hooks to it while it is attached, and changes nothing else.
            layout: the first axes of the model's input: `batch` for [B, ...], `time-batch` for [T, B, ...],
                `batch-time` for [B, T, ...], `step` for [B, ...] with one pass for each time step.
            timesteps: T, the number of time steps; None if it is not known, and then spikes are not counted by step.
            input: what the model's input holds: `spikes`, `real` values, or `auto` to decide by the values.
            neuron: names of further classes and functions that are neurons.

        Raises:
            SnnprofError: a name in `neuron` occurs nowhere in the model.
        """
        self.model = model
        self.recording = Recording(layout, timesteps, input)
        self._named = tuple(neuron)
        self._names: dict[nn.Module, str] = {module: name for name, module in neurons.named_modules(model)}
        self._stack: ExitStack | None = None
        self._thread = 0
        self._led = False
        self.state_names: set[tuple[nn.Module, str]] = set()  # attributes that the pass wrote data to
        self._start()

    def _start(self) -> None:
        """Makes all parts anew: nothing is known and nothing is counted yet."""
        self.watched, functions = neurons.watched(self.model, self._named)
        self.log = CountLog()
        self.sites = CallSites(self.recording, self.log, functions)
        self.seen_time = SeenTime()
        self._layers = NeuronLayers(self.sites, self._names, self.watched, self.seen_time)
        self._passes = Passes(self.sites, self._layers, self._names, self.state_names, self.seen_time)
        self._hooks = ModuleHooks(self.sites, self._layers, self._passes, self._names)
        self._passes.led, self._hooks.thread = self._led, self._thread
        self._batches = 0
        self._sequences_ended = 0
        self._blocks: list[tuple[int, int | None]] = []

    # -- what the caller says ------------------------------------------------------------------------------

    def learn_from_first_batch(self) -> None:
        """Lets learning end with the first batch, so that all processes of a run learn from the same batch."""
        self._led = self._passes.led = True

    def new_sequence(self) -> None:
        """Says that the next pass is the first time step of another sequence, if the caller loops over the steps."""
        self._sequences_ended += 1
        self._end_sequence()

    def _end_sequence(self) -> None:
        for op in self.sites.ops.values():
            op.end_batch()
        for neuron in self._layers.all_counters():
            neuron.end_batch()

    def tell_steps(self, timesteps: int) -> None:
        """Sets T after the first pass, which ran each time step in a call of its own; the counts so far stay.

        Args:
            timesteps: T.
        """
        self.recording.timesteps = timesteps
        for counter in self._layers.all_counters():
            counter.tell_steps(timesteps)

    def restart(self, timesteps: int) -> None:
        """Forgets everything that was learned and counted, and attaches again with another T.

        Args:
            timesteps: T.
        """
        self.detach()
        self.recording.timesteps = timesteps
        self.recording.notes.clear()
        self._start()
        self.attach()

    def end_batch(self) -> None:
        """Ends learning, and says that the next pass starts a batch of new sequences."""
        self.learn_from_first_batch()
        self._batches += 1
        self._passes.end_learning()
        self._end_sequence()

    def end_block(self, samples: int, correct: int | None = None) -> None:
        """Ends a block of whole batches, and reads its counts back: the only wait for the device in a block.

        Args:
            samples: how many samples the block had.
            correct: how many predictions were correct; None without labels.
        """
        self.log.end_block()
        self._blocks.append((samples, correct))

    def widen_input(self, x: Tensor) -> None:
        """Widens the bounds of the input if a batch holds larger event counts than the first: they are spikes too.

        Args:
            x: the input of the batch, in the layout of the recording; it is looked at on the CPU only.
        """
        self._passes.widen_input(x)

    def note(self, code: str, layer: str, text: str, hint: str) -> None:
        """Adds a finding, unless the same one was added before.

        Args:
            code: its code, such as `C09`; `snnprof explain CODE` says what it means.
            layer: path of the module that it is about; `""` for the whole model.
            text: what was found.
            hint: what the reader can do about it.
        """
        self.recording.note(code, layer, text, hint)

    # -- attach and detach ---------------------------------------------------------------------------------

    def __enter__(self) -> Recorder:
        self._thread = self._hooks.thread = threading.get_ident()
        self.attach()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()
        WORKSPACE.clear()

    def attach(self) -> None:
        """Adds the hooks and enters the modes that see operators; does nothing if the recorder is attached."""
        if self._stack is not None:
            return
        self._stack = ExitStack()
        try:
            self._stack.callback(self._hooks.detach)
            self._hooks.attach()
            self._stack.enter_context(plain_kernels())
            for module, name in self._names.items():
                self.sites.weights.know(module, name)
            self._stack.enter_context(self._hooks.operators)
            self._stack.enter_context(self._hooks.calls)
        except BaseException:
            self.detach()
            raise

    def detach(self) -> None:
        """Removes the hooks and leaves the modes; everything that was learned and counted stays."""
        self._hooks.resume()
        if self._stack is not None:
            self._stack.close()
            self._stack = None

    # -- what is known -------------------------------------------------------------------------------------

    @property
    def layout(self) -> str:
        """The first axes of the model's input: `batch`, `time-batch`, `batch-time` or `step`."""
        return self.recording.layout

    @property
    def timesteps(self) -> int | None:
        """T, the number of time steps; None if it is not known."""
        return self.recording.timesteps

    @property
    def batch_size(self) -> int | None:
        """Samples in the pass that runs or ran last; None before the first pass."""
        return self.recording.batch_size

    def name_of(self, module: nn.Module) -> str:
        """Names a module of the model.

        Args:
            module: the model, or a module inside it.

        Returns:
            Its path, such as `block.0.attn`; `""` for the model itself.
        """
        return str(self._names[module])

    def neuron_counter(self, module: nn.Module) -> NeuronCounter:
        """Finds the counter of a neuron layer.

        Args:
            module: a neuron layer that has run.

        Returns:
            The counter that sums its spikes.
        """
        return self._layers.counters[module]

    def steps_of_neuron(self, module: nn.Module) -> Steps | None:
        """Finds the time axis of a neuron layer's output, as the recorder learned it on the first batch.

        Args:
            module: a neuron layer.

        Returns:
            The time axis; None if one call of the layer is one step, or if it is not known.
        """
        return self._layers.steps.get(module)

    def is_state(self, module: nn.Module, name: str, value: Any) -> bool:
        """Says whether an attribute that was absent or None before the first pass holds state.

        Args:
            module: a module of the model.
            name: the attribute.
            value: its present value.

        Returns:
            True if a pass wrote to it what it made of its input; False for a cache or a lazily created weight.
        """
        return (module, name) in self.state_names

    # -- the result ----------------------------------------------------------------------------------------

    def activity(self, samples: int | None = None, timesteps: int | None = None) -> Activity:
        """Makes an Activity of the counts so far.

        Args:
            samples: how many samples ran, if the caller never called `end_block`; None if that is not known.
            timesteps: T, if the caller ran one pass for each time step, or did not say T before.

        Returns:
            The Activity. `steps` of its records is None if neither batches nor T are known.
        """
        told = bool(self._batches)
        if not told:
            self.sites.settle()
            self.end_block(samples or 0)
        batches = self._batches or self._sequences(timesteps)
        if (timesteps or self.timesteps) is None and self.seen_time.unknown:
            batches = None
        total = sum(n for n, _ in self._blocks) if told else samples
        assembly = self._assembly()
        activity = assembly.activity(batches, total, timesteps or self.timesteps)
        blocks = activity.blocks if told else _one(activity.blocks, samples or 0)
        activity = activity.model_copy(update={"blocks": blocks})
        return activity.model_copy(update={"findings": assembly.findings(activity)})

    def findings(self, activity: Activity) -> list[Finding]:
        """Lists what a reader of these counts must know.

        Args:
            activity: an Activity that this recorder counted, in whole or in part.

        Returns:
            The findings: those noted during the passes, then those that the counts show.
        """
        return self._assembly().findings(activity)

    def _assembly(self) -> Assembly:
        return Assembly(
            self.model, self._names, self.sites, self._layers, self.seen_time, self._hooks.ran, self._blocks
        )

    def _sequences(self, timesteps: int | None) -> int | None:
        """How many sequences ran, if the caller said T alone: one pass each, or T passes each in the caller's loop."""
        passes = self._passes.number
        if self._sequences_ended:
            return self._sequences_ended + 1
        folded = any(counter.runs > counter.calls_in_batch for counter in self._layers.counters.values())
        if timesteps is None or folded:
            return passes if (timesteps or self.timesteps) else None
        return passes // timesteps if passes % timesteps == 0 else None


def _one(blocks: list[Block], samples: int) -> list[Block]:
    """Merges all blocks into one: a recording that the caller drives is one block, however often it was read."""
    return [block.model_copy(update={"samples": samples}) for block in thinned(blocks, 1)]

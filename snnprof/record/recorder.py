"""Recorder: attaches to a model, sums what happens on the device, detaches. It only observes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from snnprof.activity import (
    KINDS,
    PART_COUNTS,
    Activity,
    Block,
    ConstantOp,
    Finding,
    ModelFacts,
    NeuronRecord,
    OpRecord,
    Run,
    Uncounted,
)
from snnprof.merging import thinned
from snnprof.record import findings, measure, neurons, provenance, seen_time, timeaxis, torch_private, values
from snnprof.record.accumulate import CountLog
from snnprof.record.call_sites import CallSites
from snnprof.record.counters import NeuronCounter
from snnprof.record.direct_calls import Calls
from snnprof.record.dispatch import OperatorMode, plain_kernels
from snnprof.record.memory import WORKSPACE
from snnprof.record.neurons import NeuronLayer
from snnprof.record.provenance import Facts
from snnprof.record.read.operand import Steps
from snnprof.record.recording import Recording
from snnprof.record.suspend import Suspended, Unseen
from snnprof.record.timeaxis import TimeDim
from snnprof.record.torch_private import tree_leaves


@dataclass
class _Candidate:
    """A module that may turn out to be a neuron, as it was entered.

    Attributes:
        facts: of the first tensor that goes in.
        state: of its own attributes.
        decisions, calls: how many of the pass's decisions, and of its calls of neurons, came before.
    """

    facts: list[Facts]
    state: dict[str, Any]
    decisions: int
    calls: int


class _Hook:
    """A hook of a recorder on one module. A copy of the module has one that does nothing, since nobody records it."""

    __slots__ = ("name", "recorder")

    def __init__(self, recorder: Recorder, name: str) -> None:
        self.recorder, self.name = recorder, name

    def __reduce__(self) -> Any:
        return _no_hook, ()


class _Entering(_Hook):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.recorder._watches():
            with (
                torch_private.functions_disabled(),
                torch_private.untraced(),
            ):  # what is asked of tensors here is none of its calls
                self.recorder._enter(module, self.name, args, kwargs)


class _Leaving(_Hook):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if self.recorder._watches(self.name):
            with torch_private.functions_disabled(), torch_private.untraced():
                self.recorder._leave(module, self.name, args, kwargs, output)


def _no_hook() -> Any:
    """What a hook becomes in a copy of its module."""
    return _does_nothing


def _does_nothing(*args: Any, **kwargs: Any) -> None:
    return None


class Recorder:
    """Counts every contraction and spike of the forward passes that run inside it.

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
            model: any module; nothing of it is changed but hooks while recording.
            layout: what the first axes of its input are: `batch`, `time-batch`, `batch-time` or `step`.
            timesteps: T, where it is known; without it spikes and kinds are not told apart by step.
            input: `auto`, `spikes` or `real`: what the model's input is.
            neuron: names of classes and functions to be taken for neurons besides those known.

        Raises:
            SnnprofError: a name in `neuron` occurs nowhere in the model.
        """
        self.model = model
        self.recording = Recording(layout, timesteps, input)
        self._named = tuple(neuron)
        self._names: dict[nn.Module, str] = {module: name for name, module in neurons.named_modules(model)}
        self._handles: list[Any] = []
        self._stack: ExitStack | None = None
        self._thread = 0
        self._led = False  # a caller says where batches end, and learning with the first of them
        self.state_names: set[tuple[nn.Module, str]] = set()  # attributes that the pass wrote data to
        self._start()

    def _start(self) -> None:
        """Nothing is known and nothing is counted yet."""
        self.log = CountLog()
        self.watched, functions = neurons.watched(self.model, self._named)
        self.sites = CallSites(self.recording, self.log, functions)
        self.seen_time = seen_time.SeenTime()
        self._neurons: dict[nn.Module, NeuronCounter] = {}
        self._neuron_steps: dict[nn.Module, Steps | None] = {}
        self._candidates: dict[nn.Module, _Candidate] = {}
        self._neuron_calls: list[nn.Module] = []
        self._entered: list[tuple[nn.Module, bool]] = []
        self._calls, self._operators = Calls(self.sites), OperatorMode(self.sites)
        self._unwatched: dict[nn.Module, Suspended] = {}  # layers inside which nothing needs watching
        self._batches = 0
        self._passes = 0
        self._sequences_ended = 0
        self._known: tuple[Any, ...] = ()  # what decided how the pass before was counted
        self._state_facts: dict[tuple[nn.Module, str], list[Facts | None]] = {}
        self._inputs_facts: list[Facts | None] = []
        self._blocks: list[tuple[int, int | None]] = []
        self._ran: set[str] = set()

    def learn_from_first_batch(self) -> None:
        """Learning ends with the first batch, whatever it teaches: so do all processes of a run learn alike."""
        self._led = True

    def new_sequence(self) -> None:
        """Says that the next pass is the first step of another sequence, where the caller loops over the steps."""
        self._sequences_ended += 1
        self._end_sequence()

    def _end_sequence(self) -> None:
        for op in self.sites.ops.values():
            op.end_batch()
        for neuron in [*self._neurons.values(), *self.sites.firing.counters()]:
            neuron.end_batch()

    def tell_steps(self, timesteps: int) -> None:
        """Goes on with the number of time steps that the first pass ran in calls of their own."""
        self.recording.timesteps = timesteps
        for counter in [*self._neurons.values(), *self.sites.firing.counters()]:
            counter.tell_steps(timesteps)

    def restart(self, timesteps: int) -> None:
        """Forgets what was learned and counted, and begins again with another number of time steps."""
        self.detach()
        self.recording.timesteps = timesteps
        self.recording.notes.clear()
        self._start()
        self.attach()

    @property
    def layout(self) -> str:
        """The first axes of the model's input."""
        return self.recording.layout

    @property
    def timesteps(self) -> int | None:
        """T; null where it is not known."""
        return self.recording.timesteps

    @property
    def batch_size(self) -> int | None:
        """Samples in the pass that runs, or ran last."""
        return self.recording.batch_size

    def note(self, code: str, layer: str, text: str, hint: str) -> None:
        """Adds a finding."""
        self.recording.note(code, layer, text, hint)

    # -- attach and detach ---------------------------------------------------------------------------------

    def __enter__(self) -> Recorder:
        self._thread = threading.get_ident()
        self.attach()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()
        WORKSPACE.clear()

    def attach(self) -> None:
        """Attaches, where it is not attached."""
        if self._stack is not None:
            return
        self._stack = ExitStack()
        try:
            self._stack.callback(self._detach)
            self._attach()
            self._stack.enter_context(plain_kernels())
            for module, name in self._names.items():
                self.sites.know_weights(module, name)
            self._stack.enter_context(self._operators)
            self._stack.enter_context(self._calls)
        except BaseException:
            self.detach()
            raise

    def detach(self) -> None:
        """Detaches; what was learned and counted stays."""
        while self._unwatched:  # where something else than an error ended a pass
            self._unwatched.popitem()[1].close()
        if self._stack is not None:
            self._stack.close()
            self._stack = None

    def _attach(self) -> None:
        for module, name in self._names.items():
            # Scripted modules hide these methods behind ones that refuse; the hooks themselves work.
            before = nn.Module.register_forward_pre_hook(module, _Entering(self, name), with_kwargs=True)
            after = nn.Module.register_forward_hook(module, _Leaving(self, name), with_kwargs=True, always_call=True)
            self._handles += [before, after]

    def _detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.sites.path.clear()
        self.sites.neurons.clear()
        self._entered.clear()
        self._candidates.clear()

    # -- hooks ---------------------------------------------------------------------------------------------

    def _enter(self, module: nn.Module, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        sites, neuron = self.sites, module in self.watched
        if neuron or sites.learning or not sites.path:
            with Unseen():
                self._look_at(module, name, _tensors((args, kwargs)), neuron)
        sites.path.append(name)
        self._entered.append((module, neuron))
        suspends = neuron and not sites.learning and module not in self._unwatched
        if suspends and not sites.contracts_within(name):
            self._unwatched[module] = Suspended(self._calls, self._operators)

    def _look_at(self, module: nn.Module, name: str, inputs: list[Tensor], neuron: bool) -> None:
        """What goes into the outermost module, a neuron layer, or on the first batch into what may turn out one."""
        if not self.sites.path:
            self._begin_pass(inputs)
        if self.sites.learning:
            self.sites.know_weights(module, name)
        if neuron:
            self.sites.neurons.append(name)
            self._drive(module, name, inputs)
        if not self.sites.learning:
            return
        if neuron or not self.sites.neurons:
            self._candidates[module] = _Candidate(
                [facts for facts in map(self.sites.store.get, inputs[:1]) if facts],
                neurons.own_state(module), len(self.sites.decisions.made), len(self._neuron_calls),
            )  # fmt: skip

    def _leave(self, module: nn.Module, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        self._unwind(module)
        self._ran.add(name)
        if output is None:  # an exception passed through
            return
        if module not in self._candidates and module not in self.watched and self.sites.path:
            return
        with Unseen():
            candidate = self._candidates.pop(module, None)
            if candidate is not None and module not in self.watched:
                self._recognise(module, name, _tensors((args, kwargs)), output, candidate)
            if module in self.watched:
                self._see_steps(module, output, candidate)
                self._fire(module, name, output)
        if not self.sites.path:
            self._end_pass(output)

    def _unwind(self, module: nn.Module) -> None:
        """Back to before a module was entered; modules inside it that ran no leaving hook are left too."""
        while any(inside is module for inside, _ in self._entered):
            left, neuron = self._entered.pop()
            if unwatched := self._unwatched.pop(left, None):
                unwatched.close()
            if neuron:
                self.sites.neurons.pop()
            name = self.sites.path.pop()
            if left is module:
                return
            self._candidates.pop(left, None)
            self.note(
                "C33", name, "An exception that is not derived from Exception, such as KeyboardInterrupt, ended this "
                "module and the model went on; operations before the end of the next module may be missing",
                "End a part of the model with a return value, or with an exception derived from Exception",
            )  # fmt: skip

    def _watches(self, leaving: str | None = None) -> bool:
        """Whether a hook runs as part of a forward pass whose operators can be seen."""
        if threading.get_ident() == self._thread:
            return not (torch_private.in_backward() or torch_private.only_described())
        if leaving is not None:
            self._ran.add(leaving)
        self.note(
            "C09", "", "The model runs modules in other threads, where the recorder cannot see operators",
            "Unwrap DataParallel, and choose one device with --device",
        )  # fmt: skip
        return False

    def _begin_pass(self, inputs: list[Tensor]) -> None:
        """The outermost module is called: its inputs are data, unless they are state seen before."""
        self._passes += 1
        self.sites.begin_pass()
        if self.sites.met_new and not self._led:
            self._learn_again(inputs)
        if not inputs:
            return
        first = inputs[0]
        axis = {"time-batch": 0, "batch-time": 1}.get(self.layout)
        if axis is not None and first.dim() > axis:
            self.recording.timesteps = self.timesteps or first.shape[axis]
        rows = 1 if axis == 0 else 0
        self.recording.batch_size = first.shape[rows] if first.dim() > rows else 1
        self.sites.firing.begin_pass()
        if not self.sites.learning:
            if not self._led:
                self.widen_input(first)
            return
        for tensor in inputs:
            if self.sites.store.get(tensor) is None:
                facts = values.of_input(tensor, self.recording.input)
                self._note_input(tensor, facts)
                self.sites.input_facts = self.sites.input_facts or (facts if facts.grid and not facts.signed else None)
                fold = None if axis is None else TimeDim(axis, 1, self.timesteps or 1)
                self.sites.store.set(tensor, facts, timeaxis.axis_of(tensor, fold))
        self._inputs_facts = [self.sites.store.get(tensor) for tensor in inputs]

    def _learn_again(self, inputs: list[Tensor]) -> None:
        """A pass met what no pass before had shown; what it left behind is known by where it lies."""
        self.sites.learn_again()
        for module, name in self._names.items():
            self.sites.know_weights(module, name)
        held = {place: _tensors_held(*place) for place in self._state_facts}
        grown = [place for place, tensors in held.items() if len(tensors) != len(self._state_facts[place])]
        for place in grown:  # a list that gets longer: each of its tensors is like those that were in it
            tensors, known = held.pop(place), [facts for facts in self._state_facts[place] if facts]
            self._know_state(tensors, [provenance.side_by_side(known)] * len(tensors) if known else [])
        for place, tensors in held.items():
            self._know_state(tensors, self._state_facts[place])
        self._know_state(inputs, self._inputs_facts)

    def _know_state(self, tensors: Sequence[Tensor], known: Sequence[Facts | None]) -> None:
        """What an earlier pass made is no input of this one."""
        for tensor, facts in zip(tensors, known, strict=False):
            if facts is not None and facts.fed_by - {provenance.INPUT}:
                self.sites.store.set(tensor, facts)

    def _end_pass(self, output: Any) -> None:
        """The outermost module is left."""
        if not self.sites.learning:
            return
        self.sites.know_outputs(_tensors(output))
        self.seen_time.end_pass(self.sites.ops.values(), self._stateful(), bool(self.sites.decisions.unclear))
        self.state_names |= self._written_state()
        if not self._led:
            self._end_learning_if_nothing_new()

    def _end_learning_if_nothing_new(self) -> None:
        """A pass that teaches nothing ends learning, but not before all steps of a caller's sequence were seen."""
        before, self._known = self._known, self._knowledge()
        whole = self.layout != "step" or self._passes >= (self.timesteps or 1)
        if whole and before == self._known:
            self._state_facts = {
                place: [self.sites.store.get(tensor) for tensor in _tensors_held(*place)] for place in self.state_names
            }
            self._end_learning()

    def _end_learning(self) -> None:
        if not self.sites.learning:
            return
        self.sites.end_learning()
        if self.timesteps is None:
            for op in self.sites.ops.values():
                op.end_learning()
        for counter in [*self._neurons.values(), *self.sites.firing.counters()]:
            counter.end_learning()

    def _knowledge(self) -> tuple[Any, ...]:
        """All that decides how the next pass is counted."""
        grids = {module: counter.grid for module, counter in self._neurons.items()}
        return (
            self.sites.knowledge(), dict(self.watched), grids, dict(self._neuron_steps), set(self.state_names),
            self.batch_size, self.timesteps,
        )  # fmt: skip

    def _stateful(self) -> list[NeuronCounter]:
        """Neuron layers and firing lines that keep state from call to call."""
        layers = [counter for module, counter in self._neurons.items() if self.watched[module].stateful]
        lines = [line for line in self.sites.firing.by_name.values() if line.sites & self.sites.decisions.carrying]
        return layers + [line.counter for line in lines if line.counter is not None]

    def _written_state(self) -> set[tuple[nn.Module, str]]:
        """Attributes that hold what the pass made of its input."""
        return {
            (module, key)
            for module in self._names
            for key, value in [*module.__dict__.items(), *module._buffers.items()]
            if any(map(self._is_made_of_input, _held(value)))
        }

    def _is_made_of_input(self, value: Any) -> bool:
        """By its facts or, for NumPy and numbers, if values of the pass left PyTorch."""
        if not isinstance(value, Tensor):
            return self.sites.left and isinstance(value, np.ndarray | float)
        facts = self.sites.store.get(value)
        return facts is not None and bool(facts.fed_by)

    def is_state(self, module: nn.Module, name: str, value: Any) -> bool:
        """Whether an attribute that was absent or None before is state, and no cache or lazily made weight."""
        return (module, name) in self.state_names

    def widen_input(self, x: Tensor) -> None:
        """A later batch may hold larger event counts than the first one: they are spikes all the same."""
        known = self.sites.input_facts
        if known is None or known.levels is None or not known.quantum or not x.is_cpu or not x.numel():
            return  # a device would have to be waited for
        levels = float(x.max()) / float(known.quantum)
        if (
            known.levels < levels
            and levels.is_integer()
            and (self.recording.input == "spikes" or levels <= values.COUNTS)
        ):
            self.sites.widen_input(int(levels))

    def _note_input(self, tensor: Tensor, facts: Facts) -> None:
        if self.recording.input == "auto" and facts.levels is not None and facts.levels > 1:
            self.note(
                "C08", "", f"The model's input holds whole numbers up to {facts.levels}, which count as events",
                "Pass --input real for pixel values, or --input spikes to confirm",
            )  # fmt: skip
        elif self.recording.input == "spikes" and values.smallest_step(tensor) is None:
            self.note(
                "C08", "", "--input spikes was given, but the values of the input have no common step; those that are "
                "not whole numbers count as real", "Pass the input before normalisation",
            )  # fmt: skip
        image = tensor.dim() > 2 and facts.grid is None and self.recording.input != "spikes"
        self.sites.raw_input |= image and values.raw_bytes(tensor)

    # -- neurons -------------------------------------------------------------------------------------------

    def _drive(self, module: nn.Module, name: str, inputs: list[Tensor]) -> None:
        counter = self._neuron(module, name)
        if not inputs:
            return
        if not neurons.recurrent(module):
            counter.drive(neurons.values(name, inputs[0]))
        if self.sites.learning:
            self._neuron_calls.append(module)
            facts = self.sites.store.get(inputs[0])
            for op in facts.ops if facts else ():
                self.sites.by_id[op].feeds.add(name)

    def _recognise(
        self, module: nn.Module, name: str, inputs: list[Tensor], output: Any, candidate: _Candidate
    ) -> None:
        """Whether a module is a hand-written neuron: the smallest with state, or that turns real into spikes."""
        position, decisions = self._spikes_among(output), len(self.sites.decisions.made) - candidate.decisions
        if position is None or not decisions or self.sites.contracts_below(name):
            return
        inner = {module for module in self._neuron_calls[candidate.calls :] if module in self.watched}
        if any(self.watched[m].stateful for m in inner):
            return
        stateful = (
            neurons.wrote_state(candidate.state, module) or self.sites.decisions.steps_since(candidate.decisions) > 1
        )
        was_real = bool(candidate.facts) and candidate.facts[0].data and candidate.facts[0].grid is None
        if stateful or (was_real and not inner and not self.sites.contracts_at(name)):
            self._take_in(inner, name)
            self.watched[module] = NeuronLayer(neurons.picking(position), "behaviour", stateful)
            self._neuron_calls.append(module)
            self._drive(module, name, inputs)

    def _spikes_among(self, output: Any) -> int | None:
        """Which of the tensors that a module puts out holds spikes."""
        for position, tensor in enumerate(_tensors(output)):
            facts = self.sites.store.get(tensor)
            if facts and facts.data and facts.grid and facts.grid is not None:
                return position
        return None

    def _take_in(self, inner: set[nn.Module], name: str) -> None:
        """What was taken for neurons inside a module that turns out to be one is part of it."""
        for module in inner:
            del self.watched[module], self._neurons[module]
            self.sites.renamed[self._names[module]] = name
        for line in self.sites.firing.within(name):
            self.sites.renamed[line] = name
        self.sites.forget_lines(name)

    def _see_steps(self, module: nn.Module, output: Any, candidate: _Candidate | None) -> None:
        """How many steps a neuron layer made of one call, on the first batch."""
        if not self.sites.learning or candidate is None:
            return
        watched = self.watched[module]
        if watched.found_by == "named" and not watched.stateful and neurons.wrote_state(candidate.state, module):
            self.watched[module] = replace(watched, stateful=True)
        spikes = watched.kind.spikes(output)
        if spikes is None or not spikes.dim():
            return
        along = watched.kind.time_first(module)
        steps = spikes.shape[0] if along else self.sites.decisions.steps_since(candidate.decisions)
        if steps in spikes.shape or steps == 1:
            self.seen_time.of_call(self._names[module], steps, tuple(spikes.shape))

    def _fire(self, module: nn.Module, name: str, output: Any) -> None:
        spikes = self.watched[module].kind.spikes(output)
        counter = self._neuron(module, name)
        if spikes is None:
            return
        spikes = neurons.values(name, spikes)
        if neurons.recurrent(module):
            counter.drive_all(spikes.numel())
        if self.sites.learning:
            self._learn_spikes(module, name, spikes, counter)
        counter.fire(spikes, self._neuron_steps.get(module), self.batch_size, counter.grid)
        if counter.source is not None:
            counter.source.observe(spikes, counter.grid)

    def _learn_spikes(self, module: nn.Module, name: str, spikes: Tensor, counter: NeuronCounter) -> None:
        """What comes out of a neuron layer: on the grid that its own operators make, or else that its values show."""
        facts = values.of_neuron(spikes, self.sites.store.get(spikes), name)
        if facts.grid is None:
            self.note(
                "C07", name, "The output of this neuron layer is graded; layers that read it count as real-valued",
                "If it is no spiking neuron, leave it out of --neuron",
            )  # fmt: skip
        elif not facts.single:
            counter.source = counter.source or self.sites.firing.sources.new()
            facts = provenance.from_source(facts, counter.source.index)
        grid = measure.grid_of(facts)
        counter.grid = grid if counter.grid.quantum is None else counter.grid._replace(
            levels=max(counter.grid.levels, grid.levels), signed=counter.grid.signed or grid.signed
        )  # fmt: skip
        fold = None
        if self.timesteps and self.watched[module].kind.time_first(module) and spikes.shape[0] == self.timesteps:
            fold = TimeDim(0, 1, self.timesteps)
        axis = timeaxis.axis_of(spikes, fold) or self.sites.store.time(spikes)
        self.sites.store.set(spikes, facts, axis)
        self._neuron_steps[module] = self.sites.steps.of(spikes)

    def name_of(self, module: nn.Module) -> str:
        """The path of a module in the model; `""` is the model itself."""
        return str(self._names[module])

    def neuron_counter(self, module: nn.Module) -> NeuronCounter:
        """The sums of a neuron layer that has run."""
        return self._neurons[module]

    def steps_of_neuron(self, module: nn.Module) -> Steps | None:
        """Where the time steps lie in a neuron layer's output, as learned on the first batch."""
        return self._neuron_steps.get(module)

    def _neuron(self, module: nn.Module, name: str) -> NeuronCounter:
        if module not in self._neurons:
            found_by = self.watched[module].found_by
            self._neurons[module] = NeuronCounter(self.log, name, type(module).__name__, found_by, self.timesteps)
        return self._neurons[module]

    # -- batches and blocks --------------------------------------------------------------------------------

    def end_batch(self) -> None:
        """Says that the next pass starts a new batch of fresh sequences; what was learned is used from here on."""
        self._led = True
        self._batches += 1
        self._end_learning()
        self._end_sequence()

    def end_block(self, samples: int, correct: int | None = None) -> None:
        """Reads the device's sums back: the one synchronisation of a block of whole batches."""
        self.log.end_block()
        self._blocks.append((samples, correct))

    # -- the result ----------------------------------------------------------------------------------------

    def activity(self, samples: int | None = None, timesteps: int | None = None) -> Activity:
        """What was counted so far.

        Args:
            samples: how many samples ran, where the caller drove the passes.
            timesteps: T, where the caller looped over the steps.

        Returns:
            An Activity; `steps` is null where neither batches nor T were told.
        """
        told = bool(self._batches)
        if not told:
            self.sites.settle()
            self.end_block(samples or 0)
        batches = self._batches or self._sequences(timesteps)
        if (timesteps or self.timesteps) is None and self.seen_time.unknown:
            batches = None
        total = sum(n for n, _ in self._blocks) if told else samples
        units = self.sites.firing.sources.units()
        spiking = self._neuron_counters()
        ops = self._op_records(batches, units, {counter.layer for counter in spiking})
        neuron_records = [self._neuron_record(counter, batches) for counter in spiking]
        lines = [line for line in self.sites.lines.values() if not (line.forgotten or self._inside_neuron(line.layer))]
        elementwise = [line.record() for line in lines]
        blocks = self._assembled(lines, spiking, units) if total is not None else []
        activity = Activity(
            run=Run(model=self._model_facts(), layout=self.layout, timesteps=timesteps or self.timesteps),
            samples=total,
            ops=ops,
            neurons=neuron_records,
            elementwise=elementwise,
            uncounted=self._uncounted(),
            constant_ops=self._constant_ops(),
            blocks=blocks if told else _one(blocks, samples or 0),
        )
        return activity.model_copy(update={"findings": self.findings(activity)})

    def _sequences(self, timesteps: int | None) -> int | None:
        """How many batches the caller ran, where only T is told: a pass each, or T passes each in a loop."""
        if self._sequences_ended:
            return self._sequences_ended + 1
        folded = any(counter.runs > counter.calls_in_batch for counter in self._neurons.values())
        if timesteps is None or folded:
            return self._passes if (timesteps or self.timesteps) else None
        return self._passes // timesteps if self._passes % timesteps == 0 else None

    # -- rows ----------------------------------------------------------------------------------------------

    def _neuron_counters(self) -> list[NeuronCounter]:
        """Neuron layers, and the firing lines whose spikes something reads."""
        lines = self.sites.firing.by_name
        read = set(self.sites.read_names)
        for op in self.sites.ops.values():
            for facts, role in zip(op.facts, op.roles, strict=True):
                if role == "data" and facts.grid:
                    read |= facts.fed_by
        kept = [line.counter for name, line in lines.items() if name in read and name not in self.sites.renamed]
        return [*self._neurons.values(), *(counter for counter in kept if counter is not None)]

    def _op_records(self, batches: int | None, units: Sequence[int], known: set[str]) -> list[OpRecord]:
        lines = self.sites.firing.by_name
        feeds = {id(op): {self.sites.now_called(name) for name in op.feeds} & known for op in self.sites.ops.values()}
        for name in known & lines.keys():
            for number in lines[name].ops & feeds.keys():
                feeds[number].add(name)
        records = [op.record(batches, units) for op in self.sites.ops.values()]
        return [
            record.model_copy(
                update={
                    "feeds": sorted(feeds[number]),
                    "operands": [
                        operand.model_copy(update={"fed_by": sorted(self.sites.fed_by(operand.fed_by, known))})
                        for operand in record.operands
                    ],
                }
            )
            for number, record in zip(feeds, records, strict=True)
        ]

    def _neuron_record(self, counter: NeuronCounter, batches: int | None) -> NeuronRecord:
        record = counter.record(batches)
        hidden = self.seen_time.within_calls and self.timesteps is None
        return record.model_copy(update={"size": 0, "fired_bitmap": None, "always_bitmap": None}) if hidden else record

    def _constant_ops(self) -> list[ConstantOp]:
        """Products of weights alone, by layer and kind."""
        sums = self.sites.constant_macs()
        return [ConstantOp(layer=layer, op=op, dense_macs=macs) for (layer, op), macs in sums.items()]

    def _assembled(
        self, lines: list[Any], spiking_counters: Sequence[NeuronCounter], units: Sequence[int]
    ) -> list[Block]:
        count = len(self._blocks)
        width = 2 + len(KINDS) * len(PART_COUNTS)
        ops = [_padded(c.blocks_in(units), count, width) for c in self.sites.ops.values()]
        spiking = [_padded(c.blocks, count, 0) for c in spiking_counters]
        other = [_padded(line.blocks, count, 2) for line in lines]
        return [
            Block(
                samples=samples,
                correct=correct,
                ops=[rows[i] for rows in ops],
                neurons=[rows[i] for rows in spiking],
                elementwise=[rows[i] for rows in other],
            )
            for i, (samples, correct) in enumerate(self._blocks)
        ]

    def _model_facts(self) -> ModelFacts:
        sizes = {name: p.numel() for name, p in nn.Module.named_parameters(self.model) if not is_lazy(p)}
        used = sum(size for name, size in sizes.items() if name in self.sites.used_parameters)
        return ModelFacts(
            source=type(self.model).__name__, name=type(self.model).__name__, parameters=sum(sizes.values()),
            parameters_used=used,
        )  # fmt: skip

    def _uncounted(self) -> list[Uncounted]:
        outside = {key: n for key, n in self.sites.uncounted.items() if not self._inside_neuron(key[0])}
        return [Uncounted(layer=layer, op=op, calls=calls) for (layer, op), calls in outside.items()]

    def _inside_neuron(self, layer: str) -> bool:
        names = [self._names[module] for module in self._neurons]
        return any(neurons.within(layer, name) for name in names)

    # -- findings ------------------------------------------------------------------------------------------

    def findings(self, activity: Activity) -> list[Finding]:
        """What a reader of these counts must know."""
        return [*self.recording.notes, *findings.of_sites(self.sites), *findings.of_activity(activity, self._idle())]

    def _idle(self) -> list[str]:
        """Modules that ran, and whose weight matrices reached no counted operator.

        A matrix of a module with others inside may be a dead parameter, which no operator read at all.
        """
        counted = self.sites.used_parameters | self.sites.late_parameters
        return [
            name
            for module, name in self._names.items()
            if name in self._ran
            and not self._inside_neuron(name)
            and (matrices := self._matrices(module, name))
            and not matrices & counted
            and (matrices & self.sites.read_parameters or not any(True for _ in module.children()))
        ]

    def _matrices(self, module: nn.Module, name: str) -> set[str]:
        """A module's own weight matrices, by the names that they are known by."""
        own = [(key, p) for key, p in module._parameters.items() if p is not None and not is_lazy(p)]
        return {
            self.sites.parameter_name(parameter) or f"{name}.{key}".lstrip(".")
            for key, parameter in own
            if parameter.dim() > 1
        }


def _one(blocks: list[Block], samples: int) -> list[Block]:
    """A user-driven recording is one block, however often it was read."""
    return [block.model_copy(update={"samples": samples}) for block in thinned(blocks, 1)]


def _padded(blocks: list[Any], count: int, width: int) -> list[Any]:
    """A counter that appeared late has nothing in the blocks before."""
    width = len(blocks[0]) if blocks else width
    return [[0] * width] * (count - len(blocks)) + blocks


def _held(value: Any, depth: int = 3) -> Iterator[Any]:
    """What lists, dictionaries and plain objects hold, and what those hold."""
    for leaf in tree_leaves(value):
        own = getattr(leaf, "__dict__", None)
        if own and depth and not isinstance(leaf, Tensor | nn.Module | type):
            for inner in own.values():
                yield from _held(inner, depth - 1)
        else:
            yield leaf


def _tensors_held(module: nn.Module, name: str) -> list[Tensor]:
    """The tensors in an attribute of a module, however nested."""
    value = module._buffers.get(name, module.__dict__.get(name))
    return [leaf for leaf in _held(value) if isinstance(leaf, Tensor)]


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]

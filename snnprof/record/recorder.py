"""Recorder: attaches to a model, sums what happens on the device, detaches. It only observes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from snnprof.activity import (
    KINDS,
    PART_COUNTS,
    Activity,
    Block,
    Finding,
    ModelFacts,
    Run,
    Uncounted,
    thinned,
)
from snnprof.record import findings, layers, measure, neurons, provenance
from snnprof.record.books import Books
from snnprof.record.calls import Calls
from snnprof.record.counters import NeuronCounter
from snnprof.record.dispatch import Watcher, in_backward, plain_kernels
from snnprof.record.layers import Sole
from snnprof.record.ledger import Ledger
from snnprof.record.neurons import Watched
from snnprof.record.provenance import Facts, Folding
from snnprof.record.recall import RECALL
from snnprof.record.reduce import SCRATCH, Steps, fitting
from snnprof.record.tally import nonzero_total
from snnprof.record.unwatched import Undispatched, Unwatched


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
            neuron: class names to be taken for neuron layers besides those known.

        Raises:
            SnnprofError: a class in `neuron` occurs nowhere in the model.
        """
        self.model = model
        self.layout = layout
        self.timesteps = timesteps
        self.input = input
        self.batch_size: int | None = None
        self.ledger = Ledger()
        self.watched: dict[nn.Module, Watched] = neurons.watched(model, neuron)
        self.books = Books(self)
        self._names: dict[nn.Module, str] = {module: name for name, module in model.named_modules()}
        self._neurons: dict[nn.Module, NeuronCounter] = {}
        self._neuron_steps: dict[nn.Module, Steps | None] = {}
        self._candidates: dict[nn.Module, tuple[list[Facts], dict[str, Any]]] = {}
        self._entered: list[bool] = []
        self._calls, self._watcher = Calls(self.books), Watcher(self.books)
        self._unwatched: dict[nn.Module, Unwatched | Undispatched] = {}  # layers inside which nothing needs watching
        self._notes: list[Finding] = []
        self._handles: list[Any] = []
        self._stack: ExitStack | None = None
        self._batches = 0
        self._passes = 0
        self._blocks: list[tuple[int, int | None]] = []
        self._ran: set[str] = set()
        self._thread = 0

    # -- attach and detach ---------------------------------------------------------------------------------

    def __enter__(self) -> Recorder:
        self._thread = threading.get_ident()
        self.step_in()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.step_aside()
        SCRATCH.clear()
        RECALL.end()

    def step_in(self) -> None:
        """Attaches, where it is not attached."""
        if self._stack is not None:
            return
        self._stack = ExitStack()
        try:
            self._stack.callback(self._detach)
            self._attach()
            self._stack.enter_context(plain_kernels())
            self.books.know_parameters(self.model)
            self._stack.enter_context(self._watcher)
            self._stack.enter_context(self._calls)
        except BaseException:
            self.step_aside()
            raise

    def step_aside(self) -> None:
        """Detaches; what was learned and counted stays."""
        while self._unwatched:  # where something else than an error ended a pass
            self._unwatched.popitem()[1].close()
        if self._stack is not None:
            self._stack.close()
            self._stack = None

    def _attach(self) -> None:
        for module, name in self._names.items():
            # Scripted modules hide these methods behind ones that refuse; the hooks themselves work.
            before = nn.Module.register_forward_pre_hook(module, self._entering(name), with_kwargs=True)
            after = nn.Module.register_forward_hook(module, self._leaving(name), with_kwargs=True, always_call=True)
            self._handles += [before, after]

    def _detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.books.path.clear()
        self.books.neurons.clear()
        self._entered.clear()
        self._candidates.clear()

    # -- hooks ---------------------------------------------------------------------------------------------

    def _entering(self, name: str) -> Any:
        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if self._watches():
                with torch._C.DisableTorchFunction():  # what is asked of tensors here is none of the model's calls
                    self._enter(module, name, args, kwargs)

        return enter

    def _enter(self, module: nn.Module, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        books, neuron = self.books, module in self.watched
        if neuron or books.learning or not books.path:
            with Undispatched():
                self._look_at(module, name, _tensors((args, kwargs)), neuron)
        books.path.append(name)
        self._entered.append(neuron)
        if books.learning or module in self._unwatched:
            return
        if neuron:
            if not books.contracts_within(name):
                self._unwatched[module] = Unwatched(self._calls, self._watcher)
        elif name in books.soles and not books.neurons and not kwargs and len(args) == 1:
            self._count_sole(module, books.soles[name], args[0])

    def _count_sole(self, module: nn.Module, sole: Sole, given: Any) -> None:
        """A layer that runs one contraction and nothing else is counted as it is entered, and left alone."""
        alone = torch._C._len_torch_dispatch_stack() == 1  # else another mode may want to see what runs
        if not alone or not layers.is_sole(module, sole, given):
            return
        unwatched = Undispatched()
        form = layers.contraction(module, sole, given)
        if form is not None:
            self.books.contraction_at(sole.site, form)
            self._unwatched[module] = unwatched

    def _look_at(self, module: nn.Module, name: str, inputs: list[Tensor], neuron: bool) -> None:
        """What goes into the outermost module, a neuron layer, or on the first batch into what may turn out one."""
        if not self.books.path:
            self._begin_pass(inputs)
        if neuron:
            self.books.neurons.append(name)
            self._drive(module, name, inputs)
        elif self.books.learning and layers.can_be_sole(module) and len(inputs) == 1:
            self.books.given = inputs[0]
        elif self.books.learning and not self.books.neurons and neurons.could_be_neuron(module):
            self._candidates[module] = self._facts_of(inputs[:1]), neurons.snapshot(module)

    def _leaving(self, name: str) -> Any:
        def leave(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            if self._watches(name):
                with torch._C.DisableTorchFunction():
                    self._leave(module, name, args, kwargs, output)

        return leave

    def _leave(self, module: nn.Module, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if unwatched := self._unwatched.pop(module, None):
            unwatched.close()
        if self._entered and self._entered.pop():
            self.books.neurons.pop()
        if self.books.path:
            self.books.path.pop()
        self._ran.add(name)
        self.books.given = None
        if output is None:  # an exception passed through
            return
        if module not in self._candidates and module not in self.watched:
            return
        with Undispatched():
            if module in self._candidates:
                self._recognise(module, name, _tensors((args, kwargs)), output)
            if module in self.watched:
                self._fire(module, name, output)

    def _watches(self, leaving: str | None = None) -> bool:
        """Whether a hook runs as part of a forward pass whose operators can be seen."""
        if threading.get_ident() == self._thread:
            return not in_backward()
        if leaving is not None:
            self._ran.add(leaving)
        self.note(
            "C09", "", "the model runs modules in other threads, where operators cannot be seen",
            "unwrap DataParallel, and pass --device for one device",
        )  # fmt: skip
        return False

    def _begin_pass(self, inputs: list[Tensor]) -> None:
        """The outermost module is called: its inputs are data, unless they are state seen before."""
        self._passes += 1
        RECALL.clear()  # what is written between passes is not seen
        self.books.store.forget_dead()
        if not inputs:
            return
        first = inputs[0]
        axis = {"time-batch": 0, "batch-time": 1}.get(self.layout)
        if axis is not None and first.dim() > axis:
            self.timesteps = self.timesteps or first.shape[axis]
        rows = 1 if axis == 0 else 0
        self.batch_size = first.shape[rows] if first.dim() > rows else 1
        if not self.books.learning:
            return
        for tensor in inputs:
            if self.books.store.get(tensor) is None:
                facts = provenance.of_input(tensor, self.input)
                self._note_input(facts)
                fold = None if axis is None else Folding(axis, 1, self.timesteps or 1)
                self.books.store.set(tensor, facts, provenance.axis_of(tensor, fold))

    def _note_input(self, facts: Facts) -> None:
        if self.input == "auto" and facts.quantum is not None and facts.levels > 1:
            self.note(
                "C08",
                "",
                f"the model's input holds whole numbers up to {facts.levels} and was taken for event counts",
                "pass --input real if they are pixel values, or --input spikes to silence this",
            )

    # -- neurons -------------------------------------------------------------------------------------------

    def _drive(self, module: nn.Module, name: str, inputs: list[Tensor]) -> None:
        counter = self._neuron(module, name)
        if not inputs:
            return
        if not neurons.recurrent(module):
            counter.drive(nonzero_total(neurons.values(name, inputs[0])), inputs[0].device)
        if self.books.learning:
            facts = self.books.store.get(inputs[0])
            for op in facts.ops if facts else ():
                self.books.by_id[op].feeds.add(name)

    def _recognise(self, module: nn.Module, name: str, inputs: list[Tensor], output: Any) -> None:
        """An innermost module without weights that turned real input into spikes is a hand-written neuron."""
        before, initial = self._candidates.pop(module)
        result = neurons.first_tensor(output)
        after = self.books.store.get(result) if result is not None else None
        was_real = bool(before) and before[0].data and before[0].quantum is None
        if after and was_real and after.data and after.quantum == 1 and after.levels == 1:
            self.watched[module] = Watched(neurons.HAND_WRITTEN, "behaviour", initial)
            self.books.forget_lines(name)
            self._drive(module, name, inputs)

    def _fire(self, module: nn.Module, name: str, output: Any) -> None:
        spikes = self.watched[module].kind.spikes(output)
        counter = self._neuron(module, name)
        if spikes is None:
            return
        spikes = neurons.values(name, spikes)
        if neurons.recurrent(module):
            counter.drive(spikes.numel(), spikes.device)
        if self.books.learning:
            self._learn_spikes(module, name, spikes, counter)
        steps = fitting(self._neuron_steps.get(module), spikes.shape)
        fired = measure.fired(spikes, steps, self.batch_size, counter.levels)
        counter.fire(fired, spikes.numel())

    def _learn_spikes(self, module: nn.Module, name: str, spikes: Tensor, counter: NeuronCounter) -> None:
        """What comes out of a neuron layer: its quantum is 1, and only its first values tell its levels."""
        facts = provenance.of_input(spikes, "spikes", name)
        if not provenance.whole_numbers(spikes.detach().float()):
            self.note(
                "C07", name, f"neuron layer {name!r} puts out graded values; what it feeds counts as real",
                "if it is no spiking neuron, leave it out of --neuron",
            )  # fmt: skip
            facts = provenance.real([name])
        known = self.books.store.get(spikes)
        if known and known.quantum == 1 and known.levels <= 15 and (known.levels > facts.levels or known.signed):
            facts = provenance.spikes([name], known.levels, known.signed)
        counter.levels = max(counter.levels, facts.levels + facts.signed)  # 1 stands for 0 and 1 alone
        fold = None
        if self.timesteps and self.watched[module].kind.time_first(module) and spikes.shape[0] == self.timesteps:
            fold = Folding(0, 1, self.timesteps)
        axis = provenance.axis_of(spikes, fold) or self.books.store.time(spikes)
        self.books.store.set(spikes, facts, axis)
        self._neuron_steps[module] = self.books.steps.of(spikes)

    def name_of(self, module: nn.Module) -> str:
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
            self._neurons[module] = NeuronCounter(self.ledger, name, type(module).__name__, found_by, self.timesteps)
        return self._neurons[module]

    def _facts_of(self, tensors: list[Tensor]) -> list[Facts]:
        return [facts for facts in (self.books.store.get(t) for t in tensors) if facts]

    # -- batches and blocks --------------------------------------------------------------------------------

    def end_batch(self) -> None:
        """Says that the next pass starts a new batch of fresh sequences; what was learned is used from here on."""
        self._batches += 1
        self.books.end_batch()
        for counter in self._neurons.values():
            counter.calls_in_batch = 0

    def end_block(self, samples: int, correct: int | None = None) -> None:
        """Reads the device's sums back: the one synchronisation of a block of whole batches."""
        self.ledger.drain()
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
            self.books.settle()
            self.end_block(samples or 0)
        batches = self._batches or self._sequences(timesteps)
        total = sum(n for n, _ in self._blocks) if told else samples
        ops = [counter.record(batches) for counter in self.books.ops.values()]
        spiking = [counter.record(batches, total) for counter in self._neurons.values()]
        lines = [line for line in self.books.lines.values() if not (line.forgotten or self._inside_neuron(line.layer))]
        elementwise = [line.record() for line in lines]
        blocks = self._assembled(lines) if total is not None else []
        activity = Activity(
            run=Run(model=self._model_facts(), layout=self.layout, timesteps=timesteps or self.timesteps),
            samples=total,
            ops=ops,
            neurons=spiking,
            elementwise=elementwise,
            uncounted=self._uncounted(),
            blocks=blocks if told else _one(blocks, samples or 0),
        )
        return activity.model_copy(update={"findings": self.findings(activity)})

    def _sequences(self, timesteps: int | None) -> int | None:
        """How many batches the caller ran, where only T is told: a pass each, or T passes each in a loop."""
        folded = any(counter.runs > counter.calls_in_batch for counter in self._neurons.values())
        if timesteps is None or folded:
            return self._passes if (timesteps or self.timesteps) else None
        return self._passes // timesteps if self._passes % timesteps == 0 else None

    def _assembled(self, lines: list[Any]) -> list[Block]:
        count = len(self._blocks)
        ops = [_padded(c.blocks, count, 2 + len(KINDS) * len(PART_COUNTS)) for c in self.books.ops.values()]
        spiking = [_padded(c.blocks, count, 0) for c in self._neurons.values()]
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
        sizes = {name: p.numel() for name, p in self.model.named_parameters()}
        used = sum(size for name, size in sizes.items() if name in self.books.used_parameters)
        return ModelFacts(
            source=type(self.model).__name__, name=type(self.model).__name__, parameters=sum(sizes.values()),
            parameters_used=used,
        )  # fmt: skip

    def _uncounted(self) -> list[Uncounted]:
        outside = {key: n for key, n in self.books.uncounted.items() if not self._inside_neuron(key[0])}
        return [Uncounted(layer=layer, op=op, calls=calls) for (layer, op), calls in outside.items()]

    def _inside_neuron(self, layer: str) -> bool:
        names = [self._names[module] for module in self._neurons]
        return any(neurons.within(layer, name) for name in names)

    # -- findings ------------------------------------------------------------------------------------------

    def note(self, code: str, layer: str, text: str, hint: str) -> None:
        finding = Finding(code=code, layer=layer, text=text, hint=hint)
        if finding not in self._notes:
            self._notes.append(finding)

    def findings(self, activity: Activity) -> list[Finding]:
        """What a reader of these counts must know."""
        return [*self._notes, *findings.of_books(self.books), *findings.of_activity(activity, self._idle())]

    def _idle(self) -> list[str]:
        """Modules that ran, and whose weight matrices reached no counted operator.

        A matrix of a module with others inside may be a dead parameter, which no operator read at all.
        """
        counted = self.books.used_parameters | self.books.late_parameters
        return [
            name
            for module, name in self._names.items()
            if name in self._ran
            and not self._inside_neuron(name)
            and (matrices := _matrices(module, name))
            and not matrices & counted
            and (matrices & self.books.read_parameters or not any(True for _ in module.children()))
        ]


def _matrices(module: nn.Module, name: str) -> set[str]:
    own = module.named_parameters(recurse=False)
    return {f"{name}.{key}".lstrip(".") for key, parameter in own if parameter.dim() > 1}


def _one(blocks: list[Block], samples: int) -> list[Block]:
    """A user-driven recording is one block, however often it was read."""
    return [block.model_copy(update={"samples": samples}) for block in thinned(blocks, 1)]


def _padded(blocks: list[Any], count: int, width: int) -> list[Any]:
    """A counter that appeared late has nothing in the blocks before."""
    width = len(blocks[0]) if blocks else width
    return [[0] * width] * (count - len(blocks)) + blocks


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]

"""The same counting inside torch.compile: the graph itself returns the counts of its own operands.

Dynamo's graph is wrapped in a module that interprets it under a dispatch mode while AOTAutograd traces, so each
counting rule becomes a part of the compiled graph, and its result one more output of it. What each operation is was
learned on one eager batch: the traced operations of each layer must be those of that batch, in order.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from snnprof.errors import SnnprofError, first_line
from snnprof.record import contractions, measure, neurons, torch_private
from snnprof.record.accumulate import Series
from snnprof.record.counters import LineCounter, NeuronCounter, OpCounter, Source, neurons_of
from snnprof.record.elementwise import work
from snnprof.record.firing import FiringLine
from snnprof.record.operators import decompose, operator, reading
from snnprof.record.overloads import changed, overload_of
from snnprof.record.read import read
from snnprof.record.read.operand import ANY, FIGURES, Grid, Steps, Sums, fitting, folded
from snnprof.record.read.reference import traced
from snnprof.record.script import Call, firing_family
from snnprof.record.store import storage_key
from snnprof.record.torch_private import TorchDispatchMode, tree_leaves

if TYPE_CHECKING:
    from snnprof.record.recorder import Recorder

_ROOT = re.compile(r"^L\['\w+'\]\.?")
_NO_OPERATION = ("placeholder", "get_attr", "output")


class NotCompiled(Exception):
    """The model does not compile into one graph whose operations are those of the eager batch."""


class OtherOperations(SnnprofError):
    """The compiled graph runs other operations than the eager batch did: its counts would belong to no row."""

    def __init__(self, message: str) -> None:
        super().__init__(f"the compiled graph is not the network that was counted: {message}", "run without --compile")


class Row(NamedTuple):
    """What one traced operation adds at each run.

    Attributes:
        then: adds what shapes tell.
        series: says what takes the row of counts that the graph returns, in this run.
        counts: that row, int64 zeros when it is made.
        by_neuron: a neuron layer, and its spikes by neuron, which the graph returns as well.
        looped: whether it is counted in a loop that the model runs anyway.
    """

    then: Callable[[], object] = tuple
    series: Callable[[], Series] | None = None
    counts: Tensor | None = None
    by_neuron: tuple[NeuronCounter, Tensor] | None = None
    looped: bool = False

    @property
    def tensors(self) -> list[Tensor]:
        """What the graph returns."""
        counted = [] if self.counts is None else [self.counts]
        return counted if self.by_neuron is None else [*counted, self.by_neuron[1]]


class CompiledModel:
    """A model as one compiled graph that counts; what it counts goes into a recorder's call sites.

    The recorder has watched one eager batch with `keep_script`; its hooks are detached. Batches have the shape of the
    first one called.
    """

    def __init__(self, model: nn.Module, recorder: Recorder) -> None:
        self.recorder = recorder
        self.mismatch: OtherOperations | None = None
        self._counted: tuple[list[Row], Sequence[Tensor]] | None = None
        self._nodes: tuple[tuple[str, ...], ...] | None = None
        self._model = model

    @functools.cached_property
    def _run(self) -> Callable[..., Any]:
        """Made by the first call, since nothing can be compiled while the recorder is attached."""
        return torch.compile(self._model, backend=self._backend, fullgraph=True, dynamic=False)

    def __call__(self, *inputs: Tensor) -> Any:
        """Runs one batch and adds its counts.

        Raises:
            NotCompiled: the model does not compile into one graph.
            OtherOperations: it does, but runs other operations than the eager batch did.
        """
        self._counted = None
        try:
            result = self._run(*inputs)
        except Exception as error:
            if self.mismatch is not None:
                raise self.mismatch from error
            raise NotCompiled(_reason(error)) from error
        if self._counted is None:
            raise NotCompiled("the compiled graph returned no counts")
        self._add(*self._counted)
        return result

    def _backend(self, graph: fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        """Compiles one graph. There are several where the model's own attributes change: each keeps its own rows."""
        self._must_be_the_first(graph)
        counting = _CountingGraph(graph, self)
        outputs = len(tree_leaves(_output(graph.graph).args[0]))
        compiled = _inductor(counting, inputs)
        rows = counting.rows

        def run(*args: Any) -> Any:
            results = compiled(*args)
            self._counted = rows, results[outputs:]
            return results[:outputs]

        return run

    def _add(self, rows: Sequence[Row], counts: Sequence[Tensor]) -> None:
        """Adds what the graph of these rows returned."""
        if len(counts) != sum(len(row.tensors) for row in rows):
            raise NotCompiled("the compiled graph returned another number of counts than was traced")
        found = iter(counts)
        for row in rows:
            if row.series is not None:
                self.recorder.log.copy(row.series(), next(found))
            if row.by_neuron is not None:
                row.by_neuron[0].add_by_neuron(next(found))
            row.then()

    def _must_be_the_first(self, graph: fx.GraphModule) -> None:
        """A later graph is compiled of the same operations, or none is: the script tells those of the first batch."""
        nodes = tuple(_signature(node) for node in graph.graph.nodes if node.op not in _NO_OPERATION)
        if self._nodes is not None and self._nodes != nodes:
            raise NotCompiled("it runs other operations than it did in batches before")
        self._nodes = nodes


def _signature(node: fx.Node) -> tuple[str, ...]:
    """What a node runs, in which layer, on what shape of result."""
    shape = getattr(node.meta.get("example_value"), "shape", None)
    return node.op, str(node.target), _layer(node), str(shape)


def _reason(error: Exception) -> str:
    """Why the compiler failed; that its backend did is all that the outermost error says."""
    return first_line(getattr(error, "inner_exception", error))


class _CountingGraph(nn.Module):
    """Dynamo's graph with the counts as further outputs."""

    def __init__(self, graph: fx.GraphModule, owner: CompiledModel) -> None:
        super().__init__()
        self.graph_module = graph
        self.owner = owner
        self.rows: list[Row] = []

    def forward(self, *args: Any) -> tuple[Any, ...]:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        trace = Trace(self.owner.recorder, self.graph_module)
        try:
            with traced(), sdpa_kernel(SDPBackend.MATH):
                results = _Walk(self.graph_module, trace).run(*args)
            trace.finish()
        except OtherOperations as mismatch:
            self.owner.mismatch = mismatch  # the compiler wraps what it catches
            raise
        self.rows[:] = trace.rows  # AOTAutograd traces more than once: the last trace is the graph
        return (*results, *(tensor for row in trace.rows for tensor in row.tensors))


class _Walk(fx.Interpreter):
    """Runs the graph node by node, telling the trace which module each belongs to."""

    def __init__(self, graph: fx.GraphModule, trace: Trace) -> None:
        super().__init__(graph)
        self.trace = trace

    def run_node(self, n: fx.Node) -> Any:
        if n.op in _NO_OPERATION:
            return super().run_node(n)
        trace = self.trace
        trace.layer = _layer(n)
        if n in trace.entering:
            trace.enter(trace.entering[n], [self.env[source] for source in trace.sources[n]])
        with _Mode(trace):
            result = super().run_node(n)
        if n in trace.leaving:
            name, output = trace.leaving[n]
            trace.drive()
            trace.fire(name, result if output is n else self.env[output])
        return result


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees the operators of one node."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = trace

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        overload = overload_of(func)
        name = overload.name
        form = reading(name, args, kwargs)
        if form is None and operator(name).rewrite:
            with self:
                opened = decompose(func, args, kwargs)
            if opened is not None:
                return opened
        if form is not None:
            self.trace.contraction(form)
        elif overload.writes and not overload.free:
            self.trace.other(name, args, changed(name, args, kwargs))
        if overload.writes and isinstance(args[0], Tensor):
            self.trace.overwrite(args[0])
        result = overload.run(*args, **kwargs)
        if form is None and not overload.free and not overload.writes:
            self.trace.other(name, args, result)
        if overload.quantises:
            self.trace.may_fire(name, args[0] if overload.writes else result)
        return result


class Trace:
    """One trace of the graph against the script of the eager batch."""

    def __init__(self, recorder: Recorder, graph: fx.GraphModule) -> None:
        self.recorder = recorder
        self.rows: list[Row] = []
        self.layer = ""
        self._neurons = {recorder.name_of(module): module for module in recorder.watched}
        self._script = _by_layer(recorder.sites.script or [])
        self._firing = {
            key for key, calls in self._script.items()
            if any(isinstance(call.counter, FiringLine) for call in calls) and not self._within_neuron(key[0])
        }  # fmt: skip
        self._done: dict[tuple[str, str], int] = {}
        self._before: dict[tuple[int, int], Tensor] = {}
        self._driven: tuple[str, Tensor] | None = None
        self._find_neurons(graph)

    def finish(self) -> None:
        """Every operation of the eager batch must have been met."""
        for key, calls in self._script.items():
            if key in self._firing and self._done.get(key, 0) != len(calls):
                raise NotCompiled(f"{key[0] or 'the model'} makes its spikes in another way in a compiled graph")
            if key[1] == "contraction" and self._done.get(key, 0) != len(calls):
                raise OtherOperations(
                    f"{key[0] or 'the model'} ran {len(calls)} contractions in the eager batch "
                    f"and {self._done.get(key, 0)} in the compiled graph"
                )

    # -- operators -----------------------------------------------------------------------------------------

    def contraction(self, form: contractions.Contraction) -> None:
        call = self._next("contraction")
        if call.macs != form.macs:
            raise OtherOperations(f"{self.layer or 'the model'}: {form.macs} MACs, but the eager batch had {call.macs}")
        if not isinstance(call.counter, OpCounter) or call.plan is None:
            return
        counter, plan = call.counter, call.plan
        values = (
            form.absorb_padding(call.padding) if call.padding and isinstance(form, contractions.Convolution) else form
        )
        calls, bias = counter.calls_of(values, plan), values.outputs if values.bias else 0
        counts = _row(calls, form.operands[0])
        calls.write(values, counts)
        self.rows.append(Row(lambda: counter.ran(plan.size, bias), lambda: counter.series(calls), counts))
        self._compare(counter, plan, form)

    def _compare(self, counter: OpCounter, plan: measure.Plan, form: contractions.Contraction) -> None:
        """An encoder's input, from step to step within the call or from call to call."""
        for position in plan.encoded:
            values, steps = form.operands[position], plan.steps[position]
            before = self._before.get((id(counter), position))
            self._before[id(counter), position] = values
            if steps is not None:
                changed = measure.differs_over_time(values, steps)
            elif before is None or before.shape != values.shape:
                continue
            else:
                changed = (before != values).any()
            changes = counter.changes(position)
            counts = torch.nn.functional.pad(changed.long().reshape(1), (0, changes.size - 1))
            self.rows.append(Row(series=functools.partial(counter.changes, position), counts=counts))

    def other(self, name: str, args: Any, result: Any) -> None:
        if self._inside_neuron():
            return
        key = (self.layer, operator(name).arithmetic or name)
        if key not in self._script or self._done.get(key, 0) >= len(self._script[key]):
            return  # arithmetic on weights alone, which the eager batch did not list either
        call = self._next(key[1])
        if isinstance(call.counter, OpCounter):
            adds = work(name, "bias", args, result)
            self.rows.append(Row(functools.partial(_add_bias, call.counter, adds)))
        elif isinstance(call.counter, LineCounter):
            tensors = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
            elements = work(name, call.counter.op, args, result)
            self.rows.append(Row(functools.partial(call.counter.count, elements)))
            self.rows += [_line_row(call.counter, tensors[position]) for position in call.positions or ()]
        elif call.counter is not None and not isinstance(call.counter, FiringLine):
            self.rows.append(Row(call.counter))

    def may_fire(self, name: str, result: Any) -> None:
        """Counts spikes that a line of the model's own code makes."""
        key = (self.layer, firing_family(name))
        if key not in self._firing:
            return
        if self._done.get(key, 0) >= len(self._script[key]):
            raise NotCompiled(f"{self.layer or 'the model'} makes more spikes in a compiled graph")
        line = self._next(key[1]).counter
        if isinstance(line, FiringLine) and isinstance(result, Tensor):
            self._fire_line(line, result)

    def _fire_line(self, line: FiringLine, spikes: Tensor) -> None:
        if line.counter is not None:
            self._count_spikes(line.counter, spikes, line.steps, line.grid, driven=True)
        if line.source is not None:
            self._show(line.source, spikes, line.grid)

    def _count_spikes(
        self, counter: NeuronCounter, spikes: Tensor, steps: Steps | None, grid: Grid, driven: bool
    ) -> None:
        """What a neuron layer or a line put out; its neurons are driven where that is known without reading."""
        steps, elements = fitting(steps, spikes.shape), spikes.numel()
        spikes = spikes.float() if spikes.dtype is torch.bool else spikes  # as the next layer reads flags
        keep = neurons_of(spikes, steps, self.recorder.batch_size)
        if steps is not None and steps.dim == 0 and min(keep, default=1) == 2:
            # As the next layer reads it: the compiler may then lay it out as that layer likes it.
            spikes, keep = spikes.flatten(0, 1), tuple(dim - 1 for dim in keep)
        by_neuron = spikes.new_zeros([spikes.shape[dim] for dim in keep], dtype=torch.int32)
        series = counter.series(steps, grid)
        counts = _row(series, spikes)
        read(spikes, series.grid, 0, counts, steps, Sums(keep, by_neuron))

        def then() -> None:
            counter.ran(series.steps, elements)
            if driven:
                counter.drive_all(elements)

        self.rows.append(Row(then, lambda: counter.series(steps, grid), counts, (counter, by_neuron)))

    def _show(self, source: Source, spikes: Tensor, grid: Grid) -> None:
        """The levels that a source of spikes shows."""
        series = source.series(spikes, grid)
        counts = _row(series, spikes)
        read(spikes, grid, 0, counts)
        self.rows.append(Row(series=lambda: series, counts=counts))

    def _next(self, family: str) -> Call:
        key = (self.layer, family)
        position = self._done.get(key, 0)
        if position >= len(self._script.get(key, [])):
            raise OtherOperations(
                f"{self.layer or 'the model'} runs more contractions compiled than it did in eager mode"
            )
        self._done[key] = position + 1
        return self._script[key][position]

    # -- neurons -------------------------------------------------------------------------------------------

    def _find_neurons(self, graph: fx.GraphModule) -> None:
        """Each call of a neuron layer is a run of neighbouring nodes: what goes into it, and what comes out."""
        self.entering: dict[fx.Node, str] = {}
        self.sources: dict[fx.Node, list[fx.Node]] = {}
        self.leaving: dict[fx.Node, tuple[str, fx.Node]] = {}
        for name, nodes in _segments(graph, set(self._neurons)):
            inside = set(nodes)
            sources = [n for node in nodes for n in node.all_input_nodes if n not in inside]
            outputs = [n for n in nodes if any(self._uses(user, name, inside) for user in n.users)]
            if not sources or len(outputs) != 1:
                raise NotCompiled(f"neuron layer {name!r} has {len(outputs)} outputs in the compiled graph")
            self.entering[nodes[0]], self.sources[nodes[0]] = name, sources
            self.leaving[nodes[-1]] = (name, outputs[0])

    def _uses(self, user: fx.Node, name: str, inside: set[fx.Node]) -> bool:
        """Whether a node outside the neuron layer reads a result; its own next step reads its state."""
        return user not in inside and not neurons.within(_layer(user), name)

    def _inside_neuron(self) -> bool:
        return self._within_neuron(self.layer)

    def _within_neuron(self, layer: str) -> bool:
        return any(neurons.within(layer, name) for name in self._neurons)

    def enter(self, name: str, sources: list[Any]) -> None:
        """A neuron layer begins; the first tensor among its sources that is no parameter drives it."""
        if neurons.recurrent(self._neurons[name]):
            return  # all its neurons are driven, which its output tells
        current = next(value for value in sources if isinstance(value, Tensor) and not isinstance(value, nn.Parameter))
        self._driven = name, current

    def overwrite(self, written: Tensor) -> None:
        """What drives the neuron layer that runs is counted before something is written to it."""
        if self._driven and storage_key(self._driven[1]) == storage_key(written):
            self.drive()

    def drive(self) -> None:
        """Counts what drove the neuron layer, once; after its loop over the steps, which the count then joins."""
        if not self._driven:
            return
        (name, current), self._driven = self._driven, None
        module = self._neurons[name]
        counter, steps = self.recorder.neuron_counter(module), self.recorder.steps_of_neuron(module)
        counts = _driven(current, fitting(steps, current.shape))
        self.rows.append(Row(series=lambda: counter.driving, counts=counts, looped=True))

    def fire(self, name: str, output: Any) -> None:
        module = self._neurons[name]
        counter = self.recorder.neuron_counter(module)
        spikes = next(leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor))
        steps = self.recorder.steps_of_neuron(module)
        self._count_spikes(counter, spikes, steps, counter.grid, driven=neurons.recurrent(module))
        if counter.source is not None:
            self._show(counter.source, spikes, counter.grid)


def _row(series: Series | measure.Calls, operand: Tensor) -> Tensor:
    """What a traced read writes into."""
    return torch.zeros(series.size, dtype=torch.int64, device=operand.device)


def _driven(current: Tensor, steps: Steps | None) -> Tensor:
    """A row of the non-zeros of what drives a neuron layer: step by step, as the layer's own loop reads it."""
    flags = [(step != 0).int() for step in folded(current, steps)]
    total = functools.reduce(torch.add, flags).sum(dtype=torch.int64).reshape(1)
    return torch.nn.functional.pad(total, (0, FIGURES - 1))


def _inductor(counting: _CountingGraph, inputs: list[Tensor]) -> Callable[..., Any]:
    """Compiles a graph in which nothing is computed twice: one operand is counted for several layers."""
    compile_fx, compile_inner = torch_private.inductor()

    def each_once(module: fx.GraphModule, example_inputs: Sequence[Any], **options: Any) -> Any:
        module.graph = torch_private.without_repeats(module.graph)
        _counts_last(module.graph, [row.looped for row in counting.rows for _ in row.tensors])
        module.recompile()
        return compile_inner(module, example_inputs, **options)

    kept_order = {"reorder_for_locality": False}  # it would draw the looped counts away, too
    compiled: Callable[..., Any] = compile_fx(counting, inputs, inner_compile=each_once, config_patches=kept_order)
    return compiled


def _counts_last(graph: fx.Graph, looped: Sequence[bool]) -> None:
    """Moves what only counts behind the model, but for what is counted in the model's own loops.

    The compiler joins neighbours into one loop: a neuron's input is counted in the loop over its steps for nothing,
    while sums over an operand's other axes would slow down the loop that makes it.

    Args:
        looped: of the graph's last outputs, which are counts, those to leave where they are.
    """
    output = _output(graph)
    results: Sequence[Any] = output.args[0]  # type: ignore[assignment]
    model = len(results) - len(looped)
    stays = {n for n in results[:model] if isinstance(n, fx.Node)}
    stays |= {n for n, stay in zip(results[model:], looped, strict=True) if stay}
    for node in reversed(graph.nodes):
        if node in stays:
            stays.update(node.all_input_nodes)
    for node in list(graph.nodes):
        if node not in stays and node.op != "placeholder" and node is not output:
            output.prepend(node)


def _add_bias(counter: OpCounter, adds: int) -> None:
    counter.bias_adds += adds


def _line_row(line: LineCounter, operand: Tensor) -> Row:
    counts = _row(line.series, operand)
    read(operand, ANY, 0, counts)
    return Row(series=lambda: line.series, counts=counts)


def _by_layer(script: Sequence[Call]) -> dict[tuple[str, str], list[Call]]:
    calls: dict[tuple[str, str], list[Call]] = {}
    for call in script:
        calls.setdefault((call.layer, call.family), []).append(call)
    return calls


def _segments(graph: fx.GraphModule, names: set[str]) -> list[tuple[str, list[fx.Node]]]:
    found: list[tuple[str, list[fx.Node]]] = []
    last = ""
    for node in graph.graph.nodes:
        if node.op in _NO_OPERATION:
            continue
        name = next((n for n in names if neurons.within(_layer(node), n)), "")
        if name and name == last:
            found[-1][1].append(node)
        elif name:
            found.append((name, [node]))
        last = name
    return found


def _layer(node: fx.Node) -> str:
    """The module path of a node, as `named_modules` spells it."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return _ROOT.sub("", stack[-1][0]) if stack else ""


def _output(graph: fx.Graph) -> fx.Node:
    node: fx.Node = next(iter(reversed(graph.nodes)))
    return node

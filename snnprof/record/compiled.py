"""Counting inside torch.compile: the compiled graph returns the counts of its own operands.

A module wraps Dynamo's graph and interprets it under a dispatch mode while AOTAutograd traces. Each counting rule thus
becomes a part of the compiled graph, and its counts become further outputs. The plan of each operation comes from one
eager batch (the *script*): in each layer, the traced operations must be those of that batch, in the same order.
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
    """The model does not compile into one graph with the operations of the eager batch."""


class OtherOperations(SnnprofError):
    """The compiled graph runs other operations than the eager batch, so its counts would belong to no row."""

    def __init__(self, message: str) -> None:
        super().__init__(f"the compiled graph is not the network that was counted: {message}", "run without --compile")


class Row(NamedTuple):
    """The counts of one traced operation.

    Attributes:
        then: called after each run: adds what shapes alone tell.
        series: called after each run: returns the series that takes the row of counts; None: there is no row.
        counts: the traced row of counts, int64, which the graph returns.
        by_neuron: a neuron layer's counter and the traced spikes by neuron, which the graph returns as well; or None.
        looped: whether the counting joins a loop that the model runs anyway.
    """

    then: Callable[[], object] = tuple
    series: Callable[[], Series] | None = None
    counts: Tensor | None = None
    by_neuron: tuple[NeuronCounter, Tensor] | None = None
    looped: bool = False

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors that the graph returns for this operation."""
        counted = [] if self.counts is None else [self.counts]
        return counted if self.by_neuron is None else [*counted, self.by_neuron[1]]


class CompiledModel:
    """A model compiled into one graph that counts for a recorder.

    The recorder must have watched one eager batch while its call sites kept a script, and must be detached. All batches
    must have the shape of the first one.
    """

    def __init__(self, model: nn.Module, recorder: Recorder) -> None:
        self.recorder = recorder
        self.mismatch: OtherOperations | None = None
        self._counted: tuple[list[Row], Sequence[Tensor]] | None = None
        self._nodes: tuple[tuple[str, ...], ...] | None = None
        self._model = model

    @functools.cached_property
    def _run(self) -> Callable[..., Any]:
        """The compiled model, made at the first call: while the recorder is attached, nothing compiles."""
        return torch.compile(self._model, backend=self._backend, fullgraph=True, dynamic=False)

    def __call__(self, *inputs: Tensor) -> Any:
        """Runs one batch and adds its counts.

        Raises:
            NotCompiled: the model does not compile into one graph.
            OtherOperations: the graph runs other operations than the eager batch did.
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
        """Compiles one graph. If the model's attributes change, there are several, each with its own rows."""
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
        """Adds the counts that the graph with these rows returned.

        Raises:
            NotCompiled: it returned another number of counts than were traced.
        """
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
        """Refuses a later graph with other operations than the first one: the script has those of the first batch.

        Raises:
            NotCompiled: the graph has other operations.
        """
        nodes = tuple(_signature(node) for node in graph.graph.nodes if node.op not in _NO_OPERATION)
        if self._nodes is not None and self._nodes != nodes:
            raise NotCompiled("it runs other operations than it did in batches before")
        self._nodes = nodes


def _signature(node: fx.Node) -> tuple[str, ...]:
    """What a node runs, in which layer, and the shape of its result."""
    shape = getattr(node.meta.get("example_value"), "shape", None)
    return node.op, str(node.target), _layer(node), str(shape)


def _reason(error: Exception) -> str:
    """Why the compiler failed; its outermost error only says that the backend did."""
    return first_line(getattr(error, "inner_exception", error))


class _CountingGraph(nn.Module):
    """Dynamo's graph with the counts as further outputs."""

    def __init__(self, graph: fx.GraphModule, owner: CompiledModel) -> None:
        super().__init__()
        self.graph_module = graph
        self.owner = owner
        self.rows: list[Row] = []

    def forward(self, *args: Any) -> tuple[Any, ...]:
        """Runs the graph and returns its outputs, then the counts.

        Raises:
            OtherOperations: the graph runs other operations than the eager batch did.
        """
        from torch.nn.attention import SDPBackend, sdpa_kernel

        trace = Trace(self.owner.recorder, self.graph_module)
        try:
            with traced(), sdpa_kernel(SDPBackend.MATH):
                results = _Walk(self.graph_module, trace).run(*args)
            trace.finish()
        except OtherOperations as mismatch:
            self.owner.mismatch = mismatch  # the compiler wraps the error in one of its own
            raise
        self.rows[:] = trace.rows  # AOTAutograd traces more than once; it compiles the last trace
        return (*results, *(tensor for row in trace.rows for tensor in row.tensors))


class _Walk(fx.Interpreter):
    """Runs the graph node by node and sets the trace's layer to the module of each node."""

    def __init__(self, graph: fx.GraphModule, trace: Trace) -> None:
        super().__init__(graph)
        self.trace = trace

    def run_node(self, n: fx.Node) -> Any:
        """Runs one node and counts its operators, and the neuron layer that begins or ends with it."""
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
    """The dispatch mode that sees the operators of one node."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = trace

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        overload = overload_of(func)
        name = overload.name
        form = reading(name, args, kwargs)
        if form is None and operator(name).rewrite and not overload.only_writes(args, kwargs):
            with self:
                decomposed = decompose(func, args, kwargs)
            if decomposed is not None:
                return decomposed
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
    """One trace of the graph, compared with the script of the eager batch."""

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
        """Ends the trace, in which every contraction and firing line of the script must have run.

        Raises:
            NotCompiled: a layer makes its spikes in another way than in the eager batch.
            OtherOperations: a layer ran another number of contractions.
        """
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
        """Counts a contraction by the plan of the same one in the script.

        Raises:
            OtherOperations: it has another number of MACs.
        """
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
        """Compares an encoder's input from step to step, within the call or with the call before."""
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
        """Counts an operator that is no contraction, as the script did."""
        if self._inside_neuron():
            return
        key = (self.layer, operator(name).arithmetic or name)
        if key not in self._script or self._done.get(key, 0) >= len(self._script[key]):
            return  # arithmetic on weights alone, which the eager batch did not count either
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
        """Counts the spikes that a firing line makes.

        Raises:
            NotCompiled: the line makes spikes more often than in the eager batch.
        """
        key = (self.layer, firing_family(name))
        if key not in self._firing:
            return
        if self._done.get(key, 0) >= len(self._script[key]):
            raise NotCompiled(f"{self.layer or 'the model'} makes more spikes in a compiled graph")
        line = self._next(key[1]).counter
        if isinstance(line, FiringLine) and isinstance(result, Tensor):
            self._fire_line(line, result)

    def _fire_line(self, line: FiringLine, spikes: Tensor) -> None:
        """Counts the spikes of a firing line, and their levels if there are several."""
        if line.counter is not None:
            self._count_spikes(line.counter, spikes, line.steps, line.grid, driven=True)
        if line.source is not None:
            self._show(line.source, spikes, line.grid)

    def _count_spikes(
        self, counter: NeuronCounter, spikes: Tensor, steps: Steps | None, grid: Grid, driven: bool
    ) -> None:
        """Counts the output of a neuron layer or firing line; `driven`: all of its neurons count as driven."""
        steps, elements = fitting(steps, spikes.shape), spikes.numel()
        spikes = spikes.float() if spikes.dtype is torch.bool else spikes  # as the next layer reads bools
        keep = neurons_of(spikes, steps, self.recorder.batch_size)
        if steps is not None and steps.dim == 0 and min(keep, default=1) == 2:
            # The next layer reads it in this shape; the compiler may then choose the memory order that suits it.
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
        """Counts the levels of a source of multi-level spikes."""
        series = source.series(spikes, grid)
        counts = _row(series, spikes)
        read(spikes, grid, 0, counts)
        self.rows.append(Row(series=lambda: series, counts=counts))

    def _next(self, family: str) -> Call:
        """The script's next call of a family in this layer.

        Raises:
            OtherOperations: the script has no more of them.
        """
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
        """Finds the calls of neuron layers, each a run of neighbouring nodes, with their inputs and outputs.

        Raises:
            NotCompiled: a neuron layer has no input, or not exactly one output.
        """
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
        """Whether a node that reads a result is outside of the neuron layer; its next step reads its state."""
        return user not in inside and not neurons.within(_layer(user), name)

    def _inside_neuron(self) -> bool:
        return self._within_neuron(self.layer)

    def _within_neuron(self, layer: str) -> bool:
        return any(neurons.within(layer, name) for name in self._neurons)

    def enter(self, name: str, sources: list[Any]) -> None:
        """Begins a neuron layer; the first tensor among its sources that is no parameter drives it."""
        if neurons.recurrent(self._neurons[name]):
            return  # all of its neurons are driven, which its output adds
        current = next(value for value in sources if isinstance(value, Tensor) and not isinstance(value, nn.Parameter))
        self._driven = name, current

    def overwrite(self, written: Tensor) -> None:
        """Counts the input of the running neuron layer before an operator overwrites it."""
        if self._driven and storage_key(self._driven[1]) == storage_key(written):
            self.drive()

    def drive(self) -> None:
        """Counts the input of the running neuron layer, once, so that the counting joins its loop over the steps."""
        if not self._driven:
            return
        (name, current), self._driven = self._driven, None
        module = self._neurons[name]
        counter, steps = self.recorder.neuron_counter(module), self.recorder.steps_of_neuron(module)
        counts = _driven(current, fitting(steps, current.shape))
        self.rows.append(Row(series=lambda: counter.driving, counts=counts, looped=True))

    def fire(self, name: str, output: Any) -> None:
        """Counts the output of a neuron layer."""
        module = self._neurons[name]
        counter = self.recorder.neuron_counter(module)
        spikes = next(leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor))
        steps = self.recorder.steps_of_neuron(module)
        self._count_spikes(counter, spikes, steps, counter.grid, driven=neurons.recurrent(module))
        if counter.source is not None:
            self._show(counter.source, spikes, counter.grid)


def _row(series: Series | measure.Calls, operand: Tensor) -> Tensor:
    """The row that a traced read writes into."""
    return torch.zeros(series.size, dtype=torch.int64, device=operand.device)


def _driven(current: Tensor, steps: Steps | None) -> Tensor:
    """A row with the non-zeros of a neuron layer's input, step by step as the layer's own loop reads it."""
    flags = [(step != 0).int() for step in folded(current, steps)]
    total = functools.reduce(torch.add, flags).sum(dtype=torch.int64).reshape(1)
    return torch.nn.functional.pad(total, (0, FIGURES - 1))


def _inductor(counting: _CountingGraph, inputs: list[Tensor]) -> Callable[..., Any]:
    """Compiles the graph without repeated computations, as several layers count the same operand."""
    compile_fx, compile_inner = torch_private.inductor()

    def each_once(module: fx.GraphModule, example_inputs: Sequence[Any], **options: Any) -> Any:
        module.graph = torch_private.without_repeats(module.graph)
        _counts_last(module.graph, [row.looped for row in counting.rows for _ in row.tensors])
        module.recompile()
        return compile_inner(module, example_inputs, **options)

    kept_order = {"reorder_for_locality": False}  # it would move the looped counts out of their loops
    compiled: Callable[..., Any] = compile_fx(counting, inputs, inner_compile=each_once, config_patches=kept_order)
    return compiled


def _counts_last(graph: fx.Graph, looped: Sequence[bool]) -> None:
    """Moves the nodes that only count behind those of the model, except counts in the model's own loops.

    The compiler fuses neighbouring nodes into one loop. A neuron layer's input is counted in the loop over its steps at
    no cost; sums over other axes would slow down the loop that computes their operand.

    Args:
        graph: the graph; its last outputs are counts.
        looped: for each of those outputs, whether it stays where it is.
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
    """Adds additions of a bias to a contraction."""
    counter.bias_adds += adds


def _line_row(line: LineCounter, operand: Tensor) -> Row:
    """The row of one spike operand of a line of other arithmetic."""
    counts = _row(line.series, operand)
    read(operand, ANY, 0, counts)
    return Row(series=lambda: line.series, counts=counts)


def _by_layer(script: Sequence[Call]) -> dict[tuple[str, str], list[Call]]:
    """The calls of a script by layer and family, in order."""
    calls: dict[tuple[str, str], list[Call]] = {}
    for call in script:
        calls.setdefault((call.layer, call.family), []).append(call)
    return calls


def _segments(graph: fx.GraphModule, names: set[str]) -> list[tuple[str, list[fx.Node]]]:
    """Runs of neighbouring nodes that belong to one neuron layer."""
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
    """The output node of a graph, its last one."""
    node: fx.Node = next(iter(reversed(graph.nodes)))
    return node

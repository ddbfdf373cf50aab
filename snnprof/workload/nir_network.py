"""Runs a NIR graph as a PyTorch module: in each time step, the nodes in topological order.

Every cycle must contain a node that keeps state. The cycle is cut at an edge that leaves such a node: this edge carries
the node's output of the previous step, and 0 in the first step. All other edges carry the output of the same step. A
node with several incoming edges reads their sum.
"""

from __future__ import annotations

import functools
import graphlib
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from snnprof import capacity
from snnprof.errors import SnnprofError, first_line, unknown
from snnprof.workload import nir_file, nir_neurons
from snnprof.workload.nir_file import INSIDE, Graph, Node
from snnprof.workload.nir_neurons import NirState, Reset

DT = 1e-4
"""Length of a time step in seconds if neither the file nor the user gives it; most exporters of NIR assume it."""
LAYOUTS = ("step", "time-batch", "batch-time")
STATEFUL = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF", "Delay")
ELEMENTWISE = (*STATEFUL, "Threshold", "Scale")
AXES = {"Affine": 1, "Linear": 1, "Conv1d": 2, "Conv2d": 3, "SumPool2d": 3, "AvgPool2d": 3}
"""The number of axes of one sample that a node of this kind reads."""
PASS = ("Input", "Output")
MOST_RECURRENT = 1000  # edges; for each the whole graph is sorted again
TAUS = ("tau", "tau_mem", "tau_syn")
Edge = tuple[str, str]


class SumPool(nn.Module):
    """Sum pooling over windows of height and width."""

    def __init__(self, **window: Any) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """Sums each window of `[B, C, H, W]`."""
        return F.avg_pool2d(x, **self.window, divisor_override=1)


class Scale(nn.Module):
    """Element-wise product with a constant."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(scale, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Multiplies each element of `[B, ...]`."""
        return x * self.scale


class NirNetwork(NirState):
    """Runs a graph. Its modules have the names of the nodes.

    Attributes:
        layout: `step`: a call is one time step, `[B, ...]`; `time-batch` and `batch-time`: a call is a sequence.
        sample_shape: shape of one sample at one time step.
        output_shape: shape of the output for one sample at one time step.
        about: the assumptions about what the file leaves open, for the run file.
    """

    def __init__(self, graph: Graph, dt: float, reset: Reset, layout: str) -> None:
        super().__init__()
        self.layout = layout
        self._delayed = _cut(graph)
        self._order = _order(graph, self._delayed)
        self._sources = _sources(graph)
        self._modules_of = {
            name: _built(name, node, dt, reset) for name, node in graph.nodes.items() if node.kind not in PASS
        }
        _register(self, self._modules_of)
        self._input, self._output = (_only(graph, kind) for kind in PASS)
        if self._sources[self._input]:
            raise SnnprofError(f"an edge leads from {self._sources[self._input][0]!r} into the Input")
        self.sample_shape = _sample_shape(graph, self._input)
        self._shapes = self._inferred(graph)
        self.output_shape = self._shapes[self._output]
        self.about = _about(graph, dt, reset, len(self._delayed))
        self.reset()

    def reset(self) -> None:
        """Starts a new sequence: the recurrent edges carry 0 in its first step."""
        self._previous: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Runs one step, `[B, ...]`, or a sequence, `[T, B, ...]` or `[B, T, ...]`, as `layout` says.

        Samples may have another shape than the Input node if they hold the same number of elements.

        Returns:
            The values of the Output node, with the same first axes as x.

        Raises:
            ValueError: the samples hold another number of elements.
        """
        if self.layout == "step":
            return self._step(x)
        axis = 0 if self.layout == "time-batch" else 1
        return torch.stack([self._step(frame) for frame in x.unbind(axis)], axis)

    def _step(self, x: Tensor) -> Tensor:
        """Runs all nodes for one time step, and keeps the outputs that recurrent edges carry to the next."""
        if x[0].numel() != math.prod(self.sample_shape):
            raise ValueError(f"a sample has the shape {list(x.shape[1:])}, and the Input {list(self.sample_shape)}")
        x = x if x.is_floating_point() else x.float()
        values = {self._input: x.reshape(len(x), *self.sample_shape)}
        for name in self._order:
            if name != self._input:
                read = [self._read(values, source, name) for source in self._sources[name]]
                values[name] = self._run(name, functools.reduce(operator.add, read))
        self._previous = {source: values[source] for source, _ in self._delayed}
        return values[self._output]

    def _read(self, values: dict[str, Tensor], source: str, reader: str) -> Tensor:
        if (source, reader) not in self._delayed:
            return values[source]
        before = self._previous.get(source)
        x = values[self._input]
        return x.new_zeros(len(x), *self._shapes[source]) if before is None else before

    def _run(self, name: str, x: Tensor) -> Tensor:
        module = self._modules_of.get(name)
        return x if module is None else module(x)

    def _inferred(self, graph: Graph) -> dict[str, tuple[int, ...]]:
        """The shape of each node's output for one sample, computed on the meta device, which takes no memory.

        Raises:
            SnnprofError: a node does not fit its input or has none, or its output would not fit in memory.
        """
        known: dict[str, Tensor] = {self._input: torch.empty(1, *self.sample_shape, device="meta")}
        waiting = [name for name in self._order if name != self._input]
        before = 0
        while len(known) > before:  # in topological order, so further rounds are only for nodes behind a cut
            before = len(known)
            for name in waiting:
                if name not in known and (reached := [s for s in self._sources[name] if s in known]):
                    known[name] = self._result(graph, name, known[reached[0]])
        for name in waiting:
            if name not in known:
                raise SnnprofError(f"node {name!r} is not connected: no edges lead to it from the Input")
        for name, sources in self._sources.items():
            if len(found := {tuple(known[source].shape[1:]) for source in sources}) > 1:
                shown = " and ".join(str(list(shape)) for shape in sorted(found))
                raise SnnprofError(f"node {name!r} is to read the sum of different shapes: {shown}")
        return {name: tuple(result.shape[1:]) for name, result in known.items()}

    def _result(self, graph: Graph, name: str, x: Tensor) -> Tensor:
        """The output of a node for one sample, on the meta device."""
        module, kind = self._modules_of.get(name), graph.nodes[name].kind
        if module is None:
            return x
        held = {key: tensor.to("meta") for key, tensor in (*module.named_parameters(), *module.named_buffers())}
        taken = f"node {name!r} ({kind}) does not take its input of shape {list(x.shape[1:])}"
        try:
            result: Tensor = functional_call(module, held, (x,))
        except Exception as error:
            raise SnnprofError(f"{taken}: {first_line(error)}") from error
        if kind in ELEMENTWISE and result.shape != x.shape:
            raise SnnprofError(f"{taken}: its parameters have another shape")
        capacity.must_fit(f"the output of node {name!r}", 4 * result.numel())
        if isinstance(module, NirState):
            module.reset()
        return result


def load(path: Path, dt: float | None = None, reset: Reset = "file", layout: str = "step") -> NirNetwork:
    """Builds the network of a NIR file.

    Args:
        path: `FILE.nir`.
        dt: length of a time step in seconds; None takes it from the file's metadata, else `DT`.
        reset: what a spike does to the potential of its neuron; see `Reset`.
        layout: first axes of the input, `step`, `time-batch` or `batch-time`; NIR does not define a time axis.

    Raises:
        SnnprofError: the file holds no graph that can run, or a setting is wrong.
    """
    for name, value, known in (("layout", layout, LAYOUTS), ("reset", reset, get_args(Reset))):
        if value not in known:
            raise unknown(name, str(value), known, owner=f"a NIR graph ({path})")
    graph = nir_file.read(path)
    seconds = _seconds(graph.dt or DT if dt is None else dt, path)
    try:
        return NirNetwork(graph, seconds, reset, layout)
    except SnnprofError as error:
        raise SnnprofError(f"{path}: {error}", hint=error.hint) from error


def _seconds(dt: Any, path: Path) -> float:
    """The length of a time step as a number; YAML parses `1e-4`, without a decimal point, as text."""
    try:
        seconds = float("nan" if isinstance(dt, bool) else dt)
    except (TypeError, ValueError):
        seconds = float("nan")
    if not 0 < seconds < float("inf"):
        raise SnnprofError(f"{path}: dt must be a number of seconds above 0, not {dt}", hint="--set dt=1e-4")
    return seconds


# -- nodes -------------------------------------------------------------------------------------------------


def _built(name: str, node: Node, dt: float, reset: Reset) -> nn.Module:
    try:
        return _MAKERS[node.kind](node.values, dt, reset)
    except (ValueError, TypeError, RuntimeError, IndexError, OverflowError) as error:
        hint = "another --set dt=SECONDS suits the exporter" if "dt" in str(error) else ""
        raise SnnprofError(f"node {name!r} ({node.kind}) cannot be built: {first_line(error)}", hint=hint) from error


def _linear(values: dict[str, Any]) -> nn.Module:
    weight = _tensor(values["weight"])
    if weight.dim() != 2:
        raise ValueError(f"its weight has the shape {list(weight.shape)}, not [out, in]")
    return _weighted(nn.Linear(weight.shape[1], weight.shape[0], "bias" in values, device="meta"), values)


def _conv(kind: type[nn.Conv1d] | type[nn.Conv2d], values: dict[str, Any]) -> nn.Module:
    axes = 1 if kind is nn.Conv1d else 2
    weight, groups = _tensor(values["weight"]), int(values["groups"])
    if weight.dim() != 2 + axes:
        raise ValueError(f"its weight has the shape {list(weight.shape)}, not that of {axes} axes")
    where = {name: _whole(values[name], axes) for name in ("stride", "padding", "dilation")}
    size: Any = tuple(weight.shape[2:])
    made = kind(weight.shape[1] * groups, weight.shape[0], size, groups=groups, device="meta", **where)
    return _weighted(made, values)


def _weighted(module: nn.Module, values: dict[str, Any]) -> nn.Module:
    """Gives the weights of the file to a module on the meta device, which has none of its own."""
    for name in ("weight", "bias"):
        if name in values:
            found, wanted = _tensor(values[name]), getattr(module, name).shape
            if found.shape != wanted:
                raise ValueError(f"its {name} has the shape {list(found.shape)}, not {list(wanted)}")
            setattr(module, name, nn.Parameter(found))
    return module


def _pool(kind: Callable[..., nn.Module], values: dict[str, Any]) -> nn.Module:
    return kind(**{name: _whole(values[name], 2) for name in nir_file.POOL})


def _flatten(values: dict[str, Any]) -> nn.Module:
    """A Flatten module; NIR counts axes without the batch axis, so those from the front move by one."""
    start, end = (int(values[name]) for name in ("start_dim", "end_dim"))
    return nn.Flatten(start + (start >= 0), end + (end >= 0))


_MAKERS: dict[str, Callable[[dict[str, Any], float, Reset], nn.Module]] = {
    "Affine": lambda values, dt, reset: _linear(values),
    "Linear": lambda values, dt, reset: _linear(values),
    "Scale": lambda values, dt, reset: Scale(_tensor(values["scale"])),
    "Conv1d": lambda values, dt, reset: _conv(nn.Conv1d, values),
    "Conv2d": lambda values, dt, reset: _conv(nn.Conv2d, values),
    "SumPool2d": lambda values, dt, reset: _pool(SumPool, values),
    "AvgPool2d": lambda values, dt, reset: _pool(nn.AvgPool2d, values),
    "Flatten": lambda values, dt, reset: _flatten(values),
    "Delay": lambda values, dt, reset: nir_neurons.NirDelay(values, dt),
    "Threshold": lambda values, dt, reset: nir_neurons.NirThreshold(values),
    "I": lambda values, dt, reset: nir_neurons.NirI(values, dt),
    "LI": lambda values, dt, reset: nir_neurons.NirLI(values, dt),
    "CubaLI": lambda values, dt, reset: nir_neurons.NirCubaLI(values, dt),
    "IF": lambda values, dt, reset: nir_neurons.NirIF(values, dt, reset),
    "LIF": lambda values, dt, reset: nir_neurons.NirLIF(values, dt, reset),
    "CubaLIF": lambda values, dt, reset: nir_neurons.NirCubaLIF(values, dt, reset),
}


def _tensor(value: Any) -> Tensor:
    return torch.as_tensor(np.asarray(value, dtype=np.float32))


def _whole(value: Any, axes: int) -> Any:
    """Integers, one for each axis; a text (padding `same` or `valid`) is returned unchanged."""
    if isinstance(value, str):
        return value
    numbers = np.asarray(value).reshape(-1)
    if numbers.size not in (1, axes) or (numbers != np.rint(numbers)).any():
        raise ValueError(f"{numbers.tolist()} is not a whole number for each of {axes} axes")
    return tuple(int(each) for each in np.broadcast_to(numbers, axes))


def _register(root: nn.Module, modules: Mapping[str, nn.Module]) -> None:
    """Registers the modules in the network by their names; those of an inner graph in a plain module for that graph."""
    owners = {"": root}
    for name, module in modules.items():
        outer = ""
        for part in name.split(INSIDE)[:-1]:
            inner = f"{outer}{INSIDE}{part}"
            if inner not in owners:
                owners[inner] = nn.Module()
                owners[outer].add_module(_free(owners[outer], part), owners[inner])
            outer = inner
        owners[outer].add_module(_free(owners[outer], name.rpartition(INSIDE)[2]), module)


def _free(owner: nn.Module, name: str) -> str:
    """The name without dots, which module names cannot have; underscores are appended until it is free."""
    name = name.replace(".", "_")
    while hasattr(owner, name):
        name += "_"
    return name


# -- edges -------------------------------------------------------------------------------------------------


def _only(graph: Graph, kind: str) -> str:
    found = [name for name, node in graph.nodes.items() if node.kind == kind and INSIDE not in name]
    if len(found) != 1:
        raise SnnprofError(f"the graph has {len(found)} {kind} nodes; snnprof runs graphs with one")
    return found[0]


def _sources(graph: Graph) -> dict[str, list[str]]:
    """For each node, the nodes that it reads."""
    found: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for a, b in graph.edges:
        found[b].append(a)
    return found


def _sample_shape(graph: Graph, name: str) -> tuple[int, ...]:
    """The shape of one sample that the Input node states.

    Some exporters put a batch axis of size 1 in front. It is dropped if the first layer takes one axis less.

    Raises:
        SnnprofError: a size is no positive whole number.
    """
    shape = np.asarray(graph.nodes[name].values["shape"]).reshape(-1)
    if (shape != np.rint(shape)).any() or (shape < 1).any():
        raise SnnprofError(f"the Input has the shape {shape.tolist()}, which no sample has")
    sizes = tuple(int(size) for size in shape)
    axes = [AXES[kind] for a, b in graph.edges if a == name and (kind := graph.nodes[b].kind) in AXES]
    return sizes[1:] if axes and sizes[:1] == (1,) and len(sizes) == axes[0] + 1 else sizes


def _cut(graph: Graph) -> set[Edge]:
    """The edges that carry the output of the previous step: one of every cycle.

    In each cycle, it is the edge from the last node with state before the cycle's entry, the node nearest to the Input.

    Raises:
        SnnprofError: a cycle contains no node that keeps state, or there are too many cycles.
    """
    depth = _depths(graph)
    cut: set[Edge] = set()
    while cycle := _cycle(graph, cut):
        first = min(range(len(cycle)), key=lambda position: depth.get(cycle[position], len(depth)))
        around = [cycle[first], *reversed(cycle[:first]), *reversed(cycle[first + 1 :])]  # from the entry, upstream
        source = next((at for at, name in enumerate(around) if at and graph.nodes[name].kind in STATEFUL), 0)
        if graph.nodes[around[source]].kind not in STATEFUL:
            raise SnnprofError(
                f"the nodes {_named(cycle)} form a cycle in which no node keeps state",
                hint="a cycle needs a neuron or a Delay",
            )
        cut.add((around[source], around[source - 1]))
        if len(cut) > MOST_RECURRENT:
            raise SnnprofError(f"the graph has more than {MOST_RECURRENT:,} recurrent edges")
    return cut


def _cycle(graph: Graph, cut: Iterable[Edge]) -> list[str]:
    """The nodes of one remaining cycle, each before its successor; empty if there is none."""
    try:
        _order(graph, set(cut))
    except graphlib.CycleError as error:
        return list(error.args[1][:-1])
    return []


def _order(graph: Graph, cut: set[Edge]) -> list[str]:
    """The nodes in an order in which each comes after all nodes that it reads in the same step."""
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter(dict.fromkeys(graph.nodes, ()))
    for a, b in graph.edges:
        if (a, b) not in cut:
            sorter.add(b, a)
    return list(sorter.static_order())


def _depths(graph: Graph) -> dict[str, int]:
    """For each node that the Input reaches, the smallest number of edges between them."""
    after: dict[str, list[str]] = {}
    for a, b in graph.edges:
        after.setdefault(a, []).append(b)
    reached = {name: 0 for name, node in graph.nodes.items() if node.kind == "Input" and INSIDE not in name}
    for name in (waiting := list(reached)):  # the list grows while it is walked
        new = [other for other in after.get(name, ()) if other not in reached]
        reached |= dict.fromkeys(new, reached[name] + 1)
        waiting += new
    return reached


def _named(names: Sequence[str]) -> str:
    return " → ".join(map(repr, names[:4])) + (" → …" if len(names) > 4 else "")


def _about(graph: Graph, dt: float, reset: Reset, recurrent: int) -> str:
    """The assumptions about what the file leaves open; time constants in steps, so that a wrong dt is noticed."""
    has = any("v_reset" in node.values for node in graph.nodes.values())
    after = {"zero": "0", "subtract": "v − v_threshold", "file": "v_reset" if has else "v − v_threshold"}[reset]
    values = [node.values for node in graph.nodes.values()]
    taus = [np.asarray(each[name]) / dt for each in values for name in TAUS if name in each]
    gains = [np.asarray(node.values["r"]) * dt for node in graph.nodes.values() if node.kind in ("I", "IF")]
    parts = [
        f"NIR {graph.version or 'of unknown version'}, forward Euler with dt = {dt:g} s",
        f"time constants of {_range(taus)} steps" if taus else "",
        f"IF and I neurons add {_range(gains)} × their input each step" if gains else "",
        f"a spike sets v to {after}",
        f"{recurrent} recurrent edge{'s read' if recurrent > 1 else ' reads'} the previous step" if recurrent else "",
    ]
    return "; ".join(filter(None, parts))


def _range(arrays: Sequence[np.ndarray[Any, Any]]) -> str:
    low, high = min(float(each.min()) for each in arrays), max(float(each.max()) for each in arrays)
    return f"{low:.4g}" if f"{low:.4g}" == f"{high:.4g}" else f"{low:.4g} to {high:.4g}"

"""A model's state is put back in place: the same objects, the same values, and nothing touched that did not change."""

from __future__ import annotations

import collections
import itertools
import time
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils._python_dispatch import TorchDispatchMode

from snnprof.workload.state import ModelState


class Cell(nn.Module):
    """Whatever a test gives it as attributes."""

    def __init__(self, **held: Any) -> None:
        super().__init__()
        self.__dict__.update(held)


@dataclass
class Memory:
    v: Any = None
    trace: list[Any] = field(default_factory=list)


class Slotted:
    __slots__ = ("unset", "v")

    def __init__(self) -> None:
        self.v: Any = torch.ones(2)


class Ring(list[Any]):
    """A list with attributes, and methods that must not be called."""

    __setitem__ = append = clear = extend = None


def always(module: nn.Module, name: str, value: Any) -> bool:
    return True


def pass_over(module: nn.Module, change: Callable[[Any], Any], is_state: Any = None) -> ModelState:
    """Remembers, lets a pass change the module, puts back."""
    state = ModelState.of(module)
    with torch.no_grad():
        change(module)
    state.restore(is_state) if is_state else state.restore()
    return state


# -- tensors -----------------------------------------------------------------------------------------------

TENSORS: dict[str, Callable[[], Tensor]] = {
    "plain": lambda: torch.ones(2, 3),
    "scalar": lambda: torch.tensor(1.0),
    "leaf": lambda: torch.ones(2, 3, requires_grad=True),
    "non-leaf": lambda: torch.ones(2, 3, requires_grad=True) * 1,
    "expanded": lambda: torch.ones(1, 3).expand(2, 3),
    "column": lambda: torch.ones(2, 6)[:, ::2],
    "bool": lambda: torch.ones(2, 3, dtype=torch.bool),
    "half": lambda: torch.ones(2, 3, dtype=torch.bfloat16),
    "complex": lambda: torch.ones(2, 3, dtype=torch.complex64),
    "nan": lambda: torch.full((2, 3), float("nan")),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "parameter": lambda: nn.Parameter(torch.ones(2, 3)),
    "inference": lambda: _in_inference_mode(),
}


def _in_inference_mode() -> Tensor:
    with torch.inference_mode():
        return torch.ones(2, 3)


CHANGES: dict[str, Callable[[Tensor], Any]] = {
    "in place": lambda v: v.mul_(False),
    "data": lambda v: v.data.mul_(False),
    "resize": lambda v: v.resize_(40).zero_(),
    "set": lambda v: v.set_(torch.zeros(5, dtype=v.dtype)),
    "data set": lambda v: setattr(v, "data", torch.zeros(5)),
    "shrunk": lambda v: v.untyped_storage().resize_(0),
}
IMPOSSIBLE = {("sparse", way) for way in CHANGES if way != "in place"} | {("leaf", "resize"), ("parameter", "resize")}
IMPOSSIBLE |= {("non-leaf", "resize"), ("complex", "data set"), ("half", "data set"), ("bool", "data set")}


POSSIBLE = [(kind, way) for kind in TENSORS for way in CHANGES if (kind, way) not in IMPOSSIBLE]
"""PyTorch itself refuses the others."""


@pytest.mark.parametrize(("kind", "way"), POSSIBLE)
def test_tensors_keep_identity_and_values(kind: str, way: str) -> None:
    cell = Cell(v=TENSORS[kind]())
    before, found, shape, needs = cell.v, cell.v.detach().clone(), cell.v.shape, cell.v.requires_grad

    def change(cell: Any) -> None:
        with torch.inference_mode() if cell.v.is_inference() else torch.no_grad():
            CHANGES[way](cell.v if kind != "expanded" or way not in ("in place", "data") else cell.v[:1])
        cell.v = torch.zeros(1)

    state = pass_over(cell, change)
    assert cell.v is before
    assert state.unrestorable == []
    assert (cell.v.shape, cell.v.requires_grad) == (shape, needs)
    assert torch.equal(*(torch.nan_to_num(v.detach().to_dense(), 5) for v in (cell.v, found)))


@pytest.mark.parametrize("kind", [kind for kind in TENSORS if kind != "inference"])
def test_no_version_moves_where_nothing_changed(kind: str) -> None:
    cell = Cell(v=TENSORS[kind]())
    version = cell.v._version
    state = pass_over(cell, lambda cell: None)
    assert cell.v._version == version
    assert state.changed_parameters() == []


def test_a_graph_that_the_pass_made_is_left() -> None:
    cell = Cell(v=torch.zeros(2))
    state = ModelState.of(cell)
    cell.v.add_(torch.ones(2, requires_grad=True))
    state.restore()
    assert not cell.v.requires_grad
    assert cell.v.tolist() == [0, 0]


def test_bits_are_put_back_and_not_only_equal_values() -> None:
    cell = Cell(v=torch.tensor([0.0]))
    pass_over(cell, lambda cell: cell.v.data.neg_())
    assert not torch.signbit(cell.v).item()


def test_aliases_and_views() -> None:
    cell, base = Cell(), torch.arange(4.0)
    cell.a, cell.b, cell.upper, cell.array = base, base, base[2:], base.numpy()
    cell.register_buffer("shared", base)
    other = Cell()
    other.register_buffer("shared", base)
    cell.inner = other

    def change(cell: Any) -> None:
        cell.upper.zero_()
        cell.a, cell.shared, cell.array[0] = base + 1, base + 2, 9

    pass_over(cell, change)
    assert cell.a is cell.b is cell.shared is other.shared is base
    assert base.tolist() == cell.array.tolist() == [0, 1, 2, 3]
    assert cell.upper.tolist() == [2, 3]


class Wrapper(Tensor):
    """A tensor whose operators run on another; whoever reads its own memory crashes."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Wrapper:
        made: Wrapper = Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError("nobody asks")


def test_tensors_that_wrap_others() -> None:
    cell = Cell(v=Wrapper(torch.ones(2)))
    assert pass_over(cell, lambda cell: cell.v.inner.zero_()).unrestorable == []
    assert cell.v.inner.tolist() == [1, 1]


# -- containers and objects --------------------------------------------------------------------------------


def _swap(held: Any) -> None:
    held[0] = 7


HELD: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "list": (lambda: [1, [2]], lambda held: (held[1].append(3), held.append(None), held.pop(0))),
    "list cleared": (lambda: [1, 2], lambda held: held.clear()),
    "dict": (lambda: {"a": 1, "b": {"c": 2}}, lambda held: (held["b"].clear(), held.pop("a"))),
    "set": (lambda: {1, 2}, lambda held: (held.add(3), held.discard(1))),
    "deque": (lambda: collections.deque([1, 2], maxlen=2), lambda held: held.append(3)),
    "tuple": (lambda: (1, [2]), lambda held: held[1].append(3)),
    "bytearray": (lambda: bytearray(b"ab"), lambda held: held.append(0)),
    "array": (lambda: np.ones((2, 2)), lambda held: held.__imul__(0)),
    "array resized": (lambda: np.ones((2, 2)), lambda held: held.resize((3,), refcheck=False)),
    "array of objects": (lambda: np.array([[1], None], dtype=object), lambda held: held[0].append(2)),
    "counter": (lambda: collections.Counter("aab"), lambda held: held.update("abc")),
    "defaultdict": (lambda: collections.defaultdict(list, a=[1]), lambda held: held["a"].append(2)),
    "ordered": (lambda: collections.OrderedDict(a=1, b=2), lambda held: (held.move_to_end("a"), held.update(b=3))),
    "user list": (lambda: Ring([1, 2]), lambda held: (list.append(held, 3), setattr(held, "at", 1))),
    "namespace": (lambda: types.SimpleNamespace(v=1, w=[1]), lambda held: (setattr(held, "v", 2), held.w.clear())),
    "dataclass": (lambda: Memory(1, [1]), lambda held: (setattr(held, "v", 2), held.trace.append(3))),
    "user dict": (lambda: collections.UserDict(a=1), lambda held: held.update(a=2)),
}


@pytest.mark.parametrize("kind", HELD)
def test_containers_keep_identity_type_and_contents(kind: str) -> None:
    make, change = HELD[kind]
    cell = Cell(held=make(), n=1, name="a", nothing=None, flag=True)
    before = cell.held

    def pass_(cell: Any) -> None:
        change(cell.held)
        cell.held, cell.n, cell.name, cell.flag = [5], 2, "b", False

    state = pass_over(cell, pass_, always)
    assert cell.held is before
    assert type(cell.held) is type(make())
    assert repr(cell.held) == repr(make())
    assert (cell.n, cell.name, cell.nothing, cell.flag) == (1, "a", None, True)
    assert state.unrestorable == []


def test_slots() -> None:
    cell = Cell(held=Slotted())
    inner = cell.held.v

    def change(cell: Any) -> None:
        cell.held.v.zero_()
        cell.held.v, cell.held.unset = torch.zeros(3), 1

    pass_over(cell, change, always)
    assert cell.held.v is inner
    assert inner.tolist() == [1, 1]
    assert not hasattr(cell.held, "unset")


def test_cycles_and_depth() -> None:
    ring: list[Any] = [torch.ones(1)]
    ring.append(ring)
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    cell = Cell(ring=ring, deep=deep)
    cell.memory = Memory(cell)
    pass_over(cell, lambda cell: (cell.ring[0].zero_(), cell.ring.clear(), cell.deep.clear()))
    assert ring[1] is ring
    assert ring[0].tolist() == [1]
    assert len(deep) == 1


def test_iterators_go_on_from_where_they_were() -> None:
    cell = Cell(count=itertools.count(3), frames=[itertools.cycle("abc")], pairs=zip([1, 2], "ab", strict=True))
    cell.again = cell.count
    next(cell.frames[0])
    state = ModelState.of(cell)
    for _ in range(2):
        drawn = next(cell.count), next(cell.again), next(cell.frames[0]), next(cell.frames[0]), next(cell.pairs)
        assert drawn == (3, 4, "b", "c", (1, "a"))
        state.restore()
    assert state.unrestorable == []


def test_what_cannot_be_put_back_is_named_once_and_stops_nothing() -> None:
    cell = Cell(stream=(n for n in range(9)), untouched=(n for n in range(9)), v=torch.ones(1))
    values = np.ones(3)
    cell.fixed = values[:]
    cell.fixed.flags.writeable = False
    model = nn.Sequential(cell)
    state = ModelState.of(model)
    for _ in range(2):
        next(cell.stream)
        values[0] = 2
        cell.v = torch.zeros(1)
        state.restore()
    assert state.unrestorable == ["0.stream", "0.fixed"]
    assert cell.v.tolist() == [1]


def test_random_generators_and_functions_stay() -> None:
    generator = torch.Generator().manual_seed(1)
    cell = Cell(
        generator=generator, function=len, numpy=np.random.default_rng(1), kind=Memory, proxy=weakref.ref(Memory)
    )
    drawn = torch.rand(1, generator=generator)
    pass_over(cell, lambda cell: torch.rand(1, generator=generator))
    assert torch.rand(1, generator=generator) != drawn
    assert cell.generator is generator


# -- what was not there before -----------------------------------------------------------------------------


@pytest.mark.parametrize("is_state", [True, False])
def test_what_was_absent_or_none_is_asked_about(is_state: bool) -> None:
    cell = Cell(v=None, memory=Memory(), states={"a": None}, deep=[{"k": {}}], _memories={"m": None})
    cell.register_buffer("trace", None)
    asked = []

    def ask(module: nn.Module, name: str, value: Any) -> bool:
        asked.append((module, name, value))
        return is_state

    def change(cell: Any) -> None:
        cell.v, cell.new, cell.memory.v, cell.states["a"], cell.states["b"] = 1, 2, 3, 4, 5
        cell.deep[0]["k"]["x"], cell._memories["m"], cell.trace = 6, 7, torch.ones(1)
        cell.register_buffer("made", torch.ones(1))

    pass_over(cell, change, ask)
    assert all(module is cell for module, _, _ in asked)
    names = sorted(name for _, name, _ in asked)
    assert names == ["deep", "m", "made", "memory", "new", "states", "states", "trace", "v"]
    assert (cell.v is None, hasattr(cell, "new"), cell.memory.v is None) == (is_state, not is_state, is_state)
    assert cell.states == ({"a": None} if is_state else {"a": 4, "b": 5})
    assert cell.deep == ([{"k": {}}] if is_state else [{"k": {"x": 6}}])
    assert ("made" in cell._buffers, cell.trace is None) == (not is_state, is_state)
    assert cell.__dict__["_memories"]["m"] == (None if is_state else 7)


def test_attributes_that_went_come_back() -> None:
    cell = Cell(v=1, w=None, states={"a": 1, "b": 2})
    cell.register_buffer("trace", torch.ones(1))

    def change(cell: Any) -> None:
        del cell.v, cell.w, cell.trace, cell.states["a"]

    pass_over(cell, change)
    assert (cell.v, cell.w, cell.trace.tolist(), list(cell.states)) == (1, None, [1], ["a", "b"])


def test_lazy_modules_stay_as_they_were_made() -> None:
    model = nn.Sequential(nn.LazyLinear(2), nn.LazyBatchNorm1d(), Cell(v=0))
    state = ModelState.of(model)
    state.restore()
    assert isinstance(model[0], nn.LazyLinear)
    for _ in range(2):
        with torch.no_grad():
            model[:2](torch.ones(4, 3))
        model[2].v = 1
        state.restore()
        assert (type(model[0]), model[0].in_features, model[0].weight.shape) == (nn.Linear, 3, (2, 3))
        assert (type(model[1]), model[1].num_features, model[2].v) == (nn.BatchNorm1d, 2, 0)
        assert not hasattr(model[0], "_initialize_hook")
    assert state.unrestorable == state.changed_parameters() == []


# -- parameters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["in place", "data", "data set", "replaced"])
@pytest.mark.parametrize("size", [3, 5000])
def test_parameters_that_are_written_to_are_named(size: int, way: str) -> None:
    model = nn.Sequential(nn.Linear(1, size), nn.Linear(size, 1))
    weight, values = model[0].weight, model[0].weight.detach().clone()

    def change(model: Any) -> None:
        if way == "replaced":
            model[0].weight = nn.Parameter(values + 1)
        elif way == "data set":
            model[0].weight.data = values + 1
        else:
            (weight if way == "in place" else weight.data).add_(1)

    state = pass_over(model, change)
    assert state.changed_parameters() == state.changed_parameters() == ["0.weight"]
    assert model[0].weight is weight
    kept = size == 3 or way in ("data set", "replaced")
    assert torch.equal(weight, values) is kept
    assert state.unrestorable == (["0.weight"] if size > 3 and way == "in place" else [])


# -- modules of any class ----------------------------------------------------------------------------------


class Stubborn(Cell):
    """Reads and writes its attributes in its own way."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("read only")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no such thing")

    @property
    def w(self) -> Any:
        raise RuntimeError("not now")

    def modules(self, family: str) -> Any:
        raise RuntimeError(family)

    named_modules = parameters = buffers = named_children = modules


def test_overridden_attributes_and_walks() -> None:
    cell = Stubborn(v=torch.ones(1), w=1)
    own = cell.__dict__
    assert pass_over(nn.Sequential(cell), lambda model: own.update(v=None, w=2)).unrestorable == []
    assert (own["v"].tolist(), own["w"]) == ([1], 1)


def test_modules_that_are_not_registered_and_shared_ones() -> None:
    hidden, shared = Cell(v=1), Cell(v=1)
    shared.parent = nn.Sequential(shared)
    model = nn.Sequential(shared, Cell(held=[hidden]), shared)
    state = ModelState.of(model)
    hidden.v = shared.v = 2
    state.restore()
    assert hidden.v == shared.v == 1
    assert len([kept for kept in state._kept if kept.held is shared.__dict__]) == 1


@pytest.mark.parametrize("compiler", ["script", "trace", "loaded"])
def test_scripted_modules(compiler: str, tmp_path: Any) -> None:
    model: Any = torch.jit.script(Scripted()) if compiler != "trace" else None
    if compiler == "trace":
        model = torch.jit.trace(Scripted(), torch.ones(2), check_trace=False)
    if compiler == "loaded":
        model.save(str(tmp_path / "model.pt"))
        model = torch.jit.load(str(tmp_path / "model.pt"))
    state = ModelState.of(nn.Sequential(model))
    outputs = []
    for _ in range(2):
        with torch.no_grad():
            outputs.append(model(torch.ones(2)) + model(torch.ones(2)))
        state.restore()
    assert torch.equal(*outputs)
    assert state.unrestorable == state.changed_parameters() == []


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls, self.v = 0, torch.zeros(2)
        self.register_buffer("trace", torch.zeros(2))
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.v = self.v + x
        self.trace += self.calls
        return self.fc(x) + self.v + self.trace


def test_recurrent_layers_and_pruned_weights() -> None:
    model = nn.Sequential(nn.GRU(2, 3), nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)))
    prune.random_unstructured(model[0], "weight_ih_l0", 0.5)
    state = pass_over(model, lambda model: model[1](model[0](torch.ones(4, 1, 2))[0]))
    assert state.unrestorable == state.changed_parameters() == []


def test_a_spikingjelly_neuron() -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    node = neuron.IFNode()
    state = ModelState.of(node)
    first = node(torch.full((2,), 0.75))
    state.restore()
    assert node.v == 0
    assert torch.equal(node(torch.full((2,), 0.75)), first)


# -- the rest ----------------------------------------------------------------------------------------------


def test_modes_see_nothing() -> None:
    class Mode(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.seen += 1
            return function(*args, **(kwargs or {}))

    cell = Cell(v=torch.ones(2))
    with Mode() as mode:
        state = ModelState.of(cell)
        cell.v.zero_()
        seen = mode.seen
        state.restore()
        state.changed_parameters()
    assert (seen, mode.seen) == (1, 1)
    assert cell.v.tolist() == [1, 1]


def test_an_interrupt_comes_through() -> None:
    def interrupt(module: nn.Module, name: str, value: Any) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pass_over(Cell(v=None), lambda cell: setattr(cell, "v", 1), interrupt)


def test_restoring_where_nothing_changed_is_quick() -> None:
    layers = [nn.Conv2d(8, 8, 3) if n % 2 else nn.BatchNorm2d(8) for n in range(200)]
    state = ModelState.of(nn.Sequential(*layers))
    times = []
    for _ in range(20):
        start = time.perf_counter()
        state.restore()
        times.append(time.perf_counter() - start)
    assert min(times) < 3e-3

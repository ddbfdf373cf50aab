"""Functions that run one operator are counted as they are called: the same counts as when the operator is watched."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from snnprof.record import direct_calls, dispatch
from snnprof.record.operators import operator
from snnprof.record.recorder import Recorder

MODES = {"no_grad": torch.no_grad, "grad": torch.enable_grad, "inference_mode": torch.inference_mode}


class Net(nn.Module):
    """A function between two layers, so that what it makes is read."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.run, self.first, self.last = run, nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.run(self.first(x)))


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operators that pass through the dispatch mode."""
    names: list[str] = []
    known = dispatch.overload_of

    def spy(func: Any) -> Any:
        names.append(func.overloadpacket.__name__)
        return known(func)

    monkeypatch.setattr(dispatch, "overload_of", spy)
    return names


def counted(net: nn.Module, watched: list[str], batches: int = 3) -> dict[str, Any]:
    """What was counted of some batches of different sizes; `watched` keeps what the dispatch mode saw of the last."""
    with Recorder(net) as recorder:
        for number in range(batches):
            x = torch.rand(2 + number, 6, generator=torch.Generator().manual_seed(number))
            watched.clear()
            net(x)
            recorder.end_batch()
            recorder.end_block(2 + number)
    activity = recorder.activity()
    assert activity.elementwise
    return activity.model_dump(exclude={"run"})


def both_ways(monkeypatch: pytest.MonkeyPatch, watched: list[str], net: nn.Module) -> list[str]:
    """Checks that watching each operator counts the same; what the dispatch mode saw where it need not see all."""
    found = counted(net, watched)
    seen = list(watched)
    with monkeypatch.context() as patched:
        patched.setattr(direct_calls, "FUNCTIONS", {})
        assert counted(net, watched) == found
    return seen


# -- the table -------------------------------------------------------------------------------------------------


class Log(TorchDispatchMode):
    """The names of the operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


X = torch.rand(2, 3, 4)
OPERANDS = [X, (X > 0.5).float(), X > 0.5, X.transpose(0, 1)]
ONE = {name: [()] for name in ("relu", "relu_", "logical_not", "logical_not_", "float")}
TWO = {name: [(torch.rand(2, 3, 4) > 0.5,), (torch.rand(4),)] for name in ("logical_and", "maximum", "minimum")}
ARGUMENTS: dict[str, list[tuple[Any, ...]]] = ONE | TWO | {
    "to": [(torch.float64,), (X,), (torch.bool,)],
    "clamp": [(0.2, 0.5)],
    "clamp_": [(0.2, 0.5)],
    "masked_fill": [(X > 0.5, 0.0)],
    "masked_fill_": [(X > 0.5, 0.0)],
    "mean": [(), (1,), ((0, 2), True)],
    "sum": [(), (1,), ([0, 2], True)],
    "permute": [((2, 0, 1),)],
    "transpose": [(0, 1)],
    "transpose_": [(0, 1)],
    "view": [((6, 4),)],
    "expand": [((5, 2, 3, 4),)],
    "reshape": [((6, 4),), ((-1,),)],
    "flatten": [(), (1,)],
    "unflatten": [(2, (2, 2))],
    "unsqueeze": [(0,)],
    "squeeze": [(), (0,)],
}  # fmt: skip
OTHERS = [(torch.rand(2, 3, 4),), (torch.rand(4),), (nn.Parameter(torch.rand(3, 1)),), (0.5,), (2,)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("func", direct_calls.FUNCTIONS, ids=lambda func: func.__name__)
def test_a_function_runs_the_operator_that_it_stands_for(func: Any, mode: str) -> None:
    called, ran = direct_calls.FUNCTIONS[func], 0
    with MODES[mode]():
        for operand in [values.clone() for values in OPERANDS]:
            for rest in ARGUMENTS.get(func.__name__, OTHERS):
                with Log() as log:
                    try:
                        func(operand, *rest)
                    except (RuntimeError, TypeError):  # not of this operand
                        continue
                working = [name for name in log.names if not operator(name).moves]
                assert working == ([] if called.free else [called.name]), rest
                ran += 1
    assert ran


def test_the_table_holds_what_hand_written_neurons_are_made_of() -> None:
    names = {func.__name__ for func in direct_calls.FUNCTIONS}
    assert names >= {"add", "sub", "mul", "div", "add_", "ge", "float", "__rsub__", "mean", "view", "flatten"}


# -- counts ----------------------------------------------------------------------------------------------------


def loop(x: Tensor) -> Tensor:
    """A hand-written neuron of each kind: real and spiking sums, flags, writes, a number on the left."""
    v, total = torch.zeros(()), torch.zeros(len(x), 6)
    for _ in range(3):
        v = v + (x - v) / 2
        spikes = (v >= 0.1).float()
        v = v * (1 - spikes)
        total += spikes
        total.mul_(2).sub_(spikes)
    return total


def masked(x: Tensor) -> Tensor:
    fired = torch.logical_or(x > 0.1, x.lt(-0.1)).to(x.dtype)
    return torch.masked_fill(x, fired != 0, 0.0).clamp_(-1.0, 1.0).relu() + fired * fired


def folded(x: Tensor) -> Tensor:
    """Spikes through views and a copy that a view needs, read on both sides."""
    spikes = (x > 0).float().unsqueeze(0).expand(2, -1, -1)
    pieces = spikes.unflatten(2, (2, 3)).transpose(1, 2)
    merged = pieces.flatten(0, 1).reshape(-1, 3).view(2, 2, -1, 3).permute(0, 2, 1, 3).flatten(2)
    return (merged + spikes).mean(0) + merged.sum(0)


def written(x: Tensor) -> Tensor:
    """What was read is written to, and read again."""
    spikes = (x > 0).float()
    total = spikes @ torch.ones(6, 6)
    spikes.sub_(spikes * spikes)
    return total + spikes @ torch.ones(6, 6)


RUNS = {"loop": loop, "masked": masked, "folded": folded, "written": written}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("run", RUNS)
def test_what_is_called_is_what_is_watched(
    monkeypatch: pytest.MonkeyPatch, watched: list[str], run: str, mode: str
) -> None:
    with MODES[mode]():
        seen = both_ways(monkeypatch, watched, Net(RUNS[run]))
    if mode != "grad":  # autograd's own hooks may run more
        assert set(seen) <= {"zeros", "ones", "mm", "matmul", "linear", "addmm", "t"}


def test_by_hand(watched: list[str]) -> None:
    """Of 2 + 3 + 4 samples: three steps of six neurons."""
    found = counted(Net(loop), watched)["elementwise"]
    elements = {line["op"]: line["elements"] for line in found if line["layer"] == ""}
    neurons = 9 * 6 * 3
    assert elements == {"add": 4 * neurons, "mul": 3 * neurons, "compare": neurons, "bias": neurons}


# -- what the dispatch mode has to see -------------------------------------------------------------------------------


class Looking(TorchFunctionMode):
    """Somebody else who wants to see each call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls.append(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


def within(make: Callable[[], AbstractContextManager[Any]]) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        with make():
            return loop(x)

    return run


def tangents(x: Tensor) -> Tensor:
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.ones_like(x))
        return forward_ad.unpack_dual(dual.mul(dual) + dual).primal


def packed(x: Tensor) -> Tensor:
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(lambda t: t * 0.5, lambda t: t):
        return x.detach().requires_grad_().mul(x)


class Wrapped(Tensor):
    """A tensor of another class, which may do anything."""


WATCHED: dict[str, Callable[[Tensor], Tensor]] = {
    "another dispatch mode": within(Log),
    "a map": lambda x: torch.vmap(lambda row: (row - 0.1) * row)(x),
    "a tensor of another class": lambda x: (x.as_subclass(Wrapped) - 0.1).as_subclass(Tensor),
    "a keyword": lambda x: x.sub(0.1, alpha=2),
    "a result of its own": lambda x: torch.mul(x, x, out=torch.empty_like(x)),
    "a number first": lambda x: torch.mul(2, x),
    "tangents": tangents,
    "a hook of autograd": packed,
    "another layout": lambda x: x.to_sparse().mul(2).to_dense() - x,
    "a layout without strides": lambda x: x.to_mkldnn().reshape(x.shape).to_dense().cumsum(1),
    "no function of the table": lambda x: x.cumsum(1),
}


@pytest.mark.parametrize("kind", WATCHED)
def test_what_may_run_something_else_is_watched(monkeypatch: pytest.MonkeyPatch, watched: list[str], kind: str) -> None:
    with torch.no_grad():
        seen = both_ways(monkeypatch, watched, Net(WATCHED[kind]))
    assert {"sub", "mul", "cumsum"} & set(seen)


def test_calls_below_the_users_own_mode_are_watched(monkeypatch: pytest.MonkeyPatch, watched: list[str]) -> None:
    with torch.no_grad(), Looking():
        assert "sub" in both_ways(monkeypatch, watched, Net(loop))


class Cell(nn.Module):
    """A neuron that may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: type[BaseException] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.failure:
            raise self.failure
        return (x > 0).float()


@pytest.mark.parametrize("outside", [True, False])
def test_the_users_own_mode_sees_all_calls(outside: bool) -> None:
    """Also inside a neuron, and what is asked of tensors while counting is none of them."""
    net, looking, x = nn.Sequential(nn.Linear(6, 6), Cell(), nn.Linear(6, 2)), Looking(), torch.rand(2, 6)

    def calls_of_a_pass() -> list[str]:
        looking.calls.clear()
        with looking:
            net(x)
        return list(looking.calls)

    alone = calls_of_a_pass()
    if outside:
        with looking, Recorder(net, neuron=("Cell",)) as recorder:
            for _ in range(2):
                looking.calls.clear()
                net(x)
                found = [name for name in looking.calls if name in alone]
                recorder.end_batch()
    else:
        with Recorder(net, neuron=("Cell",)) as recorder:
            for _ in range(2):
                found = calls_of_a_pass()
                recorder.end_batch()
    assert found[: len(alone)] == alone == ["linear", "gt", "float", "linear"]


def test_a_mode_entered_inside_a_neuron_and_left_after_it_is_left() -> None:
    cell, looking = Cell(), Looking()
    net = nn.Sequential(nn.Linear(6, 6), cell, nn.Linear(6, 2))
    with torch.no_grad(), Recorder(net, neuron=("Cell",)) as recorder:
        net(torch.rand(2, 6))
        recorder.end_batch()
        cell.register_forward_pre_hook(lambda module, args: looking.__enter__() and None)
        cell.register_forward_hook(lambda module, args, output: looking.__exit__(None, None, None))
        for _ in range(2):
            net(torch.rand(2, 6))
            assert torch._C._len_torch_function_stack() == 1
        looking.calls.clear()
        net[2](torch.rand(2, 6))
    assert looking.calls == []


def test_the_users_own_dispatch_mode_works_inside_a_neuron() -> None:
    class Halving(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*args, **(kwargs or {})) / 2

    class Odd(Cell):
        def forward(self, x: Tensor) -> Tensor:
            with Halving():
                halves = torch.ones(2) + 1
            return super().forward(x) * halves[0]

    net = nn.Sequential(nn.Linear(6, 6), Odd(), nn.Linear(6, 2))
    x = torch.rand(2, 6)
    with torch.no_grad(), Recorder(net, neuron=("Odd",)) as recorder:
        alone = net(x)
        recorder.end_batch()
        assert torch.equal(net(x), alone)


def test_a_function_that_leaves_it_to_the_other_operand() -> None:
    class Scale:
        value: Any = 2.0

        def __sub__(self, x: Tensor) -> Any:
            return NotImplemented

    scale = Scale()
    net = Net(lambda x: scale.value - x)
    with torch.no_grad(), Recorder(net) as recorder:
        net(torch.rand(2, 6))
        recorder.end_batch()
        scale.value = [1]
        with pytest.raises(TypeError, match="unsupported operand"):
            net(torch.rand(2, 6))


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_nothing_stays_hidden_after_an_error_in_a_neuron(watched: list[str], failure: type[BaseException]) -> None:
    cell = Cell()
    net = nn.Sequential(nn.Linear(6, 6), cell, nn.Linear(6, 2))
    for _ in range(2):
        with Looking(), Recorder(net, neuron=("Cell",)) as recorder:
            cell.failure = None
            net(torch.rand(2, 6))
            recorder.end_batch()
            cell.failure = failure
            with pytest.raises(failure):
                net(torch.rand(2, 6))
        assert torch._C._len_torch_function_stack() == torch._C._len_torch_dispatch_stack() == 0
        with Log() as log:
            torch.ones(2) + 1
        assert "add" in log.names


def test_after_a_call_that_failed_everything_is_watched(watched: list[str]) -> None:
    net = Net(lambda x: (x - torch.ones(x.shape[0], 6)).cumsum(1))
    with torch.no_grad(), Recorder(net) as recorder:
        net(torch.rand(2, 6))
        recorder.end_batch()
        net.run = lambda x: (x - torch.ones(5, 5)).cumsum(1)
        with pytest.raises(RuntimeError):
            net(torch.rand(2, 6))
        watched.clear()
        net.run = lambda x: x.cumsum(1)
        net(torch.rand(2, 6))
    assert "cumsum" in watched

"""What runs without a recorder runs with one, whatever it is made of: it is counted or listed, or a finding says so."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

import snnprof
from snnprof.activity import Activity
from snnprof.record import layers
from snnprof.record.recorder import Recorder
from snnprof.workload import flops

BATCH, WIDTH = 3, 6
EACH = WIDTH  # MACs of one input element in a layer of this width
MACS = BATCH * WIDTH * WIDTH
MODES = {"no_grad": torch.no_grad, "grad": torch.enable_grad, "inference_mode": torch.inference_mode}
X = (torch.rand(BATCH, WIDTH, generator=torch.Generator().manual_seed(0)) < 0.4).float()
SPIKES = int(X.sum())


class Net(nn.Module):
    """A function of three linear layers, a, b and c, and what goes in."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.a, self.b, self.c = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def recorded(net: nn.Module, x: Tensor, mode: str = "no_grad", **options: Any) -> Activity:
    """Two batches, the second counted by the plans of the first; the output must be that of the model alone."""
    with MODES[mode]():
        torch.manual_seed(1)
        alone = net(x)
        with Recorder(net, **options) as recorder:
            for _ in range(2):
                torch.manual_seed(1)
                result = net(x)
                recorder.end_batch()
                recorder.end_block(len(x))
    assert torch._C._len_torch_dispatch_stack() == torch._C._len_torch_function_stack() == 0
    if isinstance(alone, Tensor) and type(alone) is Tensor:
        torch.testing.assert_close(result, alone)
    return recorder.activity()


def rows(activity: Activity) -> dict[str, tuple[int, int]]:
    """Dense MACs and events of one batch, by layer."""
    found: dict[str, tuple[int, int]] = {}
    for op in activity.ops:
        macs, events = found.get(op.layer, (0, 0))
        found[op.layer] = macs + op.dense_macs // 2, events + op.events // 2
    return found


def listed(activity: Activity) -> set[str]:
    return {entry.op for entry in activity.uncounted}


def codes(activity: Activity) -> set[str]:
    return {finding.code for finding in activity.findings}


# -- operators that run functions --------------------------------------------------------------------------------


def branches(net: Net, x: Tensor) -> Tensor:
    return net.b(torch.cond(x.sum() > 1, lambda v: net.a(v), lambda v: net.c(v), (x,)))


def loops(net: Net, x: Tensor) -> Tensor:
    from torch._higher_order_ops.while_loop import while_loop

    _, y = while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, (net.a(v) > 0).float()), (torch.tensor(0), x))
    return net.b(y)


def scans(net: Net, x: Tensor) -> Tensor:
    from torch._higher_order_ops.scan import scan

    def step(v: Tensor, now: Tensor) -> tuple[Tensor, Tensor]:
        v = v * 0.5 + net.a(now)
        spikes = (v > 0).float()
        return v - spikes, spikes.clone()

    _, spikes = scan(step, torch.zeros_like(x), x.unsqueeze(0).repeat(4, 1, 1))
    return net.b(spikes)


def maps(net: Net, x: Tensor) -> Tensor:
    from torch._higher_order_ops.map import map as mapped

    return net.b((mapped(lambda row: net.a(row), x) > 0).float())


def attends(net: Net, x: Tensor) -> Tensor:
    from torch.nn.attention.flex_attention import flex_attention

    q, k = ((layer(x) > 0).float().view(1, 1, BATCH, WIDTH) for layer in (net.a, net.b))
    return flex_attention(q, k, x.view(1, 1, BATCH, WIDTH)).view(BATCH, WIDTH)


def checkpointed(net: Net, x: Tensor) -> Tensor:
    from torch.utils.checkpoint import checkpoint

    return net.b(checkpoint(net.a, x, use_reentrant=False))


HIGHER_ORDER: dict[str, tuple[Callable[[Net, Tensor], Tensor], dict[str, int]]] = {
    "cond": (branches, {"a": 1, "b": 1}),
    "while_loop": (loops, {"a": 3, "b": 1}),
    "scan": (scans, {"a": 4, "b": 4}),
    "map": (maps, {"a": 1, "b": 1}),
    "checkpoint": (checkpointed, {"a": 1, "b": 1}),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", HIGHER_ORDER)
def test_what_an_operator_runs_is_counted(name: str, mode: str) -> None:
    function, times = HIGHER_ORDER[name]
    activity = recorded(Net(function), X, mode)
    assert {layer: macs for layer, (macs, _) in rows(activity).items()} == {k: n * MACS for k, n in times.items()}
    assert listed(activity) == set()


def test_what_a_scan_puts_out_are_spikes() -> None:
    activity = recorded(Net(scans), X)
    (second,) = [op for op in activity.ops if op.layer == "b"]
    assert {part.kind for part in second.parts} == {"spikes"}
    assert rows(activity)["a"][1] == 4 * SPIKES * EACH


@pytest.mark.parametrize("mode", ["no_grad", "inference_mode"])  # no kernel for the CPU knows a gradient
def test_attention_with_functions_is_counted_as_pairs(mode: str) -> None:
    net = Net(attends)
    activity = recorded(net, X, mode)
    with torch.no_grad():
        q, k = ((layer(X) > 0).double() for layer in (net.a, net.b))
    scores, values = [op for op in activity.ops if op.op == "matmul"]
    assert scores.events == 2 * int((q @ k.T).sum())
    assert scores.dense_macs == values.dense_macs == 2 * BATCH * BATCH * WIDTH


def test_what_nobody_can_look_into_is_listed() -> None:
    from torch._ops import HigherOrderOperator

    class Doubles(HigherOrderOperator):
        def __init__(self) -> None:
            super().__init__("snnprof_doubles")

        def __call__(self, function: Any, x: Tensor) -> Any:
            return super().__call__(function, x)

    doubles = Doubles()
    doubles.py_impl(torch._C.DispatchKey.CompositeExplicitAutograd)(lambda function, x: x * 2)
    doubles.py_impl(torch._C.DispatchKey.Autograd)(lambda function, x: x * 2)
    with torch.no_grad():
        activity = recorded(Net(lambda net, x: net.b(doubles(net.a, x))), X, "inference_mode")
    assert listed(activity) == {"higher_order::snnprof_doubles"}
    assert rows(activity)["b"][0] == MACS


# -- operators of other libraries --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def library() -> Any:
    """Operators with PyTorch's names, which do something else; one writes to what it is given, and returns nothing."""

    @torch.library.custom_op("snnprof_foreign::mm", mutates_args=())
    def mm(a: Tensor, b: Tensor) -> Tensor:
        return a + b

    @torch.library.custom_op("snnprof_foreign::convolution", mutates_args=())
    def convolution(a: Tensor) -> list[Tensor]:
        return [a * 2, a + 1]

    @torch.library.custom_op("snnprof_foreign::view", mutates_args=())
    def view(a: Tensor, name: str) -> Tensor:
        return a @ a.t() @ a

    @torch.library.custom_op("snnprof_foreign::fill_", mutates_args=("out",))
    def fill_(out: Tensor, a: Tensor) -> None:
        out.copy_(a)

    return torch.ops.snnprof_foreign


@pytest.mark.parametrize("mode", MODES)
def test_operators_of_other_libraries_are_no_operators_of_pytorch(library: Any, mode: str) -> None:
    runs: dict[str, Callable[[Net, Tensor], Tensor]] = {
        "snnprof_foreign::mm": lambda net, x: library.mm(x, net.a.weight[:BATCH]),
        "snnprof_foreign::convolution": lambda net, x: library.convolution(x)[1],
        "snnprof_foreign::view": lambda net, x: library.view(x, "as it is"),
    }
    for name, run in runs.items():
        activity = recorded(Net(lambda net, x, run=run: net.b(run(net, x))), X, mode)
        assert listed(activity) == {name}
        assert rows(activity).keys() == {"b"}


def test_what_another_library_writes_to_is_data(library: Any) -> None:
    def fills(net: Net, x: Tensor) -> Tensor:
        buffer = torch.ones_like(x)
        library.fill_(buffer, x)
        return net.b(buffer)

    activity = recorded(Net(fills), X)
    assert rows(activity) == {"b": (MACS, SPIKES * EACH)}
    assert listed(activity) == {"snnprof_foreign::fill_"}


def quantised() -> nn.Module:
    from torch.ao import quantization

    class Static(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.after = quantization.QuantStub(), quantization.DeQuantStub()
            self.conv, self.fc = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(100, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.after(self.fc(torch.relu(self.conv(self.before(x))).flatten(1)))

    model: Any = Static().eval()
    model.qconfig = quantization.get_default_qconfig(torch.backends.quantized.engine)
    prepared = quantization.prepare(model)
    prepared(torch.rand(2, 2, 5, 5))
    return quantization.convert(prepared)


@pytest.mark.filterwarnings("ignore")
def test_quantised_layers_are_listed() -> None:
    activity = recorded(quantised(), torch.rand(2, 2, 5, 5))
    assert activity.ops == []
    assert {"quantized::conv2d", "quantized::linear", "dequantize"} <= listed(activity)


@pytest.mark.filterwarnings("ignore")
def test_layers_that_are_quantised_as_they_run_are_listed() -> None:
    model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(6, 6)), {nn.Linear}, dtype=torch.qint8)
    assert listed(recorded(model, X)) == {"quantized::linear_dynamic"}


# -- tensors of other kinds --------------------------------------------------------------------------------------


class Shell(Tensor):
    """A tensor round another."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Shell:
        options = {"dtype": held.dtype, "strides": held.stride(), "requires_grad": held.requires_grad}
        shell = Tensor._make_wrapper_subclass(cls, held.shape, **options)  # type: ignore[attr-defined]
        shell.held = held
        return shell

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map_only(Shell, lambda shell: shell.held, (args, kwargs or {}))
        return tree_map_only(Tensor, Shell, func(*args, **kwargs))


@pytest.mark.parametrize("mode", MODES)
def test_operators_inside_a_tensor_are_counted(mode: str) -> None:
    activity = recorded(Net(lambda net, x: net.b((net.a(Shell(x)) > 0).float()).held), X, mode)
    found = rows(activity)
    assert found["a"] == (MACS, SPIKES * EACH)
    assert found["b"][0] == MACS
    assert listed(activity) == set()


def test_a_plain_subclass_is_a_tensor() -> None:
    class Named(Tensor):
        pass

    activity = recorded(Net(lambda net, x: net.a(x.as_subclass(Named)).as_subclass(Tensor)), X)
    assert rows(activity) == {"a": (MACS, SPIKES * EACH)}


def test_what_holds_a_tensors_values() -> None:
    ragged = torch.nested.nested_tensor([X[:1], X[1:]], layout=torch.jagged)
    masked = torch.masked.masked_tensor(X, X > 0)
    for tensor in (X, Shell(X), Shell(Shell(X)), ragged, masked, X.to_sparse(), X.to_sparse_csr()):
        held = layers.held(tensor)
        assert held is not None
        assert layers.is_own(held)
        assert torch.equal(held, X)
    assert layers.held(torch.empty(2, device="meta")) is None


def test_rows_of_several_lengths_are_counted() -> None:
    def ragged(net: Net, x: Tensor) -> Tensor:
        rows = torch.nested.nested_tensor([x[:2], x[2:]], layout=torch.jagged)
        return torch.cat(list(net.b((net.a(rows) > 0).float()).unbind()))

    found = rows(recorded(Net(ragged), X))
    assert found["a"] == (MACS, SPIKES * EACH)
    assert found["b"][0] == MACS


@pytest.mark.filterwarnings("ignore")
def test_nested_tensors_without_such_rows_are_listed() -> None:
    def nested(net: Net, x: Tensor) -> Tensor:
        return torch.cat(list(net.a(torch.nested.nested_tensor([x[:2], x[2:]])).unbind()))

    assert "linear" in listed(recorded(Net(nested), X))


SPARSE: dict[str, Callable[[Net, Tensor], Tensor]] = {
    "_sparse_addmm": lambda net, x: torch.sparse.mm(net.a.weight.to_sparse(), x.t()).t(),
    "mm": lambda net, x: (net.a.weight.to_sparse_csr() @ x.t()).t(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SPARSE)
def test_sparse_products_are_listed(name: str, mode: str) -> None:
    activity = recorded(Net(lambda net, x: net.b(SPARSE[name](net, x))), X, mode)
    assert name in listed(activity)
    assert rows(activity)["b"][0] == MACS


def test_complex_numbers_count_where_a_part_of_them_is_not_zero() -> None:
    weight = torch.randn(WIDTH, WIDTH, dtype=torch.complex64)
    activity = recorded(Net(lambda net, x: (x * 1j @ weight).real), X)
    assert rows(activity) == {"": (MACS, SPIKES * EACH)}
    assert "C32" in codes(activity)


def test_what_has_no_values_is_not_read() -> None:
    def describes(net: Net, x: Tensor) -> Tensor:
        size = (x.to("meta") @ torch.ones(WIDTH, 4, device="meta")).shape[1]
        return net.a(x)[:, :size]

    assert rows(recorded(Net(describes), X)) == {"a": (MACS, SPIKES * EACH)}


@pytest.mark.parametrize("levels", [1, 3])
def test_a_batch_of_nothing(levels: int) -> None:
    def empty(net: Net, x: Tensor) -> Tensor:
        spikes = (x * 3).round().clamp(0, levels)
        return torch.cat([net.a(spikes[:0]), net.a(spikes)])

    assert rows(recorded(Net(empty), X)) == {"a": (MACS, SPIKES * EACH)}


# -- spikes that are looked at some other way --------------------------------------------------------------------

VIEWS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "as they are": (lambda x: x, lambda y, x: y),
    "rows": (lambda x: x.flatten(1), lambda y, x: y.view(x.shape)),
    "one row": (lambda x: x.flatten(), lambda y, x: y.view(x.shape)),
    "of all samples": (lambda x: x.flatten(0, 1), lambda y, x: y.view(x.shape)),
    "channels last": (lambda x: x.contiguous(memory_format=torch.channels_last), lambda y, x: y),
    "permuted": (lambda x: x.permute(0, 2, 3, 1), lambda y, x: y.permute(0, 3, 1, 2)),
    "tokens": (lambda x: x.flatten(2).transpose(1, 2), lambda y, x: y.transpose(1, 2).view(x.shape)),
    "tokens in a row": (lambda x: x.flatten(2).mT.contiguous(), lambda y, x: y.mT.reshape(x.shape)),
    "transposed": (lambda x: x.transpose(0, 1), lambda y, x: y.transpose(0, 1)),
    "reversed": (lambda x: x.permute(3, 2, 1, 0), lambda y, x: y.permute(3, 2, 1, 0)),
    "steps first": (lambda x: x.view(2, -1, *x.shape[1:]), lambda y, x: y.flatten(0, 1)),
    "one more axis": (lambda x: x.unsqueeze(0), lambda y, x: y.squeeze(0)),
    "expanded": (lambda x: x.unsqueeze(1).expand(-1, 2, -1, -1, -1), lambda y, x: y[:, 0]),
}


class Looks(nn.Module):
    """Fires on another view of what comes in, and puts that out as the input was."""

    def __init__(self, view: str, flags: bool) -> None:
        super().__init__()
        self.there, self.back = VIEWS[view]
        self.flags = flags

    def forward(self, x: Tensor) -> Tensor:
        fired = self.there(x) > 0
        return self.back(fired if self.flags else fired.float(), x)


class Between(nn.Module):
    """Such a neuron twice between the same convolutions: what was asked of the first is asked of the second as well."""

    def __init__(self, looks: Looks) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.Conv2d(4, 3, 3, bias=False)
        self.looks = looks

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.looks(self.first(x)).float()) + self.last(self.looks(self.first(-x)).float())

    def events(self, x: Tensor) -> int:
        ones = torch.ones_like(self.last.weight).double()
        with torch.no_grad():
            fired = [self.looks(self.first(part)).double() for part in (x, -x)]
            return sum(int(torch.conv2d(spikes, ones).sum()) for spikes in fired)


@pytest.mark.parametrize("timesteps", [None, 2])
@pytest.mark.parametrize("flags", [True, False], ids=["flags", "floats"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_neuron_may_look_at_its_input_some_other_way(view: str, flags: bool, timesteps: int | None) -> None:
    net, x = Between(Looks(view, flags)), torch.rand(4, 2, 5, 5)
    activity = recorded(net, x, timesteps=timesteps)
    assert rows(activity)["last"][1] == net.events(x)
    assert activity.neurons


# -- models that go on after an exception ------------------------------------------------------------------------


class Fails(nn.Module):
    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.inner, self.error = nn.Linear(WIDTH, WIDTH, bias=False), error

    def forward(self, x: Tensor) -> Tensor:
        self.inner(x)
        raise self.error


class Goes(Net):
    """On with b, where a fails."""

    def __init__(self, failing: nn.Module, error: type[BaseException]) -> None:
        super().__init__(lambda net, x: x)
        self.a, self.error = failing, error  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Any:
        try:
            y = self.a(x)
        except self.error:
            y = self.b(x)
        return self.c((y > 0).float())


@pytest.mark.parametrize("error", [ValueError, StopIteration])
def test_a_model_that_catches_an_exception_of_a_module(error: type[BaseException]) -> None:
    found = rows(recorded(Goes(Fails(error), error), X))
    assert found["a.inner"] == found["b"] == (MACS, SPIKES * EACH)
    assert found["c"][0] == MACS


def test_what_does_not_run_is_not_counted() -> None:
    narrow = nn.Linear(WIDTH + 1, WIDTH, bias=False)
    assert rows(recorded(Goes(narrow, RuntimeError), X)).keys() == {"b", "c"}


def test_a_layer_that_fails_later_is_not_counted() -> None:
    net = Net(lambda net, x: net.a(x))
    with torch.no_grad(), Recorder(net) as recorder:
        net(X)
        recorder.end_batch()
        for unfit in (X[:, 1:], X.double()):
            with pytest.raises(RuntimeError):
                net(unfit)
        net(X)
        recorder.end_block(2 * BATCH)
    (op,) = recorder.activity().ops
    assert (op.calls, op.dense_macs) == (2, 2 * MACS)


# -- recorders inside and beside each other ----------------------------------------------------------------------


def test_a_model_that_profiles_a_part_of_itself() -> None:
    seen: list[Activity] = []

    def profiles(net: Net, x: Tensor) -> Tensor:
        seen.append(snnprof.profile(net.a, X))
        return net.b(x)

    activity = snnprof.profile(Net(profiles), X)
    assert {each.total_events for each in map(_Total, seen)} == {SPIKES * EACH}
    assert rows_of_one(activity)["b"] == (MACS, SPIKES * EACH)


class _Total:
    def __init__(self, activity: Activity) -> None:
        self.total_events = sum(op.events for op in activity.ops)


def rows_of_one(activity: Activity) -> dict[str, tuple[int, int]]:
    return {op.layer: (op.dense_macs, op.events) for op in activity.ops}


def test_a_recorders_own_arithmetic_is_none_of_the_models() -> None:
    """An outer recorder, and a mode of the user's, see what the model runs and no more."""
    ran: list[str] = []

    class Log(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            ran.append(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    net, x = Net(lambda net, x: net.b((net.a(x) * 2).round().clamp(-3, 3))), X * 0.3
    with torch.no_grad(), Log():
        net(x)
        alone = list(ran)
        with Recorder(net), Recorder(net) as inner:
            for _ in range(2):
                ran.clear()
                net(x)
                assert ran == alone
                inner.end_batch()


def test_recorders_in_several_threads() -> None:
    def net() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)).eval()

    x = (torch.rand(3, 5, 8, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    alone = rows(recorded(net(), x))
    found: list[Any] = []
    nets = [net() for _ in range(4)]
    threads = [threading.Thread(target=lambda n=n: found.append(rows(recorded(n, x)))) for n in nets]
    before = torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * 4
    assert (torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled()) == before


# -- what a forward may switch, map, trace and export ------------------------------------------------------------


@contextmanager
def switched(turn: Callable[[bool], Any]) -> Iterator[None]:
    turn(True)
    yield
    turn(False)


class Passes(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class Calls(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


SURROUNDED: dict[str, Callable[[], Any]] = {
    "no_grad": torch.no_grad,
    "enable_grad": torch.enable_grad,
    "inference_mode": torch.inference_mode,
    "set_grad_enabled": lambda: switched(torch.set_grad_enabled),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": lambda: switched(torch.use_deterministic_algorithms),
    "a default device": lambda: torch.device("cpu"),
    "a mode of calls": Calls,
    "a mode of operators": Passes,
}


@pytest.mark.parametrize("name", SURROUNDED)
def test_a_forward_may_switch_what_it_likes(name: str) -> None:
    def surrounded(net: Net, x: Tensor) -> Tensor:
        with SURROUNDED[name]():
            spikes = (net.a(x) > 0).float()
        return net.b(spikes.clone())

    found = rows(recorded(Net(surrounded), X))
    assert found["a"] == (MACS, SPIKES * EACH)
    assert found["b"][0] == MACS


def fakes(net: Net, x: Tensor) -> Tensor:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        size = torch.mm(mode.from_tensor(x), torch.ones(WIDTH, WIDTH)).shape[1]
    return net.a(x)[:, :size]


def exports(net: Net, x: Tensor) -> Tensor:
    torch.export.export(net.b, (x,))
    return net.a(x)


def ensemble(net: Net, x: Tensor) -> Tensor:
    stacked, _ = torch.func.stack_module_state([net.b, net.c])  # type: ignore[list-item]
    run = torch.vmap(lambda state, x: torch.func.functional_call(net.a, state, (x,)), (0, None))
    return run(stacked, x).mean(0)


FUNCTIONS: dict[str, tuple[Callable[[Net, Tensor], Tensor], int]] = {
    "vmap": (lambda net, x: torch.vmap(net.a)(x), 1),
    "functional_call": (lambda net, x: torch.func.functional_call(net.a, {"weight": net.a.weight * 2}, (x,)), 1),
    "functionalize": (lambda net, x: torch.func.functionalize(lambda v: net.a(v).relu_())(x), 1),
    "grad": (lambda net, x: torch.func.grad(lambda v: net.a(v).sum())(x), 1),
    "an ensemble": (ensemble, 2),
    "a description": (fakes, 1),
    "an export": (exports, 1),
    "a compiled part": (lambda net, x: torch.compile(net.a, backend="eager", fullgraph=True)(x), 1),
    "a scripted call": (lambda net, x: torch.jit.wait(torch.jit.fork(net.a, x)), 1),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_forward_may_map_and_describe_itself(name: str) -> None:
    function, times = FUNCTIONS[name]
    assert rows(recorded(Net(function), X)) == {"a": (times * MACS, times * SPIKES * EACH)}


@pytest.mark.filterwarnings("ignore")
def test_a_forward_may_trace_itself() -> None:
    found = rows(recorded(Net(lambda net, x: torch.jit.trace(net.a, x, check_trace=False)(x)), X))
    assert sum(macs for macs, _ in found.values()) == 2 * MACS  # once to trace it, and once as traced


# -- fvcore's trace ----------------------------------------------------------------------------------------------


def aborts(net: Net, x: Tensor) -> Tensor:
    os.abort()


def waits(net: Net, x: Tensor) -> Tensor:
    time.sleep(60)
    return x


def hooks_of(net: nn.Module) -> list[int]:
    return [len(getattr(module, name)) for module in net.modules() for name in flops._HOOKS]


forks = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the trace is made in a child on Linux alone")


@forks
@pytest.mark.parametrize("function", [aborts, waits], ids=lambda function: function.__name__)
def test_a_trace_that_ends_its_process_ends_no_other(
    function: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(flops, "LIMIT_S", 1.0)
    net = Net(function)
    assert flops.layer_flops(net, (X,)) is None
    assert not any(hooks_of(net))
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ChildProcessError):  # none is left
        os.waitpid(-1, os.WNOHANG)


@forks
def test_an_interrupt_ends_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: Any) -> Any:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(flops.select, "select", interrupt)
    with pytest.raises(KeyboardInterrupt):
        flops.layer_flops(Net(waits), (X,))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_model_that_catches_exceptions_is_profiled() -> None:
    activity = snnprof.profile(Goes(Fails(ValueError), ValueError), X)
    assert activity.layers == []  # the tracer's own scopes are confused
    assert activity.coverage is None
    assert rows_of_one(activity)["b"] == (MACS, SPIKES * EACH)


@forks
def test_the_child_computes_after_work_in_many_threads() -> None:
    net = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 30 * 30, 4))
    x = torch.rand(8, 3, 32, 32)
    for _ in range(5):
        net(x)
        torch.rand(512, 512) @ torch.rand(512, 512)
        found = flops.layer_flops(net, (x[:1],))
        assert found is not None
        assert [entry.flops for entry in found] == [32 * 27 * 900, 4 * 32 * 900]


@pytest.mark.parametrize("here", [True, False])
def test_a_trace_leaves_no_hook(here: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flops, "_can_fork", lambda model, inputs: not here)
    for net in (Net(lambda net, x: net.b(net.a(x))), Net(lambda net, x: {"out": net.a(x), "more": "text"})):
        handle = net.a.register_forward_hook(lambda module, args, output: None)
        before = hooks_of(net)
        flops.layer_flops(net, (X,))
        assert hooks_of(net) == before
        handle.remove()

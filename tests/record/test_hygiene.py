"""The recorder only observes: everything is put back, also when the model fails or the user interrupts."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snnprof
from snnprof.errors import SnnprofError
from snnprof.record.recorder import Recorder

BAD = 2  # samples in the batch on which the network fails, if it fails


class Cell(nn.Module):
    """A stateful neuron of the SpikingJelly kind: `reset`, a potential, a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.v: Any = 0.0
        self.register_buffer("trace", torch.zeros(1))

    def reset(self) -> None:
        self.v = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.v = self.v + x
        self.trace += 1
        return (self.v > 0.5).float()


class Net(nn.Module):
    def __init__(self, failure: type[BaseException] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.bn, self.cell = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), Cell()
        self.drop, self.fc = nn.Dropout(0.5), nn.Linear(64, 3)
        self.failure = failure

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.cell(self.bn(self.conv(x)))
        if self.failure and len(x) == BAD:
            raise self.failure("stopped in the middle")
        return self.fc(self.drop(spikes.flatten(1)))


def _snapshot(net: nn.Module) -> dict[str, Any]:
    """Everything a user could notice."""
    return {
        "hooks": [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._forward_hooks_with_kwargs),
             len(m._forward_pre_hooks_with_kwargs), len(m._forward_hooks_always_called), len(m._backward_hooks))
            for m in net.modules()
        ],
        "attributes": [sorted(m.__dict__) for m in net.modules()],
        "training": [m.training for m in net.modules()],
        "state": {key: value.clone() for key, value in net.state_dict().items()},
        "potential": net.cell.v if not isinstance(net.cell.v, Tensor) else net.cell.v.clone(),
        "grads": [p.requires_grad for p in net.parameters()],
        "rng": torch.get_rng_state(),
        "fastpath": torch.backends.mha.get_fastpath_enabled(),
        "sdpa": (torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.mem_efficient_sdp_enabled(),
                 torch.backends.cuda.math_sdp_enabled()),
        "mkldnn": torch._C._get_mkldnn_enabled(),
        "grad mode": torch.is_grad_enabled(),
        "modes": (len(torch.utils._python_dispatch._get_current_dispatch_mode_stack()),
                  torch._C._len_torch_function_stack(),
                  torch._C._dispatch_tls_is_dispatch_key_excluded(torch._C.DispatchKey.Python)),
        "stance": torch._dynamo.eval_frame._stance.stance,
    }  # fmt: skip


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return isinstance(a, Tensor) and isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return bool(a == b)


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [key for key in before if not _same(before[key], after[key])]


X, OTHER = torch.rand(3, 2, 4, 4), torch.rand(BAD, 2, 4, 4)


@pytest.mark.parametrize("failure", [None, RuntimeError, KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("training", [True, False])
def test_profile_puts_everything_back(failure: type[BaseException] | None, training: bool) -> None:
    net = Net(failure).train(training)
    net.fc.train(not training)
    net.cell(torch.ones(1))
    before = _snapshot(net)
    if failure in (RuntimeError, ZeroDivisionError):
        with pytest.raises(SnnprofError):
            snnprof.profile(net, [X, OTHER, X], neuron=("Cell",))
    else:
        activity = snnprof.profile(net, [X, OTHER, X], neuron=("Cell",))
        assert activity.run.complete is (failure is None)
        assert activity.samples == (6 + BAD if failure is None else 3)
    assert _changed(before, _snapshot(net)) == []


def test_interrupt_in_the_first_batch_is_passed_on() -> None:
    net = Net(KeyboardInterrupt)
    before = _snapshot(net)
    with pytest.raises(KeyboardInterrupt):
        snnprof.profile(net, OTHER, neuron=("Cell",))
    assert _changed(before, _snapshot(net)) == []


@pytest.mark.parametrize("failure", [None, RuntimeError, KeyboardInterrupt])
def test_recorder_leaves_hooks_modes_and_switches(failure: type[BaseException] | None) -> None:
    net = Net(failure).eval()
    before = _snapshot(net)
    if failure:
        with pytest.raises(failure), Recorder(net):
            net(OTHER)
    else:
        with Recorder(net):
            net(OTHER)
    moved = set(_changed(before, _snapshot(net)))
    assert moved <= {"state", "potential"}  # the user's own pass moved them


def test_a_failed_pass_does_not_spoil_the_next_one() -> None:
    net = Net(RuntimeError).eval()
    with Recorder(net, neuron=("Cell",)) as recorder:
        net(X)
        with pytest.raises(RuntimeError):
            net(OTHER)
        net.failure = None
        net(X)
    layers = [op.layer for op in recorder.activity().ops]
    assert layers == ["conv", "fc"]


def test_two_profiles_agree_to_the_integer() -> None:
    net = Net()
    a, b = (snnprof.profile(net, [X, X], neuron=("Cell",)) for _ in range(2))
    assert (a.ops, a.neurons, a.elementwise, a.findings) == (b.ops, b.neurons, b.elementwise, b.findings)


def test_recorders_nest_and_follow_each_other() -> None:
    net = Net().eval()
    with Recorder(net) as outer:
        net(X)
        with Recorder(net) as inner:
            net(X)
    assert [op.calls for op in inner.activity().ops] == [1, 1]
    assert [op.calls for op in outer.activity().ops] == [2, 2]
    assert not any(m._forward_hooks for m in net.modules())


def test_a_recorder_used_twice_goes_on_counting() -> None:
    layer = nn.Linear(4, 2)
    recorder = Recorder(layer)
    for _ in range(2):
        with recorder:
            layer(torch.ones(1, 4))
    (op,) = recorder.activity().ops
    assert (op.calls, op.events) == (2, 16)


def test_reading_the_activity_changes_nothing() -> None:
    layer = nn.Linear(4, 2)
    with Recorder(layer) as recorder:
        layer(torch.ones(1, 4))
        first = recorder.activity(samples=1)
        again = recorder.activity(samples=1)
        layer(torch.ones(1, 4))
    assert first == again
    assert recorder.activity(samples=2).ops[0].events == 2 * first.ops[0].events


def test_the_users_hooks_still_run() -> None:
    net = Net().eval()
    seen: list[str] = []
    net.fc.register_forward_hook(lambda m, args, out: seen.append("after"))
    net.fc.register_forward_pre_hook(lambda m, args: seen.append("before"))
    with Recorder(net):
        net(X)
    assert seen == ["before", "after"]
    assert (len(net.fc._forward_hooks), len(net.fc._forward_pre_hooks)) == (1, 1)


def test_gradients_flow_while_recording() -> None:
    net = nn.Linear(4, 2)
    with Recorder(net):
        net(torch.ones(1, 4)).sum().backward()
    assert net.weight.grad is not None


def test_results_are_the_models_own() -> None:
    net = Net().eval()
    expected = net(X)
    net.cell.reset()
    with Recorder(net):
        assert torch.equal(net(X), expected)


def test_no_activation_is_kept() -> None:
    """Tensors of a pass die with it, and the facts about them soon after."""
    layer = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    kept: list[Any] = []
    handle = layer[1].register_forward_hook(lambda m, args, out: kept.append(weakref.ref(out)))
    with Recorder(layer) as recorder:
        sizes = []
        for _ in range(40):
            layer(torch.rand(2, 4))
            sizes.append(len(recorder.sites.store._entries))
    gc.collect()
    handle.remove()
    assert all(reference() is None for reference in kept[:-1])
    assert max(sizes[20:]) <= max(sizes[:20]) < 30


def test_a_model_without_parameters(record: Callable[..., Any]) -> None:
    activity = record(nn.ReLU(), torch.rand(2, 3))
    assert activity.ops == []
    assert activity.run.model.parameters == 0


def test_an_unknown_neuron_class_is_refused() -> None:
    with pytest.raises(SnnprofError, match="Cel"):
        Recorder(Net(), neuron=("Cel",))


class Holder(nn.Module):
    """Holds tensors in every way that people do, some of them twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.again = nn.BatchNorm1d(4)
        self.again.running_mean = self.norm.running_mean  # shared
        self.v = torch.zeros(4)
        self.trained = torch.ones(4, requires_grad=True)
        self.kept, self.table = [self.v, 3], {"v": self.v, "n": {"deep": torch.zeros(2)}}
        self.counts = np.zeros(3)

    def forward(self, x: Tensor) -> Tensor:
        self.v.add_(1)
        self.kept.append(x)
        self.table["n"]["deep"] += 1
        self.counts += 1
        self.trained = self.trained * 2
        return self.again(self.norm(self.fc(x))) * self.trained


def _objects(net: Holder) -> list[int]:
    table = net.table
    held = [net.v, net.trained, net.kept, net.kept[0], table, table["v"], table["n"], table["n"]["deep"], net.counts]
    return [id(each) for each in (*held, *net.parameters(), *net.buffers(), net.again.running_mean)]


@pytest.mark.parametrize("failure", [None, "labels"])
def test_the_model_is_the_same_objects_afterwards(failure: str | None) -> None:
    net = Holder()
    before, values = _objects(net), copy.deepcopy(net)
    if failure is None:
        snnprof.profile(net, [torch.rand(3, 4), torch.rand(2, 4)])
    else:
        with pytest.raises(SnnprofError):
            snnprof.profile(net, [torch.rand(3, 4), torch.rand(2, 5)])
    assert _objects(net) == before
    assert net.again.running_mean is net.norm.running_mean
    assert net.trained.requires_grad
    assert torch.equal(net.v, values.v)
    assert (len(net.kept), net.counts.tolist()) == (2, [0, 0, 0])
    assert torch.equal(net.table["n"]["deep"], values.table["n"]["deep"])
    (net.trained * 1.0).sum().backward()  # it can still be trained
    assert net.trained.grad is not None


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "torch.save"])
def test_a_model_can_be_copied_while_it_is_recorded(way: str) -> None:
    net, buffer = nn.Sequential(nn.Linear(4, 3), nn.ReLU()), io.BytesIO()
    with Recorder(net) as recorder:
        net(torch.ones(2, 4))
        if way == "pickle":
            other = pickle.loads(pickle.dumps(net))
        elif way == "deepcopy":
            other = copy.deepcopy(net)
        else:
            torch.save(net, buffer)
            buffer.seek(0)
            other = torch.load(buffer, weights_only=False)
        other(torch.ones(2, 4))
    assert torch.equal(other(torch.ones(2, 4)), net(torch.ones(2, 4)))
    assert [op.calls for op in recorder.activity(samples=2).ops] == [1]

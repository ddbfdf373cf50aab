"""Layers that run one contraction are counted as they are entered: the same counts as when each operator is watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from snnprof.record import layers
from snnprof.record.dispatch import Watcher
from snnprof.record.recorder import Recorder

Call = Callable[[nn.Module, Tensor], Tensor]


class Doubled(nn.Conv2d):
    """Runs its convolution on twice the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.cat([x, x]))


class Net(nn.Module):
    """Spikes into one layer."""

    def __init__(self, layer: nn.Module, call: Call = lambda layer, x: layer(x)) -> None:
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.layer, (x > 0.5).float())


@contextmanager
def seen() -> Iterator[list[str]]:
    """The operators that pass through the watcher."""
    names: list[str] = []
    watch = Watcher.__torch_dispatch__

    def spy(self: Watcher, func: Any, *rest: Any) -> Any:
        names.append(func.overloadpacket.__name__)
        return watch(self, func, *rest)

    Watcher.__torch_dispatch__ = spy  # type: ignore[method-assign]
    try:
        yield names
    finally:
        Watcher.__torch_dispatch__ = watch  # type: ignore[method-assign]


def counted(net: nn.Module, batches: list[Tensor], between: Callable[[nn.Module], object] | None = None) -> Any:
    """What was counted of some batches, and which contractions the watcher saw after the first."""
    with torch.no_grad(), Recorder(net) as recorder, seen() as names:
        for number, batch in enumerate(batches):
            net(batch)
            recorder.end_batch()
            recorder.end_block(len(batch))
            if number == 0:
                names.clear()
                if between:
                    between(net)
    ops = recorder.activity(samples=sum(map(len, batches))).ops
    contractions = {"convolution", "conv1d", "conv2d", "conv3d", "addmm", "mm", "bmm", "matmul", "linear"}
    return [op.model_dump() for op in ops], [name for name in names if name in contractions]


def both_ways(
    monkeypatch: pytest.MonkeyPatch, net: nn.Module, batches: list[Tensor], between: Any = None
) -> tuple[Any, list[str]]:
    """Checks that watching each operator counts the same."""
    found, names = counted(net, batches, between)
    with monkeypatch.context() as patched:
        patched.setattr(layers, "can_be_sole", lambda module: False)
        assert counted(net, batches)[0] == found
    return found, names


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv1d": (lambda: nn.Conv1d(2, 3, 3, padding=1), (2, 5)),
    "conv2d": (lambda: nn.Conv2d(2, 4, 3, stride=2, padding=(1, 0), groups=2, bias=False), (2, 5, 5)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2, dilation=2), (2, 4, 4, 4)),
    "linear": (lambda: nn.Linear(6, 3), (6,)),
    "linear without bias": (lambda: nn.Linear(6, 3, bias=False), (6,)),
}


@pytest.mark.parametrize("mode", [nullcontext, torch.inference_mode], ids=["no_grad", "inference_mode"])
@pytest.mark.parametrize("kind", LAYERS)
def test_what_is_entered_is_what_is_watched(
    monkeypatch: pytest.MonkeyPatch, kind: str, mode: Callable[[], AbstractContextManager[None]]
) -> None:
    make, shape = LAYERS[kind]
    net, batches = Net(make()), [torch.rand(size, *shape) for size in (3, 3, 2)]
    with mode():
        found, names = both_ways(monkeypatch, net, batches)
    assert names == []
    assert sum(part["nonzero"] for op in found for part in op["parts"]) == sum(int((x > 0.5).sum()) for x in batches)


def hooked(net: nn.Module) -> None:
    """A hook that multiplies, added while recording."""
    weight = torch.ones(4, 4)
    net.layer.register_forward_hook(lambda layer, args, output: output @ weight)  # type: ignore[operator, union-attr]


def pinned(layer: nn.Module) -> nn.Module:
    """A layer whose forward was replaced: it runs twice."""
    forward = layer.forward
    layer.forward = lambda x: forward(x) + forward(x)  # type: ignore[method-assign]
    return layer


def cast(layer: nn.Module, x: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        result: Tensor = layer(x[0])
    return result


def ensemble(layer: nn.Module, x: Tensor) -> Tensor:
    """Five layers at once."""
    stacked = {name: torch.stack([value] * 5) for name, value in layer.named_parameters()}
    result: Tensor = torch.vmap(lambda weights: torch.func.functional_call(layer, weights, (x,)))(stacked)
    return result


def unregistered(layer: nn.Module) -> nn.Module:
    weight = layer.weight.detach().clone()  # type: ignore[operator, union-attr]
    del layer.weight
    layer.register_buffer("weight", weight)  # type: ignore[arg-type]
    return layer


class Seen(TorchDispatchMode):
    """Somebody else who wants to see each operator."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def looked_on(layer: nn.Module, x: Tensor) -> Tensor:
    with Seen():
        result: Tensor = layer(x)
    return result


OTHERS: dict[str, Callable[[], Net]] = {
    "of another class": lambda: Net(Doubled(2, 4, 2)),
    "padded by other values": lambda: Net(nn.Conv2d(2, 4, 2, padding=1, padding_mode="circular")),
    "padded by name": lambda: Net(nn.Conv2d(2, 4, 3, padding="same")),
    "replaced": lambda: Net(pinned(nn.Conv2d(2, 4, 2))),
    "called by name": lambda: Net(nn.Conv2d(2, 4, 2), lambda layer, x: layer(input=x)),
    "one sample at a time": lambda: Net(nn.Conv2d(2, 4, 2), lambda layer, x: torch.stack([layer(each) for each in x])),
    "mapped": lambda: Net(nn.Conv2d(2, 4, 2), lambda layer, x: torch.vmap(layer)(x.unsqueeze(1))),
    "as an ensemble": lambda: Net(nn.Conv2d(2, 4, 2), ensemble),
    "of a weight that is a buffer": lambda: Net(unregistered(nn.Conv2d(2, 4, 2))),
    "looked on by another mode": lambda: Net(nn.Conv2d(2, 4, 2), looked_on),
    "cast on the way in": lambda: Net(nn.Linear(5, 3), cast),
    "on more than rows": lambda: Net(nn.Linear(5, 3), lambda layer, x: layer(x)),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_does_more_or_less_is_watched(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    _, names = both_ways(monkeypatch, OTHERS[kind](), [torch.rand(2, 2, 5, 5) for _ in range(2)])
    assert names


def replaced(net: nn.Module) -> None:
    pinned(net.layer)  # type: ignore[arg-type]


def parametrized(net: nn.Module) -> None:
    nn.utils.parametrize.register_parametrization(net.layer, "weight", nn.Identity())  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [replaced, parametrized])
def test_what_is_changed_later_is_watched(change: Callable[[nn.Module], None]) -> None:
    _, names = counted(Net(nn.Linear(6, 4, bias=False)), [torch.rand(2, 6) for _ in range(2)], change)
    assert names


def test_a_class_that_was_changed_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    once = nn.functional.linear
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: once(x, self.weight * 2) + once(x, self.weight))
    _, names = both_ways(monkeypatch, Net(nn.Linear(6, 4)), [torch.rand(2, 6) for _ in range(2)])
    assert names == ["mm", "mm"]


def test_another_weight_is_watched() -> None:
    def exchange(net: nn.Module) -> None:
        net.layer.weight = nn.Parameter(torch.eye(4, 6))  # type: ignore[union-attr]

    _, names = counted(Net(nn.Linear(6, 4)), [torch.rand(2, 6) for _ in range(2)], exchange)
    assert names == ["addmm"]


def test_a_cast_that_comes_later_is_watched() -> None:
    net, x = Net(nn.Linear(6, 4)), torch.rand(2, 6)
    with torch.no_grad(), Recorder(net) as recorder, seen() as names:
        net(x)
        recorder.end_batch()
        names.clear()
        with torch.autocast("cpu", torch.bfloat16):
            net(x)
    assert "addmm" in names


def test_a_hook_added_later_is_watched() -> None:
    found, names = counted(Net(nn.Linear(6, 4, bias=False)), [torch.rand(2, 6) for _ in range(2)], hooked)
    assert names == ["mm", "mm"]
    assert [op["calls"] for op in found] == [2, 1]


def test_other_dimensions_than_in_the_first_batch_are_watched() -> None:
    x = torch.rand(4, 6)
    found, names = counted(Net(nn.Linear(6, 3)), [x, x, x.unsqueeze(0)])
    assert names == ["addmm"]
    assert sum(part["nonzero"] for part in found[0]["parts"]) == 3 * int((x > 0.5).sum())


def test_after_an_error_inside_everything_is_watched_again() -> None:
    net, x = Net(nn.Linear(6, 3, bias=False), lambda layer, x: layer(x) @ torch.ones(3, 2)), torch.rand(2, 6)
    with torch.no_grad(), Recorder(net) as recorder, seen() as names:
        net(x)
        recorder.end_batch()
        with pytest.raises(RuntimeError):
            net(x[:, :5])
        names.clear()
        net(x)
    assert "mm" in names

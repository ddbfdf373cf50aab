"""Loops over depth are not taken for loops over time, whatever fires on one line of them; loops over time are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snnprof
from snnprof.record.recorder import Recorder

B, C = 5, 8
X = torch.rand(B, 6, generator=torch.Generator().manual_seed(0))


class Surrogate(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, over: Tensor) -> Tensor:
        return (over > 0).float()


Fire = Callable[[Tensor], Tensor]
FIRES: dict[str, Fire] = {
    "apply": lambda x: Surrogate.apply(x - 0.3),
    "compare": lambda x: (x > 0.3).float(),
    "heaviside": lambda x: torch.heaviside(x - 0.3, torch.zeros(())),
}


class Layers(nn.Module):
    """All weights that the loops below use: a stem, blocks of layers, feedback, and a head."""

    def __init__(self, loop: Any, turns: int, fire: Fire) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.loop, self.turns, self.of_line = loop, turns, fire
        self.stem, self.late, self.head = nn.Linear(6, C), nn.Linear(6, C), nn.Linear(C, 3)
        self.recurrent, self.shared = nn.Linear(C, C), nn.Linear(C, C)
        self.layers = nn.ModuleList(nn.Linear(C, C) for _ in range(turns))
        self.weights = nn.ParameterList(torch.randn(C, C) / 3 for _ in range(turns))
        self.growing = nn.ModuleList(nn.Linear(C * (i + 1), C) for i in range(turns))
        self.fired: list[Tensor] = []

    def fire(self, x: Tensor) -> Tensor:
        spikes = self.of_line(x)
        self.fired.append(spikes)
        return spikes

    def forward(self, x: Tensor) -> Tensor:
        self.fired = []
        return self.head(self.loop(self, x))  # type: ignore[no-any-return]


# -- over depth: each turn goes through other weights --------------------------------------------------------


def residual(net: Layers, x: Tensor) -> Tensor:
    x = net.stem(x)
    for layer in net.layers:
        x = x + layer(net.fire(x))
    return x


def residual_in_place(net: Layers, x: Tensor) -> Tensor:
    x = net.stem(x)
    for layer in net.layers:
        x += layer(net.fire(x))
    return x


def scaled_residual(net: Layers, x: Tensor) -> Tensor:
    x = net.stem(x)
    for layer in net.layers:
        x = 0.5 * x + layer(net.fire(x))
    return x


def plain(net: Layers, x: Tensor) -> Tensor:
    x = net.stem(x)
    for layer in net.layers:
        x = layer(net.fire(x))
    return x


def dense(net: Layers, x: Tensor) -> Tensor:
    x = net.stem(x)
    for layer in net.growing:
        x = torch.cat([x, layer(net.fire(x))], 1)
    return x[:, -C:]


def weights(net: Layers, x: Tensor) -> Tensor:
    x = net.stem(x)
    for weight in net.weights:
        x = x + nn.functional.linear(net.fire(x), weight)
    return x


def attention(net: Layers, x: Tensor) -> Tensor:
    """The same line multiplies the spikes of each block by each other."""
    x = net.stem(x)
    for layer in net.layers:
        spikes = net.fire(x)
        x = x + layer(spikes @ spikes.t() @ spikes)
    return x


DEPTH = [residual, residual_in_place, scaled_residual, plain, dense, weights, attention]


def seen(net: nn.Module, passes: int = 1) -> int | None:
    """T, as a recorder sees it."""
    with Recorder(net) as recorder, torch.no_grad():
        for _ in range(passes):
            net(X)
    return recorder.seen_time.timesteps


@pytest.mark.parametrize("loop", DEPTH, ids=lambda loop: loop.__name__)
def test_a_loop_over_layers_is_no_time(loop: Any) -> None:
    for fire in FIRES.values():
        assert [seen(Layers(loop, blocks, fire), passes) for blocks, passes in ((2, 1), (3, 1), (4, 3))] == [1, 1, 1]


@pytest.mark.parametrize("loop", DEPTH, ids=lambda loop: loop.__name__)
def test_the_neurons_of_each_block_have_a_row_of_their_own(loop: Any) -> None:
    net = Layers(loop, 3, FIRES["apply"])
    activity = snnprof.profile(net, [X])
    assert activity.run.timesteps == 1
    assert {op.steps for op in activity.ops if op.weights} == {1}
    rows = [(neuron.size, neuron.steps, neuron.spikes) for neuron in activity.neurons]
    net(X)
    assert rows == [(spikes[0].numel(), 1, int(spikes.sum())) for spikes in net.fired]


def test_one_value_against_several_thresholds_is_no_time() -> None:
    def population(net: Layers, x: Tensor) -> Tensor:
        x = net.stem(x)
        return torch.stack([net.fire(x - 0.1 * k) for k in range(net.turns)]).sum(0)

    assert [seen(Layers(population, 3, fire)) for fire in FIRES.values()] == [1, 1, 1]


# -- over time: each turn goes through the same weights ------------------------------------------------------


def step(v: Any, current: Tensor, net: Layers) -> tuple[Tensor, Tensor]:
    v = v * 0.9 + current
    spikes = net.fire(v)
    return spikes, v - spikes


def leaky(net: Layers, x: Tensor) -> Tensor:
    v, total = torch.zeros(len(x), C), torch.zeros(len(x), C)
    for _ in range(net.turns):
        spikes, v = step(v, net.stem(x), net)
        total = total + net.shared(spikes)
    return total


def recurrent(net: Layers, x: Tensor) -> Tensor:
    """The first step has no spikes to read yet."""
    v, spikes, total = torch.zeros(len(x), C), None, torch.zeros(len(x), C)
    for _ in range(net.turns):
        current = net.stem(x) if spikes is None else net.stem(x) + net.recurrent(spikes)
        spikes, v = step(v, current, net)
        total = total + net.shared(spikes)
    return total


def residual_inside(net: Layers, x: Tensor) -> Tensor:
    """Blocks of a residual network in each step, every block with a potential of its own."""
    v: list[Any] = [0.0] * 3
    total = torch.zeros(len(x), C)
    for _ in range(net.turns):
        h = net.stem(x)
        for block, layer in enumerate([net.shared, net.recurrent, net.layers[0]]):
            spikes, v[block] = step(v[block], h, net)
            h = h + layer(spikes)
        total = total + h
    return total


def one_tensor(net: Layers, x: Tensor) -> Tensor:
    """The potentials of all layers lie in one tensor, which each step writes in place."""
    v, total = torch.zeros(3, len(x), C), torch.zeros(len(x), C)
    for _ in range(net.turns):
        h = x
        for block, layer in enumerate([net.stem, net.shared, net.recurrent]):
            v[block].mul_(0.8).add_(layer(h))
            h = net.fire(v[block])
            v[block].sub_(0.3 * h)
        total = total + net.layers[0](h)
    return total


def time_inside(net: Layers, x: Tensor) -> Tensor:
    """All steps of one residual block before the next block."""
    frames = [net.stem(x)] * net.turns
    for layer in [net.shared, net.recurrent, net.layers[0]]:
        v: Any = 0.0
        for t, frame in enumerate(frames):
            spikes, v = step(v, frame, net)
            frames[t] = frame + layer(spikes)
    return torch.stack(frames).mean(0)


def fires_first(net: Layers, x: Tensor) -> Tensor:
    """The first step compares zeros."""
    v, total = torch.zeros(len(x), C), torch.zeros(len(x), C)
    for _ in range(net.turns):
        spikes = net.fire(v)
        v = v * 0.9 * (1 - spikes) + net.stem(x)
        total = total + net.shared(spikes)
    return total


def adaptive(net: Layers, x: Tensor) -> Tensor:
    """The threshold is a state, too; potential and threshold start as the same zeros."""
    v = threshold = torch.zeros(len(x), C)
    total = torch.zeros(len(x), C)
    for _ in range(net.turns):
        v = 0.9 * v + net.stem(x)
        spikes = net.fire(v - threshold)
        threshold = 0.5 * threshold + 0.1 * spikes
        total = total + net.shared(spikes)
    return total


TIME = [adaptive, leaky, recurrent, residual_inside, one_tensor, time_inside, fires_first]


@pytest.mark.parametrize("loop", TIME, ids=lambda loop: loop.__name__)
def test_a_loop_over_steps_is_time(loop: Any) -> None:
    for fire in FIRES.values():
        assert [seen(Layers(loop, steps, fire)) for steps in (2, 3, 4, 8)] == [2, 3, 4, 8]


@pytest.mark.parametrize("loop", TIME, ids=lambda loop: loop.__name__)
def test_the_neurons_of_each_block_have_one_row_for_all_steps(loop: Any) -> None:
    net = Layers(loop, 4, FIRES["apply"])
    activity = snnprof.profile(net, [X])
    blocks = 3 if loop in (residual_inside, one_tensor, time_inside) else 1
    assert activity.run.timesteps == 4
    assert [(n.size, n.steps, n.updates) for n in activity.neurons] == [(C, 4, B * C * 4)] * blocks
    net(X)
    assert sum(n.spikes for n in activity.neurons) == sum(int(spikes.sum()) for spikes in net.fired)


@pytest.mark.parametrize("told", [None, 5])
def test_steps_that_compare_zeros_alone_are_steps(told: int | None) -> None:
    """Fires first, and a synaptic current delays the input by another step: two steps compare constants."""

    def delayed(net: Layers, x: Tensor) -> Tensor:
        currents = net.stem(x.expand(net.turns, *x.shape))
        synapse, v, out = torch.zeros(len(x), C), torch.zeros(len(x), C), []
        for current in currents:
            spikes = net.fire(v)
            synapse, v = 0.9 * synapse + current, (0.9 * v + synapse) * (1 - spikes)
            out.append(spikes)
        return torch.stack(out).mean(0)

    net = Layers(delayed, 5, FIRES["apply"])
    activity = snnprof.profile(net, [X, X[:2]], timesteps=told)
    (neuron,) = activity.neurons
    expected = torch.zeros(5)
    for batch in (X, X[:2]):
        net(batch)
        expected += torch.stack([spikes.sum() for spikes in net.fired])
    assert activity.run.timesteps == neuron.steps == 5
    assert (neuron.updates, neuron.spikes_per_step) == ((B + 2) * C * 5, expected.int().tolist())


def test_a_potential_that_is_only_a_bias_is_a_potential() -> None:
    """Both layers fire first: the second one has read only the bias of its weights when it fires the second time."""

    def fires_twice(net: Layers, x: Tensor) -> Tensor:
        v, w, total = torch.zeros(len(x), C), torch.zeros(len(x), C), torch.zeros(len(x), C)
        for _ in range(net.turns):
            first, second = net.fire(v), net.fire(w)
            v, w = v * 0.9 * (1 - first) + net.stem(x), w * 0.9 * (1 - second) + net.shared(first)
            total = total + net.recurrent(second)
        return total

    for fire in FIRES.values():
        net = Layers(fires_twice, 4, fire)
        activity = snnprof.profile(net, [X, X])
        assert activity.run.timesteps == 4
        net(X)
        spikes = [2 * sum(int(each.sum()) for each in net.fired[layer::2]) for layer in (0, 1)]
        assert [(n.spikes, n.steps, n.updates) for n in activity.neurons] == [(s, 4, 2 * B * C * 4) for s in spikes]


def test_a_line_that_one_caller_runs_on_constants_alone_counts_the_other_caller() -> None:
    def never_driven(net: Layers, x: Tensor) -> Tensor:
        v = net.stem(x)
        spikes, idle = net.fire(v), net.fire(torch.ones(len(x), C))
        return net.shared(spikes) + net.recurrent(idle)

    net = Layers(never_driven, 1, FIRES["apply"])
    (neuron,) = snnprof.profile(net, [X, X]).neurons
    net(X)
    assert (neuron.spikes, neuron.updates) == (2 * int(net.fired[0].sum()), 2 * B * C)


# -- which of both it is, nobody can tell --------------------------------------------------------------------


def one_block_again(net: Layers, x: Tensor) -> Tensor:
    """As deep as a network with several blocks of the same weights, or a recurrent one with a constant current."""
    x = net.stem(x)
    for _ in range(net.turns):
        x = x + net.shared(net.fire(x))
    return x


def test_blocks_that_add_the_stem_again_are_no_steps() -> None:
    """Each block reads the stem's result once more, as each step of a recurrent network does."""

    def injected(net: Layers, x: Tensor) -> Tensor:
        v: list[Any] = [0.0] * 3
        total = torch.zeros(len(x), C)
        for _ in range(net.turns):
            h = stem = net.stem(x)
            for block, layer in enumerate([net.shared, net.recurrent, net.layers[0]]):
                spikes, v[block] = step(v[block], h, net)
                h = h + layer(spikes) + stem
            total = total + h
        return total

    assert [seen(Layers(injected, steps, fire)) for fire in FIRES.values() for steps in (2, 3, 4)] == [None] * 9


def test_what_may_be_time_or_depth_is_said_to_be_unknown() -> None:
    assert [seen(Layers(one_block_again, turns, FIRES["compare"])) for turns in (2, 3, 4)] == [None] * 3
    report = snnprof.price(snnprof.profile(Layers(one_block_again, 4, FIRES["compare"]), [X]))
    (hint,) = (finding.hint for finding in report.findings if finding.code == "W12")
    assert "--timesteps" in hint
    for told in (1, 4):
        activity = snnprof.profile(Layers(one_block_again, 4, FIRES["compare"]), [X], timesteps=told)
        assert activity.run.timesteps == told


@pytest.mark.parametrize("hard", [False, True])
def test_a_current_that_is_computed_once_tells_time_from_the_third_step_on(hard: bool) -> None:
    def once(net: Layers, x: Tensor) -> Tensor:
        current, v, spikes = net.stem(x), torch.zeros(len(x), C), torch.zeros(0)
        for t in range(net.turns):
            v = 0.9 * v + (current + net.recurrent(spikes) if t else current)
            spikes = net.fire(v)
            v = v * (1 - spikes) if hard else v - spikes
        return spikes

    assert [seen(Layers(once, steps, FIRES["apply"])) for steps in (2, 3, 4)] == [None, 3, 4]


def test_a_current_that_all_steps_share_tells_time_from_the_third_step_on() -> None:
    def folded(net: Layers, x: Tensor) -> Tensor:
        currents, v, spikes = net.stem(x.expand(net.turns, *x.shape)), torch.zeros(len(x), C), torch.zeros(0)
        for t, current in enumerate(currents):
            spikes, v = step(v, current + net.recurrent(spikes) if t else current, net)
        return spikes

    assert [seen(Layers(folded, steps, FIRES["apply"])) for steps in (2, 3, 4)] == [None, 3, 4]

"""The neurons of the ecosystem: the same network counts the same in every framework, layout and way of writing it."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snnprof
from snnprof.activity import PART_COUNTS, Activity, unpack_bits
from snnprof.record.recorder import Recorder

T, B, IN, HIDDEN, OUT = 4, 3, 6, 8, 3
_SEED = torch.Generator().manual_seed(0)
WEIGHTS = [torch.randint(-2, 5, size, generator=_SEED) / 4 for size in ((HIDDEN, IN), (OUT, HIDDEN))]
FRAMES = torch.randint(0, 3, (T, B, IN), generator=_SEED) / 4
"""Inputs and weights in quarters: potentials are exact in every framework's order of operations."""


class StepIF(nn.Module):
    """Integrate and fire with reset by subtraction, written by hand; keeps its potential."""

    def __init__(self) -> None:
        super().__init__()
        self.v: Tensor | None = None

    def reset(self) -> None:
        self.v = None

    def forward(self, x: Tensor) -> Tensor:
        v = x if self.v is None else self.v + x
        spike = (v >= 1.0).float()
        self.v = v - spike
        return spike


class Unresettable(StepIF):
    """The same, without a method to reset it."""

    reset = None  # type: ignore[assignment]


class MultiIF(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        cell = StepIF()
        return torch.stack([cell(step) for step in x])


def _linears() -> tuple[nn.Linear, nn.Linear]:
    layers = nn.Linear(IN, HIDDEN, bias=False), nn.Linear(HIDDEN, OUT, bias=False)
    for layer, weight in zip(layers, WEIGHTS, strict=True):
        layer.weight.data = weight.clone()
    return layers


def _chain(make: Callable[[], nn.Module]) -> nn.Sequential:
    a, b = _linears()
    return nn.Sequential(a, make(), b, make())


class InnerLoop(nn.Module):
    """Takes [T, B, ...] and loops over a single-step chain; resets it first."""

    def __init__(self, chain: nn.Module) -> None:
        super().__init__()
        self.chain = chain

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.chain(frame) for frame in x])


def _numbers(activity: Activity) -> dict[str, Any]:
    """Contraction counts and neuron updates, without the names of modules and frameworks."""
    return {
        "ops": [
            ([(part.kind, *(getattr(part, name) for name in PART_COUNTS)) for part in op.parts], op.steps, op.weights)
            for op in activity.ops
        ],
        "neurons": [
            (n.spikes, n.level_sum, n.spikes_per_step, n.updates, n.driven, n.size, n.steps, n.fired_bitmap)
            for n in activity.neurons
        ],
    }


def _spikingjelly(step_mode: str) -> nn.Module:
    base = pytest.importorskip("spikingjelly.activation_based")
    from spikingjelly.activation_based import functional, neuron

    assert base is not None
    net = _chain(lambda: neuron.IFNode(v_reset=None, step_mode=step_mode))
    functional.set_step_mode(net, step_mode)
    return net


def _snntorch() -> nn.Module:
    snn = pytest.importorskip("snntorch")

    class Early(snn.Leaky):  # type: ignore[misc, name-defined]
        """snnTorch subtracts one step late; the others at once."""

        def forward(self, input_: Tensor) -> Any:
            mem = input_ if self.mem.numel() != input_.numel() else self.mem + input_
            spike = self.fire(mem - 1e-6 + 2e-6)
            self.mem = mem - spike
            return spike

    return _chain(lambda: Early(beta=1.0, init_hidden=True))


def _norse() -> nn.Module:
    norse = pytest.importorskip("norse.torch")

    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            cell = lambda: norse.IAFCell(norse.IAFParameters(v_th=torch.as_tensor(0.9999)))  # noqa: E731
            a, b = _linears()
            self.net = norse.SequentialState(a, cell(), b, cell())

        def forward(self, frames: Tensor) -> Tensor:
            state, out = None, []
            for frame in frames:
                spikes, state = self.net(frame, state)
                out.append(spikes)
            return torch.stack(out)

    return Loop()


def _sinabs() -> nn.Module:
    layers = pytest.importorskip("sinabs.layers")
    from sinabs.activation import MembraneSubtract, SingleSpike

    return _chain(
        lambda: layers.IAF(spike_threshold=1.0, spike_fn=SingleSpike, reset_fn=MembraneSubtract(), min_v_mem=None)
    )


@pytest.fixture(scope="module")
def reference() -> Activity:
    return snnprof.profile(_chain(MultiIF), FRAMES, "time-batch", neuron=("MultiIF",))


def test_reference_is_worth_comparing_with(reference: Activity) -> None:
    first, second = reference.neurons
    assert 0 < first.spikes < first.updates == T * B * HIDDEN
    assert 0 < second.spikes < second.updates == T * B * OUT
    assert first.driven == int((FRAMES @ WEIGHTS[0].T != 0).sum())
    assert reference.ops[1].part("spikes").events == OUT * first.spikes


def test_hand_written_single_step(reference: Activity) -> None:
    """Named, found by behaviour, driven by the caller's loop or by the model's own."""
    named = snnprof.profile(_chain(StepIF), FRAMES, "step", timesteps=T, neuron=("StepIF",))
    found = snnprof.profile(_chain(StepIF), FRAMES, "step", timesteps=T)
    looped = snnprof.profile(InnerLoop(_chain(StepIF)), FRAMES, "time-batch")
    assert {n.found_by for n in named.neurons} == {"named"}
    assert {n.found_by for n in found.neurons} == {"behaviour"}
    for activity in (named, found, looped):
        assert _numbers(activity) == _numbers(reference)


def test_spikingjelly_multi_step(reference: Activity) -> None:
    activity = snnprof.profile(_spikingjelly("m"), FRAMES, "time-batch")
    assert _numbers(activity) == _numbers(reference)
    assert [n.type for n in activity.neurons] == ["IFNode", "IFNode"]


def test_spikingjelly_single_step(reference: Activity) -> None:
    assert _numbers(snnprof.profile(_spikingjelly("s"), FRAMES, "step", timesteps=T)) == _numbers(reference)


def test_snntorch(reference: Activity) -> None:
    assert _numbers(snnprof.profile(_snntorch(), FRAMES, "step", timesteps=T)) == _numbers(reference)


def test_sinabs(reference: Activity) -> None:
    frames = FRAMES.transpose(0, 1).contiguous()
    assert _numbers(snnprof.profile(_sinabs(), frames, "batch-time")) == _numbers(reference)


def test_norse() -> None:
    """Norse's cell resets to zero, so its spikes are its own; what they cost is not."""
    activity = snnprof.profile(_norse(), FRAMES, "time-batch")
    first, second = activity.neurons
    assert (first.updates, second.updates) == (T * B * HIDDEN, T * B * OUT)
    assert first.driven == int((FRAMES @ WEIGHTS[0].T != 0).sum())
    assert activity.ops[1].part("spikes").events == OUT * first.spikes
    assert first.spikes > 0
    assert [op.steps for op in activity.ops] == [T, T]


# -- layouts ---------------------------------------------------------------------------------------------------


def test_four_layouts(reference: Activity) -> None:
    """The model's own time axis, time first, batch first, and the caller's loop."""
    image = FRAMES[0]
    still = image.expand(T, B, IN).contiguous()

    class Repeats(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.chain = _chain(MultiIF)

        def forward(self, x: Tensor) -> Tensor:
            return self.chain(x.unsqueeze(0).repeat(T, 1, 1))

    class BatchFirst(Repeats):
        def forward(self, x: Tensor) -> Tensor:
            return self.chain(x.transpose(0, 1).contiguous())

    runs = [
        snnprof.profile(Repeats(), image, "batch", timesteps=T, neuron=("MultiIF",)),
        snnprof.profile(_chain(MultiIF), still, "time-batch", neuron=("MultiIF",)),
        snnprof.profile(BatchFirst(), still.transpose(0, 1).contiguous(), "batch-time", neuron=("MultiIF",)),
        snnprof.profile(_chain(StepIF), image, "step", timesteps=T),
        snnprof.profile(_chain(StepIF), still, "step", timesteps=T),
    ]
    for activity in runs:
        assert activity.samples == B
        assert _numbers(activity) == _numbers(runs[0])
        assert activity.ops[0].operands[0].constant_over_time is True


# -- state -----------------------------------------------------------------------------------------------------

STATEFUL: dict[str, Callable[[], nn.Module]] = {
    "by hand": lambda: _chain(StepIF),
    "by hand, without reset": lambda: _chain(Unresettable),
    "spikingjelly": lambda: _spikingjelly("s"),
    "snntorch": lambda: _leaky(),
    "sinabs": lambda: InnerLoop(_sinabs()),
}


def _leaky() -> nn.Module:
    snn = pytest.importorskip("snntorch")
    return _chain(lambda: snn.Leaky(beta=0.5, init_hidden=True))


@pytest.mark.parametrize("name", STATEFUL)
def test_state_is_reset_before_every_batch(name: str) -> None:
    """Twice the same batch is twice the counts, also after the model was used, and for an uneven last batch."""
    net = STATEFUL[name]()
    frames = FRAMES.unsqueeze(2) if name == "sinabs" else FRAMES
    named = ("Unresettable",) if "without" in name else ()
    once = snnprof.profile(net, frames, "step", timesteps=T, neuron=named)
    batches = [frames, frames[:, :1], frames]
    several = snnprof.profile(net, batches, "step", timesteps=T, neuron=named)
    per_block = [[counts[0] for counts in block.neurons] for block in several.blocks]
    assert per_block[0] == per_block[2] == [n.spikes for n in once.neurons]


def test_stateful_modules_that_do_not_spike_are_reset_too() -> None:
    layer = pytest.importorskip("spikingjelly.activation_based.layer")
    from spikingjelly.activation_based import neuron

    net = nn.Sequential(nn.Linear(IN, HIDDEN), neuron.IFNode(), layer.SynapseFilter(tau=2.0), nn.Linear(HIDDEN, OUT))
    runs = [snnprof.profile(net, FRAMES, "step", timesteps=T) for _ in range(2)]
    assert runs[0].ops == runs[1].ops
    assert [n.layer for n in runs[0].neurons] == ["1"]


# -- kinds of neurons --------------------------------------------------------------------------------------------


def test_neurons_of_several_levels() -> None:
    class Integer(nn.Module):
        """I-LIF: 0 … 4 spikes at once."""

        def forward(self, x: Tensor) -> Tensor:
            return torch.round(torch.clamp(x, 0, 4))

    net = nn.Sequential(nn.Linear(IN, HIDDEN), Integer(), nn.Linear(HIDDEN, OUT))
    nn.init.constant_(net[0].weight, 1.0)
    x = FRAMES[0] * 2
    activity = snnprof.profile(net, x, neuron=("Integer",))
    out = net[1](net[0](x))
    (neuron,) = activity.neurons
    assert (neuron.spikes, neuron.level_sum) == (int((out != 0).sum()), int(out.sum()))
    part = activity.ops[1].part("spikes")
    assert (part.events, part.by_value) == (OUT * neuron.spikes, OUT * neuron.level_sum)
    assert activity.uncounted == []


def test_ternary_neurons() -> None:
    class Ternary(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sign(x) * (x.abs() > 0.5)

    net = nn.Sequential(nn.Linear(IN, HIDDEN), Ternary(), nn.Linear(HIDDEN, OUT))
    activity = snnprof.profile(net, torch.randn(B, IN) * 3, neuron=("Ternary",))
    (neuron,) = activity.neurons
    op = activity.ops[1]
    assert op.operands[0].signed
    assert op.part("spikes").events == op.part("spikes").by_value == OUT * neuron.spikes


def test_recurrent_neurons_hold_contractions() -> None:
    """Inside a recurrent layer, its own spikes of the step before meet its own weights; all its neurons are driven."""
    norse = pytest.importorskip("norse.torch")
    torch.manual_seed(0)
    net = norse.SequentialState(norse.LIFRecurrent(IN, HIDDEN))
    activity = snnprof.profile(net, FRAMES * 40, "time-batch")
    inputs, hidden = activity.ops
    (neuron,) = activity.neurons
    assert inputs.dense_macs == T * B * IN * HIDDEN
    assert hidden.fed_by == ["0"]
    assert hidden.events == HIDDEN * sum(neuron.spikes_per_step[:-1])
    assert hidden.part("real").elements == 0
    assert neuron.driven == neuron.updates


def test_spikingjelly_parallel_neuron() -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    net = nn.Sequential(nn.Linear(IN, HIDDEN), neuron.PSN(T=T), nn.Linear(HIDDEN, OUT))
    activity = snnprof.profile(net, FRAMES * 20, "time-batch")
    (record,) = activity.neurons
    assert (record.layer, record.type, record.found_by, record.updates) == ("1", "PSN", "class", T * B * HIDDEN)
    assert [op.layer for op in activity.ops] == ["0", "1", "2"]
    assert activity.ops[1].dense_macs == T * T * B * HIDDEN
    assert activity.ops[2].fed_by == ["1"]


def test_sinabs_readout_that_leaks_is_no_neuron() -> None:
    layers = pytest.importorskip("sinabs.layers")
    net = nn.Sequential(nn.Linear(IN, HIDDEN), layers.IAF(), nn.Linear(HIDDEN, OUT), layers.ExpLeak(tau_mem=5.0))
    activity = snnprof.profile(net, FRAMES.transpose(0, 1).contiguous(), "batch-time")
    assert [n.layer for n in activity.neurons] == ["1"]


def test_braincog_style_nodes() -> None:
    """Recognised by the names of its package and base class, without the package."""
    module = types.ModuleType("braincog.base.node.node")
    source = """
class BaseNode(nn.Module):
    def __init__(self):
        super().__init__()
        self.mem = 0.0
    def n_reset(self):
        self.mem = 0.0
    def forward(self, x):
        self.mem = self.mem + x
        spike = (self.mem >= 1.0).float()
        self.mem = self.mem - spike
        return spike
class IFNode(BaseNode):
    pass
"""
    module.__dict__["nn"] = nn
    exec(source, module.__dict__)
    node = module.__dict__["IFNode"]
    activity = snnprof.profile(_chain(node), FRAMES, "step", timesteps=T)
    expected = snnprof.profile(_chain(StepIF), FRAMES, "step", timesteps=T)
    assert {(n.type, n.found_by) for n in activity.neurons} == {("IFNode", "class")}
    assert _numbers(activity) == _numbers(expected)


def test_wrapped_neurons_count_once() -> None:
    class Wrapper(nn.Module):
        """A layer that holds the neuron, as Spikformer's `MultiStep…` wrappers do."""

        def __init__(self) -> None:
            super().__init__()
            self.node = MultiIF()

        def forward(self, x: Tensor) -> Tensor:
            return self.node(x)

    activity = snnprof.profile(_chain(Wrapper), FRAMES, "time-batch", neuron=("Wrapper", "MultiIF"))
    assert [n.layer for n in activity.neurons] == ["1", "3"]


def test_arithmetic_inside_neurons_is_theirs() -> None:
    activity = snnprof.profile(_chain(StepIF), FRAMES, "step", timesteps=T, neuron=("StepIF",))
    assert activity.elementwise == []
    assert activity.uncounted == []


def test_bitmaps(reference: Activity) -> None:
    out = MultiIF()(FRAMES @ WEIGHTS[0].T)
    fired = unpack_bits(reference.neurons[0].fired_bitmap or "", HIDDEN)
    assert fired.tolist() == (out.sum((0, 1)) > 0).tolist()


def test_a_comparison_in_the_models_own_forward_is_a_firing_line() -> None:
    """Spikes made in the model's own forward: a row named after its line, and contractions all the same."""

    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = _linears()

        def forward(self, frames: Tensor) -> Tensor:
            v, out = torch.zeros(frames.shape[1], HIDDEN), []
            for frame in frames:
                v = v + self.a(frame)
                spike = (v >= 1.0).float()
                v = v - spike
                out.append(self.b(spike))
            return torch.stack(out)

    activity = snnprof.profile(Functional(), FRAMES, "time-batch")
    expected = snnprof.profile(_chain(MultiIF), FRAMES, "time-batch", neuron=("MultiIF",))
    (line,) = activity.neurons
    assert line.layer.startswith("test_neurons.py:")
    assert (line.spikes, line.updates, line.size, line.steps) == (
        expected.neurons[0].spikes, T * B * HIDDEN, HIDDEN, T,
    )  # fmt: skip
    assert activity.ops[1].fed_by == [line.layer]
    assert _numbers(activity)["ops"] == _numbers(expected)["ops"]


class Fires(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x > 0.5).float()


def test_a_neuron_that_a_map_runs_on_each_row_counts_all_rows() -> None:
    net, x = Fires(), torch.rand(4, 6)
    with torch.no_grad(), Recorder(net, neuron=("Fires",)) as recorder:
        for _ in range(2):
            torch.vmap(net)(x)
            recorder.end_batch()
            recorder.end_block(4)
    (neuron,) = recorder.activity().neurons
    assert (neuron.spikes, neuron.driven) == (2 * int((x > 0.5).sum()), 2 * int((x != 0).sum()))


def test_a_neuron_reads_rows_of_several_lengths() -> None:
    class Ragged(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.nested.nested_tensor([x[:2], x[2:]], layout=torch.jagged)

    net, x = nn.Sequential(Ragged(), Fires()), torch.rand(5)
    with Recorder(net, neuron=("Fires",)) as recorder:
        net(x)
    (neuron,) = recorder.activity(samples=1).neurons
    assert neuron.spikes == int((x > 0.5).sum())


def test_a_neuron_reads_sparse_input() -> None:
    class Dense(Fires):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.to_dense())

    net, x = Dense(), torch.eye(4)
    with torch.no_grad(), Recorder(net, neuron=("Dense",)) as recorder:
        for _ in range(2):
            net(x.to_sparse())
            recorder.end_batch()
            recorder.end_block(4)
    assert recorder.activity().neurons[0].driven == 2 * 4

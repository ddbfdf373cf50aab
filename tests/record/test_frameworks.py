"""Networks as the users of each framework write them, and its own where they are small: everything is counted."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snnprof

T, B = 3, 2
IMAGE = torch.rand(B, 3, 32, 32, generator=torch.Generator().manual_seed(1))
FRAMES = torch.rand(T, B, 2, 8, 8, generator=torch.Generator().manual_seed(2)).round()
DEEP = {"embed_dims": 32, "depths": (1, 1, 1)}


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """The same network at every call, with batch norms at which untrained neurons fire."""
    torch.manual_seed(0)
    model = make().eval()
    for module in model.modules():
        if hasattr(module, "step_mode"):
            module.step_mode = "m"  # as SpikingJelly's functional.set_step_mode does
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.bias, 0.5, 3.0)
    return model


def _events(layer: nn.Module, x: Tensor) -> int:
    """Non-zero inputs × the weights that they meet: the layer itself on zeros and ones, with ones for weights."""
    ones = copy.deepcopy(layer).double()
    for parameter in ones.parameters():
        nn.init.constant_(parameter, parameter.dim() > 1)
    return int(ones.forward((x != 0).double()).sum())


def counted(make: Callable[[], nn.Module], x: Tensor, layout: str, timesteps: int | None = None) -> snnprof.Activity:
    """Profiles a network, and compares each layer's events with those of a second copy outside the recorder."""
    activity = snnprof.profile(_seeded(make), [x], layout=layout, timesteps=timesteps)
    assert min(op.events for op in activity.ops) > 0 < max(op.part("spikes").events for op in activity.ops)
    assert (activity.uncounted, activity.coverage in (1.0, None)) == ([], True)
    check = getattr(activity, "self_check", None)
    assert check is None or (check.equal == check.rows and not check.differences)
    model, expected = _seeded(make), Counter[str]()
    layers = {name: m for name, m in model.named_modules() if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Linear))}
    for name, layer in layers.items():
        layer.register_forward_pre_hook(lambda m, args, name=name: expected.update({name: _events(m, args[0])}))
    with torch.no_grad():
        for frame in x if layout == "step" else [x]:
            model(frame)
    assert expected == {op.layer: op.events for op in activity.ops if op.layer in layers}
    return activity


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Spikformer", {"img_size_h": 32, "img_size_w": 32, "patch_size": 4, "embed_dims": 64, "depths": 1}),
        ("SpikeDrivenTransformer", {"embed_dims": 32, "depths": 1}),
        *[("QKFormer", {**DEEP, "num_heads": (2, 2, 2), "qka_type": kind}) for kind in ("token", "channel")],
        *[("MaxFormer", {**DEEP, "cifar": cifar}) for cifar in (False, True)],
        *[(kind, {"layers": (1, 1, 1), "base_channels": 8}) for kind in ("MSResNet", "MaxResNet")],
    ],
)
def test_spikingjelly_models_that_make_time(kind: str, options: dict[str, Any]) -> None:
    models = pytest.importorskip("spikingjelly.activation_based.model")
    counted(lambda: getattr(models, kind)(T=T, num_classes=10, **options), IMAGE, "batch", T)


@pytest.mark.parametrize(("kind", "more"), [("SEW", {"cnf": "ADD"}), ("SEW", {"cnf": "IAND"}), ("Spiking", {})])
def test_spikingjelly_residual_networks(kind: str, more: dict[str, Any], torchvision: Any) -> None:
    models = pytest.importorskip(f"spikingjelly.activation_based.model.{kind.lower()}_resnet")
    build, depth = getattr(models, f"{kind}ResNet"), (models.BasicBlock, [1] * 4, 10)
    more = {**more, "spiking_neuron": pytest.importorskip("spikingjelly.activation_based.neuron").IFNode}
    counted(lambda: build(*depth, **more), IMAGE.expand(T, *IMAGE.shape), "time-batch")


@pytest.mark.parametrize(("kind", "args"), [("PSN", (T,)), ("MaskedPSN", (2, T, 1.0)), ("SlidingPSN", (2,))])
def test_spikingjelly_parallel_neurons(kind: str, args: tuple[Any, ...]) -> None:
    layer = pytest.importorskip("spikingjelly.activation_based.layer")
    node = getattr(pytest.importorskip("spikingjelly.activation_based.neuron"), kind)

    def make() -> nn.Module:
        return nn.Sequential(layer.Conv2d(2, 4, 3), node(*args), layer.Flatten(), layer.Linear(144, 10), node(*args))

    assert [op.layer for op in counted(make, FRAMES * 8, "time-batch").ops] == ["0", "1", "3", "4"]


class Cells(nn.Module):
    """Step by step, the state of the neurons handed on by hand, as in the tutorials of snnTorch and Norse."""

    def __init__(self, cell: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.conv, self.lif1, self.fc, self.lif2 = nn.Conv2d(2, 4, 3), cell(), nn.Linear(144, 10), cell()

    def forward(self, frames: Tensor) -> Tensor:
        states = [lif.init_leaky() if hasattr(lif, "init_leaky") else None for lif in (self.lif1, self.lif2)]
        for frame in frames:
            spikes, states[0] = self.lif1(self.conv(frame), states[0])
            spikes, states[1] = self.lif2(self.fc(spikes.flatten(1)), states[1])
        return spikes


def test_snntorch() -> None:
    snn = pytest.importorskip("snntorch")

    def hidden() -> nn.Module:
        first = snn.Synaptic(alpha=0.8, beta=0.9, threshold=0.2, init_hidden=True)
        last = snn.Leaky(beta=0.9, init_hidden=True, output=True)
        return nn.Sequential(nn.Conv2d(2, 4, 3), first, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 10), last)

    counted(lambda: Cells(lambda: snn.Leaky(beta=0.9, threshold=0.2)), FRAMES, "time-batch")
    counted(hidden, FRAMES, "step", T)


def test_norse() -> None:
    norse = pytest.importorskip("norse.torch")
    parameters = norse.LIFParameters(v_th=torch.tensor(0.02))

    def lifted() -> nn.Module:
        first, last = norse.LIF(parameters), norse.LIF(parameters)
        return norse.SequentialState(norse.Lift(nn.Conv2d(2, 4, 3)), first, nn.Flatten(2), nn.Linear(144, 10), last)

    counted(lambda: Cells(lambda: norse.LIFCell(parameters)), FRAMES, "time-batch")
    counted(lifted, FRAMES, "time-batch")


@pytest.mark.parametrize(("kind", "options"), [("IAFSqueeze", {}), ("LIFSqueeze", {"tau_mem": 10.0})])
def test_sinabs_counts_the_same(kind: str, options: dict[str, float]) -> None:
    sinabs = pytest.importorskip("sinabs.layers")
    from sinabs.hooks import register_synops_hooks

    def make() -> nn.Module:
        low = {"spike_threshold": torch.tensor(0.05), "batch_size": B, **options}
        first, last = (getattr(sinabs, kind)(**low) for _ in range(2))
        layers = nn.Conv2d(2, 4, 3), first, nn.Flatten(), nn.Linear(144, 10), last
        return nn.Sequential(sinabs.FlattenTime(), *layers, sinabs.UnflattenTime(B))

    x, net = FRAMES.transpose(0, 1).contiguous(), _seeded(make)
    activity = counted(make, x, "batch-time")
    register_synops_hooks(net)
    net(x)
    own = {str(layer): round(mean.item() * B * T) for layer, mean in net.hook_data["synops_per_timestep"].items()}
    assert own == {op.layer: sum(part.by_value for part in op.parts) for op in activity.ops}

"""SEW-ResNet and MS-ResNet: their sizes from the geometry, and every spike beside SpikingJelly's own networks."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import snnprof
from snnprof import catalogue
from snnprof.errors import SnnprofError
from snnprof.models import ms_resnet, sew_resnet
from snnprof.models.neuron import IF
from snnprof.workload import models

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
PRESETS = [f"{name}:{preset}" for name in ("sew_resnet", "ms_resnet") for preset in catalogue.entry(name).presets]


def convolutions(name: str, side: int, depth: int, width: int, in_channels: int, stem: str) -> list[tuple[int, ...]]:
    """(input channels, output channels, kernel, output side) of each convolution, in order."""
    kernel, stride = (7, 2) if stem == "imagenet" else (3, 1)
    side //= stride
    found = [(in_channels, width, kernel, side)]
    if name == "sew_resnet" and stem == "imagenet":
        side //= 2  # max-pool
    inputs = width
    for stage, blocks in enumerate(BLOCKS[depth]):
        outputs = width * 2**stage
        halved = stage > 0 or name == "ms_resnet"
        side //= 2 if halved else 1
        for block in range(blocks):
            found += [(inputs, outputs, 3, side), (outputs, outputs, 3, side)]
            if block == 0 and halved:
                found.append((inputs, outputs, 1, side))
            inputs = outputs
    return found


@pytest.mark.parametrize("spec", PRESETS)
def test_parameters_and_dense_macs_follow_from_the_geometry(spec):
    name, preset = catalogue.split(spec)
    facts = catalogue.preset(name, preset)
    known = {"depth": 18, "width": 64, "in_channels": 3, "stem": "imagenet", **facts.settings}
    timesteps, classes = known.pop("timesteps"), known.pop("classes")
    layers = convolutions(name, facts.input_shape[-1], **known)
    head = 8 * known["width"] * classes
    parameters = sum(a * b * k * k + 2 * b for a, b, k, _ in layers) + head + classes
    macs = timesteps * (sum(a * b * k * k * side * side for a, b, k, side in layers) + head)
    with torch.device("meta"):
        model = models.untrained(spec).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, *facts.input_shape, device="meta"))
    assert sum(p.numel() for p in model.parameters()) == parameters == facts.parameters == facts.parameters_used
    assert counter.get_total_flops() // 2 == macs == facts.dense_macs


def test_eighteen_layers_have_the_published_sizes():
    """ResNet-18 of ImageNet has 11.69 M parameters and 1.814 G MACs, SEW-ResNet at each step as many."""
    facts = catalogue.preset("sew_resnet", "18-imagenet")
    assert (facts.parameters, facts.dense_macs) == (11_689_512, 4 * 1_814_073_344)


def lively(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random batch norms, so that every neuron layer of an untrained network has something to do."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.3, 1.5, generator=generator)
            module.bias.data.uniform_(-0.2, 0.8, generator=generator)
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.3, 2.0, generator=generator)
    return model.eval()


@pytest.fixture
def theirs(monkeypatch):
    """Builds a network of SpikingJelly's model zoo, of which only the download of weights needs torchvision."""
    pytest.importorskip("spikingjelly.activation_based.neuron")
    stub = ModuleType("torchvision.models.utils")
    stub.load_state_dict_from_url = None
    for module in (ModuleType("torchvision"), ModuleType("torchvision.models"), stub):
        monkeypatch.setitem(sys.modules, module.__name__, module)

    def build(name: str, depth: int) -> nn.Module:
        zoo = "spikingjelly.activation_based.model"
        module = pytest.importorskip(f"{zoo}.{name}", reason="needs SpikingJelly 2.0")
        make = getattr(module, f"{name}{depth}")
        if name == "ms_resnet":
            return make(T=3, num_classes=7)
        neuron = importlib.import_module("spikingjelly.activation_based.neuron")
        network = make(cnf="ADD", spiking_neuron=neuron.IFNode, detach_reset=True, num_classes=7)
        importlib.import_module("spikingjelly.activation_based.functional").set_step_mode(network, "m")
        return network

    return build


def spikes_of(model: nn.Module, kind: type[nn.Module], x: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    seen: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.clone()}))
    with torch.no_grad():
        return seen, model(x)


@pytest.mark.parametrize("depth", [18, 34])
@pytest.mark.parametrize("name", ["sew_resnet", "ms_resnet"])
def test_every_spike_is_that_of_spikingjellys_network(name, depth, theirs):
    package = {"sew_resnet": sew_resnet, "ms_resnet": ms_resnet}[name]
    ours, reference = lively(package.build(depth=depth, classes=7, timesteps=3)), theirs(name, depth).eval()
    state = ours.state_dict()
    assert list(state) == list(reference.state_dict())
    reference.load_state_dict(state)  # strict: the same names and shapes
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    spikes, logits = spikes_of(ours, IF, x)
    node = importlib.import_module("spikingjelly.activation_based.neuron").BaseNode
    shown = x.expand(3, *x.shape) if name == "sew_resnet" else x
    expected, answer = spikes_of(reference, node, shown)
    assert spikes.keys() == expected.keys()
    for layer in spikes:
        assert spikes[layer].equal(expected[layer]), layer
        assert 0 < spikes[layer].mean() < 1, layer
    torch.testing.assert_close(logits, answer.mean(0) if name == "sew_resnet" else answer)
    assert logits.std() > 0


def test_sew_blocks_pass_on_whole_numbers_and_ms_blocks_real_ones():
    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    for package, whole in ((sew_resnet, True), (ms_resnet, False)):
        model = lively(package.build(width=8, classes=10, in_channels=1, stem="small"))
        with torch.no_grad():
            streams = [model.layer1]
            stream = streams[0](torch.ones(2, 1, 8, 8, 8))
            model(x)
        assert stream.equal(stream.round()) is whole
        if whole:
            assert 2 <= stream.max() <= 3  # the ones that came in, and the spikes of two blocks


@pytest.mark.parametrize("name", ["sew_resnet", "ms_resnet"])
def test_everything_is_counted_and_counted_again(name):
    model = lively(models.untrained(f"{name}:digits"))
    x = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    run = snnprof.profile(model, x, timesteps=4)
    assert not run.uncounted
    assert run.coverage == 1.0
    assert run.self_check.rows == run.self_check.equal == len(run.ops)
    assert sum(op.dense_macs for op in run.ops) == 2 * catalogue.preset(name, "digits").dense_macs
    real = {op.layer for op in run.ops if op.part("real").elements}
    shortcuts = {f"layer{stage}.0.downsample.0" for stage in range(1, 5)}
    assert real == ({"conv1"} if name == "sew_resnet" else {"stem.0"} | shortcuts)
    assert all(catalogue.role(name, op.layer) and catalogue.block(name, op.layer) for op in run.ops)


@pytest.mark.parametrize("name", ["sew_resnet", "ms_resnet"])
def test_a_checkpoint_of_other_sizes_gives_its_settings_away(name, tmp_path):
    package = {"sew_resnet": sew_resnet, "ms_resnet": ms_resnet}[name]
    settings = {"depth": 34, "width": 4, "classes": 5, "in_channels": 2, "stem": "small"}
    state = package.build(**settings).state_dict()
    assert package.settings_from({key: list(tensor.shape) for key, tensor in state.items()}) == settings
    path = tmp_path / "weights.pt"
    torch.save(state, path)
    loaded = models.resolve(name, checkpoint=path)
    assert sum(p.numel() for p in loaded.module.parameters()) == sum(
        tensor.numel() for key, tensor in state.items() if "running" not in key and "num_batches" not in key
    )


@pytest.mark.parametrize("package", [sew_resnet, ms_resnet])
@pytest.mark.parametrize(
    ("settings", "words"),
    [({"depth": 50}, "depth must be 18 or 34"), ({"stem": "big"}, "unknown stem"), ({"width": 0}, "positive whole"),
     ({"timesteps": 2.5}, "positive whole")],
)  # fmt: skip
def test_impossible_settings_are_refused(package, settings, words):
    with pytest.raises(SnnprofError, match=words):
        package.build(**settings)

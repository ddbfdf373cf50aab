"""Networks that must take published weights as they are: names, shapes, order and MACs of the official ones."""

import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from snnprof import catalogue
from snnprof.models.neuron import LIF
from snnprof.workload import models

FAMILIES = ("sdt", "qkformer", "spikingformer")
FOLDER = Path(__file__).parent.parent / "data" / "layouts"
LAYOUTS = {
    f"{family}:{path.stem.removeprefix(f'{family}-')}": json.loads(path.read_text(encoding="utf-8"))
    for family in FAMILIES
    for path in FOLDER.glob(f"{family}-*.json")
}


def on_meta(spec):
    with torch.device("meta"):
        return models.untrained(spec).eval()


def macs_by_layer(spec):
    """MACs of one inference by module path, and the operators that ran in each; neurons have none and are skipped."""
    model = on_meta(spec)
    for module in model.modules():
        if isinstance(module, LIF):
            module.forward = torch.Tensor.cos
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, *catalogue.preset(spec).sample_shape(), device="meta"))
    counted = {name.partition(".")[2]: ops for name, ops in counter.get_flop_counts().items()}
    return {name: sum(ops.values()) // 2 for name, ops in counted.items()}, counted


def test_every_published_size_has_a_layout():
    assert len(LAYOUTS) == 12
    assert all(spec.partition(":")[2] in catalogue.entry(spec.partition(":")[0]).presets for spec in LAYOUTS)


@pytest.mark.parametrize("spec", sorted(LAYOUTS))
def test_state_dict_is_the_official_one(spec):
    layout, model = LAYOUTS[spec], on_meta(spec)
    state = {
        name: f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}".replace(" ", "")
        for name, tensor in model.state_dict().items()
    }
    assert list(state.items()) == list(layout["state"].items())
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    preset = catalogue.preset(spec)
    assert sum(sizes.values()) == preset.parameters == layout["parameters"]
    assert preset.parameters - sum(sizes[name] for name in layout["dead"]) == layout["parameters_used"]
    assert preset.parameters_used == layout["parameters_used"]


@pytest.mark.parametrize("spec", sorted(spec for spec in LAYOUTS if "layers" in LAYOUTS[spec]))
def test_dense_macs_per_layer(spec):
    layout, (macs, _) = LAYOUTS[spec], macs_by_layer(spec)
    assert {name: macs[name] for name in layout["layers"]} == layout["layers"]
    assert macs[""] == catalogue.preset(spec).dense_macs == layout["dense_macs"]


def test_dense_macs_of_the_layouts_that_have_none():
    """SDT-8-512: Table S1's stem, 12 N D² per block, a head at each step. Spikingformer-4-384: those of Spikformer."""
    stem, square = 86_704_128 + 3 * 924_844_032 + 462_422_016, 196 * 512**2
    assert catalogue.preset("sdt:8-512-imagenet").dense_macs == 4 * (stem + 8 * 12 * square + 512_000)
    macs = catalogue.preset("spikformer:4-384-cifar10").dense_macs
    assert catalogue.preset("spikingformer:4-384-cifar10").dense_macs == macs


@pytest.mark.parametrize(
    ("spec", "products"),
    [
        ("sdt:8-384-imagenet", {}),
        ("qkformer:10-384-imagenet", {"stage3.0.attn": 2 * 196 * 384**2 // 6}),
        ("qkformer:4-384-cifar10", {"stage3.1.ssa": 2 * 64 * 384**2 // 8}),
        ("spikingformer:4-384-cifar10", {"block.0.attn": 2 * 64**2 * 384}),
        ("spikingformer:8-768-imagenet", {"block.7.attn": 2 * 196 * 768**2 // 12}),
    ],
)
def test_products_of_activations(spec, products):
    """2 N D² / heads per step where KᵀV comes first, else 2 N² D; none in SDSA and in token QK attention."""
    _, counted = macs_by_layer(spec)
    found = {name: ops[torch.ops.aten.bmm] // 2 for name, ops in counted.items() if torch.ops.aten.bmm in ops}
    assert all(found[name] == 4 * macs for name, macs in products.items())
    assert not [name for name in found if "tssa" in name or spec.startswith("sdt")]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_scripts_checkpoint_loads_unchanged(family, tmp_path):
    """In a wrapper, behind DataParallel's prefix, without a preset: sizes are read off the shapes."""
    model = models.untrained(f"{family}:digits", seed=3)
    path = tmp_path / "official.pth.tar"
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 300, "arch": family, "state_dict": state}, path)
    loaded = models.resolve(family, checkpoint=path)
    assert loaded.preset is catalogue.preset(family, "digits")
    assert all(tensor.equal(loaded.module.state_dict()[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("spec", sorted(LAYOUTS))
def test_sizes_are_read_off_the_shapes(spec):
    from importlib import import_module

    family = spec.partition(":")[0]
    shapes = {name: list(tensor.shape) for name, tensor in on_meta(spec).state_dict().items()}
    settings = import_module(f"snnprof.models.{family}").settings_from(shapes)
    wanted = {"in_channels": 3, "mlp_ratio": 4, **catalogue.preset(spec).settings}
    assert settings == {key: wanted[key] for key in settings}
    assert {"depth", "width", "classes"} <= set(settings)

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from snnprof import catalogue
from snnprof.errors import SnnprofError
from snnprof.workload import models

BUNDLED = ["qkformer", "saformer", "sdt", "spikformer", "spikingformer", "ssa_bin"]
MINIMAL = """
name: tiny
title: Tiny
builder: tinymodel.net:build
paper: {title: T, authors: A, year: 2026, bibtex: "@misc{t}"}
default: small
presets:
  small: {settings: {classes: 3, timesteps: 2}, input_shape: [1, 8, 8], data: random}
"""


@pytest.fixture(autouse=True)
def fresh_catalogue():
    clear()
    yield
    clear()


def clear():
    for cached in (catalogue.entry, catalogue._bundled, catalogue._plugins):
        cached.cache_clear()


def test_bundled_names_are_known_without_torch():
    code = (
        "import sys; from snnprof import catalogue as c; [c.entry(n) for n in c.names()];"
        "sys.exit(bool({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert set(BUNDLED) <= set(catalogue.names())
    assert catalogue.names() == sorted(catalogue.names())


def test_presets_by_name_alias_and_default():
    assert catalogue.preset("spikformer") is catalogue.preset("spikformer", "digits")
    assert catalogue.preset("ssa_bin:mean") is catalogue.preset("ssa_bin", "threshold")
    assert catalogue.preset("ssa_bin:shift") is catalogue.preset("ssa_bin", "centred")
    assert catalogue.split("spikformer:4-384") == ("spikformer", "4-384-cifar10")


@pytest.mark.parametrize("name", BUNDLED)
def test_aliases_name_one_preset_each(name):
    presets = catalogue.entry(name).presets
    spelled = [*presets, *(alias for preset in presets.values() for alias in preset.aliases)]
    assert len(spelled) == len(set(spelled))


def test_event_presets_see_frames():
    preset = catalogue.preset("spikformer:2-256-cifar10dvs")
    assert preset.sample_shape() == [16, 2, 128, 128]
    assert preset.sample_shape(10) == [10, 2, 128, 128]
    assert catalogue.preset("spikformer:4-384-cifar10").sample_shape(10) == [3, 32, 32]


def measured(builder, settings, shape):
    """Parameters, those that a gradient reaches, and MACs of one inference, of the network built without memory."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from snnprof.models.neuron import LIF

    with torch.device("meta"):
        model = models.find(builder)(**settings).eval()
    for module in model.modules():
        if isinstance(module, LIF):  # no weight, no product, and one operator a step: only slow here
            module.forward = torch.Tensor.cos
    with FlopCounterMode(display=False) as flops:
        logits = model(torch.empty([1, *shape], device="meta"))
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
    reached = [p.numel() for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None]
    return sum(p.numel() for p in parameters), sum(reached), flops.get_total_flops() // 2


@pytest.mark.parametrize("name", BUNDLED)
def test_stated_sizes_are_the_networks_own(name):
    """SSA_Bin's rows differ in nothing that is counted here, so one of each data set is built."""
    entry, found = catalogue.entry(name), {}
    for preset in entry.presets.values():
        settings = {key: value for key, value in preset.settings.items() if key != "row"}
        key = str((settings, preset.sample_shape()))
        if key not in found:
            found[key] = measured(entry.builder, preset.settings, preset.sample_shape())
        assert (preset.parameters, preset.parameters_used, preset.dense_macs) == found[key]


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("spikfomer", "unknown model 'spikfomer'", "did you mean 'spikformer'"),
        ("spikformer:4-834", "spikformer has no preset '4-834'", "snnprof models show spikformer"),
    ],
)
def test_unknown_names_say_what_is_near(name, message, hint):
    with pytest.raises(SnnprofError, match=message) as caught:
        catalogue.preset(name)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("layer", "index", "preset", "role"),
    [
        ("patch_embed.proj_conv", 0, None, "stem"),
        ("patch_embed.proj_conv1", 0, None, "SPS"),
        ("block.11.attn.q_linear", 0, None, "QKV"),
        ("block.0.attn", 0, "4-384-cifar10", "QK^T"),
        ("block.0.attn", 1, "4-384-cifar10", "AV"),
        ("block.0.attn", 0, "8-512-imagenet", "K^TV"),
        ("block.0.attn", None, None, "attention"),
        ("block.0.attn.proj_conv", 0, None, "projection"),
        ("block.0.mlp.fc2_conv", 0, None, "MLP"),
        ("head", 0, None, "head"),
        ("elsewhere", 0, None, None),
    ],
)
def test_roles_of_spikformer(layer, index, preset, role):
    assert catalogue.role("spikformer", layer, index, preset) == role


def test_every_layer_of_the_bundled_models_has_a_role_and_a_block():
    torch = pytest.importorskip("torch")
    from snnprof.workload import models

    for name in BUNDLED:
        with torch.device("meta"):
            layers = [path for path, module in models.untrained(name).named_modules() if not list(module.children())]
        assert [layer for layer in layers if catalogue.role(name, layer, 0) is None and "norm" not in layer] == []
        assert [layer for layer in layers if catalogue.block(name, layer) is None] == []


def test_unknown_models_have_no_roles():
    assert catalogue.role("net", "block.0", 0) is None
    assert catalogue.block("net", "block.0") is None


def test_published_rows_by_id():
    row = catalogue.published_row("ssa_bin-bin-cifar10")
    assert (row.accuracy, row.sops_g, row.energy_mj) == (95.77, 0.51, 0.039)
    assert row.recomputed_mj == pytest.approx(0.51 * 0.077)
    with pytest.raises(SnnprofError, match="unknown published row") as caught:
        catalogue.published_row("ssa_bin-bin-cifar")
    assert "ssa_bin-bin-cifar10" in caught.value.hint


def plug_in(monkeypatch, value):
    points = [EntryPoint("tiny", value, catalogue.ENTRY_POINTS)]
    monkeypatch.setattr(catalogue, "entry_points", lambda group: points if group == catalogue.ENTRY_POINTS else [])


def package(tmp_path, monkeypatch, files):
    folder = tmp_path / "tinymodel"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tinymodel", raising=False)


@pytest.mark.parametrize(
    ("value", "files"),
    [
        ("tinymodel.net", {"__init__.py": "", "net.py": "raise RuntimeError('imported')", "net.yaml": MINIMAL}),
        ("tinymodel", {"__init__.py": "", "tiny.yaml": MINIMAL}),
        ("tinymodel:FACTS", {"__init__.py": "FACTS = __file__[:-11] + 'some.yaml'", "some.yaml": MINIMAL}),
    ],
)
def test_other_packages_add_models(tmp_path, monkeypatch, value, files):
    package(tmp_path, monkeypatch, files)
    plug_in(monkeypatch, value)
    assert catalogue.names()[-1] == "tiny"
    assert catalogue.preset("tiny").classes == 3
    assert catalogue.entry("tiny").path.parent == tmp_path / "tinymodel"


@pytest.mark.parametrize("value", ["nowhere.at.all", "tinymodel", "tinymodel:MISSING"])
def test_a_broken_entry_point_is_named(tmp_path, monkeypatch, value):
    package(tmp_path, monkeypatch, {"__init__.py": ""})
    plug_in(monkeypatch, value)
    with pytest.raises(SnnprofError, match="model 'tiny'"):
        catalogue.entry("tiny")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("default: small", "default: large", "'large' is not among the presets"),
        ("title: Tiny", "tilte: Tiny", "tilte"),
        ("title: Tiny", "title: [", "not valid YAML"),
        ("presets:", "published: [{id: a, title: t, preset: huge, source: s, status: paper}]\npresets:", "huge"),
        ("presets:", "roles: [{pattern: '(', role: r}]\npresets:", "roles"),
    ],
)
def test_a_wrong_file_says_where(tmp_path, old, new, words):
    path = tmp_path / "tiny.yaml"
    path.write_text(MINIMAL.replace(old, new, 1))
    with pytest.raises(SnnprofError) as caught:
        catalogue.load(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)

"""A package of someone else's, built and installed, that adds a model, a hardware profile and a neuron class."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import snnprof
from snnprof import catalogue, grouping, hardware
from snnprof.__main__ import main
from snnprof.activity import Activity
from snnprof.errors import SnnprofError
from snnprof.record import neurons
from snnprof.workload import models

MODEL = """
name: tinynet
title: Tiny network
builder: tinysnn.tinynet:build
paper: {title: A tiny network, authors: A. Author, year: 2026, bibtex: "@misc{tiny}"}
default: small
presets:
  small: {settings: {classes: 3}, input_shape: [4], data: random}
"""
CODE = """
import torch
from torch import nn


class Fire(nn.Module):
    '''Adds up what comes in; fires and starts over above 1. Its state has no name that snnprof knows.'''

    def __init__(self):
        super().__init__()
        self.sum = 0.0

    def start_over(self):
        self.sum = 0.0

    def forward(self, x):
        self.sum = self.sum + x
        spikes = (self.sum > 1).float()
        self.sum = self.sum * (1 - spikes)
        return spikes, self.sum


class Net(nn.Sequential):
    def forward(self, x):
        spikes, _ = self[1](self[0](x))
        return self[2](spikes)


def build(classes):
    return nn.Sequential(nn.Linear(4, classes, bias=False))


def spiking():
    first, last = nn.Linear(4, 4, bias=False), nn.Linear(4, 2, bias=False)
    nn.init.eye_(first.weight)
    return Net(first, Fire(), last)
"""
ROWS = """
from snnprof.record.neurons import NeuronClass, first_tensor

FIRE = NeuronClass("tinysnn", frozenset({"Fire"}), first_tensor, lambda module: False, reset="start_over")
"""
PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "tinysnn"
version = "1.0"
[project.entry-points."snnprof.models"]
tinynet = "tinysnn.tinynet"
[project.entry-points."snnprof.hardware_profiles"]
tinychip = "tinysnn:CHIP"
[project.entry-points."snnprof.neurons"]
tinysnn = "tinysnn.rows:FIRE"
[tool.setuptools]
packages = ["tinysnn"]
package-data = {tinysnn = ["*.yaml"]}
"""
CHIP = """
schema: snnprof.hardware/1
id: tinychip
title: Tiny chip
kind: digital
scope: compute
evidence: derived
technology: {node_nm: 22}
precision: {weight: int8, activation: binary, accumulator: int16}
energy: {sop: 3, mac: 5 pJ}
includes: [arithmetic]
excludes: [host]
sources: [{id: own, citation: our own estimate, access: read}]
"""
FILES = {
    "pyproject.toml": PROJECT, "tinysnn/__init__.py": "CHIP = __file__.replace('__init__.py', 'tinychip.yaml')",
    "tinysnn/tinynet.py": CODE, "tinysnn/rows.py": ROWS, "tinysnn/tinynet.yaml": MODEL, "tinysnn/tinychip.yaml": CHIP,
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip put the package."""
    source, target = tmp_path_factory.mktemp("tinysnn"), tmp_path_factory.mktemp("site")
    for name, text in FILES.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True)
    return target


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(site))
    caches = (catalogue._plugins, catalogue.entry, neurons._added)
    for cache in caches:
        cache.cache_clear()
    yield site
    for cache in caches:
        cache.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "tinysnn"]:
        del sys.modules[name]


def test_its_neurons_are_known_and_reset(installed: Path) -> None:
    """0.75 a step fires at every other step; a batch that started with the first one's rest would fire earlier.

    2 samples × 4 inputs × 2 steps in batches of 1: step 1 is silent, step 2 fires 4 neurons.
    """
    module = importlib.import_module("tinysnn.tinynet")
    batches = [torch.full((1, 4), 0.75) for _ in range(2)]
    activity = snnprof.profile(module.spiking(), batches, layout="step", timesteps=2)
    (layer,) = activity.neurons
    assert (layer.type, layer.found_by, layer.spikes, layer.spikes_per_step) == ("Fire", "class", 8, [0, 8])


def test_a_plug_in_that_fails_is_one_sentence(installed: Path) -> None:
    (installed / "tinysnn" / "rows.py").rename(installed / "tinysnn" / "gone.py")
    try:
        module = importlib.import_module("tinysnn.tinynet")
        with pytest.raises(SnnprofError, match=r"its plug-in tinysnn\.rows:FIRE failed: No module named"):
            neurons.known_class(module.Fire())
    finally:
        (installed / "tinysnn" / "gone.py").rename(installed / "tinysnn" / "rows.py")


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("tinysnn/tinynet.yaml", "name: [", "not valid YAML"),
        ("tinysnn/tinynet.yaml", "name: tinynet", "title: Field required"),
        ("tinysnn/__init__.py", "raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("tinysnn/__init__.py", "import sys; sys.exit('a script')", "SystemExit: a script"),
    ],
)
def test_a_broken_package_is_one_warning(
    installed: Path, file: str, content: str, reason: str, capsys: pytest.CaptureFixture[str], activity: Activity
) -> None:
    with changed(installed / file, content):
        assert main(["models", "list", "--format", "csv"]) == 0
        out, err = capsys.readouterr()
        assert "saformer:digits" in out
        assert "tinynet" not in out
        assert err.count("warning: ") == 1
        assert "warning: left out: model 'tinynet' of the package 'tinysnn': its entry point tinysnn.tinynet" in err
        assert reason in err
        assert "hint: update or uninstall tinysnn" in err
        assert main(["models", "show", "tinynet"]) == 2
        assert "error: model 'tinynet' of the package 'tinysnn'" in capsys.readouterr().err
        assert catalogue.published_row("ssa_bin-bin-cifar10") in catalogue.published().values()
        its_own = activity.run.model.model_copy(update={"name": "tinynet"})
        run = activity.model_copy(update={"run": activity.run.model_copy(update={"model": its_own})})
        assert grouping.role_of(run, "0", None) is None
        assert grouping.block_of(run, "block.0.attn") == "block.0"


def test_a_broken_hardware_package_is_one_warning(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with changed(installed / "tinysnn" / "__init__.py", "CHIP = 3"):
        assert main(["hardware", "list", "--format", "csv"]) == 0
        out, err = capsys.readouterr()
        assert "cmos45-fp32" in out
        assert err.startswith(
            "warning: left out: hardware profile 'tinychip' of the package 'tinysnn': its entry point"
        )
        assert err.endswith("hint: update or uninstall tinysnn\n")
        assert main(["hardware", "show", "tinychip"]) == 2


@contextmanager
def changed(file: Path, content: str) -> Iterator[None]:
    """The package with another content of one file, not imported yet."""
    before = file.read_text(encoding="utf-8")
    file.write_text(content, encoding="utf-8")
    importlib.invalidate_caches()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "dont_write_bytecode", True)
        try:
            yield
        finally:
            file.write_text(before, encoding="utf-8")


def test_its_model_and_profile_are_known_by_name(installed: Path) -> None:
    assert "tinynet" in catalogue.names()
    assert "tinychip" in hardware.names()
    loaded = models.resolve("tinynet")
    assert (loaded.facts.label, loaded.input_shape, loaded.classes) == ("Tiny network small", [4], 3)
    assert snnprof.load_hardware("tinychip").energy.mac.value == 5


def test_from_the_command_line(installed: Path) -> None:
    """4 × 3 weights on one random sample: 12 MACs at 5 pJ."""
    command = "profile --model tinynet --data random --samples 1 --batch-size 1 --hardware tinychip --format csv"
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); from snnprof.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()], capture_output=True, text=True, check=False, cwd=installed
    )
    assert done.returncode == 0, done.stderr
    header, row = (line.split(",") for line in done.stdout.strip().splitlines()[:2])
    assert float(row[header.index("energy_pj")]) == 60

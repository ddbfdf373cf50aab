"""A package of someone else's that adds a model and a hardware profile, found as an installed one is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import snnprof
from snnprof import hardware
from snnprof.workload import catalogue, models

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
from torch import nn

def build(classes):
    return nn.Sequential(nn.Linear(4, classes, bias=False))
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
ENTRY_POINTS = """
[snnprof.models]
tinynet = tinysnn.tinynet
[snnprof.hardware_profiles]
tinychip = tinysnn:CHIP
"""


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    files = {
        "tinysnn/__init__.py": "CHIP = __file__.replace('__init__.py', 'tinychip.yaml')",
        "tinysnn/tinynet.py": CODE, "tinysnn/tinynet.yaml": MODEL, "tinysnn/tinychip.yaml": CHIP,
        "tinysnn-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tinysnn\nVersion: 1.0\n",
        "tinysnn-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    catalogue._plugins.cache_clear()
    yield tmp_path
    catalogue._plugins.cache_clear()
    catalogue.entry.cache_clear()
    for name in ("tinysnn", "tinysnn.tinynet"):
        sys.modules.pop(name, None)


def test_its_model_and_profile_are_known_by_name(installed):
    assert "tinynet" in catalogue.names()
    assert "tinychip" in hardware.names()
    loaded = models.resolve("tinynet")
    assert (loaded.facts.label, loaded.input_shape, loaded.classes) == ("Tiny network small", [4], 3)
    assert snnprof.load_hardware("tinychip").energy.mac.value == 5


def test_from_the_command_line(installed):
    """4 × 3 weights on one random sample: 12 MACs at 5 pJ."""
    command = "profile --model tinynet --data random --samples 1 --batch-size 1 --hardware tinychip --format csv"
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); from snnprof.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()], capture_output=True, text=True, check=False, cwd=installed
    )
    assert done.returncode == 0, done.stderr
    header, row = (line.split(",") for line in done.stdout.strip().splitlines()[:2])
    assert float(row[header.index("energy_pj")]) == 60

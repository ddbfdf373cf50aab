"""The commands of docs/bring_your_model.md, as they stand there."""

from __future__ import annotations

from pathlib import Path

import pytest

from snnprof.__main__ import main
from snnprof.activity import Activity

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "bring_your_model.md"
NEEDS = {"spikingjelly": "spikingjelly", "snntorch": "snntorch", "norse": "norse"}


def _commands() -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []
    return [line.split()[1:] for line in lines if line.startswith("    snnprof profile")]


def test_the_page_has_five_recipes() -> None:
    assert len(_commands()) == 5


@pytest.mark.parametrize("command", _commands(), ids=lambda command: Path(command[2].partition(":")[0]).stem)
def test_recipe(command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, package in NEEDS.items():
        if name in command[2]:
            pytest.importorskip(package)
    monkeypatch.chdir(ROOT)
    run = tmp_path / "run.json"
    assert main([*command, "--samples", "16", "--device", "cpu", "--output", str(run)]) == 0
    activity = Activity.load(run)
    assert (activity.samples, activity.coverage, activity.uncounted) == (16, 1.0, [])
    assert sum(neuron.spikes for neuron in activity.neurons) > 0
    assert {part.kind for op in activity.ops for part in op.parts} - {"silent"} == {"real", "spikes"}

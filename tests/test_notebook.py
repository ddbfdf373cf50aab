"""The example notebook runs, and prints what is stored in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (pip install nbformat nbclient ipykernel)")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (pip install nbformat nbclient ipykernel)")
pytest.importorskip("ipykernel", reason="ipykernel is not installed (pip install nbformat nbclient ipykernel)")

NOTEBOOK = Path(__file__).parent.parent / "examples" / "digits.ipynb"
NUMBER = re.compile(r"\d+(?:\.\d+)?")
PICTURE = "image/png"  # other versions of the drawing library make other bytes
BARS = re.compile(r"[▁▂▃▄▅▆▇█▏▎▍▌▋▊▉]+")


@pytest.mark.slow
def test_the_notebook_prints_what_is_stored_in_it(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words as they are; numbers within 2 %, because other processors round a membrane to the other side."""
    monkeypatch.setenv("COLUMNS", "100")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    stored = [outputs(cell) for cell in notebook.cells]
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    if request.config.getoption("--regenerate-golden"):
        nbformat.write(without_times(notebook), NOTEBOOK)
        return
    for cell, before in zip(notebook.cells, stored, strict=True):
        now = outputs(cell)
        assert now.keys() == before.keys(), cell.source
        for kind in now.keys() - {PICTURE}:
            assert words(now[kind]) == words(before[kind]), cell.source
            assert numbers(now[kind]) == pytest.approx(numbers(before[kind]), rel=0.02, abs=0.02), cell.source


def outputs(cell: Any) -> dict[str, str]:
    """What a cell shows, by kind."""
    found: dict[str, str] = {}
    for output in cell.get("outputs", []):
        found |= {output.name: output.text} if output.output_type == "stream" else output.data
    return found


def words(text: str) -> str:
    return BARS.sub("", NUMBER.sub("#", " ".join(text.split())))


def numbers(text: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(text)]


def without_times(notebook: Any) -> Any:
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata.pop("widgets", None)
    return notebook


def test_the_notebook_stores_no_paths_and_stays_small() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 300_000
    assert not re.search(r"/home/|/work/|/Users/|site-packages", text)

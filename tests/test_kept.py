"""Runs without --output: where they are kept, how a bare name finds them, and what must never be hidden by them."""

from __future__ import annotations

from pathlib import Path

import pytest

from snnprof import kept
from snnprof.errors import SnnprofError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def test_a_bare_name_is_looked_up(here: Path) -> None:
    place = kept.place("saformer")
    assert place == here.parent / "cache" / "snnprof" / "runs" / "saformer.json"
    assert kept.found(Path("saformer.json")) == Path("saformer.json"), "nothing is kept yet"
    place.write_text("{}")
    assert kept.found(Path("saformer.json")) == place
    for other in ("./x/saformer.json", "saformer", "/saformer.json"):
        assert kept.found(Path(other)) == Path(other)


def test_a_file_of_this_folder_comes_first(here: Path) -> None:
    place = kept.place("saformer")
    place.write_text("{}")
    assert kept.shown(place) == "saformer.json"
    (here / "saformer.json").write_text("mine")
    assert kept.found(Path("saformer.json")) == Path("saformer.json")
    assert kept.shown(place) == str(place), "the bare name is another run's here"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("spikformer:4-384-cifar10", "spikformer-4-384-cifar10.json"),
        ("nets/my net.py:build", "my-net-build.json"),
        ("package.module:Net", "package.module-Net.json"),
        ("../../etc/x.py:f", "x-f.json"),
        ("网络.py:网", "网络-网.json"),
        ("///", "run.json"),
    ],
)
def test_names_are_file_names(model: str, name: str) -> None:
    assert kept.file_name(model) == name


def test_a_relative_cache_folder_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kept.folder() == tmp_path / ".cache" / "snnprof" / "runs"


def test_a_folder_that_cannot_be_made(here: Path) -> None:
    (here.parent / "cache").write_text("a file")
    with pytest.raises(SnnprofError, match="cannot make"):
        kept.place("saformer")

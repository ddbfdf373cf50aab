"""No command takes an empty option, or writes over a file that it reads."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from snnprof import kept
from snnprof.__main__ import main
from snnprof.activity import Activity
from snnprof.cli.command import must_keep_inputs

FILES = ("table.csv", "log.csv", "net.py", "pkg/net.py", "w.pt", "x.npz", "mine.yaml", "cifar/test_batch", "a:b.pt")


@pytest.fixture
def folder(tmp_path: Path, run_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run and other files that commands read, some of them under a second name."""
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("model,T,SOPs (G),energy (mJ)\nA,4,11.09,9.98\n")
    Path("link.html").symlink_to("run.json")
    os.link("run.json", "second.json")
    return tmp_path


@pytest.mark.parametrize("command", [
    "audit table.csv -o table.csv --force",
    "audit table.csv -o table.csv",
    "audit paper:ssabin table.csv -o ./table.csv --force",
    "audit run.json --printed 4mJ -o run.json --force",
    "report run.json -o run.json --force",
    "report run.json -o link.html --force",
    "report run.json -o second.json --force",
    "report run.json -o other.html -o second.json --force",
    "report run.json --hardware mine.yaml -o mine.yaml --force",
    "report run.json --mapping mine.yaml -o mine.yaml --force",
    "compare paper:ssa_bin-bin-cifar10 run.json -o run.json --force",
    "cite run.json -o run.json --force",
    "profile net.py:build --data x.npz -o net.py --force",
    "profile --model pkg.net:build --data x.npz -o pkg/net.py --force",
    "profile saformer --checkpoint w.pt:model -o w.pt --force",
    "profile saformer --checkpoint a:b.pt -o a:b.pt --force",
    "profile saformer --data x.npz -o run.json -o x.npz --force",
    "profile saformer --data net.py:data -o net.py --force",
    "profile saformer --data cifar10:cifar -o cifar/test_batch --force",
    "profile saformer --set table=table.csv -o table.csv --force",
    "profile saformer --resume run.json -o second.json --force",
    "hardware show mine.yaml -o mine.yaml --force",
    "hardware validate --hardware mine.yaml -o mine.yaml --force",
    "hardware calibrate log.csv run.json -o mine.yaml --fit static,mine.yaml --force",
    "hardware calibrate mine.yaml run.json -o mine.yaml --node 7 --force",
])  # fmt: skip
def test_inputs_are_kept(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digests = {name: hashlib.sha256(Path(name).read_bytes()).digest() for name in (*FILES, "run.json")}
    assert main(command.split()) == 2
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.startswith("error: cannot write ")
    assert ": this command reads it\nhint: choose another file" in heard.err
    assert digests == {name: hashlib.sha256(Path(name).read_bytes()).digest() for name in digests}


def test_a_run_in_the_cache_is_kept(folder: Path, activity: Activity, capsys: pytest.CaptureFixture[str]) -> None:
    place = kept.place("net")
    activity.save(place)
    assert main(["report", "net.json", "--output", str(place), "--force"]) == 2
    assert f"cannot write {place}" in capsys.readouterr().err


def test_a_profile_of_the_user_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SNNPROF_HARDWARE", str(folder))
    assert main("report run.json --hardware mine --format json -o mine.yaml --force".split()) == 2
    assert "cannot write mine.yaml: this command reads it" in capsys.readouterr().err


def test_other_files_are_written(folder: Path) -> None:
    """A title is no file, and a report may lie in the folder of the data."""
    Path("cifar/old.html").write_text("")
    must_keep_inputs({"out": [Path("table.csv")], "title": "table.csv", "names": ["run.json"]})
    must_keep_inputs({"out": [Path("cifar/old.html")], "data": "cifar10:cifar"})
    must_keep_inputs({"out": [Path("run.json")], "resume": Path("run.json"), "name": "net.py:build"})
    assert main(["report", "run.json", "-o", "table.csv", "--force"]) == 0


@pytest.mark.parametrize("command", [
    "papers list --model=", "papers list --dataset=", "papers list --source=", "papers list --verdict=",
    "report run.json --by=", "report run.json --columns=", "report run.json --sort=", "report run.json --hardware=",
    "compare run.json run.json --by=", "compare run.json run.json --against=", "compare run.json --layout-of=",
    "plot run.json --kind=", "plot run.json --over=", "profile saformer --data=", "profile saformer --device=",
    "profile saformer --set=", "sweep saformer --over=", "verify run.json --model=", "export run.json -o x --mapping=",
    "audit run.json --printed=", "hardware calibrate log.csv run.json --fit=",
])  # fmt: skip
def test_an_empty_option_is_refused(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    *words, option = command.split()
    for empty in (option, option + "  "):
        assert main([*words, empty]) == 2
        heard = capsys.readouterr()
        assert heard.out == ""
        said = f"error: {option.removesuffix('=')} is empty\nhint: give it a value, or leave it out\n"
        assert heard.err.endswith(said)


def test_a_caption_and_the_name_of_the_root_may_be_empty(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", "run.json", ""])
    assert "is empty" not in capsys.readouterr().err
    assert main(["report", "run.json", "--format", "latex", "--caption", "", "--label", ""]) == 0

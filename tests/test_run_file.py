"""Files are written whole or not at all, by nobody's leave but the owner's, and say whether they were changed."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from snnprof import run_file
from snnprof.__main__ import main
from snnprof.activity import Activity
from snnprof.errors import SnnprofError
from snnprof.run_file import Target, write_atomically

Capture = pytest.CaptureFixture[str]
STORED = Path(__file__).parent / "data" / "runs"


@contextmanager
def interrupted_at(step: int) -> Iterator[list[int]]:
    """A KeyboardInterrupt at this bytecode instruction within run_file.py; the list holds how many there were."""
    count = [0]

    def called(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != run_file.__file__:
            return None
        frame.f_trace_opcodes = True
        return stepped

    def stepped(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            count[0] += 1
            if count[0] == step:
                sys.settrace(None)
                raise KeyboardInterrupt
        return stepped

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks whether any frame has it when a trace function is set
    sys.settrace(called)
    try:
        yield count
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("there", [True, False], ids=["replaced", "new"])
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_an_interrupt_at_any_instruction_leaves_the_old_file_or_the_new_one(there: bool, tmp_path: Path) -> None:
    """In a process of its own: an exception from a trace function leaves the interpreter's stack of them unclean."""
    child = multiprocessing.get_context("fork").Process(target=_interrupt_everywhere, args=(there, tmp_path))
    child.start()
    child.join(120)
    assert child.exitcode == 0


def _interrupt_everywhere(there: bool, folder: Path) -> None:
    path, outcomes, step, steps = folder / "run.json", set(), 0, 1
    while step < steps:
        step += 1
        path.unlink(missing_ok=True)
        if there:
            path.write_text("old")
        target = Target.to_go_on(path)
        try:
            with interrupted_at(step) as count:
                target.write("new" * 1000)
            steps = count[0]
        except KeyboardInterrupt:
            steps = step + 1
        text = path.read_text() if path.exists() else None
        outcomes.add(text)
        assert text in (("old" if there else None), "new" * 1000)
        target.write("again")  # the file is still known for one's own
        assert path.read_text() == "again"
    assert steps > 100
    assert len(outcomes) == 2


CALLS = ["open", "fdopen", "fsync", "replace", "fchmod"]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_fails_leaves_the_old_file(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")

    def fails(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(SnnprofError, match=r"cannot write .*: No space left on device"):
        write_atomically(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_content_and_name_are_on_the_disk_before_and_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)

        def noted(*arguments: Any, name: str = name, original: Callable[..., Any] = original) -> Any:
            folder = name == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
            calls.append(f"{name} of the folder" if folder else name)
            return original(*arguments)

        monkeypatch.setattr(os, name, noted)
    write_atomically(tmp_path / "run.json", "new")
    assert calls == ["fsync", "replace", "fsync of the folder"]


def test_rights_are_kept_and_links_followed(tmp_path: Path) -> None:
    path, link = tmp_path / "run.json", tmp_path / "link.json"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path.name)
    write_atomically(link, "new")
    assert link.is_symlink()
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o640)
    umask = os.umask(0o027)
    try:
        write_atomically(tmp_path / "new.json", "new")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "new.json").stat().st_mode) == 0o640


def test_nothing_is_written_through_a_link_to_nothing(tmp_path: Path, run_file: Path, capsys: Capture) -> None:
    link = tmp_path / "link.csv"
    link.symlink_to("nowhere.csv")
    with pytest.raises(SnnprofError, match="it is a link to a file that is not there"):
        Target(link, force=True).write("new")
    assert main(["report", str(run_file), "--output", str(link), "--force"]) == 2
    assert "it is a link to a file that is not there" in capsys.readouterr().err
    assert not (tmp_path / "nowhere.csv").exists()


@pytest.mark.parametrize("atomic", [True, False], ids=["renameat2", "without it"])
def test_a_file_that_appears_is_not_replaced(atomic: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not atomic:
        monkeypatch.setattr(run_file, "_renameat2", lambda: None)
    path = tmp_path / "run.json"
    target = Target(path)
    written = run_file._written

    def appears(beside: Path, *arguments: Any) -> Any:
        path.write_text("another's")  # between the look and the rename
        return written(beside, *arguments)

    monkeypatch.setattr(run_file, "_written", appears)
    with pytest.raises(SnnprofError, match="another program has written a file there"):
        target.write("new")
    assert path.read_text() == "another's"
    monkeypatch.undo()
    with pytest.raises(SnnprofError, match="another program has written a file there"):
        target.write("new")
    Target(path, force=True).write("new")
    assert path.read_text() == "new"


def test_a_file_that_somebody_changed_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = Target(tmp_path / "run.json")
    target.write("first")
    target.write("second")
    target.path.write_text("another's")
    with pytest.raises(SnnprofError, match="another program has written a file there"):
        target.write("third")


def test_hard_links_are_parted_by_force_alone(run_file: Path, tmp_path: Path, capsys: Capture) -> None:
    path, other = tmp_path / "report.csv", tmp_path / "other.csv"
    path.write_text("old")
    os.link(path, other)
    assert main(["report", str(run_file), "--output", str(path)]) == 2
    assert "--force replaces it under this name alone and so parts it from the others" in capsys.readouterr().err
    assert main(["report", str(run_file), "--output", str(path), "--force"]) == 0
    assert (other.read_text(), path.read_text()[:5]) == ("old", "block")
    os.link(run_file, tmp_path / "second.json")
    assert main(["profile", "--model", "saformer", "--resume", str(run_file)]) == 2
    assert f"error: {run_file} has 1 more name (hard links)" in capsys.readouterr().err


# -- checksums -----------------------------------------------------------------------------------------------------


def test_a_checksum_tells_content_and_not_layout(activity: Activity, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    activity.save(path)
    text = path.read_text()
    tree = json.loads(text)
    assert len(tree["run"]["checksum"]) == 64
    assert not run_file.is_changed(text)
    assert not run_file.is_changed(json.dumps(tree, indent=2, sort_keys=True))
    assert Activity.load(path) == activity
    tree["samples"] += 1
    assert run_file.is_changed(json.dumps(tree))
    tree["run"].pop("checksum")
    assert not run_file.is_changed(json.dumps(tree))  # what an earlier snnprof wrote has none


@pytest.mark.parametrize("name", ["saformer", "ssa_bin", "spikformer", "own", "imagenet"])
def test_files_of_version_0_are_read_and_written_as_the_present_version(name: str, tmp_path: Path) -> None:
    old, new = STORED / f"{name}.json", tmp_path / "new.json"
    before = json.loads(old.read_text(encoding="utf-8"))
    Activity.load(old).save(new)
    after = json.loads(new.read_text(encoding="utf-8"))
    assert (before["schema"], after["schema"]) == ("snnprof.activity/0", "snnprof.activity/1")
    assert Activity.load(new) == Activity.load(old)
    assert _without_defaults(after) == _without_defaults(before)


def _without_defaults(tree: Any) -> Any:
    """The content of a run file less its schema and checksum, and less empty fields, which older versions lack."""
    if isinstance(tree, dict):
        kept = {key: _without_defaults(value) for key, value in tree.items() if key not in ("schema", "checksum")}
        return {key: value for key, value in kept.items() if value not in (None, "", [], {}, 0, False)}
    return [_without_defaults(each) for each in tree] if isinstance(tree, list) else tree

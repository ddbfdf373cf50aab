"""The error boundary: every way to end, inside a process and in a few of their own."""

from __future__ import annotations

import errno
import os
import pty
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snnprof.__main__ import main
from snnprof.activity import Activity
from snnprof.errors import CheckFailed, SnnprofError

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (SnnprofError("no such thing", hint="look again"), 2, "error: no such thing\nhint: look again\n"),
        (SnnprofError("no such thing"), 2, "error: no such thing\n"),
        (CheckFailed("too much"), 1, "error: too much\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "aaa"), 2, "error: aaa: file name too long\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "error: no space left on device\n"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), 2, "error: a: permission denied\n"),
        (SnnprofError("an odd name \x1b[2J\u202e"), 2, "error: an odd name \\x1b[2J\\u202e\n"),
    ],
)
def test_exit_statuses(
    error: BaseException, status: int, said: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising(error, monkeypatch)
    assert main(["env"]) == status
    assert capsys.readouterr() == ("", said)


def test_a_message_ends(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(SnnprofError("a" * 100_000 + "b"), monkeypatch)
    assert main(["env"]) == 2
    _, err = capsys.readouterr()
    assert len(err) < 3000
    assert err.endswith("ab\n")


def test_a_bug_is_called_one(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(ZeroDivisionError("division by zero"), monkeypatch)
    assert main(["env"]) == 70
    _, err = capsys.readouterr()
    assert err.startswith("error: internal error: ZeroDivisionError: division by zero\nhint: this is a bug")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "No such file or directory", "table.npz"), ConnectionError(), OSError()]
)
def test_a_file_that_nobody_named_is_a_bug(error: OSError, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(error, monkeypatch)
    assert main(["env"]) == 70
    assert f"error: internal error: {type(error).__name__}" in capsys.readouterr().err


@pytest.mark.parametrize("code", [None, 0, 3, "done"])
def test_code_that_exits_has_no_say(code: object, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(SystemExit(code), monkeypatch)
    assert main(["env"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: the model's or the data's own code ended the program: SystemExit: {code}\nhint: ")


def test_completion_is_answered() -> None:
    asked = {"_SNNPROF_COMPLETE": "complete_bash", "COMP_WORDS": "snnprof rep", "COMP_CWORD": "1"}
    code = "import sys; from snnprof.__main__ import main; sys.exit(main([]))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["report"], "")


@pytest.mark.parametrize("how", ["--debug", "SNNPROF_DEBUG"])
def test_debug_shows_the_traceback(how: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(SnnprofError("no such thing"), monkeypatch)
    if how == "SNNPROF_DEBUG":
        monkeypatch.setenv(how, "1")
    assert main(["env"] + (["--debug"] if how == "--debug" else [])) == 2
    _, err = capsys.readouterr()
    assert "Traceback" in err
    assert err.endswith("error: no such thing\n")


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("snnprof.cli.output.write", fail)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["reprot"], "error: no such command 'reprot'"),
        (["hardware", "shw"], "error: no such command 'shw'"),
        (["report"], "error: missing argument 'RUN.json'"),
    ],
)
def test_usage_errors(arguments: list[str], said: str, capsys: Capture) -> None:
    assert main(arguments) == 2
    _, err = capsys.readouterr()
    assert said in err
    assert "hint: see 'snnprof" in err


@pytest.mark.parametrize("model", ["net.py", "./net.py", "net.py:"])
def test_a_file_alone_is_no_model(model: str, capsys: Capture) -> None:
    assert main(["profile", "--model", model]) == 2
    file = model.rstrip(":")
    _, err = capsys.readouterr()
    assert err == f"error: {file} does not say which function builds the model\nhint: name it: {file}:FUNCTION\n"


def test_a_module_of_the_current_folder_is_a_model(tmp_path: Path) -> None:
    """Although its name has no dot, as packages have. 3 × 2 weights on each of 4 samples."""
    (tmp_path / "my_net.py").write_text("from torch import nn\ndef build():\n    return nn.Linear(3, 2)\n")
    (tmp_path / "data.py").write_text("import torch\ndef ones():\n    yield torch.ones(4, 3)\n")
    arguments = ("--model", "my_net:build", "--data", "data.py:ones", "--input", "real", "--format", "csv")
    done = process("profile", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    header, row = (line.split(",") for line in done.stdout.splitlines()[:2])
    assert float(row[header.index("macs")]) == 6


def test_a_file_in_the_place_of_a_module_is_named(tmp_path: Path) -> None:
    """The folder of the model is searched first, as Python does for a script."""
    (tmp_path / "colorsys.py").write_text("raise RuntimeError('not that one')")
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Linear):\n"
        "    def eval(self):\n"
        "        import colorsys\n"
        "def build():\n"
        "    return Net(3, 2)\n"
    )
    done = process("profile", "--model", "net.py:build", "--data", "random", cwd=tmp_path)
    assert done.returncode == 2
    assert f"error: {tmp_path / 'colorsys.py'}, line 1: RuntimeError: not that one\nhint: " in done.stderr


def test_no_arguments_show_the_help(capsys: Capture) -> None:
    assert main([]) == 2
    assert "Usage: snnprof" in "".join(capsys.readouterr())


def process(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snnprof", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload,no-any-return]


def test_a_broken_pipe_is_quiet() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m snnprof hardware list | head -c 1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("redirected", "out", "err", "status"),
    [
        ("hardware show cmos45-fp32 >&-", "", "error: cannot write to stdout: it is closed\n", 2),
        ("hardware show cmos45-fp32 --format csv >&-", "", "error: cannot write to stdout: it is closed\n", 2),
        ("hardware show nothing 2>&-", "", "", 2),
        ("hardware show nothing >&- 2>&-", "", "", 2),
    ],
)
def test_closed_streams(redirected: str, out: str, err: str, status: int) -> None:
    command = ["bash", "-c", f"{sys.executable} -m snnprof {redirected}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == (out, err, status)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_no_bug() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "snnprof", "hardware", "show", "cmos45-fp32"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "error: cannot write to stdout: No space left on device\n"


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        (["report", "run.json", "--output", "old.html", "--force"], "old.html"),
        (["plot", "run.json", "--kind", "rates", "--output", "old.pdf", "--force"], "old.pdf"),
        (["profile", "--model", "saformer", "--samples", "2", "--output", "old.json", "--force"], "old.json"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_disk_that_fills_up_loses_nothing(arguments: list[str], target: str, run_file: Path) -> None:
    """Files may grow to 8,000 bytes here: the old file stays, nothing half-written is left.

    Each of the three would be longer; what torch itself writes as it loads is shorter.
    """
    folder = run_file.parent
    (folder / target).write_text("old")
    code = (
        "import resource, sys; from snnprof.__main__ import main; sys.dont_write_bytecode = True\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000)); sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2, done.stderr
    assert f"error: cannot write {target}: File too large" in done.stderr
    assert (folder / target).read_text() == "old"
    assert sorted(path.name for path in folder.iterdir()) == sorted(["run.json", target])


def test_a_pipe_is_written_to_and_not_replaced(run_file: Path, tmp_path: Path) -> None:
    """A device, likewise: whoever may write into /dev may also put a file in the place of /dev/null."""
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        came = pool.submit(pipe.read_text)
        assert main(["report", str(run_file), "--output", str(pipe)]) == 0
        assert came.result(timeout=60).startswith("block,role,layer,")
    assert pipe.is_fifo()


def test_a_link_is_followed(run_file: Path, tmp_path: Path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    assert main(["report", str(run_file), "--output", str(link)]) == 2
    assert main(["report", str(run_file), "--output", str(link), "--force"]) == 0
    assert link.is_symlink()
    assert target.read_text().startswith("block,role,layer,")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder(run_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    done = process("report", str(run_file), "--output", str(folder / "t.csv"))
    assert (done.returncode, done.stderr) == (2, f"error: cannot write {folder / 't.csv'}: permission denied\n")


def test_a_reader_of_the_help_may_leave(run_file: Path) -> None:
    """`snnprof --help | head -1`: the rest has no reader."""
    with subprocess.Popen(
        [sys.executable, "-m", "snnprof", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as p:
        assert p.stdout is not None
        assert p.stderr is not None
        p.stdout.close()
        assert p.stderr.read() == b""
        assert p.wait() == 0


def test_a_terminal_that_knows_no_unicode(run_file: Path) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = process("report", str(run_file), "--verbose", env=env)
    assert done.returncode == 0
    assert "cmos45-fp32 (nJ)" in done.stdout
    assert done.stderr == ""


def test_a_pipe_has_no_colour_and_cuts_nothing(
    hostile_activity: Activity, hostile_names: tuple[str, ...], tmp_path: Path
) -> None:
    hostile_activity.save(tmp_path / "run.json")
    done = process("report", str(tmp_path / "run.json"), "--verbose", env={**os.environ, "COLUMNS": "40"})
    assert "\x1b" not in done.stdout
    assert "…" not in done.stdout
    assert all(name in done.stdout for name in hostile_names)


@pytest.mark.parametrize("no_colour", [False, True])
def test_a_narrow_terminal(no_colour: bool, run_file: Path) -> None:
    env = {**os.environ, "COLUMNS": "70", "TERM": "xterm-256color"}
    env.pop("NO_COLOR", None)
    if no_colour:
        env["NO_COLOR"] = "1"
    text = on_a_terminal("report", str(run_file), "--verbose", env=env)
    assert ("\x1b[" in text) != no_colour
    assert "Exact SOPs (k)" in text
    assert "Columns left out: Operation, Input, Input rate, Dense MACs (k)" in " ".join(text.split())


def on_a_terminal(*arguments: str, env: dict[str, str]) -> str:
    main_end, other_end = pty.openpty()
    command = [sys.executable, "-m", "snnprof", *arguments]
    with subprocess.Popen(command, stdout=other_end, stderr=subprocess.DEVNULL, env=env) as running:
        os.close(other_end)
        chunks = []
        while True:
            try:
                chunk = os.read(main_end, 65536)
            except OSError:  # Linux says so when the other end is gone
                break
            if not chunk:
                break
            chunks.append(chunk)
        assert running.wait(timeout=60) == 0
    os.close(main_end)
    return b"".join(chunks).decode("utf-8")

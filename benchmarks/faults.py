"""What a run file survives: kills, Ctrl-C at every step of a save, saves that fail, and files edited before a resume.

    python benchmarks/faults.py --markdown docs/robustness.md

Each case is `snnprof profile` through its real entry point, in a process forked from one that has loaded everything.
A run of 12 batches saves after each, so that a fault has something to destroy. Afterwards the file must be a whole one
with at least the samples that it had before, the process must have ended as it should, and where the case goes on from
the file, the end must be that of a run that nothing happened to.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import robustness

from snnprof import run_file
from snnprof.activity import Activity
from snnprof.errors import SnnprofError

SAMPLES, BATCH, STOPS_AT = 24, 2, 5
SECONDS = 60
RUN = "run.json"
SECTION = "## Kills, interrupts and failing disks"
NET = """
import torch
from torch import nn
from snnprof.models.neuron import LIF


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.fire, self.head = nn.Linear(12, 6), LIF(v_threshold=0.2), nn.Linear(6, 3)

    def forward(self, x):
        x = self.first(x.flatten(1)).expand(2, -1, -1)
        return self.head(self.fire(x)).mean(0)


def build():
    return Net()
"""
DATA = """
import torch


def batches():
    for number in range(12):
        torch.manual_seed(number)
        yield torch.rand(2, 3, 2, 2), torch.arange(2)
"""
ASKED = "profile --model net.py:build --timesteps 2 --device cpu --format csv".split()
FROM_FILE = [*ASKED, "--data", "data.npz", "--batch-size", str(BATCH)]
FROM_ITERABLE = [*ASKED, "--data", "data.py:batches"]

Setup = Callable[[], None]


@dataclass(frozen=True)
class Outcome:
    """How a case ended; `complaints` is empty where it ended as it should, `lost` says whether samples were."""

    kind: str
    what: str
    complaints: tuple[str, ...] = ()
    lost: bool = False


@dataclass
class Folder:
    """A folder with a model and data, and the process that runs there."""

    folder: Path
    status: int = 0
    out: str = ""
    err: str = ""

    @property
    def run(self) -> Path:
        return self.folder / RUN

    def start(self, arguments: list[str], *setups: Setup) -> int:
        child = os.fork()
        if not child:
            self._become(arguments, setups)
        return child

    def wait(self, child: int) -> int:
        _, status = os.waitpid(child, 0)
        self.status = os.waitstatus_to_exitcode(status)
        self.out, self.err = ((self.folder.parent / name).read_text(errors="replace") for name in ("out", "err"))
        return self.status

    def end(self, arguments: list[str], *setups: Setup) -> int:
        return self.wait(self.start(arguments, *setups))

    def _become(self, arguments: list[str], setups: tuple[Setup, ...]) -> None:
        """The child. Never returns."""
        status = 99
        try:
            signal.alarm(SECONDS)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are deaf to it
            os.chdir(self.folder)
            for number, name in enumerate(("out", "err"), start=1):
                os.dup2(os.open(self.folder.parent / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8") for number in (1, 2))
            from snnprof.__main__ import main
            from snnprof.workload import checkpointer

            checkpointer.SAVE_SECONDS = 0.0
            for setup in setups:
                setup()
            status = main(arguments)
            sys.settrace(None)
            for setup in setups:
                if isinstance(setup, Steps):
                    setup.tell()
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            import traceback

            sys.settrace(None)
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(status)


def place(parent: Path, number: int) -> Folder:
    folder = parent / str(number) / "here"
    folder.mkdir(parents=True)
    (folder / "net.py").write_text(NET)
    (folder / "data.py").write_text(DATA)
    _write_data(folder)
    return Folder(folder)


def _write_data(folder: Path, change: Callable[[Any, Any], None] = lambda x, y: None) -> None:
    x, y = np.random.default_rng(0).random((SAMPLES, 3, 2, 2), dtype=np.float32), np.arange(SAMPLES) % 3
    change(x, y)
    np.savez(folder / "data.npz", x=x, y=y)


def samples_of(path: Path) -> int:
    """The samples of a whole run file; −1 for one that is not whole, 0 for none."""
    if not path.exists():
        return 0
    try:
        samples = Activity.load(path).samples or 0
    except SnnprofError:
        return -1
    return -1 if run_file.is_changed(path.read_text()) else samples


def facts(path: Path) -> Any:
    """A run without when and by which command."""
    content = json.loads(path.read_text())
    for name in ("created", "argv", "checksum"):
        content["run"].pop(name)
    return content


def unfit(path: Path, before: int) -> tuple[list[str], bool]:
    """What is wrong with a file that held so many samples before a fault, and whether samples are lost."""
    now = samples_of(path)
    if now < 0:
        return ["the file is no whole run"], True
    return ([f"{before} samples became {now}"], True) if now < before else ([], False)


def without_a_word(done: Folder, *expected: int) -> list[str]:
    """What is wrong with how a process ended."""
    found = [] if done.status in expected else [f"exit status {done.status}: {done.err.strip()[-300:]}"]
    return [*found, "a traceback"] if "Traceback" in done.err else found


# -- setups of a child ---------------------------------------------------------------------------------------------


def at_batch(number: int, act: Setup) -> Setup:
    """Something that happens as a batch begins."""

    def setup() -> None:
        from snnprof.workload.session import Session

        take: Any = Session._take

        def acting(self: Any, batch: Any) -> None:
            if self.batches == number:
                act()
            take(self, batch)

        Session._take = acting  # type: ignore[method-assign]

    return setup


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class Steps:
    """Counts the steps of a process from its first interrupt on, and interrupts it again at one of them.

    A step is a bytecode instruction in run_file.py, a line elsewhere in snnprof.
    """

    def __init__(self, at: int = 0, report: Path | None = None, only_saves: bool = False) -> None:
        self.at, self.report, self.only_saves = at, report, only_saves
        self.count = 0
        self._package = str(Path(run_file.__file__).parent)

    def __call__(self) -> None:
        from snnprof.workload.checkpointer import Checkpointer

        interrupted: Any = Checkpointer._interrupted

        def watched(checkpointer: Any, number: int) -> Any:
            sys._getframe().f_trace_opcodes = True  # looked at by Python 3.12 when a trace function is set
            sys.settrace(self._called)
            sys._getframe().f_trace = self._called
            return interrupted(checkpointer, number)

        Checkpointer._interrupted = watched  # type: ignore[method-assign]

    def tell(self) -> None:
        if self.report is not None:
            self.report.write_text(str(self.count))

    def _called(self, frame: FrameType, event: str, argument: Any) -> Any:
        file = frame.f_code.co_filename
        saves = file == run_file.__file__
        if not saves and (self.only_saves or not file.startswith(self._package) or file.endswith("__main__.py")):
            return None
        frame.f_trace_opcodes = saves
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode" or (event == "line" and not frame.f_trace_opcodes):
            self.count += 1
            if self.count == self.at:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self._stepped


# -- kills ---------------------------------------------------------------------------------------------------------


def kills(parent: Path, count: int, rng: random.Random) -> Iterator[Outcome]:
    """SIGKILL at random moments; each run goes on from the file of the one before, by that file alone."""
    whole = place(parent, 0)
    whole.end([*FROM_FILE, "--output", RUN])
    here, killed, number = place(parent, 1), 0, 1
    while killed < count:
        before = samples_of(here.run)
        resumed = ["profile", "--resume", RUN] if here.run.exists() else [*FROM_FILE, "--output", RUN]
        child = here.start(resumed, at_every_batch(0.004))
        time.sleep(rng.uniform(0.0, 0.25))
        os.kill(child, signal.SIGKILL)
        status = here.wait(child)
        complaints, lost = unfit(here.run, before)
        if status == -signal.SIGKILL:
            killed += 1
        else:
            complaints += without_a_word(here, 0)
            if facts(here.run) != facts(whole.run):
                complaints.append("another end than that of a run without kills")
            number += 1
            here = place(parent, number)
        yield Outcome("SIGKILL at a random moment", f"kill {killed}", tuple(complaints), lost)


def at_every_batch(seconds: float) -> Setup:
    def setup() -> None:
        from snnprof.workload.session import Session

        take: Any = Session._take

        def slow(self: Any, batch: Any) -> None:
            time.sleep(seconds)
            take(self, batch)

        Session._take = slow  # type: ignore[method-assign]

    return setup


# -- interrupts ----------------------------------------------------------------------------------------------------


def interrupts(parent: Path, count: int, rng: random.Random) -> Iterator[Outcome]:
    """Ctrl-C, and a second one: at every instruction of a save, at lines of snnprof, and as a signal at any moment."""
    in_saves = _steps(parent / "saves", only_saves=True)
    for number in range(1, in_saves + 1, max(1, in_saves // (8 * count))):
        steps = Steps(number, only_saves=True)
        yield _interrupted(
            parent, "second Ctrl-C at an instruction of a save", number, at_batch(STOPS_AT, ctrl_c), steps
        )
    everywhere = _steps(parent / "lines")
    for number in sorted(rng.sample(range(1, everywhere + 1), min(count, everywhere))):
        yield _interrupted(
            parent,
            "second Ctrl-C at a line between a save and the end",
            number,
            at_batch(STOPS_AT, ctrl_c),
            Steps(number),
        )
    for number in range(count // 2):
        yield _signalled(parent, number, rng.uniform(0.0, 0.3))


def _steps(parent: Path, only_saves: bool = False) -> int:
    """How many steps there are."""
    here = place(parent, 0)
    counted = parent / "count"
    here.end([*FROM_FILE, "--output", RUN], at_batch(STOPS_AT, ctrl_c), Steps(report=counted, only_saves=only_saves))
    assert here.status == 130, here.err
    return int(counted.read_text())


def _interrupted(parent: Path, kind: str, number: int, *setups: Setup) -> Outcome:
    here = place(parent / kind, number)
    here.end([*FROM_FILE, "--output", RUN], *setups)
    # After five batches the file held ten samples; the interrupt is heard when the sixth has ended.
    complaints, lost = unfit(here.run, STOPS_AT * BATCH)
    complaints += without_a_word(here, 130)
    if number % 8:
        shutil.rmtree(here.folder.parent)
        return Outcome(kind, f"step {number}", tuple(complaints), lost)
    return _gone_on(here, Outcome(kind, f"step {number}", tuple(complaints), lost))


def _signalled(parent: Path, number: int, seconds: float) -> Outcome:
    here = place(parent / "signals", number)
    child = here.start([*FROM_FILE, "--output", RUN], at_every_batch(0.01))
    time.sleep(seconds)
    before = samples_of(here.run)
    for _ in range(2):
        os.kill(child, signal.SIGINT)
        time.sleep(0.002 * (number % 7))
    here.wait(child)
    complaints, lost = unfit(here.run, before)
    complaints += without_a_word(here, 0, 130, -signal.SIGINT)
    return _gone_on(here, Outcome("two signals at a random moment", f"after {seconds:.3f} s", tuple(complaints), lost))


def _gone_on(here: Folder, outcome: Outcome) -> Outcome:
    """The file goes on, by itself, to the end of a run without interrupts; the place is cleared away."""
    complaints = list(outcome.complaints)
    if here.run.exists() and not outcome.lost:
        here.end(["profile", "--resume", RUN])
        complaints += without_a_word(here, 0)
        if samples_of(here.run) != SAMPLES:
            complaints.append("did not come to the end")
    shutil.rmtree(here.folder.parent)
    return Outcome(outcome.kind, outcome.what, tuple(complaints), outcome.lost)


# -- saves that fail -----------------------------------------------------------------------------------------------


CALLS = ("open", "write", "fsync", "replace", "fchmod")


def failing(call: str, number: int, folder: Path, first: int = 0, last: int = sys.maxsize) -> Setup:
    """One of the calls by which run_file.py writes into a folder fails, from its `first` time to its `last`."""
    seen = [0]

    def fails(path: str) -> None:
        if Path(path).parent != folder:
            return
        seen[0] += 1
        if first < seen[0] <= last:
            raise OSError(number, os.strerror(number), path)

    def by_handle(handle: int) -> None:
        fails(os.readlink(f"/proc/self/fd/{handle}"))

    def setup() -> None:
        broken = SimpleNamespace(**vars(os))
        originals: dict[str, Any] = vars(os)
        if call == "write":
            broken.fdopen = lambda handle, mode: _Stream(originals["fdopen"](handle, mode), lambda: by_handle(handle))
        else:
            look = by_handle if call in ("fsync", "fchmod") else lambda path: fails(str(path))

            def wrapped(*arguments: Any, **named: Any) -> Any:
                if not (call == "open" and not arguments[1] & os.O_CREAT):
                    look(arguments[0])
                return originals[call](*arguments, **named)

            setattr(broken, call, wrapped)
        run_file.os = broken  # type: ignore[attr-defined]
        run_file._rename_new = broken.replace  # type: ignore[attr-defined]

    return setup


class _Stream:
    """A file whose writing fails half-way."""

    def __init__(self, stream: Any, fails: Callable[[], None]) -> None:
        self._stream, self._fails = stream, fails

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, raw: bytes) -> None:
        self._stream.write(raw[: len(raw) // 2])
        self._fails()
        self._stream.write(raw[len(raw) // 2 :])


def failures(parent: Path) -> Iterator[Outcome]:
    """Each call of a save fails: for a while, and for good; with each error that a disk gives."""
    for number, (call, error) in enumerate((c, e) for c in CALLS for e in ("ENOSPC", "EIO", "EROFS", "EACCES")):
        for last in (3, 9):
            here = place(parent / f"while{last}", number)
            _complete_run_in(here)
            here.end(
                [*FROM_FILE, "--output", RUN, "--force"], failing(call, getattr(errno, error), here.folder, 1, last)
            )
            yield _was_tried_again(here, f"{call}: {error}, calls 2 to {last}")
        here = place(parent / "good", number)
        _complete_run_in(here)
        here.end([*FROM_FILE, "--output", RUN, "--force"], failing(call, getattr(errno, error), here.folder))
        yield _was_rescued(here, "a save fails for good", f"{call}: {error}")
    for number, (what, act) in enumerate(_happens().items()):
        here = place(parent / "happens", number)
        here.end([*FROM_FILE, "--output", f"there/{RUN}"], lambda: Path("there").mkdir(), at_batch(STOPS_AT, act))
        yield _was_rescued(here, "the folder changes during a run", what, there=False)


def _complete_run_in(here: Folder) -> None:
    """An earlier run under the same name, which --force replaces."""
    here.run.write_text(_GOOD[0])


_GOOD: list[str] = []


def _happens() -> dict[str, Setup]:
    def gone() -> None:
        shutil.rmtree("there")

    def file() -> None:
        gone()
        Path("there").write_text("no folder")

    def appeared() -> None:
        Path("there", RUN).unlink()
        Path("there", RUN).write_text("somebody else's")

    def dangling() -> None:
        Path("there", RUN).unlink()
        Path("there", RUN).symlink_to("nowhere.json")

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))

    return {
        "the folder is deleted": gone, "a file takes its place": file, "another program writes the file": appeared,
        "the file becomes a link to nothing": dangling, "files may grow no more": full,
    }  # fmt: skip


def _was_tried_again(here: Folder, what: str) -> Outcome:
    complaints, lost = unfit(here.run, SAMPLES)
    complaints += without_a_word(here, 0)
    if here.err.count("warning: cannot write run.json") != 1:
        complaints.append(f"no warning: {here.err[:200]}")
    left = [path.name for path in here.folder.iterdir() if path.suffix == ".part"]
    return Outcome("a save fails for a while", what, (*complaints, *left), lost)


def _was_rescued(here: Folder, kind: str, what: str, there: bool = True) -> Outcome:
    complaints = without_a_word(here, 2)
    if "block,role,layer" not in here.out:
        complaints.append("no report")
    copy = re.search(r"hint: the complete run was saved as (\S+):", here.err)
    if copy is None:
        if what != "files may grow no more":  # then no copy can be written either
            complaints.append(f"no copy: {here.err[-300:]}")
    else:
        if samples_of(Path(copy[1])) != SAMPLES:
            complaints.append("the copy is not whole")
        shutil.rmtree(Path(copy[1]).parent)
    lost = there and here.run.read_text() != _GOOD[0]
    if lost:
        complaints.append("the file that was there has changed")
    if what.startswith("another") and (here.folder / "there" / RUN).read_text() != "somebody else's":
        complaints.append("somebody else's file was replaced")
    if (here.folder / "there" / "nowhere.json").exists():
        complaints.append("written through a link to nothing")
    return Outcome(kind, what, tuple(complaints), lost)


# -- edited resumes ------------------------------------------------------------------------------------------------


def edits(parent: Path, count: int, rng: random.Random) -> Iterator[Outcome]:
    """A run file goes on although something has changed: everything must be refused, and the file left as it is."""
    for what, source, change in [*_changes(), *_numbers(count, rng)]:
        here = place(parent, rng.getrandbits(60))
        here.end([*source, "--output", RUN], at_batch(STOPS_AT, ctrl_c))
        change(here)
        before = here.run.read_bytes()
        here.end([*source, "--resume", RUN])
        complaints = without_a_word(here, 2)
        if "error: " not in here.err:
            complaints.append("no sentence")
        lost = here.run.read_bytes() != before
        yield Outcome("a resume of something else", what, (*complaints, *(["the file changed"] * lost)), lost)


Change = tuple[str, list[str], Callable[[Folder], None]]


def _changes() -> Iterator[Change]:
    for batch in range(STOPS_AT):
        for name, change in (("input", _other_input), ("label", _other_label)):
            yield f"another {name} in batch {batch}", FROM_FILE, _with_data(change, batch * BATCH)
            yield f"another {name} of an iterable in batch {batch}", FROM_ITERABLE, _with_iterable(name, batch)
    yield "two samples exchanged", FROM_FILE, _with_data(_exchange, 2)
    yield "an iterable in another order", FROM_ITERABLE, _with_text("data.py", "range(12)", "range(11, -1, -1)")
    yield "an iterable of larger batches", FROM_ITERABLE, _with_text("data.py", "rand(2,", "rand(3,")
    yield "another operation in forward", FROM_FILE, _with_text("net.py", ".mean(0)", ".sum(0)")
    yield "another threshold", FROM_FILE, _with_text("net.py", "0.2", "0.3")
    yield "a comment more", FROM_FILE, _with_text("net.py", "import torch\n", "import torch  # again\n")
    yield (
        "a layer more",
        FROM_FILE,
        _with_text("net.py", "nn.Linear(6, 3)\n", "nn.Linear(6, 3)\n        self.n = nn.ReLU()\n"),
    )


def _with_data(change: Callable[[Any, Any, int], None], sample: int) -> Callable[[Folder], None]:
    return lambda here: _write_data(here.folder, lambda x, y: change(x, y, sample))


def _other_input(x: Any, y: Any, sample: int) -> None:
    x[sample, 0, 0, 0] += 1e-6


def _other_label(x: Any, y: Any, sample: int) -> None:
    y[sample] = (y[sample] + 1) % 3


def _exchange(x: Any, y: Any, sample: int) -> None:
    x[[sample, sample + 2]], y[[sample, sample + 2]] = x[[sample + 2, sample]], y[[sample + 2, sample]]


def _with_iterable(name: str, batch: int) -> Callable[[Folder], None]:
    shown = "torch.rand(2, 3, 2, 2)", "torch.arange(2)"
    other = f"{shown[0]} + 1e-6 * (number == {batch})", f"{shown[1]} * (number != {batch})"
    position = 0 if name == "input" else 1
    return _with_text("data.py", shown[position], other[position])


def _with_text(name: str, old: str, new: str) -> Callable[[Folder], None]:
    def change(here: Folder) -> None:
        text = (here.folder / name).read_text()
        assert old in text
        (here.folder / name).write_text(text.replace(old, new))

    return change


def _numbers(count: int, rng: random.Random) -> Iterator[Change]:
    """Single values of the file, somewhere, set to another value of their type."""
    for number in range(count):
        seed = rng.getrandbits(30)
        yield f"value {number} of the file", FROM_FILE, lambda here, seed=seed: _edited(here.run, random.Random(seed))


def _edited(path: Path, rng: random.Random) -> None:
    tree = json.loads(path.read_text())
    places = list(_leaves(tree))
    holder, key = rng.choice(places)
    value = holder[key]
    holder[key] = (not value) if isinstance(value, bool) else value + 1 if isinstance(value, int | float) else "other"
    path.write_text(json.dumps(tree))


def _leaves(node: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, dict | list):
            yield from _leaves(value)
        elif key != "checksum":
            yield node, key


# -- the page ------------------------------------------------------------------------------------------------------

HEAD = """Made by

    python benchmarks/faults.py --markdown docs/robustness.md

Each case is `snnprof profile` through its real entry point, with a tiny network that saves after every batch. After
the fault the run file must be whole (schema, sums of blocks, checksum) with at least the samples that it had before;
what can go on, by `--resume RUN.json` alone, must come to the end. "Lost" counts files that were there
before and are not, or hold less.
"""
TAIL = """
How it is done: a file is written beside its place, brought onto the disk (`fsync`), renamed in one step, and the folder
brought onto the disk as well. The rights of a file that is replaced are kept, and links are followed; a link to nothing
is refused. A file with several names (hard links) and a file that has appeared meanwhile are replaced with `--force`
only. A save that fails is a warning, and is tried again when the next one is due; at the end the report is printed, the
run lies in the temporary folder, the message says where, and the exit status is 2. A second Ctrl-C waits for the end of
a block and of a save.

`--resume` compares the options, the model's source files, its weights, and the input and label of every batch that was
counted, which are read again; a checksum tells that nobody has edited the file.

Of several processes (torchrun) each compares, at each meeting, where it is in the data, and of an iterable what it has
drawn; data in memory are compared whole, of data in files the first batch, their number and their order. A process that
has ended ends the others at once, one that stands still ends them {seconds:g} s after they have begun to wait for it,
each with one sentence and exit status 2; the file is then as it was last saved, marked incomplete.
"""


def section(outcomes: list[Outcome]) -> str:
    from snnprof.workload.distributed import PEER_SECONDS

    lines = [SECTION, "", HEAD, "| fault | cases | wrong | files lost |", "|---|---:|---:|---:|"]
    kinds = list(dict.fromkeys(outcome.kind for outcome in outcomes))
    for kind in [*kinds, "all"]:
        some = [outcome for outcome in outcomes if kind in (outcome.kind, "all")]
        wrong, lost = sum(bool(o.complaints) for o in some), sum(o.lost for o in some)
        lines.append(f"| {kind} | {len(some)} | {wrong} | {lost} |")
    lines += [f"\n- {o.kind}, {o.what}: {'; '.join(o.complaints)}" for o in outcomes if o.complaints]
    return "\n".join([*lines, TAIL.format(seconds=PEER_SECONDS)])


def all_outcomes(count: int, seed: int) -> Iterator[Outcome]:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        parent = Path(name)
        whole = place(parent / "whole", 0)
        assert whole.end([*FROM_FILE, "--output", RUN]) == 0, whole.err
        _GOOD[:] = [whole.run.read_text()]
        yield from kills(parent / "kills", count, rng)
        yield from interrupts(parent / "interrupts", count, rng)
        yield from failures(parent / "failures")
        yield from edits(parent / "edits", count // 2, rng)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=200, help="kills and interrupted lines; the others follow")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", type=Path, help="write the section into this page, in place of an earlier one")
    arguments = parser.parse_args()
    robustness.warmed()
    outcomes = []
    for outcome in all_outcomes(arguments.cases, arguments.seed):
        outcomes.append(outcome)
        if outcome.complaints:
            print(f"{outcome.kind}: {outcome.what}: {'; '.join(outcome.complaints)}", file=sys.stderr)
    text = section(outcomes)
    if arguments.markdown:
        page = arguments.markdown.read_text(encoding="utf-8").partition(SECTION)[0].rstrip("\n")
        arguments.markdown.write_text(f"{page}\n\n{text}", encoding="utf-8", newline="\n")
    print(text)
    return int(any(outcome.complaints for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())

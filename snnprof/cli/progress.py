"""Shows the progress of a run on stderr from the first moment: bars on a terminal, else a line now and then."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from snnprof.cli import output
from snnprof.errors import ERASE, printable
from snnprof.options import ignore_progress, unit_of

if TYPE_CHECKING:
    from snnprof.options import Progress

LINE_SECONDS = 20.0  # at least, between two lines without a terminal


def announce(model: str, quiet: bool = False) -> None:
    """Prints a message on a terminal before the options are checked; the next output replaces it.

    Args:
        model: the model that will run, as the user named it; "" prints nothing.
        quiet: print nothing.
    """
    if model and not _is_silent(quiet) and _is_terminal():
        print(f"profiling {printable(model)} ...", end="\r", file=sys.stderr, flush=True)


@contextmanager
def progress(model: str, quiet: bool = False) -> Iterator[Progress]:
    """Prints which model is about to run, before torch is loaded, and then shows the progress of the run.

    Args:
        model: the model that runs, as the user named it.
        quiet: show nothing.

    Yields:
        A function to call with the name of the phase, the samples done and the samples to do.
    """
    if _is_silent(quiet):
        yield ignore_progress
    elif _is_terminal():
        print(ERASE, end="", file=sys.stderr, flush=True)
        with _bars(model) as tell:
            yield tell
    else:
        output.say(f"profiling {model}: loading PyTorch")
        yield _lines()


@contextmanager
def _bars(model: str) -> Iterator[Progress]:
    """Shows each phase as a bar with its rate and the remaining time; the bars disappear at the end."""
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID, TextColumn

    columns = (*Bars.get_default_columns(), TextColumn("{task.fields[rate]}"))
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        loading = bars.add_task(f"{model.replace('[', chr(92) + '[')}: loading PyTorch", total=None, rate="")
        tasks: dict[str, TaskID] = {}

        def tell(phase: str, done: int, total: int | None) -> None:
            if phase not in tasks:
                bars.update(loading, visible=False)
                tasks[phase] = bars.add_task(phase, total=total, rate="")
            rate = _rate(bars.tasks[tasks[phase]].speed, unit_of(phase))
            bars.update(tasks[phase], completed=done, total=total, rate=rate)

        yield tell


def _lines() -> Progress:
    """A callback that prints a line at most every `LINE_SECONDS`."""
    last = time.monotonic()

    def tell(phase: str, done: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            output.say(f"{phase}: {done:,}{f' of {total:,}' if total else ''} {unit_of(phase)}")

    return tell


def _is_silent(quiet: bool) -> bool:
    return quiet or os.environ.get("RANK", "0") != "0"  # of several processes, only one prints


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _rate(speed: float | None, unit: str) -> str:
    return "" if speed is None else f"{speed:,.1f} {unit}/s"

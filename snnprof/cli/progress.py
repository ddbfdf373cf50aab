"""Progress for a person at a terminal: on stderr, gone when done, and silent in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from snnprof.options import ignore_progress

if TYPE_CHECKING:
    from snnprof.options import Progress


@contextmanager
def progress() -> Iterator[Progress]:
    """A callback that shows each phase as a bar, with its rate and the time that remains."""
    if not sys.stderr.isatty():
        yield ignore_progress
        return
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID, TextColumn

    columns = (*Bars.get_default_columns(), TextColumn("{task.fields[rate]}"))
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(phase: str, done: int, total: int | None) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=total, rate="")
            speed = bars.tasks[tasks[phase]].speed
            rate = "" if speed is None else f"{speed:,.1f} samples/s"
            bars.update(tasks[phase], completed=done, total=total, rate=rate)

        yield tell

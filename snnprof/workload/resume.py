"""`--resume`: reads an earlier run and checks that this one continues it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from snnprof import run_file
from snnprof.activity import Activity, Run
from snnprof.errors import SnnprofError

# The facts that decide a run's integers, besides its conditions.
_SAME: tuple[tuple[str, Callable[[Run], Any]], ...] = (
    ("the model", lambda run: run.model.source),
    ("the checkpoint", lambda run: run.model.sha256),
    ("the number of parameters", lambda run: run.model.parameters),
    ("--data", lambda run: run.data.source),
    ("the number of samples in the data", lambda run: run.data.total),
    ("the content of the data", lambda run: run.data.fingerprint),
    ("the order of the samples", lambda run: run.data.order_seed),
    ("--layout", lambda run: run.layout),
    ("--timesteps", lambda run: run.timesteps),
    ("--batch-size", lambda run: run.batch_size),
    ("--seed", lambda run: run.seed),
    ("the device", lambda run: run.device),
    ("the number format", lambda run: run.dtype),
    ("the version of snnprof", lambda run: run.versions.get("snnprof")),
    ("the version of torch", lambda run: run.versions.get("torch")),
)


def earlier_run(path: Path) -> Activity:
    """Reads the run to resume.

    Raises:
        SnnprofError: the file is no run file, was not written by `snnprof profile`, or was changed afterwards.
    """
    text = run_file.read(path)
    activity = Activity.from_json(text, str(path))
    if run_file.is_changed(text):
        raise SnnprofError(
            f"{path} cannot be resumed: it was changed after snnprof wrote it (its checksum differs)",
            hint="take the file as it was written, or profile again without --resume",
        )
    if not activity.samples or not activity.blocks:
        raise SnnprofError(f"{path} cannot be resumed: it does not record which samples ran")
    return activity


def must_be_same(earlier: Run, now: Run) -> None:
    """Checks that two runs give the same integers for the same samples.

    What `now` does not know yet (the content of an iterable before its first batch) is not compared.

    Raises:
        SnnprofError: a fact that decides the integers differs.
    """
    for what, before, after in differing(earlier, now):
        raise _another(what, before, after)


def differing(earlier: Run, now: Run) -> Iterator[tuple[str, str, str]]:
    """Yields each differing fact that decides a run's integers: its name, its earlier and its present value."""
    facts = [(what, fact(earlier), fact(now)) for what, fact in _SAME]
    facts += [
        (name, earlier.conditions.get(name, ""), now.conditions.get(name, ""))
        for name in sorted({*earlier.conditions, *now.conditions})
    ]
    for what, before, after in facts:
        if after is not None and before != after:
            yield what, _shown(before), _shown(after)


def must_have_read(earlier: Run, now: str) -> None:
    """Checks that the batches that the earlier run counted hold the same data; `now` is their digest as hex digits.

    Raises:
        SnnprofError: an input or a label differs.
    """
    read = earlier.data.read
    if read is not None and read != now:
        raise _another("the data that it counted (an input, a label or their order)", read[:8], now[:8])


def _another(what: str, before: str, after: str) -> SnnprofError:
    return SnnprofError(
        f"cannot resume this run: {what} differs ({before} then, {after} now)",
        hint="repeat its command, or profile again without --resume",
    )


def _shown(value: Any) -> str:
    return "none" if value in (None, "") else str(value)

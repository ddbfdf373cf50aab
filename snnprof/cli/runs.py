"""What a user names on the line: a run file, a published row, or a model to run now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from snnprof import kept
from snnprof.errors import SnnprofError, unknown

if TYPE_CHECKING:
    from snnprof.activity import Activity
    from snnprof.workload.catalogue import Published

PAPER = "paper:"


def loaded(names: Sequence[str]) -> list[tuple[str, Activity | Published]]:
    """Each named thing with a short label; labels differ where names do.

    Raises:
        SnnprofError: a name is neither a run file, nor `paper:ROW`, nor a model's.
    """
    _check(names)
    things = [_load(name) for name in names]
    labels = _labels(names, things)
    return list(zip(labels, things, strict=True))


def stem(names: Sequence[str]) -> str:
    """A file name for what is made of these."""
    return "-".join(Path(name.replace(":", "-")).stem for name in names[:3])


def _check(names: Sequence[str]) -> None:
    """All names are known before anything runs."""
    from snnprof.workload import catalogue

    for name in names:
        if name.startswith(PAPER):
            catalogue.published_row(name.removeprefix(PAPER))
        elif not _is_file(name):
            model = name.partition(":")[0]
            if not catalogue.is_known(model):
                raise unknown("run file or model", name, catalogue.names(), "snnprof models list")
            catalogue.split(name)


def _is_file(name: str) -> bool:
    path = kept.found(Path(name))
    if path.suffix == ".json" and not path.is_file():
        raise SnnprofError(f"there is no run file {name}", hint="make one with 'snnprof profile MODEL -o RUN.json'")
    return path.is_file()


def _load(name: str) -> Activity | Published:
    from snnprof.activity import Activity
    from snnprof.workload import catalogue

    if name.startswith(PAPER):
        return catalogue.published_row(name.removeprefix(PAPER))
    return Activity.load(kept.found(Path(name))) if _is_file(name) else _run(name)


def _run(model: str) -> Activity:
    from snnprof.cli.progress import progress
    from snnprof.workload.options import ProfileOptions
    from snnprof.workload.run import profile_run

    with progress(model) as tell:
        return profile_run(ProfileOptions(model=model), tell)


def _labels(names: Sequence[str], things: Sequence[Activity | Published]) -> list[str]:
    """The model's name where that tells the runs apart, else the file's."""
    from snnprof.activity import Activity

    short = [
        (thing.run.model.label or Path(name).stem) if isinstance(thing, Activity) else f"{thing.title} (published)"
        for name, thing in zip(names, things, strict=True)
    ]
    full = [f"{label} [{name}]" if short.count(label) > 1 else label for label, name in zip(short, names, strict=True)]
    return [f"{label} #{i + 1}" if full.count(label) > 1 else label for i, label in enumerate(full)]

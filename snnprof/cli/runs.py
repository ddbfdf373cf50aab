"""Loads what a user names on the command line: a run file, a published row, or a model to run now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from snnprof import kept
from snnprof.cli.options import PAPER
from snnprof.errors import SnnprofError, unknown

if TYPE_CHECKING:
    from snnprof.activity import Activity
    from snnprof.literature import Published


def loaded(names: Sequence[str]) -> list[tuple[str, Activity | Published]]:
    """Loads each run file and published row and runs each model; each has a short label, unique among them.

    Raises:
        SnnprofError: a name is neither a run file, nor `paper:ROW`, nor a model.
    """
    from snnprof.comparison import labels

    _check(names)
    things = [_load(name) for name in names]
    return list(zip(labels(names, things), things, strict=True))


def is_model(name: str) -> bool:
    """Whether a name is neither `paper:ROW` nor a .json file, so that it must be a model."""
    return not name.startswith(PAPER) and not name.endswith(".json")


def path_of(run: Path) -> Path:
    """The path of a run file: in this folder, or in the cache of runs without --output.

    Raises:
        SnnprofError: there is no such file.
    """
    path = kept.found(run)
    if not path.exists():
        raise SnnprofError(f"there is no run file {run}", hint="make one with 'snnprof profile MODEL -o RUN.json'")
    return path


def stem(names: Sequence[str]) -> str:
    """A file name, without suffix, for a figure of these runs."""
    return "-".join(Path(name.replace(":", "-")).stem for name in names[:3])


def _check(names: Sequence[str]) -> None:
    """Checks all names before anything runs."""
    from snnprof import catalogue

    for name in names:
        if name.startswith(PAPER):
            catalogue.published_row(name.removeprefix(PAPER))
        elif not _is_file(name):
            model = name.partition(":")[0]
            if not catalogue.is_known(model):
                raise unknown("run file or model", name, catalogue.names(), "snnprof models list")
            catalogue.split(name)


def _is_file(name: str) -> bool:
    path = Path(name)
    return (path_of(path) if path.suffix == ".json" else path).is_file()


def _load(name: str) -> Activity | Published:
    from snnprof import catalogue
    from snnprof.activity import Activity

    if name.startswith(PAPER):
        return catalogue.published_row(name.removeprefix(PAPER))
    return Activity.load(path_of(Path(name))) if _is_file(name) else _run(name)


def _run(model: str) -> Activity:
    from snnprof.cli.progress import progress
    from snnprof.options import ProfileOptions

    with progress(model) as tell:  # shows a message before the import loads torch
        from snnprof.workload.run import profile_run

        return profile_run(ProfileOptions(model=model), tell)

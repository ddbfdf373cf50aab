"""What `profile` was asked when it made a run file, so that the same model and data can run again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from snnprof.activity import Activity
from snnprof.cli import profile
from snnprof.options import ProfileOptions


def options_of(path: Path, activity: Activity, model: str | None = None, **given: Any) -> ProfileOptions:
    """The options behind a run file, which must be read in the folder where `profile` ran.

    Args:
        path: the run file.
        activity: what it holds.
        model: what the user names instead of the recorded model.
        given: other flags that the user gives now, by the names of `profile`'s parameters; null where he does not.

    Raises:
        SnnprofError: the file does not hold the command, or names code that a file may not choose.
    """
    app = typer.Typer()
    app.command("profile")(profile.profile)
    argv = activity.run.argv
    recorded = profile.recorded_flags(path, argv, typer.main.get_command(app), model)
    now = {name: value for name, value in given.items() if value is not None}
    return replace(profile.what_runs({**recorded, **now}, recorded["model"]), self_check=False, argv=tuple(argv))

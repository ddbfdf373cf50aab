"""Reads from a run file the options of `profile` that made it, so that the same model and data can run again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from snnprof.activity import Activity
from snnprof.cli import profile
from snnprof.options import ProfileOptions


def options_of(path: Path, activity: Activity, model: str | None = None, **given: Any) -> ProfileOptions:
    """The options of the recorded command. Its relative paths hold in the folder where `profile` ran.

    Args:
        path: the run file.
        activity: its content.
        model: the model that the user names instead of the recorded one; None if none.
        given: other flags that the user gives now, by the names of `profile`'s parameters; None is not given.

    Raises:
        SnnprofError: the file holds no command, or the command names code that a file may not choose.
    """
    app = typer.Typer()
    app.command("profile")(profile.profile)
    argv = activity.run.argv
    recorded = profile.recorded_flags(path, argv, typer.main.get_command(app), model)
    now = {name: value for name, value in given.items() if value is not None}
    return replace(profile.what_runs({**recorded, **now}, recorded["model"]), self_check=False, argv=tuple(argv))

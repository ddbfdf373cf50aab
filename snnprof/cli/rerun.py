"""What `profile` was asked when it made a run file, so that the same model and data can run again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from snnprof.activity import Activity
from snnprof.cli import profile
from snnprof.errors import SnnprofError
from snnprof.options import ProfileOptions


def options_of(path: Path) -> ProfileOptions:
    """The options behind a run file, which must be read in the folder where `profile` ran.

    Raises:
        SnnprofError: the file does not hold the command, or names code that a file may not choose.
    """
    activity = Activity.load(path)
    argv = activity.run.argv
    if argv[:1] != ["profile"]:
        raise SnnprofError(
            f"{path} holds counts but not the command that made it, and another tool needs the model",
            hint="name the model: snnprof compare MODEL --against TOOL",
        )
    app = typer.Typer()
    app.command("profile")(profile.profile)
    asked = typer.main.get_command(app).make_context("profile", argv[1:]).params
    model = asked["model"] or asked["name"]
    if model is None or not profile.is_own_code(model):
        raise SnnprofError(
            f"{path} names {model or 'no model'}, which is neither a bundled model nor code in this folder",
            hint="a run file alone does not choose which code runs; go to the folder of that code",
        )
    return _options(model, asked, activity)


def _options(model: str, asked: dict[str, Any], activity: Activity) -> ProfileOptions:
    weights = asked["checkpoint"]
    return ProfileOptions(
        model=model,
        settings=tuple((key, value) for key, _, value in (text.partition("=") for text in asked["settings"] or ())),
        checkpoint=None if weights is None else Path(weights),
        data=asked["data"],
        layout=asked["layout"],
        input=asked["input_kind"],
        timesteps=asked["timesteps"],
        batch_size=activity.run.batch_size,
        samples=asked["samples"] if asked["until_ci"] is None else activity.samples,
        seed=asked["seed"],
        device=asked["device"],
        amp=asked["amp"],
        neurons=tuple(asked["neuron"] or ()),
    )

"""`snnprof compare MODEL --against TOOL`: the same model and data through another tool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

import typer

from snnprof import catalogue
from snnprof.activity import Activity
from snnprof.against import tools
from snnprof.against.records import Explained, Tool
from snnprof.cli import options, output, rerun, runs
from snnprof.cli.command import must_keep_inputs
from snnprof.cli.progress import progress
from snnprof.errors import SnnprofError
from snnprof.options import ProfileOptions
from snnprof.render.table import Document

ALLOWED = {"names", "against", "form", "out", "force", "columns", "siunitx", "raw_csv", "caption", "label"}


def document(context: typer.Context, names: Sequence[str], tool: str) -> Document:
    """Every difference between snnprof's counts and another tool's.

    Raises:
        SnnprofError: no such tool, it is not installed, or a name is no model and no run of one.
    """
    chosen = cast(Tool, output.chosen("tool", tool, get_args(Tool)))
    tools.must_be_installed(chosen)
    _must_stand_alone(context)
    asked = [(name, _asked(name)) for name in names]
    for _, each in asked:
        must_keep_inputs({
            "out": context.params["out"], "model": each.model, "data": each.data, "checkpoint": each.checkpoint,
        })  # fmt: skip
    from snnprof.render.against import against_document

    return against_document(list(_explained(asked, chosen)), output.command_line(context))


def _must_stand_alone(context: typer.Context) -> None:
    """Counts are compared as they are: options about prices and the comparison of models mean nothing."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name not in ALLOWED and source is not None and source.name == "COMMANDLINE":
            raise SnnprofError(
                f"{option.opts[0]} has no meaning with --against",
                hint="--against compares the counts of convention 'exact' with another tool's; leave it out",
            )


def _of_run(path: Path) -> ProfileOptions:
    """The recorded batches, also where an interval decided how many there were."""
    activity = Activity.load(path)
    asked = rerun.options_of(path, activity)
    samples = asked.samples if asked.until_ci is None else activity.samples
    return replace(asked, samples=samples, until_ci=None, batch_size=activity.run.batch_size)


def _asked(name: str) -> ProfileOptions:
    """A model on its own data, or what `profile` was asked when it made a run file."""
    if name.startswith(options.PAPER):
        raise SnnprofError(f"{name} is a published row, which no tool can run", hint="name a model or a run file")
    if name.endswith(".json"):
        return _of_run(runs.path_of(Path(name)))
    if not _has_data(name):
        raise SnnprofError(
            f"{name} comes without data",
            hint=f"profile it first: snnprof profile {name} --data ... -o run.json; "
            "then snnprof compare run.json --against ...",
        )
    return ProfileOptions(model=name)


def _has_data(name: str) -> bool:
    """Whether a model is bundled together with data for it.

    Raises:
        SnnprofError: it looks like a bundled one, and there is none of this name.
    """
    if any(sign in name.partition(":")[0] for sign in "./"):
        return False
    return catalogue.preset(name).data == "digits"


def _explained(asked: Sequence[tuple[str, ProfileOptions]], tool: Tool) -> Iterator[tuple[str, Explained]]:
    from snnprof.against import explained

    for name, each in asked:
        with progress(each.model) as tell:  # and then torch is loaded
            from snnprof.workload.peers.run import both

            yield name, explained(*both(each, tool, tell))

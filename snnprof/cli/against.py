"""`snnprof compare MODEL --against TOOL`: counts the same model and data by another tool too."""

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
    """The document with every difference between the counts of snnprof and another tool.

    Raises:
        SnnprofError: there is no such tool, it is not installed, or a name is neither a model nor a run of one.
    """
    chosen = cast(Tool, output.chosen("tool", tool, get_args(Tool)))
    tools.must_be_installed(chosen)
    _must_stand_alone(context)
    models = [(name, _run_options(name)) for name in names]
    for _, each in models:
        must_keep_inputs({
            "out": context.params["out"], "model": each.model, "data": each.data, "checkpoint": each.checkpoint,
        })  # fmt: skip
    from snnprof.render.against import against_document

    return against_document(list(_explained(models, chosen)), output.command_line(context))


def _must_stand_alone(context: typer.Context) -> None:
    """Raises SnnprofError for options about prices or the comparison of models, which mean nothing for counts."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name not in ALLOWED and source is not None and source.name == "COMMANDLINE":
            raise SnnprofError(
                f"{option.opts[0]} has no meaning with --against",
                hint="--against compares the counts of convention 'exact' with another tool's; leave it out",
            )


def _of_run(path: Path) -> ProfileOptions:
    """The options that run the recorded batches again; a run that --until-ci ended gets its number of samples."""
    activity = Activity.load(path)
    run_options = rerun.options_of(path, activity)
    samples = run_options.samples if run_options.until_ci is None else activity.samples
    return replace(run_options, samples=samples, until_ci=None, batch_size=activity.run.batch_size)


def _run_options(name: str) -> ProfileOptions:
    """The options for a name: those recorded in a run file, or a bundled model on its own data.

    Raises:
        SnnprofError: the name is a published row, or a model without data.
    """
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
        SnnprofError: the name has the form of a bundled model, and there is none of this name.
    """
    if any(sign in name.partition(":")[0] for sign in "./"):
        return False
    return catalogue.preset(name).data == "digits"


def _explained(models: Sequence[tuple[str, ProfileOptions]], tool: Tool) -> Iterator[tuple[str, Explained]]:
    from snnprof.against import explained

    for name, each in models:
        with progress(each.model) as tell:  # shows a message before the import loads torch
            from snnprof.workload.peers.run import both

            yield name, explained(*both(each, tool, tell))

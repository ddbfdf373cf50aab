"""`snnprof export`: runs one sample of a run again and writes its network and spikes for another tool."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnprof.cli import options, output, rerun, runs
from snnprof.cli.progress import announce, progress
from snnprof.errors import SnnprofError

if TYPE_CHECKING:
    from snnprof.activity import Activity

FORMATS = ("sana-fe",)
EXAMPLES = options.examples(
    ("snnprof export run.json --format sana-fe --output replay", "a network and its spikes for the simulator SANA-FE"),
    ("python replay/replay.py", "the same synaptic events there, with its messages, hops and time"),
)


def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN.json", help="A run that 'snnprof profile' made.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--output", "-o", help="A new folder.", metavar="DIR", rich_help_panel=options.OUTPUT)
    ],
    form: Annotated[
        str, typer.Option("--format", "-f", help="sana-fe.", metavar="FORMAT", rich_help_panel=options.OUTPUT)
    ] = "sana-fe",
    mapping: Annotated[
        str,
        typer.Option(
            "--mapping", help="Chip whose cores the layers lie on: an id or a YAML file.", metavar="CHIP|FILE"
        ),
    ] = "loihi1",
    model: Annotated[
        str | None,
        typer.Option("--model", help="The model, where the run names code outside this folder.", metavar="MODEL"),
    ] = None,
) -> None:
    """Export one sample of a run: its network and its spikes.

    A run file holds counts, not single spikes, so the model runs again on one sample, as the command in the file says.
    """
    from snnprof.activity import Activity
    from snnprof.mapping import load_target, map_to_chip
    from snnprof.sana_fe import must_be_known, replay, summary

    output.chosen("format", form, FORMATS)
    _must_be_new(out)
    target = load_target(mapping)
    must_be_known(target.chip)
    path = runs.path_of(run)
    recorded = Activity.load(path)
    run_options = replace(rerun.options_of(path, recorded, model), samples=1, until_ci=None, batch_size=1)
    announce(run_options.model)
    with progress(run_options.model) as tell:
        from snnprof.workload.run import trace_run

        activity, trace = trace_run(run_options, tell)
    _say_what_changed(recorded, activity, path)
    made = replay(activity, trace, map_to_chip(activity, target))
    out.mkdir(exist_ok=True)
    for name, text in made.files().items():
        output.write_file(text, out / name, force=False)
    output.write("\n".join([*summary(made), f"replay with: python {out / 'replay.py'}", ""]), None)


def _must_be_new(folder: Path) -> None:
    """Raises SnnprofError if the folder exists and is not empty, or cannot be made."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise SnnprofError(f"{folder} exists", hint="name a new folder with --output")
    output.must_be_writable(folder)


def _say_what_changed(recorded: Activity, activity: Activity, path: Path) -> None:
    """Warns if the weights or the code of the model changed since the run."""
    before, now = recorded.run.conditions, activity.run.conditions
    for what in ("the weights", "the code of the model"):
        if before.get(what) != now.get(what):
            output.say(f"warning: {what} changed since {path} was made: this is another network's export")

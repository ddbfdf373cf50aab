"""`snnprof sweep`: runs a model once for each value of a setting, and shows curves over the setting."""

from __future__ import annotations

import inspect
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from snnprof import grid, kept
from snnprof.cli import options, output, profile
from snnprof.cli.pricing import Pricing
from snnprof.cli.progress import announce, progress
from snnprof.errors import SnnprofError
from snnprof.grid import GridPoint, PlannedRun

if TYPE_CHECKING:
    from snnprof.activity import Activity
    from snnprof.options import ProfileOptions

EXAMPLES = options.examples(
    ("snnprof sweep saformer --over timesteps=1,2,4,8", "accuracy, operations and energy against T"),
    ("snnprof sweep net.py:build --data test.npz --over threshold=0.5,1,1.5 --over set.width=64,128", "a grid"),
    ("snnprof sweep spikformer --over threshold.block.0=0.8,1,1.2 -o block0", "of one block; runs kept in block0/"),
    ("snnprof sweep net.py:build --data test.npz --over checkpoint=a.pt,b.pt --format csv", "two checkpoints"),
)
NOT_SHARED = frozenset(
    ("context", "name", "resume", "maps", "measure", "strict", "out", "force", "form", "verbose", "by", "sort", "top")
) | {"columns"}
"""The parameters of `profile` that a sweep does not take, or takes with another meaning."""
_NOT_OF_A_RUN = frozenset(("name", "model", "over", "out", "force", "form", "columns", "quiet", "siunitx", "raw_csv"))
"""The parameters of a sweep that are not in the commands in its run files, or are there in another form."""
Model = Annotated[
    str | None,
    typer.Argument(metavar="MODEL", help="What to run.", show_default=False, autocompletion=options.model_names),
]
Over = Annotated[
    list[str],
    typer.Option(
        "--over", metavar="SETTING=V1,V2,...", show_default=False, rich_help_panel="Sweep",
        help="timesteps, threshold, threshold.LAYERS, input_rate, checkpoint, seed or set.KEY, and its values. Several "
        "make a grid.",
    ),
]  # fmt: skip
Folder = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FOLDER", rich_help_panel=options.OUTPUT,
        help="Keep one run file for each setting here; default: MODEL-sweep. Runs that are there are not repeated.",
    ),
]  # fmt: skip


def sweep(
    context: typer.Context,
    over: Over,
    name: Model = None,
    out: Folder = None,
    force: options.Force = False,
    form: options.Format = None,
    columns: options.TableColumns = None,
    **shared: Any,
) -> None:
    """Run a model once for each value of a setting: accuracy, operations and energy against it.

    Takes what [cyan]snnprof profile[/cyan] takes. Each run is kept in a file of its own. The same command continues a
    sweep that was stopped: it keeps finished runs, continues an interrupted one, and refuses runs of other settings.
    """
    model, quiet = profile.one_model(name, shared["model"]), shared["quiet"]
    if model is None:
        raise SnnprofError("no model is named", hint="for example 'snnprof sweep saformer --over timesteps=1,2,4'")
    announce(model, quiet)
    destination = output.Destination.checked(form, siunitx=shared["siunitx"], raw_csv=shared["raw_csv"])
    pricing = Pricing(
        shared["hardware"], shared["convention"], shared["latency"], shared["prices"], shared["exclude"],
        shared["mapping"],
    )  # fmt: skip
    axes = grid.axes(over)
    planned = _planned(grid.grid(axes), profile.what_runs(shared, model), ["profile", model, *_words(context)])
    profile.check_model_name(model)
    with _folder_for_runs(out or Path(f"{Path(kept.file_name(model)).stem}-sweep")) as folder:
        runs = _in(folder, planned)
        finished = _finished(runs, model, force, quiet)
    if finished:
        from snnprof.render.selection import with_columns
        from snnprof.render.sweep import sweep_document
        from snnprof.sweeps import sweep_of

        entries = pricing.entries([(run.point.name, activity) for run, activity in finished])
        curves = sweep_of(entries, axes[0].name)
        document = sweep_document(curves, output.command_line(context))
        destination.emit(with_columns(document, options.names(columns)))
    if len(finished) < len(runs):
        output.say(f"{len(finished)} of {len(runs)} runs are complete; the same command continues the sweep")
        raise typer.Exit(profile.INTERRUPTED)
    if not quiet:
        files = f"{shlex.quote(str(runs[0].path.parent))}/*.json"
        output.say(f"next: snnprof plot {files} --over {shlex.quote(curves.setting)}")


def _signature() -> inspect.Signature:
    """The parameters of `sweep` and those that it shares with `profile`.

    typer reads the options of a command from its signature, so a new option of `profile` is one of `sweep` too.
    """
    own = inspect.signature(sweep).parameters.values()
    hints = {**get_type_hints(profile.profile, include_extras=True), **get_type_hints(sweep, include_extras=True)}
    ours = [each for each in own if each.kind is not each.VAR_KEYWORD]
    taken = {each.name for each in ours} | NOT_SHARED
    theirs = [each for each in inspect.signature(profile.profile).parameters.values() if each.name not in taken]
    ordered = (*ours[:3], *theirs, *ours[3:])  # the order in the help
    every = [each.replace(annotation=hints[each.name], kind=each.KEYWORD_ONLY) for each in ordered]
    return inspect.Signature(every)


sweep.__signature__ = _signature()  # type: ignore[attr-defined]


def _words(context: typer.Context) -> list[str]:
    """The options of `profile` on this command line; each run file holds them in the command that repeats its run."""
    words: list[str] = []
    for parameter in context.command.params:
        name, given = parameter.name or "", context.params.get(parameter.name or "")
        if name in _NOT_OF_A_RUN or not profile.is_given(name, context):
            continue
        for value in given if isinstance(given, list | tuple) else [given]:
            words += [parameter.opts[0]] if value is True else [parameter.opts[0], str(value)]
    return words


def _planned(
    points: Sequence[GridPoint], given: ProfileOptions, words: Sequence[str]
) -> list[tuple[GridPoint, ProfileOptions]]:
    """Each run with its options, checked before anything runs.

    Raises:
        SnnprofError: a value does not fit its setting.
    """
    return [(each, replace(each.options(given), argv=(*words, *each.words))) for each in points]


def _in(folder: Path, planned: Sequence[tuple[GridPoint, ProfileOptions]]) -> list[PlannedRun]:
    """Adds to each run its file in the folder, and to its command the option that names the file."""
    paths = [folder / name for name in grid.file_names([point for point, _ in planned])]
    return [
        PlannedRun(point, replace(run_options, output=path, argv=(*run_options.argv, "--output", str(path))))
        for (point, run_options), path in zip(planned, paths, strict=True)
    ]


@contextmanager
def _folder_for_runs(folder: Path) -> Iterator[Path]:
    """Makes the folder if it does not exist, and takes it away again if no run was kept in it.

    Raises:
        SnnprofError: it cannot be made or written to, or this is one of several processes.
    """
    if os.environ.get("WORLD_SIZE", "1") not in ("", "1"):
        raise SnnprofError(
            "a sweep runs in one process", hint="start 'torchrun ... -m snnprof profile' for each setting instead"
        )
    if folder.exists() and not folder.is_dir():
        raise SnnprofError(f"cannot keep runs in {folder}: it is a file", hint="name a folder with --output")
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SnnprofError(f"cannot make the folder {folder}: {error.strerror}") from error
    output.must_be_writable(folder / "run.json")
    try:
        yield folder
    finally:
        if is_new:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _finished(runs: Sequence[PlannedRun], model: str, force: bool, quiet: bool) -> list[tuple[PlannedRun, Activity]]:
    """Makes the runs until all are done or Ctrl-C comes; returns those that are complete."""
    finished: list[tuple[PlannedRun, Activity]] = []
    with progress(model, quiet) as tell:  # shows a message before the import loads torch
        from snnprof.workload.sweep import run_sweep

        try:
            for run, activity in run_sweep(runs, tell, output.say, force):
                if not activity.run.complete:
                    break
                finished.append((run, activity))
                if not quiet:
                    output.say(f"{len(finished)} of {len(runs)}: {run.path}")
        except KeyboardInterrupt:  # it came between two runs, or before a run had counted anything
            pass
        except SnnprofError as error:
            raise _about(error, runs[len(finished)], finished) from error
    return finished


def _about(error: SnnprofError, run: PlannedRun, finished: Sequence[object]) -> SnnprofError:
    """Adds to an error the name of its run, and advice if its file holds another run or the model sets T itself."""
    text, hint = str(error), error.hint
    if "cannot resume" in text or "cannot be resumed" in text:
        hint = f"{run.path} holds another run: name another folder with --output, or replace its runs with --force"
    if "time steps, not the" in text:
        hint = "if T is an argument of the model, sweep over that: --over set.NAME=1,2,4"
    rest = f"; {len(finished)} earlier runs are kept" if finished else ""
    return SnnprofError(f"{run.point.name}: {text}{rest}", hint=hint)

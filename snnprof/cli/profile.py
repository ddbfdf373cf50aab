"""`snnprof profile`: runs a model on data, counts its operations, and prices them."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from snnprof import kept, run_file
from snnprof.cli import options, output
from snnprof.cli.command import must_keep_inputs
from snnprof.cli.pricing import Pricing
from snnprof.cli.progress import announce, progress
from snnprof.cli.showing import Showing, form_of
from snnprof.errors import CheckFailed, SnnprofError
from snnprof.options import (
    MAX_SEED,
    MAX_TIMESTEPS,
    MAX_WORKERS,
    Amp,
    InputKind,
    Layout,
    ProfileOptions,
    file_and_key,
    is_graph,
    threshold_of,
)
from snnprof.run_file import Target

if TYPE_CHECKING:
    from snnprof.activity import Activity

EXAMPLES = options.examples(
    ("snnprof profile saformer", "a bundled model on its own test data"),
    ("snnprof profile net.py:build --data test.npz --layout time-batch -o run.json", "your own model"),
    ("snnprof profile spikformer:4-384-cifar10 --checkpoint x.pth --data cifar10:DIR", "a paper's own weights"),
    ("snnprof profile saformer -o run.json -o report.html -o table.tex --quiet", "everything in one run"),
)
FIGURES = (".pdf", ".svg", ".png")
INTERRUPTED = 130
STRICT_FINDINGS = ("C04", "C16", "C17", "C22")
"""The findings on which --strict fails: a module with weights ran without a contraction, the self-check disagrees,
fvcore saw more, spikes were counted as real numbers."""


def _seed(value: int) -> int:
    if not -MAX_SEED - 1 <= value <= MAX_SEED:
        raise typer.BadParameter(f"{value} is not a whole number of 64 bits")
    return value


def profile(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL", help="What to run; with --resume, by default what ran before.", show_default=False,
            autocompletion=options.model_names,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="MODEL", autocompletion=options.model_names, rich_help_panel=options.MODEL,
            help="The same as the argument: NAME, NAME:PRESET, FILE.py:FUNCTION, package.module:ATTR or FILE.nir.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="An argument of the model. Repeatable.", metavar="KEY=VALUE", rich_help_panel=options.MODEL
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", help="Weights to load.", metavar="FILE[:KEY]", rich_help_panel=options.MODEL),
    ] = None,
    neuron: Annotated[
        list[str] | None,
        typer.Option(
            "--neuron", help="Treat this class or function as a spiking neuron. Repeatable.",
            metavar="CLASS|FUNCTION", rich_help_panel=options.MODEL,
        ),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold", help="Firing threshold of all neurons, or of the layers that match a pattern. Repeatable.",
            metavar="[LAYERS=]VALUE", rich_help_panel=options.MODEL,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="SOURCE", rich_help_panel=options.DATA,
            help="digits, cifar10:DIR, cifar100:DIR, cifar10-dvs:DIR, dvs128-gesture:DIR, n-caltech101:DIR, "
            "imagefolder:DIR, FILE.npz, .npy, .pt, .h5 or .csv, FILE.py:FUNCTION or random. Default: the data that "
            "the model was made for.",
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout", help="Axes of a batch.", metavar="|".join(get_args(Layout)), rich_help_panel=options.DATA
        ),
    ] = None,
    input_kind: Annotated[
        str,
        typer.Option(
            "--input", help="What the values of the input are.", metavar="|".join(get_args(InputKind)),
            rich_help_panel=options.DATA,
        ),
    ] = "auto",
    input_rate: Annotated[
        float | None,
        typer.Option(
            "--input-rate", help="Give input values x (0 to 1) as spikes of probability RATE times x.",
            metavar="RATE", rich_help_panel=options.DATA,
        ),
    ] = None,
    timesteps: Annotated[
        int | None,
        typer.Option(
            "--timesteps", min=1, max=MAX_TIMESTEPS, help="Time steps T.", metavar="T", rich_help_panel=options.DATA
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="Batch size.", metavar="N", rich_help_panel=options.DATA),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", min=1, help="Stop after N samples.", metavar="N", rich_help_panel=options.DATA),
    ] = None,
    until_ci: Annotated[
        str | None,
        typer.Option(
            "--until-ci", help="Stop when the SOPs are known to within PCT percent.", metavar="PCT",
            rich_help_panel=options.DATA,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", callback=_seed, help="Random seed.", metavar="S", rich_help_panel=options.RUN
        ),
    ] = 0,
    device: Annotated[
        str | None,
        typer.Option("--device", help="cpu, cuda, cuda:1 or mps.", metavar="D", rich_help_panel=options.RUN),
    ] = None,
    amp: Annotated[
        str | None,
        typer.Option(
            "--amp", help="Autocast to this number format.", metavar="|".join(get_args(Amp)),
            rich_help_panel=options.RUN,
        ),
    ] = None,
    compiled: Annotated[
        bool, options.flag("--compile", help="Run under torch.compile.", panel=options.RUN)
    ] = False,
    no_self_check: Annotated[
        bool, options.flag("--no-self-check", help="Do not count one sample a second time.", panel=options.RUN)
    ] = False,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", help="Continue an interrupted run; without a MODEL, by the command in its file.",
            metavar="RUN.json", rich_help_panel=options.RUN,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=0, max=MAX_WORKERS, help="Processes that load data ahead; 0: none.", metavar="N",
            rich_help_panel=options.RUN,
        ),
    ] = None,
    measure: Annotated[
        bool,
        options.flag(
            "--measure", help="Measure the energy that this machine uses for the bare model (NVML, RAPL).",
            panel=options.RUN,
        ),
    ] = False,
    maps: Annotated[
        int,
        typer.Option(
            "--maps", min=0, help="Keep the attention maps of K samples.", metavar="K", rich_help_panel=options.RUN
        ),
    ] = 0,
    strict: Annotated[
        bool, options.flag("--strict", help="Exit with 1 if anything was not counted.", panel=options.RUN)
    ] = False,
    hardware: options.Hardware = None,
    prices: options.Prices = None,
    convention: options.Convention = "exact",
    exclude: options.Exclude = None,
    latency: options.Latency = None,
    mapping: options.Mapping = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--output", "-o", metavar="FILE", rich_help_panel=options.OUTPUT,
            help="Keep the run in RUN.json, or write a report: .html, .csv, .md, .tex or .txt. Repeatable.",
        ),
    ] = None,
    force: options.Force = False,
    form: options.ReportFormat = None,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    by: options.RowsBy = None,
    sort: options.Sort = None,
    top: options.Top = None,
    columns: options.Columns = None,
    siunitx: options.Siunitx = False,
    raw_csv: options.RawCsv = False,
) -> None:  # fmt: skip
    """Run a model on data, count its synaptic operations, and price them.

    MODEL is the name of a bundled model ([cyan]saformer[/cyan], [cyan]spikformer:4-384-cifar10[/cyan]; see
    [cyan]snnprof models list[/cyan]), or your own: [cyan]FILE.py:FUNCTION[/cyan] or [cyan]package.module:ATTR[/cyan],
    a function that returns an nn.Module; or [cyan]FILE.nir[/cyan], a graph in the Neuromorphic Intermediate
    Representation.
    """
    started = time.monotonic()
    model = one_model(name, model)
    if model is None:
        _by_the_command_in(resume, context)
        return
    announce(model, quiet)
    run_path, reports_to = _outputs(out or [])
    target = _target(run_path, _existing(resume, "--resume"), force) or _cached(model)
    destinations = _destinations(form_of(form, verbose, quiet), reports_to, force, siunitx, raw_csv)
    showing = Showing.checked(destinations, by, sort, top, columns, quiet)
    pricing = Pricing(hardware, convention, latency, prices, exclude, mapping)
    check_model_name(model)
    run_options = replace(  # `what_runs` reads the other parameters by name, for this command and for `sweep`
        what_runs(context.params, model), resume=resume, maps=maps, measure=measure, output=run_path,
        argv=tuple(context.obj),
    )  # fmt: skip
    may_replace = force or _goes_on_in_its_file(run_path, resume)
    if measure:
        _must_have_sensors()
    maps_file = _maps(run_options, may_replace)
    activity = _run(run_options, target, quiet)
    lost = _saved(activity, target, quiet)
    reports = pricing.reports(activity)
    file = _named(target.path) if target and target.is_there else ""
    for destination in destinations:
        showing.show(reports, destination, output.command_line(context), file, time.monotonic() - started)
    if maps_file:
        output.write_file(maps_file[1], maps_file[0], may_replace)
    if lost is not None:
        raise lost
    if not activity.run.complete:
        _say_how_to_go_on(model, target)
        raise typer.Exit(INTERRUPTED)
    if measure:
        _must_be_measured(activity)
    if strict:
        _judge(activity)


def what_runs(given: Mapping[str, Any], model: str) -> ProfileOptions:
    """Checks the parameters of `profile` that decide what runs and how; those about files are left out.

    Args:
        given: the parameters of `profile` by name.
        model: the model to run.

    Raises:
        SnnprofError: one of them is wrong.
    """
    return ProfileOptions(
        model=model, settings=tuple(map(_setting, given["settings"] or ())), checkpoint=_weights(given["checkpoint"]),
        data=given["data"], layout=_layout(given["layout"]), input=_input(given["input_kind"]),
        timesteps=given["timesteps"], batch_size=given["batch_size"], samples=given["samples"],
        until_ci=_percent(given["until_ci"]), seed=given["seed"], device=given["device"], amp=_amp(given["amp"]),
        compile=given["compiled"], neurons=tuple(given["neuron"] or ()),
        thresholds=tuple(map(_threshold, given["threshold"] or ())), input_rate=_rate(given["input_rate"]),
        self_check=not given["no_self_check"], workers=given["workers"],
    )  # fmt: skip


def _must_have_sensors() -> None:
    """Raises SnnprofError on a machine without energy sensors, before anything is loaded."""
    from snnprof.sensors import must_have_any

    must_have_any()


def _must_be_measured(activity: Activity) -> None:
    """Raises SnnprofError if --measure failed; the report has been written before."""
    for finding in activity.findings:
        if finding.code == "C35":
            raise SnnprofError(finding.text, hint=finding.hint)


def one_model(named: str | None, option: str | None) -> str | None:
    """The model that the argument or --model names; None if neither does.

    Raises:
        SnnprofError: they name different models.
    """
    if named is not None and option is not None and named != option:
        raise SnnprofError(f"two models are named: {named} and --model {option}", hint="run one after the other")
    return named if option is None else option


def _outputs(paths: Sequence[Path]) -> tuple[Path | None, list[Path]]:
    """Splits the --output files by suffix into the run file and the files for reports.

    Raises:
        SnnprofError: there are two run files, or one is stdout or a figure.
    """
    reports = [path for path in paths if output.SUFFIXES.get(path.suffix.lower(), "json") != "json"]
    runs = [path for path in paths if path not in reports]
    for path in runs:
        if path == output.STDOUT:
            hint = "--format json prints the report"
            raise SnnprofError("--output names the run file; it cannot be stdout", hint=hint)
        if path.suffix.lower() in FIGURES:
            raise SnnprofError(f"--output {path}: a figure is drawn from a run file", hint="snnprof plot RUN.json")
    if len(runs) > 1:
        raise SnnprofError(f"one run is kept in one file, not in {' and '.join(map(str, runs))}")
    return (runs[0] if runs else None), reports


def _destinations(
    form: str | None, paths: Sequence[Path], force: bool, siunitx: bool, raw_csv: bool
) -> list[output.Destination]:
    """The destinations of the report: stdout, then the files.

    --siunitx and --raw-csv apply to the files in the format that they are for; if there is none, to stdout.
    """
    in_files = output.Destination.several(None, paths, force) if paths else []
    forms = {each.form for each in in_files}
    tex, csv = siunitx and "latex" in forms, raw_csv and "csv" in forms
    if tex or csv:
        in_files = output.Destination.several(None, paths, force, tex, raw_csv=csv)
    printed = output.Destination.checked(
        form, siunitx=siunitx and not tex, allowed=output.REPORT_FORMATS, raw_csv=raw_csv and not csv
    )
    return [printed, *in_files]


def _cached(model: str) -> Target | None:
    """The file in the cache for a run without --output; None, with a warning, if it cannot be made."""
    try:
        return Target(kept.place(model), force=True)
    except SnnprofError as error:
        output.say(f"warning: this run is not kept: {error}; {error.hint}")
        return None


def _named(path: Path) -> str:
    """The run file as the user can name it in the next command."""
    return kept.shown(path) if _is_cached(path) else str(path)


def _is_cached(path: Path) -> bool:
    return path.parent.name == "runs" and path == kept.folder() / path.name


def _by_the_command_in(path: Path | None, context: typer.Context) -> None:
    """`--resume RUN.json` without a model: repeats the command in the run file; options given now take precedence.

    Raises:
        SnnprofError: no file is given, it holds no command, or the command names code that a file may not choose.
    """
    if path is None:
        raise SnnprofError(
            "no model is named", hint="for example 'snnprof profile saformer'; see 'snnprof models list'"
        )
    from snnprof.activity import Activity

    _existing(path, "--resume")
    argv = Activity.load(path).run.argv
    now = {name: value for name, value in context.params.items() if is_given(name, context)}
    flags = {**recorded_flags(path, argv, context.command, now.get("model")), "out": None, "force": False, **now}
    if os.environ.get("RANK", "0") == "0":  # of several processes, only one prints
        output.say(f"continuing with: {shlex.join(['snnprof', *argv])}")
    must_keep_inputs(flags)
    assert context.command.callback is not None
    context.params |= flags
    context.command.callback(**flags)


def recorded_flags(path: Path, argv: Sequence[str], command: Any, model: str | None) -> dict[str, Any]:
    """The flags of the command in a run file, by the names of `profile`'s parameters.

    Args:
        path: the run file.
        argv: the command in it.
        command: typer's object of the command `profile`.
        model: the model that the user names now instead of the recorded one; None if none.

    Raises:
        SnnprofError: the file holds no command, or the command names code that a file may not choose.
    """
    if argv[:1] != ["profile"]:
        raise SnnprofError(
            f"{path} does not hold the command that made it", hint="name the model instead: 'snnprof profile MODEL'"
        )
    flags = command.make_context("profile", list(argv[1:])).params
    chosen = model or flags["model"] or flags["name"]
    if chosen is None:
        raise SnnprofError(f"{path} does not hold the model that it ran", hint="name it: --model ...")
    if model is None and not is_own_code(chosen):
        raise SnnprofError(
            f"{path} names {chosen}, which is neither a bundled model nor code in this folder",
            hint=f"a run file alone does not choose which code runs; add --model {chosen}",
        )
    return {**flags, "model": chosen, "name": None}


def is_given(name: str, context: typer.Context) -> bool:
    """Whether the user gave this parameter on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def is_own_code(model: str) -> bool:
    """Whether a model is bundled, is in a .py file or in a module of this folder, or holds no code."""
    from snnprof import catalogue

    place, _, _ = model.rpartition(":")
    top = place.partition(".")[0]
    own = Path(f"{top}.py").is_file() or Path(top, "__init__.py").is_file()
    return (
        place.endswith(".py")
        or is_graph(model)
        or catalogue.is_known(model.partition(":")[0])
        or (own and top not in sys.stdlib_module_names)
    )


def _say_how_to_go_on(model: str, target: Target | None) -> None:
    """Prints the command that continues an interrupted run in the same folder."""
    if target is not None and target.is_there:
        named = [] if is_own_code(model) else ["--model", model]
        output.say(f"continue with: {shlex.join(['snnprof', 'profile', *named, '--resume', str(target.path)])}")


def _run(run_options: ProfileOptions, target: Target | None, quiet: bool) -> Activity:
    with progress(run_options.model, quiet) as tell:  # shows a message before the import loads torch
        from snnprof.workload.run import profile_run

        try:
            return profile_run(run_options, tell, target, output.say)
        except KeyboardInterrupt:
            _say_how_to_go_on(run_options.model, target)
            raise


def _saved(activity: Activity, target: Target | None, quiet: bool) -> SnnprofError | None:
    """Writes the run file; if that fails, saves a copy elsewhere and returns the error to raise after the report."""
    if target is None:
        return None
    try:
        activity.save(target)
    except SnnprofError as error:
        if _is_cached(target.path):
            output.say(f"warning: this run is not kept: {error}; name a file with --output")
            return None
        return _rescued(activity, target, error)
    if not _is_cached(target.path):
        output.say(f"wrote {target.path}")
    elif not quiet:
        output.say(f"kept as {target.path.name} in {target.path.parent}")
    return None


def _rescued(activity: Activity, target: Target, error: SnnprofError) -> SnnprofError:
    try:
        copy = run_file.rescued(activity.sealed(), target.path.name)
    except SnnprofError:  # the copy failed too, most likely because the disk is full
        return error
    return SnnprofError(str(error), hint=f"the complete run was saved as {copy}: move it to where you want it")


def _maps(run_options: ProfileOptions, force: bool) -> tuple[Path, bytes] | None:
    """The file of the attention maps and its content; None without --maps.

    The maps are made before the run, so that a model without `AttentionMap` modules fails at once.

    Raises:
        SnnprofError: there is no run file to put it beside, it cannot be written, or the model has no such module.
    """
    if not run_options.maps:
        return None
    run_file = run_options.output or run_options.resume
    if run_file is None:
        raise SnnprofError("--maps writes its file beside the run file", hint="name that with --output RUN.json")
    from snnprof.maps import beside

    target = beside(run_file)
    output.checked_output(target, force)
    from snnprof.workload.maps import attention_maps

    return target, attention_maps(run_options).encoded()


def _target(out: Path | None, resume: Path | None, force: bool) -> Target | None:
    """Checks before the run the file that it is saved in: --output, else the file of --resume; None without either."""
    if resume is not None and _goes_on_in_its_file(out, resume):
        output.must_be_writable(resume)
        if not force:
            run_file.must_have_one_name(resume)
        return Target.to_go_on(resume, force)
    path = output.checked_output(out, force)
    return None if path is None else Target(path, force)


def _goes_on_in_its_file(out: Path | None, resume: Path | None) -> bool:
    return resume is not None and out in (None, resume)


def _judge(activity: Activity) -> None:
    """--strict: checks that every operation was counted.

    Raises:
        CheckFailed: some were not.
    """
    missed = [f"{entry.op} in {entry.layer or '(root)'}" for entry in activity.uncounted]
    missed += [finding.layer or "(root)" for finding in activity.findings if finding.code in STRICT_FINDINGS]
    if missed:
        more = f" and {len(missed) - 3} more" if len(missed) > 3 else ""
        raise CheckFailed(
            f"--strict: not counted: {', '.join(missed[:3])}{more}", hint="the findings of the report explain each one"
        )


def check_model_name(name: str) -> None:
    """Checks the name of a model before torch loads. Whether code holds the model is seen only when it is loaded.

    Raises:
        SnnprofError: there is no such bundled model or NIR file, or FILE.py names no function.
    """
    if is_graph(name):
        _existing(Path(name).expanduser(), "MODEL")
        return
    place = name.partition(":")[0]
    if place.endswith(".py"):
        if not name.removeprefix(place).strip(":"):
            raise SnnprofError(
                f"{place} does not say which function builds the model", hint=f"name it: {place}:FUNCTION"
            )
        return
    if ":" in name.removesuffix(":") and ("." in place or Path(f"{place}.py").is_file()):
        return
    from snnprof import catalogue

    catalogue.preset(name)


def _layout(name: str | None) -> Layout | None:
    return None if name is None else cast(Layout, output.chosen("layout", name, get_args(Layout)))


def _input(name: str) -> InputKind:
    return cast(InputKind, output.chosen("input", name, get_args(InputKind)))


def _amp(name: str | None) -> Amp | None:
    return None if name is None else cast(Amp, output.chosen("number format", name, get_args(Amp)))


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise SnnprofError(f"--set needs KEY=VALUE, not {text!r}", hint="for example --set depth=2")
    return key, value


def _threshold(text: str) -> tuple[str, float]:
    try:
        return threshold_of(text)
    except ValueError as error:
        raise SnnprofError(
            f"--threshold needs a positive number, or LAYERS=NUMBER, not {text!r}", hint="for example 'block.0=0.5'"
        ) from error


def _rate(value: float | None) -> float | None:
    if value is not None and not 0 < value <= 1:
        raise SnnprofError(f"--input-rate must be above 0 and at most 1, not {value:g}")
    return value


def _weights(place: Path | None) -> Path | None:
    """Checks that the file of `FILE` or `FILE:KEY` exists."""
    if place is not None:
        _existing(file_and_key(str(place))[0], "--checkpoint")
    return place


def _existing(path: Path | None, flag: str) -> Path | None:
    if path is not None and not path.is_file():
        raise SnnprofError(f"{flag}: there is no file {path}")
    return path


def _percent(text: str | None) -> float | None:
    """Parses `1`, `0.5` or `1%` to a percentage between 0 and 100."""
    if text is None:
        return None
    value = options.percentage(text)
    if not 0 < value < 100:
        raise SnnprofError(f"--until-ci must be a percentage between 0 and 100, not {text}")
    return value

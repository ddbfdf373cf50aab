"""`snnprof profile`: run a model on data, count, and say what it costs."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from snnprof import run_file
from snnprof.cli import options, output
from snnprof.cli.pricing import Pricing
from snnprof.errors import CheckFailed, SnnprofError
from snnprof.run_file import Target
from snnprof.workload.options import (
    MAX_SEED,
    MAX_TIMESTEPS,
    MAX_WORKERS,
    Amp,
    InputKind,
    Layout,
    ProfileOptions,
    file_and_key,
)

if TYPE_CHECKING:
    from snnprof.activity import Activity

FORMATS = ("table", "json", "csv", "markdown", "latex")
INTERRUPTED = 130
STRICT_FINDINGS = ("C04", "C16", "C17", "C22")
"""A weighted module ran without a contraction, the self-check disagrees, fvcore saw more, spikes counted as real."""


def profile(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", help="What to run; with --resume, by default what ran before.",
            metavar="NAME[:PRESET]|FILE.py:FUNCTION|package.module:ATTR", autocompletion=options.model_names,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="An argument of the model; repeatable.", metavar="KEY=VALUE")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="Weights to load.", metavar="FILE[:KEY]")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="SOURCE",
            help="digits, cifar10:DIR, cifar100:DIR, cifar10-dvs:DIR, dvs128-gesture:DIR, n-caltech101:DIR, "
            "imagefolder:DIR, FILE.npz, .npy, .pt, .h5 or .csv, FILE.py:FUNCTION or random; default: what the model "
            "was made for.",
        ),
    ] = None,
    layout: Annotated[
        str | None, typer.Option("--layout", help="Axes of a batch.", metavar="|".join(get_args(Layout)))
    ] = None,
    input_kind: Annotated[
        str, typer.Option("--input", help="What the input's values are.", metavar="|".join(get_args(InputKind)))
    ] = "auto",
    timesteps: Annotated[
        int | None, typer.Option("--timesteps", min=1, max=MAX_TIMESTEPS, help="Time steps T.", metavar="T")
    ] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Samples at once.", metavar="N")] = None,
    samples: Annotated[int | None, typer.Option("--samples", min=1, help="Stop after N samples.", metavar="N")] = None,
    until_ci: Annotated[
        str | None,
        typer.Option("--until-ci", help="Stop when the SOPs are known to within PCT percent.", metavar="PCT"),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=-MAX_SEED - 1, max=MAX_SEED, help="Decides all randomness.", metavar="S")
    ] = 0,
    device: Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1, mps.", metavar="D")] = None,
    amp: Annotated[
        str | None, typer.Option("--amp", help="Autocast to this number format.", metavar="|".join(get_args(Amp)))
    ] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="Run under torch.compile.")] = False,
    neuron: Annotated[
        list[str] | None,
        typer.Option(
            "--neuron", help="Treat this class or function as a spiking neuron; repeatable.", metavar="CLASS|FUNCTION"
        ),
    ] = None,
    no_self_check: Annotated[
        bool, typer.Option("--no-self-check", help="Do not count one sample a second time after the run.")
    ] = False,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", help="Go on from this run; alone, by the command in it.", metavar="RUN.json"),
    ] = None,
    hardware: options.Hardware = None,
    convention: options.Convention = "exact",
    latency: options.Latency = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=0, max=MAX_WORKERS, help="Processes that load data ahead; 0: none.", metavar="N"),
    ] = None,
    maps: Annotated[int, typer.Option("--maps", min=0, help="Keep attention maps of K samples.", metavar="K")] = 0,
    out: Annotated[
        Path | None, typer.Option("--output", "-o", help="Keep the run in this file.", metavar="RUN.json")
    ] = None,
    force: options.Force = False,
    form: Annotated[
        str, typer.Option("--format", "-f", help="What to print.", metavar="|".join(FORMATS))
    ] = "table",
    siunitx: options.Siunitx = False,
    raw_csv: options.RawCsv = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if anything was not counted.")] = False,
) -> None:  # fmt: skip
    """Count the synaptic operations of a model on data, and price them.

    --output keeps the run; report, compare and plot read it without running the model again.
    """
    if model is None:
        _by_the_command_in(resume, context)
        return
    from snnprof.render.tables import report_document

    target = _target(out, _existing(resume, "--resume"), force)
    printed = output.Destination.checked(form, siunitx=siunitx, allowed=FORMATS, raw_csv=raw_csv)
    pricing = Pricing(hardware, convention, latency)
    _check_model_name(model)
    asked = ProfileOptions(
        model=model, settings=tuple(map(_setting, settings or ())), checkpoint=_weights(checkpoint),
        data=data, layout=_layout(layout), input=_input(input_kind),
        timesteps=timesteps, batch_size=batch_size, samples=samples, until_ci=_percent(until_ci), seed=seed,
        device=device, amp=_amp(amp), compile=compiled, neurons=tuple(neuron or ()),
        self_check=not no_self_check,
        resume=resume, workers=workers, maps=maps, output=out, argv=tuple(context.obj),
    )  # fmt: skip
    may_replace = force or _goes_on_in_its_file(out, resume)
    maps_file = _maps(asked, may_replace)
    activity = _run(asked, target)
    lost = _saved(activity, target)
    printed.emit(report_document(pricing.reports(activity), command=output.command_line(context)))
    if maps_file:
        output.write_file(maps_file[1], maps_file[0], may_replace)
    if lost is not None:
        raise lost
    if not activity.run.complete:
        _say_how_to_go_on(model, target)
        raise typer.Exit(INTERRUPTED)
    if strict:
        _judge(activity)


def _by_the_command_in(path: Path | None, context: typer.Context) -> None:
    """`--resume RUN.json` alone: the command that began the run, in the same folder; what is given now counts more.

    Raises:
        SnnprofError: there is none, or it names code that a file may not choose.
    """
    if path is None:
        raise SnnprofError("missing option '--model'", hint="see 'snnprof profile --help'")
    from snnprof.activity import Activity

    _existing(path, "--resume")
    argv = Activity.load(path).run.argv
    if argv[:1] != ["profile"]:
        raise SnnprofError(f"{path} does not hold the command that made it", hint="name the model: --model ...")
    before = context.command.make_context("profile", argv[1:]).params
    now = {name: value for name, value in context.params.items() if _is_given(name, context)}
    asked = {**before, "out": None, "force": False, **now}
    if asked["model"] is None:
        raise SnnprofError(f"{path} does not hold the model that it ran", hint="name it: --model ...")
    if not _is_own_code(asked["model"]):
        raise SnnprofError(
            f"{path} names {asked['model']}, which is no code of this folder",
            hint=f"a file alone does not choose what runs; add --model {asked['model']}",
        )
    if os.environ.get("RANK", "0") == "0":  # of several processes, one says it
        output.say(f"going on with: {shlex.join(['snnprof', *argv])}")
    assert context.command.callback is not None
    context.command.callback(**asked)


def _is_given(name: str, context: typer.Context) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _is_own_code(model: str) -> bool:
    """Whether a model is bundled, or lies in a file or module of the user's own."""
    from snnprof.workload import catalogue

    place, _, _ = model.rpartition(":")
    top = place.partition(".")[0]
    own = Path(f"{top}.py").is_file() or Path(top, "__init__.py").is_file()
    return (
        place.endswith(".py")
        or catalogue.is_known(model.partition(":")[0])
        or (own and top not in sys.stdlib_module_names)
    )


def _say_how_to_go_on(model: str, target: Target | None) -> None:
    """The command that finishes an interrupted run; it must be given in the same folder."""
    if target is not None and target.is_there:
        named = [] if _is_own_code(model) else ["--model", model]
        output.say(f"go on with: {shlex.join(['snnprof', 'profile', *named, '--resume', str(target.path)])}")


def _run(asked: ProfileOptions, target: Target | None) -> Activity:
    from snnprof.cli.progress import progress
    from snnprof.workload.run import profile_run

    with progress() as tell:
        try:
            return profile_run(asked, tell, target, output.say)
        except KeyboardInterrupt:
            _say_how_to_go_on(asked.model, target)
            raise


def _saved(activity: Activity, target: Target | None) -> SnnprofError | None:
    """Writes the run; where that fails, what to say once the report is out, and where the run is meanwhile."""
    if target is None:
        return None
    try:
        activity.save(target)
    except SnnprofError as error:
        return _rescued(activity, target, error)
    output.say(f"wrote {target.path}")
    return None


def _rescued(activity: Activity, target: Target, error: SnnprofError) -> SnnprofError:
    try:
        copy = run_file.rescued(activity.sealed(), target.path.name)
    except SnnprofError:  # what cannot be written there either is most likely the same disk
        return error
    return SnnprofError(str(error), hint=f"the run is whole in {copy}: move it to where it belongs")


def _maps(asked: ProfileOptions, force: bool) -> tuple[Path, bytes] | None:
    """The side-car file and what goes into it; looked at first, so that a model that shows nothing fails at once."""
    if not asked.maps:
        return None
    run_file = asked.output or asked.resume
    if run_file is None:
        raise SnnprofError("--maps writes its file beside the run file", hint="name that with --output RUN.json")
    from snnprof.maps import beside

    target = beside(run_file)
    output.checked_output(target, force)
    from snnprof.workload.maps import attention_maps

    return target, attention_maps(asked).encoded()


def _target(out: Path | None, resume: Path | None, force: bool) -> Target | None:
    """Where the run is kept: in --output, or in the file that it goes on from. Fails now rather than after the work."""
    if out == output.STDOUT:
        raise SnnprofError("--output names the run file; it cannot be stdout", hint="--format json prints the report")
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
    """--strict: everything that computes must have been counted.

    Raises:
        CheckFailed: it was not.
    """
    missed = [f"{entry.op} in {entry.layer or '(root)'}" for entry in activity.uncounted]
    missed += [finding.layer or "(root)" for finding in activity.findings if finding.code in STRICT_FINDINGS]
    if missed:
        more = f" and {len(missed) - 3} more" if len(missed) > 3 else ""
        raise CheckFailed(
            f"--strict: not counted: {', '.join(missed[:3])}{more}", hint="the report's findings say what each one is"
        )


def _check_model_name(name: str) -> None:
    """Bundled names are checked before torch loads; files and modules are for the loader."""
    place = name.partition(":")[0]
    if place.endswith(".py"):
        if not name.removeprefix(place).strip(":"):
            raise SnnprofError(
                f"{place} does not say which function builds the model", hint=f"name it: {place}:FUNCTION"
            )
        return
    if ":" in name.removesuffix(":") and ("." in place or Path(f"{place}.py").is_file()):
        return
    from snnprof.workload import catalogue

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


def _weights(place: Path | None) -> Path | None:
    """`FILE` or `FILE:KEY`, whose file must be there."""
    if place is not None:
        _existing(file_and_key(str(place))[0], "--checkpoint")
    return place


def _existing(path: Path | None, flag: str) -> Path | None:
    if path is not None and not path.is_file():
        raise SnnprofError(f"{flag}: there is no file {path}")
    return path


def _percent(text: str | None) -> float | None:
    """`1`, `0.5` or `1%`."""
    if text is None:
        return None
    value = options.percentage(text)
    if not 0 < value < 100:
        raise SnnprofError(f"--until-ci must be a percentage between 0 and 100, not {text}")
    return value

"""`snnprof profile`: run a model on data, count, and say what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from snnprof.cli import options, output
from snnprof.cli.pricing import Pricing
from snnprof.errors import CheckFailed, SnnprofError
from snnprof.workload.options import Amp, InputKind, Layout, ProfileOptions

if TYPE_CHECKING:
    from snnprof.activity import Activity

FORMATS = ("table", "json", "csv", "markdown", "latex")
INTERRUPTED = 130
STRICT_FINDINGS = ("C04", "C16", "C17", "C22")
"""A weighted module ran without a contraction, the self-check disagrees, fvcore saw more, spikes counted as real."""


def profile(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Option(
            "--model", help="What to run.", metavar="NAME[:PRESET]|FILE.py:FUNCTION|package.module:ATTR",
            autocompletion=options.model_names,
        ),
    ],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="An argument of the model; repeatable.", metavar="KEY=VALUE")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", help="Weights to load.", metavar="FILE")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="SOURCE",
            help="digits, cifar10:DIR, cifar100:DIR, cifar10-dvs:DIR, dvs128-gesture:DIR, n-caltech101:DIR, "
            "imagefolder:DIR, FILE.npz, FILE.pt, FILE.py:FUNCTION or random; default: what the model was made for.",
        ),
    ] = None,
    layout: Annotated[
        str | None, typer.Option("--layout", help="Axes of a batch.", metavar="|".join(get_args(Layout)))
    ] = None,
    input_kind: Annotated[
        str, typer.Option("--input", help="What the input's values are.", metavar="|".join(get_args(InputKind)))
    ] = "auto",
    timesteps: Annotated[int | None, typer.Option("--timesteps", min=1, help="Time steps T.", metavar="T")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Samples at once.", metavar="N")] = None,
    samples: Annotated[int | None, typer.Option("--samples", min=1, help="Stop after N samples.", metavar="N")] = None,
    until_ci: Annotated[
        str | None,
        typer.Option("--until-ci", help="Stop when the SOPs are known to within PCT percent.", metavar="PCT"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Decides all randomness.", metavar="S")] = 0,
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
    resume: Annotated[Path | None, typer.Option("--resume", help="Go on from this run.", metavar="RUN.json")] = None,
    hardware: options.Hardware = None,
    convention: options.Convention = "exact",
    latency: options.Latency = None,
    maps: Annotated[int, typer.Option("--maps", min=0, help="Keep attention maps of K samples.", metavar="K")] = 0,
    out: Annotated[
        Path | None, typer.Option("--output", "-o", help="Keep the run in this file.", metavar="RUN.json")
    ] = None,
    force: options.Force = False,
    form: Annotated[
        str, typer.Option("--format", "-f", help="What to print.", metavar="|".join(FORMATS))
    ] = "table",
    siunitx: options.Siunitx = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if anything was not counted.")] = False,
) -> None:  # fmt: skip
    """Count the synaptic operations of a model on data, and price them.

    --output keeps the run; report, compare and plot read it without running the model again.
    """
    from snnprof.render.tables import report_document

    run_file = _run_file(out, force or (out is not None and out == resume))
    printed = output.Destination.checked(form, siunitx=siunitx, allowed=FORMATS)
    pricing = Pricing(hardware, convention, latency)
    _check_model_name(model)
    asked = ProfileOptions(
        model=model, settings=tuple(map(_setting, settings or ())), checkpoint=_existing(checkpoint, "--checkpoint"),
        data=data, layout=_layout(layout), input=_input(input_kind),
        timesteps=timesteps, batch_size=batch_size, samples=samples, until_ci=_percent(until_ci), seed=seed,
        device=device, amp=_amp(amp), compile=compiled, neurons=tuple(neuron or ()),
        self_check=not no_self_check,
        resume=_existing(resume, "--resume"), maps=maps, output=run_file, argv=tuple(context.obj),
    )  # fmt: skip
    maps_file = _maps(asked, force)
    activity = _run(asked)
    if run_file:
        activity.save(run_file)
        output.say(f"wrote {run_file}")
    if maps_file:
        output.write_file(maps_file[1], maps_file[0])
    printed.emit(report_document(pricing.reports(activity), command=output.command_line(context)))
    if not activity.run.complete:
        raise typer.Exit(INTERRUPTED)
    if strict:
        _judge(activity)


def _run(asked: ProfileOptions) -> Activity:
    from snnprof.cli.progress import progress
    from snnprof.workload.run import profile_run

    with progress() as tell:
        return profile_run(asked, tell)


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


def _run_file(path: Path | None, force: bool) -> Path | None:
    if path == output.STDOUT:
        raise SnnprofError("--output names the run file; it cannot be stdout", hint="--format json prints the report")
    return output.checked_output(path, force)


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

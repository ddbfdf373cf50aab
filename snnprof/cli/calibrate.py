"""`snnprof hardware calibrate`: fits prices to the user's own power log."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnprof.cli import options, output, runs
from snnprof.errors import SnnprofError, unknown

if TYPE_CHECKING:
    from snnprof.activity import Activity
    from snnprof.calibration import Chip, PowerLog


def calibrate(
    log: Annotated[Path | None, typer.Argument(metavar="LOG.csv", help="A power log.", show_default=False)] = None,
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN.json...", help="The runs that the log names.", show_default=False),
    ] = None,
    rail: Annotated[
        list[str] | None,
        typer.Option("--rail", metavar="NAME", help="Add up these rails only; default: all. Repeatable."),
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(
            "--fit", metavar="PRICE,...",
            help="Which prices: static, sop, neuron_update, mac, spike_out. Default: the first three.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PROFILE.yaml", help="Write the prices as a profile.")
    ] = None,
    node: Annotated[
        float | None,
        typer.Option("--node", metavar="NM", min=0.1, help="The chip's technology node; --output needs it."),
    ] = None,
    vdd: Annotated[
        float | None, typer.Option("--vdd", metavar="VOLTS", min=0.01, help="Its supply voltage, where known.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="The profile's title.")] = None,
    template: Annotated[
        bool, options.flag("--template", help="Print an example of a power log and stop.", panel="Options")
    ] = False,
    form: options.Format = None,
    force: options.Force = False,
) -> None:  # fmt: skip
    """Fit static power and prices per operation to a power log of your own.

    LOG.csv has the columns time, rail, watts, stretch, run and inferences; --template prints an example.
    """
    from snnprof import calibration
    from snnprof.render import calibration as shown

    if template:
        output.write(calibration.TEMPLATE, None)
        return
    if log is None or not files:
        raise SnnprofError("calibrate needs a power log and the runs that it names", hint="see --template")
    terms = options.names(fit) or calibration.DEFAULT_TERMS
    _must_be_terms(terms)
    printed = output.Destination.checked(form)
    chip = _chip(out, node, vdd, title, terms, force)
    read = calibration.read_log(log, rail or ())
    activities = _named(read, files)
    work = {name: calibration.work_of(activity, str(path)) for name, (path, activity) in activities.items()}
    found = calibration.fitted(read.stretches, work, terms)
    macs = [(name, each.macs) for name, each in work.items() if each.macs and "mac" not in terms]
    printed.emit(shown.calibration(found, read, macs))
    if out and chip:
        digests = [(name, _digest(path)) for name, (path, _) in activities.items()]
        data = calibration.profile_data(found, read, digests, chip)
        output.write(calibration.profile_text(data), out, force)


def _must_be_terms(terms: Sequence[str]) -> None:
    from snnprof.calibration import TERMS

    for term in terms:
        if term not in TERMS:
            raise unknown("price", term, TERMS)
    if len(set(terms)) < len(terms):
        raise SnnprofError("--fit names a price twice")


def _chip(
    out: Path | None, node: float | None, vdd: float | None, title: str | None, terms: Sequence[str], force: bool
) -> Chip | None:
    """The facts about the chip for the profile, checked before the fit; None without --output."""
    if out is None:
        return None
    from snnprof.calibration import Chip
    from snnprof.hardware import lookup

    output.checked_output(out, force)
    if out.suffix not in (".yaml", ".yml") or not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", out.stem):
        raise SnnprofError(
            f"--output {out}: a profile is a .yaml file whose name is its id: small letters, digits, '.', '_' and '-'"
        )
    if out.stem in lookup.built_in():
        raise SnnprofError(f"--output {out}: a built-in profile already has the id {out.stem!r}")
    if node is None:
        raise SnnprofError("--output needs --node NM: a measured profile states the chip's technology node")
    if not {"sop", "mac"} & set(terms):
        raise SnnprofError("a profile needs a price per SOP or per MAC", hint="add it to --fit")
    return Chip(out.stem, title or f"Calibrated by a power log, {out.stem}", node, vdd)


def _named(log: PowerLog, files: Sequence[Path]) -> dict[str, tuple[Path, Activity]]:
    """The run file and the run of each name in the log; the name is that of the file, with or without .json.

    Raises:
        SnnprofError: no file or two files have a name in the log, or the log does not name a file.
    """
    from snnprof.activity import Activity

    wanted = list(dict.fromkeys(stretch.run for stretch in log.stretches if stretch.run))
    given = {runs.path_of(file): None for file in files}
    found: dict[str, tuple[Path, Activity]] = {}
    for name in wanted:
        fitting = [path for path in given if name in (path.name, path.stem)]
        if len(fitting) != 1:
            what = "two run files have this name" if fitting else "no such run file is given"
            raise SnnprofError(
                f"the log names run {name!r}, and {what}", hint="give the file of each run that the log names, once"
            )
        found[name] = (fitting[0], Activity.load(fitting[0]))
    idle = [str(path) for path in given if path not in [path for path, _ in found.values()]]
    if idle:
        raise SnnprofError(f"no stretch of the log names {', '.join(idle)}", hint="leave it out, or check the log")
    return found


def _digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()

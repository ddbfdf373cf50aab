"""`snnprof hardware`: lists, shows and checks price lists, fits prices to a power log, and validates estimates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnprof.cli import options, output
from snnprof.cli.calibrate import calibrate
from snnprof.errors import SnnprofError, printable

FIGURES = (".pdf", ".svg", ".png")
app = typer.Typer(
    help="List, show, check, fit and validate hardware profiles.", rich_markup_mode="rich", no_args_is_help=True
)
app.command("calibrate")(calibrate)


@app.command("list")
def list_profiles(
    form: options.Format = None,
    siunitx: options.Siunitx = False,
    raw_csv: options.RawCsv = False,
    out: options.Output = None,
    force: options.Force = False,
) -> None:
    """All hardware profiles, chips for --mapping, and chips without a published energy per operation."""
    from snnprof.hardware import profiles, stubs
    from snnprof.mapping import chips, load_chip
    from snnprof.render.catalogues import hardware_list

    destination = output.Destination.checked(form, out, force, siunitx, raw_csv=raw_csv)
    good, broken = profiles()
    output.warn(broken)
    destination.emit(hardware_list(good, stubs(), {id: load_chip(id) for id in chips()}))


@app.command("show")
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="Id of a profile or a chip, or a YAML file.")],
    form: options.Format = None,
    siunitx: options.Siunitx = False,
    raw_csv: options.RawCsv = False,
    out: options.Output = None,
    force: options.Force = False,
) -> None:
    """One profile: prices, what they cover, and who says so; or a chip: what its cores hold."""
    from snnprof.hardware import load_hardware, names, stubs
    from snnprof.mapping import chips, load_chip
    from snnprof.render.catalogues import chip_alone, hardware_profile

    destination = output.Destination.checked(form, out, force, siunitx, raw_csv=raw_csv)
    chip = load_chip(id) if id in chips() else None
    if chip and (id in stubs() or id not in names()):
        destination.emit(chip_alone(chip, stubs().get(id)))
        return
    destination.emit(hardware_profile(load_hardware(id), chip))


@app.command("check")
def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="A hardware profile in YAML.")]) -> None:
    """Check a profile file and print each problem with its line."""
    from snnprof.hardware import check as problems_of

    problems = problems_of(file)
    if problems:
        raise SnnprofError("\n       ".join(map(str, problems)), hint="docs/hardware.md describes each field")
    output.write(f"{printable(str(file))}: no problems\n", None)


@app.command("validate")
def validate(
    cases: Annotated[
        list[str] | None, typer.Argument(metavar="[CASE]...", help="Measured cases by id; default: all.")
    ] = None,
    hardware: options.Hardware = None,
    form: options.Format = None,
    siunitx: options.Siunitx = False,
    raw_csv: options.RawCsv = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", rich_help_panel=options.OUTPUT,
            help="Write to this file instead of stdout; .pdf, .svg and .png are the figure.",
        ),
    ] = None,
    force: options.Force = False,
) -> None:  # fmt: skip
    """Hold estimates against energies that others measured. With --hardware, those profiles against every case."""
    figure = out is not None and out.suffix.lower() in FIGURES
    if figure and (form or siunitx or raw_csv):
        raise SnnprofError(f"--output {out} is a figure, which has no --format", hint="name a .md, .csv or .json file")
    path = output.checked_output(out, force) if figure else None
    destination = None if figure else output.Destination.checked(form, out, force, siunitx, raw_csv=raw_csv)
    from snnprof import validation
    from snnprof.hardware import load_hardware

    chosen = [validation.find(id) for id in dict.fromkeys(cases)] if cases else [*validation.cases().values()]
    found = validation.checks(chosen, [load_hardware(id) for id in dict.fromkeys(hardware or ())])
    if destination:
        from snnprof.render.validation import validation as document

        destination.emit(document(chosen, found))
    elif path:
        from snnprof.charts.validation import marks_of
        from snnprof.render.figures import Look, encoded
        from snnprof.render.figures.validation import draw_validation

        output.write_file(encoded(draw_validation(marks_of(found), Look()), path.suffix.lower()), path, force)

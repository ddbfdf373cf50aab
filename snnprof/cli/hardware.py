"""`snnprof hardware`: the priced hardware profiles, one of them in full, and the check of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnprof.cli import options, output
from snnprof.errors import SnnprofError, printable

app = typer.Typer(help="List, show and check hardware profiles.", rich_markup_mode="rich", no_args_is_help=True)


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

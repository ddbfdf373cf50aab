"""`snnprof models`: lists the bundled models, and shows what is known and assumed about one."""

from __future__ import annotations

from typing import Annotated

import typer

from snnprof.cli import options, output

app = typer.Typer(help="List and show the models known by name.", rich_markup_mode="rich", no_args_is_help=True)


@app.command("list")
def list_models(
    form: options.Format = None,
    siunitx: options.Siunitx = False,
    raw_csv: options.RawCsv = False,
    out: options.Output = None,
    force: options.Force = False,
) -> None:
    """All models and their presets."""
    from snnprof import catalogue
    from snnprof.render.catalogues import model_list

    destination = output.Destination.checked(form, out, force, siunitx, raw_csv=raw_csv)
    good, broken = catalogue.entries()
    output.warn(broken)
    destination.emit(model_list(good))


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a model.", autocompletion=options.model_names)],
    form: options.Format = None,
    siunitx: options.Siunitx = False,
    raw_csv: options.RawCsv = False,
    out: options.Output = None,
    force: options.Force = False,
) -> None:
    """One model: presets, paper, what is known and what is assumed, published rows."""
    from snnprof import catalogue
    from snnprof.render.catalogues import model_entry

    destination = output.Destination.checked(form, out, force, siunitx, raw_csv=raw_csv)
    wanted, _ = catalogue.split(name)
    entry = catalogue.entry(wanted)
    destination.emit(model_entry(entry, catalogue.published_of(entry)))

"""`snnprof report`: prints a run again, priced on any hardware, in any format, without running the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnprof.cli import options, output, runs
from snnprof.cli.pricing import Pricing
from snnprof.cli.showing import Showing, form_of
from snnprof.errors import SnnprofError

if TYPE_CHECKING:
    from snnprof.pricing import EnergyReport

STEP = "step"
EXAMPLES = options.examples(
    ("snnprof report run.json --hardware cmos45-int8 --hardware mine.yaml", "other price lists"),
    ("snnprof report run.json --mapping loihi1", "its layers on the cores of a chip: messages, time, static power"),
    ("snnprof report run.json --by layer --sort sops --columns rate,sops,share", "all layers, the busiest first"),
    ("snnprof report run.json --by step --format csv", "a sheet: each layer at each time step"),
    ("snnprof report run.json -o report.html -o table.tex", "a page for co-authors, a table for the paper"),
)


def report(
    context: typer.Context,
    run: Annotated[
        Path, typer.Argument(metavar="RUN.json", help="A run that 'snnprof profile' made.", show_default=False)
    ],
    hardware: options.Hardware = None,
    prices: options.Prices = None,
    convention: options.Convention = "exact",
    exclude: options.Exclude = None,
    latency: options.Latency = None,
    mapping: options.Mapping = None,
    by: options.RowsBy = None,
    sort: options.Sort = None,
    top: options.Top = None,
    columns: options.Columns = None,
    notes: Annotated[
        bool, options.flag("--notes", help="Print all notes on the run and its prices.", panel=options.OUTPUT)
    ] = False,
    form: options.ReportFormat = None,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
    siunitx: options.Siunitx = False,
    caption: options.Caption = None,
    label: options.Label = None,
    raw_csv: options.RawCsv = False,
    out: options.Outputs = None,
    force: options.Force = False,
) -> None:
    """Print a run again: priced on other hardware, counted otherwise, or in another format.

    The model does not run, and PyTorch is not loaded.
    """
    from snnprof.activity import Activity

    if quiet and form not in (None, "summary"):
        raise SnnprofError(f"--quiet shortens the first screen, not {form}", hint="leave one of the two out")
    destinations = output.Destination.several(form_of(form, verbose, quiet), out or [], force, siunitx, raw_csv=raw_csv)
    destinations = output.as_floats(destinations, caption, label, bool(columns))
    if by == STEP and (sort or top or notes or quiet):
        raise SnnprofError("--by step prints one sheet in the order of the network", hint="choose --columns of it")
    showing = Showing.checked(
        destinations, None if by == STEP else by, sort, top, None if by == STEP else columns, quiet
    )
    pricing = Pricing(hardware, convention, latency, prices, exclude, mapping)
    reports = pricing.reports(Activity.load(runs.path_of(run)))
    if by == STEP:
        _show_steps(reports[0], destinations, columns, output.command_line(context))
        return
    if notes:
        showing.show_notes(reports, destinations)
        return
    for destination in destinations:
        showing.show(reports, destination, output.command_line(context), file=str(run))


def _show_steps(
    report: EnergyReport, destinations: Sequence[output.Destination], columns: str | None, command: str
) -> None:
    from snnprof.render.selection import with_columns
    from snnprof.render.steps import steps_document

    document = with_columns(steps_document(report, command), options.names(columns))
    for destination in destinations:
        replace(destination, form="table" if destination.form == "summary" else destination.form).emit(document)

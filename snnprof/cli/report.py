"""`snnprof report`: print a run again, on any hardware, in any format, without running the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnprof.cli import options, output, runs
from snnprof.cli.pricing import Pricing
from snnprof.cli.showing import Showing, form_of
from snnprof.errors import SnnprofError

EXAMPLES = options.examples(
    ("snnprof report run.json --hardware cmos45-int8 --hardware mine.yaml", "other price lists"),
    ("snnprof report run.json --mapping loihi1", "its layers on the cores of a chip: messages, time, static power"),
    ("snnprof report run.json --by layer --sort sops --columns rate,sops,share", "all layers, the busiest first"),
    ("snnprof report run.json -o report.html -o table.tex", "a page for co-authors, a table for the paper"),
)


def report(
    context: typer.Context,
    run: Annotated[
        Path, typer.Argument(metavar="RUN.json", help="A run that 'snnprof profile' made.", show_default=False)
    ],
    hardware: options.Hardware = None,
    convention: options.Convention = "exact",
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
    showing = Showing.checked(destinations, by, sort, top, columns, quiet)
    pricing = Pricing(hardware, convention, latency, mapping)
    reports = pricing.reports(Activity.load(runs.path_of(run)))
    if notes:
        showing.show_notes(reports, destinations)
        return
    for destination in destinations:
        showing.show(reports, destination, output.command_line(context), file=str(run))

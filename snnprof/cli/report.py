"""`snnprof report`: print a run again, on any hardware, in any format, without running the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnprof.cli import options, output
from snnprof.cli.pricing import Pricing


def report(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN.json", help="A file made by 'snnprof profile --output'.")],
    hardware: options.Hardware = None,
    convention: options.Convention = "exact",
    latency: options.Latency = None,
    by: options.By = "op",
    form: options.Format = None,
    siunitx: options.Siunitx = False,
    raw_csv: options.RawCsv = False,
    out: options.Output = None,
    force: options.Force = False,
) -> None:
    """Print a run as a table, JSON, CSV, Markdown, LaTeX or HTML."""
    from snnprof.activity import Activity
    from snnprof.render.tables import report_document

    destination = output.Destination.checked(form, out, force, siunitx, raw_csv=raw_csv)
    grouping = options.grouping(by)
    pricing = Pricing(hardware, convention, latency)
    reports = pricing.reports(Activity.load(run))
    command = output.command_line(context)
    figures = destination.form == "html"
    destination.emit(report_document(reports, by=grouping, command=command, figures=figures))

"""`snnprof cite`: what a paper must say about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snnprof.cli import options, output, runs
from snnprof.cli.pricing import Pricing


def cite(
    run: Annotated[Path, typer.Argument(metavar="RUN.json", help="A file made by 'snnprof profile --output'.")],
    hardware: options.Hardware = None,
    prices: options.Prices = None,
    convention: options.Convention = "exact",
    exclude: options.Exclude = None,
    out: options.Output = None,
    force: options.Force = False,
) -> None:
    """Print the methods paragraph, the table's footnote and the BibTeX of a run."""
    from snnprof.activity import Activity
    from snnprof.render import citation

    target = output.checked_output(out, force)
    pricing = Pricing(hardware, convention, prices=prices, exclude=exclude)
    output.write(citation.render(pricing.reports(Activity.load(runs.path_of(run)))), target)

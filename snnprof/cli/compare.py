"""`snnprof compare`: compares runs, published rows and models."""

from __future__ import annotations

from typing import Annotated, cast, get_args

import typer

from snnprof.cli import options, output, runs
from snnprof.cli.pricing import Pricing
from snnprof.cli.progress import announce
from snnprof.errors import SnnprofError

EXAMPLES = options.examples(
    ("snnprof compare a.json b.json --all-conventions", "does the claim hold whatever the convention and prices?"),
    ("snnprof compare a.json b.json --by block", "two runs, block by block"),
    ("snnprof compare saformer spikformer ssa_bin", "bundled models, run now on their own data"),
    (
        "snnprof compare old.json new.json --fail-over 5%",
        "a check in CI: exit status 1 if new.json needs over 5 % more",
    ),
    ("snnprof compare spikformer --against spikingjelly", "why another tool counts something else, layer by layer"),
)
COMPARISON = "Comparison"


def compare(
    context: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN.json|paper:ROW|MODEL...",
            help="Runs, published rows, and models to run now on their own data.",
            autocompletion=options.things,
        ),
    ],
    hardware: options.Hardware = None,
    prices: options.Prices = None,
    convention: options.Convention = "exact",
    exclude: options.Exclude = None,
    mapping: options.Mapping = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            help="Compare with this one; default: the first.",
            metavar="NAME",
            rich_help_panel=COMPARISON,
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            help="Show the difference in detail.",
            metavar="layer|block|role",
            rich_help_panel=COMPARISON,
        ),
    ] = None,
    all_conventions: Annotated[
        bool,
        options.flag(
            "--all-conventions", help="Does the claim hold under every convention and price list?", panel=COMPARISON
        ),
    ] = False,
    group: Annotated[
        bool, options.flag("--group", help="Join runs of one network: mean ± standard deviation.", panel=COMPARISON)
    ] = False,
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout-of",
            help="The table as papers print it.",
            metavar="main|ablation",
            rich_help_panel=COMPARISON,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="Run the models through another tool too, and explain every difference.",
            metavar="spikingjelly|neurobench",
            rich_help_panel=COMPARISON,
        ),
    ] = None,
    columns: options.TableColumns = None,
    form: options.Format = None,
    siunitx: options.Siunitx = False,
    caption: options.Caption = None,
    label: options.Label = None,
    raw_csv: options.RawCsv = False,
    out: options.Output = None,
    force: options.Force = False,
    margin: Annotated[
        float,
        typer.Option(
            "--margin",
            help="Accuracy that a saving may cost at most, in points.",
            metavar="POINTS",
            rich_help_panel=COMPARISON,
        ),
    ] = 1.0,
    fail_over: Annotated[
        str | None,
        typer.Option(
            "--fail-over",
            help="Exit with 1 if any needs over PCT % more SOPs, MACs or energy than the baseline.",
            metavar="PCT",
            rich_help_panel=COMPARISON,
        ),
    ] = None,
) -> None:
    """Compare accuracy, operations and energy, and say what may be concluded."""
    announce(", ".join(filter(runs.is_model, names)))
    from snnprof.comparison import check_regression, compared, grouped_by_network
    from snnprof.render.agreement import agreement_document
    from snnprof.render.comparison import PaperLayout, comparison_document, paper_document
    from snnprof.render.selection import with_columns

    checked = output.Destination.checked(form, out, force, siunitx, raw_csv=raw_csv)
    (destination,) = output.as_floats([checked], caption, label, bool(columns))
    if against:
        from snnprof.cli import against as other_tools

        destination.emit(with_columns(other_tools.document(context, names, against), options.names(columns)))
        return
    grouping = options.grouping(by) if by else None
    printed = cast(PaperLayout, output.chosen("layout", layout, get_args(PaperLayout))) if layout else None
    limit = _percent(fail_over)
    _check_margin(margin)
    if all_conventions and (by or layout):
        raise SnnprofError(f"--all-conventions has a table of its own: leave {'--by' if by else '--layout-of'} out")
    pricing = Pricing(hardware, convention, prices=prices, exclude=exclude, mapping=mapping)
    entries = pricing.entries(runs.loaded(names))
    comparison = compared(grouped_by_network(entries) if group else entries, baseline, margin)
    command = output.command_line(context)
    if all_conventions:
        published = tuple(side.name for side in comparison.sides if side.entry.published)
        agreement = comparison.under_all_conventions(() if pricing.by_default else pricing.hardware, pricing.convention)
        document = agreement_document(agreement, command, published)
    elif printed:
        document = paper_document(comparison, printed, command)
    else:
        document = comparison_document(comparison, grouping, command, figures=destination.form == "html")
    destination.emit(with_columns(document, options.names(columns)))
    if limit is not None:
        check_regression(comparison, limit)


def _percent(text: str | None) -> float | None:
    """Parses `5` or `5%` to a percentage from 0 on."""
    if text is None:
        return None
    value = options.percentage(text)
    if not 0 <= value < float("inf"):
        raise SnnprofError(f"--fail-over needs a percentage such as 5%, not {text!r}")
    return value


def _check_margin(points: float) -> None:
    if not 0 <= points <= 100:
        raise SnnprofError(f"--margin needs points of accuracy from 0 to 100, not {points:g}")

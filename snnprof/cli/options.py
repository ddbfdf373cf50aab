"""Options that several commands share, and the shell completion of names, which must not load heavy modules."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from snnprof.errors import unknown

if TYPE_CHECKING:
    from snnprof.grouping import By as Grouping

GROUPINGS = ("op", "layer", "block", "role")
MODEL, DATA, RUN, PRICING, OUTPUT = "Model", "Data", "Run", "Pricing", "Output"
"""The panels of the help, in their order."""


def _starting_with(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _hardware_names(incomplete: str) -> list[str]:
    from snnprof.hardware import names

    return _starting_with(names(), incomplete)


def _chip_names(incomplete: str) -> list[str]:
    from snnprof.mapping import chips

    return _starting_with(chips(), incomplete)


def _conventions(incomplete: str) -> list[str]:
    from snnprof.conventions import completions

    return completions(incomplete)


def _price_names(incomplete: str) -> list[str]:
    from snnprof.hardware import Energy

    done, comma, last = incomplete.rpartition(",")
    return [f"{done}{comma}{name}=" for name in _starting_with(Energy.model_fields, last)]


def model_names(incomplete: str) -> list[str]:
    """Completes names of bundled models."""
    from snnprof.catalogue import names

    return _starting_with(names(), incomplete)


PAPER = "paper:"


def paper_names(incomplete: str) -> list[str]:
    """Completes ids and aliases of published rows; they begin with `paper:` if the user's text does."""
    from snnprof.literature import rows

    prefix = PAPER if incomplete.startswith(PAPER) else ""
    names = [name for row in rows().values() for name in (row.id, *row.aliases)]
    return [prefix + name for name in _starting_with(names, incomplete.removeprefix(prefix))]


def rows_beside_files(incomplete: str) -> list[str]:
    """Completes published rows for `plot` and `audit`: first `paper:`, then the rows."""
    return paper_names(incomplete) if incomplete.startswith(PAPER) else _starting_with([PAPER], incomplete)


def things(incomplete: str) -> list[str]:
    """Completes published rows and models for `compare`."""
    models = [] if incomplete.startswith(PAPER) else model_names(incomplete)
    return [*models, *rows_beside_files(incomplete)]


def flag(*names: str, help: str, panel: str) -> Any:
    """An option without a value; the help shows no type for it."""
    return typer.Option(*names, help=help, metavar="", rich_help_panel=panel)


def examples(*lines: tuple[str, str]) -> str:
    """The examples at the end of a command's help: pairs of a command and its purpose."""
    shown = (f"[cyan]{command}[/cyan]  [dim]# {purpose}[/dim]" for command, purpose in lines)
    return "\n\n".join(["[bold]Examples[/bold]", *shown])


Hardware = Annotated[
    list[str] | None,
    typer.Option(
        "--hardware", help="Price list: an id or a YAML file. Repeatable.", metavar="ID|FILE",
        autocompletion=_hardware_names, rich_help_panel=PRICING,
    ),
]  # fmt: skip
OneHardware = Annotated[
    str | None,
    typer.Option("--hardware", help="Hardware profile.", metavar="ID|FILE", autocompletion=_hardware_names),
]
Mapping = Annotated[
    str | None,
    typer.Option(
        "--mapping", metavar="CHIP|FILE", autocompletion=_chip_names, rich_help_panel=PRICING,
        help="Lay the layers onto the cores of a chip: an id or a YAML file.",
    ),
]  # fmt: skip
Convention = Annotated[
    str,
    typer.Option(
        "--convention", help="How operations are counted.", metavar="ID[:OPTION=VALUE,...]",
        autocompletion=_conventions, rich_help_panel=PRICING,
    ),
]  # fmt: skip
Prices = Annotated[
    list[str] | None,
    typer.Option(
        "--price", help="Your own price list, as mac=4.6pJ,ac=0.9pJ. Repeatable.", metavar="NAME=ENERGY,...",
        autocompletion=_price_names, rich_help_panel=PRICING,
    ),
]  # fmt: skip
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude", help="Leave a layer, and all inside it, out of the counts. Repeatable.", metavar="LAYER",
        rich_help_panel=PRICING,
    ),
]  # fmt: skip
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Write to this file instead of stdout.", metavar="FILE", rich_help_panel=OUTPUT
    ),
]
Outputs = Annotated[
    list[Path] | None,
    typer.Option(
        "--output", "-o", metavar="FILE", rich_help_panel=OUTPUT,
        help="Write to this file instead of stdout; the suffix decides the format. Repeatable.",
    ),
]  # fmt: skip
Format = Annotated[
    str | None,
    typer.Option(
        "--format", "-f", help="table, json, csv, markdown, latex or html.", metavar="FORMAT", rich_help_panel=OUTPUT
    ),
]
ReportFormat = Annotated[
    str | None,
    typer.Option(
        "--format", "-f", help="summary (default), table, json, csv, markdown, latex or html.", metavar="FORMAT",
        rich_help_panel=OUTPUT,
    ),
]  # fmt: skip
Siunitx = Annotated[
    bool, flag("--siunitx", help="LaTeX: numbers in siunitx columns, aligned at their points.", panel=OUTPUT)
]
RawCsv = Annotated[
    bool, flag("--raw-csv", help="CSV: leave texts that a spreadsheet would run (=, +, -, @) as is.", panel=OUTPUT)
]
By = Annotated[str, typer.Option("--by", help="One row per op, layer, block or role.", metavar="|".join(GROUPINGS))]
RowsBy = Annotated[
    str | None,
    typer.Option(
        "--by", help="One row per op, layer, block or role; or per layer and time step.",
        metavar="|".join((*GROUPINGS, "step")), rich_help_panel=OUTPUT,
    ),
]  # fmt: skip
Sort = Annotated[
    str | None,
    typer.Option(
        "--sort", help="Largest first by this column, such as energy or sops.", metavar="COLUMN", rich_help_panel=OUTPUT
    ),
]
Top = Annotated[int | None, typer.Option("--top", help="Only the first N rows.", metavar="N", rich_help_panel=OUTPUT)]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns", help="Only these columns, such as sops,energy.", metavar="COLUMN,...", rich_help_panel=OUTPUT
    ),
]
TableColumns = Annotated[
    str | None,
    typer.Option(
        "--columns", help="Only these columns of the first table, by their names in CSV.", metavar="COLUMN,...",
        rich_help_panel=OUTPUT,
    ),
]  # fmt: skip
Caption = Annotated[
    str | None,
    typer.Option(
        "--caption", help="LaTeX: print the first table alone, as a float with this caption.", metavar="TEXT",
        rich_help_panel=OUTPUT,
    ),
]  # fmt: skip
Label = Annotated[
    str | None, typer.Option("--label", help="LaTeX: the float's label.", metavar="NAME", rich_help_panel=OUTPUT)
]
Verbose = Annotated[bool, flag("--verbose", "-v", help="All tables and notes (--format table).", panel=OUTPUT)]
Quiet = Annotated[bool, flag("--quiet", "-q", help="Only the result: accuracy, operations, energy.", panel=OUTPUT)]
Force = Annotated[bool, flag("--force", help="Overwrite the output files.", panel=OUTPUT)]
Latency = Annotated[
    float | None,
    typer.Option(
        "--latency", help="Seconds per inference, for static power.", metavar="SECONDS", rich_help_panel=PRICING
    ),
]


def names(text: str | None) -> tuple[str, ...]:
    """Splits `sops,energy` at the commas; None is empty."""
    return tuple(name.strip() for name in text.split(",")) if text else ()


def percentage(text: str) -> float:
    """Parses `5` or `5%` to 5.0; NaN, which is within no bounds, if the text is no number."""
    try:
        return float(text.strip().removesuffix("%"))
    except ValueError:
        return float("nan")


def grouping(name: str) -> Grouping:
    """Checks the value of --by.

    Raises:
        SnnprofError: there is no such grouping.
    """
    if name not in GROUPINGS:
        raise unknown("grouping", name, GROUPINGS)
    return cast("Grouping", name)

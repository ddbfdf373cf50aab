"""Options that several commands share, and the completion of names without loading anything heavy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from snnprof.errors import unknown

if TYPE_CHECKING:
    from snnprof.grouping import By as Grouping

GROUPINGS = ("op", "layer", "block", "role")


def _starting_with(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _hardware_names(incomplete: str) -> list[str]:
    from snnprof.hardware import names

    return _starting_with(names(), incomplete)


def _convention_names(incomplete: str) -> list[str]:
    from snnprof.conventions import names

    return _starting_with(names(), incomplete)


def model_names(incomplete: str) -> list[str]:
    from snnprof.catalogue import names

    return _starting_with(names(), incomplete)


Hardware = Annotated[
    list[str] | None,
    typer.Option(
        "--hardware", help="Hardware profile: an id or a YAML file; repeatable.", metavar="ID|FILE",
        autocompletion=_hardware_names,
    ),
]  # fmt: skip
OneHardware = Annotated[
    str | None,
    typer.Option("--hardware", help="Hardware profile.", metavar="ID|FILE", autocompletion=_hardware_names),
]
Convention = Annotated[
    str,
    typer.Option("--convention", help="How operations are counted.", metavar="ID", autocompletion=_convention_names),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write here instead of stdout; - is stdout.", metavar="FILE")
]
Format = Annotated[
    str | None, typer.Option("--format", "-f", help="table, json, csv, markdown, latex or html.", metavar="FORMAT")
]
Siunitx = Annotated[bool, typer.Option("--siunitx", help="latex: numbers in siunitx columns, aligned at their points.")]
RawCsv = Annotated[
    bool, typer.Option("--raw-csv", help="csv: leave texts that a spreadsheet would run (=, +, -, @) as they are.")
]
By = Annotated[str, typer.Option("--by", help="One row per op, layer, block or role.", metavar="|".join(GROUPINGS))]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the output file.")]
Latency = Annotated[
    float | None, typer.Option("--latency", help="Seconds per inference, for static power.", metavar="SECONDS")
]


def percentage(text: str) -> float:
    """`5` or `5%` as 5.0; not a number, and so within no bounds, where the text is none."""
    try:
        return float(text.strip().removesuffix("%"))
    except ValueError:
        return float("nan")


def grouping(name: str) -> Grouping:
    """What --by asks for.

    Raises:
        SnnprofError: there is no such grouping.
    """
    if name not in GROUPINGS:
        raise unknown("grouping", name, GROUPINGS)
    return cast("Grouping", name)

"""`snnprof papers`: the list of published rows, and one row with its arithmetic."""

from __future__ import annotations

from typing import Annotated

import typer

from snnprof.cli import options, output
from snnprof.errors import SnnprofError, unknown

app = typer.Typer(
    help="List and show published rows, and whether their energies follow.", rich_markup_mode="rich",
    no_args_is_help=True,
)  # fmt: skip
FILTERS = "Filters"


def _filter(name: str, metavar: str, help: str) -> typer.models.OptionInfo:
    chosen: typer.models.OptionInfo = typer.Option(name, metavar=metavar, help=help, rich_help_panel=FILTERS)
    return chosen


@app.command("list")
def list_papers(
    dataset: Annotated[str | None, _filter("--dataset", "TEXT", "Data sets whose name holds this.")] = None,
    model: Annotated[str | None, _filter("--model", "TEXT", "Models whose name holds this.")] = None,
    year: Annotated[int | None, _filter("--year", "YEAR", "Papers of this year.")] = None,
    source: Annotated[str | None, _filter("--source", "TEXT", "Papers whose citation holds this.")] = None,
    verdict: Annotated[
        str | None, _filter("--verdict", "follows|differs|unchecked", "Rows whose energy follows, does not, ...")
    ] = None,
    form: options.Format = None,
    siunitx: options.Siunitx = False,
    raw_csv: options.RawCsv = False,
    out: options.Output = None,
    force: options.Force = False,
) -> None:
    """All published rows, each recomputed by the formula that its source states."""
    from snnprof import catalogue, literature
    from snnprof.render.papers import paper_list

    destination = output.Destination.checked(form, out, force, siunitx, raw_csv=raw_csv)
    wanted = None if verdict is None else _verdict(verdict)
    rows = literature.chosen(catalogue.published().values(), dataset, model, year, source, wanted)
    asked = {"--dataset": dataset, "--model": model, "--year": year, "--source": source, "--verdict": verdict}
    given = {option: str(value) for option, value in asked.items() if value is not None}
    if not rows:
        shown = " ".join(f"{option} {value!r}" for option, value in given.items())
        raise SnnprofError(f"no published row matches {shown}", hint="see 'snnprof papers list'")
    destination.emit(paper_list(rows, given))


@app.command("show")
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="Id of a row, or how one begins.",
                                      autocompletion=options.paper_names)],
    form: options.Format = None,
    siunitx: options.Siunitx = False,
    raw_csv: options.RawCsv = False,
    out: options.Output = None,
    force: options.Force = False,
) -> None:  # fmt: skip
    """One published row: its figures, the arithmetic of its formula, its source."""
    from snnprof import catalogue
    from snnprof.render.papers import paper_row

    destination = output.Destination.checked(form, out, force, siunitx, raw_csv=raw_csv)
    destination.emit(paper_row(catalogue.published_row(id.removeprefix(options.PAPER))))


def _verdict(text: str) -> str:
    """The verdict that a word on the command line stands for."""
    from snnprof.literature import DIFFERS, FOLLOWS, UNCHECKED, VERDICTS

    words = {"follows": FOLLOWS, "differs": DIFFERS, "unchecked": UNCHECKED} | {each: each for each in VERDICTS}
    if text not in words:
        raise unknown("verdict", text, ["follows", "differs", "unchecked"])
    return words[text]

"""`snnprof audit`: which convention and which prices does a printed energy follow?"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnprof.cli import options, output, runs
from snnprof.errors import SnnprofError

if TYPE_CHECKING:
    from snnprof.audit import Audit
    from snnprof.audit.readings import Choice

EXAMPLES = options.examples(
    ("snnprof audit paper:spikformer-8-512-imagenet", "a published row"),
    ("snnprof audit paper:ssabin", "all rows of one paper"),
    ("snnprof audit --template > table.yaml", "a table to fill in; --format csv for a spreadsheet"),
    ("snnprof audit table.yaml", "the same table, audited"),
    ("snnprof audit run.json --printed 4.50mJ", "your own run against what somebody printed"),
)
AUDIT = "Audit"


def audit(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TABLE.csv|TABLE.yaml|paper:ID|RUN.json...", help="Printed figures, or a run (with --printed).",
            autocompletion=options.rows_beside_files,
        ),
    ] = None,
    printed: Annotated[
        str | None,
        typer.Option(
            "--printed", metavar="ENERGY", rich_help_panel=AUDIT,
            help="RUN.json: the energy of one inference as it is printed, such as 4.50mJ.",
        ),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(
            "--price", metavar="NAME=ENERGY,...", rich_help_panel=AUDIT,
            help="Further prices to try, such as mac=3.2pJ,ac=0.1pJ. Repeatable.",
        ),
    ] = None,
    template: Annotated[
        bool, options.flag("--template", help="Print a table to fill in (YAML; --format csv for CSV).", panel=AUDIT)
    ] = False,
    form: options.Format = None,
    siunitx: options.Siunitx = False,
    raw_csv: options.RawCsv = False,
    out: options.Output = None,
    force: options.Force = False,
) -> None:  # fmt: skip
    """Try every known convention and price list on printed counts, and say which give the printed energy."""
    if template:
        _template(form, out, force)
        return
    from snnprof.audit import shared
    from snnprof.render.audit import audit_document

    destination = output.Destination.checked(form, out, force, siunitx, raw_csv=raw_csv)
    if not names:
        raise SnnprofError("there is nothing to audit", hint="name a TABLE.csv, a TABLE.yaml, paper:ID or a RUN.json")
    audits = _audits(names, printed, _prices(price or []))
    destination.emit(audit_document(audits, shared(audits), output.command_line(context)))


def _template(form: str | None, out: Path | None, force: bool) -> None:
    """Write a table to fill in."""
    target = output.checked_output(out, force)
    suffix = out.suffix.lower() if out else ""
    kind = form or ("csv" if suffix == ".csv" else "yaml")
    if kind not in ("csv", "yaml"):
        raise SnnprofError(f"a template is YAML or CSV, not {kind}", hint="--format yaml or --format csv")
    text = (files("snnprof.audit") / f"template.{kind}").read_text(encoding="utf-8")
    output.write(text, target, force)


def _audits(names: Sequence[str], printed: str | None, prices: dict[str, tuple[Choice, ...]]) -> list[Audit]:
    """Audit each table, published row and run that the user names."""
    found: list[Audit] = []
    for name in names:
        if name.startswith(options.PAPER):
            found += _published(name.removeprefix(options.PAPER), prices)
        elif Path(name).suffix.lower() == ".json":
            found.append(_run(name, printed, prices))
        else:
            found += _table(Path(name), prices)
    if printed and not any(Path(name).suffix.lower() == ".json" for name in names):
        raise SnnprofError("--printed is for a RUN.json; tables and published rows have their own energies")
    return found


def _published(id: str, prices: dict[str, tuple[Choice, ...]]) -> list[Audit]:
    """Audit a published row by its id, or all rows of a paper by the paper's short name."""
    from snnprof import catalogue
    from snnprof.audit import audit as audited
    from snnprof.audit.published import from_published, siblings

    every = catalogue.published()
    of_paper = [row for row in every.values() if row.paper == id.rstrip("/")]
    rows = of_paper or [catalogue.published_row(id)]
    if len(rows) == 1:
        return [audited(from_published(rows[0]).with_prices(prices), siblings(rows[0]))]
    good = [row for row in rows if row.energy is not None and row.sheet.terms]
    if not good:
        raise SnnprofError(f"no row of {id} prints operations beside an energy", hint="see 'snnprof papers list'")
    if len(good) < len(rows):
        others = ", ".join(row.id.partition("/")[2] for row in rows if row not in good)
        output.say(f"left out, with no operations beside an energy: {others}")
    return [audited(from_published(row).with_prices(prices), siblings(row)) for row in good]


def _table(path: Path, prices: dict[str, tuple[Choice, ...]]) -> list[Audit]:
    """Audit all rows of a table; the figures of one row may explain another."""
    from snnprof.audit import audit as audited
    from snnprof.audit.tables import SUFFIXES, read_table

    if path.suffix.lower() not in SUFFIXES:
        raise SnnprofError(
            f"cannot audit {str(path)!r}", hint=f"name a table ({', '.join(SUFFIXES)}), paper:ID or a RUN.json"
        )
    table = read_table(path)
    output.warn(table.left_out)
    if table.unused:
        output.say(f"not used for the audit: {', '.join(table.unused)}")
    return [audited(figures.with_prices(prices), table.figures) for figures in table.figures]


def _run(name: str, printed: str | None, prices: dict[str, tuple[Choice, ...]]) -> Audit:
    """Audit a printed energy with the counts of a run."""
    from snnprof.activity import Activity
    from snnprof.audit import audit as audited
    from snnprof.audit.printed import ENERGIES, quantity
    from snnprof.audit.runs import from_run

    if printed is None:
        raise SnnprofError(
            f"an audit of {name} needs the energy that somebody printed", hint="add it as --printed 4.50mJ"
        )
    try:
        energy = quantity(printed, ENERGIES, None)
    except ValueError as error:
        raise SnnprofError(f"--printed: {error}") from error
    if not energy.value:
        raise SnnprofError("--printed must be more than 0")
    figures = from_run(Activity.load(runs.path_of(Path(name))), name, energy)
    return audited(figures.with_prices(prices))


def _prices(texts: Sequence[str]) -> dict[str, tuple[Choice, ...]]:
    """Make choices of the prices of MACs and ACs in --price. The price of an SOP counts as that of an AC.

    Raises:
        SnnprofError: a text is no list of prices, or prices something else.
    """
    from snnprof.audit.readings import Choice
    from snnprof.hardware import prices_in

    found: dict[str, tuple[Choice, ...]] = {}
    for text in texts:
        energy = prices_in(text).energy
        stated = {name: price for name, price in energy if price is not None}
        if others := sorted(stated.keys() - {"mac", "ac", "sop"}):
            raise SnnprofError(f"--price {others[0]}: an audit tries prices of mac, ac and sop")
        for name, price in stated.items():
            axis = "mac" if name == "mac" else "ac"
            choice = Choice(f"{price.value:g}", f"{price.value:g} pJ per {name.upper()} (--price)", factor=price.value)
            found[axis] = (*found.get(axis, ()), choice)
    return found

"""`snnprof cite`: the text that a paper needs about a run, and the card that answers a reviewer's questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnprof import run_file
from snnprof.cli import options, output, runs
from snnprof.cli.pricing import Pricing
from snnprof.errors import SnnprofError

if TYPE_CHECKING:
    from snnprof.pricing import EnergyReport


def cite(
    run: Annotated[Path, typer.Argument(metavar="RUN.json", help="A file made by 'snnprof profile --output'.")],
    hardware: options.Hardware = None,
    prices: options.Prices = None,
    convention: options.Convention = "exact",
    exclude: options.Exclude = None,
    card: Annotated[
        bool,
        options.flag(
            "--card",
            help="Print a reviewer's card instead: all that decides the figures, on a page.",
            panel=options.OUTPUT,
        ),
    ] = False,
    out: options.Output = None,
    force: options.Force = False,
) -> None:
    """Print the methods paragraph, the table's footnote and the BibTeX of a run; or its reviewer's card."""
    from snnprof.activity import Activity
    from snnprof.render import citation

    target = output.checked_output(out, force)
    form = _form_of_card(target) if card else ""
    pricing = Pricing(hardware, convention, prices=prices, exclude=exclude)
    path = runs.path_of(run)
    reports = pricing.reports(Activity.load(path))
    if not card:
        output.write(citation.render(reports), target)
        return
    lists = hardware or ([] if prices else [profile.id for profile in pricing.hardware])
    text = _card(reports, run, path, _flags(convention, lists, prices or (), exclude or ()), form)
    output.write(text if target else output.Screen.found().plain(text), target)


def _form_of_card(target: Path | None) -> str:
    form = "table" if target is None else output.SUFFIXES.get(target.suffix.lower())
    if form not in ("table", "markdown", "latex"):
        raise SnnprofError(f"--card writes .md, .tex or .txt, not {target}")
    return form


def _flags(convention: str, lists: Sequence[str], prices: Sequence[str], exclude: Sequence[str]) -> tuple[str, ...]:
    """The flags that price a run file in the same way; the default price lists are named."""
    flags = {"--convention": [convention], "--hardware": lists, "--price": prices, "--exclude": exclude}
    return tuple(part for flag, values in flags.items() for value in values for part in (flag, value))


def _card(reports: Sequence[EnergyReport], run: Path, path: Path, pricing: tuple[str, ...], form: str) -> str:
    from snnprof.render import card

    text = run_file.read(path)
    file = card.File(str(run), run_file.checksum_in(text), run_file.is_changed(text), pricing)
    return card.FORMATS[form](card.card(reports, file))

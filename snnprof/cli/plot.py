"""`snnprof plot`: draws runs as a figure that can go into a paper unchanged."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnprof.charts import KINDS, ONE_LIST
from snnprof.cli import options, output, runs
from snnprof.cli.pricing import Pricing
from snnprof.errors import SnnprofError

if TYPE_CHECKING:
    from snnprof.comparison import Entry
    from snnprof.render.figures import Look
    from snnprof.render.plots import Drawing

EXAMPLES = options.examples(
    ("snnprof plot run.json --kind rates -o rates.pdf", "firing rates by role and block"),
    ("snnprof plot a.json b.json", "accuracy against energy"),
    ("snnprof plot a.json b.json --kind conventions", "does one need less whatever the convention and prices?"),
    ("snnprof plot t1.json t2.json t4.json --over timesteps", "a sweep"),
)
OF_A_RUN = ("rates", "timesteps", "attention")
"""Kinds that do not depend on prices."""
FIGURE, LOOK = "Figure", "Look"
SUFFIXES = (".pdf", ".svg", ".png")
_MISSING = re.compile(r"Glyph (\d+) ")


def plot(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN.json|paper:ROW...", help="Runs, and published rows.", autocompletion=options.rows_beside_files
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            metavar="|".join(KINDS),
            help="What to draw; default: the energy of one run, the sweep or the trade-off of several.",
            rich_help_panel=FIGURE,
        ),
    ] = None,
    hardware: options.Hardware = None,
    prices: options.Prices = None,
    convention: options.Convention = "exact",
    exclude: options.Exclude = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="|".join(options.GROUPINGS),
            help="energy, rates: what a bar stands for; default: a role.",
            rich_help_panel=FIGURE,
        ),
    ] = None,
    over: Annotated[
        str | None,
        typer.Option(
            "--over",
            metavar="SETTING",
            help="sweep: the setting, where runs differ in several.",
            rich_help_panel=FIGURE,
        ),
    ] = None,
    maps: Annotated[
        bool,
        options.flag("--maps", help="attention: the maps over input images that profile --maps kept.", panel=FIGURE),
    ] = False,
    sample: Annotated[
        list[int] | None,
        typer.Option(
            "--sample",
            metavar="N",
            help="--maps: show this sample, from 0; repeatable.",
            rich_help_panel=FIGURE,
        ),
    ] = None,
    width: Annotated[
        float | None,
        typer.Option(
            "--width",
            metavar="INCHES",
            help="3.5 is one column of a paper, 7.16 is two.",
            rich_help_panel=LOOK,
        ),
    ] = None,
    title: Annotated[
        str,
        typer.Option(
            "--title",
            metavar="TEXT",
            help="A title over the figure.",
            rich_help_panel=LOOK,
        ),
    ] = "",
    font: Annotated[
        str,
        typer.Option(
            "--font",
            metavar="FAMILY",
            help="An installed font.",
            rich_help_panel=LOOK,
        ),
    ] = "DejaVu Sans",
    font_size: Annotated[
        float,
        typer.Option(
            "--font-size",
            metavar="POINTS",
            help="Of titles and axes.",
            rich_help_panel=LOOK,
        ),
    ] = 8.0,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="NAME=TEXT",
            help="Another name for a run, role or layer; repeatable.",
            rich_help_panel=LOOK,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The figure; default: RUN-KIND.pdf.",
            metavar="FIGURE.pdf|svg|png",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    force: options.Force = False,
) -> None:
    """Draw energies, firing rates, attention values, the trade-off of several runs, or a sweep."""
    implied = "attention" if maps else "sweep" if over else None
    kind = output.chosen("kind of figure", kind, KINDS) if kind else implied
    target = _target(out or Path(f"{runs.stem(names)}-{kind}.pdf"), force) if out or kind else None
    grouping = options.grouping(by) if by else None
    pricing = Pricing(hardware, convention, prices=prices, exclude=exclude)
    if exclude and kind in OF_A_RUN:
        raise SnnprofError(f"--exclude leaves layers out of energies; --kind {kind} shows none")
    if sample and not maps:
        raise SnnprofError("--sample chooses among the maps of --maps", hint="add --kind attention --maps")
    from snnprof.render import plots
    from snnprof.render.figures import Look, encoded

    look = Look(width=width, title=title, font=font, size=font_size, labels=_labels(label or []))
    entries: list[Entry] = []
    if not maps:
        entries, look = _named(names, _entries(kind, names, pricing), look)
    lists = () if pricing.by_default else pricing.hardware
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        drawing = _maps(kind, names, sample, look) if maps else plots.drawn(kind, entries, look, grouping, over, lists)
        target = target or _target(Path(f"{runs.stem(names)}-{drawing.kind}.pdf"), force)
        content = encoded(drawing.figure, target.suffix.lower())
    look.must_have_used_all_labels()
    _tell([str(each.message) for each in heard])
    output.write_file(content, target)
    output.warn(drawing.left_out)
    for entry in entries:
        for name, macs in entry.reports[0].excluded if entry.reports else ():
            output.say(f"excluded from {entry.name}: {name}, {macs:,} dense MACs over the run")


def _target(path: Path, force: bool) -> Path:
    if path.suffix.lower() not in SUFFIXES:
        raise SnnprofError(f"cannot draw into {path}", hint=f"--output must end in {', '.join(SUFFIXES)}")
    output.checked_output(path, force)
    return path


def _labels(pairs: list[str]) -> dict[str, str]:
    """Parses NAME=TEXT pairs, split at the last =, since a name may contain one."""
    labels = {}
    for pair in pairs:
        name, equals, text = pair.rpartition("=")
        if not equals or not name or not text:
            raise SnnprofError(f"--label must be NAME=TEXT, not {pair!r}", hint="--label 'SSA_Bin digits=Ours'")
        labels[name] = text
    return labels


def _named(names: list[str], entries: list[Entry], look: Look) -> tuple[list[Entry], Look]:
    """Renames entries that --label names by their file or `paper:ROW`; other labels are for texts in the figure."""
    labels = {text if name in names else name: text for name, text in look.labels.items()}
    named = [replace(entry, name=look.labels.get(name, entry.name)) for name, entry in zip(names, entries, strict=True)]
    return named, replace(look, labels=labels)


def _entries(kind: str | None, names: list[str], pricing: Pricing) -> list[Entry]:
    """The named runs and rows, priced on the given price lists; by default on one list for the kinds in `ONE_LIST`."""
    from snnprof.render import plots

    things = runs.loaded(names)
    entries = pricing.entries(things)
    if pricing.by_default and (kind or plots.suitable(entries)) in ONE_LIST:
        return pricing.on_the_first_list().entries(things)
    return entries


def _maps(kind: str | None, names: list[str], samples: list[int] | None, look: Look) -> Drawing:
    if kind != "attention" or len(names) != 1:
        raise SnnprofError("--maps draws the attention of one run", hint="plot RUN.json --kind attention --maps")
    from snnprof.maps import AttentionMaps, beside
    from snnprof.render import plots

    path = beside(Path(names[0]))
    if not path.is_file():
        raise SnnprofError(f"there is no file {path}", hint="make it with 'snnprof profile --maps K --output RUN.json'")
    return plots.Drawing("attention", plots.attention_maps(AttentionMaps.load(path), samples, look))


def _tell(warnings: list[str]) -> None:
    """Prints what matplotlib's warnings mean for the user: signs that the font lacks are drawn as boxes.

    Raises:
        SnnprofError: the figure has no room for its labels.
    """
    if any(each.startswith("constrained_layout not applied") for each in warnings):
        raise SnnprofError(
            "the figure is too small for its labels", hint="choose a larger --width, or shorter names with --label"
        )
    signs = dict.fromkeys(chr(int(found[1])) for each in warnings if (found := _MISSING.match(each)))
    if signs:
        output.say(f"warning: the font has no sign for {' '.join(signs)}, drawn as boxes")
        output.say("hint: choose a font that has them with --font, or other names with --label")

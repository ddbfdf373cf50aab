"""`snnprof plot`: runs as a figure that goes into a paper as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnprof.cli import options, output, runs
from snnprof.cli.pricing import Pricing
from snnprof.errors import SnnprofError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from snnprof.grouping import By

KINDS = ("energy", "rates", "timesteps", "attention", "tradeoff")
SUFFIXES = (".pdf", ".svg", ".png")


def plot(
    names: Annotated[list[str], typer.Argument(metavar="RUN.json|paper:ROW...", help="Runs, and published rows.")],
    kind: Annotated[str, typer.Option("--kind", help="What to draw.", metavar="|".join(KINDS))],
    hardware: options.Hardware = None,
    convention: options.Convention = "exact",
    by: options.By = "block",
    maps: Annotated[
        bool, typer.Option("--maps", help="attention: the maps over input images that profile --maps kept.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The figure; default: RUN-KIND.pdf.", metavar="FIGURE.pdf|svg|png"),
    ] = None,
    force: options.Force = False,
) -> None:
    """Draw energies, firing rates, attention values, or the trade-off of several runs."""
    kind = output.chosen("kind of figure", kind, KINDS)
    target = _target(out or Path(f"{runs.stem(names)}-{kind}.pdf"), force)
    figure = _maps(kind, names) if maps else _figure(kind, names, Pricing(hardware, convention), options.grouping(by))
    from snnprof.render.figures import encoded

    output.write_file(encoded(figure, target.suffix.lower()), target)


def _target(path: Path, force: bool) -> Path:
    if path.suffix.lower() not in SUFFIXES:
        raise SnnprofError(f"cannot draw into {path}", hint=f"--output must end in {', '.join(SUFFIXES)}")
    output.checked_output(path, force)
    return path


def _maps(kind: str, names: list[str]) -> Figure:
    if kind != "attention" or len(names) != 1:
        raise SnnprofError("--maps draws the attention of one run", hint="plot RUN.json --kind attention --maps")
    from snnprof.maps import AttentionMaps, beside
    from snnprof.render import plots

    path = beside(Path(names[0]))
    if not path.is_file():
        raise SnnprofError(f"there is no file {path}", hint="make it with 'snnprof profile --maps K --output RUN.json'")
    return plots.attention_maps(AttentionMaps.load(path))


def _figure(kind: str, names: list[str], pricing: Pricing, by: By) -> Figure:
    things = runs.loaded(names)
    from snnprof.activity import Activity
    from snnprof.render import plots

    if kind == "tradeoff":
        return plots.tradeoff(pricing.entries(things))
    if len(things) > 1:
        raise SnnprofError(f"--kind {kind} draws one run, not {len(things)}", hint="only tradeoff draws several")
    activity = things[0][1]
    if not isinstance(activity, Activity):
        raise SnnprofError(f"--kind {kind} needs a run; a published row has no layers", hint="try --kind tradeoff")
    if kind == "energy":
        return plots.energy(pricing.reports(activity), by)
    draw = {"rates": plots.rates, "timesteps": plots.timesteps, "attention": plots.attention}[kind]
    return draw(activity)

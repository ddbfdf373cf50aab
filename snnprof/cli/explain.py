"""`snnprof explain`: explains findings, columns and terms, and derives the figures of a layer step by step."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snnprof.cli import options, output, runs
from snnprof.cli.pricing import DEFAULT_HARDWARE, Pricing
from snnprof.errors import SnnprofError

if TYPE_CHECKING:
    from snnprof.explanations import Explanation, Term

EXAMPLES = options.examples(
    ("snnprof explain W02", "a finding of a report"),
    ("snnprof explain exact_sops pareto", "columns and terms"),
    ("snnprof explain run.json block.0.mlp.fc1_conv", "how a layer's figures come about, with the run's numbers"),
)
WIDEST = 100


def _known_names(incomplete: str) -> list[str]:
    from snnprof.explanations import every, terms

    return [name for name in (*every(), *terms()) if name.lower().startswith(incomplete.lower())]


def explain(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CODE|TERM|RUN.json LAYER...", show_default=False, autocompletion=_known_names,
            help="Codes of findings, columns or terms; or a run file and layers of it.",
        ),
    ] = None,
    hardware: options.OneHardware = None,
    convention: options.Convention = "exact",
    form: options.Format = None,
) -> None:  # fmt: skip
    """Explain a finding, a column or a term; or where the figures of a layer come from, step by step.

    Without a name, lists all of them; with a run file alone, its layers.
    """
    first, *rest = names or [""]
    if _is_run_file(first):
        _explain_layers(Path(first), rest, hardware, convention, form, output.command_line(context))
        return
    if hardware or form or convention != "exact":
        raise SnnprofError(
            "--hardware, --convention and --format are for layers of a run", hint="snnprof explain RUN.json LAYER"
        )
    from snnprof.explanations import every, find, terms

    width = min(shutil.get_terminal_size().columns, WIDEST)
    known: list[Explanation | Term] = [*every().values(), *terms().values()]
    lines = _sections(map(find, names), width) if names else (f"{each.name}  {each.title}" for each in known)
    output.write("".join(f"{line}\n" for line in lines), None)


def _is_run_file(name: str) -> bool:
    """Whether a name is that of a run file: one that ends in `.json`, or a file that is named like no code or term."""
    from snnprof.explanations import every, term

    explained = name.upper() in every() or term(name) is not None
    return name.lower().endswith(".json") or (Path(name).is_file() and not explained)


def _sections(explanations: Iterable[Explanation | Term], width: int) -> Iterator[str]:
    wrapper = textwrap.TextWrapper(
        width, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    for number, explanation in enumerate(explanations):
        yield from [""] if number else []
        yield f"{explanation.name}: {explanation.title}"
        for heading, text in explanation.parts:
            yield from ("", heading, *wrapper.wrap(text))


def _explain_layers(
    path: Path, layers: Sequence[str], hardware: str | None, convention: str, form: str | None, command: str
) -> None:
    """Prints the steps behind the figures of layers; without a layer, the names of all layers."""
    from snnprof import derivation
    from snnprof.activity import Activity
    from snnprof.render.derivation import derivation_document

    destination = output.Destination.checked(form)
    pricing = Pricing([hardware or DEFAULT_HARDWARE[0]], convention)
    (report,) = pricing.reports(Activity.load(runs.path_of(path)))
    if not layers:
        output.write("".join(f"{layer}\n" for layer in derivation.layers(report)), None)
        return
    found = [each for layer in layers for each in derivation.derivations(report, layer)]
    destination.emit(derivation_document(report, found, command))

"""`snnprof explain`: what a finding means, why it matters and what to do."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from snnprof.cli import output

if TYPE_CHECKING:
    from snnprof.explanations import Explanation

WIDEST = 100


def _known_codes(incomplete: str) -> list[str]:
    from snnprof.explanations import every

    return [code for code in every() if code.startswith(incomplete.upper())]


def explain(
    codes: Annotated[
        list[str] | None,
        typer.Argument(metavar="CODE", help="Code of a finding, e.g. C06; repeatable.", autocompletion=_known_codes),
    ] = None,
) -> None:
    """Explain a finding: what it means, why it matters, what to do. Without a code, list all findings."""
    from snnprof.explanations import every, find

    width = min(shutil.get_terminal_size().columns, WIDEST)
    lines = _sections(map(find, codes), width) if codes else (f"{code}  {each.title}" for code, each in every().items())
    output.write("".join(f"{line}\n" for line in lines), None)


def _sections(explanations: Iterable[Explanation], width: int) -> Iterator[str]:
    wrapper = textwrap.TextWrapper(
        width, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    for number, explanation in enumerate(explanations):
        yield from [""] if number else []
        yield f"{explanation.code}: {explanation.title}"
        for heading, text in explanation.parts:
            yield from ("", heading, *wrapper.wrap(text))

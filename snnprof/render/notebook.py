"""Renders documents as HTML for the output of a notebook's cell: the main figures and the first tables.

There is no style sheet and no script, so that notebooks stay small and viewers do not filter the output. Notebooks
typeset `$…$` as a formula in any text; two class names in the template prevent that for names of layers.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from snnprof.render.cleaning import cleaned
from snnprof.render.notes import FIRST
from snnprof.render.table import Document, Table

if TYPE_CHECKING:
    from jinja2 import Template

_SUMMED_UP = ("accuracy", "operations", "energy")


def render(document: Document, tables: int = 1) -> str:
    """The main figures and first tables of a document, and the notes to read first."""
    document = cleaned(document)
    first = [text for notes in document.notes if notes.topic == FIRST for text in notes.texts]
    return _template().render(
        title=document.title,
        facts=[(label, text) for label, text in document.facts if label.startswith(_SUMMED_UP)],
        tables=map(_context, document.tables[:tables]),
        first=first,
        others=sum(len(notes.texts) for notes in document.notes) - len(first),
    )


def _context(table: Table) -> dict[str, object]:
    sides = ["right" if column.numeric else "left" for column in table.printed]
    return {
        "title": table.title,
        "headers": list(zip(sides, table.headers(), strict=True)),
        "rows": [
            (row.total, list(zip(sides, texts, strict=True)))
            for row, texts in zip(table.rows, table.texts(), strict=True)
        ],
        "notes": table.notes,
    }


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("snnprof.render", "."), undefined=StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("notebook.j2")

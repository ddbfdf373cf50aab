"""Documents as a piece of HTML for the output of a notebook's cell: the figures that sum it up and its first tables.

No style sheet and no script, so that a notebook full of them stays small and passes every viewer's filter. Notebooks
typeset `$…$` as a formula wherever it stands; two class names keep them from doing so with the names of layers.
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
    """The document's first tables, and what must be read before their figures are used."""
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

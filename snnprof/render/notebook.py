"""Documents as a piece of HTML for the output of a notebook's cell: its first table and the figures that sum it up.

No style sheet and no script, so that a notebook full of them stays small and passes every viewer's filter. Notebooks
typeset `$…$` as a formula wherever it stands; two class names keep them from doing so with the names of layers.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from snnprof.render.cleaning import cleaned
from snnprof.render.table import Document

if TYPE_CHECKING:
    from jinja2 import Template

_SUMMED_UP = ("accuracy", "operations", "energy")


def render(document: Document) -> str:
    document = cleaned(document)
    table = document.tables[0]
    return _template().render(
        title=document.title,
        facts=[(label, text) for label, text in document.facts if label.startswith(_SUMMED_UP)],
        table=table,
        headers=[(column.numeric, header) for column, header in zip(table.printed, table.headers(), strict=True)],
        rows=[(row.total, texts) for row, texts in zip(table.rows, table.texts(), strict=True)],
        notes=sum(len(notes.texts) for notes in document.notes),
    )  # fmt: skip


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("snnprof.render", "."), undefined=StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("notebook.j2")

"""Documents as one HTML file: offline, readable without JavaScript, light and dark, sortable where scripts run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from snnprof.render.cleaning import cleaned
from snnprof.render.table import Column, Document, Row, Table, Value, sections

if TYPE_CHECKING:
    from markupsafe import Markup

_LONG = 28  # characters beyond which a text may be broken into lines


def render(document: Document) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    document = cleaned(document)
    environment = Environment(
        loader=PackageLoader("snnprof.render", "."), undefined=StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template("html.j2").render(
        document=document,
        tables=[_context(table) for table in document.tables],
        figures=[(title, Markup(svg)) for title, svg in document.figures],
    )


def _context(table: Table) -> dict[str, object]:
    columns = table.printed
    body: list[dict[str, object]] = []
    foot: list[dict[str, object]] = []
    for (position, ruled), texts in zip(sections(table.rows), table.texts(), strict=True):
        row = table.rows[position]
        cells = [
            {
                "text": text if c.numeric else _breakable(text),
                "look": _look(c, row, text),
                "sort": _sort_key(row, c.key),
            }
            for text, c in zip(texts, columns, strict=True)
        ]
        (foot if row.total else body).append({"cells": cells, "ruled": ruled})
    return {
        "groups": table.groups(),
        "title": table.title, "notes": table.notes, "body": body, "foot": foot,
        "headers": [(table.heading(column), column.numeric) for column in columns],
    }  # fmt: skip


def _look(column: Column, row: Row, text: str) -> str:
    """CSS classes of a cell."""
    shape = "number" if column.numeric else "long" if len(text) > _LONG else "name"
    return f"{shape} best" if column.key in row.best else shape


def _breakable(text: str) -> Markup:
    """A layer's path may be broken after a dot or an underscore."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([._])(?=\w{3})", r"\1<wbr>", str(escape(text))))


def _sort_key(row: Row, key: str) -> str:
    value: Value = row.values.get(key)
    return "" if value is None else str(value)

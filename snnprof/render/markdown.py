"""Renders documents as GitHub Markdown, for example for a comment on a pull request."""

from __future__ import annotations

import re

from snnprof.render.cleaning import cleaned
from snnprof.render.table import Document, Table

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#$&])")


def render(document: Document) -> str:
    """The document as Markdown."""
    document = cleaned(document)
    parts = [f"### {escaped(document.title)}", *(_table(table) for table in document.tables)]
    if document.facts:
        parts.append("\n".join(f"- **{escaped(label)}**: {escaped(text)}" for label, text in document.facts))
    for notes in document.notes:
        lines = [f"**{escaped(notes.topic)}**", "", *(f"- {escaped(text)}" for text in notes.texts)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    columns = table.printed
    lines = [f"**{escaped(table.title)}**", ""] if table.title else []
    lines.append(_line([escaped(header) for header in table.headers()]))
    lines.append(_line(["---:" if column.numeric else "---" for column in columns]))
    for row, texts in zip(table.rows, table.texts(), strict=True):
        cells = [escaped(text) for text in texts]
        marked = [
            column.key in row.best or (row.total and bool(cell)) for column, cell in zip(columns, cells, strict=True)
        ]
        lines.append(_line([f"**{cell}**" if bold else cell for cell, bold in zip(cells, marked, strict=True)]))
    if table.notes:
        lines += ["", *(f"<sub>{escaped(note)}</sub><br>" for note in table.notes)]
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def escaped(text: str) -> str:
    """Escapes a text for Markdown and HTML, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split())) if text else ""

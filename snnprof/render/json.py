"""Renders documents as JSON: the data for machines and every table as a list of records. NaN raises an error."""

from __future__ import annotations

import json
from typing import Any

from snnprof.errors import visible
from snnprof.render.table import Document
from snnprof.units import without_noise


def render(document: Document) -> str:
    """The document as JSON."""
    first = [document.machine, *document.tables[1:]] if document.machine else document.tables
    content = {
        "schema": document.schema,
        "title": document.title,
        **document.data,
        **{table.name: table.records() for table in first},
        "notes": [{"topic": notes.topic, "text": text} for notes in document.notes for text in notes.texts],
    }
    return _escaped(json.dumps(_plain(content), allow_nan=False, ensure_ascii=False, indent=1)) + "\n"


def _plain(content: Any) -> Any:
    """The content with floats rounded to 12 significant digits, at any depth."""
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return without_noise(content) if isinstance(content, float) else content


def _escaped(text: str) -> str:
    """Escapes control and invisible characters in JSON, which occur only within its strings."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(c if c == "\n" or visible(c) == c else json.dumps(c)[1:-1].replace("\x7f", "\\u007f") for c in text)

"""Documents as JSON: the facts for machines and every table as a list of records. NaN is a bug, not a value."""

from __future__ import annotations

import json
from typing import Any

from snnprof.errors import visible
from snnprof.render.table import Document
from snnprof.units import without_noise


def render(document: Document) -> str:
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
    """The same content with plain floats, however deep."""
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return without_noise(content) if isinstance(content, float) else content


def _escaped(text: str) -> str:
    """The same JSON, in which what a terminal would obey, or nobody see, is escaped; it stands in strings alone."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(c if c == "\n" or visible(c) == c else json.dumps(c)[1:-1].replace("\x7f", "\\u007f") for c in text)

"""Renders documents as tidy CSV: one table, one row per record, units in the headers, `per` in each row.

An empty cell is an unknown value.
"""

from __future__ import annotations

import csv
import io
import re

from snnprof.render.cleaning import cleaned
from snnprof.render.table import Document, Value
from snnprof.units import without_noise

_EXACT = 2**53  # a float holds all integers up to here
_FORMULA = re.compile(r"[\s'\"“”‘’]*[=+\-@＝＋－＠]")


def render(document: Document, raw: bool = False) -> str:
    """The document's table for machines, or its first table, as CSV.

    Args:
        document: the document.
        raw: do not change texts that a spreadsheet would run as formulas; for programs that compare names.
    """
    document = cleaned(document)
    table = document.machine or document.tables[0]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    keys = table.keys()
    writer.writerow([_text(key, raw) for key in keys])
    for record in table.records():
        writer.writerow([_field(value, raw) for value in record.values()])
    return stream.getvalue()


def _field(value: Value, raw: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        plain = without_noise(value)
        return f"{plain:.0f}" if plain.is_integer() and abs(plain) < _EXACT else repr(plain)
    return _text(str(value), raw)


def _text(text: str, raw: bool) -> str:
    """Puts an apostrophe before a text that begins with =, +, - or @, since a spreadsheet would run it as a formula."""
    return text if raw or not _FORMULA.match(text) else f"'{text}"

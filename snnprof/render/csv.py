"""Documents as tidy CSV: one table, one row per record, units in the headers, `per` in each row, empty = unknown."""

from __future__ import annotations

import csv
import io
import re

from snnprof.render.cleaning import cleaned
from snnprof.render.table import Document, Value
from snnprof.units import without_noise

_EXACT = 2**53  # the integers that a float holds
_FORMULA = re.compile(r"[\s'\"“”‘’]*[=+\-@＝＋－＠]")


def render(document: Document, raw: bool = False) -> str:
    """The document's records.

    Args:
        raw: leave a text that a spreadsheet would run as a formula as it is, for programs that compare names.
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
    """A spreadsheet shows what begins with an apostrophe; what begins with =, +, - or @ it runs."""
    return text if raw or not _FORMULA.match(text) else f"'{text}"

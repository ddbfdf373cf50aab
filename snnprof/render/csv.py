"""Documents as tidy CSV: one table, one row per record, raw values, units in the headers, empty = unknown."""

from __future__ import annotations

import csv
import io

from snnprof.render.table import Document, Value


def render(document: Document) -> str:
    table = document.machine or document.tables[0]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.keys())
    for record in table.records():
        writer.writerow([_field(value) for value in record.values()])
    return stream.getvalue()


def _field(value: Value) -> str:
    """Floats in full, so that they read back equal; a formula-like text is no concern of a data frame."""
    if value is None:
        return ""
    return repr(value) if isinstance(value, (float, int)) and not isinstance(value, bool) else str(value)

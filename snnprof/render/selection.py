"""Selects and sorts rows and columns of a report's first table: --sort, --top and --columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from snnprof.errors import SnnprofError, unknown
from snnprof.render.table import Column, Document, Row, Table, Value

COLUMNS = (
    "layer", "block", "role", "op", "input", "rate", "fed_by", "dense_macs", "exact_sops", "sops", "macs",
    "formula_sops", "deviation", "energy",
)  # fmt: skip
"""The names that users can choose. `energy` means the columns of all price lists; in --sort, that of the first."""
_IDENTITY = ("block", "role", "layer", "op", "index", "category", "per")
"""Columns that identify a row of the table for machines; they always stay."""
_ALSO = {"sops": "exact_sops"}
"""The column to show instead if a table does not have the chosen one."""


@dataclass(frozen=True)
class Selection:
    """The rows and columns of a table to show.

    Attributes:
        sort: the column to sort by, largest first; None keeps the order of the network.
        top: the number of rows; None shows all.
        columns: names of the columns; empty shows all.

    Raises:
        SnnprofError: there is no such column, or no row would be left.
    """

    sort: str | None = None
    top: int | None = None
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in [*self.columns, *filter(None, [self.sort])]:
            if name not in COLUMNS:
                raise unknown("column", name, COLUMNS)
        if self.top is not None and self.top < 1:
            raise SnnprofError(f"--top needs a number of rows from 1, not {self.top}")

    def of(self, document: Document) -> Document:
        """Applies the selection to the first table of a document and to its table for machines."""
        first, *others = document.tables
        machine = self._selected(document.machine) if document.machine else None
        return replace(document, tables=(self._selected(first), *others), machine=machine)

    def _selected(self, table: Table) -> Table:
        totals = [row for row in table.rows if row.total]
        rows = self._sorted(table, [row for row in table.rows if not row.total])
        kept = rows[: self.top]
        note = (f"{len(rows) - len(kept)} more rows are in the total.",) if len(kept) < len(rows) else ()
        columns = self._columns(table.columns)
        return replace(table, columns=columns, rows=(*kept, *totals), notes=(*table.notes, *note))

    def _sorted(self, table: Table, rows: list[Row]) -> list[Row]:
        if self.sort is None:
            return rows
        key = next((column.key for column in table.columns if _is(column, self.sort)), self.sort)
        by_name = all(isinstance(row.values.get(key), (str, type(None))) for row in rows)
        ordered = sorted(rows, key=lambda row: _size(row.values.get(key)), reverse=not by_name)
        return [replace(row, section="") for row in ordered]

    def _columns(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        """The columns that identify a row, then the chosen ones in the order in which they were named."""
        if not self.columns:
            return tuple(columns)
        there = {column.key for column in columns}
        names = [name if name in there else _ALSO.get(name, name) for name in self.columns]
        first = [column for column in columns if column.key in _IDENTITY] if "per" in there else [columns[0]]
        return (*first, *(c for name in names for c in columns if c not in first and _is(c, name)))


def with_columns(document: Document, names: Sequence[str]) -> Document:
    """Selects columns of the first table of a document, in the given order, after the one that names the rows.

    Args:
        document: the document.
        names: names of the columns as in CSV; `energy` means the columns of all price lists. Empty keeps all columns.

    Raises:
        SnnprofError: there is no such column.
    """
    if not names:
        return document
    first, *others = document.tables
    name, *known = (column for column in first.columns if not column.machine_only)
    for wanted in names:
        if not any(_is(column, wanted) for column in (name, *known)):
            raise unknown("column", wanted, [column.key for column in (name, *known)])
    chosen = [column for wanted in names for column in known if _is(column, wanted)]
    return replace(document, tables=(replace(first, columns=(name, *chosen)), *others))


def _is(column: Column, name: str) -> bool:
    return column.key == name or (name == "energy" and column.key.startswith("energy_pj"))


def _size(value: Value) -> tuple[bool, float, str]:
    """The sort key of a cell: texts by letter, numbers by size, unknown values below all others."""
    if isinstance(value, str):
        return (True, 0.0, value)
    return (value is not None, float(value or 0.0), "")

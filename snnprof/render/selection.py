"""Some rows and columns of a report's first table, in an order of one's own: --sort, --top and --columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from snnprof.errors import SnnprofError, unknown
from snnprof.render.table import Column, Document, Row, Table, Value

COLUMNS = (
    "layer", "block", "role", "op", "input", "rate", "fed_by", "dense_macs", "exact_sops", "sops", "macs",
    "formula_sops", "deviation", "energy",
)  # fmt: skip
"""`energy` stands for the columns of all price lists; to sort by, for the first."""
_IDENTITY = ("layer", "block", "role")


@dataclass(frozen=True)
class Selection:
    """What to show of a table; null or empty: all, in the network's order.

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
        """The document with these rows and columns in its first table and in the rows for machines."""
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
        """The chosen ones, in the order they were named; the first says what a row is and always stays."""
        if not self.columns:
            return tuple(columns)
        name, *others = columns
        wanted = [column for chosen in self.columns for column in others if _is(column, chosen)]
        return (name, *wanted)


def _is(column: Column, name: str) -> bool:
    return column.key == name or (name == "energy" and column.key.startswith("energy_pj"))


def _size(value: Value) -> tuple[bool, float, str]:
    """Names by letter, numbers by size; unknown comes last where the largest is first."""
    if isinstance(value, str):
        return (True, 0.0, value)
    return (value is not None, float(value or 0.0), "")

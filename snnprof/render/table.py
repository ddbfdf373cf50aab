"""Documents of tables, which every output format renders, and how a value is printed.

The formats for people (terminal, Markdown, LaTeX, HTML) take their texts from `Table.texts`, so that all print a number
alike. CSV and JSON take the raw values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from snnprof.units import PICOJOULES

if TYPE_CHECKING:
    from snnprof.render.web.values import ComparisonPage, ReportPage

Value = str | int | float | bool | None
Kind = Literal["text", "integer", "count", "energy", "rate", "percent", "signed_percent", "ratio", "decimal"]
UNKNOWN = "–"

_COUNT_PREFIXES = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0))
_ENERGY_UNITS = tuple((unit, PICOJOULES[unit]) for unit in ("J", "mJ", "µJ", "nJ", "pJ", "fJ"))
_SHARES = ("percent", "signed_percent")
_ROUNDING = 1e-9  # percent: what floating point leaves of a difference that is none
_DECIMALS: Mapping[str, int] = {"count": 3, "energy": 3, "rate": 4, "percent": 2, "signed_percent": 1, "ratio": 2}


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: name in CSV and JSON: ASCII snake_case with the unit, such as `energy_pj`.
        header: heading for people, without the unit.
        kind: how a value is printed. Numbers are aligned on the right.
        drop: a narrow terminal leaves out the columns with the highest number first; those with 0 always stay.
        interval: key of the half-width that is printed after the value, as ±; empty for none.
        machine_only: whether only CSV and JSON have the column.
        unit: the unit to print values in (`G`, `mJ`); empty for the one that suits the values.
        group: neighbouring columns with the same group share a heading above their own.
        apart: print each value in its own unit where a common one would make the smallest values unreadable.
        alone: choose the unit without the other columns of counts, which share one.
    """

    key: str
    header: str = ""
    kind: Kind = "text"
    drop: int = 0
    interval: str = ""
    machine_only: bool = False
    unit: str = ""
    group: str = ""
    apart: bool = False
    alone: bool = False

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers."""
        return self.kind != "text"


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        values: by column key. None is unknown and printed as –; a missing key leaves the cell empty.
        section: a line is drawn between neighbouring rows of different sections.
        total: whether the row is a sum of rows above. Print sets it apart, and CSV leaves it out.
        best: keys of the cells to mark as best.
    """

    values: Mapping[str, Value]
    section: str = ""
    total: bool = False
    best: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Table:
    """A table of values.

    Attributes:
        name: name in JSON, in snake_case.
        title: heading for people.
        columns: from left to right.
        rows: from top to bottom.
        notes: sentences to print below the table.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def printed(self) -> tuple[Column, ...]:
        """The columns for people, without those that `drop` allows to leave out and that have no value."""
        return tuple(c for c in self.columns if not c.machine_only and self._has_values(c))

    def headers(self, columns: Sequence[Column] | None = None) -> list[str]:
        """The headings with group and unit, such as `SOPs (M)`, of these columns or all printed ones."""
        named = ((column.group, self.heading(column)) for column in columns or self.printed)
        return [f"{group} {heading}" if group else heading for group, heading in named]

    def heading(self, column: Column) -> str:
        """The heading of a column with its unit, without its group."""
        unit = self.unit(column)
        return f"{column.header} ({unit})" if unit else column.header

    def unit(self, column: Column) -> str:
        """The common unit of a column's values; empty where they have none, or where each has its own."""
        return "" if self._apart(column) else self._scale(column)[0]

    def groups(self) -> list[tuple[str, int]]:
        """The group headings above the printed columns, each with the number of its columns; empty without groups."""
        named = [(name, len(list(each))) for name, each in groupby(self.printed, key=lambda column: column.group)]
        return named if any(name for name, _ in named) else []

    def texts(self, columns: Sequence[Column] | None = None) -> list[list[str]]:
        """The texts of all cells of these columns, or of all printed ones, row by row."""
        columns = columns or self.printed
        scales = [None if self._apart(column) else self._scale(column)[1] for column in columns]
        return [[_cell(row, c, s) for c, s in zip(columns, scales, strict=True)] for row in self.rows]

    def records(self) -> list[dict[str, Value]]:
        """The raw values of each row by key, without totals."""
        keys = self.keys()
        return [{key: row.values.get(key) for key in keys} for row in self.rows if not row.total]

    def keys(self) -> list[str]:
        """The keys of all columns and of their intervals."""
        return [key for c in self.columns for key in (c.key, c.interval) if key]

    def _has_values(self, column: Column) -> bool:
        """Whether to print a column. An energy is printed even without a value: the user named its price list."""
        return (
            column.drop == 0
            or column.kind == "energy"
            or any(row.values.get(column.key) is not None for row in self.rows)
        )

    def _apart(self, column: Column) -> bool:
        """Whether each value needs its own unit: one is below a hundredth of the unit that suits the largest."""
        values = [row.values.get(column.key) for row in self.rows]
        sizes = [abs(value) for value in values if isinstance(value, (int, float)) and value]
        return column.apart and bool(sizes) and min(sizes) < self._scale(column)[1] / 100

    def _scale(self, column: Column) -> tuple[str, float]:
        """The unit and its size. Columns of counts share a unit, so that readers can compare them; energies do not."""
        alone = column.kind == "energy" or column.alone
        kin = [column] if alone else [other for other in self.columns if not other.alone]
        alike = (other for other in kin if (other.kind, other.unit) == (column.kind, column.unit))
        keys = [other.key for other in alike if not other.machine_only]
        values = (row.values.get(key) for row in self.rows for key in keys)
        return scale(column, [abs(v) for v in values if isinstance(v, (int, float))])


@dataclass(frozen=True)
class Notes:
    """Warnings and caveats on one topic.

    Attributes:
        topic: the heading.
        texts: one or two sentences each.
    """

    topic: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """The output of a command, before a format is chosen.

    Attributes:
        title: the first line.
        tables: the first one holds the main result.
        facts: labels and texts below the tables: what was counted, on which data, how it was priced.
        notes: what a reader must know, the most important topic first.
        data: facts for machines, at the top level of the JSON file.
        command: the command that makes this document again; empty for none.
        page: what a web page shows in addition to the tables; None for nothing.
        machine: the rows for CSV and JSON; None for those of the first table.
        schema: name of the JSON file's schema.
    """

    title: str
    tables: tuple[Table, ...]
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[Notes, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    page: ReportPage | ComparisonPage | None = None
    machine: Table | None = None
    schema: str = "snnprof.report/0"


def scale(column: Column, magnitudes: Sequence[float]) -> tuple[str, float]:
    """Choose the largest unit that leaves the largest value at 1 or more, and return its size too.

    Args:
        column: its kind decides between units of counts and of energies; its own unit is taken first.
        magnitudes: absolute values, in operations or pJ.
    """
    if column.kind in _SHARES:
        return "%", 0.01
    units = {"count": _COUNT_PREFIXES, "energy": _ENERGY_UNITS}.get(column.kind)
    if units is None:
        return column.unit, 1.0
    if column.unit:
        return column.unit, dict(units)[column.unit]
    largest = max(magnitudes, default=0.0)
    if column.kind == "count" and largest < 10_000:
        return "", 1.0
    return next(((unit, size) for unit, size in units if largest >= size), units[-1] if largest else units[-2])


def number_text(value: float, kind: Kind, digits: int = 2) -> str:
    """Format a number that is already in its column's unit, with at least `digits` significant digits.

    >>> number_text(934.035456, "count"), number_text(0.00002, "count"), number_text(64, "integer")
    ('934.035', '0.000020', '64')
    """
    if kind == "integer":
        return f"{value:,.0f}".replace("-", "−")
    if kind == "decimal":
        return f"{value:g}"
    if value == 0 or (kind in _SHARES and abs(value) < _ROUNDING):
        return "0"
    decimals = _DECIMALS[kind]
    if digits > 2 or abs(value) < 0.5 * 10**-decimals:  # a small number is not nothing
        decimals = max(decimals, _significant_decimals(value, digits))
    sign = "+" if kind == "signed_percent" else ""
    return f"{value:{sign}.{decimals}f}".replace("-", "−")


def _significant_decimals(value: float, digits: int) -> int:
    exponent = int(f"{value:e}".split("e")[1])
    return digits - 1 - exponent


def value_text(value: Value, column: Column, divisor: float) -> str:
    """Format a value of a column; `divisor` is the size of the column's unit."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    whole = column.kind == "count" and divisor == 1 and float(value).is_integer()
    digits = 3 if column.unit else 2  # a unit that was not chosen for the values may leave them small
    return number_text(value / divisor, "integer" if whole else column.kind, digits)


def _cell(row: Row, column: Column, divisor: float | None) -> str:
    """The text of a cell; without a divisor, in the unit that suits the value."""
    if column.key not in row.values:
        return ""
    value = row.values[column.key]
    if divisor is None and isinstance(value, (int, float)):
        unit, divisor = scale(column, [abs(value)])
        return f"{_cell(row, replace(column, unit=unit), divisor)} {unit}".rstrip()
    divisor = divisor or 1.0
    text = value_text(value, column, divisor)
    half = row.values.get(column.interval) if column.interval else None
    if isinstance(half, (int, float)) and isinstance(value, (int, float)):
        return _with_half(text, value / divisor, half / divisor, column.kind)
    return text


def _with_half(text: str, value: float, half: float, kind: Kind) -> str:
    """A value ± its half-width, with as many decimals as the longer of both; a half-width of rounding errors is 0."""
    if half < 1e-9 * abs(value):
        return f"{text} ± 0"
    decimals = max(len(each.partition(".")[2]) for each in (text, number_text(half, kind)))
    return f"{value:.{decimals}f} ± {half:.{decimals}f}".replace("-", "−")


def sections(rows: Iterable[Row]) -> Iterator[tuple[int, bool]]:
    """The position of each row, and whether a line is drawn above it."""
    previous: Row | None = None
    for position, row in enumerate(rows):
        changed = previous is not None and (row.section, row.total) != (previous.section, previous.total)
        yield position, changed
        previous = row

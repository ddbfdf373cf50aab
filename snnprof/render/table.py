"""What every output format renders: a document of tables whose cells are values, and the one way to print a value.

The formats for people (terminal, Markdown, LaTeX, HTML) all take their text from `Table.texts`, so a number reads
the same in each; CSV and JSON take the raw values.
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
    """One column.

    Attributes:
        key: name in CSV and JSON: ASCII snake_case with the unit, e.g. `energy_pj`.
        header: heading for people, without the unit.
        kind: how a value is printed; numbers stand on the right.
        drop: the higher, the earlier a narrow terminal leaves the column out; 0 stays.
        interval: key of the half-width that is printed behind the value as ±.
        machine_only: in CSV and JSON only.
        unit: a unit it must have (`G`, `mJ`); empty: the one that fits the values.
        group: neighbouring columns of one group stand under one heading.
        apart: where one unit would leave the smaller values unreadable, each is printed in its own.
        alone: counts of something else than the columns beside it, which share a unit.
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
        return self.kind != "text"


@dataclass(frozen=True)
class Row:
    """One row: values by column key. A value of None is unknown and prints as –; a key that is missing, as nothing.

    Attributes:
        section: rows of one section stand together; a rule is drawn where it changes.
        total: a sum of rows above; set apart in print and left out of CSV.
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
        name: name in JSON, snake_case.
        title: heading for people.
        notes: sentences that belong under this table.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def printed(self) -> tuple[Column, ...]:
        """The columns people see: those for machines and those without any value are left out."""
        return tuple(c for c in self.columns if not c.machine_only and self._has_values(c))

    def headers(self, columns: Sequence[Column] | None = None) -> list[str]:
        """Headings with the group and the unit chosen for the column, e.g. `SOPs (M)`."""
        named = ((column.group, self.heading(column)) for column in columns or self.printed)
        return [f"{group} {heading}" if group else heading for group, heading in named]

    def heading(self, column: Column) -> str:
        """A column's heading with its unit, without its group."""
        unit = self.unit(column)
        return f"{column.header} ({unit})" if unit else column.header

    def unit(self, column: Column) -> str:
        """The unit in which a column's values are printed; empty where they have none, or each its own."""
        return "" if self._apart(column) else self._scale(column)[0]

    def groups(self) -> list[tuple[str, int]]:
        """Headings over the printed columns, and how many columns each spans; empty where there are none."""
        named = [(name, len(list(each))) for name, each in groupby(self.printed, key=lambda column: column.group)]
        return named if any(name for name, _ in named) else []

    def texts(self, columns: Sequence[Column] | None = None) -> list[list[str]]:
        """The printed cells, row by row."""
        columns = columns or self.printed
        scales = [None if self._apart(column) else self._scale(column)[1] for column in columns]
        return [[_cell(row, c, s) for c, s in zip(columns, scales, strict=True)] for row in self.rows]

    def records(self) -> list[dict[str, Value]]:
        """Raw values for machines, without the rows that are sums of others."""
        keys = self.keys()
        return [{key: row.values.get(key) for key in keys} for row in self.rows if not row.total]

    def keys(self) -> list[str]:
        return [key for c in self.columns for key in (c.key, c.interval) if key]

    def _has_values(self, column: Column) -> bool:
        """Energies were asked for by name: a machine that can price nothing must not vanish."""
        return (
            column.drop == 0
            or column.kind == "energy"
            or any(row.values.get(column.key) is not None for row in self.rows)
        )

    def _apart(self, column: Column) -> bool:
        """Whether a value of the column is smaller than a hundredth of the unit that the largest one is printed in."""
        values = [row.values.get(column.key) for row in self.rows]
        sizes = [abs(value) for value in values if isinstance(value, (int, float)) and value]
        return column.apart and bool(sizes) and min(sizes) < self._scale(column)[1] / 100

    def _scale(self, column: Column) -> tuple[str, float]:
        """Counts share a unit, so that neighbours can be compared at a glance; price lists lie too far apart."""
        alone = column.kind == "energy" or column.alone
        kin = [column] if alone else [other for other in self.columns if not other.alone]
        alike = (other for other in kin if (other.kind, other.unit) == (column.kind, column.unit))
        keys = [other.key for other in alike if not other.machine_only]
        values = (row.values.get(key) for row in self.rows for key in keys)
        return scale(column, [abs(v) for v in values if isinstance(v, (int, float))])


@dataclass(frozen=True)
class Notes:
    """Warnings and caveats of one kind, each one or two sentences."""

    topic: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """What a command prints.

    Attributes:
        facts: (label, text) lines under the tables: what was counted, on what, how it was priced.
        notes: what a reader must know, the weightiest topic first.
        data: facts for machines; the top level of the JSON file.
        command: the command that makes this document again.
        schema: name of the JSON file's schema.
        page: what a web page shows beyond the tables.
        machine: the rows for CSV and JSON, where they are not those of the first table.
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
    """Unit and divisor: the largest unit that leaves the largest value at 1 or more."""
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
    """A number that is already in its column's unit, with at least `digits` significant digits.

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
    """The printed value; a divisor of null gives it a unit of its own."""
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
    """A value ± its half-width, with as many decimals as either needs; what rounding leaves of none at all is 0."""
    if half < 1e-9 * abs(value):
        return f"{text} ± 0"
    decimals = max(len(each.partition(".")[2]) for each in (text, number_text(half, kind)))
    return f"{value:.{decimals}f} ± {half:.{decimals}f}".replace("-", "−")


def sections(rows: Iterable[Row]) -> Iterator[tuple[int, bool]]:
    """(position, whether a rule stands before it) of each row."""
    previous: Row | None = None
    for position, row in enumerate(rows):
        changed = previous is not None and (row.section, row.total) != (previous.section, previous.total)
        yield position, changed
        previous = row

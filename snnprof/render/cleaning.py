"""Cleans the texts of a document: no text from a file can control a terminal, break a line or hide characters."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TypeVar, cast

from snnprof.errors import visible
from snnprof.render.table import Column, Document, Notes, Row, Table

T = TypeVar("T")


def line(text: str) -> str:
    """The text on one line; control and invisible characters are replaced by visible escapes."""
    return visible(text.replace("\r\n", "\n")).replace("\n", " ")


def cleaned(document: Document) -> Document:
    """The document with all texts cleaned. Numbers and keys of columns need no cleaning, since no file sets them."""
    return replace(
        document,
        title=line(document.title),
        tables=tuple(map(_table, document.tables)),
        facts=tuple((line(label), line(text)) for label, text in document.facts),
        notes=tuple(Notes(line(notes.topic), tuple(map(line, notes.texts))) for notes in document.notes),
        command=line(document.command),
        page=_value(document.page),
        machine=_table(document.machine) if document.machine else None,
    )


def _value(thing: T) -> T:
    """The value with every text in its tuples and dataclasses cleaned."""
    if isinstance(thing, str):
        return cast(T, line(thing))
    if isinstance(thing, tuple):
        return cast(T, tuple(map(_value, thing)))
    if is_dataclass(thing) and not isinstance(thing, type):
        return replace(thing, **{part.name: _value(getattr(thing, part.name)) for part in fields(thing)})
    return thing


def _table(table: Table) -> Table:
    return replace(
        table,
        title=line(table.title),
        columns=tuple(map(_column, table.columns)),
        rows=tuple(map(_row, table.rows)),
        notes=tuple(map(line, table.notes)),
    )


def _column(column: Column) -> Column:
    return replace(column, header=line(column.header), unit=line(column.unit), group=line(column.group))


def _row(row: Row) -> Row:
    values = {key: line(value) if isinstance(value, str) else value for key, value in row.values.items()}
    return replace(row, values=values)

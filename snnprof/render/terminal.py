"""Renders documents for a terminal or a pipe.

If the terminal is narrow, columns are left out first, then texts are wrapped, and then long paths are shortened in the
middle. Numbers are never cut.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from snnprof.render.cleaning import cleaned
from snnprof.render.table import Column, Document, Table, sections

UNLIMITED = 100_000
_GAP = 3  # cells between two columns: the padding of both and the space between them
_SHORTEST_NAME = 20


def render(document: Document, width: int | None = None, colour: bool = False) -> str:
    """The document as text.

    Args:
        document: the document.
        width: width of the terminal in columns; None for a pipe, where nothing is cut or wrapped.
        colour: use bold and colour.
    """
    return printed(lambda console: _print_document(console, cleaned(document), width), colour)


def printed(write: Callable[[Console], None], colour: bool = False) -> str:
    """The text that `write` prints on a console of unlimited width, without spaces at the ends of lines.

    Args:
        write: prints on the console.
        colour: include the escape sequences for bold and colour.
    """
    stream = io.StringIO()
    console = Console(
        file=stream, width=UNLIMITED, force_terminal=colour, color_system="standard" if colour else None,
        no_color=not colour, highlight=False, markup=False, emoji=False, legacy_windows=False,
        force_jupyter=False,
    )  # fmt: skip
    write(console)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _print_document(console: Console, document: Document, width: int | None) -> None:
    console.print(Text(document.title, style="bold"))
    for table in document.tables:
        console.print()
        if table.title:
            console.print(Text(table.title, style="italic"))
        columns = fitting(table, width)
        console.print(_table(table, columns, width))
        for note in (*_left_out(document, table, columns), *table.notes):
            console.print(Text(note, style="dim"), width=width)
    if document.facts:
        console.print()
        console.print(_facts(document.facts), width=width)
    for notes in document.notes:
        console.print()
        console.print(Text(notes.topic, style="bold"))
        for text in notes.texts:
            console.print(_bullet(text), width=width)


def _left_out(document: Document, table: Table, columns: Sequence[Column]) -> Iterator[str]:
    """Says which columns a narrow terminal does not show, and how to see them. CSV holds the first table alone."""
    missing = [column for column in table.printed if column not in columns]
    if missing:
        in_csv = (document.machine or table).keys() if table is document.tables[0] else []
        form = "csv" if all(column.key in in_csv for column in missing) else "json"
        advice = f"To see them: widen the terminal, pipe into 'less -S', or add --format {form}."
        yield f"Columns left out: {', '.join(table.headers(missing))}. {advice}"


def _table(table: Table, columns: Sequence[Column], width: int | None) -> RichTable:
    texts = table.texts(columns)
    narrow = _name_width(table, columns, texts, width)
    rich = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    for column, header in zip(columns, table.headers(columns), strict=True):
        rich.add_column(Text(header), justify="right" if column.numeric else "left", no_wrap=True)
    for position, ruled in sections(table.rows):
        if ruled:
            rich.add_section()
        row = table.rows[position]
        cells = [_styled(text, column, row.best, narrow) for text, column in zip(texts[position], columns, strict=True)]
        rich.add_row(*cells, style="bold" if row.total else None)
    return rich


def _styled(text: str, column: Column, best: frozenset[str], name_width: int | None) -> Text:
    if not column.numeric and name_width is not None:
        lines = textwrap.wrap(text, name_width, break_long_words=False, break_on_hyphens=False)
        text = "\n".join(shortened(line, name_width) for line in lines)
    return Text(text, style="bold green" if column.key in best else "")


def fitting(table: Table, width: int | None) -> tuple[Column, ...]:
    """The columns that fit the width; those with the highest `drop` are left out first, those with 0 never."""
    columns = table.printed
    while width is not None and _width(table, columns) > width:
        expendable = [column for column in columns if column.drop]
        if not expendable:
            break
        worst = max(expendable, key=lambda column: column.drop)
        columns = tuple(column for column in columns if column is not worst)
    return columns


def _width(table: Table, columns: Sequence[Column]) -> int:
    """The width of the table if every name is shortened as far as possible."""
    texts = table.texts(columns)
    widths = _widths(table, columns, texts)
    least = [
        w if c.numeric else min(w, max(_SHORTEST_NAME, cell_len(c.header)))
        for w, c in zip(widths, columns, strict=True)
    ]
    return sum(least) + _GAP * (len(columns) - 1)


def _widths(table: Table, columns: Sequence[Column], texts: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cell_len, cells)) for cells in zip(table.headers(columns), *texts, strict=True)]


def _name_width(
    table: Table, columns: Sequence[Column], texts: Sequence[Sequence[str]], width: int | None
) -> int | None:
    """The greatest width of names with which the table fits; None if it fits anyway."""
    widths = _widths(table, columns, texts)
    excess = sum(widths) + _GAP * (len(columns) - 1) - (width or UNLIMITED)
    if excess <= 0:
        return None
    names = sorted((w for w, column in zip(widths, columns, strict=True) if not column.numeric), reverse=True)
    limit = names[0] if names else 0
    while limit > _SHORTEST_NAME and sum(max(0, w - limit) for w in names) < excess:
        limit -= 1
    return limit


def shortened(text: str, width: int) -> str:
    """Shortens a text in the middle and keeps more of its end: the end of a layer's path says most.

    >>> shortened("block.0.attention.query", 16)
    'blo…ention.query'
    """
    if cell_len(text) <= width:
        return text
    head = (width - 1) // 4
    return text[:head] + "…" + text[len(text) - (width - 1 - head) :]


def _facts(facts: Sequence[tuple[str, str]]) -> RichTable:
    grid = RichTable.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, text in facts:
        grid.add_row(Text(label), Text(text))
    return grid


def _bullet(text: str) -> RichTable:
    grid = RichTable.grid(padding=(0, 1))
    grid.add_row(Text("-", style="bold yellow"), Text(text, overflow="fold"))
    return grid

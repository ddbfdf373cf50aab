"""Lays out lines of text at a width: columns, wrapped sentences and bars. Names are never cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from snnprof.errors import visible
from snnprof.render.ascii import SPARKS, in_ascii

GAP = 2
_BREAK = re.compile(r" (?!(?:%|[kMGT]|[mµun]?J|[pf]J)(?![\w-]))")
"""A space at which a line may end; there is none between a number and its unit."""
BAR_EIGHTHS = " ▏▎▍▌▋▊▉█"
Cell = Text | str


@dataclass
class Page:
    """Collects lines of text.

    Every text passes `text`, so that its width is that of the printed text.

    Attributes:
        width: width of the page in columns.
        ascii: print ASCII only.
        lines: the lines so far.
    """

    width: int
    ascii: bool = False
    lines: list[Text] = field(default_factory=list)

    def text(self, cell: Cell) -> Text:
        """The cell as it is printed: on one line, without control characters, in ASCII if the page needs it.

        A text with several styles was assembled from such cells and is returned unchanged.
        """
        if isinstance(cell, Text) and cell.spans:
            return cell
        plain = visible(str(cell).replace("\n", " "))
        return Text(in_ascii(plain) if self.ascii else plain, style=cell.style if isinstance(cell, Text) else "")

    def line(self, *cells: Cell) -> None:
        """Adds a line of cells, one after the other."""
        self.lines.append(_trimmed(Text.assemble(*map(self.text, cells))))

    def ends(self, left: Cell, right: Cell) -> None:
        """Adds a line with one text at each edge; if they do not fit, the right one follows on the next line."""
        first, last = self.text(left), self.text(right)
        room = self.width - first.cell_len - last.cell_len
        if room < GAP:
            self.line(first)
            self.wrapped(last, indent="")
        else:
            self.line(first, " " * room, last)

    def wrapped(self, cell: Cell, indent: str = "  ", mark: Cell = "", right: str = "") -> None:
        """Adds a wrapped sentence, with a mark before it and a short text at the right edge of its last line."""
        start = Text.assemble(indent, self.text(mark), " ") if mark else Text(indent)
        self.hanging(start, cell, gap=0)
        end = self.text(right)
        room = self.width - self.lines[-1].cell_len - end.cell_len
        if right and room < GAP:
            self.lines.append(Text())
            room = self.width - end.cell_len
        if right:
            self.lines[-1].append(" " * max(0, room) + end.plain, style="dim")

    def hanging(self, head: Text, cell: Cell, gap: int = GAP) -> None:
        """Adds a text to the right of a head; the text is wrapped in its own column."""
        before = head.cell_len + gap
        for position, line in enumerate(_folded(self.text(cell), max(20, self.width - before))):
            start = Text(" " * before) if position else Text.assemble(head, " " * gap)
            self.lines.append(_trimmed(Text.assemble(start, line)))

    def columns(self, rows: Sequence[Sequence[Cell]], aligned: str) -> list[Text]:
        """Rows of cells as lines, each column as wide as its widest cell.

        Args:
            rows: the cells of each row.
            aligned: for each column, `l` (left) or `r` (right).
        """
        texts = [[self.text(cell) for cell in row] for row in rows]
        widths = [max(column) for column in zip(*([text.cell_len for text in row] for row in texts), strict=True)]
        return [
            Text(" " * GAP).join(_padded(*each) for each in zip(row, widths, aligned, strict=True)) for row in texts
        ]

    def table(self, rows: Sequence[Sequence[Cell]], aligned: str, indent: str = "  ") -> None:
        """Adds rows of cells; a name in the first column that leaves no room for the others gets its own line."""
        names, others = [self.text(row[0]) for row in rows], self.columns([row[1:] for row in rows], aligned[1:])
        room = self.width - cell_len(indent) - others[0].cell_len - GAP
        widest = max((name.cell_len for name in names if name.cell_len <= room), default=0)
        for name, rest in zip(names, others, strict=True):
            if name.cell_len > widest:
                self.lines.append(Text.assemble(indent, name))
                name = Text()
            self.lines.append(_trimmed(Text.assemble(indent, _padded(name, widest, aligned[0]), " " * GAP, rest)))

    def bar(self, share: float, cells: int) -> str:
        """A bar for a share from 0 to 1; the full bar is `cells` long."""
        eighths = round(max(0.0, share) * cells * 8)
        if self.ascii:
            return "#" * round(eighths / 8)
        return "█" * (eighths // 8) + BAR_EIGHTHS[eighths % 8].strip()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines:
            line.overflow = "fold"
            yield line


def sparkline(values: Sequence[float], highest: float) -> str:
    """One sign per value; its height is the value's share of `highest`."""
    steps = len(SPARKS) - 1
    return "".join(SPARKS[round(steps * value / highest) if highest else 0] for value in values)


def _padded(text: Text, width: int, side: str) -> Text:
    room = " " * (width - text.cell_len)
    return Text.assemble(room, text) if side == "r" else Text.assemble(text, room)


def _trimmed(text: Text) -> Text:
    text.rstrip()
    return text


def _folded(text: Text, width: int) -> list[Text]:
    """Breaks a text into lines of whole words; a word longer than a line is not cut, since users may copy names."""
    breaks: list[int] = []
    start = end = 0
    for word in _BREAK.split(text.plain):
        if end > start and cell_len(text.plain[start : end + len(word)]) > width:
            breaks.append(end - 1)
            start = end
        end += len(word) + 1
    first, *others = text.divide(breaks)
    return [first, *(line[1:] for line in others)]

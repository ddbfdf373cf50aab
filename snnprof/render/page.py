"""Lines of text laid out at a width: columns, wrapped sentences, bars. Names are never cut; in ASCII if need be."""

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
"""A blank that may end a line: none between a number and its unit."""
BAR_EIGHTHS = " ▏▎▍▌▋▊▉█"
Cell = Text | str


@dataclass
class Page:
    """Collects lines; every text goes through `text`, so that widths are those of what is printed."""

    width: int
    ascii: bool = False
    lines: list[Text] = field(default_factory=list)

    def text(self, cell: Cell) -> Text:
        """The cell as it is printed: on one line, nothing that steers a terminal, in ASCII if need be.

        A text made of several styles is printable already: it was put together of such cells.
        """
        if isinstance(cell, Text) and cell.spans:
            return cell
        plain = visible(str(cell).replace("\n", " "))
        return Text(in_ascii(plain) if self.ascii else plain, style=cell.style if isinstance(cell, Text) else "")

    def line(self, *cells: Cell) -> None:
        """Cells one after the other."""
        self.lines.append(_trimmed(Text.assemble(*map(self.text, cells))))

    def ends(self, left: Cell, right: Cell) -> None:
        """One text at each edge; the right one on a line of its own where both do not fit."""
        first, last = self.text(left), self.text(right)
        room = self.width - first.cell_len - last.cell_len
        if room < GAP:
            self.line(first)
            self.wrapped(last, indent="")
        else:
            self.line(first, " " * room, last)

    def wrapped(self, cell: Cell, indent: str = "  ", mark: Cell = "", right: str = "") -> None:
        """A sentence over as many lines as it needs, with a mark before it and a short text at the right edge."""
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
        """A text beside a head, folded within its own column."""
        before = head.cell_len + gap
        for position, line in enumerate(_folded(self.text(cell), max(20, self.width - before))):
            start = Text(" " * before) if position else Text.assemble(head, " " * gap)
            self.lines.append(_trimmed(Text.assemble(start, line)))

    def columns(self, rows: Sequence[Sequence[Cell]], aligned: str) -> list[Text]:
        """Rows of cells as lines, each column as wide as its widest cell.

        Args:
            aligned: `l` or `r` for each column.
        """
        texts = [[self.text(cell) for cell in row] for row in rows]
        widths = [max(column) for column in zip(*([text.cell_len for text in row] for row in texts), strict=True)]
        return [
            Text(" " * GAP).join(_padded(*each) for each in zip(row, widths, aligned, strict=True)) for row in texts
        ]

    def table(self, rows: Sequence[Sequence[Cell]], aligned: str, indent: str = "  ") -> None:
        """Rows of cells as lines of the page; a name that leaves no room for the rest has a line of its own."""
        names, others = [self.text(row[0]) for row in rows], self.columns([row[1:] for row in rows], aligned[1:])
        room = self.width - cell_len(indent) - others[0].cell_len - GAP
        widest = max((name.cell_len for name in names if name.cell_len <= room), default=0)
        for name, rest in zip(names, others, strict=True):
            if name.cell_len > widest:
                self.lines.append(Text.assemble(indent, name))
                name = Text()
            self.lines.append(_trimmed(Text.assemble(indent, _padded(name, widest, aligned[0]), " " * GAP, rest)))

    def bar(self, share: float, cells: int) -> str:
        """A share of a bar that is `cells` long when full."""
        eighths = round(max(0.0, share) * cells * 8)
        if self.ascii:
            return "#" * round(eighths / 8)
        return "█" * (eighths // 8) + BAR_EIGHTHS[eighths % 8].strip()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines:
            line.overflow = "fold"
            yield line


def sparkline(values: Sequence[float], highest: float) -> str:
    """One sign per value, between nothing and the highest."""
    steps = len(SPARKS) - 1
    return "".join(SPARKS[round(steps * value / highest) if highest else 0] for value in values)


def _padded(text: Text, width: int, side: str) -> Text:
    room = " " * (width - text.cell_len)
    return Text.assemble(room, text) if side == "r" else Text.assemble(text, room)


def _trimmed(text: Text) -> Text:
    text.rstrip()
    return text


def _folded(text: Text, width: int) -> list[Text]:
    """Lines of whole words; a word longer than a line stays whole, because it may be a name to copy."""
    breaks: list[int] = []
    start = end = 0
    for word in _BREAK.split(text.plain):
        if end > start and cell_len(text.plain[start : end + len(word)]) > width:
            breaks.append(end - 1)
            start = end
        end += len(word) + 1
    first, *others = text.divide(breaks)
    return [first, *(line[1:] for line in others)]

"""Renders documents as LaTeX: booktabs tables that compile unchanged and fit the line of an article.

Columns that do not fit are left out, those with the highest `drop` first, unless the user named them; names that are
too long are broken into lines. The tables need UTF-8 input and the packages array and booktabs; and siunitx, if numbers
are aligned at their decimal points.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING

from snnprof.render.cleaning import cleaned, line
from snnprof.render.table import Column, Document, Table, sections

if TYPE_CHECKING:
    from jinja2 import Environment

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\symbol{34}", "`": r"\textasciigrave{}",
    "–": "--", "—": "---", "…": r"\ldots{}", "’": "'", "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "·": r"$\cdot$",
    "µ": r"$\mu$", "μ": r"$\mu$", "Δ": r"$\Delta$", "Σ": r"$\Sigma$", "≈": r"$\approx$", "≤": r"$\leq$",
    "≥": r"$\geq$", "→": r"$\rightarrow$", "²": "$^2$", "³": "$^3$", "ᵀ": r"$^{\mathsf{T}}$", "[": "{[}", "]": "{]}",
    "*": "{*}", "†": r"\textdagger{}",
}  # fmt: skip
_NUMBER = re.compile(r"([+−]?)(\d[\d,]*)(?:\.(\d+))?(?: ± (\d[\d,]*)(?:\.(\d+))?)?")
_LINE = 345.0  # points: the width of the text in an article on A4 or letter paper
_CHARACTER = 4.3  # points, on average in \footnotesize
_GAP = 6.0  # points between two columns
_SHORTEST_NAME = 100.0  # points: a column of names is not made narrower
_STRANGE = re.compile(rf"[^\x00-\u017f{re.escape(''.join(_SPECIAL))}]")  # printed as code points
_CODE_POINT = 8  # characters of a printed code point: [U+4E2D]
_BREAK = re.compile(rf"(?<=[._/:])(?!\d)|(?<=\s)|(?<={_STRANGE.pattern})|(?={_STRANGE.pattern})")
_LONGEST_PIECE = 20  # characters without a place where a line may end


def render(document: Document, siunitx: bool = False, caption: str = "", label: str = "", fit: bool = True) -> str:
    """The document's tables as LaTeX; with a caption or a label, only the first one, as a float.

    Args:
        document: the document.
        siunitx: align numbers at their decimal points, in S columns.
        caption: caption of the float.
        label: label of the float.
        fit: leave out columns if the table is wider than the line.
    """
    document = cleaned(document)
    comments = [f"{name}: {text}" for name, text in document.facts]
    comments += [f"{notes.topic}: {text}" for notes in document.notes for text in notes.texts]
    floats = bool(caption or label)
    shown = document.tables[:1] if floats else document.tables
    left_out = [table.title for table in document.tables[len(shown) :]]
    if left_out:
        comments.append(f"left out beside a float: {'; '.join(left_out)}")
    return _environment().get_template("latex.j2").render(
        command=_comment(document.command),
        title=_comment(document.title),
        packages="array,booktabs" + (",siunitx" if siunitx else ""),
        tables=[_context(table, siunitx, fit) for table in shown],
        comments=[_comment(text) for text in comments],
        siunitx=siunitx, floats=floats, caption=escaped(caption), label=_label(label),
    )  # fmt: skip


@dataclass(frozen=True)
class _Laid:
    """A column of a LaTeX table.

    Attributes:
        column: the column of the document.
        heading: the lines of its heading: its name, wrapped to the width of the cells, then its unit.
        cells: the texts of its cells.
        pointed: whether it is an S column of siunitx.
        limit: width of its text in points, in which texts are wrapped; None does not wrap.
    """

    column: Column
    heading: tuple[str, ...]
    cells: tuple[str, ...]
    pointed: bool
    limit: float | None = None

    @classmethod
    def of(cls, table: Table, column: Column, cells: tuple[str, ...], siunitx: bool) -> _Laid:
        unit, longest = table.unit(column), max(map(len, (*cells, *column.header.split())), default=1)
        lines = [*textwrap.wrap(column.header, max(1, longest)), *([f"({unit})"] if unit else [])]
        pointed = siunitx and column.numeric and any(map(_NUMBER.fullmatch, cells))
        return cls(column, tuple(lines) or ("",), cells, pointed)

    @property
    def natural(self) -> float:
        """The width of its longest text in points."""
        return _CHARACTER * max(map(_length, (*self.heading, *self.cells)))

    @property
    def least(self) -> float:
        """The smallest width in points: numbers are not wrapped, and names not below `_SHORTEST_NAME`."""
        return self.natural if self.column.numeric else min(self.natural, _SHORTEST_NAME)

    @property
    def spec(self) -> str:
        if self.pointed:
            return _aligned(self.cells)
        if self.limit is not None:
            return rf">{{\raggedright\arraybackslash}}p{{{self.limit:.0f}pt}}"
        return "r" if self.column.numeric else "l"


def _context(table: Table, siunitx: bool, fit: bool) -> dict[str, object]:
    printed = table.printed
    by_column = list(zip(*table.texts(printed), strict=True)) or [()] * len(printed)
    every = [_Laid.of(table, column, cells, siunitx) for column, cells in zip(printed, by_column, strict=True)]
    columns = _limited(_fitting(every) if fit else every)
    lines: list[str] = []
    for position, ruled in sections(table.rows):
        row = table.rows[position]
        cells = [_cell(laid, laid.cells[position], row.total or laid.column.key in row.best) for laid in columns]
        lines += ([r"\midrule"] if ruled else []) + [_line(cells)]
    kept = [laid.column for laid in columns]
    return {
        "title": _comment(table.title),
        "left_out": _comment(", ".join(column.header for column in printed if column not in kept)),
        "spec": "".join(laid.spec for laid in columns),
        "groups": _groups(kept),
        "headers": _header_lines(columns),
        "lines": lines,
        "notes": [escaped(note) for note in table.notes],
    }


def _fitting(columns: list[_Laid]) -> list[_Laid]:
    """The columns that fit the line; those with the highest `drop` are left out first, those with 0 never."""
    while _width(laid.least for laid in columns) > _LINE and any(laid.column.drop for laid in columns):
        worst = max(columns, key=lambda laid: laid.column.drop)
        columns = [laid for laid in columns if laid is not worst]
    return columns


def _limited(columns: list[_Laid]) -> list[_Laid]:
    """Limits the width of the columns with the longest names so that the table fits the line."""
    limit = max((laid.natural for laid in columns if not laid.column.numeric), default=0.0)

    def width(laid: _Laid) -> float:
        return laid.natural if laid.column.numeric else min(laid.natural, limit)

    while limit > _SHORTEST_NAME and _width(map(width, columns)) > _LINE:
        limit -= 1
    return [replace(laid, limit=limit) if width(laid) < laid.natural else laid for laid in columns]


def _width(columns: Iterable[float]) -> float:
    """The width in points of a table with columns of these widths."""
    return sum(width + _GAP for width in columns)


def _length(text: str) -> int:
    """The number of characters of a text as it is printed."""
    return len(text) + (_CODE_POINT - 1) * len(_STRANGE.findall(text))


def _header_lines(columns: Sequence[_Laid]) -> list[str]:
    """The lines of the table's head; headings with fewer lines are aligned at the bottom."""
    height = max(len(laid.heading) for laid in columns)
    padded = [("",) * (height - len(laid.heading)) + laid.heading for laid in columns]
    braced = [[f"{{{escaped(text)}}}" if laid.pointed else escaped(text) for text in heading]
              for laid, heading in zip(columns, padded, strict=True)]  # fmt: skip
    return [_line(texts) for texts in zip(*braced, strict=True)]


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _groups(columns: Sequence[Column]) -> list[str]:
    """The line of headings over groups of columns, and the rules below it."""
    groups = [(name, len(list(each))) for name, each in groupby(columns, key=lambda column: column.group)]
    if not any(name for name, _ in groups):
        return []
    cells, rules, column = [], [], 1
    for name, span in groups:
        cells.append(rf"\multicolumn{{{span}}}{{c}}{{{escaped(name)}}}")
        if name:
            rules.append(rf"\cmidrule(lr){{{column}-{column + span - 1}}}")
        column += span
    return [_line(cells), "".join(rules)]


def _cell(laid: _Laid, text: str, bold: bool) -> str:
    if not text:
        return ""
    if laid.pointed:
        plain = text.replace("−", "-").replace(",", "").replace("±", "+-")
        number = plain if _NUMBER.fullmatch(text) else f"{{{escaped(text)}}}"
        return rf"\bfseries {number}" if bold else number
    shown = escaped(text) if laid.limit is None else breakable(text)
    return rf"\textbf{{{shown}}}" if bold else shown


def breakable(text: str) -> str:
    """Escapes a text and marks where a line may end: after separators in names, and within very long pieces."""
    parts = [part[i : i + _LONGEST_PIECE] for part in _BREAK.split(text) for i in range(0, len(part), _LONGEST_PIECE)]
    pieces = [escaped(part) + (" " if part.endswith(" ") else r"\allowbreak{}") for part in parts]
    return "".join(pieces).removesuffix(r"\allowbreak{}")


def _aligned(cells: tuple[str, ...]) -> str:
    """An S column wide enough for its cells."""
    found = [match.groups() for match in map(_NUMBER.fullmatch, cells) if match]
    sign = "+" if any(sign for sign, *_ in found) else ""
    whole = max((len(whole.replace(",", "")) for _, whole, *_ in found), default=1)
    decimals = max((len(decimals or "") for _, _, decimals, *_ in found), default=0)
    halves = [f"{int(half.replace(',', ''))}{(rest or '').ljust(decimals, '0')}" for *_, half, rest in found if half]
    uncertain = f"({max(len(half.lstrip('0')) or 1 for half in halves)})" if halves else ""
    return f"S[table-format={sign}{whole}.{decimals}{uncertain}]"


def escaped(text: str) -> str:
    """Escapes a text for LaTeX; a character for which pdflatex has no glyph becomes its code point.

    >>> escaped("a_b%c"), escaped("中")
    ('a\\\\_b\\\\%c', '{[}U+4E2D{]}')
    """
    plain = "".join(_character(character) for character in " ".join(line(text).split()))
    return plain.replace("--", "-{}-") if "--" in text else plain


def _character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isprintable() and ord(character) < 0x180:
        return character
    return "{[}" + f"U+{ord(character):04X}" + "{]}"


def _label(text: str) -> str:
    """Replaces the characters of a label that TeX would interpret."""
    return re.sub(r"[^A-Za-z0-9.:/+@_ -]", "-", text)


def _comment(text: str) -> str:
    return " ".join(text.split())


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("snnprof.render", "."), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>", autoescape=False,
    )  # fmt: skip

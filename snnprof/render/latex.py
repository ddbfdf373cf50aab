"""Documents as LaTeX: booktabs tabulars that compile as they stand and fit the line of an article.

Columns that do not fit are left out, the most expendable first, unless they were asked for by name; names that are too
long are broken into lines. Needs UTF-8 input and the packages array and booktabs; siunitx where numbers are to stand
with their points under each other.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
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
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
    "–": "--", "—": "---", "…": r"\ldots{}", "’": "'", "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "·": r"$\cdot$",
    "µ": r"$\mu$", "μ": r"$\mu$", "Δ": r"$\Delta$", "Σ": r"$\Sigma$", "≈": r"$\approx$", "≤": r"$\leq$",
    "≥": r"$\geq$", "→": r"$\rightarrow$", "²": "$^2$", "³": "$^3$", "ᵀ": r"$^{\mathsf{T}}$", "[": "{[}", "]": "{]}",
    "*": "{*}",
}  # fmt: skip
_NUMBER = re.compile(r"([+−]?)(\d[\d,]*)(?:\.(\d+))?(?: ± (\d[\d,]*)(?:\.(\d+))?)?")


_LINE = 345.0  # points: the text of an article on A4 or letter paper
_CHARACTER = 4.3  # points, on average in \\footnotesize
_GAP = 6.0  # points between two columns
_SHORTEST_NAME = 100.0  # points
_PIECES = re.compile(r"[^._/:\s]{20}|[^._/:\s]*[._/:\s]|[^._/:\s]+")


def render(document: Document, siunitx: bool = False, caption: str = "", label: str = "", fit: bool = True) -> str:
    """The document's tables; with a caption or a label the first one alone, as a float.

    Args:
        siunitx: align numbers at their points, in S columns.
        caption, label: of the float.
        fit: leave out columns that make a table wider than the line.
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


def _context(table: Table, siunitx: bool, fit: bool) -> dict[str, object]:
    columns = _fitting(table) if fit else table.printed
    texts, headings = table.texts(columns), _headings(table, columns)
    by_column = list(zip(*texts, strict=True)) or [()] * len(columns)
    widths = _limits(columns, _natural(table, columns))
    pointed = [
        siunitx and column.numeric and any(map(_NUMBER.fullmatch, cells))
        for column, cells in zip(columns, by_column, strict=True)
    ]
    lines: list[str] = []
    for position, ruled in sections(table.rows):
        row = table.rows[position]
        bold = [row.total or column.key in row.best for column in columns]
        cells = map(_cell, texts[position], bold, pointed, widths)
        lines += ([r"\midrule"] if ruled else []) + [" & ".join(cells) + r" \\"]
    return {
        "title": _comment(table.title),
        "left_out": _comment(", ".join(column.header for column in table.printed if column not in columns)),
        "spec": "".join(
            _aligned(cells)
            if point
            else rf">{{\raggedright\arraybackslash}}p{{{width:.0f}pt}}"
            if width
            else "r"
            if column.numeric
            else "l"
            for column, cells, point, width in zip(columns, by_column, pointed, widths, strict=True)
        ),
        "groups": _groups(columns),
        "headers": _header_lines(headings, pointed),
        "lines": lines,
        "notes": [escaped(note) for note in table.notes],
    }


# -- what fits -------------------------------------------------------------------------------------------------


def _fitting(table: Table) -> tuple[Column, ...]:
    """The columns that fit the line, without the most expendable; those marked 0 always stay."""
    columns = table.printed
    while _least(table, columns) > _LINE and any(column.drop for column in columns):
        worst = max(columns, key=lambda column: column.drop)
        columns = tuple(column for column in columns if column is not worst)
    return columns


def _least(table: Table, columns: Sequence[Column]) -> float:
    """Points that a table needs with every name at its shortest."""
    widths = zip(_natural(table, columns), columns, strict=True)
    least = [width if column.numeric else min(width, _SHORTEST_NAME) for width, column in widths]
    return sum(least) + _GAP * len(columns)


def _natural(table: Table, columns: Sequence[Column]) -> list[float]:
    """Points that each column needs for its longest text."""
    headings = _headings(table, columns)
    by_column = zip(*table.texts(columns), strict=True) if table.rows else ([] for _ in columns)
    return [_CHARACTER * max(map(len, (*heading, *cells))) for heading, cells in zip(headings, by_column, strict=True)]


def _limits(columns: Sequence[Column], natural: Sequence[float]) -> list[float | None]:
    """Points that a column of names may take where the table is too wide for the line; null: what it needs."""
    names = [width for width, column in zip(natural, columns, strict=True) if not column.numeric]
    room = _LINE - _GAP * len(columns) - (sum(natural) - sum(names))
    limit = max(names, default=0.0)
    while limit > _SHORTEST_NAME and sum(min(width, limit) for width in names) > room:
        limit -= 1
    return [
        limit if not column.numeric and width > limit else None for width, column in zip(natural, columns, strict=True)
    ]


# -- cells -----------------------------------------------------------------------------------------------------


def _headings(table: Table, columns: Sequence[Column]) -> list[list[str]]:
    """Of each column: its name, on lines no longer than its cells or its longest word, and the unit on the last one."""
    by_column = zip(*table.texts(columns), strict=True) if table.rows else ([] for _ in columns)
    return [_heading(column, cells, table.unit(column)) for column, cells in zip(columns, by_column, strict=True)]


def _heading(column: Column, cells: Iterable[str], unit: str) -> list[str]:
    longest = max(map(len, (*cells, *column.header.split())), default=1)
    return [*textwrap.wrap(column.header, max(1, longest)), *([f"({unit})"] if unit else [])] or [""]


def _header_lines(headings: Sequence[Sequence[str]], pointed: Sequence[bool]) -> list[str]:
    """The lines of the head; short headings stand at its foot, over their numbers."""
    height = max(map(len, headings))
    padded = [[""] * (height - len(heading)) + list(heading) for heading in headings]
    return [
        " & ".join(
            f"{{{escaped(text)}}}" if point else escaped(text) for text, point in zip(line, pointed, strict=True)
        )
        + r" \\"
        for line in zip(*padded, strict=True)
    ]


def _groups(columns: Sequence[Column]) -> list[str]:
    """The line of headings over groups of columns, and the rules under it."""
    groups = [(name, len(list(each))) for name, each in groupby(columns, key=lambda column: column.group)]
    if not any(name for name, _ in groups):
        return []
    cells, rules, column = [], [], 1
    for name, span in groups:
        cells.append(rf"\multicolumn{{{span}}}{{c}}{{{escaped(name)}}}")
        if name:
            rules.append(rf"\cmidrule(lr){{{column}-{column + span - 1}}}")
        column += span
    return [" & ".join(cells) + r" \\", "".join(rules)]


def _cell(text: str, bold: bool, pointed: bool, width: float | None) -> str:
    if not text:
        return ""
    if pointed:
        plain = text.replace("−", "-").replace(",", "").replace("±", "+-")
        number = plain if _NUMBER.fullmatch(text) else f"{{{escaped(text)}}}"
        return rf"\bfseries {number}" if bold else number
    shown = _breakable(text) if width else escaped(text)
    return rf"\textbf{{{shown}}}" if bold else shown


def _breakable(text: str) -> str:
    """The text with places where a line may end: after what separates names, and within what has no such place."""
    pieces = [escaped(piece) + (" " if piece.endswith(" ") else r"\allowbreak{}") for piece in _PIECES.findall(text)]
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
    """The text as LaTeX prints it; a character pdflatex has no glyph for becomes its code point.

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
    """What may name a label: TeX would obey the rest."""
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

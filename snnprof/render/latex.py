"""Documents as LaTeX: booktabs tabulars that compile as they stand; the paper owns the float and the caption.

A table wider than the line is shrunk to it. Needs UTF-8 input and the packages booktabs and graphicx, and siunitx where
numbers are to stand with their points under each other.
"""

from __future__ import annotations

import re
from functools import cache
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


def render(document: Document, siunitx: bool = False) -> str:
    """The document's tables.

    Args:
        siunitx: align numbers at their points, in S columns.
    """
    document = cleaned(document)
    comments = [f"{label}: {text}" for label, text in document.facts]
    comments += [f"{notes.topic}: {text}" for notes in document.notes for text in notes.texts]
    return _environment().get_template("latex.j2").render(
        command=_comment(document.command),
        title=_comment(document.title),
        packages="booktabs,graphicx" + (",siunitx" if siunitx else ""),
        tables=[_context(table, siunitx) for table in document.tables],
        comments=[_comment(text) for text in comments],
    )  # fmt: skip


def _context(table: Table, siunitx: bool) -> dict[str, object]:
    columns, texts = table.printed, table.texts()
    aligned = [siunitx and column.numeric for column in columns]
    lines: list[str] = []
    for position, ruled in sections(table.rows):
        row = table.rows[position]
        bold = [row.total or column.key in row.best for column in columns]
        cells = map(_cell, texts[position], bold, aligned)
        lines += ([r"\midrule"] if ruled else []) + [" & ".join(cells) + r" \\"]
    by_column = list(zip(*texts, strict=True)) or [()] * len(columns)
    return {
        "title": _comment(table.title),
        "spec": "".join(
            _aligned(cells) if point else "r" if column.numeric else "l"
            for column, cells, point in zip(columns, by_column, aligned, strict=True)
        ),
        "groups": _groups(table),
        "header": " & ".join(_heading(column, table.unit(column)) for column in columns) + r" \\",
        "lines": lines,
        "notes": [escaped(note) for note in table.notes],
    }


def _heading(column: Column, unit: str) -> str:
    """The unit stands under the name, so that it makes no column wide; braces keep a heading out of an S column."""
    name = escaped(column.header)
    if unit:
        side = "r" if column.numeric else "l"
        name = rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{name}\\({escaped(unit)})\end{{tabular}}"
    return f"{{{name}}}" if column.numeric else name


def _groups(table: Table) -> list[str]:
    """The line of headings over groups of columns, and the rules under it."""
    groups = table.groups()
    if not groups:
        return []
    cells, rules, column = [], [], 1
    for name, span in groups:
        cells.append(rf"\multicolumn{{{span}}}{{c}}{{{escaped(name)}}}")
        if name:
            rules.append(rf"\cmidrule(lr){{{column}-{column + span - 1}}}")
        column += span
    return [" & ".join(cells) + r" \\", "".join(rules)]


def _cell(text: str, bold: bool, aligned: bool) -> str:
    if not text:
        return ""
    number = _NUMBER.fullmatch(text)
    if not aligned:
        return rf"\textbf{{{escaped(text)}}}" if bold else escaped(text)
    if not number:
        return f"{{{escaped(text)}}}"
    plain = text.replace("−", "-").replace(",", "").replace("±", "+-")
    return rf"\bfseries {plain}" if bold else plain


def _aligned(cells: tuple[str, ...]) -> str:
    """An S column wide enough for its cells."""
    found = [match.groups() for match in map(_NUMBER.fullmatch, cells) if match]
    sign = "+" if any(sign for sign, *_ in found) else ""
    whole = max((len(whole.replace(",", "")) for _, whole, *_ in found), default=1)
    decimals = max((len(decimals or "") for _, _, decimals, *_ in found), default=0)
    halves = [f"{int(half.replace(',', ''))}{(rest or '').ljust(decimals, '0')}" for *_, half, rest in found if half]
    uncertain = f"({max(len(half.lstrip('0')) or 1 for half in halves)}),separate-uncertainty" if halves else ""
    signed = ",retain-explicit-plus" if sign else ""
    return f"S[table-format={sign}{whole}.{decimals}{uncertain}{signed},detect-weight,mode=text]"


def escaped(text: str) -> str:
    """The text as LaTeX prints it; a character pdflatex has no glyph for becomes its code point.

    >>> escaped("a_b%c"), escaped("中")
    ('a\\\\_b\\\\%c', '{[}U+4E2D{]}')
    """
    return "".join(_character(character) for character in " ".join(line(text).split()))


def _character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character.isprintable() and ord(character) < 0x180:
        return character
    return "{[}" + f"U+{ord(character):04X}" + "{]}"


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

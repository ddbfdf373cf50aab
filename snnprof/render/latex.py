"""Documents as LaTeX: booktabs tabulars that compile as they stand; the paper owns the float and the caption.

Needs `\\usepackage{booktabs}` and UTF-8 input, nothing else.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from snnprof.render.table import Document, Table, sections

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


def render(document: Document) -> str:
    tables = [_context(table) for table in document.tables]
    template = _environment().get_template("latex.j2")
    comments = [f"{label}: {text}" for label, text in document.facts]
    comments += [f"{notes.topic}: {text}" for notes in document.notes for text in notes.texts]
    return template.render(
        command=_comment(document.command),
        title=_comment(document.title),
        tables=tables,
        comments=[_comment(text) for text in comments],
    )


def _context(table: Table) -> dict[str, object]:
    columns = table.printed
    lines: list[str] = []
    for (position, ruled), texts in zip(sections(table.rows), table.texts(), strict=True):
        row = table.rows[position]
        cells = [escaped(text) for text in texts]
        bold = [bool(cell) and (row.total or c.key in row.best) for c, cell in zip(columns, cells, strict=True)]
        marked = [rf"\textbf{{{cell}}}" if b else cell for b, cell in zip(bold, cells, strict=True)]
        lines += ([r"\midrule"] if ruled else []) + [" & ".join(marked) + r" \\"]
    return {
        "title": _comment(table.title),
        "spec": "".join("r" if column.numeric else "l" for column in columns),
        "header": " & ".join(escaped(header) for header in table.headers()) + r" \\",
        "lines": lines,
        "notes": [escaped(note) for note in table.notes],
    }


def escaped(text: str) -> str:
    """The text as LaTeX prints it; a character pdflatex has no glyph for becomes its code point.

    >>> escaped("a_b%c"), escaped("中")
    ('a\\\\_b\\\\%c', '{[}U+4E2D{]}')
    """
    return "".join(_character(character) for character in " ".join(text.split()))


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

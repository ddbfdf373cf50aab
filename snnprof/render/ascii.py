"""What is printed where there is nothing but ASCII: the signs that people type instead."""

from __future__ import annotations

SPARKS = "▁▂▃▄▅▆▇█"
ASCII = str.maketrans(
    {
        "–": "-", "−": "-", "—": "-", "µ": "u", "±": "+-", "×": "x", "…": "...", "·": "-", "≈": "~", "≥": ">=",
        "†": "+", "ᵀ": "^T", "ₜ": "_t", "✓": "ok", "✗": "!!", "─": "-", "’": "'",
        **dict(zip(SPARKS, "_.:-=+*#", strict=True)),
    }
)  # fmt: skip
"""Each height of a spark line has a sign of its own."""


def in_ascii(text: str) -> str:
    r"""The text in ASCII, in the signs that people type instead; a letter of a name as its escape.

    >>> in_ascii("≥ 3 µJ ± 1 %"), in_ascii("é")
    ('>= 3 uJ +- 1 %', '\\xe9')
    """
    return text.translate(ASCII).encode("ascii", "backslashreplace").decode()

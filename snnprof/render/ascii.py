"""Replaces signs that are not ASCII, for terminals and encodings without them."""

from __future__ import annotations

SPARKS = "▁▂▃▄▅▆▇█"
ASCII = str.maketrans(
    {
        "–": "-", "−": "-", "—": "-", "µ": "u", "±": "+-", "×": "x", "…": "...", "·": "-", "≈": "~", "≥": ">=",
        "†": "+", "ᵀ": "^T", "ₜ": "_t", "✓": "ok", "✗": "!!", "─": "-", "’": "'",
        **dict(zip(SPARKS, "_.:-=+*#", strict=True)),
    }
)  # fmt: skip
"""The replacement of each sign; every height of a sparkline has its own."""


def in_ascii(text: str) -> str:
    r"""The text in ASCII: signs are replaced by those that people type instead, other characters by their escapes.

    >>> in_ascii("≥ 3 µJ ± 1 %"), in_ascii("é")
    ('>= 3 uJ +- 1 %', '\\xe9')
    """
    return text.translate(ASCII).encode("ascii", "backslashreplace").decode()

"""What bad input raises: one clear sentence, and what to do next."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

LONGEST = 2000  # characters of one message
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters, marks and symbols that print as nothing."""


class SnnprofError(Exception):
    """Bad usage or bad input, in one sentence.

    Attributes:
        hint: what to do next, or "" where the sentence already says it.
        exit_code: what the command line exits with (2 = bad usage or input).
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class CheckFailed(SnnprofError):
    """A check the user asked for (`--strict`, `--fail-over`) did not hold."""

    exit_code = 1


class Dismissed(SystemExit):
    """Ends, in silence, a process of several whose leader says what there is to say."""


def unknown(what: str, name: str, known: Iterable[str], see: str = "", owner: str = "") -> SnnprofError:
    """The error for a name that is not in a list, with the nearest names as the hint.

    >>> str(unknown("preset", "huge", ["tiny"], owner="spikformer"))
    "spikformer has no preset 'huge'"
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    parts = []
    if near:
        parts.append("did you mean " + " or ".join(repr(n) for n in near) + "?")
    if see:
        parts.append(f"see '{see}'")
    elif not near and names:
        parts.append("known: " + ", ".join(names))
    named = f"{what} {name!r}".strip()
    return SnnprofError(f"{owner} has no {named}" if owner else f"unknown {named}", hint=" ".join(parts))


def first_line(error: BaseException) -> str:
    """What an error says, less what follows for its own developers; its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def visible(text: str) -> str:
    r"""The text with nothing that steers a terminal or misleads a reader; lines stay lines.

    Control characters, those that turn the direction of writing, and those that nobody sees are written as in Python.

    >>> visible("a\x1b[2J\u202eb\tc")
    'a\\x1b[2J\\u202eb c'
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character == "\n" or (character.isprintable() and character not in _BLANK):
        return character
    if character == "\t" or unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode()


def printable(text: str) -> str:
    """What a file or an argument brought in may steer the terminal, or never end."""
    shown = visible(text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2]} … {shown[-LONGEST // 4 :]}"

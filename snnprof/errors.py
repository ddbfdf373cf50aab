"""The error that bad input raises: one clear sentence, and what to do next."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

ERASE = "\r\x1b[K"
"""Clears the line of a terminal in which the cursor is."""
LONGEST = 2000  # characters of one message
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters, marks and symbols that print as nothing."""


class SnnprofError(Exception):
    """Bad usage or bad input, in one sentence.

    Args:
        message: what is wrong, without a full stop.
        hint: what to do next; `""` if the message already says it.

    Attributes:
        hint: what to do next; `""` if the message already says it.
        exit_code: exit status of the command line: 2, bad usage or input.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class CheckFailed(SnnprofError):
    """A check that the user asked for (`--strict`, `--fail-over`) failed. The exit status is 1.

    Attributes:
        exit_code: 1.
    """

    exit_code = 1


class Dismissed(SystemExit):
    """Ends one of several processes without a message: the first process prints it."""


def unknown(what: str, name: str, known: Iterable[str], see: str = "", owner: str = "") -> SnnprofError:
    """Makes the error for a name that is not in a list. Its hint names the nearest known names.

    >>> str(unknown("preset", "huge", ["tiny"], owner="spikformer"))
    "spikformer has no preset 'huge'"

    Args:
        what: what the name is of, such as `preset`; may be empty.
        name: the unknown name.
        known: all known names.
        see: a command that lists them; `""`: without a near name, the hint lists them.
        owner: what the names belong to; `""`: the message begins with `unknown`.

    Returns:
        The error, for the caller to raise.
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
    """Returns the first line of an error's message: further lines are for its developers.

    Args:
        error: any exception.

    Returns:
        The line; the name of the error's class if it has no message.
    """
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def visible(text: str) -> str:
    r"""Escapes what would control a terminal or mislead a reader; line breaks stay.

    Control characters, those that change the direction of writing, and invisible ones become Python escapes.

    >>> visible("a\x1b[2J\u202eb\tc")
    'a\\x1b[2J\\u202eb c'

    Args:
        text: any text, from a file or an argument.

    Returns:
        The text, safe to print; tabs and unusual spaces are plain spaces.
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character == "\n" or (character.isprintable() and character not in _BLANK):
        return character
    if character == "\t" or unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode()


def printable(text: str) -> str:
    """Makes a text from a file or an argument safe to print in a message, and shortens it.

    Args:
        text: any text.

    Returns:
        As `visible`, with at most about `LONGEST` characters.
    """
    shown = visible(text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2]} … {shown[-LONGEST // 4 :]}"

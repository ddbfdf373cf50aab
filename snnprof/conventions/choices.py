"""A convention and its options in one line: `exact:levels=events,attention=left`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

from snnprof.conventions.counts import Convention, Options
from snnprof.errors import SnnprofError, unknown

_TRUTH = {"yes": True, "true": True, "no": False, "false": False}


def changed_by(convention: Convention, text: str) -> Convention:
    """Returns the convention with the options of `NAME=VALUE,…`.

    Raises:
        SnnprofError: the text is not of that form, gives an option twice, or names an option or a value that the
            convention does not have.
    """
    changed: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not equals or not name or not value:
            raise SnnprofError(
                f"options of a convention are NAME=VALUE, not {part.strip()!r}",
                hint=f"convention {convention.id} takes {', '.join(convention.choices) or 'none'}",
            )
        if name in changed:
            raise SnnprofError(f"option {name} of convention {convention.id} is there twice")
        if name not in convention.options:
            raise unknown("option", name, convention.choices, owner=f"convention {convention.id}")
        changed[name] = _value(name, value)
    return convention.with_options(**changed)


def values_of(option: str) -> list[str]:
    """Returns the values that an option can have, as text; empty for a number."""
    kind = get_type_hints(Options)[option]
    return ["yes", "no"] if kind is bool else [str(value) for value in get_args(kind)]


def completions(convention: Convention, text: str) -> Iterator[str]:
    """Yields the texts that can follow the options begun in a text."""
    done, comma, last = text.rpartition(",")
    name, equals, _ = last.partition("=")
    before = f"{convention.id}:{done}{comma}"
    if equals and name in convention.choices:
        yield from (f"{before}{name}={value}" for value in values_of(name))
    else:
        yield from (f"{before}{choice}=" for choice in convention.choices)


def _value(option: str, text: str) -> Any:
    kind = get_type_hints(Options)[option]
    if kind is bool and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if kind is int and text.isascii() and text.isdecimal() and len(text) < 10:
        return int(text)
    if text in get_args(kind):
        return text
    allowed = ", ".join(values_of(option)) or "a whole number from 0 on"
    raise SnnprofError(
        f"{option}={text}: there is no such value",
        hint=f"{option} is {allowed}" if kind is int else f"{option} is one of: {allowed}",
    )

"""Checks the settings of a model against the annotations of the function that builds it."""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from snnprof.errors import SnnprofError

_ONE = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
_SEVERAL = {int: "whole numbers", float: "numbers", str: "texts", bool: "truth values"}
_LISTS = (list, tuple, collections.abc.Sequence, collections.abc.Iterable)


def must_suit(builder: Callable[..., Any], settings: Mapping[str, Any], spec: str) -> None:
    """Checks values against the annotations of the builder's parameters; without an annotation, any value is right.

    Raises:
        SnnprofError: a value is of another type.
    """
    for key, kind in _annotations(builder).items():
        if key in settings and not _suits(settings[key], kind):
            example = f"for example --set '{key}=[1, 2]'" if _is_list(kind) else ""
            raise SnnprofError(f"{key} of {spec} takes {in_words(kind)}, not {settings[key]!r}", hint=example)


def in_words(kind: Any) -> str:
    """A type annotation in plain words.

    >>> in_words(list[int] | None)
    'a list of whole numbers'
    """
    parts = _parts(kind)
    if len(parts) > 1:
        return " or ".join(map(in_words, parts))
    (part,) = parts
    inner = typing.get_args(part)
    if _is_list(part):
        return f"a list of {_SEVERAL.get(inner[0], 'values')}" if inner else "a list"
    if typing.get_origin(part) is collections.abc.Callable:
        return "a function, which only Python can pass"
    return _ONE.get(part) or inspect.formatannotation(part)


def _annotations(builder: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function or of a class's `__init__`; none if they cannot be evaluated."""
    function = builder.__init__ if inspect.isclass(builder) else builder
    try:
        return typing.get_type_hints(function)
    except Exception:  # annotations are the user's code and may raise any error
        return {}


def _suits(value: Any, kind: Any) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    except (PydanticUserError, TypeError):  # a type that only its own package understands
        return True
    return True


def _parts(kind: Any) -> list[Any]:
    """The members of a union, without None."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return [kind]
    return [part for part in typing.get_args(kind) if part is not type(None)]


def _is_list(kind: Any) -> bool:
    return any((typing.get_origin(part) or part) in _LISTS for part in _parts(kind))

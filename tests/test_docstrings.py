"""Public names are documented in full: every parameter, result, field and error that a user can meet.

Public is what a user can reach: the names of `snnprof.__all__`, the modules of the Python reference, the bundled
models, and from there each class that a parameter, a result or a field is annotated with.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import inspect
import pkgutil
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

import snnprof
import snnprof.models

MODULES = ("snnprof.records", "snnprof.errors", "snnprof.pytest_plugin")
MODELS = [f"snnprof.models.{module.name}" for module in pkgutil.iter_modules(snnprof.models.__path__)]


def reachable() -> dict[str, Any]:
    """The public functions and classes by their full name."""
    found: dict[str, Any] = {}
    waiting = [getattr(snnprof, name) for name in snnprof.__all__]
    waiting += [importlib.import_module(name) for name in (*MODULES, *MODELS)]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, types.ModuleType):
            waiting += [value for name, value in vars(thing).items()
                        if not name.startswith("_") and getattr(value, "__module__", "") == thing.__name__]  # fmt: skip
        elif isinstance(thing, type | types.FunctionType) and thing.__module__.startswith("snnprof"):
            name = f"{thing.__module__}.{thing.__qualname__}"
            if name not in found and not thing.__name__.startswith("_"):
                found[name] = thing
                waiting += _next(thing)
    return found


def _next(thing: Any) -> list[Any]:
    if inspect.isfunction(thing):
        return list(_annotated(thing))
    bases = [base for base in thing.__mro__[1:] if base.__module__.startswith("snnprof")]
    return [*bases, *(function for function, _ in _methods(thing)), *_annotated(thing), *_annotated(thing.__init__)]


def _methods(cls: type) -> Iterator[tuple[types.FunctionType, bool]]:
    """The public functions in a class's body, and whether each is read as a property."""
    for name, value in vars(cls).items():
        is_property = isinstance(value, property | functools.cached_property)
        if isinstance(value, property):
            value = value.fget
        value = getattr(value, "func", getattr(value, "__func__", value))
        if not name.startswith("_") and inspect.isfunction(value) and value.__module__ == cls.__module__:
            yield value, is_property


def _annotated(thing: Any) -> Iterator[type]:
    try:
        hints = typing.get_type_hints(thing, vars(sys.modules[thing.__module__]))
    except (NameError, AttributeError, TypeError):  # names that only the type checker imports
        return
    for hint in hints.values():
        yield from _classes(hint)


def _classes(hint: Any) -> Iterator[type]:
    if isinstance(hint, type):
        yield hint
    for argument in typing.get_args(hint):
        for each in argument if isinstance(argument, list) else [argument]:
            yield from _classes(each)


PUBLIC = reachable()
PROPERTIES = {f"{function.__module__}.{function.__qualname__}"
              for cls in PUBLIC.values() if isinstance(cls, type)
              for function, is_property in _methods(cls) if is_property}  # fmt: skip


def undocumented(name: str) -> list[str]:
    """What the docstring of a public name leaves out."""
    thing = PUBLIC[name]
    text = inspect.getdoc(thing) if inspect.isfunction(thing) else (vars(thing).get("__doc__") or "")
    if not text:
        return ["docstring"]
    if isinstance(thing, type):
        initial = getattr(vars(thing).get("__init__"), "__doc__", "") or ""
        return [
            *_missing("Attributes", _fields(thing), text),
            *_missing("Args", _parameters_of_init(thing), text + initial),
        ]
    missing = _missing("Args", _parameters(thing), text)
    if name not in PROPERTIES and _returns(thing) and "Returns:" not in text and "Yields:" not in text:
        missing.append("Returns")
    return missing + _missing("Raises", sorted(_raised(thing)), text)


def _missing(section: str, names: list[str], text: str) -> list[str]:
    listed = text.partition(f"{section}:")[2]
    return [f"{section}: {name}" for name in names if f"{name}:" not in listed and f"{name} (" not in listed]


def _fields(cls: type) -> list[str]:
    """The fields that this class itself declares: those of a record, a dataclass or a named tuple."""
    own = [name for name in vars(cls).get("__annotations__", {}) if not name.startswith("_")]
    holds_fields = issubclass(cls, BaseModel) or dataclasses.is_dataclass(cls) or hasattr(cls, "_fields")
    return own if holds_fields else []


def _parameters_of_init(cls: type) -> list[str]:
    initial = vars(cls).get("__init__")
    generated = dataclasses.is_dataclass(cls) or issubclass(cls, BaseModel) or getattr(cls, "_is_protocol", False)
    return _parameters(initial) if inspect.isfunction(initial) and not generated else []


def _parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters
            if name not in ("self", "cls", "ctx") and not name.startswith("_")]  # fmt: skip


def _returns(function: Any) -> bool:
    return function.__annotations__.get("return") not in (None, "None", "NoReturn", "Never")


def _raised(function: Any) -> set[str]:
    """The names of the errors that stand in the function's own `raise` statements."""
    body = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    called = (node.exc for node in ast.walk(body) if isinstance(node, ast.Raise) and node.exc is not None)
    names = {ast.unparse(error.func if isinstance(error, ast.Call) else error).split(".")[-1] for error in called}
    return {
        name for name in names if name[:1].isupper() and name not in ("NotImplementedError", "AttributeError", "Exit")
    }


@pytest.mark.parametrize(
    "name",
    [
        "snnprof.workload.run.profile",
        "snnprof.records.OpRecord.dense_macs",
        "snnprof.hardware.schema.HardwareProfile",
        "snnprof.models.neuron.LIF",
        "snnprof.comparison.Comparison",
    ],
)
def test_the_walk_reaches_what_users_hold(name: str) -> None:
    assert name in PUBLIC


@pytest.mark.parametrize("module", sorted({PUBLIC[name].__module__ for name in PUBLIC}))
def test_docstrings_are_complete(module: str) -> None:
    lacking = {
        name: missing
        for name in sorted(PUBLIC)
        if PUBLIC[name].__module__ == module and (missing := undocumented(name))
    }
    assert not lacking, "\n".join(f"{name}: {', '.join(missing)}" for name, missing in lacking.items())

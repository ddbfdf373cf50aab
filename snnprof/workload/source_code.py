"""A digest of a model's source files, so that a run is not resumed with another network."""

from __future__ import annotations

import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

INSTALLED = {"site-packages", "dist-packages"}  # folders of installed packages, also of other environments
OURS = "snnprof"  # compared by its version, except the bundled models, which count as source files


def digest(model: nn.Module, spec: str) -> str:
    """A digest of all source files that define the model's classes and builder, and of those that they import.

    It is "" if there are none. The standard library and installed packages are left out: their versions are compared.
    """
    named = sys.modules.get(_module_name(spec))
    start = [_module_of(kind) for module in model.modules() for kind in type(module).__mro__]
    files = {path.name + _content(path) for path in _files([*start, named])}
    return hashlib.sha256("\n".join(sorted(files)).encode()).hexdigest()[:16] if files else ""


def _module_name(spec: str) -> str:
    """The name under which the module of `FILE.py:FUNCTION` or `package.module:ATTR` was imported."""
    place = spec.rpartition(":")[0]
    return f"_snnprof_file_{Path(place).stem}" if place.endswith(".py") else place


def _files(modules: Iterable[ModuleType | None]) -> Iterator[Path]:
    waiting, seen = list(modules), set()
    while waiting:
        module = waiting.pop()
        file = getattr(module, "__file__", None)
        if module is None or file is None or module.__name__ in seen or not _is_users(module.__name__, Path(file)):
            continue
        seen.add(module.__name__)
        yield Path(file)
        waiting += [_module_of(value) for value in list(vars(module).values())]


def _module_of(value: Any) -> ModuleType | None:
    """The module itself, or the module that defines a class or function; None for other values."""
    if isinstance(value, ModuleType):
        return value
    name = getattr(value, "__module__", None) if inspect.isclass(value) or inspect.isroutine(value) else None
    return sys.modules.get(name) if isinstance(name, str) else None


def _is_users(name: str, file: Path) -> bool:
    if name == OURS or (name.startswith(f"{OURS}.") and not name.startswith(f"{OURS}.models.")):
        return False
    return INSTALLED.isdisjoint(file.parts) and not any(file.is_relative_to(folder) for folder in _installed())


def _installed() -> list[str]:
    paths = sysconfig.get_paths()
    return [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:  # the file was deleted after the import, or is in an archive
        return ""

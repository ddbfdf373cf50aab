"""What other packages add by entry points, and the error for one that is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint
from typing import TypeVar

from snnprof.errors import SnnprofError

T = TypeVar("T")

BROKEN = (Exception, SystemExit)  # all that another package's code may raise when it is imported


def in_order(names: Iterable[str], load: Callable[[str], T]) -> tuple[list[T], list[SnnprofError]]:
    """Loads each name; returns what loads, and the errors of the others: a broken one hides no good one."""
    good: list[T] = []
    broken: list[SnnprofError] = []
    for name in names:
        try:
            good.append(load(name))
        except SnnprofError as error:
            broken.append(error)
    return good, broken


def failed(what: str, entry: EntryPoint, error: BaseException) -> SnnprofError:
    """Makes the error for an entry point that does not load, or that names something invalid."""
    package = _package(entry)
    reason = str(error) if isinstance(error, SnnprofError) else f"{type(error).__name__}: {error}"
    return SnnprofError(
        f"{what} of the package {package!r}: its entry point {entry.value} failed: {reason}",
        hint=f"update or uninstall {package}",
    )


def _package(entry: EntryPoint) -> str:
    """Returns the name to uninstall; for an entry point of no installed package, the package that it would import."""
    return entry.dist.name if entry.dist else entry.value.partition(":")[0].partition(".")[0]

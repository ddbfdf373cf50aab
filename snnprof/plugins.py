"""What other packages add by entry points, and how to say that one of them is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint
from typing import TypeVar

from snnprof.errors import SnnprofError

T = TypeVar("T")

BROKEN = (Exception, SystemExit)  # whatever somebody else's code raises as it is imported


def in_order(names: Iterable[str], load: Callable[[str], T]) -> tuple[list[T], list[SnnprofError]]:
    """What loads of so many names, and what is wrong with the others: a broken one hides no good one."""
    good: list[T] = []
    broken: list[SnnprofError] = []
    for name in names:
        try:
            good.append(load(name))
        except SnnprofError as error:
            broken.append(error)
    return good, broken


def failed(what: str, entry: EntryPoint, error: BaseException) -> SnnprofError:
    """The error for an entry point that does not load, or names something that is not in order."""
    package = _package(entry)
    reason = str(error) if isinstance(error, SnnprofError) else f"{type(error).__name__}: {error}"
    return SnnprofError(
        f"{what} of the package {package!r}: its entry point {entry.value} failed: {reason}",
        hint=f"update or uninstall {package}",
    )


def _package(entry: EntryPoint) -> str:
    """The name to uninstall; of an entry point that belongs to no installed package, what it would import."""
    return entry.dist.name if entry.dist else entry.value.partition(":")[0].partition(".")[0]

"""A progress bar for programs and notebooks; `cli/progress.py` has the one for terminals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from snnprof.options import Progress, unit_of

if TYPE_CHECKING:
    from tqdm import tqdm


@contextmanager
def bar() -> Iterator[Progress]:
    """Yields a progress callback that shows each phase as a line of plain text on stderr, also in notebooks."""
    from tqdm import tqdm

    lines: dict[str, tqdm] = {}

    def tell(phase: str, done: int, total: int | None) -> None:
        if phase not in lines:
            _close(lines)
            lines[phase] = tqdm(desc=phase, total=total, unit=f" {unit_of(phase)}")
        lines[phase].update(done - lines[phase].n)

    try:
        yield tell
    finally:
        _close(lines)


def _close(lines: dict[str, tqdm]) -> None:
    for line in lines.values():
        line.close()

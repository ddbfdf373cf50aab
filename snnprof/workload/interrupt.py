"""Ctrl-C: the first one takes effect when the batch has ended, the second at once, but never within a save."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


@contextmanager
def undisturbed() -> Iterator[None]:
    """Delays interrupts until the block has ended, so that what it does is done completely.

    It replaces the handler and does not block the signal: a blocked signal would go to another thread of the process.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            before(*came[-1])


class Interrupt:
    """While it is entered, the first interrupt only sets `requested`; the next one raises KeyboardInterrupt."""

    def __init__(self, listens: bool = True) -> None:
        """Outside the main thread, which alone receives signals, or without `listens`, Ctrl-C works as usual."""
        self.requested = False
        self._listens = listens and threading.current_thread() is threading.main_thread()
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        if self._listens and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

"""Ctrl-C between batches: the first one is kept until a batch has ended, the second until what is written is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


@contextmanager
def undisturbed() -> Iterator[None]:
    """An interrupt that comes meanwhile comes afterwards: what happens in here is whole or has not begun.

    The handler is exchanged, not the signal blocked: another thread of the process would take it then.
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
    """While it is entered, the first interrupt only sets `heard`; the next raises KeyboardInterrupt as ever."""

    def __init__(self, listens: bool = True) -> None:
        """Signals reach the main thread only; elsewhere, or where it does not listen, nothing changes."""
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

"""Suspends the recorder's modes in parts of a pass, hides its own arithmetic, and shares switches of the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from snnprof.record.torch_private import DISPATCH_MODES, FUNCTION_MODES, Stack, dispatch_disabled


def _remove(stack: Stack, mode: Any) -> int | None:
    """Takes the innermost mode away, if it is this one; how many are left then."""
    if not stack.length():
        return None
    innermost = stack.pop()
    if innermost is mode:
        return stack.length()
    stack.push(innermost)
    return None


def _put_back(stack: Stack, mode: Any, depth: int) -> None:
    """Below the modes that somebody entered meanwhile, and has not left yet."""
    above = [stack.pop() for _ in range(stack.length() - depth)]
    for each in [mode, *reversed(above)]:
        stack.push(each)


class Suspended:
    """From now until it is closed two modes see nothing: one of calls, the other of operators."""

    def __init__(self, calls: Any, operators: Any) -> None:
        modes = ((FUNCTION_MODES, calls), (DISPATCH_MODES, operators))
        self._removed = [(stack, mode, depth) for stack, mode in modes if (depth := _remove(stack, mode)) is not None]

    def close(self) -> None:
        for stack, mode, depth in self._removed:
            _put_back(stack, mode, depth)


class Unseen:
    """From now until it is closed no mode sees an operator.

    For the recorder's own arithmetic, which is none of the model's, and for what nobody else can want to see.
    """

    def __init__(self) -> None:
        self._guard: Any = dispatch_disabled()

    def close(self) -> None:
        self._guard = None

    def __enter__(self) -> Unseen:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Shared:
    """Switches of the whole process: turned by the first who needs them, in whatever thread, put back by the last."""

    def __init__(self, turned: Callable[[], AbstractContextManager[None]]) -> None:
        self._turned = turned
        self._users = 0
        self._lock = threading.Lock()
        self._open = ExitStack()

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._lock:
            if not self._users:
                self._open.enter_context(self._turned())
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._open.close()

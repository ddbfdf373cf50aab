"""Suspends the recorder's modes in parts of a pass, hides the recorder's own operators, and shares global switches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from snnprof.record.torch_private import DISPATCH_MODES, FUNCTION_MODES, Stack, dispatch_disabled


def _remove(stack: Stack, mode: Any) -> int | None:
    """Removes the innermost mode if it is this one, and returns how many are left; None if it is another one."""
    if not stack.length():
        return None
    innermost = stack.pop()
    if innermost is mode:
        return stack.length()
    stack.push(innermost)
    return None


def _put_back(stack: Stack, mode: Any, depth: int) -> None:
    """Puts a mode back below the modes that were entered meanwhile and not left yet."""
    above = [stack.pop() for _ in range(stack.length() - depth)]
    for each in [mode, *reversed(above)]:
        stack.push(each)


class Suspended:
    """Hides function calls and operators from the recorder's two modes, from now until it is closed."""

    def __init__(self, calls: Any, operators: Any) -> None:
        modes = ((FUNCTION_MODES, calls), (DISPATCH_MODES, operators))
        self._removed = [(stack, mode, depth) for stack, mode in modes if (depth := _remove(stack, mode)) is not None]

    def close(self) -> None:
        """Lets the modes see again."""
        for stack, mode, depth in self._removed:
            _put_back(stack, mode, depth)


class Unseen:
    """Hides operators from all modes, from now until it is closed.

    The recorder runs its own operators under it, since they are not the model's.
    """

    def __init__(self) -> None:
        self._guard: Any = dispatch_disabled()

    def close(self) -> None:
        """Lets modes see operators again."""
        self._guard = None

    def __enter__(self) -> Unseen:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Shared:
    """Switches of the whole process: the first recorder that needs them sets them, the last one resets them."""

    def __init__(self, turned: Callable[[], AbstractContextManager[None]]) -> None:
        self._turned = turned
        self._users = 0
        self._lock = threading.Lock()
        self._open = ExitStack()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps the switches set inside a `with` block."""
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

"""Parts of a pass in which nothing need be watched: the recorder's modes step out of the way, everybody else's stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch


class Stack(NamedTuple):
    """One of PyTorch's stacks of modes."""

    length: Callable[[], int]
    pop: Callable[[], Any]
    push: Callable[[Any], None]

    def remove(self, mode: Any) -> int | None:
        """Takes the innermost mode away, if it is this one; how many are left then."""
        if not self.length():
            return None
        innermost = self.pop()
        if innermost is mode:
            return self.length()
        self.push(innermost)
        return None

    def put_back(self, mode: Any, depth: int) -> None:
        """Below the modes that somebody entered meanwhile, and has not left yet."""
        above = [self.pop() for _ in range(self.length() - depth)]
        for each in [mode, *reversed(above)]:
            self.push(each)


FUNCTIONS = Stack(
    torch._C._len_torch_function_stack, torch._C._pop_torch_function_stack, torch._C._push_on_torch_function_stack
)
OPERATORS = Stack(
    torch._C._len_torch_dispatch_stack,
    lambda: torch._C._pop_torch_dispatch_stack(None),
    torch._C._push_on_torch_dispatch_stack,
)


class Unwatched:
    """From now until it is closed two modes see nothing: one of calls, the other of operators."""

    def __init__(self, calls: Any, watcher: Any) -> None:
        modes = ((FUNCTIONS, calls), (OPERATORS, watcher))
        self._removed = [(stack, mode, depth) for stack, mode in modes if (depth := stack.remove(mode)) is not None]

    def close(self) -> None:
        for stack, mode, depth in self._removed:
            stack.put_back(mode, depth)


class Undispatched:
    """From now until it is closed no mode sees an operator.

    For the recorder's own arithmetic, which is none of the model's, and for what nobody else can want to see.
    """

    def __init__(self) -> None:
        self._guard: Any = torch._C._DisableTorchDispatch()

    def close(self) -> None:
        self._guard = None

    def __enter__(self) -> Undispatched:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

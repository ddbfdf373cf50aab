"""What the recorder has to step out of, or to keep out of, without touching what is everybody else's.

Parts of a pass in which nothing need be watched, its own arithmetic, and switches that several recorders share.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
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


@contextmanager
def untraced() -> Iterator[None]:
    """What runs inside is no part of a graph that `torch.jit.trace` is making, in which sizes are no numbers."""
    tracer: Any = torch._C
    state = tracer._get_tracing_state()
    tracer._set_tracing_state(None)
    try:
        yield
    finally:
        tracer._set_tracing_state(state)


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

"""Names the place in the user's code that an operator is called from."""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Any

from torch import nn

_MODULE_CALLS = {nn.Module._call_impl.__code__, nn.Module._wrapped_call_impl.__code__}


def callers() -> tuple[Any, ...]:
    """The calling lines from the operator up to the module whose forward runs it; loops repeat them."""
    frame = _calling_frame()
    chain: list[Any] = []
    while frame is not None and frame.f_code not in _MODULE_CALLS and len(chain) < 64:
        chain.append(_place(frame))
        frame = frame.f_back
    return tuple(chain)


def caller() -> tuple[Any, ...]:
    frame = _calling_frame()
    return _place(frame) if frame is not None else ()


# Code objects are named by their address, since to hash one is to hash its constants; holding them keeps it theirs.
_PLACES: dict[tuple[int, int], tuple[CodeType, tuple[Any, ...]]] = {}
_PLUMBING: dict[int, tuple[CodeType, bool]] = {}


def _place(frame: FrameType) -> tuple[Any, ...]:
    """The expression a frame is at: its code, line and column.

    The instruction would not do: from Python 3.11 on the interpreter moves within a call as it specialises it.
    """
    code, at = frame.f_code, frame.f_lasti
    known = _PLACES.get((id(code), at))
    if known is None:
        positions = getattr(code, "co_positions", None)
        where = list(positions())[at // 2] if positions else (at,)
        known = _PLACES[id(code), at] = code, (id(code), *where)
    return known[1]


def _calling_frame() -> FrameType | None:
    """The line that called the operator: past this package, and past the frames that torch puts round a dispatch mode.

    Those come and go as the compiler is loaded, so they are no part of what names a call site.
    """
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        _, plumbing = _PLUMBING.get(id(frame.f_code)) or _learned(frame.f_code)
        if not plumbing:
            break
        frame = frame.f_back
    return frame


def _learned(code: CodeType) -> tuple[CodeType, bool]:
    """Keeps whether a function is plumbing."""
    path = code.co_filename.replace("\\", "/")
    inside = any(part in path for part in ("/torch/_dynamo/", "/snnprof/record/"))
    _PLUMBING[id(code)] = code, inside or path.endswith(("torch/_compile.py", "torch/_ops.py"))
    return _PLUMBING[id(code)]


def source() -> str:
    """`file:line` of the user's code that runs the operator."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename.replace("\\", "/")
        if "/torch/" not in path and "snnprof/record/" not in path:
            return f"{path.rpartition('/')[2]}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""

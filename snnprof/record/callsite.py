"""Names the place in the user's code that an operator is called from."""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Any

from torch import nn

Place = tuple[Any, ...]

# Code objects are named by their address, since to hash one is to hash its constants; holding them keeps it theirs.
_MODULE_CALLS = {id(f.__code__): f.__code__ for f in (nn.Module._call_impl, nn.Module._wrapped_call_impl)}
_PLACES: dict[tuple[int, int], tuple[CodeType, Place | None]] = {}


def callers() -> tuple[Any, ...]:
    """The calling lines from the operator up to the module whose forward runs it; loops repeat them.

    This package's frames, and those that torch puts round a dispatch mode, are left out: they come and go as the
    compiler is loaded.
    """
    frame: FrameType | None = sys._getframe(2)
    chain: list[Place] = []
    while frame is not None and id(frame.f_code) not in _MODULE_CALLS and len(chain) < 64:
        place = _place(frame)
        if place is not None:
            chain.append(place)
        frame = frame.f_back
    return tuple(chain)


def caller() -> Place:
    """The first of `callers`."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        place = _place(frame)
        if place is not None:
            return place
        frame = frame.f_back
    return ()


def _place(frame: FrameType) -> Place | None:
    """The expression a frame is at; None in code that names no call site."""
    known = _PLACES.get((id(frame.f_code), frame.f_lasti))
    return known[1] if known else _learned(frame.f_code, frame.f_lasti)


def _learned(code: CodeType, at: int) -> Place | None:
    """Keeps the expression that an instruction belongs to, by line and column; None where it is plumbing.

    The instruction would not do: from Python 3.11 on the interpreter moves within a call as it specialises it.
    """
    place: Place | None = None
    if not _plumbing(code):
        positions = getattr(code, "co_positions", None)
        place = (id(code), *(list(positions())[at // 2] if positions else (at,)))
    _PLACES[id(code), at] = code, place
    return place


def _plumbing(code: CodeType) -> bool:
    path = code.co_filename.replace("\\", "/")
    inside = any(part in path for part in ("/torch/_dynamo/", "/snnprof/record/"))
    return inside or path.endswith(("torch/_compile.py", "torch/_ops.py"))


def source() -> str:
    """`file:line` of the user's code that runs the operator."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename.replace("\\", "/")
        if "/torch/" not in path and "snnprof/record/" not in path:
            return f"{path.rpartition('/')[2]}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""

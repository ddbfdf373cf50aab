"""Finds the place in the user's code that calls an operator."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from torch import nn

Expression = int
"""The number of an expression in somebody's code; 0 is plumbing, which names no call site."""

# Code objects are named by their address, since to hash one is to hash its constants; holding them keeps it theirs.
_MODULE_CALL = nn.Module.__call__.__code__
_PLACES: dict[tuple[int, int], tuple[Expression, CodeType]] = {}
_BETWEEN = (
    "/torch/_compile.py",
    "/torch/_ops.py",
    "/torch/_tensor.py",
    "/torch/overrides.py",
    "/torch/nn/modules/module.py",
)
_EXPRESSIONS: dict[tuple[Any, ...], Expression] = {}
_NUMBERS = itertools.count(1)  # in one step, whichever thread takes the next


def chain(frame: FrameType | None = None) -> tuple[Expression, ...]:
    """The expressions that call an operator, innermost first, up to the forward of the module that runs it.

    Calls in a loop have the same expressions. Frames of this package, and frames that torch puts round a dispatch mode,
    are left out: they change when the compiler is loaded.
    """
    frame = frame or sys._getframe(2)
    chain: list[Expression] = []
    while frame is not None and frame.f_code is not _MODULE_CALL and len(chain) < 64:
        place = place_of(frame)
        if place:
            chain.append(place)
        frame = frame.f_back
    return tuple(chain)


def caller(frame: FrameType | None) -> Expression:
    """The innermost expression in the user's code, from a frame outwards; 0 if there is none."""
    while frame is not None:
        place = place_of(frame)
        if place:
            return place
        frame = frame.f_back
    return 0


def place_of(frame: FrameType) -> Expression:
    """The expression that a frame runs now; 0 for a frame of this package or of torch's own."""
    code, at = frame.f_code, frame.f_lasti
    place, _ = _PLACES.get((id(code), at)) or _learned(code, at)
    return place


def _learned(code: CodeType, at: int) -> tuple[Expression, CodeType]:
    """Numbers the expression that an instruction belongs to, by line and column.

    The instruction itself does not name the expression: from Python 3.11 on, `f_lasti` moves within one call as the
    interpreter specialises it.
    """
    place = 0
    if not _plumbing(code):
        positions = getattr(code, "co_positions", None)
        expression = (id(code), *(list(positions())[at // 2] if positions else (at,)))
        place = _EXPRESSIONS.get(expression) or _EXPRESSIONS.setdefault(expression, next(_NUMBERS))
    found = _PLACES[id(code), at] = place, code
    return found


def _plumbing(code: CodeType) -> bool:
    """Whether code is part of this package, or of torch's machinery between a module and its operators."""
    path = code.co_filename.replace("\\", "/")
    inside = any(part in path for part in ("/torch/_dynamo/", "/snnprof/record/"))
    return inside or path.endswith(_BETWEEN)


def source() -> str:
    """`file:line` of the user's code that runs the current operator; empty if no frame is the user's."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename.replace("\\", "/")
        if "/torch/" not in path and "snnprof/record/" not in path:
            return f"{path.rpartition('/')[2]}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


def line(frame: FrameType) -> tuple[str, str]:
    """`file:line` in the forward of the module that runs a frame, and the name of the frame's own function."""
    function, where = "", ""
    for caller in _frames(frame):
        function = function or caller.f_code.co_name
        where = f"{caller.f_code.co_filename.replace(chr(92), '/').rpartition('/')[2]}:{caller.f_lineno}"
    return where, function


def code_ids(frame: FrameType) -> list[int]:
    """The addresses of the user's code objects that run, from a frame up to the module's forward."""
    return [id(caller.f_code) for caller in _frames(frame)]


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """The user's frames, from this one up to the forward of the module that runs it, innermost first."""
    while frame is not None and frame.f_code is not _MODULE_CALL:
        if not _plumbing(frame.f_code) and "/torch/" not in frame.f_code.co_filename.replace("\\", "/"):
            yield frame
        frame = frame.f_back

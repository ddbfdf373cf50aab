"""Tells loops over time from loops over depth, by what feeds the lines of code that compare or round real values.

A line keeps state if it decided before on what its operand is made of. Over time, as in `v = 0.9 * v + layer(x[t])`, the
same contractions feed each turn of the loop. Over depth, as in `x = x + layer(spike(x))` for each layer of a list, one
more contraction feeds each turn. A recurrent network whose first step has no spikes to read yet also gets one more in
its second step; but there fresh input comes through a contraction that fed the first step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple, Protocol, TypeVar

Ops = frozenset[int]
"""Contractions, by the numbers in `Facts.ops`."""
Value = tuple[int, ...]
"""The number of a value, then which part of it."""


class Term(NamedTuple):
    """A value in the sum that an operand is: its factor without the sign, and the contractions that made it."""

    factor: Fraction
    ops: Ops


@dataclass
class Feed:
    """What feeds the calls of a line of code.

    Attributes:
        ops: the contractions that feed any call.
        runs: how often each of them had run at the last call.
        terms: the values that the operand of any call was a sum of, each with its largest factor.
        last: those of the last call.
        written: how many values had been made at the last call; they are numbered in order.
    """

    ops: Ops = frozenset()
    runs: dict[int, int] = field(default_factory=dict)
    terms: dict[Value, Term] = field(default_factory=dict)
    last: dict[Value, Term] = field(default_factory=dict)
    written: int = 0

    def ran_since(self, before: Feed, ops: Ops) -> bool:
        """Whether one of these contractions, which feed both calls, has run again since an earlier call."""
        return any(self.runs[op] > before.runs[op] for op in ops & self.ops & before.ops)

    def fresh_since(self, before: Feed, ops: Ops) -> bool:
        """Whether one of these contractions feeds more into this call than into those before.

        It ran again, or it ran once for all steps: another part of its result is added, or the same result once more.
        """
        ops &= before.ops
        return self.ran_since(before, ops) or any(
            value[0] < before.written and bool(term.ops & ops) and term.factor > before.factor_of(value)
            for value, term in self.terms.items()
        )

    def factor_of(self, value: Value) -> Fraction:
        """The largest factor that a value had."""
        return self.terms[value].factor if value in self.terms else Fraction(0)

    def add(self, call: Feed) -> None:
        """Remembers a call of the line."""
        self.ops |= call.ops
        self.runs = self.runs | call.runs
        more = {value: term for value, term in call.terms.items() if term.factor > self.factor_of(value)}
        self.terms = self.terms | more
        self.last, self.written = call.terms, call.written


class Fed(Protocol):
    """Anything that contractions feed."""

    feed: Feed


F = TypeVar("F", bound=Fed)


def same_line(lines: Iterable[F], call: Feed) -> F | None:
    """Finds, among the lines at one place in the code, the line that a call belongs to; None for a line of its own."""
    known = list(lines)
    alike = (line for line in known if line.feed.ops == call.ops)
    again = (line for line in known if call.fresh_since(line.feed, call.ops))
    return next(alike, None) or next(again, None)


@dataclass
class _Line:
    """A line that decides.

    Attributes:
        number: its name in `Facts.decided`.
        feed: what feeds it.
        above: for a line that seems to lie one block of layers deeper than another one: the contractions that feed
            both. None for a line whose first operand is made of nothing that was decided on at its place.
        grew: a call had more contractions than those before.
    """

    number: int
    feed: Feed
    above: Ops | None
    grew: bool = False

    @property
    def unfed(self) -> bool:
        """Whether it has decided on constants alone so far."""
        return not self.feed.written


class Decisions:
    """The lines that decide, and which of them keep state over time.

    Attributes:
        made: the numbers of the lines that decided in this pass, in order.
        carrying: the numbers of the lines that keep state over time.
        unclear: those whose turns may be steps of time or blocks of layers.
    """

    def __init__(self, runs: Callable[[int], int]) -> None:
        self.made: list[int] = []
        self.carrying: set[int] = set()
        self.unclear: set[int] = set()
        self._runs = runs
        self._lines: dict[Hashable, list[_Line]] = {}
        self._idle: Counter[Hashable] = Counter()
        self._next = 0

    def begin_pass(self) -> None:
        self.made.clear()
        self._idle.clear()

    def feed(self, ops: Ops, terms: dict[Value, Term], written: int) -> Feed:
        """What feeds a call that happens now."""
        return Feed(ops, {op: self._runs(op) for op in ops}, terms, terms, written)

    def decide(self, place: Hashable, call: Feed, decided: Ops) -> int:
        """Notes that a place in the code compares or rounds values, and returns the number of the line that does.

        Args:
            call: what feeds the values.
            decided: numbers of the lines that decided on what the values are made of.
        """
        lines = self._lines.setdefault(place, [])
        line = same_line(lines, call) or self._from_constants(lines, decided)
        if line is None:
            above = [line.feed.ops & call.ops for line in lines if line.number in decided]
            line = self._new_line(place, above[-1] if above else None)
        elif line.number in decided:
            self._decide_again(line, call)
        line.feed.add(call)
        self.made += [line.number] * (1 + self._idle.pop(place, 0))
        return line.number

    def decide_on_constants(self, place: Hashable) -> int:
        """Notes that a place compares or rounds constants, as a line does first whose state starts as zeros."""
        self._idle[place] += 1
        unfed = next((line for line in self._lines.get(place, []) if line.unfed), None)
        return (unfed or self._new_line(place, None)).number

    def _from_constants(self, lines: list[_Line], decided: Ops) -> _Line | None:
        """The line that decided on constants alone so far, of which the values are made."""
        return next((line for line in lines if line.unfed and line.number in decided), None)

    def _new_line(self, place: Hashable, above: Ops | None) -> _Line:
        self._next += 1
        line = _Line(self._next, Feed(), above)
        self._lines.setdefault(place, []).append(line)
        return line

    def _decide_again(self, line: _Line, call: Feed) -> None:
        """A line decides on what it had decided on: over time, unless one more contraction feeds each of its turns."""
        if call.last == line.feed.last:
            return  # the same value against another threshold
        self.carrying.discard(line.number)
        self.unclear.discard(line.number)
        grows = not (line.unfed or call.ops <= line.feed.ops)
        if grows and (line.grew or not call.ran_since(line.feed, call.ops)):
            self.unclear.add(line.number)
        elif line.above is None or call.fresh_since(line.feed, line.above):
            self.carrying.add(line.number)
        line.grew |= grows

    def steps_since(self, decisions: int) -> int:
        """How often the same line has decided since so many decisions, each time on what it had decided on before."""
        counts = Counter(number for number in self.made[decisions:] if number in self.carrying)
        return max(counts.values(), default=1)

"""Tells loops over time from loops over depth, by what feeds the lines of code that compare or round real values.

A line of code *decides* when it compares or rounds real values. It may keep state if its operand is made of values
that it decided on before. Over time, as in `v = 0.9 * v + layer(x[t])`, the same contractions feed each turn of the
loop. Over depth, as in `x = x + layer(spike(x))` for each layer of a list, one more contraction feeds each turn. A
recurrent network whose first step has no spikes to read yet also gets one more contraction in its second step; but
there, fresh input comes through a contraction that fed the first step.
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
    """One value in the sum that an operand is.

    Attributes:
        factor: of the value, without its sign.
        ops: contractions that made the value.
    """

    factor: Fraction
    ops: Ops


@dataclass
class Feed:
    """The contractions that feed a call of a line of code, or all calls so far.

    Attributes:
        ops: the contractions that feed any of the calls.
        runs: how often each of them had run at the last call.
        terms: the values whose sum the operand of any call was, each with its largest factor.
        last: the values whose sum the operand of the last call was.
        written: how many values had been made at the last call; they are numbered in this order.
    """

    ops: Ops = frozenset()
    runs: dict[int, int] = field(default_factory=dict)
    terms: dict[Value, Term] = field(default_factory=dict)
    last: dict[Value, Term] = field(default_factory=dict)
    written: int = 0

    def ran_since(self, before: Feed, ops: Ops) -> bool:
        """Whether a contraction among `ops` that feeds this call and those before has run again since."""
        return any(self.runs[op] > before.runs[op] for op in ops & self.ops & before.ops)

    def fresh_since(self, before: Feed, ops: Ops) -> bool:
        """Whether a contraction among `ops` that fed the calls before feeds fresh input into this one.

        Either it has run again since; or it ran once for all steps, and this call adds another part of its result, or
        adds the same result once more: to itself, or to a value made of it since.
        """
        ops &= before.ops
        return self.ran_since(before, ops) or any(
            value[0] < before.written and bool(term.ops & ops) and term.factor > self._kept(before, value, term.ops)
            for value, term in self.terms.items()
        )

    def _kept(self, before: Feed, value: Value, ops: Ops) -> Fraction:
        """The factor that a value of the calls before has in this one, at most, if nothing adds it again.

        If a later value was made of the same contractions, as a reset by `v * (1 - spikes)` makes one, that is what the
        line kept, and nothing of the value itself.
        """
        later = any(other[0] >= before.written and term.ops & ops for other, term in self.terms.items())
        return Fraction(0) if later else before.factor_of(value)

    def factor_of(self, value: Value) -> Fraction:
        """The largest factor that a value had; 0 if no operand was made of it."""
        return self.terms[value].factor if value in self.terms else Fraction(0)

    def add(self, call: Feed) -> None:
        """Adds another call of the line."""
        self.ops |= call.ops
        self.runs = self.runs | call.runs
        more = {value: term for value, term in call.terms.items() if term.factor > self.factor_of(value)}
        self.terms = self.terms | more
        self.last, self.written = call.terms, call.written


class Fed(Protocol):
    """A line of code with its feed."""

    feed: Feed


F = TypeVar("F", bound=Fed)


def same_line(lines: Iterable[F], call: Feed) -> F | None:
    """Finds, among the lines at one place in the code, the line that a call belongs to; None for a line of its own.

    A loop calls its lines in turn, so of several the one that was called longest ago is next.
    """
    known = sorted(lines, key=lambda line: line.feed.written)
    turned = (line for line in known if call.ran_since(line.feed, call.ops))
    alike = (line for line in known if line.feed.ops == call.ops)
    again = (line for line in known if call.fresh_since(line.feed, call.ops))
    return next(turned, None) or next(alike, None) or next(again, None)


@dataclass
class _Line:
    """A line of code that decides. Blocks of layers in a loop are several lines at one place in the code.

    Attributes:
        number: its number in `Facts.decided`.
        feed: the contractions that feed its calls.
        above: the contractions that it shares with the block before it, if its first operand was made of values that
            another line at its place had decided on; else None.
        grew: one of its calls was fed by a contraction that fed none before.
        shrank: a later call was fed by fewer contractions, though made of values that the line had decided on: blocks
            of layers inside a time step, taken for one line.
    """

    number: int
    feed: Feed
    above: Ops | None
    grew: bool = False
    shrank: bool = False

    @property
    def unfed(self) -> bool:
        """Whether it has decided on constants only so far."""
        return not self.feed.written


class Decisions:
    """All lines that decide, and which of them keep state over time.

    Attributes:
        made: the number of the line for each decision of this pass, in order.
        carrying: the numbers of lines that keep state over time.
        unclear: the numbers of lines whose turns may be time steps or blocks of layers.
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
        """Forgets the decisions of the pass before, but not the lines."""
        self.made.clear()
        self._idle.clear()

    def feed(self, ops: Ops, terms: dict[Value, Term], written: int) -> Feed:
        """The feed of a call that runs now."""
        return Feed(ops, {op: self._runs(op) for op in ops}, terms, terms, written)

    def decide(self, place: Hashable, call: Feed, decided: Ops) -> int:
        """Notes that a line compares or rounds values, and returns its number.

        Args:
            place: the place of the line in the code, with its callers.
            call: the feed of the values.
            decided: numbers of the lines that decided on values which these are made of.
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
        """Notes that a line compares or rounds constants, as it does first if its state starts as zeros."""
        self._idle[place] += 1
        unfed = next((line for line in self._lines.get(place, []) if line.unfed), None)
        return (unfed or self._new_line(place, None)).number

    def _from_constants(self, lines: list[_Line], decided: Ops) -> _Line | None:
        """The line that has decided on constants only so far, if the values are made of these constants."""
        return next((line for line in lines if line.unfed and line.number in decided), None)

    def _new_line(self, place: Hashable, above: Ops | None) -> _Line:
        self._next += 1
        line = _Line(self._next, Feed(), above)
        self._lines.setdefault(place, []).append(line)
        return line

    def _decide_again(self, line: _Line, call: Feed) -> None:
        """Decides whether a line keeps state, given that its operand is made of values that it decided on before."""
        if call.last == line.feed.last:  # the same value against another threshold
            return
        self.carrying.discard(line.number)
        self.unclear.discard(line.number)
        grows = not (line.unfed or call.ops <= line.feed.ops)
        line.shrank |= line.grew and not line.feed.ops <= call.ops
        if line.shrank or (grows and (line.grew or not call.ran_since(line.feed, call.ops))):
            self.unclear.add(line.number)
        elif line.above is None or call.fresh_since(line.feed, line.above):
            self.carrying.add(line.number)
        line.grew |= grows

    def steps_since(self, decisions: int) -> int:
        """How often one line with state decided after the first `decisions` of the pass; 1 if no line has state."""
        counts = Counter(number for number in self.made[decisions:] if number in self.carrying)
        return max(counts.values(), default=1)

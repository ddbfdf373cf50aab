"""Lines of code that make spikes of real values outside every neuron layer, and sources of spikes with several levels.

A *source* makes spikes of several levels: a neuron layer, a quantiser, or a constant added to spikes. Its unit is the
greatest common divisor of the levels that it showed in the whole run: `sign(x) + 1` makes 0 and 2, which count as no
spike and one spike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from torch import Tensor

from snnprof.record import callers, measure, provenance
from snnprof.record.accumulate import CountLog
from snnprof.record.counters import NeuronCounter, Source
from snnprof.record.decisions import Feed, same_line
from snnprof.record.neurons import within
from snnprof.record.operators import operator
from snnprof.record.provenance import Facts
from snnprof.record.read.operand import ANY, Grid, Steps
from snnprof.record.recording import Recording
from snnprof.record.site_plans import CallSite

Key = tuple[Any, ...]


class Sources:
    """All sources of a recording, by number."""

    def __init__(self, log: CountLog) -> None:
        self._log = log
        self._all: list[Source] = []

    def new(self) -> Source:
        """Adds a source."""
        self._all.append(Source(len(self._all), self._log))
        return self._all[-1]

    def units(self) -> list[int]:
        """The unit of each source, in levels."""
        return [source.unit for source in self._all]

    def __bool__(self) -> bool:
        return bool(self._all)


@dataclass
class FiringLine:
    """A line of code whose results are spikes.

    Attributes:
        layer: path of the module that runs it.
        upstream: names of the neurons that feed it; reports name them in its place if nothing reads its spikes.
        ops: contractions whose results reach it without passing a neuron.
        feed: the same at its last call, which tells whether the next call at its place is a call of this line.
        counter: counts its spikes; None if it only quantises an input.
        source: of its spikes, if they have several levels.
        grid: the grid on which its results are expected to lie.
        steps: the time axis of its results; None if one call is one step.
        sites: its numbers in `Facts.decided`.
    """

    layer: str
    upstream: frozenset[str] = frozenset()
    ops: frozenset[int] = frozenset()
    feed: Feed = field(default_factory=Feed)
    counter: NeuronCounter | None = None
    source: Source | None = None
    grid: Grid = ANY
    steps: Steps | None = None
    sites: set[int] = field(default_factory=set)


class _Site:
    """The lines at one place in the code, by their callers; in a loop over layers there is one for each turn."""

    def __init__(self) -> None:
        self.calls: dict[Key, list[FiringLine]] = {}
        self.turns: dict[Key, int] = {}

    def at(self, chain: Key, feed: Feed) -> FiringLine | None:
        """The line with these callers to which a call with this feed belongs; None for a new line."""
        return same_line(self.calls.get(chain, []), feed)

    def only(self, others: set[Key]) -> FiringLine | None:
        """The line, if the place has one only, and no caller among these runs the place without it."""
        if others - self.calls.keys():
            return None
        lines = {id(line): line for calls in self.calls.values() for line in calls}
        return next(iter(lines.values())) if len(lines) == 1 else None

    def add(self, chain: Key, line: FiringLine) -> None:
        """Remembers that the line runs next in this pass, as it will in later passes."""
        calls, turn = self.calls.setdefault(chain, []), self.turns.get(chain, 0)
        self.turns[chain] = turn + 1
        calls[turn : turn + 1] = [line]

    def next(self, chain: Key) -> FiringLine | None:
        """The line that runs next: lines run in the order of the learning passes."""
        calls, turn = self.calls.get(chain), self.turns.get(chain, 0)
        self.turns[chain] = turn + 1
        return calls[turn % len(calls)] if calls else None


class _Idle(NamedTuple):
    """A call on constants only, and a function to call if it turns out to be the first call of a line."""

    result: Tensor
    found: Callable[[FiringLine], None]


class FiringLines:
    """The firing lines of a recording: found while learning, looked up by their place in the code after it.

    Attributes:
        recording: layout, T and batch size.
        log: takes the counts.
        named: names of functions that the user said are neurons, by code object.
        sources: of spikes with several levels.
        by_name: the lines that have a counter, by its name.
        found_names: those of `named` that ran.
    """

    def __init__(self, recording: Recording, log: CountLog, named: Mapping[int, str]) -> None:
        self.recording, self.log, self.named = recording, log, named
        self.sources = Sources(log)
        self.by_name: dict[str, FiringLine] = {}
        self.found_names: set[str] = set()
        self._sites: dict[Key, _Site] = {}
        self._at: dict[Key, FiringLine | None] = {}
        self._idle: dict[Key, list[_Idle]] = {}
        self._on_constants: defaultdict[Key, set[Key]] = defaultdict(set)  # callers, by place

    def __bool__(self) -> bool:
        return bool(self._sites)

    def counters(self) -> list[NeuronCounter]:
        """The counters of all lines that have one."""
        return [line.counter for line in self.by_name.values() if line.counter is not None]

    def within(self, layer: str) -> list[str]:
        """The names of lines that a module or one inside it runs."""
        return [name for name, line in self.by_name.items() if within(line.layer, layer)]

    def begin_pass(self) -> None:
        """Starts again with the first line at each place."""
        self._idle.clear()
        for site in self._sites.values():
            site.turns.clear()

    # -- learning ------------------------------------------------------------------------------------------

    def learn(
        self, place: CallSite, facts: Sequence[Facts], made: Facts, result: Tensor, steps: Steps | None, call: Feed
    ) -> tuple[Facts, FiringLine | None]:
        """Counts the result of an operator if it is spikes; returns the facts of the result, and the line if it is one.

        Args:
            place: where the operator is called.
            facts: of its operands.
            made: the facts of its result, by propagation.
            result: its result.
            steps: the time axis of the result; None if one call is one step.
            call: the contractions that feed the operands.
        """
        before = self._fires(place, facts, made, call)
        several = made.data and bool(made.grid) and not made.single
        if before is None and not (several and _makes_levels(place.name, facts)):
            return made, None
        line, earlier = self._line(place, before, several, result)
        line.grid = measure.grid_of(made) if line.grid.quantum is None else line.grid
        line.steps = steps
        for idle in earlier:
            self.count(line, idle.result)
            idle.found(line)
        self.count(line, result)
        if line.source is not None:
            made = provenance.from_source(made, line.source.index)
        if line.counter is not None:
            name = frozenset([line.counter.layer])
            made = replace(
                made, fed_by=name, ops=frozenset(), params=frozenset(), result_of=None, product=False
            )  # fmt: skip
        return made, line

    def _fires(self, place: CallSite, facts: Sequence[Facts], made: Facts, call: Feed) -> FiringLine | None:
        """A new line, if the operator turns a network's real values into spikes, or its spikes into others."""
        if not operator(place.name).quantises or not (made.data and made.grid):
            return None
        turned = [f for f in facts if f.data and f.grid is None and f.ops]
        if not turned:
            return self._taken_over(place, facts, made)
        whole = provenance.merged(turned)
        return FiringLine(place.layer, whole.fed_by, whole.ops, call)

    def _taken_over(self, place: CallSite, facts: Sequence[Facts], made: Facts) -> FiringLine | None:
        """A new line, if the operator bounds whole numbers or adds a constant to signs: its results are the spikes."""
        data = [f for f in facts if f.data]
        if len(data) != 1 or len(data[0].fed_by) != 1:
            return None
        (feeder,) = data[0].fed_by
        known = self.by_name.get(feeder)
        bound = data[0].levels is None and made.levels is not None
        shift = operator(place.name).shifts and data[0].signed and not made.single
        if known is None or not (bound or shift):
            return None
        return FiringLine(place.layer, known.upstream, known.ops, replace(known.feed))

    def idle(self, place: CallSite, result: Tensor, found: Callable[[FiringLine], None]) -> None:
        """Remembers a call on constants only: it may be the first of a line whose state starts as zeros.

        Args:
            place: where it is called.
            result: its result.
            found: is called with the line, if the same callers run it on data later in this pass.
        """
        chain = callers.chain(place.frame)
        self._on_constants[place.expression].add(chain)
        self._idle.setdefault((place.expression, chain), []).append(_Idle(result.detach().clone(), found))

    def _line(
        self, place: CallSite, before: FiringLine | None, several: bool, result: Tensor
    ) -> tuple[FiringLine, list[_Idle]]:
        """The line at a place, new if this is its first call; and its calls on constants, if this is the next one."""
        site = self._sites.setdefault(place.expression, _Site())
        chain = callers.chain(place.frame)
        new = before or FiringLine(place.layer)
        line = site.at(chain, new.feed) or new
        line.ops |= new.ops
        line.feed.add(new.feed)
        earlier = [idle for idle in self._idle.pop((place.expression, chain), []) if idle.result.shape == result.shape]
        for _ in [*earlier, result]:
            site.add(chain, line)
        if before is not None and line.counter is None:
            line.counter = self._counter(place)
            self.by_name[line.counter.layer] = line
        if several and line.source is None:
            line.source = self.sources.new()
        return line, earlier

    def _counter(self, place: CallSite) -> NeuronCounter:
        """A counter named after the line of the module's forward, or after the function that the user named."""
        where, function = callers.line(place.frame)
        named = next((self.named[c] for c in callers.code_ids(place.frame) if c in self.named), None)
        if named is not None:
            self.found_names.add(named)
        name = own = f"{place.layer} {named or where}".strip()
        number = 1
        while name in self.by_name:
            number += 1
            name = f"{own} ({number})"
        return NeuronCounter(
            self.log, name, named or function, "behaviour" if named is None else "named", self.recording.timesteps
        )

    def knowledge(self) -> list[Any]:
        """Everything that decides how the next pass counts the lines."""
        return [
            (chain, [(id(line), line.upstream, line.ops, line.source, line.grid, line.steps) for line in calls])
            for site in self._sites.values()
            for chain, calls in site.calls.items()
        ]

    def learn_again(self) -> None:
        """Forgets which places have a single line, or none."""
        self._at.clear()

    # -- counting ------------------------------------------------------------------------------------------

    def find(self, place: CallSite) -> FiringLine | None:
        """The line at a place, after learning; None if there is none."""
        if place.instruction in self._at:
            return self._at[place.instruction]
        site = self._sites.get(place.expression)
        line = site.only(self._on_constants[place.expression]) if site else None
        if site is not None and line is None:
            return site.next(callers.chain(place.frame))
        if callers.place_of(place.frame):  # else the frame is not the user's, and several places share it
            self._at[place.instruction] = line
        return line

    def count(self, line: FiringLine, result: Tensor) -> None:
        """Counts the spikes of one call; all its neurons count as driven, since it reads the state of each."""
        if line.counter is not None:
            line.counter.fire(result, line.steps, self.recording.batch_size, line.grid)
            line.counter.drive_all(result.numel())
        if line.source is not None:
            line.source.observe(result, line.grid)


def _makes_levels(name: str, facts: Sequence[Facts]) -> bool:
    """Whether an operator makes new levels: of real values, or by a constant added to spikes."""
    if operator(name).shifts:
        return sum(f.data for f in facts) == 1 and any(f.data and f.grid for f in facts)
    return operator(name).quantises and any(f.data and f.grid is None for f in facts)

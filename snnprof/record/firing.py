"""Lines of code that turn real values into spikes outside every neuron module, and the levels that spikes showed.

A *source* is where spikes of several levels are made: a neuron layer, a quantiser, a constant added to spikes. The
greatest common divisor of the levels that the whole run showed there is the unit in which they count: `sign + 1` puts
out 0 and 2, which are no spike and one.
"""

from __future__ import annotations

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
    """The sources of a recording, by number."""

    def __init__(self, log: CountLog) -> None:
        self._log = log
        self._all: list[Source] = []

    def new(self) -> Source:
        self._all.append(Source(len(self._all), self._log))
        return self._all[-1]

    def units(self) -> list[int]:
        return [source.unit for source in self._all]

    def __bool__(self) -> bool:
        return bool(self._all)


@dataclass
class FiringLine:
    """A call site whose results are spikes.

    Attributes:
        layer: that runs it.
        upstream: what feeds the line, to be named in its place where nothing reads its spikes.
        ops: contractions whose result reaches it without passing a neuron.
        feed: what fed its last call, which tells whether the next call at its place is one of its own.
        counter: counts them where they are a network's; None where an input was merely quantised.
        source: of spikes of several levels.
        grid: that the results are expected to lie on.
        steps: where the time steps lie in the results.
        sites: numbers of the decisions that it makes.
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
    """The lines at one place in the code, by their callers; a loop over layers makes several of one."""

    def __init__(self) -> None:
        self.calls: dict[Key, list[FiringLine]] = {}
        self.turns: dict[Key, int] = {}

    def at(self, chain: Key, feed: Feed) -> FiringLine | None:
        """The line with these callers that a call with such a feed belongs to."""
        return same_line(self.calls.get(chain, []), feed)

    def only(self) -> FiringLine | None:
        """The line, if there is no other."""
        lines = {id(line): line for calls in self.calls.values() for line in calls}
        return next(iter(lines.values())) if len(lines) == 1 else None

    def add(self, chain: Key, line: FiringLine) -> None:
        """The line runs next in this pass, as in any other."""
        calls, turn = self.calls.setdefault(chain, []), self.turns.get(chain, 0)
        self.turns[chain] = turn + 1
        calls[turn : turn + 1] = [line]

    def next(self, chain: Key) -> FiringLine | None:
        """The line whose turn it is: they come in the order of the learning passes."""
        calls, turn = self.calls.get(chain), self.turns.get(chain, 0)
        self.turns[chain] = turn + 1
        return calls[turn % len(calls)] if calls else None


class _Idle(NamedTuple):
    """A call on constants alone, and what to do if it turns out to be the first call of a line."""

    result: Tensor
    found: Callable[[FiringLine], None]


class FiringLines:
    """The firing lines of a recording: learned on the first batch, looked up by call site after it."""

    def __init__(self, recording: Recording, log: CountLog, named: Mapping[int, str]) -> None:
        self.recording, self.log, self.named = recording, log, named
        self.sources = Sources(log)
        self.by_name: dict[str, FiringLine] = {}
        self.found_names: set[str] = set()
        self._sites: dict[Key, _Site] = {}
        self._at: dict[Key, FiringLine | None] = {}
        self._idle: dict[Key, list[_Idle]] = {}

    def __bool__(self) -> bool:
        return bool(self._sites)

    def counters(self) -> list[NeuronCounter]:
        return [line.counter for line in self.by_name.values() if line.counter is not None]

    def within(self, layer: str) -> list[str]:
        """The lines that a module runs, or one inside it."""
        return [name for name, line in self.by_name.items() if within(line.layer, layer)]

    def begin_pass(self) -> None:
        self._idle.clear()
        for site in self._sites.values():
            site.turns.clear()

    # -- learning ------------------------------------------------------------------------------------------

    def learn(
        self, place: CallSite, facts: Sequence[Facts], made: Facts, result: Tensor, steps: Steps | None, call: Feed
    ) -> tuple[Facts, FiringLine | None]:
        """Counts what an operator made, where that is spikes; the facts of its result, and the line that feeds it now.

        Args:
            facts: of the operator's operands.
            made: of its result, by propagation.
            steps: where the time steps lie in it.
            call: what feeds the operands.
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
        """A line, where real values of a network become spikes, or its spikes become others."""
        if not operator(place.name).quantises or not (made.data and made.grid):
            return None
        turned = [f for f in facts if f.data and f.grid is None and f.ops]
        if not turned:
            return self._taken_over(place, facts, made)
        whole = provenance.merged(turned)
        return FiringLine(place.layer, whole.fed_by, whole.ops, call)

    def _taken_over(self, place: CallSite, facts: Sequence[Facts], made: Facts) -> FiringLine | None:
        """A bound on whole numbers, or a constant added to signs: from here on these are the spikes."""
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
        """Remembers a call on constants alone: it is the first of a line whose state starts as zeros.

        Args:
            found: is called with the line, if the same callers run it on data later in this pass.
        """
        calls = self._idle.setdefault((place.expression, callers.chain(place.frame)), [])
        calls.append(_Idle(result.detach().clone(), found))

    def _line(
        self, place: CallSite, before: FiringLine | None, several: bool, result: Tensor
    ) -> tuple[FiringLine, list[_Idle]]:
        """The line at a call site, made where this is its first call, and its calls on constants before."""
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
        """A row named after the line of the module's forward, or the function that the user named."""
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
        """What is known of the lines at each call site."""
        return [
            (chain, [(id(line), line.upstream, line.ops, line.source, line.grid, line.steps) for line in calls])
            for site in self._sites.values()
            for chain, calls in site.calls.items()
        ]

    def learn_again(self) -> None:
        """Lines may be found where there was one, or none."""
        self._at.clear()

    # -- counting ------------------------------------------------------------------------------------------

    def find(self, place: CallSite) -> FiringLine | None:
        """The line at a call site, after the first batch."""
        if place.instruction in self._at:
            return self._at[place.instruction]
        site = self._sites.get(place.expression)
        line = site.only() if site else None
        if site is not None and line is None:
            return site.next(callers.chain(place.frame))
        if callers.place_of(place.frame):  # else the instruction is not what tells it from others
            self._at[place.instruction] = line
        return line

    def count(self, line: FiringLine, result: Tensor) -> None:
        """Adds what the line made in one call; all of its neurons count as driven, since its input is their state."""
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

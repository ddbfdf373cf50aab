"""The call sites of operators that are no contractions: the line of other arithmetic that each adds to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from snnprof.record import layers, readings
from snnprof.record.contraction_sites import ContractionSites
from snnprof.record.contractions import Contraction
from snnprof.record.counters import LineCounter, OpCounter
from snnprof.record.elementwise import line_of, work
from snnprof.record.neurons import within
from snnprof.record.operand_facts import to_be
from snnprof.record.operators import operator
from snnprof.record.pass_state import PassState
from snnprof.record.propagation import tensors_of
from snnprof.record.provenance import Facts
from snnprof.record.read import read
from snnprof.record.read.operand import ANY, FIGURES
from snnprof.record.script import Call
from snnprof.record.site_plans import NO_LINE, UNCOUNTED, CallSite, LinePlan, SitePlans

ROWS = "rows"
"""In place of a line: the operator adds up rows of a weight, which is a contraction."""


class ArithmeticSites:
    """The plans and counters of other arithmetic.

    Attributes:
        lines: the counters, by layer and line.
        uncounted: calls of operators without a counting rule, by layer and operator.
        disguised: paths of modules that write a contraction as multiply and sum.
        added: the counter of rows that the last operator added up, until it is taken.
    """

    def __init__(self, state: PassState, contractions: ContractionSites) -> None:
        self.lines: dict[tuple[str, str], LineCounter] = {}
        self.uncounted: dict[tuple[str, str], int] = {}
        self.disguised: set[str] = set()
        self.added: OpCounter | None = None
        self._state, self._contractions = state, contractions
        self._places = SitePlans()

    def count(self, frame: FrameType, name: str, args: Any, result: Any, facts: list[Facts] | None) -> None:
        """Counts an operator that is no contraction and does arithmetic, outside neuron layers.

        Args:
            frame: the code that runs it.
            name: of the operator.
            args: its arguments.
            result: its result or, if it is about to change an operand in place, that operand.
            facts: of its operands, while learning.
        """
        state = self._state
        if operator(name).softmax:
            self._contractions.meet_softmax()
        if state.neurons:
            return
        place = CallSite(state.path[-1], name, frame)
        plan = self._found(place, args) if facts is None else self._learned(place, args, result, facts)
        if plan.line == ROWS:
            counter = self._contractions.count_at(place.chain, _rows_added(args))
            self.added = None if facts is None else counter
        elif plan.counter is not None:
            _add(plan, work(name, plan.line, args, result), _spikes(args, plan))
        elif plan is not NO_LINE:
            self.uncount(state.layer, name)

    def uncount(self, layer: str, name: str) -> None:
        """Lists one call of an operator as uncounted."""
        self.uncounted[layer, name] = self.uncounted.get((layer, name), 0) + 1

    def _found(self, place: CallSite, args: Any) -> LinePlan:
        """The plan of a call after learning; one that learning did not meet is listed, since it may read data."""
        plan = self._places.find(place, args)
        if plan is None:
            self._state.met_late()
            return UNCOUNTED
        return plan

    # -- learning ------------------------------------------------------------------------------------------

    def _learned(self, place: CallSite, args: Any, result: Any, facts: list[Facts]) -> LinePlan:
        layer, name, _ = place
        plan, script = self._plan(name, args, facts), self._state.script
        number = None if script is None else len(script)
        idle = plan is NO_LINE and bool(operator(name).arithmetic)
        self._places.learn(place, args, plan, self._later(layer, name, args, result, number) if idle else None)
        if script is not None:
            script.append(self._call(layer, name, plan))
        return plan

    def _later(
        self, layer: str, name: str, args: Any, result: Any, number: int | None
    ) -> Callable[[LinePlan], None] | None:
        """Makes a function that counts a call which read no data, once the plan of a call that does is known.

        Args:
            layer: path of the module that runs it.
            name: of the operator.
            args: its arguments.
            result: its result, or the operand that it is about to change.
            number: of the call in the script; None without a script.

        Returns:
            The function; None if the values of an operand cannot be read now.
        """
        tensors = tensors_of(args)
        if not all(_readable(tensor) for tensor in tensors):
            return None
        elements, rows = work(name, operator(name).line or "", args, result), [_read(tensor) for tensor in tensors]

        def count(plan: LinePlan) -> None:
            if isinstance(plan.counter, LineCounter):
                plan.counter.count_read(elements, [rows[position] for position in plan.positions or ()])
            elif plan.counter is not None:
                _add(plan, elements, ())
            else:
                self.uncount(layer, name)
            script = self._state.script
            if script is not None and number is not None:
                script[number] = self._call(layer, name, plan)

        return count

    def _call(self, layer: str, name: str, plan: LinePlan) -> Call:
        """The call in the script."""
        family = operator(name).arithmetic or name
        if plan is NO_LINE:
            return Call(layer, family, None)
        counter = plan.counter or functools.partial(self.uncount, layer, name)
        return Call(layer, family, counter, positions=plan.positions)

    def _plan(self, name: str, args: Any, facts: list[Facts]) -> LinePlan:
        layer = self._state.layer
        if any(f.data for f in facts):
            facts = [to_be(f) for f in facts]
        line = line_of(name, facts)
        if line is None:
            return NO_LINE
        if operator(name).adds_rows and _adds_rows(args, facts):
            return LinePlan(ROWS)
        if line == UNCOUNTED.line or not all(map(layers.is_own, tensors_of(args))):
            return UNCOUNTED
        result_of = self._contractions.by_id[facts[0].result_of] if facts[0].result_of is not None else None
        if line == "bias" and result_of is not None and result_of.layer == layer:
            return LinePlan(line, result_of)
        if line == "reduce" and facts[0].product:
            self.disguised.add(layer)
        data = [i for i, f in enumerate(facts) if f.data]
        quantised = all(facts[i].grid is not None for i in data)
        if (layer, line) not in self.lines:
            self.lines[layer, line] = LineCounter(self._state.log, layer, line)
        sums = self.lines[layer, line]
        if line == "batch_norm":
            sums.feeders.add(result_of)
            sums.biased |= result_of is not None and result_of.bias_adds > 0
        sums.counted &= quantised
        return LinePlan(line, sums, tuple(data) if quantised else None)

    # -- the ends of passes and of learning ----------------------------------------------------------------

    def settle(self) -> None:
        """Adds the calls that read only constants at first, if the same calls have read data by now."""
        self._places.settle()

    def end_learning(self) -> None:
        """From here on plans are looked up."""
        self._places.end_learning()

    def forget_lines(self, layer: str) -> None:
        """Drops the lines of a module that turned out to be a neuron: its arithmetic is neuron updates."""
        for key in [key for key in self.lines if within(key[0], layer)]:
            self.lines[key].forgotten = True

    def knowledge(self) -> tuple[Any, ...]:
        """Everything that decides how the next pass counts other arithmetic."""
        lines = {
            key: (line.counted, line.biased, line.forgotten, set(line.feeders)) for key, line in self.lines.items()
        }
        return self._places.knowledge(), lines


def _add(plan: LinePlan, elements: int, spikes: Sequence[Tensor]) -> None:
    if isinstance(plan.counter, OpCounter):
        plan.counter.bias_adds += elements
    elif plan.counter is not None:
        plan.counter.count(elements, spikes)


def _adds_rows(args: Sequence[Any], facts: Sequence[Facts]) -> bool:
    """Whether an operator adds up rows of a weight that data selected, each as a whole."""
    position = next((i for i, f in enumerate(facts) if f.rows), None)
    if position is None or position > 0:
        return position is not None
    dims = args[1] if len(args) > 1 else None
    kept = [dims] if isinstance(dims, int) else dims
    return bool(kept) and all(dim % args[0].dim() != args[0].dim() - 1 for dim in kept or ())


def _rows_added(args: Sequence[Any]) -> Contraction:
    """The sum of rows: of the only tensor, or of the last tensor if it is added to places that indices name."""
    tensors = tensors_of(args)
    return readings.added_rows(tensors[0] if len(tensors) == 1 else tensors[-1])


def _readable(values: Tensor) -> bool:
    return layers.is_plain(values) and values.layout is torch.strided and not values.is_complex()


def _spikes(args: Sequence[Any], plan: LinePlan) -> list[Tensor]:
    """The operands that a plan expects to hold spikes."""
    if plan.positions is None:
        return []
    return [tensor for place, tensor in enumerate(tensors_of(args)) if place in plan.positions]


def _read(values: Tensor) -> Tensor:
    """The figures of values that may change before it is known which counter they add to."""
    row = values.new_zeros(FIGURES, dtype=torch.int64)
    read(values, ANY, 0, row)
    return row

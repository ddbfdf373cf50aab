"""The plans by which operators that are no contractions are counted, by their place in the user's code.

Several callers may run the same place, some on data and others on constants; or the first call is on a number and later
calls are on tensors. Such calls are told apart by their operands and their callers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NamedTuple

from torch import Tensor

from snnprof.record import callers
from snnprof.record.counters import LineCounter, OpCounter

Key = tuple[Any, ...]


class LinePlan(NamedTuple):
    """How an operator that is no contraction is counted.

    Attributes:
        line: the line of other arithmetic that it belongs to, such as `add`; empty if it reads no data.
        counter: adds its counts: the counter of the line, or of the contraction whose bias it adds; None if it is
            uncounted.
        positions: of its spike operands, among its tensors; None unless all its data operands are spikes.
    """

    line: str = ""
    counter: OpCounter | LineCounter | None = None
    positions: tuple[int, ...] | None = None


NO_LINE = LinePlan()
UNCOUNTED = LinePlan("uncounted")


class CallSite(NamedTuple):
    """The place of a call: the layer that runs it, the operator, and the frame of the code that calls it."""

    layer: str
    name: str
    frame: FrameType

    @property
    def instruction(self) -> Key:
        """The place as an instruction: quick to find, but one expression may have several."""
        return self.layer, self.name, id(self.frame.f_code), self.frame.f_lasti

    @property
    def expression(self) -> Key:
        """The place as an expression in the user's code."""
        return self.layer, self.name, callers.caller(self.frame)

    @property
    def chain(self) -> Key:
        """The place with all expressions that call it, up to the layer's forward."""
        return self.layer, self.name, *callers.chain(self.frame)


class SitePlans:
    """The plans of other arithmetic that the recorder learned."""

    def __init__(self) -> None:
        self._at: dict[Key, LinePlan] = {}  # by instruction, where a place has one plan
        self._plans: dict[Key, dict[Key, LinePlan]] = {}
        self._idle: list[tuple[dict[Key, LinePlan], Key, Callable[[LinePlan], None]]] = []

    def learn(
        self, place: CallSite, args: Sequence[Any], plan: LinePlan, later: Callable[[LinePlan], None] | None
    ) -> None:
        """Remembers the plan of a call.

        Args:
            place: where it is called.
            args: its arguments.
            plan: how it is counted.
            later: for a call that reads no data, adds its counts once the same call has read data in a later turn of a
                loop, as it does if its operand is a state that starts as zeros.
        """
        plans = self._plans.setdefault(place.expression, {})
        call = _operands(args), callers.chain(place.frame)
        if plan is not NO_LINE or call not in plans:
            plans[call] = plan
        if later is not None:
            self._idle.append((plans, call, later))

    def settle(self) -> None:
        """Adds the counts of calls that read only constants at first, if the same calls have read data by now."""
        still = []
        for plans, call, later in self._idle:
            if plans[call] is NO_LINE:
                still.append((plans, call, later))
            else:
                later(plans[call])
        self._idle = still

    def end_learning(self) -> None:
        """Drops the calls that have read only constants until now: they are not counted."""
        self._idle.clear()
        self._at.clear()

    def knowledge(self) -> dict[Key, dict[Key, LinePlan]]:
        """A copy of all plans, by expression, then by operands and callers."""
        return {expression: dict(calls) for expression, calls in self._plans.items()}

    def find(self, place: CallSite, args: Sequence[Any]) -> LinePlan | None:
        """The plan of a call after learning; None if learning did not meet the call."""
        known = self._at.get(place.instruction)
        if known is not None:
            return known
        plans = self._plans.get(place.expression)
        if plans is None:
            return None
        found = set(plans.values())
        if len(found) == 1:
            (plan,) = found
            if callers.place_of(place.frame):  # else the frame is not the user's, and several places share it
                self._at[place.instruction] = plan
            return plan
        operands = _operands(args)
        alike = {plan for (kind, _), plan in plans.items() if kind == operands}
        if len(alike) < 2:
            return next(iter(alike), None)
        return plans.get((operands, callers.chain(place.frame)))


def _operands(args: Sequence[Any]) -> tuple[bool, ...]:
    """Which arguments are tensors."""
    return tuple(isinstance(argument, Tensor) for argument in args)

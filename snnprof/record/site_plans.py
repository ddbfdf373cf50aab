"""By what plan an operator that is no contraction is counted at each place in the code.

A place may be run from several others, on data by some and on constants by others, or on a number at first and on
tensors from then on: such calls are told apart by their operands and their callers.
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
        line: of other arithmetic, that it belongs to; none where it reads no data.
        counter: whose sums it adds to, of the line or of the contraction whose bias it is; None where it is uncounted.
        positions: of its operands, where all of them are spikes.
    """

    line: str = ""
    counter: OpCounter | LineCounter | None = None
    positions: tuple[int, ...] | None = None


NO_LINE = LinePlan()
UNCOUNTED = LinePlan("uncounted")


class CallSite(NamedTuple):
    """Where an operator is called: in which layer, by which instruction of which frame."""

    layer: str
    name: str
    frame: FrameType

    @property
    def instruction(self) -> Key:
        return self.layer, self.name, id(self.frame.f_code), self.frame.f_lasti

    @property
    def expression(self) -> Key:
        return self.layer, self.name, callers.caller(self.frame)


class SitePlans:
    """The plans that the first batch taught."""

    def __init__(self) -> None:
        self._at: dict[Key, LinePlan] = {}  # by instruction, where a place has one plan
        self._plans: dict[Key, dict[Key, LinePlan]] = {}
        self._idle: list[tuple[dict[Key, LinePlan], Key, Callable[[LinePlan], None]]] = []

    def learn(
        self, place: CallSite, args: Sequence[Any], plan: LinePlan, later: Callable[[LinePlan], None] | None
    ) -> None:
        """Remembers the plan of a call.

        Args:
            later: for a call that reads no data: what to do where the same call reads data on another turn, as that of
                a state does that starts as zeros.
        """
        plans = self._plans.setdefault(place.expression, {})
        call = _operands(args), callers.chain(place.frame)
        if plan is not NO_LINE or call not in plans:
            plans[call] = plan
        if later is not None:
            self._idle.append((plans, call, later))

    def settle(self) -> None:
        """Adds the calls that read only constants at first, where the same calls are known by now to read data."""
        still = []
        for plans, call, later in self._idle:
            if plans[call] is NO_LINE:
                still.append((plans, call, later))
            else:
                later(plans[call])
        self._idle = still

    def end_learning(self) -> None:
        """What read only constants until now is no line of other arithmetic."""
        self._idle.clear()
        self._at.clear()

    def knowledge(self) -> dict[Key, dict[Key, LinePlan]]:
        return {expression: dict(calls) for expression, calls in self._plans.items()}

    def find(self, place: CallSite, args: Sequence[Any]) -> LinePlan | None:
        """The plan of a call after the first batch; None for one that was not met there."""
        known = self._at.get(place.instruction)
        if known is not None:
            return known
        plans = self._plans.get(place.expression)
        if plans is None:
            return None
        found = set(plans.values())
        if len(found) == 1:
            (plan,) = found
            if callers.place_of(place.frame):  # else the instruction is not what tells it from others
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

"""The facts of a contraction's two operands, by which its call site decides which of them are data."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from snnprof.record import contractions, provenance, values
from snnprof.record.contractions import Contraction, Rows
from snnprof.record.known_weights import KnownWeights
from snnprof.record.pass_state import PassState
from snnprof.record.provenance import Facts, Origin


class OperandFacts:
    """Looks up the facts of operands, and decides on those that nothing is known of.

    Attributes:
        foreign: paths of modules with a contraction that read a tensor of unknown origin.
    """

    def __init__(self, state: PassState, weights: KnownWeights) -> None:
        self.foreign: set[str] = set()
        self._state, self._weights = state, weights

    def of(self, form: Contraction) -> tuple[Facts, Facts]:
        """The facts of both operands; an unknown one takes its role from its partner."""
        state = self._state
        if not state.learning:
            first, second = (self._unlearned(operand) for operand in form.operands)
            return first, second
        if isinstance(form, contractions.Product) and form.rows is not None:
            return self._of_rows(form, form.rows)
        first, second = (
            facts if facts.origin is Origin.UNKNOWN else to_be(facts) for facts in map(state.store.of, form.operands)
        )
        origins = first.origin, second.origin
        if Origin.UNKNOWN not in origins:
            return first, second
        self.foreign.add(state.layer)
        as_data = Origin.WEIGHT in origins or origins == (Origin.UNKNOWN, Origin.UNKNOWN)
        resolved = [
            (self._as_input(operand, facts) if as_data else replace(facts, origin=Origin.WEIGHT))
            if facts.origin is Origin.UNKNOWN
            else facts
            for operand, facts in zip(form.operands, (first, second), strict=True)
        ]
        return resolved[0], resolved[1]

    def _of_rows(self, form: Contraction, rows: Rows) -> tuple[Facts, Facts]:
        """The facts of rows that data selected, and of how often each is added: once, if nothing scales them."""
        store = self._state.store
        factors, selected = form.operands
        if rows.table is None or rows.indices is None:
            table = by = store.of(selected)
        else:
            table, by = store.of(rows.table), store.of(rows.indices)
        scale = store.get(factors)
        once = provenance.on_grid(provenance.ONE, provenance.ONE, provenance.ONE)
        weight = replace(table, origin=Origin.WEIGHT, grid=None, fed_by=frozenset())
        fed_by = by.fed_by | (scale.fed_by if scale else frozenset())
        return replace(scale or once, origin=by.origin, fed_by=fed_by), weight

    def _as_input(self, operand: Tensor, facts: Facts) -> Facts:
        """An unknown that meets a weight is data; its grid is read off its values, as that of the input is."""
        fed_by = facts.fed_by | {provenance.INPUT}
        if facts.grid is None or operand.numel() == 1:
            facts = values.of_input(operand, self._state.recording.input)
        if facts.grid is None:
            return replace(facts, origin=Origin.DATA, fed_by=fed_by)
        # Nobody knows its bounds in other batches.
        grid = facts.grid or frozenset([((), provenance.ONE)])
        low = None if facts.signed else provenance.ZERO
        return replace(facts, origin=Origin.DATA, fed_by=fed_by, grid=grid, low=low, high=None)

    def _unlearned(self, operand: Tensor) -> Facts:
        """After learning only parameters are known; anything else is taken for real data."""
        name = self._weights.name_of(operand)
        return Facts(params=frozenset([name])) if name else provenance.real(())


def to_be(facts: Facts) -> Facts:
    """The facts of a state that starts as zeros, beside data or in a contraction: it will be data, so it is."""
    zeros = facts.grid is not None and not facts.grid and not facts.params
    return replace(facts, origin=Origin.DATA) if zeros else facts

"""Writes the facts of an operator's results while learning, and finds the lines of code that make spikes."""

from __future__ import annotations

from dataclasses import replace
from types import FrameType
from typing import Any

from torch import Tensor

from snnprof.record import provenance, straight_through, timeaxis
from snnprof.record.arithmetic_sites import ArithmeticSites
from snnprof.record.contraction_sites import ContractionSites
from snnprof.record.contractions import Contraction
from snnprof.record.counters import OpCounter
from snnprof.record.firing_sites import FiringSites
from snnprof.record.known_weights import KnownWeights
from snnprof.record.operand_facts import OperandFacts
from snnprof.record.operators import operator, propagate
from snnprof.record.pass_state import PassState
from snnprof.record.propagation import fill_value, tensors_of
from snnprof.record.provenance import Facts, Origin
from snnprof.record.store import ZeroPadding, storage_key


class ResultFacts:
    """Hands facts on from operands to results."""

    def __init__(
        self,
        state: PassState,
        weights: KnownWeights,
        operands: OperandFacts,
        contractions: ContractionSites,
        arithmetic: ArithmeticSites,
        firing: FiringSites,
    ) -> None:
        self._state, self._weights, self._operands = state, weights, operands
        self._contractions, self._arithmetic, self._firing = contractions, arithmetic, firing

    def facts_of(self, args: Any, kwargs: Any) -> list[Facts]:
        """The facts of the tensors that an operator reads, in order."""
        named = tuple(value for name, value in kwargs.items() if name != "out")  # that one is not read
        facts = [self._state.store.of(tensor) for tensor in tensors_of(args) + tensors_of(named)]
        self._weights.read |= frozenset[str]().union(*(f.params for f in facts))
        return facts

    def pass_on(
        self,
        name: str,
        in_place: bool,
        args: Any,
        kwargs: Any,
        facts: list[Facts],
        result: Any,
        counter: OpCounter | None,
        form: Contraction | None,
        frame: FrameType,
    ) -> None:
        """Writes the facts of an operator's results, or of the operand that it changed in place.

        Args:
            name: of the operator.
            in_place: whether it changed its first operand.
            args: its arguments.
            kwargs: its named arguments.
            facts: of its operands, as they were before.
            result: what it returned.
            counter: of the contraction that it is; None for another operator, and for constants alone.
            form: the contraction that it is.
            frame: the code that runs it.
        """
        outputs = tensors_of(result if isinstance(result, tuple | list) else (result,))
        if not outputs:
            return
        if form is not None or self._state.neurons or operator(name).arithmetic or operator(name).lookup:
            self._weights.used |= frozenset[str]().union(*(f.params for f in facts))
        if form is not None:
            passed: tuple[Facts, ...] = (self._of_contraction(form, counter),)
        else:
            passed = self._of_operator(name, facts, args, kwargs, result)
            passed = (self._firing.fired(name, facts, args, passed[0], outputs[0], frame), *passed[1:])
        if passed[0].data and operator(name).line != "batch_norm":
            self._share({f.result_of for f in facts} - {passed[0].result_of})
        if name == "set_":
            self._state.store.forget(outputs[0])
        elif in_place:
            self._write(name, args, kwargs, outputs[0], passed[0])
        else:
            self._make(name, args, kwargs, outputs, passed, form)

    def _of_contraction(self, form: Contraction, counter: OpCounter | None) -> Facts:
        first, second = self._operands.of(form)
        terms = form.macs // max(form.outputs, 1)
        if counter is None:
            return provenance.merged([first, second])
        result = provenance.multiplied(first, second, terms)
        if form.bias or any(operand.params and not operand.data for operand in (first, second)):
            result = provenance.merged([result])
        name = id(counter)
        return replace(
            result, origin=Origin.DATA, ops=frozenset([name]), result_of=name, product=False, rows=False, rough=False
        )

    def _of_operator(self, name: str, facts: list[Facts], args: Any, kwargs: Any, result: Any) -> tuple[Facts, ...]:
        passed = propagate(name, facts, args, kwargs, result)
        if self._state.left and operator(name).constant and passed[0].origin is Origin.WEIGHT:
            passed = (replace(passed[0], origin=Origin.UNKNOWN),)
        added, self._arithmetic.added = self._arithmetic.added, None
        if added is not None:
            op = id(added)
            passed = (replace(provenance.merged(facts), origin=Origin.DATA, ops=frozenset([op]), result_of=op),)
        return passed

    def _share(self, results: set[int | None]) -> None:
        """Notes contractions whose result something else reads: no batch norm can fold into their weights."""
        for result in results:
            if result is not None:
                self._contractions.by_id[result].shared = True

    def _write(self, name: str, args: Any, kwargs: Any, target: Tensor, passed: Facts) -> None:
        """In place: the whole storage takes the new facts; a part of it lies beside the rest."""
        store = self._state.store
        time = store.time(target)
        if target.numel() * target.element_size() < _bytes(target):
            store.set(target, provenance.side_by_side([store.of(target), passed]), time)
            return
        others = tensors_of(args)[1:]
        time = time or timeaxis.carried("", target, [(t, store.time(t)) for t in others], ())
        made, sum_of = straight_through.simplified(store, name.removesuffix("_"), args, kwargs, target, passed)
        store.set(target, made, time, sum_of)

    def _make(
        self,
        name: str,
        args: Any,
        kwargs: Any,
        outputs: list[Tensor],
        passed: tuple[Facts, ...],
        form: Contraction | None,
    ) -> None:
        """Results take the new facts; a view shares the facts of its storage."""
        store, inputs = self._state.store, tensors_of(args)
        known = {storage_key(t) for t in inputs}
        for position, output in enumerate(outputs):
            made = passed[min(position, len(passed) - 1)]
            if storage_key(output) in known:
                self._view(name, output, made)
            else:
                axis = self._state.steps.of_result(name, output, inputs, args, form)
                made, sum_of = straight_through.simplified(store, name, args, kwargs, output, made)
                store.set(output, made, axis, sum_of, self._made_by(name, args, kwargs, position))
        if name == "constant_pad_nd" and not fill_value(args, kwargs):
            store.pad(outputs[0], ZeroPadding.of(outputs[0], args[1]))

    def _view(self, name: str, output: Tensor, passed: Facts) -> None:
        """An axis that a view expands may be the time axis."""
        if name in ("expand", "expand_as"):
            axis = self._state.steps.of_expanded(output) or self._state.store.time(output)
            self._state.store.set(output, passed, axis)

    def _made_by(self, name: str, args: Any, kwargs: Any, position: int) -> tuple[Any, ...] | None:
        """Operator and operands; None if the same ones need not make the same values."""
        if operator(name).transfer is None or operator(name).random or not args:
            return None
        parts: list[Any] = [name, position]
        for value in [*args, *kwargs.items()]:
            tensors = tensors_of([value])
            form = self._state.store.form
            parts += [frozenset(form(t).items()) for t in tensors] if tensors else [repr(value)]
        return tuple(parts)


def _bytes(tensor: Tensor) -> int:
    """The size of a tensor's memory; 0 for tensors of classes without storage."""
    try:
        return int(tensor.untyped_storage().nbytes())
    except (NotImplementedError, RuntimeError):
        return 0

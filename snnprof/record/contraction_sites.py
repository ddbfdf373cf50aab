"""The call sites of contractions: the plan by which each is counted, and the counter that it adds to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

from torch import Tensor

from snnprof.record import callers, contractions, provenance, values
from snnprof.record.contractions import Contraction
from snnprof.record.counters import ConstantCounter, OpCounter
from snnprof.record.known_weights import KnownWeights
from snnprof.record.measure import Plan, Role
from snnprof.record.neurons import within
from snnprof.record.operand_facts import OperandFacts
from snnprof.record.pass_state import PassState
from snnprof.record.provenance import Facts
from snnprof.record.script import Call

SiteKey = tuple[Any, ...]
"""A call site: the layer, the operator, and the parameter that it reads or else the lines that call it."""

Found = tuple[OpCounter, Plan] | ConstantCounter
"""How a contraction is counted at a call site; contractions of weights alone are only listed."""


class _Idle(NamedTuple):
    """A contraction of weights alone, which its call site may run on data in a later step (a state's first value).

    Attributes:
        key: the call site.
        form: the contraction.
        number: of its call in the script; None without a script.
    """

    key: SiteKey
    form: Contraction
    number: int | None


class ContractionSites:
    """The plans and counters of all contractions.

    Attributes:
        ops: the counters, by layer, form, weight and roles.
        by_id: the same, by the numbers in `Facts.ops`.
        constants: the counters of contractions of weights alone.
        few_values: paths of modules that read real values which take only a few evenly spaced values.
        raw_input: the input holds whole numbers up to 255, as images do before normalisation.
    """

    def __init__(self, state: PassState, weights: KnownWeights, operands: OperandFacts) -> None:
        self.ops: dict[SiteKey, OpCounter] = {}
        self.by_id: dict[int, OpCounter] = {}
        self.constants: dict[SiteKey, ConstantCounter] = {}
        self.few_values: set[str] = set()
        self.raw_input = False
        self._state, self._weights, self._operands = state, weights, operands
        self._plans: dict[SiteKey, Found] = {}
        self._late: set[SiteKey] = set()  # planned without knowledge
        self._idle: list[_Idle] = []
        self._padding: dict[SiteKey, tuple[tuple[int, ...], tuple[tuple[int, int], ...]]] = {}
        self._per_layer: Counter[str] = Counter()
        self._contracting: dict[str, bool] = {}
        self._softmax: tuple[Any, ...] | None = None
        self._turns: Counter[tuple[Any, ...]] = Counter()  # calls of this pass, by counter and what feeds them

    # -- counting ------------------------------------------------------------------------------------------

    def count(self, name: str, form: Contraction) -> OpCounter | None:
        """Counts one contraction; None if both operands are weights, and no data depends on it."""
        return self.count_at(self._site(name, form.operands), form)

    def count_at(self, key: SiteKey, form: Contraction) -> OpCounter | None:
        """Counts one contraction at a call site."""
        if self._state.learning or key not in self._plans:
            self._plan(key, form)
        found = self._plans[key]
        if isinstance(found, ConstantCounter):
            self._traced(found, form)
            if self._state.learning:
                script = self._state.script
                self._idle.append(_Idle(key, _kept(form), None if script is None else len(script) - 1))
            else:
                found.count(form.macs)
            return None
        counter, plan = found
        self._traced(counter, form, plan)
        counter.count(self._unpadded(key, form), plan)
        return counter

    def _site(self, name: str, operands: Sequence[Tensor]) -> SiteKey:
        """The call site of a contraction: by its parameter if it reads one, else by the calling lines.

        The two products of an attention kernel are called by one line; the softmax between them tells them apart.
        """
        layer = self._state.layer
        for operand in reversed(operands):  # the weight mostly comes last
            parameter = self._weights.name_of(operand)
            if parameter is not None:
                return (layer, name, parameter, operand.storage_offset())
        chain = callers.chain()
        after_softmax, self._softmax = self._softmax == chain, None
        return (layer, name, after_softmax, *chain)

    def meet_softmax(self) -> None:
        """Remembers which lines call the softmax that runs now."""
        self._softmax = callers.chain()

    def _traced(self, counter: OpCounter | ConstantCounter, form: Contraction, plan: Plan | None = None) -> None:
        """For the self-check: what ran, and whether values that were taken for real look like spikes."""
        trace = self._state.trace
        if trace is None:
            return
        if isinstance(form, contractions.Product) and form.rows is not None and form.rows.table is None:
            return  # the second counter does not know sums of rows
        trace.append((self._state.layer, counter, form.macs))
        for position, facts in enumerate(plan.facts if plan else ()):
            real = plan is not None and plan.roles[position] == "data" and facts.grid is None
            if real and facts.fed_by != {provenance.INPUT} and values.look_like_spikes(form.operands[position]):
                self.few_values.add(self._state.layer)

    # -- planning ------------------------------------------------------------------------------------------

    def _plan(self, key: SiteKey, form: Contraction) -> None:
        """Decides how a call site is counted; one that is met after learning is counted with less knowledge."""
        state = self._state
        if not state.learning:
            state.met_late()
            self._late.add(key)
        else:
            self._learn_padding(key, form)
        earlier = self._plans.get(key)
        found = self._planned(key, self._unpadded(key, form), earlier)
        found = self._plans[key] = earlier if earlier == found and earlier else found
        if state.learning and state.script is not None:
            _, padding = self._padding.get(key, (None, None))
            counter, plan = (None, None) if isinstance(found, ConstantCounter) else found
            state.script.append(Call(state.layer, "contraction", counter, plan, form.macs, padding))

    def _learn_padding(self, key: SiteKey, form: Contraction) -> None:
        if not isinstance(form, contractions.Convolution) or form.geometry.transposed:
            return
        sides = self._state.store.padding(form.x, len(form.geometry.space))
        if sides:
            self._padding[key] = form.geometry.space, sides
        else:
            self._padding.pop(key, None)

    def _unpadded(self, key: SiteKey, form: Contraction) -> Contraction:
        """Zeros that an operator padded on before a convolution are its padding: taps on them are not valid."""
        known = self._padding.get(key)
        if known is None or not isinstance(form, contractions.Convolution) or known[0] != form.geometry.space:
            return form
        return form.absorb_padding(known[1])

    def _planned(self, key: SiteKey, form: Contraction, earlier: Found | None) -> Found:
        state = self._state
        first, second = self._operands.of(form)
        if not (first.data or second.data):
            return earlier or self.constants.setdefault(key, ConstantCounter(state.layer, _kind(form)))
        if not state.learning:
            self._weights.late |= first.params | second.params
        elif self.raw_input:
            self._note_raw_input(form.operands[0], first)
        roles: tuple[Role, Role] = ("data" if first.data else "weight", "data" if second.data else "weight")
        facts = (first, second)
        steps = state.steps.of_operands(form, roles)
        if isinstance(earlier, tuple) and earlier[1].roles == roles:
            plan = earlier[1]
            facts = (provenance.side_by_side([plan.facts[0], first]), provenance.side_by_side([plan.facts[1], second]))
            steps = steps if steps == plan.steps else (None, None)
        counter = self._counter(key, form, roles, facts)
        blocks = (first.fed_by, second.fed_by, first.ops | second.ops) if roles == ("data", "data") else ()
        self._turns[id(counter), blocks] += 1
        return counter, Plan(roles, facts, steps, _counts_weights(form, roles, facts))

    def _note_raw_input(self, operand: Tensor, facts: Facts) -> None:
        if facts.fed_by == {provenance.INPUT} and facts.grid is None and values.raw_bytes(operand):
            self._state.recording.note(
                "C20", self._state.layer, "The input holds whole numbers up to 255, like images before normalisation",
                "Divide by 255 and normalise as in training, unless the network was trained on bytes",
            )  # fmt: skip

    def _counter(
        self, key: SiteKey, form: Contraction, roles: tuple[Role, Role], facts: tuple[Facts, Facts]
    ) -> OpCounter:
        """The counter of a weight in a layer, which several call sites may share."""
        layer = self._state.layer
        params = frozenset[str]().union(*(f.params for f, role in zip(facts, roles, strict=True) if role == "weight"))
        weight = key[2:] if key[2] in self._weights.names else params or key
        identity = (layer, type(form).__name__, weight, roles)
        if identity not in self.ops:
            counter = OpCounter(self._state.log, layer, self._per_layer[layer], form, roles)
            counter.source = "" if params else callers.source()
            counter.facts = list(facts)
            self._per_layer[layer] += 1
            self._contracting.clear()
            self.ops[identity] = self.by_id[id(counter)] = counter
        counter = self.ops[identity]
        counter.facts = [provenance.side_by_side([a, b]) for a, b in zip(counter.facts, facts, strict=True)]
        return counter

    # -- the ends of passes and of learning ----------------------------------------------------------------

    def begin_pass(self) -> None:
        """Forgets how often contractions ran in the pass before."""
        self._turns.clear()

    def repeats(self) -> set[int]:
        """How often contractions ran in this pass, while learning; only numbers above 1.

        A line that multiplies data by data in a loop over blocks of layers, as attention does, runs once for each
        block: its operands are fed by other layers each time.
        """
        return {turns for turns in self._turns.values() if turns > 1}

    def settle(self) -> None:
        """Adds the calls that read only constants at first, if their call sites have read data by now."""
        still: list[_Idle] = []
        for idle in self._idle:
            found = self._plans[idle.key]
            if isinstance(found, ConstantCounter):
                still.append(idle)
            else:
                counter, plan = found
                counter.count(idle.form, plan)
                script = self._state.script
                if script is not None and idle.number is not None:
                    script[idle.number] = script[idle.number]._replace(counter=counter, plan=plan)
        self._idle = still

    def end_learning(self) -> None:
        """Lists the calls that read only constants as products of weights alone."""
        for key, form, _ in self._idle:
            self._constant(key).count(form.macs)
        self._idle.clear()

    def learn_again(self) -> None:
        """Drops the plans that were made without knowledge."""
        for key in self._late:
            self._plans.pop(key, None)
        self._late.clear()

    def knowledge(self) -> tuple[Any, ...]:
        """Everything that decides how the next pass counts contractions."""
        ops = [(list(op.facts), set(op.feeds), op.shared) for op in self.ops.values()]
        return dict(self._plans), ops, dict(self._padding)

    def widen_input(self, factor: Fraction) -> None:
        """Widens the bounds of operands that the input alone feeds, since a batch held larger event counts."""
        for key, found in self._plans.items():
            if isinstance(found, ConstantCounter):
                continue
            counter, plan = found
            facts = (widened(plan.facts[0], factor), widened(plan.facts[1], factor))
            if facts != plan.facts:
                counter.facts = [widened(f, factor) for f in counter.facts]
                self._plans[key] = counter, replace(plan, facts=facts)

    # -- what ran ------------------------------------------------------------------------------------------

    def _constant(self, key: SiteKey) -> ConstantCounter:
        found = self._plans[key]
        assert isinstance(found, ConstantCounter)
        return found

    def constant_macs(self) -> dict[tuple[str, str], int]:
        """Dense multiply-accumulates of products of weights alone, by layer and kind."""
        sums: Counter[tuple[str, str]] = Counter()
        for counter in self.constants.values():
            if counter.calls:
                sums[counter.layer, counter.op] += counter.dense_macs
        for key, form, _ in self._idle:
            counter = self._constant(key)
            sums[counter.layer, counter.op] += form.macs
        return dict(sums)

    def ran_within(self, layer: str) -> bool:
        """Whether a module or one inside it ran a contraction."""
        if layer not in self._contracting:
            self._contracting[layer] = any(not layer or within(op.layer, layer) for op in self.ops.values())
        return self._contracting[layer]

    def ran_below(self, layer: str) -> bool:
        """Whether a module inside a module ran a contraction."""
        return any(op.layer != layer and within(op.layer, layer) for op in self.ops.values())

    def ran_at(self, layer: str) -> bool:
        """Whether a module itself ran a contraction."""
        return any(op.layer == layer for op in self.ops.values())


def widened(facts: Facts, factor: Fraction) -> Facts:
    """The facts of values that only the input feeds, with bounds that are `factor` times as wide."""
    if facts.fed_by != {provenance.INPUT} or not facts.grid:
        return facts
    low, high = (None if bound is None else bound * factor for bound in (facts.low, facts.high))
    return replace(facts, low=low, high=high)


def _kept(form: Contraction) -> Contraction:
    """The contraction with its operands as they are now; parameters are not written by the pass."""
    if isinstance(form, contractions.Convolution):
        return replace(form, x=form.x.detach().clone(), weight=form.weight.detach())
    return contractions.Product(form.left.detach().clone(), form.right.detach().clone(), form.bias, form.summed)


def _kind(form: Contraction) -> str:
    return "conv" if isinstance(form, contractions.Convolution) else "matmul"


def _counts_weights(form: Contraction, roles: tuple[Role, Role], facts: tuple[Facts, Facts]) -> bool:
    """Whether to look which weights are zero: if some are, or may be in another call."""
    if roles.count("weight") != 1:
        return False
    position = roles.index("weight")
    return not facts[position].params or bool((form.operands[position].detach() == 0).any())

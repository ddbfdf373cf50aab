"""The books of a recording: which counter each call site adds to, by what plan, and what its result is from then on.

On the first batch facts go from tensor to tensor and each call site gets a `Plan`; later batches only look the plan
up, count and verify. A user-driven recorder stays in the first phase: correct, and a little slower.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from snnprof.record import callsite, layers, provenance, rules
from snnprof.record.counters import LineCounter, OpCounter
from snnprof.record.elementwise import LINES, LOOKUPS, line_of, work
from snnprof.record.layers import Sole
from snnprof.record.measure import Plan, Role
from snnprof.record.neurons import within
from snnprof.record.places import NO_LINE, UNCOUNTED, LinePlan, Place, Places
from snnprof.record.provenance import Facts, Store, Zeros, storage_key
from snnprof.record.rules import Contraction
from snnprof.record.steps import TimeSteps
from snnprof.record.tally import nonzero_total

if TYPE_CHECKING:
    from snnprof.record.recorder import Recorder

SiteKey = tuple[Any, ...]


class Call(NamedTuple):
    """One operation of the first batch, as a compiled graph will have to repeat it.

    Attributes:
        layer, family: what ran it; `contraction`, or the line or operator it belongs to.
        counter: whose sums it adds to; a function where it is only listed as uncounted; None where it is free.
        plan, macs, padding: of a contraction.
        positions: of a line's spike operands.
    """

    layer: str
    family: str
    counter: OpCounter | LineCounter | Callable[[], None] | None
    plan: Plan | None = None
    macs: int = 0
    padding: tuple[tuple[int, int], ...] | None = None
    positions: tuple[int, ...] | None = None


_SOFTMAX = frozenset(["_softmax", "_safe_softmax"])


class Books:
    """All counters of a recording, and the facts by which each call site is counted."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.ledger = recorder.ledger
        self._forget()
        self.learning = True
        self.script: list[Call] | None = None
        self.path: list[str] = []
        self.given: Tensor | None = None  # what a layer was given that may run one contraction on it
        self.soles: dict[str, Sole] = {}
        self._mixed: set[str] = set()  # layers that run something else as well
        self.neurons: list[str] = []
        self.ops: dict[SiteKey, OpCounter] = {}
        self.by_id: dict[int, OpCounter] = {}
        self.lines: dict[tuple[str, str], LineCounter] = {}
        self.uncounted: dict[tuple[str, str], int] = {}
        self.disguised: set[str] = set()
        self.late: set[str] = set()
        self.read_parameters: set[str] = set()  # by any operator, be it a view
        self.used_parameters: set[str] = set()  # by a counted one, on the batch that every process learns from
        self.late_parameters: set[str] = set()  # by a contraction that came later
        self._plans: dict[SiteKey, tuple[OpCounter, Plan] | None] = {}
        self._places = Places()
        self._padding: dict[SiteKey, tuple[tuple[int, ...], tuple[tuple[int, int], ...]]] = {}
        self._contracting: dict[str, bool] = {}
        self._per_layer: dict[str, int] = {}
        self._parameters: dict[int, str] = {}
        self._names: set[str] = set()
        self._softmax: tuple[Any, ...] | None = None

    @property
    def layer(self) -> str:
        return self.path[-1] if self.path else ""

    def know_parameters(self, model: nn.Module) -> None:
        """Parameters and buffers are weight: they depend on no input."""
        for name, parameter in model.named_parameters():
            self._parameters[parameter.untyped_storage().data_ptr()] = name
            self._names.add(name)
            self.store.set(parameter, replace(_of_parameter(parameter), params=frozenset([name])))

    def end_batch(self) -> None:
        """The first batch is over: from here on plans are looked up and values verify them."""
        self.settle()
        self.learning = False
        self._forget()
        for counter in self.ops.values():
            counter.end_batch()

    def settle(self) -> None:
        """What read no data when it was called, and is known by now to read some, is made up for."""
        self._places.settle()

    def _forget(self) -> None:
        self.store = Store()
        self.steps = TimeSteps(self.recorder, self.store)

    def contracts_within(self, layer: str) -> bool:
        """Whether a module or one inside it ran a contraction."""
        if layer not in self._contracting:
            self._contracting[layer] = any(not layer or within(op.layer, layer) for op in self.ops.values())
        return self._contracting[layer]

    def forget_lines(self, layer: str) -> None:
        """A module turned out to be a neuron: its arithmetic is neuron updates."""
        for key in [key for key in self.lines if key[0] == layer]:
            self.lines[key].forgotten = True

    # -- contractions --------------------------------------------------------------------------------------

    def contraction(self, name: str, form: Contraction) -> OpCounter | None:
        """Counts one contraction; None where both operands are weight and nothing is inferred by it."""
        return self.contraction_at(self._site(name, form.operands), form)

    def contraction_at(self, key: SiteKey, form: Contraction) -> OpCounter | None:
        """Counts one contraction at a call site."""
        if self.learning or key not in self._plans:
            self._plan(key, form)
        found = self._plans[key]
        if found is None:
            return None
        counter, plan = found
        counter.count(self._unpadded(key, form), plan)
        return counter

    def _plan(self, key: SiteKey, form: Contraction) -> None:
        """Decides how a call site is counted; one that is met after the first batch is counted with less knowledge."""
        if not self.learning:
            self.late.add(self.layer)
        else:
            self._learn_sole(key, form)
            self._learn_padding(key, form)
        found = self._plans[key] = self._planned(key, self._unpadded(key, form), self._plans.get(key))
        if self.learning and self.script is not None:
            padding = self._padding.get(key)
            counter, plan = found or (None, None)
            self.script.append(
                Call(self.layer, "contraction", counter, plan, form.macs, padding[1] if padding else None)
            )

    def _learn_sole(self, key: SiteKey, form: Contraction) -> None:
        """Whether this is all that a layer runs; what it was given is told once a call."""
        given, self.given = self.given, None
        operand, weight = form.operands
        if given is None or not layers.is_given(operand, given):
            self._runs_more(self.layer)
        elif self.layer not in self._mixed and layers.is_plain(weight):
            self.soles[self.layer] = Sole(key[1], given.dim(), weight.data_ptr(), key)

    def _runs_more(self, layer: str) -> None:
        self._mixed.add(layer)
        self.soles.pop(layer, None)

    def _learn_padding(self, key: SiteKey, form: Contraction) -> None:
        if not isinstance(form, rules.Convolution) or form.geometry.transposed:
            return
        sides = self.store.padding(form.x, len(form.geometry.space))
        if sides:
            self._padding[key] = form.geometry.space, sides
        else:
            self._padding.pop(key, None)

    def _unpadded(self, key: SiteKey, form: Contraction) -> Contraction:
        """Zeros that an operator padded on before a convolution are its padding: taps on them are not valid."""
        known = self._padding.get(key)
        if known is None or not isinstance(form, rules.Convolution) or known[0] != form.geometry.space:
            return form
        return form.without(known[1])

    def _planned(
        self, key: SiteKey, form: Contraction, earlier: tuple[OpCounter, Plan] | None
    ) -> tuple[OpCounter, Plan] | None:
        first, second = (self._operand_facts(operand) for operand in form.operands)
        if not (first.data or second.data):
            return earlier
        if not self.learning:
            self.late_parameters |= first.params | second.params
        roles: tuple[Role, Role] = ("data" if first.data else "weight", "data" if second.data else "weight")
        facts = (first, second)
        steps = self.steps.of_operands(form, roles)
        if earlier is not None and earlier[1].roles == roles:
            plan = earlier[1]
            facts = (provenance.side_by_side([plan.facts[0], first]), provenance.side_by_side([plan.facts[1], second]))
            steps = steps if steps == plan.steps else (None, None)
        counter = self._counter(key, form, roles, facts)
        sparse = roles.count("weight") == 1 and _has_zeros(form.operands[roles.index("weight")])
        return counter, Plan(roles, facts, steps, sparse)

    def _operand_facts(self, operand: Tensor) -> Facts:
        return _to_be(self.store.of(operand) if self.learning else self._unlearned(operand))

    def _unlearned(self, operand: Tensor) -> Facts:
        """After the first batch only parameters are known; the rest errs towards real data."""
        name = self._parameters.get(operand.untyped_storage().data_ptr())
        return Facts(params=frozenset([name])) if name else provenance.real(())

    def _counter(
        self, key: SiteKey, form: Contraction, roles: tuple[Role, Role], facts: tuple[Facts, Facts]
    ) -> OpCounter:
        params = frozenset[str]().union(*(f.params for f, role in zip(facts, roles, strict=True) if role == "weight"))
        weight = key[2:] if key[2] in self._names else params or key
        identity = (self.layer, type(form).__name__, weight, roles)
        if identity not in self.ops:
            index = self._per_layer.get(self.layer, 0)
            self._per_layer[self.layer] = index + 1
            counter = OpCounter(self.ledger, self.layer, index, form, roles)
            counter.source = "" if params else callsite.source()
            counter.facts = list(facts)
            self.ops[identity] = counter
            self._contracting.clear()
            self.by_id[id(counter)] = counter
        counter = self.ops[identity]
        counter.facts = [provenance.side_by_side([a, b]) for a, b in zip(counter.facts, facts, strict=True)]
        return counter

    def _site(self, name: str, operands: Sequence[Tensor]) -> SiteKey:
        """Where in the code a contraction stands: its parameter where it has one, else the calling lines.

        The two products of an attention kernel stand on one line; the softmax between them tells them apart.
        """
        for operand in reversed(operands):  # the weight mostly comes last
            parameter = self._parameters.get(operand.untyped_storage().data_ptr())
            if parameter is not None:
                return (self.layer, name, parameter, operand.storage_offset())
        callers = callsite.callers()
        after_softmax, self._softmax = self._softmax == callers, None
        return (self.layer, name, after_softmax, *callers)

    # -- other operators -----------------------------------------------------------------------------------

    def other(self, frame: FrameType, name: str, args: Any, result: Any, facts: list[Facts] | None) -> None:
        """Counts an operator that is no contraction, and not free, outside neuron modules.

        Args:
            frame: of the code that runs it.
            result: what came out; where an operand is about to be changed in place, that.
            facts: of its operands, on the first batch.
        """
        if name in _SOFTMAX:
            self._softmax = callsite.callers()
        if self.neurons:
            return
        place = Place(self.path[-1], name, frame)
        plan = self._found(place, args) if facts is None else self._learned(place, args, result, facts)
        if plan.counter is not None:
            self._add(plan, work(name, plan.line, args, result), _spikes(args, plan))
        elif plan is not NO_LINE:
            self._uncount(self.layer, name)

    def _add(self, plan: LinePlan, elements: int, nonzero: Sequence[int | Tensor]) -> None:
        if isinstance(plan.counter, OpCounter):
            plan.counter.bias_adds += elements
        elif plan.counter is not None:
            plan.counter.count(elements, nonzero)

    def _learned(self, place: Place, args: Any, result: Any, facts: list[Facts]) -> LinePlan:
        layer, name, _ = place
        plan = self._line_plan(name, args, facts)
        number = None if self.script is None else len(self.script)
        idle = plan is NO_LINE and name in LINES and not any(f.params for f in facts)
        self._places.learn(place, args, plan, self._later(layer, name, args, result, number) if idle else None)
        self._runs_more(layer)
        if self.script is not None:
            self.script.append(self._line_call(layer, name, plan))
        return plan

    def _later(
        self, layer: str, name: str, args: Any, result: Any, number: int | None
    ) -> Callable[[LinePlan], None] | None:
        """Makes up for a call that read no data, by the plan of one that does; `number` is its own in the script."""
        tensors = _tensors(args)
        if not all(_readable(tensor) for tensor in tensors):
            return None
        elements, nonzero = work(name, LINES[name], args, result), [nonzero_total(tensor) for tensor in tensors]

        def count(plan: LinePlan) -> None:
            if plan.counter is not None:
                self._add(plan, elements, [nonzero[position] for position in plan.positions or ()])
            else:
                self._uncount(layer, name)
            if self.script is not None and number is not None:
                self.script[number] = self._line_call(layer, name, plan)

        return count

    def _found(self, place: Place, args: Any) -> LinePlan:
        """What is met after the first batch only may or may not read data: it is listed."""
        plan = self._places.find(place, args)
        if plan is None:
            self.late.add(place.layer)
            return UNCOUNTED
        return plan

    def _line_call(self, layer: str, name: str, plan: LinePlan) -> Call:
        family = LINES.get(name, name)
        if plan is NO_LINE:
            return Call(layer, family, None)
        counter = plan.counter or functools.partial(self._uncount, layer, name)
        return Call(layer, family, counter, positions=plan.positions)

    def _uncount(self, layer: str, name: str) -> None:
        self.uncounted[layer, name] = self.uncounted.get((layer, name), 0) + 1

    def _line_plan(self, name: str, args: Any, facts: list[Facts]) -> LinePlan:
        if any(f.data for f in facts):
            facts = [_to_be(f) for f in facts]
        line = line_of(name, facts)
        if line is None:
            return NO_LINE
        if any(tensor.layout is not torch.strided for tensor in _tensors(args)):
            line = "uncounted"
        if line == "uncounted":
            return UNCOUNTED
        if line == "bias" and facts[0].result_of is not None:
            counter = self.by_id[facts[0].result_of]
            if counter.layer == self.layer:
                return LinePlan(line, counter)
        if line == "reduce" and facts[0].product:
            self.disguised.add(self.layer)
        data = [i for i, f in enumerate(facts) if f.data]
        quantised = all(facts[i].quantum is not None for i in data)
        sums = self._line(line, _tensors(args)[0].device)
        if line == "batch_norm":
            into = facts[0].result_of
            sums.feeders.add(None if into is None else self.by_id[into])
            sums.biased |= into is not None and self.by_id[into].bias_adds > 0
        sums.counted &= quantised
        return LinePlan(line, sums, tuple(data) if quantised else None)

    def _line(self, line: str, device: torch.device) -> LineCounter:
        key = (self.layer, line)
        if key not in self.lines:
            self.lines[key] = LineCounter(self.ledger, self.layer, line, device)
        return self.lines[key]

    # -- provenance ----------------------------------------------------------------------------------------

    def facts_of(self, args: Any, kwargs: Any) -> list[Facts]:
        named = tuple(value for name, value in kwargs.items() if name != "out")  # that one is not read
        facts = [self.store.of(tensor) for tensor in _tensors(args) + _tensors(named)]
        self.read_parameters |= frozenset[str]().union(*(f.params for f in facts))
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
    ) -> None:
        """Writes the facts of an operator's result, or of the operand it changed in place."""
        outputs = _tensors(result if isinstance(result, tuple | list) else (result,))
        if not outputs:
            return
        inputs = _tensors(args)
        if form is not None or self.neurons or name in LINES or name in LOOKUPS:
            self.used_parameters |= frozenset[str]().union(*(f.params for f in facts))
        passed = (
            self._of_contraction(form, counter)
            if form is not None
            else provenance.passed_on(name, facts, args, kwargs, result)
        )
        if passed.data and LINES.get(name) != "batch_norm":
            self._share({f.result_of for f in facts} - {passed.result_of})
        if self.neurons and passed.data and provenance.decides(name):
            passed = replace(passed, fed_by=frozenset(self.neurons[:1]))
        if in_place:
            self._write(outputs[0], passed, inputs)
            return
        known = {storage_key(t) for t in inputs}
        for output in outputs:
            if storage_key(output) in known:
                self._view(name, output, passed)
            else:
                self.store.set(output, passed, self.steps.of_result(name, output, inputs, args, form))
        if name == "constant_pad_nd" and not provenance.fill_value(args, kwargs):
            self.store.pad(outputs[0], Zeros.of(outputs[0], args[1]))

    def _share(self, results: set[int | None]) -> None:
        """Contractions whose result something else reads: no batch norm can fold into their weights."""
        for result in results - {None}:
            self.by_id[result].shared = True  # type: ignore[index]

    def _view(self, name: str, output: Tensor, passed: Facts) -> None:
        """A view shares its storage's facts; an expanded axis may be the time axis."""
        if name in ("expand", "expand_as"):
            self.store.set(output, passed, self.steps.of_expanded(output) or self.store.time(output))

    def _write(self, target: Tensor, passed: Facts, inputs: list[Tensor]) -> None:
        """In place: the whole storage takes the new facts, a part of it stands beside the rest."""
        whole = target.numel() * target.element_size() >= target.untyped_storage().nbytes()
        time = self.store.time(target)
        if whole:
            time = time or provenance.carried("", target, [(t, self.store.time(t)) for t in inputs[1:]], ())
            self.store.set(target, passed, time)
        else:
            self.store.set(target, provenance.side_by_side([self.store.of(target), passed]), time)

    def _of_contraction(self, form: Contraction, counter: OpCounter | None) -> Facts:
        first, second = (self._operand_facts(operand) for operand in form.operands)
        terms = form.macs // max(form.outputs, 1)
        if counter is None:
            return provenance.joined([first, second], quantised=False)
        result = provenance.multiplied(first, second, terms)
        if first.params or second.params or form.bias:
            result = provenance.joined([result], quantised=False)
        name = id(counter)
        return replace(result, data=True, ops=frozenset([name]), result_of=name, product=False)


def _readable(values: Tensor) -> bool:
    return layers.is_plain(values) and values.layout is torch.strided and not values.is_complex()


def _spikes(args: Sequence[Any], plan: LinePlan) -> list[int | Tensor]:
    """How many spikes each operand holds that a plan expects to hold some."""
    if plan.positions is None:
        return []
    return [nonzero_total(tensor) for place, tensor in enumerate(_tensors(args)) if place in plan.positions]


def _to_be(facts: Facts) -> Facts:
    """A state that starts as zeros is data already, beside data or in a contraction: it will be."""
    return replace(facts, data=True) if facts.quantum == 0 and not facts.params else facts


def _of_parameter(parameter: Tensor) -> Facts:
    """A parameter of one element scales by its value; larger ones erase the quantum of what they multiply."""
    return provenance.constant(parameter) if parameter.numel() == 1 else Facts()


def _has_zeros(weight: Tensor) -> bool:
    return bool((weight.detach() == 0).any())


def _tensors(values: Sequence[Any]) -> list[Tensor]:
    """The tensors among an operator's arguments or results; operators nest them in lists, and no deeper."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += [inner for inner in value if isinstance(inner, Tensor)]
    return found

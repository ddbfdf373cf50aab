"""Call sites: how each is counted, where its counts accumulate, and the provenance of its result.

While learning, facts go from tensor to tensor and each call site gets a `Plan`; after that passes only look the plan
up, count and verify. Learning ends with the first batch of `profile()`; where the caller drives the passes it ends with
the first pass that teaches nothing new, and a call site that is met later starts it again.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from snnprof.record import callers, contractions, layers, provenance, readings, straight_through, timeaxis, values
from snnprof.record.accumulate import CountLog
from snnprof.record.contractions import Contraction, Rows
from snnprof.record.counters import ConstantCounter, LineCounter, OpCounter
from snnprof.record.decisions import Decisions, Feed
from snnprof.record.elementwise import line_of, work
from snnprof.record.firing import FiringLine, FiringLines
from snnprof.record.measure import Plan, Role
from snnprof.record.neurons import within
from snnprof.record.operators import operator, propagate
from snnprof.record.propagation import fill_value, tensors_of
from snnprof.record.provenance import Facts, Origin
from snnprof.record.read import read
from snnprof.record.read.operand import ANY, FIGURES
from snnprof.record.recording import Recording
from snnprof.record.site_plans import NO_LINE, UNCOUNTED, CallSite, LinePlan, SitePlans
from snnprof.record.steps import TimeSteps
from snnprof.record.store import Store, ZeroPadding, storage_key
from snnprof.record.suspend import Unseen

SiteKey = tuple[Any, ...]


class Call(NamedTuple):
    """One operation of the first batch, as a compiled graph will have to repeat it.

    Attributes:
        layer, family: what ran it; `contraction`, the line or operator it belongs to, or that it may make spikes.
        counter: whose sums it adds to; a function where it is only listed as uncounted; None where it is free.
        plan, macs, padding: of a contraction.
        positions: of a line's spike operands.
    """

    layer: str
    family: str
    counter: OpCounter | LineCounter | FiringLine | Callable[[], None] | None
    plan: Plan | None = None
    macs: int = 0
    padding: tuple[tuple[int, int], ...] | None = None
    positions: tuple[int, ...] | None = None


Found = tuple[OpCounter, Plan] | ConstantCounter
"""How a contraction is counted at a call site; one of weights alone is listed."""


ROWS = "rows"


def firing_family(name: str) -> str:
    """The family of calls of an operator that may make spikes."""
    return f"fires {name}"


class _Idle(NamedTuple):
    """A contraction of weights alone, which its call site may run on data in a later step (a state's first value)."""

    key: SiteKey
    form: Contraction


class CallSites:
    """All counters of a recording, and the facts by which each call site is counted."""

    def __init__(self, recording: Recording, log: CountLog, named: dict[int, str]) -> None:
        self.recording, self.log = recording, log
        self.decisions = Decisions(lambda op: self.by_id[op].all_calls)
        self.firing = FiringLines(recording, log, named)
        self._forget()
        self.learning = True
        self.script: list[Call] | None = None
        self.path: list[str] = []
        self.telling = 0  # more than 0 while an operator is counted: what runs then is none of the model's
        self.neurons: list[str] = []
        self.ops: dict[SiteKey, OpCounter] = {}
        self.by_id: dict[int, OpCounter] = {}
        self.lines: dict[tuple[str, str], LineCounter] = {}
        self.uncounted: dict[tuple[str, str], int] = {}
        self.constants: dict[SiteKey, ConstantCounter] = {}
        self.trace: list[tuple[str, OpCounter | ConstantCounter, int]] | None = None  # contractions and MACs, in order
        self.few_values: set[str] = set()  # layers that read real values, but only a few evenly spaced ones
        self.raw_input = False  # whole numbers up to 255, as images hold before they are normalised
        self.input_facts: Facts | None = None  # of unsigned spikes or event counts in the input
        self.renamed: dict[str, str] = {}  # what turned out to be part of a neuron layer
        self.left = False  # values left PyTorch in this pass: constants made after it may depend on them
        self.added: OpCounter | None = None  # of rows that the last operator added up
        self.read_names: set[str] = set()  # neurons whose spikes the model puts out
        self.foreign: set[str] = set()  # layers whose contractions read what nobody knows
        self.disguised: set[str] = set()
        self.late: set[str] = set()
        self.read_parameters: set[str] = set()  # by any operator, be it a view
        self.used_parameters: set[str] = set()  # by a counted one, on the batch that every process learns from
        self.late_parameters: set[str] = set()  # by a contraction that came later
        self._plans: dict[SiteKey, Found] = {}
        self._late_sites: set[SiteKey] = set()  # contractions planned without knowledge
        self.met_new = False  # a call site that was met after learning had ended
        self._idle: list[_Idle] = []
        self._places = SitePlans()
        self._padding: dict[SiteKey, tuple[tuple[int, ...], tuple[tuple[int, int], ...]]] = {}
        self._contracting: dict[str, bool] = {}
        self._per_layer: dict[str, int] = {}
        self._parameters: dict[int, str] = {}
        self._names: set[str] = set()
        self._softmax: tuple[Any, ...] | None = None

    @property
    def layer(self) -> str:
        return self.path[-1] if self.path else ""

    def know_weights(self, module: nn.Module, path: str) -> None:
        """The parameters and buffers that a module holds now are weight: they depend on no input."""
        for key, parameter in module._parameters.items():
            if parameter is not None and not is_lazy(parameter):
                for part in layers.parts_of(parameter) or [parameter]:  # of a sharded one, what lies here
                    self._know_parameter(part, f"{path}.{key}".lstrip("."))
        for buffer in module._buffers.values():
            if buffer is not None and not is_lazy(buffer) and self.store.get(buffer) is None:
                self.store.set(buffer, values.constant(buffer))

    def _know_parameter(self, parameter: Tensor, name: str) -> None:
        if storage_key(parameter) is None:
            return
        known = self.store.get(parameter)
        if known is None or not known.params:
            name = self._parameters.setdefault(_address(parameter), name)
            self._names.add(name)
            self.store.set(parameter, replace(_of_parameter(parameter), params=frozenset([name])))

    def parameter_name(self, parameter: Tensor) -> str | None:
        """The name that a parameter is known by, whoever shares it."""
        return None if is_lazy(parameter) else self._parameters.get(_address(parameter))

    def end_learning(self) -> None:
        """From here on plans are looked up and values verify them."""
        if not self.learning:
            return
        self.settle()
        for key, form in self._idle:
            self._constant(key).count(form.macs)
        self._idle.clear()
        self._places.end_learning()
        self.learning = False
        self._forget()

    def learn_again(self) -> None:
        """A call site was met that no plan was known for: from this pass on it is learned like the others."""
        self.learning, self.met_new = True, False
        for key in self._late_sites:
            self._plans.pop(key, None)
        self._late_sites.clear()

    def settle(self) -> None:
        """Adds the calls that read only constants at first, at call sites known by now to read data."""
        self._places.settle()
        still: list[_Idle] = []
        for idle in self._idle:
            found = self._plans[idle.key]
            if isinstance(found, ConstantCounter):
                still.append(idle)
            else:
                counter, plan = found
                counter.count(idle.form, plan)
        self._idle = still

    def _constant(self, key: SiteKey) -> ConstantCounter:
        found = self._plans[key]
        assert isinstance(found, ConstantCounter)
        return found

    def constant_macs(self) -> dict[tuple[str, str], int]:
        """Multiply-accumulates of products of weights alone, by layer and kind."""
        sums: Counter[tuple[str, str]] = Counter()
        for counter in self.constants.values():
            if counter.calls:
                sums[counter.layer, counter.op] += counter.dense_macs
        for key, form in self._idle:
            counter = self._constant(key)
            sums[counter.layer, counter.op] += form.macs
        return dict(sums)

    def knowledge(self) -> tuple[Any, ...]:
        """All that decides how the next pass is counted: a pass that leaves it as it was has taught nothing."""
        return (
            dict(self._plans),
            [(list(op.facts), set(op.feeds), op.shared) for op in self.ops.values()],
            self._places.knowledge(),
            {key: (line.counted, line.biased, line.forgotten, set(line.feeders)) for key, line in self.lines.items()},
            self.firing.knowledge(),
            dict(self._padding),
            dict(self.renamed),
            [set(names) for names in (self.read_parameters, self.used_parameters, self.read_names)],
            set(self.decisions.carrying),
        )

    def _forget(self) -> None:
        self.store = Store()
        self.steps = TimeSteps(self.recording, self.store)

    def contracts_within(self, layer: str) -> bool:
        """Whether a module or one inside it ran a contraction."""
        if layer not in self._contracting:
            self._contracting[layer] = any(not layer or within(op.layer, layer) for op in self.ops.values())
        return self._contracting[layer]

    def contracts_below(self, layer: str) -> bool:
        """Whether a module inside a module ran a contraction."""
        return any(op.layer != layer and within(op.layer, layer) for op in self.ops.values())

    def contracts_at(self, layer: str) -> bool:
        """Whether a module itself ran a contraction."""
        return any(op.layer == layer for op in self.ops.values())

    def begin_pass(self) -> None:
        self.store.begin_pass()
        self.left = False
        self.decisions.begin_pass()

    def widen_input(self, levels: int) -> None:
        """What the input alone feeds may be as many times larger as its event counts are."""
        assert self.input_facts is not None
        factor = Fraction(levels, self.input_facts.levels or 1)
        self.input_facts = _widened(self.input_facts, factor)
        for key, found in self._plans.items():
            if isinstance(found, ConstantCounter):
                continue
            counter, plan = found
            facts = tuple(_widened(f, factor) for f in plan.facts)
            if facts != plan.facts:
                counter.facts = [_widened(f, factor) for f in counter.facts]
                self._plans[key] = counter, replace(plan, facts=(facts[0], facts[1]))

    def leave(self, tensor: Any) -> None:
        """Values of a tensor leave PyTorch: what comes back is unknown, and its memory may be written to unseen."""
        if not isinstance(tensor, Tensor) or storage_key(tensor) is None:
            return
        facts = self.store.get(tensor) if self.learning else None
        if facts is not None and (facts.origin is not Origin.WEIGHT or not facts.params):
            self.left |= facts.origin is not Origin.WEIGHT
            with Unseen():
                self.store.share(tensor)

    def know_outputs(self, outputs: Sequence[Tensor]) -> None:
        """What the model puts out, at the end of a pass."""
        for output in outputs:
            facts = self.store.get(output)
            if facts is not None and facts.grid:
                self.read_names |= facts.fed_by

    def forget_lines(self, layer: str) -> None:
        """A module turned out to be a neuron: its arithmetic is neuron updates."""
        for key in [key for key in self.lines if within(key[0], layer)]:
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
        if isinstance(found, ConstantCounter):
            self._traced(found, form)
            if self.learning:
                self._idle.append(_Idle(key, _kept(form)))
            else:
                found.count(form.macs)
            return None
        counter, plan = found
        self._traced(counter, form, plan)
        counter.count(self._unpadded(key, form), plan)
        return counter

    def _traced(self, counter: OpCounter | ConstantCounter, form: Contraction, plan: Plan | None = None) -> None:
        """For the check of a run by itself: what ran, and whether values that were taken for real look like spikes."""
        summed = isinstance(form, contractions.Product) and form.rows is not None and form.rows.table is None
        if self.trace is None or summed:  # the second counter does not know sums of rows
            return
        self.trace.append((self.layer, counter, form.macs))
        for position, facts in enumerate(plan.facts if plan else ()):
            real = plan is not None and plan.roles[position] == "data" and facts.grid is None
            if real and facts.fed_by != {provenance.INPUT} and values.look_like_spikes(form.operands[position]):
                self.few_values.add(self.layer)

    def _plan(self, key: SiteKey, form: Contraction) -> None:
        """Decides how a call site is counted; one that is met after the first batch is counted with less knowledge."""
        if not self.learning:
            self.late.add(self.layer)
            self._late_sites.add(key)
            self.met_new = True
        else:
            self._learn_padding(key, form)
        earlier = self._plans.get(key)
        found = self._planned(key, self._unpadded(key, form), earlier)
        found = self._plans[key] = earlier if earlier == found and earlier else found
        if self.learning and self.script is not None:
            padding = self._padding.get(key)
            counter, plan = (None, None) if isinstance(found, ConstantCounter) else found
            self.script.append(
                Call(self.layer, "contraction", counter, plan, form.macs, padding[1] if padding else None)
            )

    def _learn_padding(self, key: SiteKey, form: Contraction) -> None:
        if not isinstance(form, contractions.Convolution) or form.geometry.transposed:
            return
        sides = self.store.padding(form.x, len(form.geometry.space))
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
        first, second = self._operands_facts(form)
        if not (first.data or second.data):
            return earlier or self.constants.setdefault(key, ConstantCounter(self.layer, _kind(form)))
        if not self.learning:
            self.late_parameters |= first.params | second.params
        elif self.raw_input:
            self._note_raw_input(form.operands[0], first)
        roles: tuple[Role, Role] = ("data" if first.data else "weight", "data" if second.data else "weight")
        facts = (first, second)
        steps = self.steps.of_operands(form, roles)
        if isinstance(earlier, tuple) and earlier[1].roles == roles:
            plan = earlier[1]
            facts = (provenance.side_by_side([plan.facts[0], first]), provenance.side_by_side([plan.facts[1], second]))
            steps = steps if steps == plan.steps else (None, None)
        counter = self._counter(key, form, roles, facts)
        return counter, Plan(roles, facts, steps, _counts_weights(form, roles, facts))

    def _note_raw_input(self, operand: Tensor, facts: Facts) -> None:
        if facts.fed_by == {provenance.INPUT} and facts.grid is None and values.raw_bytes(operand):
            self.recording.note(
                "C20", self.layer, "The input holds whole numbers up to 255, like images before normalisation",
                "Divide by 255 and normalise as in training, unless the network was trained on bytes",
            )  # fmt: skip

    def _operands_facts(self, form: Contraction) -> tuple[Facts, Facts]:
        """The facts of both operands; an unknown one takes its role from its partner."""
        if not self.learning:
            first, second = (self._unlearned(operand) for operand in form.operands)
            return first, second
        if isinstance(form, contractions.Product) and form.rows is not None:
            return self._rows_facts(form, form.rows)
        first, second = (
            facts if facts.origin is Origin.UNKNOWN else _to_be(facts) for facts in map(self.store.of, form.operands)
        )
        origins = first.origin, second.origin
        if Origin.UNKNOWN not in origins:
            return first, second
        self.foreign.add(self.layer)
        as_data = Origin.WEIGHT in origins or origins == (Origin.UNKNOWN, Origin.UNKNOWN)
        resolved = [
            (self._as_input(operand, facts) if as_data else replace(facts, origin=Origin.WEIGHT))
            if facts.origin is Origin.UNKNOWN
            else facts
            for operand, facts in zip(form.operands, (first, second), strict=True)
        ]
        return resolved[0], resolved[1]

    def _rows_facts(self, form: Contraction, rows: Rows) -> tuple[Facts, Facts]:
        """The facts of rows that data selected, and of how often each is added: once, where nothing scales them."""
        factors, selected = form.operands
        if rows.table is None or rows.indices is None:
            table = by = self.store.of(selected)
        else:
            table, by = self.store.of(rows.table), self.store.of(rows.indices)
        scale = self.store.get(factors)
        once = provenance.on_grid(provenance.ONE, provenance.ONE, provenance.ONE)
        weight = replace(table, origin=Origin.WEIGHT, grid=None, fed_by=frozenset())
        return replace(
            scale or once, origin=by.origin, fed_by=by.fed_by | (scale.fed_by if scale else frozenset())
        ), weight

    def _as_input(self, operand: Tensor, facts: Facts) -> Facts:
        """An unknown that meets a weight is data, its grid read off as for the input."""
        fed_by = facts.fed_by | {provenance.INPUT}
        if facts.grid is None or operand.numel() == 1:
            facts = values.of_input(operand, self.recording.input)
        if facts.grid is None:
            return replace(facts, origin=Origin.DATA, fed_by=fed_by)
        # What bounds it in other batches nobody knows.
        grid = facts.grid or frozenset([((), provenance.ONE)])
        low = None if facts.signed else provenance.ZERO
        return replace(facts, origin=Origin.DATA, fed_by=fed_by, grid=grid, low=low, high=None)

    def _unlearned(self, operand: Tensor) -> Facts:
        """After the first batch only parameters are known; the rest errs towards real data."""
        name = self._parameters.get(_address(operand))
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
            counter = OpCounter(self.log, self.layer, index, form, roles)
            counter.source = "" if params else callers.source()
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
            parameter = self._parameters.get(_address(operand))
            if parameter is not None:
                return (self.layer, name, parameter, operand.storage_offset())
        chain = callers.chain()
        after_softmax, self._softmax = self._softmax == chain, None
        return (self.layer, name, after_softmax, *chain)

    # -- other operators -----------------------------------------------------------------------------------

    def other(self, frame: FrameType, name: str, args: Any, result: Any, facts: list[Facts] | None) -> None:
        """Counts an operator that is no contraction, and not free, outside neuron modules.

        Args:
            frame: of the code that runs it.
            result: what came out; where an operand is about to be changed in place, that.
            facts: of its operands, on the first batch.
        """
        if operator(name).softmax:
            self._softmax = callers.chain()
        if self.neurons:
            return
        place = CallSite(self.path[-1], name, frame)
        plan = self._found(place, args) if facts is None else self._learned(place, args, result, facts)
        if plan.line == ROWS:
            self.added = self.contraction_at((self.layer, name, *callers.chain(frame)), _rows_added(args))
        elif plan.counter is not None:
            self._add(plan, work(name, plan.line, args, result), _spikes(args, plan))
        elif plan is not NO_LINE:
            self._uncount(self.layer, name)

    def _add(self, plan: LinePlan, elements: int, spikes: Sequence[Tensor]) -> None:
        if isinstance(plan.counter, OpCounter):
            plan.counter.bias_adds += elements
        elif plan.counter is not None:
            plan.counter.count(elements, spikes)

    def _learned(self, place: CallSite, args: Any, result: Any, facts: list[Facts]) -> LinePlan:
        layer, name, _ = place
        plan = self._line_plan(name, args, facts)
        number = None if self.script is None else len(self.script)
        idle = plan is NO_LINE and operator(name).arithmetic and not any(f.params for f in facts)
        self._places.learn(place, args, plan, self._later(layer, name, args, result, number) if idle else None)
        if self.script is not None:
            self.script.append(self._line_call(layer, name, plan))
        return plan

    def _later(
        self, layer: str, name: str, args: Any, result: Any, number: int | None
    ) -> Callable[[LinePlan], None] | None:
        """Makes up for a call that read no data, by the plan of one that does; `number` is its own in the script."""
        tensors = tensors_of(args)
        if not all(_readable(tensor) for tensor in tensors):
            return None
        elements, rows = work(name, operator(name).line or "", args, result), [_read(tensor) for tensor in tensors]

        def count(plan: LinePlan) -> None:
            if isinstance(plan.counter, LineCounter):
                plan.counter.count_read(elements, [rows[position] for position in plan.positions or ()])
            elif plan.counter is not None:
                self._add(plan, elements, ())
            else:
                self._uncount(layer, name)
            if self.script is not None and number is not None:
                self.script[number] = self._line_call(layer, name, plan)

        return count

    def _found(self, place: CallSite, args: Any) -> LinePlan:
        """What is met after the first batch only may or may not read data: it is listed."""
        plan = self._places.find(place, args)
        if plan is None:
            self.late.add(place.layer)
            self.met_new = True
            return UNCOUNTED
        return plan

    def _line_call(self, layer: str, name: str, plan: LinePlan) -> Call:
        family = operator(name).arithmetic or name
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
        if operator(name).adds_rows and _adds_rows(name, args, facts):
            return LinePlan(ROWS)
        if not all(map(layers.is_own, tensors_of(args))):
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
        quantised = all(facts[i].grid is not None for i in data)
        sums = self._line(line)
        if line == "batch_norm":
            into = facts[0].result_of
            sums.feeders.add(None if into is None else self.by_id[into])
            sums.biased |= into is not None and self.by_id[into].bias_adds > 0
        sums.counted &= quantised
        return LinePlan(line, sums, tuple(data) if quantised else None)

    def _line(self, line: str) -> LineCounter:
        key = (self.layer, line)
        if key not in self.lines:
            self.lines[key] = LineCounter(self.log, self.layer, line)
        return self.lines[key]

    # -- provenance ----------------------------------------------------------------------------------------

    def facts_of(self, args: Any, kwargs: Any) -> list[Facts]:
        named = tuple(value for name, value in kwargs.items() if name != "out")  # that one is not read
        facts = [self.store.of(tensor) for tensor in tensors_of(args) + tensors_of(named)]
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
        frame: FrameType,
    ) -> None:
        """Writes the facts of an operator's results, or of the operand it changed in place."""
        outputs = tensors_of(result if isinstance(result, tuple | list) else (result,))
        if not outputs:
            return
        inputs = tensors_of(args)
        if form is not None or self.neurons or operator(name).arithmetic or operator(name).lookup:
            self.used_parameters |= frozenset[str]().union(*(f.params for f in facts))
        if form is not None:
            passed: tuple[Facts, ...] = (self._of_contraction(form, counter),)
        else:
            passed = self._of_operator(name, facts, args, kwargs, result)
            if self.added is not None:
                op, self.added = id(self.added), None
                passed = (replace(provenance.merged(facts), origin=Origin.DATA, ops=frozenset([op]), result_of=op),)
            passed = (self._fired(name, facts, args, passed[0], outputs[0], frame), *passed[1:])
        if passed[0].data and operator(name).line != "batch_norm":
            self._share({f.result_of for f in facts} - {passed[0].result_of})
        if name == "set_":
            self.store.forget(outputs[0])
            return
        if in_place:
            self._write(name, args, kwargs, outputs[0], passed[0])
            return
        known = {storage_key(t) for t in inputs}
        for position, output in enumerate(outputs):
            made = passed[min(position, len(passed) - 1)]
            if storage_key(output) in known:
                self._view(name, output, made)
            else:
                axis = self.steps.of_result(name, output, inputs, args, form)
                made, sum_of = straight_through.simplified(self.store, name, args, kwargs, output, made)
                self.store.set(output, made, axis, sum_of, self._made_by(name, args, kwargs, position))
        if name == "constant_pad_nd" and not fill_value(args, kwargs):
            self.store.pad(outputs[0], ZeroPadding.of(outputs[0], args[1]))

    def _made_by(self, name: str, args: Any, kwargs: Any, position: int) -> SiteKey | None:
        """Operator and operands; None where the same ones need not make the same values."""
        if operator(name).transfer is None or operator(name).random or not args:
            return None
        parts = [name, position]
        for value in [*args, *kwargs.items()]:
            tensors = tensors_of([value])
            parts += [frozenset(self.store.form(t).items()) for t in tensors] if tensors else [repr(value)]
        return tuple(parts)

    def _of_operator(self, name: str, facts: list[Facts], args: Any, kwargs: Any, result: Any) -> tuple[Facts, ...]:
        passed = propagate(name, facts, args, kwargs, result)
        if self.left and operator(name).constant and passed[0].origin is Origin.WEIGHT:
            passed = (replace(passed[0], origin=Origin.UNKNOWN),)
        return passed

    def _fired(self, name: str, facts: list[Facts], args: Any, made: Facts, output: Tensor, frame: FrameType) -> Facts:
        """Spikes that an operator makes, with what makes them: the neuron layer that runs, or else its line of code."""
        if not operator(name).quantises or not layers.is_own(output):
            return made
        place = CallSite(self.layer, name, frame)
        if not made.data:
            self._fired_on_constants(place, facts, args, output)
            return made
        call = self._feed(facts, args)
        if operator(name).decides:
            self._decides((self.layer, name, *callers.chain(frame)), facts, args, call)
        if self.neurons:
            return replace(made, fed_by=frozenset(self.neurons[:1])) if operator(name).decides else made
        steps = self.steps.of_made(name, output, tensors_of(args), args)
        made, line = self.firing.learn(place, facts, made, output, steps, call)
        if line is not None and operator(name).decides:
            line.sites.add(self.decisions.made[-1])
        self._note_firing(name, line)
        return made

    def _feed(self, facts: list[Facts], args: Any) -> Feed:
        """What feeds the data among the operands of a call."""
        data = [(operand, known) for operand, known in zip(tensors_of(args), facts, strict=False) if known.data]
        terms = {value: term for operand, _ in data for value, term in self.store.terms(operand).items()}
        return self.decisions.feed(provenance.merged([known for _, known in data]).ops, terms, self.store.written)

    def _decides(self, site: SiteKey, facts: list[Facts], args: Any, call: Feed) -> None:
        """A call site makes whole numbers of real values, which are marked with it."""
        decided = frozenset[int]().union(*(known.decided for known in facts if known.data))
        number = self.decisions.decide(site, call, decided)
        for operand, known in zip(tensors_of(args), facts, strict=False):
            if known.data:
                self.store.decide(operand, number)

    def _fired_on_constants(self, place: CallSite, facts: list[Facts], args: Any, output: Tensor) -> None:
        """A state may start as zeros, and what compares it in the first step be a neuron all the same."""
        layer, name, frame = place
        if operator(name).decides and not any(f.params for f in facts):
            number = self.decisions.decide_on_constants((layer, name, *callers.chain(frame)))
            for operand in tensors_of(args):
                self.store.decide(operand, number)
            if not self.neurons:
                self.firing.idle(place, output, functools.partial(self._refire, layer, name, len(self.script or ())))
        self._note_firing(name, None)

    def _refire(self, layer: str, name: str, number: int, line: FiringLine) -> None:
        """A call on constants, with that number in the script, was one of a line that fires."""
        if self.script is not None:
            self.script[number] = Call(layer, firing_family(name), line)

    def _note_firing(self, name: str, line: FiringLine | None) -> None:
        """What a compiled graph will have to count of an operator that may make spikes."""
        if self.script is not None and not self.neurons:
            self.script.append(Call(self.layer, firing_family(name), line))

    def fired(self, frame: FrameType, name: str, result: Any) -> None:
        """Counts spikes that a line makes, after the first batch."""
        if self.learning or self.neurons or not self.firing or not isinstance(result, Tensor):
            return
        line = self.firing.find(CallSite(self.layer, name, frame))
        if line is not None:
            self.firing.count(line, result)

    def _share(self, results: set[int | None]) -> None:
        """Contractions whose result something else reads: no batch norm can fold into their weights."""
        for result in results - {None}:
            self.by_id[result].shared = True  # type: ignore[index]

    def _view(self, name: str, output: Tensor, passed: Facts) -> None:
        """A view shares its storage's facts; an expanded axis may be the time axis."""
        if name in ("expand", "expand_as"):
            self.store.set(output, passed, self.steps.of_expanded(output) or self.store.time(output))

    def _write(self, name: str, args: Any, kwargs: Any, target: Tensor, passed: Facts) -> None:
        """In place: the whole storage takes the new facts, a part of it stands beside the rest."""
        time = self.store.time(target)
        if target.numel() * target.element_size() < _bytes(target):
            self.store.set(target, provenance.side_by_side([self.store.of(target), passed]), time)
            return
        others = tensors_of(args)[1:]
        time = time or timeaxis.carried("", target, [(t, self.store.time(t)) for t in others], ())
        made, sum_of = straight_through.simplified(self.store, name.removesuffix("_"), args, kwargs, target, passed)
        self.store.set(target, made, time, sum_of)

    def _of_contraction(self, form: Contraction, counter: OpCounter | None) -> Facts:
        first, second = self._operands_facts(form)
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

    # -- names ---------------------------------------------------------------------------------------------

    def now_called(self, name: str) -> str:
        """The neuron layer that a name turned out to be part of."""
        while name in self.renamed:
            name = self.renamed[name]
        return name

    def fed_by(self, names: Iterable[str], known: Collection[str]) -> frozenset[str]:
        """What feeds an operand: neuron layers that are listed, or what stands before those that are not."""
        found: set[str] = set()
        open_names, done = set(names), set[str]()
        while open_names:
            name = self.now_called(open_names.pop())
            if name in done:
                continue
            done.add(name)
            if name in self.firing.by_name and name not in known:
                open_names |= self.firing.by_name[name].upstream
            else:
                found.add(name)
        return frozenset(found)


def _address(tensor: Tensor) -> int:
    """Of a tensor's memory; tensors of classes without storage have none."""
    try:
        return int(tensor.untyped_storage().data_ptr())
    except (NotImplementedError, RuntimeError):
        return 0


def _bytes(tensor: Tensor) -> int:
    try:
        return int(tensor.untyped_storage().nbytes())
    except (NotImplementedError, RuntimeError):
        return 0


def _kept(form: Contraction) -> Contraction:
    """The contraction with its operands as they are now; parameters are not written by the pass."""
    if isinstance(form, contractions.Convolution):
        return replace(form, x=form.x.detach().clone(), weight=form.weight.detach())
    return contractions.Product(form.left.detach().clone(), form.right.detach().clone(), form.bias, form.summed)


def _kind(form: Contraction) -> str:
    return "conv" if isinstance(form, contractions.Convolution) else "matmul"


def _adds_rows(name: str, args: Sequence[Any], facts: Sequence[Facts]) -> bool:
    """Whether an operator adds up rows of a weight that data selected, each as a whole."""
    position = next((i for i, f in enumerate(facts) if f.rows), None)
    if position is None or position > 0:
        return position is not None
    dims = args[1] if len(args) > 1 else None
    kept = [dims] if isinstance(dims, int) else dims
    return bool(kept) and all(dim % args[0].dim() != args[0].dim() - 1 for dim in kept or ())


def _rows_added(args: Sequence[Any]) -> Contraction:
    """The rows: what is summed, or the last tensor where they are added to places that indices name."""
    tensors = tensors_of(args)
    return readings.added_rows(tensors[0] if len(tensors) == 1 else tensors[-1])


def _widened(facts: Facts, factor: Fraction) -> Facts:
    """The bounds of what nothing but the input feeds, so many times as wide."""
    if facts.fed_by != {provenance.INPUT} or not facts.grid:
        return facts
    low, high = (None if bound is None else bound * factor for bound in (facts.low, facts.high))
    return replace(facts, low=low, high=high)


def _readable(values: Tensor) -> bool:
    return layers.is_plain(values) and values.layout is torch.strided and not values.is_complex()


def _spikes(args: Sequence[Any], plan: LinePlan) -> list[Tensor]:
    """The operands that a plan expects to hold spikes."""
    if plan.positions is None:
        return []
    return [tensor for place, tensor in enumerate(tensors_of(args)) if place in plan.positions]


def _read(values: Tensor) -> Tensor:
    """The figures of values that may change before it is known where they count."""
    row = values.new_zeros(FIGURES, dtype=torch.int64)
    read(values, ANY, 0, row)
    return row


def _to_be(facts: Facts) -> Facts:
    """A state that starts as zeros is data already, beside data or in a contraction: it will be."""
    zeros = facts.grid is not None and not facts.grid and not facts.params
    return replace(facts, origin=Origin.DATA) if zeros else facts


def _of_parameter(parameter: Tensor) -> Facts:
    """A parameter of one element scales by its value; larger ones erase the grid of what they multiply."""
    return values.constant(parameter) if parameter.numel() == 1 else Facts()


def _counts_weights(form: Contraction, roles: tuple[Role, Role], facts: tuple[Facts, Facts]) -> bool:
    """Whether to look which weights are zero: where some are, or may be in another call."""
    if roles.count("weight") != 1:
        return False
    position = roles.index("weight")
    return not facts[position].params or bool((form.operands[position].detach() == 0).any())

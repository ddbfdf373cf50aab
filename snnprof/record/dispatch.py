"""Sees every operator of any model, below modules and functions: reads contractions, passes provenance on, counts.

On the first batch facts go from tensor to tensor and each call site gets a `Plan`; later batches only look the plan
up, count and verify. A user-driven recorder stays in the first phase: correct, and a little slower.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from snnprof.record import provenance, rules
from snnprof.record.counters import LineCounter, OpCounter
from snnprof.record.elementwise import FREE, LINES, LOOKUPS, line_of, work
from snnprof.record.measure import Plan, Role
from snnprof.record.neurons import within
from snnprof.record.provenance import Facts, Folding, Store, TimeAxis, Zeros, storage_key
from snnprof.record.recall import RECALL
from snnprof.record.reduce import Steps
from snnprof.record.rules import Contraction
from snnprof.record.tally import nonzero_total

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snnprof.record.recorder import Recorder

SiteKey = tuple[Any, ...]
LinePlan = tuple["str | OpCounter", "tuple[int, ...] | None"]  # a line, or the contraction whose bias it is; its spikes


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
_MODULE_CALLS = {nn.Module._call_impl.__code__, nn.Module._wrapped_call_impl.__code__}


class Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands each operator that runs inside the model to the recorder's books."""

    def __init__(self, books: Books) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.books = books

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        books = self.books
        if not books.path or in_backward():
            return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        form = rules.reading(name, args, kwargs)
        if form is None and _hides_others(func):
            with self:
                result = rules.opened(func, args, kwargs)
            if result is not None:
                return result
        # Facts must be read before an in-place operator overwrites its operand.
        facts = books.facts_of(args, kwargs) if books.learning else None
        if form is not None:
            counter = books.contraction(name, form)
        else:
            books.other(name, args, kwargs, facts)
            counter = None
        result = func(*args, **kwargs)
        if _writes(func) and isinstance(args[0], Tensor):
            RECALL.forget(args[0])
        elif name == "clone":
            RECALL.copied(args[0], result)
        if facts is not None:
            books.pass_on(func, name, args, kwargs, facts, result, counter, form)
        return result

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        return True


@functools.cache
def _hides_others(func: Any) -> bool:
    """A composite that arrives whole (as under inference_mode), or a fused kernel that can be opened."""
    name = func.overloadpacket.__name__
    return name in rules.REWRITES or (
        name not in provenance.PASSING
        and torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    )


@functools.cache
def _writes(func: Any) -> bool:
    """Whether an operator changes one of its operands."""
    return bool(func._schema.is_mutable)


def in_backward() -> bool:
    """Whether autograd runs: its operators, and forward passes that it repeats, are no part of the forward pass."""
    return bool(torch._C._current_graph_task_id() != -1)


class Books:
    """All counters of a recording, and the facts by which each call site is counted."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.ledger = recorder.ledger
        self.store = Store()
        self.learning = True
        self.script: list[Call] | None = None
        self.path: list[str] = []
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
        self._line_plans: dict[SiteKey, LinePlan | None] = {}
        self._padding: dict[SiteKey, tuple[tuple[int, ...], tuple[tuple[int, int], ...]] | None] = {}
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
        self.learning = False
        self.store = Store()
        for counter in self.ops.values():
            counter.end_batch()

    def contracts_within(self, layer: str) -> bool:
        """Whether a module or one inside it ran a contraction."""
        return any(not layer or within(op.layer, layer) for op in self.ops.values())

    def forget_lines(self, layer: str) -> None:
        """A module turned out to be a neuron: its arithmetic is neuron updates."""
        for key in [key for key in self.lines if key[0] == layer]:
            self.lines[key].forgotten = True

    # -- contractions --------------------------------------------------------------------------------------

    def contraction(self, name: str, form: Contraction) -> OpCounter | None:
        """Counts one contraction; None where both operands are weight and nothing is inferred by it."""
        key = self._site(name, form.operands)
        macs = form.macs
        form = self._unpadded(key, form)
        if self.learning:
            self._plans[key] = self._planned(key, form, self._plans.get(key))
        elif key not in self._plans:
            self.late.add(self.layer)
            self._plans[key] = self._planned(key, form, None)
        found = self._plans[key]
        counter, plan = found or (None, None)
        if self.learning and self.script is not None:
            padding = self._padding.get(key)
            self.script.append(Call(self.layer, "contraction", counter, plan, macs, padding[1] if padding else None))
        if counter is None or plan is None:
            return None
        counter.count(form, plan)
        return counter

    def _unpadded(self, key: SiteKey, form: Contraction) -> Contraction:
        """Zeros that an operator padded on before a convolution are its padding: taps on them are not valid."""
        if not isinstance(form, rules.Convolution) or form.transposed:
            return form
        if self.learning:
            sides = self.store.padding(form.x, len(form.space))
            self._padding[key] = (form.space, sides) if sides else None
        known = self._padding.get(key)
        return form.without(known[1]) if known and known[0] == form.space else form

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
        steps = self._steps(form, roles)
        if earlier is not None and earlier[1].roles == roles:
            plan = earlier[1]
            facts = (provenance.side_by_side([plan.facts[0], first]), provenance.side_by_side([plan.facts[1], second]))
            steps = steps if steps == plan.steps else (None, None)
        counter = self._counter(key, form, roles, facts)
        sparse = roles.count("weight") == 1 and _has_zeros(form.operands[roles.index("weight")])
        return counter, Plan(roles, facts, steps, sparse)

    def _operand_facts(self, operand: Tensor) -> Facts:
        """A state that starts as zeros is data already: it will be."""
        facts = self.store.of(operand) if self.learning else self._unlearned(operand)
        return replace(facts, data=True) if facts.quantum == 0 and not facts.params else facts

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
            counter.source = "" if params else _source()
            counter.facts = list(facts)
            self.ops[identity] = counter
            self.by_id[id(counter)] = counter
        counter = self.ops[identity]
        counter.facts = [provenance.side_by_side([a, b]) for a, b in zip(counter.facts, facts, strict=True)]
        return counter

    def _site(self, name: str, operands: Sequence[Tensor]) -> SiteKey:
        """Where in the code a contraction stands: its parameter where it has one, else the calling lines.

        The two products of an attention kernel stand on one line; the softmax between them tells them apart.
        """
        for operand in operands:
            parameter = self._parameters.get(operand.untyped_storage().data_ptr())
            if parameter is not None:
                return (self.layer, name, parameter, operand.storage_offset())
        callers = _callers()
        after_softmax, self._softmax = self._softmax == callers, None
        return (self.layer, name, after_softmax, *callers)

    # -- other operators -----------------------------------------------------------------------------------

    def other(self, name: str, args: Any, kwargs: Any, facts: list[Facts] | None) -> None:
        """Counts an operator that is no contraction, outside neuron modules."""
        if name in _SOFTMAX:
            self._softmax = _callers()
        if name in FREE or self.neurons:
            return
        key = (self.layer, name, *_caller())
        if facts is not None:
            self._line_plans[key] = self._line_plan(name, args, facts)
        plan = self._line_plans.get(key)
        if self.learning and self.script is not None:
            self.script.append(self._line_call(name, plan, args))
        if plan is None:
            return
        line, positions = plan
        if isinstance(line, OpCounter):
            line.bias_adds += work(name, "bias", _tensors(args))
            return
        if line == "uncounted":
            self._uncount(self.layer, name)
            return
        tensors = _tensors(args)
        counter = self._line(line, tensors[0].device)
        nonzero = None if positions is None else [nonzero_total(tensors[p]) for p in positions]
        counter.count(work(name, line, tensors), nonzero)

    def _line_call(self, name: str, plan: LinePlan | None, args: Any) -> Call:
        line, positions = plan or (None, None)
        counter: OpCounter | LineCounter | Callable[[], None] | None = None
        if line == "uncounted":
            counter = functools.partial(self._uncount, self.layer, name)
        elif isinstance(line, str):
            counter = self._line(line, _tensors(args)[0].device)
        else:
            counter = line
        return Call(self.layer, LINES.get(name, name), counter, positions=positions)

    def _uncount(self, layer: str, name: str) -> None:
        self.uncounted[layer, name] = self.uncounted.get((layer, name), 0) + 1

    def _line_plan(self, name: str, args: Any, facts: list[Facts]) -> LinePlan | None:
        line = line_of(name, facts)
        if line is None:
            return None
        if any(tensor.layout is not torch.strided for tensor in _tensors(args)):
            return "uncounted", None
        if line == "bias" and facts[0].result_of is not None:
            counter = self.by_id[facts[0].result_of]
            if counter.layer == self.layer:
                return counter, None
        if line == "reduce" and facts[0].product:
            self.disguised.add(self.layer)
        data = [i for i, f in enumerate(facts) if f.data]
        quantised = all(facts[i].quantum is not None for i in data)
        if line == "batch_norm":
            norm, into = self._line(line, _tensors(args)[0].device), facts[0].result_of
            norm.feeders.add(None if into is None else self.by_id[into])
            norm.biased |= into is not None and self.by_id[into].bias_adds > 0
        return line, tuple(data) if quantised else None

    def _line(self, line: str, device: torch.device) -> LineCounter:
        key = (self.layer, line)
        if key not in self.lines:
            self.lines[key] = LineCounter(self.ledger, self.layer, line, device)
        return self.lines[key]

    # -- provenance ----------------------------------------------------------------------------------------

    def facts_of(self, args: Any, kwargs: Any) -> list[Facts]:
        facts = [self.store.of(tensor) for tensor in _tensors(args) + _tensors(tuple(kwargs.values()))]
        self.read_parameters |= frozenset[str]().union(*(f.params for f in facts))
        return facts

    def pass_on(
        self,
        func: Any,
        name: str,
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
        if _writes(func):
            self._write(outputs[0], passed, inputs)
            return
        known = {storage_key(t) for t in inputs}
        for output in outputs:
            if storage_key(output) in known:
                self._view(name, output, passed)
            else:
                self.store.set(output, passed, self._time(name, output, inputs, args, form))
        if name == "constant_pad_nd" and not provenance.fill_value(args, kwargs):
            self.store.pad(outputs[0], Zeros.of(outputs[0], args[1]))

    def _share(self, results: set[int | None]) -> None:
        """Contractions whose result something else reads: no batch norm can fold into their weights."""
        for result in results - {None}:
            self.by_id[result].shared = True  # type: ignore[index]

    def _view(self, name: str, output: Tensor, passed: Facts) -> None:
        """A view shares its storage's facts; an expanded axis may be the time axis."""
        if name in ("expand", "expand_as"):
            self.store.set(output, passed, self._expanded(output) or self.store.time(output))

    def _expanded(self, output: Tensor) -> TimeAxis | None:
        steps = self.recorder.timesteps or 1
        shared = [d for d in range(output.dim()) if output.stride(d) == 0 and output.shape[d] == steps]
        return TimeAxis(0, steps) if self._own_time and shared else None

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

    # -- the time axis -------------------------------------------------------------------------------------

    def _time(
        self, name: str, output: Tensor, inputs: list[Tensor], args: Any, form: Contraction | None
    ) -> TimeAxis | None:
        sources = [(tensor, self.store.time(tensor)) for tensor in (form.operands if form else inputs)]
        if form:
            sources = [(t, _unsummed(form, i, t, axis)) for i, (t, axis) in enumerate(sources)]
        axis = provenance.carried(name, output, sources, args)
        if _lives(axis) or not inputs or not self._own_time:
            return axis
        made = _made_axis(name, output, inputs, args, self.recorder.timesteps or 1)
        return provenance.axis_of(output, made) or axis

    @property
    def _own_time(self) -> bool:
        """Whether steps can lie inside a tensor; a caller who loops over them shows one at a time."""
        return (self.recorder.timesteps or 1) > 1 and self.recorder.layout != "step"

    def _steps(self, form: Contraction, roles: tuple[Role, Role]) -> tuple[Steps | None, Steps | None]:
        """Where each data operand's steps lie; None for both where they disagree."""
        found = [self.steps_of(t) if role == "data" else None for t, role in zip(form.operands, roles, strict=True)]
        allowed = form.operands[0].dim() - 2 if roles == ("data", "data") else None
        if roles == ("data", "data"):
            left, right = found
            same = left == right and form.operands[0].dim() == form.operands[1].dim()
            if not same or left is None or allowed is None or left.dim >= allowed:
                return None, None
        elif any(s and not _splits(form, i, s.dim) for i, s in enumerate(found)):
            return None, None
        return found[0], found[1]

    def steps_of(self, tensor: Tensor) -> Steps | None:
        """Where the time steps lie in a tensor, from its provenance or, failing that, from its first axes."""
        axis = self.store.time(tensor) if self.learning else None
        if axis is None:
            return self._leading(tensor)
        fold = provenance.folding(tensor, axis)
        if fold is None:
            return None
        first = tensor.shape[fold.dim] == fold.size * fold.inner
        return Steps(fold.dim, fold.size, None if first else fold.inner)

    def _leading(self, tensor: Tensor) -> Steps | None:
        """A tensor of T·B rows, or of T by B, is time-major unless the layout says otherwise."""
        steps, batch = self.recorder.timesteps or 1, self.recorder.batch_size
        if not self._own_time or not batch or tensor.dim() == 0:
            return None
        rows = tensor.shape[0]
        major = rows == steps * batch or (tensor.dim() > 1 and rows == steps and tensor.shape[1] == batch)
        if not major:
            return None
        return Steps(0, steps, 1 if self.recorder.layout == "batch-time" and rows == steps * batch else None)


def _made_axis(name: str, output: Tensor, inputs: list[Tensor], args: Any, steps: int) -> Folding | None:
    """A time axis made by stacking, concatenating or repeating T times; of [B, ...] in front, by habit."""
    if name in ("stack", "cat"):
        dim = (args[1] if len(args) > 1 else 0) % output.dim()
        inner = inputs[0].shape[dim] if name == "cat" else 1
        return Folding(dim, inner, steps) if len(inputs) == steps and dim < 2 else None
    if name not in ("repeat", "tile"):
        return None
    new = output.dim() - inputs[0].dim()
    for dim, times in enumerate(args[1]):
        size = 1 if dim < new else inputs[0].shape[dim - new]
        if times == steps and size == 1:
            return Folding(dim, 1, steps)
    return None


def _lives(axis: TimeAxis | None) -> bool:
    return axis is not None and axis is not provenance.GONE


def _unsummed(form: Contraction, position: int, operand: Tensor, axis: TimeAxis | None) -> TimeAxis | None:
    """An operand's time axis, unless the contraction sums over it."""
    fold = provenance.folding(operand, axis)
    return axis if fold is None or _splits(form, position, fold.dim) else provenance.GONE


def _splits(form: Contraction, position: int, dim: int) -> bool:
    """Whether the steps along `dim` of an operand reach separate results: a batch axis, not one summed over."""
    if isinstance(form, rules.Convolution):
        return dim == 0
    return dim != form.operands[position].dim() - 1 - position


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


def _callers() -> tuple[Any, ...]:
    """The calling lines from the operator up to the module whose forward runs it; loops repeat them."""
    frame = _calling_frame()
    chain: list[Any] = []
    while frame is not None and frame.f_code not in _MODULE_CALLS and len(chain) < 64:
        chain.append(_place(frame))
        frame = frame.f_back
    return tuple(chain)


def _caller() -> tuple[Any, ...]:
    frame = _calling_frame()
    return _place(frame) if frame is not None else ()


# Code objects are named by their address, since to hash one is to hash its constants; holding them keeps it theirs.
_PLACES: dict[tuple[int, int], tuple[CodeType, tuple[Any, ...]]] = {}
_PLUMBING: dict[int, tuple[CodeType, bool]] = {}


def _place(frame: FrameType) -> tuple[Any, ...]:
    """The expression a frame is at: its code, line and column.

    The instruction would not do: from Python 3.11 on the interpreter moves within a call as it specialises it.
    """
    code = frame.f_code
    key = (id(code), frame.f_lasti)
    if key not in _PLACES:
        positions = getattr(code, "co_positions", None)
        where = list(positions())[frame.f_lasti // 2] if positions else (frame.f_lasti,)
        _PLACES[key] = (code, (id(code), *where))
    return _PLACES[key][1]


def _calling_frame() -> FrameType | None:
    """The line that called the operator: past this package, and past the frames that torch puts round a dispatch mode.

    Those come and go as the compiler is loaded, so they are no part of what names a call site.
    """
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and _is_plumbing(frame.f_code):
        frame = frame.f_back
    return frame


def _is_plumbing(code: CodeType) -> bool:
    if id(code) not in _PLUMBING:
        path = code.co_filename.replace("\\", "/")
        inside = any(part in path for part in ("/torch/_dynamo/", "/snnprof/record/"))
        _PLUMBING[id(code)] = (code, inside or path.endswith(("torch/_compile.py", "torch/_ops.py")))
    return _PLUMBING[id(code)][1]


def _source() -> str:
    """`file:line` of the user's code that runs the operator."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename.replace("\\", "/")
        if "/torch/" not in path and "snnprof/record/" not in path:
            return f"{path.rpartition('/')[2]}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Fused attention, fused encoder layers and compiled modules run as operators one can see; undone at the end."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)

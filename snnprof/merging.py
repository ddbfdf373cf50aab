"""Adds records up: the blocks of a run, what each process of it counted, and an earlier run, all by the same rules.

Every part learns from the run's first batch before it counts, whichever process counts that batch. So all parts count
by the same plans, and their integers add up to those of a single process. Maxima and unions do not add, but the first
batch, which every part sees, does not change them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import zip_longest
from typing import Any, TypeVar

from snnprof.errors import SnnprofError
from snnprof.quanta import finer, on_common_grid
from snnprof.records import (
    KINDS,
    NEURON_COUNTS,
    PART_COUNTS,
    Accuracy,
    ActivityRecord,
    Block,
    ConstantOp,
    ElementwiseRecord,
    Finding,
    NeuronRecord,
    Operand,
    OpRecord,
    Part,
    Uncounted,
    add_parts,
    op_counts,
    pack_bits,
    parts_from,
    unpack_bits,
)

AnyActivity = TypeVar("AnyActivity", bound=ActivityRecord)
MAX_BLOCKS = 64
OP_WIDTH = 2 + len(KINDS) * len(PART_COUNTS)
SPIKE_EVENTS = 2 + KINDS.index("spikes") * len(PART_COUNTS) + PART_COUNTS.index("events")
MEASUREMENT_DROPPED = Finding(
    code="C34", layer="", text="The energy measured on the host is not in this merged run: it was of one part alone",
    hint="Measure again: profile --resume RUN.json --measure",
)  # fmt: skip
FROM_COUNTS = ("C03", "C05", "C06")  # findings that follow from counts: the recorder derives them from the sum


def span(batches: int, at_least: int = 1) -> int:
    """Returns the number of batches in a block, a power of two: the smallest with at most `MAX_BLOCKS` blocks.

    >>> span(64), span(65), span(1000)
    (1, 2, 16)
    """
    width = at_least
    while -(-batches // width) > MAX_BLOCKS:
        width *= 2
    return width


def restrict(activity: AnyActivity, block: Block) -> AnyActivity:
    """Returns the activity as if only the batches of `block` had run; operands keep the whole run's evidence."""
    ops = [_op_of_block(op, counts) for op, counts in zip(activity.ops, block.ops, strict=True)]
    neurons = [_neuron_of_block(n, counts) for n, counts in zip(activity.neurons, block.neurons, strict=True)]
    lines = [
        line.model_copy(update={"elements": counts[0], "nonzero": counts[1]})
        for line, counts in zip(activity.elementwise, block.elementwise, strict=True)
    ]
    accuracy = None if block.correct is None else Accuracy(correct=block.correct, total=block.samples)
    return activity.model_copy(
        update={
            "ops": ops, "neurons": neurons, "elementwise": lines,
            "samples": block.samples, "accuracy": accuracy, "blocks": [block], "measurement": None,
        }
    )  # fmt: skip


def at_step(activity: AnyActivity, step: int) -> AnyActivity:
    """Returns what operations counted at one step, from 0 on.

    Counts are 0 if an operation's steps were not counted separately or do not reach this one. Neuron layers have the
    spikes of that step and an even share of their updates, since each makes as many at each step.
    """
    ops = [
        op.model_copy(update={"parts": _parts_at(op, step), "parts_by_step": [], "bias_adds": 0}) for op in activity.ops
    ]
    neurons = [
        neuron.model_copy(
            update={
                "spikes": neuron.spikes_per_step[step],
                "updates": neuron.updates // len(neuron.spikes_per_step),
                "spikes_per_step": [],
            }
        )
        for neuron in activity.neurons
        if step < len(neuron.spikes_per_step)
    ]
    return activity.model_copy(update={"ops": ops, "neurons": neurons, "elementwise": [], "blocks": []})


def _parts_at(op: OpRecord, step: int) -> list[Part]:
    """Returns the parts of one step.

    A silent step is no evidence, so it gets the kind of the operation's other steps.
    """
    kinds = {part.kind for part in op.parts}
    kind = "spikes" if "spikes" in kinds else "real" if "real" in kinds else "silent"
    parts = op.parts_by_step[step] if step < len(op.parts_by_step) else []
    if any(part.kind != "silent" for part in parts):
        return parts
    return [part.model_copy(update={"kind": kind}) for part in parts]


def concatenate(a: AnyActivity, b: AnyActivity) -> AnyActivity:
    """Joins two runs of one network: counts add, and the blocks of the second run follow those of the first.

    Raises:
        SnnprofError: the two ran different operations.
    """
    named = {"ops": "operations", "neurons": "operations", "elementwise": "element-wise lines"}
    for name, what in named.items():
        if [_key(record) for record in getattr(a, name)] != [_key(record) for record in getattr(b, name)]:
            raise SnnprofError(f"cannot merge runs of different networks: their {what} differ")
    a, b = on_shared_grids([a, b])
    return _added(a, b, thinned(a.blocks + b.blocks))


def rebin(activity: AnyActivity, positions: Sequence[int]) -> AnyActivity:
    """Returns the activity with its blocks joined: `positions` gives for each block its block in the run."""
    empty = _nothing(activity)
    blocks = [empty] * (max(positions, default=-1) + 1)
    for position, block in zip(positions, activity.blocks, strict=True):
        blocks[position] = join(blocks[position], block)
    return activity.model_copy(update={"blocks": blocks})


def without_first(activity: AnyActivity, first: AnyActivity) -> AnyActivity:
    """Returns what was counted after the first block; `first` is the activity as it was when that block ended."""
    rest = reduce(join, activity.blocks[1:], _nothing(activity))
    known = {op.key: op for op in first.ops}
    after = restrict(activity, rest)
    return after.model_copy(
        update={
            "ops": [
                _less_first(op, whole, known.get(op.key)) for op, whole in zip(after.ops, activity.ops, strict=True)
            ],
            "uncounted": _less_calls(after.uncounted, first.uncounted),
            "constant_ops": _less_macs(after.constant_ops, first.constant_ops),
            "blocks": activity.blocks[1:],
        }
    )


def merge(parts: Sequence[AnyActivity]) -> AnyActivity:
    """Adds up all parts, block by block.

    Raises:
        SnnprofError: the parts ran different operations.
    """
    parts = on_shared_grids(parts)
    common = _common(parts)
    whole = reduce(_add_by_position, [_aligned(part, common) for part in parts])
    correct = [block.correct for block in whole.blocks]
    known = [c for c in correct if c is not None]
    accuracy = Accuracy(correct=sum(known), total=whole.samples or 0) if len(known) == len(correct) else None
    return whole.model_copy(update={"accuracy": accuracy})


def drop_uneven_steps(activity: AnyActivity, batches: int) -> AnyActivity:
    """Removes the steps per inference of operations that did not run equally often in every batch."""
    unknown: dict[str, Any] = {"steps": None, "parts_by_step": []}
    ops = [op.model_copy(update=unknown) if op.calls % batches else op for op in activity.ops]
    return activity.model_copy(update={"ops": ops})


def kept_findings(parts: Iterable[AnyActivity], made: Sequence[Finding]) -> list[Finding]:
    """Returns the findings that were derived from the sum, and those that only a part could derive.

    By code and layer.
    """
    parts, found = list(parts), list(made)
    if any(part.measurement for part in parts):
        found.append(MEASUREMENT_DROPPED)
    for part in parts:
        found += [f for f in part.findings if f.code not in FROM_COUNTS and f not in found]
    return sorted(found, key=lambda finding: (finding.code, finding.layer, finding.text))


# -- sums of runs and of their records ---------------------------------------------------------------------------


def _add_by_position(a: AnyActivity, b: AnyActivity) -> AnyActivity:
    """Adds two aligned parts; blocks at the same position are joined."""
    short, long = sorted((a.blocks, b.blocks), key=len)
    return _added(a, b, [join(x, y) for x, y in zip(short, long, strict=False)] + long[len(short) :])


def _added(a: AnyActivity, b: AnyActivity, blocks: list[Block]) -> AnyActivity:
    """Adds two activities with the same records, in one order and on shared grids; `blocks` are those of the sum."""
    accuracy = None
    if a.accuracy and b.accuracy:
        correct, total = a.accuracy.correct + b.accuracy.correct, a.accuracy.total + b.accuracy.total
        accuracy = Accuracy(correct=correct, total=total)
    return a.model_copy(
        update={
            "samples": add(a.samples, b.samples),
            "accuracy": accuracy,
            "ops": [_add_ops(x, y) for x, y in zip(a.ops, b.ops, strict=True)],
            "neurons": [_add_neurons(x, y) for x, y in zip(a.neurons, b.neurons, strict=True)],
            "elementwise": [_add_lines(x, y) for x, y in zip(a.elementwise, b.elementwise, strict=True)],
            "uncounted": _add_uncounted(a.uncounted, b.uncounted),
            "constant_ops": _add_constants(a.constant_ops, b.constant_ops),
            "findings": _add_findings(a, b),
            "blocks": blocks,
            "measurement": None,
            "run": a.run.model_copy(update={"complete": a.run.complete and b.run.complete}),
        }
    )


def _add_findings(a: ActivityRecord, b: ActivityRecord) -> list[Finding]:
    """Joins the findings of both.

    If one had a measurement, a finding says that the sum has none: it covered only a part.
    """
    measured = [MEASUREMENT_DROPPED] if a.measurement or b.measurement else []
    return a.findings + [f for f in [*b.findings, *measured] if f not in a.findings]


def add(a: int | None, b: int | None) -> int | None:
    """Adds two numbers; None if either is unknown."""
    return None if a is None or b is None else a + b


def _add_ops(a: OpRecord, b: OpRecord) -> OpRecord:
    counts = [x + y for x, y in zip(op_counts(a), op_counts(b), strict=True)]
    operands = [_add_operands(x, y) for x, y in zip(a.operands, b.operands, strict=True)]
    return _op_of_block(a, counts).model_copy(update={"operands": operands, "parts_by_step": _add_steps(a, b)})


def _add_operands(a: Operand, b: Operand) -> Operand:
    longer = max(len(a.histogram), len(b.histogram))
    padded = [h + [0] * (longer - len(h)) for h in (a.histogram, b.histogram)]
    constant = None if a.constant_over_time is None else a.constant_over_time and b.constant_over_time
    return a.model_copy(
        update={
            "histogram": [x + y for x, y in zip(*padded, strict=True)],
            "signed": a.signed or b.signed,
            "residual": max(a.residual, b.residual),
            "constant_over_time": constant,
        }
    )


def _add_neurons(a: NeuronRecord, b: NeuronRecord) -> NeuronRecord:
    return a.model_copy(
        update={
            **{name: getattr(a, name) + getattr(b, name) for name in NEURON_COUNTS},
            "spikes_per_step": [x + y for x, y in zip(a.spikes_per_step, b.spikes_per_step, strict=True)],
            "fired_bitmap": _add_bits(a, b, "fired_bitmap"),
            "always_bitmap": _add_bits(a, b, "always_bitmap"),
        }
    )


def _add_bits(a: NeuronRecord, b: NeuronRecord, name: str) -> str | None:
    texts = getattr(a, name), getattr(b, name)
    if None in texts:
        return None
    first, second = (unpack_bits(text, a.size) for text in texts)
    return pack_bits(first | second if name == "fired_bitmap" else first & second)


def _add_lines(a: ElementwiseRecord, b: ElementwiseRecord) -> ElementwiseRecord:
    return a.model_copy(update={"elements": a.elements + b.elements, "nonzero": add(a.nonzero, b.nonzero)})


def _add_uncounted(a: list[Uncounted], b: list[Uncounted]) -> list[Uncounted]:
    calls: dict[tuple[str, str], int] = {}
    for entry in [*a, *b]:
        calls[entry.layer, entry.op] = calls.get((entry.layer, entry.op), 0) + entry.calls
    return [Uncounted(layer=layer, op=op, calls=n) for (layer, op), n in calls.items()]


def _add_constants(a: list[ConstantOp], b: list[ConstantOp]) -> list[ConstantOp]:
    macs: dict[tuple[str, str], int] = {}
    for entry in [*a, *b]:
        macs[entry.layer, entry.op] = macs.get((entry.layer, entry.op), 0) + entry.dense_macs
    return [ConstantOp(layer=layer, op=op, dense_macs=n) for (layer, op), n in macs.items()]


# -- arithmetic on blocks --------------------------------------------------------------------------------------


def thinned(blocks: list[Block], at_most: int = MAX_BLOCKS) -> list[Block]:
    """Joins neighbouring blocks in pairs until there are at most `at_most`."""
    while len(blocks) > at_most:
        pairs = [blocks[i : i + 2] for i in range(0, len(blocks), 2)]
        blocks = [pair[0] if len(pair) == 1 else join(*pair) for pair in pairs]
    return blocks


def join(a: Block, b: Block) -> Block:
    """Returns the block of the batches of both."""
    return _combined(a, b, 1)


def subtract(a: Block, b: Block) -> Block:
    """Returns the block of the batches of `a` that are not among those of `b`."""
    return _combined(a, b, -1)


def _combined(a: Block, b: Block, sign: int) -> Block:
    """Adds two blocks number by number (or subtracts the second, if `sign` is −1); unknown numbers stay unknown."""

    def each(x: Sequence[Sequence[int | None]], y: Sequence[Sequence[int | None]]) -> Any:
        return [
            [None if p is None or q is None else p + sign * q for p, q in zip(u, v, strict=True)]
            for u, v in zip(x, y, strict=True)
        ]

    correct = None if a.correct is None or b.correct is None else a.correct + sign * b.correct
    return Block.model_construct(
        samples=a.samples + sign * b.samples, correct=correct, ops=each(a.ops, b.ops),
        neurons=each(a.neurons, b.neurons), elementwise=each(a.elementwise, b.elementwise),
    )  # fmt: skip


def _op_of_block(op: OpRecord, counts: list[int]) -> OpRecord:
    """Returns the record with the counts of a block, which does not count its steps separately."""
    counted = {"calls": counts[0], "bias_adds": counts[1], "parts": parts_from(counts[2:]), "parts_by_step": []}
    return op.model_copy(update=counted)


def _add_steps(a: OpRecord, b: OpRecord, sign: int = 1) -> list[list[Part]]:
    """Adds the counts at each step, or subtracts those of b if `sign` is −1.

    Empty if one did not count them separately.
    """
    if len(a.parts_by_step) != len(b.parts_by_step):
        return []
    return [add_parts(x, y, sign) for x, y in zip(a.parts_by_step, b.parts_by_step, strict=True)]


def _neuron_of_block(neuron: NeuronRecord, counts: list[int]) -> NeuronRecord:
    width = len(NEURON_COUNTS)
    named = dict(zip(NEURON_COUNTS, counts[:width], strict=True))
    return neuron.model_copy(update={**named, "spikes_per_step": counts[width:]})


def _nothing(activity: ActivityRecord) -> Block:
    """Returns the block in which nothing ran."""
    return Block(
        correct=0,
        ops=[[0] * OP_WIDTH for _ in activity.ops],
        neurons=[[0] * (len(NEURON_COUNTS) + len(neuron.spikes_per_step)) for neuron in activity.neurons],
        elementwise=[[0, None if line.nonzero is None else 0] for line in activity.elementwise],
    )


def _less_first(op: OpRecord, whole: OpRecord, first: OpRecord | None) -> OpRecord:
    """Subtracts the first block's histograms and steps from an operation; a block does not hold these."""
    op = op.model_copy(update={"parts_by_step": whole.parts_by_step})
    if first is None:
        return op
    op, first = on_common_grid([op, first])
    pairs = zip(op.operands, first.operands, strict=True)
    operands = [now.model_copy(update={"histogram": _less(now.histogram, before.histogram)}) for now, before in pairs]
    return op.model_copy(update={"operands": operands, "parts_by_step": _add_steps(op, first, -1)})


def _less(now: list[int], before: list[int]) -> list[int]:
    return [n - b for n, b in zip_longest(now, before, fillvalue=0)]


def _less_macs(now: list[ConstantOp], before: list[ConstantOp]) -> list[ConstantOp]:
    earlier = Counter[tuple[str, str]]()
    for entry in before:
        earlier[entry.layer, entry.op] += entry.dense_macs
    left = [entry.model_copy(update={"dense_macs": entry.dense_macs - earlier[entry.layer, entry.op]}) for entry in now]
    return [entry for entry in left if entry.dense_macs > 0]


def _less_calls(now: list[Uncounted], before: list[Uncounted]) -> list[Uncounted]:
    earlier = {(entry.layer, entry.op): entry.calls for entry in before}
    left = [entry.model_copy(update={"calls": entry.calls - earlier.get((entry.layer, entry.op), 0)}) for entry in now]
    return [entry for entry in left if entry.calls]


def on_shared_grids(parts: Sequence[AnyActivity]) -> list[AnyActivity]:
    """Returns the parts with the levels of each operation in quanta that all parts share."""
    records: dict[Any, list[tuple[int, OpRecord]]] = {}
    for number, part in enumerate(parts):
        for op in part.ops:
            records.setdefault(op.key, []).append((number, op))
    shared = {
        (number, op.key): op
        for found in records.values()
        for (number, _), op in zip(found, on_common_grid([op for _, op in found]), strict=True)
    }
    return [_with_ops(part, [shared[number, op.key] for op in part.ops]) for number, part in enumerate(parts)]


def _with_ops(activity: AnyActivity, ops: Sequence[OpRecord]) -> AnyActivity:
    """Returns the activity with records of the same operations on finer grids, and its blocks converted alike."""
    blocks = []
    for block in activity.blocks:
        rows = []
        for row, was, now in zip(block.ops, activity.ops, ops, strict=True):
            factors = [_divided(before, after) for before, after in zip(was.operands, now.operands, strict=True)]
            rows.append(op_counts(finer(_op_of_block(was, row), factors)) if set(factors) != {1} else row)
        blocks.append(block.model_copy(update={"ops": rows}))
    return activity.model_copy(update={"ops": list(ops), "blocks": blocks})


def _divided(before: Operand, after: Operand) -> int:
    return 1 if before.quantum is None or after.quantum is None else round(before.quantum / after.quantum)


# -- parts that saw operations the others did not ----------------------------------------------------------------


def _common(parts: Sequence[ActivityRecord]) -> ActivityRecord:
    """Returns every operation, neuron layer and line that any part saw, with all counts 0.

    Raises:
        SnnprofError: two parts saw different operations at the same place.
    """
    return ActivityRecord(
        ops=[_silent_op(op) for op in _all_ops(parts)],
        neurons=[_silent_neuron(neuron) for neuron in _all_neurons(parts)],
        elementwise=[_silent_line(line) for line in _all_lines(parts)],
    )


def _all_ops(parts: Sequence[ActivityRecord]) -> Iterable[OpRecord]:
    known: dict[Any, OpRecord] = {}
    for op in (op for part in parts for op in part.ops):
        same = known.setdefault(_key(op), op)
        if (same.source, same.weights) != (op.source, op.weights):
            raise SnnprofError(
                f"the parts of this run ran different operations in {op.layer or 'the model'!r}",
                hint="put a batch first that takes every branch of the model, and profile again",
            )
    return known.values()


def _all_neurons(parts: Sequence[ActivityRecord]) -> Iterable[NeuronRecord]:
    """Returns all neuron layers; their steps stay separate only if all parts counted them so."""
    known: dict[Any, NeuronRecord] = {}
    for neuron in (neuron for part in parts for neuron in part.neurons):
        same = known.setdefault(_key(neuron), neuron)
        if not neuron.spikes_per_step and same.spikes_per_step:
            known[_key(neuron)] = neuron
    return known.values()


def _all_lines(parts: Sequence[ActivityRecord]) -> Iterable[ElementwiseRecord]:
    """Returns all lines; their non-zeros are known only if all parts counted them."""
    known: dict[Any, ElementwiseRecord] = {}
    for line in (line for part in parts for line in part.elementwise):
        same = known.setdefault(_key(line), line)
        if line.nonzero is None and same.nonzero is not None:
            known[_key(line)] = line
    return known.values()


def _silent_op(op: OpRecord) -> OpRecord:
    operands = [operand.model_copy(update={"histogram": []}) for operand in op.operands]
    nothing = {"calls": 0, "bias_adds": 0, "parts": [], "parts_by_step": [[] for _ in op.parts_by_step]}
    return op.model_copy(update={**nothing, "operands": operands})


def _silent_neuron(neuron: NeuronRecord) -> NeuronRecord:
    """Sets all counts to 0. Bitmaps stay: joining a bitmap with itself does not change it."""
    nothing = dict.fromkeys(NEURON_COUNTS, 0)
    return neuron.model_copy(update={**nothing, "spikes_per_step": [0] * len(neuron.spikes_per_step)})


def _silent_line(line: ElementwiseRecord) -> ElementwiseRecord:
    return line.model_copy(update={"elements": 0, "nonzero": None if line.nonzero is None else 0})


def _aligned(part: AnyActivity, common: ActivityRecord) -> AnyActivity:
    """Returns a part with the operations, neuron layers and lines of all parts, in one order."""
    empty = _nothing(common)
    blocks = [
        block.model_copy(
            update={
                "ops": _rows(block.ops, part.ops, common.ops, empty.ops),
                "neurons": _rows(block.neurons, part.neurons, common.neurons, empty.neurons),
                "elementwise": _rows(block.elementwise, part.elementwise, common.elementwise, empty.elementwise),
            }
        )
        for block in part.blocks
    ]
    neurons = [
        own.model_copy(update={"spikes_per_step": own.spikes_per_step[: len(blank.spikes_per_step)]})
        for own, blank in zip(_records(part.neurons, common.neurons), common.neurons, strict=True)
    ]
    ops, lines = _records(part.ops, common.ops), _records(part.elementwise, common.elementwise)
    return part.model_copy(update={"ops": ops, "neurons": neurons, "elementwise": lines, "blocks": blocks})


def _records(own: Sequence[Any], common: Sequence[Any]) -> list[Any]:
    known = {_key(record): record for record in own}
    return [known.get(_key(blank), blank) for blank in common]


def _rows(rows: Sequence[Any], own: Sequence[Any], common: Sequence[Any], empty: Sequence[Any]) -> list[Any]:
    """Returns a block's rows in the common order, with the figures that all parts know."""
    known = {_key(record): row for record, row in zip(own, rows, strict=True)}
    found = [known.get(_key(record), blank) for record, blank in zip(common, empty, strict=True)]
    return [
        [None if b is None else value for value, b in zip(row, blank, strict=False)]
        for row, blank in zip(found, empty, strict=True)
    ]


def _key(record: OpRecord | NeuronRecord | ElementwiseRecord) -> tuple[Any, ...]:
    if isinstance(record, OpRecord):
        return record.key
    return (record.layer,) if isinstance(record, NeuronRecord) else (record.layer, record.op)

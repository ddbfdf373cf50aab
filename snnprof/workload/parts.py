"""Parts of a run: what one process counted, or an earlier run, and the sum of all.

Every part starts by learning from the run's first batch, whoever counts it; so all count by the same plans, and their
integers add up to those of one process. What does not add is a maximum or a union, which the first batch, seen by
all, cannot change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import zip_longest
from typing import Any

from snnprof.activity import (
    KINDS,
    MAX_BLOCKS,
    NEURON_COUNTS,
    PART_COUNTS,
    Accuracy,
    Activity,
    Block,
    ConstantOp,
    ElementwiseRecord,
    Finding,
    NeuronRecord,
    OpRecord,
    Uncounted,
    on_common_grid,
    thinned,
    with_ops,
)
from snnprof.errors import SnnprofError

OP_WIDTH = 2 + len(KINDS) * len(PART_COUNTS)
SPIKE_EVENTS = 2 + KINDS.index("spikes") * len(PART_COUNTS) + PART_COUNTS.index("events")
FROM_COUNTS = ("C03", "C05", "C06")  # findings that the recorder makes anew from the sum


def span(batches: int, at_least: int = 1) -> int:
    """How many batches make a block, so that so many batches make no more than `MAX_BLOCKS`: a power of two.

    >>> span(64), span(65), span(1000)
    (1, 2, 16)
    """
    width = at_least
    while -(-batches // width) > MAX_BLOCKS:
        width *= 2
    return width


def blocked(activity: Activity, positions: Sequence[int]) -> Activity:
    """The same activity with its blocks joined: `positions` says for each which block of the run it belongs to."""
    empty = _nothing(activity)
    blocks = [empty] * (max(positions, default=-1) + 1)
    for position, block in zip(positions, activity.blocks, strict=True):
        blocks[position] = _joined(blocks[position], block)
    return activity.model_copy(update={"blocks": blocks})


def without_first(activity: Activity, first: Activity) -> Activity:
    """What was counted after the first block; `first` is the activity as it was when that block ended."""
    rest = reduce(_joined, activity.blocks[1:], _nothing(activity))
    known = {op.key: op for op in first.ops}
    after = activity.restricted(rest)
    return after.model_copy(
        update={
            "ops": [_less_histograms(op, known.get(op.key)) for op in after.ops],
            "uncounted": _less_calls(after.uncounted, first.uncounted),
            "constant_ops": _less_macs(after.constant_ops, first.constant_ops),
            "blocks": activity.blocks[1:],
        }
    )


def united(parts: Sequence[Activity]) -> Activity:
    """The sum of all parts, block by block.

    Raises:
        SnnprofError: the parts ran different operations.
    """
    parts = _on_shared_grids(parts)
    common = _common(parts)
    whole = reduce(_added, [_aligned(part, common) for part in parts])
    correct = [block.correct for block in whole.blocks]
    known = [c for c in correct if c is not None]
    accuracy = Accuracy(correct=sum(known), total=whole.samples or 0) if len(known) == len(correct) else None
    return whole.model_copy(update={"accuracy": accuracy})


def evened(activity: Activity, batches: int) -> Activity:
    """The same activity, where an operation that did not run alike in every batch has no steps per inference."""
    ops = [op.model_copy(update={"steps": None}) if op.calls % batches else op for op in activity.ops]
    return activity.model_copy(update={"ops": ops})


def kept_findings(parts: Iterable[Activity], made: Sequence[Finding]) -> list[Finding]:
    """The findings made from the sum, and those that only a part could make; by code and layer."""
    found = list(made)
    for part in parts:
        found += [f for f in part.findings if f.code not in FROM_COUNTS and f not in found]
    return sorted(found, key=lambda finding: (finding.code, finding.layer, finding.text))


# -- arithmetic on blocks --------------------------------------------------------------------------------------


def _joined(a: Block, b: Block) -> Block:
    return thinned([a, b], 1)[0]


def _nothing(activity: Activity) -> Block:
    """The block in which nothing ran."""
    return Block(
        correct=0,
        ops=[[0] * OP_WIDTH for _ in activity.ops],
        neurons=[[0] * (len(NEURON_COUNTS) + len(neuron.spikes_per_step)) for neuron in activity.neurons],
        elementwise=[[0, None if line.nonzero is None else 0] for line in activity.elementwise],
    )


def _less_histograms(op: OpRecord, first: OpRecord | None) -> OpRecord:
    if first is None:
        return op
    op, first = on_common_grid([op, first])
    pairs = zip(op.operands, first.operands, strict=True)
    operands = [now.model_copy(update={"histogram": _less(now.histogram, before.histogram)}) for now, before in pairs]
    return op.model_copy(update={"operands": operands})


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


def _on_shared_grids(parts: Sequence[Activity]) -> list[Activity]:
    """The parts with the levels of each operation in quanta that all of them share."""
    records: dict[Any, list[tuple[int, OpRecord]]] = {}
    for number, part in enumerate(parts):
        for op in part.ops:
            records.setdefault(op.key, []).append((number, op))
    shared = {
        (number, op.key): op
        for found in records.values()
        for (number, _), op in zip(found, on_common_grid([op for _, op in found]), strict=True)
    }
    return [with_ops(part, [shared[number, op.key] for op in part.ops]) for number, part in enumerate(parts)]


# -- parts that saw operations the others did not ----------------------------------------------------------------


def _common(parts: Sequence[Activity]) -> Activity:
    """Every operation, neuron layer and line that any part saw, with nothing counted.

    Raises:
        SnnprofError: two parts saw different operations at the same place.
    """
    return Activity(
        ops=[_silent_op(op) for op in _all_ops(parts)],
        neurons=[_silent_neuron(neuron) for neuron in _all_neurons(parts)],
        elementwise=[_silent_line(line) for line in _all_lines(parts)],
    )


def _all_ops(parts: Sequence[Activity]) -> Iterable[OpRecord]:
    known: dict[Any, OpRecord] = {}
    for op in (op for part in parts for op in part.ops):
        same = known.setdefault(_key(op), op)
        if (same.source, same.weights) != (op.source, op.weights):
            raise SnnprofError(
                f"the parts of this run ran different operations in {op.layer or 'the model'!r}",
                hint="put a batch first that takes every branch of the model, and profile again",
            )
    return known.values()


def _all_neurons(parts: Sequence[Activity]) -> Iterable[NeuronRecord]:
    """Steps are told apart only where all parts did so."""
    known: dict[Any, NeuronRecord] = {}
    for neuron in (neuron for part in parts for neuron in part.neurons):
        same = known.setdefault(_key(neuron), neuron)
        if not neuron.spikes_per_step and same.spikes_per_step:
            known[_key(neuron)] = neuron
    return known.values()


def _all_lines(parts: Sequence[Activity]) -> Iterable[ElementwiseRecord]:
    """Non-zeros are known only where all parts counted them."""
    known: dict[Any, ElementwiseRecord] = {}
    for line in (line for part in parts for line in part.elementwise):
        same = known.setdefault(_key(line), line)
        if line.nonzero is None and same.nonzero is not None:
            known[_key(line)] = line
    return known.values()


def _silent_op(op: OpRecord) -> OpRecord:
    operands = [operand.model_copy(update={"histogram": []}) for operand in op.operands]
    return op.model_copy(update={"calls": 0, "bias_adds": 0, "parts": [], "operands": operands})


def _silent_neuron(neuron: NeuronRecord) -> NeuronRecord:
    """Bitmaps stay: joined with themselves they do not change."""
    nothing = dict.fromkeys(NEURON_COUNTS, 0)
    return neuron.model_copy(update={**nothing, "spikes_per_step": [0] * len(neuron.spikes_per_step)})


def _silent_line(line: ElementwiseRecord) -> ElementwiseRecord:
    return line.model_copy(update={"elements": 0, "nonzero": None if line.nonzero is None else 0})


def _aligned(part: Activity, common: Activity) -> Activity:
    """A part with the operations, neuron layers and lines of all, in one order."""
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
    """A block's rows in the common order, each as far as all parts know it."""
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


def _added(a: Activity, b: Activity) -> Activity:
    """Two aligned parts; blocks of the same position are joined."""
    short, long = sorted((a.blocks, b.blocks), key=len)
    blocks = [_joined(x, y) for x, y in zip(short, long, strict=False)] + long[len(short) :]
    merged = a.model_copy(update={"blocks": []}).merge(b.model_copy(update={"blocks": []}))
    return merged.model_copy(update={"blocks": blocks})

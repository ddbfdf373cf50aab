"""A run beside what another tool counted on the same batches: row by row, and why the counts differ.

An explanation is computed, never guessed: a rule of the other tool leads from our counts to a figure, and it holds only
if that is the figure of the tool. The comparison goes batch by batch, since the tools judge by the values of one call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from snnprof.activity import Activity, ElementwiseRecord, OpRecord
from snnprof.against import neurobench, spikingjelly
from snnprof.against.operands import EXACT
from snnprof.against.records import Batch, Call, Change, Explained, Ops, PeerRun, Row, Tool, total
from snnprof.conventions import exact
from snnprof.conventions.counts import Counts
from snnprof.errors import SnnprofError

FLOAT32 = 2**-20
"""Relative error that a long sum in 32-bit floating point can have."""
RULES = {"spikingjelly": spikingjelly, "neurobench": neurobench}
ROUNDED = ("neurobench",)
Ways = Iterable[list[Change]]


def explained(activity: Activity, peer: PeerRun) -> Explained:
    """Puts our counts by `exact` beside those of another tool, with the reasons of every difference.

    Raises:
        SnnprofError: the two did not count the same batches.
    """
    seen = {call.layer for batch in peer.batches for call in batch.calls}
    parts = [row for block, batches in _paired(activity, peer) for row in _rows(block, batches, peer.tool)]
    return Explained(
        peer=peer,
        samples=activity.samples or 0,
        rows=tuple(_united(parts)),
        updates=sum(neuron.updates for neuron in activity.neurons),
        dense=sum(op.valid_macs for op in activity.ops if len(op.data) == 1 and op.layer in seen),
    )


def _paired(activity: Activity, peer: PeerRun) -> Iterator[tuple[Activity, list[Batch]]]:
    """Yields the blocks of a run, each with the other tool's batches of it."""
    waiting = list(peer.batches)
    for block in activity.blocks:
        inside: list[Batch] = []
        while waiting and sum(batch.samples for batch in inside) < block.samples:
            inside.append(waiting.pop(0))
        if sum(batch.samples for batch in inside) != block.samples:
            raise SnnprofError(
                f"{peer.tool} ran on other batches than snnprof", hint="give data that can be read twice"
            )
        yield activity.restricted(block), inside


def _rows(activity: Activity, batches: Sequence[Batch], tool: Tool) -> Iterator[Row]:
    """Yields the rows of one block: contractions, other arithmetic, and arithmetic inside neurons."""
    neurons = [neuron.layer for neuron in activity.neurons]
    calls = [call for batch in batches for call in batch.calls]
    contractions = [call for call in calls if call.kind == "contraction"]
    others = [call for call in calls if call.kind != "contraction"]
    inner = [call for call in others if _within(call.layer, neurons)]
    yield from _contractions(activity, contractions, len(batches), tool)
    yield from _arithmetic(activity, [call for call in others if not _within(call.layer, neurons)], tool)
    for layer in dict.fromkeys(call.layer for call in inner):
        theirs = total(call.counted for call in inner if call.layer == layer)
        yield Row(layer, "neuron", None, Ops(), theirs, (Change("neuron", theirs),) if theirs else ())


def _within(layer: str, neurons: Sequence[str]) -> bool:
    return any(layer == neuron or layer.startswith(f"{neuron}.") for neuron in neurons)


# -- contractions ----------------------------------------------------------------------------------------------


@dataclass
class _Layer:
    """The contractions of a layer as both tools saw them."""

    ops: list[OpRecord] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def pairs(self) -> list[tuple[OpRecord, list[Call]]] | None:
        """Assigns the calls to the operations; None if that is ambiguous.

        A layer runs its operations in turn, again and again, or each one as often as it needs before the next.
        """
        if not self.calls:
            return [(op, []) for op in self.ops]
        if sum(op.calls for op in self.ops) != len(self.calls):
            return None
        many = len(self.ops)
        in_turn = [self.calls[position::many] for position in range(many)]
        ends = [sum(op.calls for op in self.ops[: position + 1]) for position in range(many)]
        in_a_row = [self.calls[end - op.calls : end] for op, end in zip(self.ops, ends, strict=True)]
        for calls in (in_turn, in_a_row):
            if all(_fits(*each) for each in zip(self.ops, calls, strict=True)):
                return list(zip(self.ops, calls, strict=True))
        return None


def _fits(op: OpRecord, calls: Sequence[Call]) -> bool:
    dense = [call.dense for call in calls if call.dense is not None]
    return len(calls) == op.calls and (not dense or sum(dense) == op.dense_macs)


def _contractions(activity: Activity, calls: Sequence[Call], batches: int, tool: Tool) -> Iterator[Row]:
    layers: dict[str, _Layer] = {}
    for op in activity.ops:
        layers.setdefault(op.layer, _Layer()).ops.append(op)
    for call in calls:
        layers.setdefault(call.layer, _Layer()).calls.append(call)
    for name, layer in layers.items():
        pairs = layer.pairs()
        if pairs is None:
            ours = total(_ours(exact.op_counts(op, EXACT)) for op in layer.ops)
            theirs = total(call.counted for call in layer.calls)
            yield Row(name, layer.ops[0].op if layer.ops else "unknown", None, ours, theirs, _rest(theirs - ours))
        else:
            yield from (_contraction(op, own, batches, tool) for op, own in pairs)


def _contraction(op: OpRecord, calls: Sequence[Call], batches: int, tool: Tool) -> Row:
    ours, theirs = _ours(exact.op_counts(op, EXACT)), total(call.counted for call in calls)
    ways = RULES[tool].contraction(op, ours, calls, each_step=op.calls > batches) if calls else RULES[tool].unseen(ours)
    return Row(*op.key, ours, theirs, _explanation(ways, theirs - ours, op.events, tool))


# -- everything else -------------------------------------------------------------------------------------------


ADDITIONS = ("add", "bias", "shift")
"""Additions that snnprof distinguishes by the origin of an operand, and other tools do not."""


def _arithmetic(activity: Activity, calls: Sequence[Call], tool: Tool) -> Iterator[Row]:
    """Yields rows of biases and element-wise operators: ours beside theirs of the same layer and kind."""
    ours: dict[tuple[str, str], Ops] = {}
    for line in exact.other_lines(activity, EXACT):
        if line.category == "elementwise":
            key = (line.layer, line.op)
            ours[key] = ours.get(key, Ops()) + _ours(line.counts)
    records = {(entry.layer, entry.op): entry for entry in activity.elementwise}
    theirs: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        theirs.setdefault((call.layer, call.kind), []).append(call)
    for layer in [layer for layer, kind in theirs if kind == "add"]:
        yield _additions(layer, ours, records.get((layer, "add")), theirs.pop((layer, "add")), tool)
    for layer, kind in dict.fromkeys([*ours, *theirs]):
        own, counted = ours.get((layer, kind), Ops()), theirs.get((layer, kind), [])
        ways = RULES[tool].arithmetic(kind, records.get((layer, kind)), own, counted)
        if own or total(call.counted for call in counted):
            yield _row(layer, kind, own, counted, ways, tool)


def _additions(
    layer: str, ours: dict[tuple[str, str], Ops], record: ElementwiseRecord | None, calls: Sequence[Call], tool: Tool
) -> Row:
    """Makes one row of all additions of a layer, since the other tool does not tell a bias from a sum.

    It removes these additions from `ours`.
    """
    found = {kind: ours.pop((layer, kind)) for kind in ADDITIONS if (layer, kind) in ours}
    biases = total(ops for kind, ops in found.items() if kind != "add")
    sums = found.get("add", Ops())
    dense = Change("residual", Ops(acs=record.elements) - sums) if record else None
    left_out = Change("bias", Ops() - biases)
    ways = [[left_out], *([[dense], [left_out, dense]] if dense else [])]
    if record and record.elements + biases.acs == sum(call.outputs for call in calls):  # some calls add only 0 and 1
        ways.append([Change("residual", total(call.counted for call in calls) - biases - sums)])
    return _row(layer, next(iter(found), "add"), biases + sums, calls, ways, tool)


def _row(layer: str, op: str, ours: Ops, calls: Sequence[Call], ways: Ways, tool: Tool) -> Row:
    theirs = total(call.counted for call in calls)
    return Row(layer, op, None, ours, theirs, _explanation(ways, theirs - ours, 0, tool))


# -- reasons ---------------------------------------------------------------------------------------------------


def _ours(counts: Counts) -> Ops:
    return Ops(counts.acs + counts.adds, counts.macs, counts.muls)


def _explanation(ways: Ways, difference: Ops, scale: float, tool: Tool) -> tuple[Change, ...]:
    """Returns the first way whose changes add up to the difference; else the difference, unexplained.

    A tool in `ROUNDED` may deviate by the rounding of a sum of size `scale`.
    """
    if not difference:
        return ()
    for way in ways:
        rest = difference - total(change.by for change in way)
        changes = tuple(change for change in way if change.by)
        if not rest:
            return changes
        if tool in ROUNDED and max(abs(rest.acs), abs(rest.macs)) <= FLOAT32 * scale and not rest.muls:
            return (*changes, Change("rounding", rest))
        if tool in ROUNDED and rest.acs + rest.macs == 0:
            return (*changes, Change("per_call", rest))
    return _rest(difference)


def _rest(difference: Ops) -> tuple[Change, ...]:
    return (Change("unexplained", difference),) if difference else ()


def _united(rows: Iterable[Row]) -> Iterator[Row]:
    """Adds up the rows of all batches, operation by operation."""
    found: dict[tuple[str, str, int | None], list[Row]] = {}
    for row in rows:
        found.setdefault(row.key, []).append(row)
    for key, parts in found.items():
        by: dict[str, Ops] = {}
        for change in (change for part in parts for change in part.changes):
            by[change.reason] = by.get(change.reason, Ops()) + change.by
        changes = tuple(Change(reason, ops) for reason, ops in by.items())
        yield Row(*key, total(part.ours for part in parts), total(part.theirs for part in parts), changes)

"""Compares a run with the same run made again: integer by integer, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from snnprof import merging
from snnprof.activity import Activity
from snnprof.records import PART_COUNTS

Key = tuple[str, ...]
"""Identifies a row: `op`, `neuron` or `line`, then the layer, the operator and its number."""


@dataclass(frozen=True)
class Difference:
    """An integer that has another value now.

    Attributes:
        block: number of the block.
        row: the operation, neuron layer or element-wise line.
        figure: name of the integer, as in the run file.
        recorded: value in the run file; None if it has no such row.
        now: value in the new run; None if it has no such row.
    """

    block: int
    row: str
    figure: str
    recorded: int | None
    now: int | None


@dataclass(frozen=True)
class Verification:
    """The result of running recorded blocks again.

    Attributes:
        blocks: numbers of the blocks that ran again.
        all_blocks: number of blocks in the run file.
        samples: number of samples in the blocks that ran again.
        rows, integers: how many were compared, over these blocks.
        differences: the integers that differ.
        changed: facts of the run that differ now and may change spikes: (what, then, now).
    """

    blocks: tuple[int, ...]
    all_blocks: int
    samples: int
    rows: int
    integers: int
    differences: tuple[Difference, ...]
    changed: tuple[tuple[str, str, str], ...] = ()

    @property
    def differing_rows(self) -> int:
        """Number of rows with a different integer."""
        return len({(each.block, each.row) for each in self.differences})


def verification(
    recorded: Activity, again: Activity, blocks: Sequence[int], changed: Sequence[tuple[str, str, str]] = ()
) -> Verification:
    """Compares blocks of a run with the blocks of another run at the same positions."""
    first, second = merging.on_shared_grids([recorded, again])
    found: list[Difference] = []
    rows = integers = 0
    for number in blocks:
        one, other = (_integers(activity, number) for activity in (first, second))
        rows += len({key[:-1] for key in one.keys() | other.keys()})
        integers += len(one.keys() | other.keys())
        found += [
            Difference(number, " ".join(part for part in key[1:-1] if part), key[-1], one.get(key), other.get(key))
            for key in dict.fromkeys([*one, *other])
            if one.get(key) != other.get(key)
        ]
    samples = sum(recorded.blocks[number].samples for number in blocks)
    return Verification(
        tuple(blocks), len(recorded.blocks), samples, rows, integers, tuple(found), tuple(changed)
    )  # fmt: skip


def _integers(activity: Activity, number: int) -> dict[Key, int]:
    """Returns every integer of a block by its key; it leaves out rows in which nothing happened."""
    block = merging.restrict(activity, activity.blocks[number])
    found = {(*row, figure): value for row, figure, value in _figures(block) if value is not None}
    active = {key[:-1] for key, value in found.items() if value}
    named = {key: value for key, value in found.items() if key[:-1] in active}
    counts = block.blocks[0]
    named["run", "", "samples"] = counts.samples
    return named if counts.correct is None else {**named, ("run", "", "correct"): counts.correct}


def _figures(block: Activity) -> Iterator[tuple[Key, str, Any]]:
    row: Key
    for op in block.ops:
        row = ("op", op.layer, op.op, str(op.index))
        yield row, "calls", op.calls
        yield row, "bias_adds", op.bias_adds
        for part in op.parts:
            for name in PART_COUNTS:
                yield row, f"{part.kind} {name}", getattr(part, name)
    for neuron in block.neurons:
        row = ("neuron", neuron.layer, neuron.type)
        for name in ("spikes", "level_sum", "updates", "driven"):
            yield row, name, getattr(neuron, name)
        for step, spikes in enumerate(neuron.spikes_per_step):
            yield row, f"spikes in step {step + 1}", spikes
    for line in block.elementwise:
        row = ("line", line.layer, line.op)
        yield row, "elements", line.elements
        yield row, "nonzero", line.nonzero

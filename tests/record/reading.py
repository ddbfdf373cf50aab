"""Random operands for the readers, and a count value by value to hold them against.

    TRITON_INTERPRET=1 python tests/record/reading.py CASES

compares the backends that there are on so many of them. Triton's interpreter takes the place of a GPU then; it must be
asked for before anything imports Triton, so the tests run this in a process of its own.
"""

from __future__ import annotations

import itertools
import math
import random
import struct
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnprof.record.read import BACKENDS
from snnprof.record.read.operand import ANY, LARGEST, SINGLE, Grid, Reach, Steps, Sums, kept

DTYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool, torch.uint8, torch.int8, torch.int32,
    torch.int64,
)  # fmt: skip
GRIDS = (
    ANY, SINGLE, Grid(0.5, 1), Grid(1 / 3, 1), Grid(1.0, 1, True), Grid(1.0, 3), Grid(0.25, 9), Grid(0.1, 40, True),
    Grid(1.0, 255), Grid(2.0, 256), Grid(1.0, 1 << 19),
)  # fmt: skip
STRANGE = (math.nan, math.inf, -math.inf, 0.3, 2.5, 1e20, -7.0, 2.0**-149, 300.0, -0.0)


class Case(NamedTuple):
    """What a backend is asked: to read values, and to keep their counts along `keep`, by step or not."""

    values: Tensor
    grid: Grid
    reach: Reach
    steps: Steps | None
    keep: tuple[int, ...] | None
    stepwise: bool


Answer = tuple[list[Any], list[Any] | None, list[Any] | None]
"""The row, step by step, and the sums of non-zeros and of levels that were kept."""


def case(seed: int) -> Case:
    """One of endlessly many: any shape, memory layout, dtype, grid and steps; some values that are not on the grid."""
    chance = random.Random(seed)
    shape = [chance.randint(1, 4) for _ in range(chance.randint(1, 4))]
    dim, size, inner = chance.randrange(len(shape)), chance.randint(1, 3), chance.choice([None, 1, 2])
    shape[dim] *= size * (inner or 1)
    steps = chance.choice([None, Steps(dim, size, inner)])
    if chance.random() < 0.05:
        shape[chance.randrange(len(shape))] *= 840  # longer than a block
    grid = chance.choice(GRIDS)
    values = _laid_out(chance, _values(chance, shape, grid))
    if steps is not None and not steps.fit(values.shape):
        steps = None
    form = chance.choice(["number", "table", "sums", "merged"])
    reach: Reach = chance.randint(0, 9)
    free = values.dim() if steps is None else values.dim() - 1 - steps.dim  # dimensions behind the one of the steps
    if form == "table" and free:
        dims = chance.randint(1, free)
        reach = torch.tensor([chance.randint(0, 9) for _ in range(math.prod(values.shape[-dims:]))], dtype=torch.int32)
        reach = reach.view(values.shape[-dims:])
    keep = None
    if form in ("sums", "merged"):
        may = [d for d in range(values.dim()) if form == "sums" or steps is None or d != steps.dim]
        keep = tuple(d for d in may if chance.random() < 0.5)
    return Case(values, grid, reach, steps, keep, form == "sums")


def _values(chance: random.Random, shape: list[int], grid: Grid) -> Tensor:
    most, number = min(max(grid.levels, 1), 60), math.prod(shape)
    signed = grid.signed or chance.random() < 0.2
    levels = [chance.randint(-most if signed else 0, most) * (chance.random() < 0.6) for _ in range(number)]
    values = torch.tensor(levels, dtype=torch.float64) * (grid.quantum or chance.choice([1.0, 0.37]))
    if chance.random() < 0.3:
        values[chance.randrange(number)] = chance.choice(STRANGE)
    return values.view(shape).to(chance.choice(DTYPES))


def _laid_out(chance: random.Random, values: Tensor) -> Tensor:
    """The same values in another order of memory, a slice of more, or the same ones again and again."""
    order = list(range(values.dim()))
    chance.shuffle(order)
    gap = chance.choice([1, 1, 2])
    memory = torch.zeros([values.shape[d] for d in order[:-1]] + [values.shape[order[-1]] * gap], dtype=values.dtype)
    laid = memory[..., ::gap].permute([order.index(d) for d in range(values.dim())])
    laid.copy_(values)
    return laid[:1].expand(3, *laid.shape[1:]) if chance.random() < 0.1 else laid


def answer(backend: str, asked: Case) -> Answer:
    """What a backend reads."""
    values, grid, reach, steps, keep, stepwise = asked
    row = torch.zeros((steps.size if steps else 1) * grid.width, dtype=torch.int64)
    sums = None
    if keep is not None:
        shape, strides = kept(tuple(values.shape), values.stride(), steps, keep, stepwise)
        own = [torch.zeros(math.prod(shape), dtype=dtype) for dtype in (torch.int32, torch.int64)]
        nonzero, levels = (each.as_strided(shape, strides) for each in own)
        sums = Sums(keep, nonzero, levels if grid.quantum else None)
    BACKENDS[backend].read(values, grid, reach, row, steps, sums)
    levels_kept = None if sums is None or sums.levels is None else sums.levels.tolist()
    return row.view(-1, grid.width).tolist(), sums and sums.nonzero.tolist(), levels_kept


def brute(asked: Case) -> Answer:
    """The same, value by value."""
    values, grid, reach, steps, keep, stepwise = asked
    rows = [[0] * grid.width for _ in range(steps.size if steps else 1)]
    nonzero, levels = answer_of_zeros(asked)
    for place in itertools.product(*map(range, values.shape)):
        step, folded = _place(place, values, steps, keep)
        value, level, distance = _level(values[place], grid)
        here = reach if isinstance(reach, int) else int(reach[place[values.dim() - reach.dim() :]])
        row, fired = rows[step], int(value != 0)
        far = struct.unpack("<q", struct.pack("<d", distance))[0]
        for index, number in enumerate((fired, level, fired * here, level * here, int(value < 0 < level))):
            row[index] += number
        row[5] = max(row[5], far)
        if grid.bins:
            row[6 + min(level, grid.levels)] += 1
        if keep is not None:
            _at(nonzero, (step, *folded) if stepwise else folded, fired)
            _at(levels, (step, *folded) if stepwise else folded, level)
    lists = [None if keep is None else each.tolist() for each in (nonzero, levels)]
    return rows, lists[0], lists[1] if grid.quantum else None


def answer_of_zeros(asked: Case) -> tuple[Tensor, Tensor]:
    """Sums of the right shape, with nothing in them."""
    if asked.keep is None:
        return torch.zeros(()), torch.zeros(())
    values = asked.values
    shape, _ = kept(tuple(values.shape), values.stride(), asked.steps, asked.keep, asked.stepwise)
    return torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)


def _at(sums: Tensor, place: tuple[int, ...], number: int) -> None:
    sums[place] += number


def _place(
    place: tuple[int, ...], values: Tensor, steps: Steps | None, keep: tuple[int, ...] | None
) -> tuple[int, tuple[int, ...]]:
    """The step of a value, and its place among the dimensions kept; one that steps lie in is (outer, inner)."""
    step, where = 0, []
    for dim, index in enumerate(place):
        folded: tuple[int, ...] = (index,)
        if steps is not None and dim == steps.dim:
            inner = steps.inner or values.shape[dim] // steps.size
            step = index // inner % steps.size
            folded = (index // (inner * steps.size), index % inner)
        where += [*folded] if keep is not None and dim in keep else []
    return step, tuple(where)


def _level(element: Tensor, grid: Grid) -> tuple[float, int, float]:
    """A value, the nearest level's size, and how far it is from that, in the precision that it is read in."""
    wide = element if element.dtype is torch.float64 else element.float()
    if grid.quantum is None:
        return float(wide), 0, 0.0
    size = float(wide.abs() / torch.tensor(grid.quantum, dtype=wide.dtype))
    if not math.isfinite(size):
        return float(wide), 0, math.inf
    return float(wide), min(round(size), LARGEST), abs(round(size) - size)


def compared(cases: int) -> Iterator[str]:
    """What differs between the backends, or from the reference."""
    usable = [name for name, backend in BACKENDS.items() if not backend.available()]
    for seed in range(cases):
        asked = case(seed)
        answers = {name: answer(name, asked) for name in usable}
        if any(each != answers["reference"] for each in answers.values()):
            yield f"case {seed}: {asked}: {answers}"
    print(f"{cases} cases, {', '.join(usable)}")


if __name__ == "__main__":
    differences = list(compared(int(sys.argv[1])))
    sys.exit(differences[0] if differences else 0)

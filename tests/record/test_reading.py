"""Reading operands in any layout, on any number of threads, compiled or not, against a count value by value."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from torch import Tensor, nn

from snnprof.record import sweep
from snnprof.record.recall import RECALL
from snnprof.record.recorder import Recorder
from snnprof.record.reduce import Steps, traced
from snnprof.record.tally import Grid, made_of_flags, nonzero_total, spikes, tally

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
SPIKES = Grid(quantum=1.0, levels=1)
PLACE = 1  # where in the code a tensor is made


@contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """Reads on so many threads, however few the values."""
    worthwhile, before = sweep._WORTHWHILE, torch.get_num_threads()
    sweep._WORTHWHILE = 1
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        sweep._WORTHWHILE = worthwhile
        torch.set_num_threads(before)


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    with on_threads(request.param):
        yield


@contextmanager
def not_compiled() -> Iterator[None]:
    """As where no C compiler was at hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "compiled", None)
        yield


Reader = Callable[[], AbstractContextManager[None]]
READERS: dict[str, Reader] = {"compiled": nullcontext, "by PyTorch": not_compiled, "as in a graph": traced}


@st.composite
def operands(draw: st.DrawFn) -> tuple[Tensor, float, int, Steps | None, tuple[int, ...]]:
    """Multiples up to a bound, in some memory layout, with some steps and dimensions to keep."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    size, inner, dim = (
        draw(st.integers(1, 3)),
        draw(st.sampled_from([None, 1, 2])),
        draw(st.integers(0, len(shape) - 1)),
    )
    shape[dim] *= size * (inner or 1)
    steps = draw(st.sampled_from([None, Steps(dim, size, inner)]))
    keep = tuple(d for d in range(len(shape)) if (steps is None or d != dim) and draw(st.booleans()))
    most, scale = draw(st.sampled_from([1, 2, 4, 9, 40])), draw(st.sampled_from([1.0, 8.0, 0.5]))
    drawn = draw(st.lists(st.integers(0, most), min_size=math.prod(shape), max_size=math.prod(shape)))
    order = draw(st.permutations(range(len(shape))))
    values = torch.empty([shape[d] for d in order], dtype=draw(st.sampled_from(DTYPES)))
    values = values.permute([order.index(d) for d in range(len(shape))])
    values.copy_(torch.tensor(drawn).reshape(shape) / scale)
    return values, scale, most, steps, keep


def one_by_one(values: Tensor, steps: Steps | None, keep: tuple[int, ...], what: Callable[[float], float]) -> Tensor:
    """`what` of each value, added up by step and by the dimensions kept."""
    size = steps.size if steps else 1
    sums = torch.zeros(size, *(values.shape[d] for d in keep), dtype=torch.float64)
    for place in itertools.product(*(range(n) for n in values.shape)):
        step = 0
        if steps:
            inner = steps.inner or values.shape[steps.dim] // steps.size
            step = place[steps.dim] // inner % steps.size
        sums[(step, *(place[d] for d in keep))] += what(float(values[place]))
    return sums


def numbers(counts: ArrayLike) -> list[Any]:
    """Counts of whatever kind as lists."""
    return np.asarray(counts).tolist()


def shown(histogram: Sequence[int] | None) -> list[int] | None:
    """Elements at each level up to the largest there is."""
    return None if histogram is None else numbers(np.trim_zeros(np.asarray(histogram), "b"))


Operand = tuple[Tensor, float, int, Steps | None, tuple[int, ...]]


@given(operand=operands(), threads=st.integers(1, 4))
def test_whole_multiples(operand: Operand, threads: int) -> None:
    values, scale, most, steps, keep = operand
    with on_threads(threads):
        found = sweep.levels(values, scale, most, steps, keep)
        merged = sweep.levels(values, scale, most, steps, keep, merged=True)
        nonzero, count = sweep.nonzero(values, steps, keep).nonzero, sweep.count(values)
    fired = one_by_one(values, steps, keep, lambda value: value != 0)
    levels = one_by_one(values, steps, keep, lambda value: value * scale)
    assert found is not None
    assert merged is not None
    assert numbers(found.nonzero) == numbers(nonzero) == fired.tolist()
    assert numbers(found.levels) == levels.tolist()
    assert numbers(merged.nonzero[0]) == fired.sum(0).tolist()
    assert numbers(merged.levels[0]) == levels.sum(0).tolist()
    assert numbers(found.by_step) == fired.reshape(len(fired), -1).sum(1).tolist()
    assert count == fired.sum()
    at_level = [round(float(value) * scale) for value in values.flatten()]
    assert shown(found.histogram) == [at_level.count(n) for n in range(max(at_level) + 1)]


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@given(operand=operands())
def test_a_tally_is_the_same_whoever_reads(reader: Reader, operand: Operand) -> None:
    values, scale, most, steps, keep = operand
    RECALL.clear()
    with reader():
        found = tally(values, Grid(1 / scale, most), steps, keep)
        in_steps, by_place, _ = spikes(values, most, steps, keep)
        RECALL.clear()
        number = nonzero_total(values, steps)
    fired = one_by_one(values, steps, keep, bool)
    assert numbers(found.nonzero) == fired.tolist()
    assert numbers(found.levels) == one_by_one(values, steps, keep, lambda value: value * scale).tolist()
    assert numbers(found.kind) == [int(number > 0) for number in fired.reshape(len(fired), -1).sum(1)]
    assert numbers(in_steps) == fired.reshape(len(fired), -1).sum(1).tolist()
    assert by_place.tolist() == fired.sum(0).tolist()
    assert number == fired.sum()


@pytest.mark.parametrize("most", [0, 1, 7, 40, 255, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("keep", [(), (0,), (1,), (2,), (1, 2)])
def test_rows_longer_than_a_block(most: int, dtype: torch.dtype, keep: tuple[int, ...], threads: None) -> None:
    """More values side by side than are looked at together, and a remainder."""
    drawn = torch.randint(0, max(most, 1) + 1, (2, 3, 10_007), generator=torch.Generator().manual_seed(most))
    values = (drawn / 2).to(dtype)
    dropped = [dim for dim in range(3) if dim not in keep]
    fired, levels = ((sums.sum(dropped) if dropped else sums)[None].tolist() for sums in (drawn != 0, drawn))
    assert numbers(sweep.nonzero(values, None, keep).nonzero) == fired
    if not most:
        return
    found = sweep.levels(values, 2.0, most, None, keep)
    assert found is not None
    assert (numbers(found.nonzero), numbers(found.levels)) == (fired, levels)
    assert shown(found.histogram) == (drawn.flatten().bincount().tolist() if most < 256 else None)


@pytest.mark.parametrize("wrong", [-1.0, 0.5, 2.0, math.nan, math.inf, -math.inf, 1 + 2**-23, 2.0**-149, 300.0])
@pytest.mark.parametrize("place", [0, 6, 11])
def test_what_is_no_spike_is_found(threads: None, wrong: float, place: int) -> None:
    values = torch.ones(3, 4)
    values[1] = 0
    values.view(-1)[place] = wrong
    assert sweep.levels(values, 1.0, 1, None, (1,)) is None
    assert sweep.count(values) == 12 - 4 + (place == 6)


@pytest.mark.parametrize("wrong", [-1.0, 2.5, 41.0, math.nan, math.inf, -8.0])
def test_what_is_no_level_is_found(threads: None, wrong: float) -> None:
    values = torch.arange(12.0)
    values[3] = wrong
    assert sweep.levels(values, 1.0, 40, None, ()) is None


def test_negative_zero_is_zero(threads: None) -> None:
    found = sweep.levels(torch.tensor([-0.0, 1.0, 0.0]), 1.0, 1, None, ())
    assert found is not None
    assert shown(found.histogram) == [2, 1]


def test_gaps_and_overlaps_in_memory(threads: None) -> None:
    values = (torch.arange(60).reshape(3, 4, 5) % 2).float()
    gaps, repeated = values[:, ::2, 1:4], values[:, :1].expand(3, 6, 5)
    for operand in (gaps, repeated):
        found = sweep.levels(operand, 1.0, 1, Steps(0, 3), (2,))
        assert found is not None
        assert numbers(found.nonzero) == operand.sum(1).tolist()


def test_levels_beyond_a_byte(threads: None) -> None:
    values = torch.tensor([[0.0, 512, 3], [1000, 0, 0.5]])
    found = sweep.levels(values, 2.0, 2000, Steps(0, 2), (1,))
    assert found is not None
    assert numbers(found.levels) == [[0, 1024, 6], [2000, 0, 1]]
    assert numbers(found.nonzero) == [[0, 1, 1], [1, 0, 1]]
    assert (numbers(found.by_step), found.histogram) == ([2, 2], None)
    assert sweep.levels(values, 1.0, 2000, None, ()) is None
    assert sweep.levels(values, 2.0, 1999, None, ()) is None


class Pooled(nn.Module):
    """How many of 400 pixels of each channel fired, into a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x > 0).float().sum((2, 3)))


def test_a_histogram_is_whole_or_not_there() -> None:
    """Levels beyond a byte are summed, and known to be spikes, but not told apart, nor those of other batches."""
    few, many = torch.zeros(1, 3, 20, 20), torch.ones(1, 3, 20, 20)
    few[0, 0, 0, :5] = 1
    with Recorder(model := Pooled()) as recorder:
        for x in (few, many):
            model(x)
    (op,) = recorder.activity(samples=2).ops
    assert op.operands[0].histogram == []
    assert [(part.kind, part.nonzero, part.level_sum) for part in op.parts] == [("spikes", 1 + 3, 5 + 3 * 400)]


def test_what_is_too_small_to_be_halved_is_no_zero(threads: None) -> None:
    assert sweep.levels(torch.tensor([2.0**-149, 2, 4]), 0.5, 4, None, ()) is None


def test_more_rows_than_a_byte_counts() -> None:
    values = torch.ones(1000, 3)
    values[:300, 1] = 0
    found = sweep.levels(values, 1.0, 1, None, (1,))
    assert found is not None
    assert numbers(found.nonzero) == [[1000, 700, 1000]]


def read(**changed: object) -> bool:
    """Reads eight values in two steps by the compiled code itself."""
    values = torch.ones(2, 4)
    arguments = {
        "storage": values.data_ptr(), "bytes": 32, "first": 0, "size": 4, "shape": (2, 4), "strides": (4, 1),
        "nonzero": np.zeros((2, 1), np.int32), "levels": None, "histogram": None,
        "scale": 1.0, "most": 1.0, "threads": 2,
    }  # fmt: skip
    assert sweep.compiled is not None
    return sweep.compiled.read_operand(*{**arguments, **changed}.values())


@pytest.mark.skipif(sweep.compiled is None, reason="there was no C compiler")
@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"first": 1}, "outside their memory"), ({"first": -1}, "outside their memory"),
        ({"bytes": 31}, "outside their memory"), ({"size": 8}, "outside their memory"),
        ({"shape": (2, 5)}, "outside their memory"), ({"strides": (2**62, 1)}, "outside their memory"),
        ({"storage": 0}, "holds no value"), ({"bytes": 3}, "holds no value"), ({"bytes": -1}, "holds no value"),
        ({"size": 2}, "1, 4 or 8 bytes"), ({"size": 1, "scale": 2.0}, "scale of 1"),
        ({"shape": (2,)}, "a stride for each"), ({"shape": (), "strides": ()}, "steps and 1 to 31"),
        ({"shape": (2,), "strides": (1,)}, "steps and 1 to 31"), ({"shape": (0, 4)}, "positive"),
        ({"strides": (4, -1)}, "not negative"), ({"shape": (2**31, 4)}, "too many values"),
        ({"shape": (2**64, 4)}, "too large"), ({"storage": -1}, "negative"), ({"threads": 2**31}, "too large"),
        ({"nonzero": None, "levels": np.zeros((2, 1), np.int32)}, "do not fit"),
        ({"nonzero": np.zeros(2, np.int32)}, "do not fit"), ({"nonzero": np.zeros((2, 3), np.int32)}, "do not fit"),
        ({"levels": np.zeros((2, 4), np.int32)}, "do not fit"), ({"nonzero": b"12345678"}, "read-only"),
        ({"histogram": np.zeros(256, np.int64)}, "of levels"),
        ({"scale": 0.0}, "positive and finite"), ({"scale": math.inf}, "positive and finite"),
        ({"scale": math.nan}, "positive and finite"), ({"most": -1.0}, "whole number"), ({"most": 0.5}, "whole number"),
        ({"most": 2.0**18}, "whole number"), ({"threads": 0}, "a thread"),
    ],
    ids=str,
)  # fmt: skip
def test_the_compiled_code_reads_nothing_outside_its_memory(changed: dict[str, object], why: str) -> None:
    assert read()
    with pytest.raises(ValueError, match=why):
        read(**changed)


@pytest.mark.skipif(sweep.compiled is None, reason="there was no C compiler")
@pytest.mark.parametrize(("size", "most"), [(9, 2.0), (255, 2.0), (256, 256.0)])
def test_a_histogram_has_a_place_for_every_level(size: int, most: float) -> None:
    sums = {"levels": np.zeros((2, 1), np.int32), "histogram": np.zeros(size, np.int64), "most": most}
    with pytest.raises(ValueError, match="levels below 256"):
        read(**sums)


@pytest.mark.skipif(sweep.compiled is None, reason="there was no C compiler")
def test_the_compiled_code_takes_whole_numbers_of_its_own_width() -> None:
    with pytest.raises(TypeError, match="int32"):
        read(nonzero=np.zeros((2, 1)))
    with pytest.raises(TypeError, match="int64"):
        read(histogram=np.zeros(256, np.int32))
    with pytest.raises(TypeError, match="tuples"):
        read(shape=[2, 4])


@pytest.mark.skipif(sweep.compiled is None, reason="there was no C compiler")
@given(data=st.data())
def test_products_by_step(data: st.DataObject) -> None:
    steps, size = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 5))
    left, right = (
        data.draw(
            st.lists(st.lists(st.integers(0, most), min_size=size, max_size=size), min_size=steps, max_size=steps)
        )
        for most in (2**31 - 1, 2**29)
    )
    counts, others = np.array(left, np.int32), np.array(right, np.int32)
    products = [sum(a * b for a, b in zip(*rows, strict=True)) for rows in zip(left, right, strict=True)]
    assert list(sweep.dot(counts, others)) == products
    same = [sum(a * b for a, b in zip(row, right[0], strict=True)) for row in left]
    assert list(sweep.dot(counts.reshape(steps, 1, size), others[0])) == same


@pytest.mark.skipif(sweep.compiled is None, reason="there was no C compiler")
@pytest.mark.parametrize(("left", "right"), [((2, 3), (4,)), ((2, 3), (2, 2)), ((), ()), ((0, 3), (3,))])
def test_what_has_no_products_by_step_is_refused(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no products"):
        sweep.dot(np.zeros(left, np.int32), np.zeros(right, np.int32))


@pytest.mark.skipif(sweep.compiled is None, reason="there was no C compiler")
@given(data=st.data(), threads=st.integers(1, 3))
def test_flags_are_read_as_the_values_made_of_them(data: st.DataObject, threads: int) -> None:
    values, _, _, steps, keep = data.draw(operands())
    flags = values > 0
    grid = data.draw(st.sampled_from([SPIKES, Grid()]))
    made = flags.float()
    RECALL.clear()
    with on_threads(threads):
        read = tally(made, grid, steps, keep)
        RECALL.end()
        RECALL.asked[PLACE, made.dtype, made.shape, made.stride()] = {(grid, steps, keep): None}
        made_of_flags(flags, made, PLACE)
        made.data.fill_(0.3)  # raises no version: whatever is answered now was read from the flags
        known = tally(made, grid, steps, keep)
    assert numbers(known.nonzero) == numbers(read.nonzero)
    assert numbers(known.by_step) == numbers(read.by_step)
    assert numbers(known.kind) == numbers(read.kind)
    assert nonzero_total(made) == int(flags.sum())


# -- what is not read again --------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    RECALL.clear()
    yield
    RECALL.clear()


def test_a_tensor_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(sweep, "levels", lambda *args: read.append(args) or LEVELS(*args))
    values = torch.ones(4, 3)
    assert [numbers(tally(values, SPIKES, None, (1,)).nonzero) for _ in range(3)] == [[[4, 4, 4]]] * 3
    assert nonzero_total(values) == 12
    assert len(read) == 1


LEVELS = sweep.levels


@pytest.mark.parametrize(
    "write",
    [lambda x: x.zero_(), lambda x: x[0].fill_(0), lambda x: x.mul_(0), lambda x: x.t().copy_(torch.zeros(3, 4))],
)
def test_what_was_written_to_is_read_again(write: Callable[[Tensor], object]) -> None:
    values = torch.ones(4, 3)
    assert sum(tally(values, SPIKES, None, ()).by_step) == 12
    write(values)
    assert sum(tally(values, SPIKES, None, ()).by_step) == (values != 0).sum()


def test_copies_made_alike_share_what_is_known_until_one_is_written_to() -> None:
    source = torch.ones(4, 3)
    first, second = source.clone(), source.clone()
    for copy in (first, second):
        RECALL.copied(source, copy)
    assert RECALL.about(first)[0] is RECALL.about(second)[0]
    second.zero_()
    assert RECALL.about(first)[0] is not RECALL.about(second)[0]
    assert sum(tally(first, SPIKES, None, ()).by_step) == 12
    assert sum(tally(second, SPIKES, None, ()).by_step) == 0
    third = source.zero_().clone()
    RECALL.copied(source, third)
    assert RECALL.about(third)[0] is not RECALL.about(first)[0]


@given(data=st.data())
def test_copies_in_any_layout_are_known_as_far_as_their_order_tells(data: st.DataObject) -> None:
    """Two tensors, one a copy of the other, asked in turn: each answer is what reading it afresh finds."""
    RECALL.clear()
    shape = data.draw(st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=3))
    pair = [torch.empty([shape[d] for d in order]).permute([order.index(d) for d in range(len(shape))])
            for order in (data.draw(st.permutations(range(len(shape)))) for _ in range(2))]  # fmt: skip
    drawn = data.draw(st.lists(st.integers(0, 1), min_size=math.prod(shape), max_size=math.prod(shape)))
    for one in pair:
        one.copy_(torch.tensor(drawn).reshape(shape))
    RECALL.copied(*pair)
    for _ in range(4):
        values, dim = data.draw(st.sampled_from(pair)), data.draw(st.integers(0, len(shape) - 1))
        steps = data.draw(st.sampled_from([Steps(dim, n) for n in (4, 2, 1) if shape[dim] % n == 0]))
        expected = one_by_one(values, steps, (), bool).tolist()
        if data.draw(st.booleans()):
            assert numbers(spikes(values, 1, steps, ())[0]) == expected
        found = tally(values, SPIKES, steps, ())
        assert numbers(found.nonzero) == numbers(found.levels) == expected
        assert numbers(found.kind) == [int(number > 0) for number in expected]
        assert found.histogram is not None
        assert sum(found.histogram[1:]) == nonzero_total(values) == sum(drawn)


def test_a_copy_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spikes of a layer whose channels lie innermost, copied to lie outermost: what a linear layer asks is known."""
    fired = (torch.arange(48).reshape(4, 2, 6) % 3 == 0).float().transpose(1, 2)
    by_step = fired.sum((1, 2)).tolist()
    spikes(fired, 1, Steps(0, 4), (1, 2))
    copy = fired.contiguous()
    RECALL.copied(fired, copy)
    monkeypatch.setattr(sweep, "levels", None)
    assert numbers(tally(copy.view(24, 2), SPIKES, Steps(0, 4), ()).nonzero) == by_step
    assert nonzero_total(copy) == sum(by_step)


class Copies(nn.Module):
    """Three copies of one operand, each multiplied; the second is silenced in a way that raises no version."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(6, 2, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        spikes = (x > 0).float()
        copies = [spikes.clone() for _ in range(3)]
        copies[1].data.zero_()
        return sum((head(copy) for head, copy in zip(self.heads, copies, strict=True)), torch.zeros(()))


class Written(nn.Module):
    """Spikes made of flags, of which some are silenced in a way that raises no version, before they are multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, bias=False)
        self.second = nn.Conv2d(2, 3, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros(())
        for step in range(3):
            spikes = (x > step).float()
            total = total + self.first(spikes).mean()
            silenced = (x > step).float()
            silenced.data[:, 0] = 0
            total = total + self.second(silenced).mean()
        return total


@pytest.mark.parametrize("passes", [1, 3])
def test_spikes_made_of_flags_and_written_to(passes: int) -> None:
    torch.manual_seed(0)
    model, x = Written().eval(), torch.rand(4, 2, 5, 5) * 4
    with torch.no_grad(), Recorder(model, timesteps=3) as recorder:
        for _ in range(passes):
            model(x)
            recorder.end_batch()
            recorder.end_block(4)
    activity = recorder.activity()
    fan = torch.nn.functional.conv_transpose2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3)) * 3
    all_of_it = sum(int(((x > step) * fan).sum()) for step in range(3))
    half_of_it = sum(int(((x > step)[:, 1:] * fan).sum()) for step in range(3))
    assert [op.events for op in activity.ops] == [passes * all_of_it, passes * half_of_it]


class Twice(nn.Module):
    """Two tensors of one shape made of flags; one is multiplied, of the other the spikes are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        first = (x > 0.5).float()
        second = (x > 0.8).float()
        silent = 1 - first
        return self.conv(first) + silent.mean() + second.mean()


@pytest.mark.skipif(sweep.compiled is None, reason="there was no C compiler")
def test_flags_are_read_for_what_is_asked_where_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def levels(values: Tensor, *question: object, **options: bool) -> object:
        if values.dtype is torch.bool:
            asked.append(question)
        return LEVELS(values, *question, **options)  # type: ignore[arg-type]

    model, x = Twice().eval(), torch.rand(4, 2, 5, 5)
    with torch.no_grad(), Recorder(model) as recorder:
        model(x)
        recorder.end_batch()
        monkeypatch.setattr(sweep, "levels", levels)
        model(x)
    assert asked == [(1.0, 1, None, (2, 3)), (1.0, 0, None, ())]


@pytest.mark.parametrize("passes", [1, 3])
def test_a_write_that_autograd_does_not_see(passes: int) -> None:
    x = torch.linspace(-1, 1, 24).reshape(4, 6)
    fired = int((x > 0).sum())
    model = Copies()
    with Recorder(model) as recorder:
        for _ in range(passes):
            model(x)
    assert [op.events for op in recorder.activity(samples=4).ops] == [2 * fired * passes, 0, 2 * fired * passes]

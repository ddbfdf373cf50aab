"""Blocks of whole batches, and sums of parts."""

from __future__ import annotations

import functools
import itertools

import pytest

from snnprof import merging
from snnprof.activity import Activity
from snnprof.errors import SnnprofError


@pytest.mark.parametrize("batches", [1, 63, 64, 65, 127, 128, 129, 1000, 4097])
def test_a_span_is_what_joining_neighbours_comes_to(batches, activity):
    block = activity.blocks[0].model_copy(update={"samples": 1})
    joined = merging.thinned([block] * batches)
    width = merging.span(batches)
    assert [b.samples for b in joined] == [min(width, batches - i * width) for i in range(len(joined))]


@pytest.mark.parametrize("cuts", [(0, 10), (0, 3, 10), (0, 1, 2, 3, 10)])
def test_parts_of_a_run_add_up_to_it(activity, cuts):
    """Whoever counts a block, the sum is the run."""
    pieces = []
    for first, last in itertools.pairwise(cuts):
        chosen = [activity.restricted(block) for block in activity.blocks[first:last]]
        piece = functools.reduce(Activity.merge, chosen)
        pieces.append(merging.rebin(piece, range(first, last)))
    whole = merging.merge(pieces)
    assert whole.blocks == activity.blocks
    assert whole.ops[0].parts == activity.ops[0].parts
    assert whole.neurons == activity.neurons
    assert whole.accuracy == activity.accuracy
    assert whole.samples == activity.samples


def test_two_parts_may_share_a_block(activity):
    even, odd = (
        functools.reduce(Activity.merge, [activity.restricted(b) for b in activity.blocks[i::2]]) for i in (0, 1)
    )
    whole = merging.merge([merging.rebin(even, range(5)), merging.rebin(odd, range(5))])
    assert [block.samples for block in whole.blocks] == [4] * 5
    assert whole.blocks == [merging.thinned(activity.blocks[i : i + 2], 1)[0] for i in range(0, 10, 2)]


def test_a_part_without_the_first_block(activity):
    """As a process that learned from the first batch, which another one counts."""
    first = activity.restricted(activity.blocks[0])
    first = first.model_copy(update={"ops": [_with_histogram(op, 2) for op in first.ops]})
    all_but = merging.without_first(
        activity.model_copy(update={"ops": [_with_histogram(op, 7) for op in activity.ops]}), first
    )
    assert all_but.samples == activity.samples - first.samples
    assert all_but.blocks == activity.blocks[1:]
    assert [op.events for op in all_but.ops] == [
        a.events - b.events for a, b in zip(activity.ops, first.ops, strict=True)
    ]
    assert {tuple(o.histogram) for op in all_but.ops for o in op.data} == {(5,)}


def _with_histogram(op, count):
    operands = [o.model_copy(update={"histogram": [count]}) for o in op.operands]
    return op.model_copy(update={"operands": operands})


def test_operations_only_one_part_saw(activity):
    blocks = [activity.restricted(block) for block in activity.blocks[:2]]
    less = blocks[0].model_copy(
        update={
            "ops": blocks[0].ops[1:], "neurons": blocks[0].neurons[:-1], "elementwise": blocks[0].elementwise[1:],
            "blocks": [blocks[0].blocks[0].model_copy(update={
                "ops": blocks[0].blocks[0].ops[1:], "neurons": blocks[0].blocks[0].neurons[:-1],
                "elementwise": blocks[0].blocks[0].elementwise[1:],
            })],
        }
    )  # fmt: skip
    whole = merging.merge([less, merging.rebin(blocks[1], [1])])
    known = {op.key: op for op in whole.ops}
    assert known[activity.ops[0].key].events == blocks[1].ops[0].events
    assert known[activity.ops[1].key].events == blocks[0].ops[1].events + blocks[1].ops[1].events
    assert Activity.from_json(whole.to_json()) == whole  # its blocks add up


def test_different_operations_at_one_place_are_refused(activity):
    other = activity.model_copy(update={"ops": [activity.ops[0].model_copy(update={"weights": 1}), *activity.ops[1:]]})
    with pytest.raises(SnnprofError, match="ran different operations in 'patch_embed"):
        merging.merge([activity, other])


def test_what_one_part_does_not_know_the_sum_does_not(activity):
    a, b = (merging.rebin(activity.restricted(block), [0]) for block in activity.blocks[:2])
    untold = b.neurons[0].model_copy(update={"spikes_per_step": []})
    uncounted = b.elementwise[0].model_copy(update={"nonzero": None})
    b = b.model_copy(
        update={
            "neurons": [untold, *b.neurons[1:]],
            "elementwise": [uncounted, *b.elementwise[1:]],
            "accuracy": None,
            "blocks": [b.blocks[0].model_copy(update={
                "correct": None, "neurons": [b.blocks[0].neurons[0][:4], *b.blocks[0].neurons[1:]],
                "elementwise": [[b.blocks[0].elementwise[0][0], None], *b.blocks[0].elementwise[1:]],
            })],
        }
    )  # fmt: skip
    whole = merging.merge([a, b])
    assert whole.neurons[0].spikes_per_step == []
    assert len(whole.neurons[1].spikes_per_step) == 2
    assert whole.elementwise[0].nonzero is None
    assert whole.accuracy is None


def test_steps_only_of_operations_that_ran_alike_in_every_batch(activity):
    rare = activity.ops[0].model_copy(update={"calls": 13})
    even = merging.drop_uneven_steps(activity.model_copy(update={"ops": [rare, *activity.ops[1:]]}), 10)
    assert [op.steps for op in even.ops] == [None, *(op.steps for op in activity.ops[1:])]

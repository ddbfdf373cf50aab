"""How many elements a line of other arithmetic has, whatever the shapes: against the definition, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snnprof.record.recorder import Recorder

X = torch.rand(2, 3, 4)  # 24 elements
ROW = torch.rand(4)
PLACES = torch.randint(0, 4, (2, 3, 4))
ROWS = torch.tensor([1, 0, 1])

CASES: dict[str, tuple[Callable[[Tensor], Tensor], str, int]] = {
    "a number added": (lambda x: 1 - x, "bias", 24),
    "a smaller tensor added": (lambda x: x + ROW, "bias", 24),
    "to a larger result": (lambda x: x[:, :1] + x, "add", 24),
    "in place": (lambda x: x.clone().add_(x[:, :1]), "add", 24),
    "multiplied to a larger result": (lambda x: x[:, :, :1] * x[:, :1], "mul", 24),
    "into a tensor of its own": (lambda x: torch.add(x[:1], x, out=torch.empty(0)), "add", 24),
    "multiplied into a tensor of its own": (lambda x: torch.mul(x[:1], x, out=torch.empty(0)), "mul", 24),
    "the larger of two, into a tensor": (lambda x: torch.maximum(x[:1], x, out=torch.empty(2, 3, 4)), "compare", 24),
    "chosen": (lambda x: torch.where(x > 2, 0.0, x[:1]), "mask", 24),
    "compared with a number": (lambda x: (x > 0.5).float() * x, "compare", 24),
    "compared with a larger tensor": (lambda x: (x[0] > x).float() * x, "compare", 24),
    "the largest of all": (lambda x: x.amax(), "compare", 24),
    "the largest of each row": (lambda x: x.max(-1).values, "compare", 24),
    "the larger of two": (lambda x: torch.maximum(x[:, :1], x), "compare", 24),
    "sorted": (lambda x: x.sort(-1).values, "compare", 24),
    "summed": (lambda x: x.sum(1), "reduce", 24),
    "added at places": (lambda x: torch.zeros(2, 3, 4).scatter_add(2, PLACES, x), "reduce", 24),
    "added at places, as an argument says": (lambda x: x.scatter(2, PLACES, x, reduce="add"), "reduce", 24),
    "a number added at places": (lambda x: x.scatter(2, PLACES, 0.5, reduce="add"), "reduce", 24),
    "multiplied at places": (lambda x: x.clone().scatter_(2, PLACES, x, reduce="multiply"), "reduce", 24),
    "added at indices": (lambda x: torch.zeros(2, 4).index_put((ROWS,), x[0], accumulate=True), "reduce", 12),
    "added at indices in place": (lambda x: torch.zeros(2, 4).index_put_((ROWS,), x[1], True), "reduce", 12),
    "one row added at indices": (
        lambda x: torch.zeros(2, 4).index_put((ROWS,), x[0, 0], accumulate=True),
        "reduce",
        12,
    ),
    "put and added": (lambda x: torch.zeros(2, 4).put(PLACES, x, accumulate=True), "reduce", 24),
    "put and added in place": (lambda x: torch.zeros(2, 4).put_(PLACES, x, accumulate=True), "reduce", 24),
    "pooled to more than there was": (lambda x: F.max_pool1d(x, 2, stride=1, padding=1), "pool", 24),
    "pooled to one": (lambda x: F.adaptive_avg_pool1d(x, 2), "pool", 24),
}


@pytest.mark.parametrize("case", CASES)
def test_elements(as_module: Callable[[Callable[..., Any]], nn.Module], case: str) -> None:
    run, line, elements = CASES[case]
    model = as_module(run)
    with torch.no_grad(), Recorder(model, input="real") as recorder:
        for _ in range(2):  # the second batch goes by what the first one taught
            model(X)
            recorder.end_batch()
            recorder.end_block(2)
    found = {each.op: each.elements for each in recorder.activity(samples=4).elementwise}
    assert found[line] == 2 * elements


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("name", ["index_put", "index_put_"])
def test_what_is_added_at_indices_is_what_pytorch_adds(
    as_module: Callable[[Callable[..., Any]], nn.Module], name: str, accumulate: bool
) -> None:
    """Computed by other operators under a recorder, with the same result; what only writes is no arithmetic."""
    start, values = torch.rand(3, 4, 5).transpose(0, 1), torch.rand(2, 3)
    indices = [torch.tensor([3, 0]), None, torch.tensor([4, 4])]
    model = as_module(lambda x: getattr(torch.ops.aten, name)(x, indices, values, accumulate))
    expected = model(start.clone())
    with torch.no_grad(), Recorder(model, input="real") as recorder:
        given = start.clone()
        returned = model(given)
    assert torch.equal(returned, expected)
    assert (returned.data_ptr() == given.data_ptr()) == (name == "index_put_")
    found = {each.op: each.elements for each in recorder.activity(samples=1).elementwise}
    assert found == ({"reduce": 6} if accumulate else {})

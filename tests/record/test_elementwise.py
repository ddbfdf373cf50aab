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

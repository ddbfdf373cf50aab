"""Nothing waits for a device while a block runs, and what PyTorch reads is what the compiled reader reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.profiler import profile

import snnprof
from snnprof.record.read import BACKENDS
from snnprof.record.recorder import Recorder

WAITING = {"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero", "aten::equal"}


class Kinds(nn.Module):
    """Every kind of operand meets every kind of contraction."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encode = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.conv = nn.Conv2d(4, 4, 3, stride=2, groups=2)
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.head = nn.Linear(8, 3)
        with torch.no_grad():
            self.conv.weight[0].zero_()  # effective events differ
            self.head.weight[:, 1].zero_()

    def forward(self, x: Tensor) -> Tensor:
        v, results = torch.zeros(()), []
        for _ in range(3):
            v = v + (self.encode(x) - v) / 2
            spikes = (v > 0.05).float()
            v = v * (1 - spikes)
            signed = torch.sign(v) * (v.abs() > 0.02)
            levels = torch.round(v * 4).clamp(0, 3) / 4
            up = self.up(self.conv(spikes + levels)) + self.up(self.conv(signed))
            pooled = torch.nn.functional.avg_pool2d(spikes, 4).flatten(1)
            rows = torch.nn.functional.pad(pooled, (0, 8 - pooled.shape[1] % 8)).unflatten(1, (-1, 8))
            results.append(self.head(rows @ rows.transpose(1, 2) @ rows).mean(1) + up.mean())
        return torch.stack(results).mean(0)


def spikformer() -> nn.Module:
    model = snnprof.load_model("spikformer")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_var is not None
            module.running_var.fill_(0.02)  # untrained networks are nearly silent
    return model


NETS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], Tensor], dict[str, Any]]] = {
    "all kinds": (Kinds, lambda size: torch.rand(size, 2, 8, 8), {"timesteps": 3}),
    "all kinds, step by step": (Kinds, lambda size: (torch.rand(size, 2, 8, 8) > 0.5).float(), {}),
    "spikformer": (spikformer, lambda size: torch.rand(size, 1, 8, 8), {"timesteps": 4}),
}


def counted(kind: str) -> tuple[dict[str, Any], set[str]]:
    """What was counted of three batches, the last a smaller one; and what waited for values once they were learned."""
    make, data, options = NETS[kind]
    net, waited = make().eval(), set[str]()
    with torch.no_grad(), Recorder(net, **options) as recorder:
        for number, size in enumerate((3, 3, 2)):
            torch.manual_seed(number)
            x = data(size)
            with profile() as events:
                net(x)
            if number:
                waited |= {event.name for event in events.function_events} & WAITING
            recorder.end_batch()
            recorder.end_block(size)
    return recorder.activity().model_dump(exclude={"run"}), waited


@pytest.mark.parametrize("kind", NETS)
def test_counts_of_the_reference_are_those_of_the_compiled_reader(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on_host, _ = counted(kind)
    monkeypatch.delitem(BACKENDS, "native")
    there, waited = counted(kind)
    assert there == on_host
    assert waited == set()
    assert sum(op["parts"][0]["events"] for op in there["ops"])

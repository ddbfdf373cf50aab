"""C04: a weight matrix that ran and was not counted; a dead parameter is none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snnprof.record.recorder import Recorder


class DeadRoot(nn.Module):
    """A position embedding that no forward reads, beside a layer that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(2, 3))
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class Late(nn.Module):
    """A layer that only some batches reach."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.second(x) if x.shape[0] > 1 else x


class Unruled(nn.Module):
    """Reads its matrix with an operator that has no rule."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.logaddexp(x.unsqueeze(-1), self.weight)


def _idle(model: nn.Module, *batches: Tensor) -> list[str]:
    recorder = Recorder(model)
    with torch.no_grad(), recorder:
        for x in batches:
            model(x)
            recorder.end_batch()
            recorder.end_block(len(x))
    return [finding.layer for finding in recorder.activity().findings if finding.code == "C04"]


def test_a_dead_parameter_is_no_uncounted_work() -> None:
    assert _idle(DeadRoot(), torch.ones(1, 3)) == []


def test_a_layer_that_runs_late_was_counted() -> None:
    assert _idle(Late(), torch.ones(1, 3), torch.ones(2, 3)) == []


def test_a_matrix_read_without_a_rule_is_said() -> None:
    assert _idle(Unruled(), torch.ones(1, 3)) == [""]

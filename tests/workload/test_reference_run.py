"""Under another number format a network spikes otherwise: the share is told, beside float32 on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from snnprof.activity import Activity
from snnprof.options import ProfileOptions
from snnprof.workload import inputs, machine, reference_run
from snnprof.workload.run import profile_run

NETWORK = """
import torch
from torch import nn

class Fires(nn.Module):
    '''A state of its own, so that a pass too many would show.'''
    def __init__(self):
        super().__init__()
        self.v = 0.0
    def reset(self):
        self.v = 0.0
    def forward(self, x):
        self.v = self.v + x
        return (self.v > 1).to(x.dtype)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.fires, self.head = nn.Linear(4, 4, bias=False), Fires(), nn.Linear(4, 2)
        self.first.weight.data = torch.eye(4)
    def forward(self, x):
        if {strict} and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            raise RuntimeError("this network runs in bfloat16 alone")
        return self.head(self.fires(self.first(x)))

def network():
    return Net()
"""

# Between 1 and 2 bfloat16 has steps of 1/128: 1.001 becomes 1, and does not fire.
ROW = [1.001, 1.5, 0.5, 1.002]


@pytest.fixture
def profiled(tmp_path: Path) -> object:
    def run(amp: str | None, strict: bool = False) -> Activity:
        (tmp_path / "net.py").write_text(NETWORK.replace("{strict}", str(strict)))
        np.savez(tmp_path / "x.npz", x=np.tile(np.float32(ROW), (5, 1)), y=np.zeros(5, np.int64))
        return profile_run(
            ProfileOptions(
                model=f"{tmp_path / 'net.py'}:network", data=str(tmp_path / "x.npz"), input="real", batch_size=2,
                timesteps=1, device="cpu", neurons=("Fires",), amp=amp,  # type: ignore[arg-type]
            )
        )  # fmt: skip

    return run


def test_the_share_of_turned_spikes_is_told(profiled: object) -> None:
    activity = profiled("bf16")  # type: ignore[operator]
    (finding,) = [finding for finding in activity.findings if finding.code == "C11"]
    assert finding.text.startswith("50.00 % of the neuron-steps of one sample differ from float32 on the CPU")
    assert "(2 of 4), most in 'fires' (50.00 %)" in finding.text
    (neuron,) = activity.neurons
    assert neuron.spikes == 5  # of each sample, in bfloat16: 1.5 alone


def test_the_same_spikes_are_no_finding(profiled: object) -> None:
    activity = profiled(None)  # type: ignore[operator]
    assert [finding for finding in activity.findings if finding.code == "C11"] == []
    assert activity.neurons[0].spikes == 5 * sum(value > 1 for value in ROW)


def test_a_network_that_does_not_run_in_float32_keeps_its_counts(profiled: object) -> None:
    activity = profiled("bf16", strict=True)  # type: ignore[operator]
    (finding,) = [finding for finding in activity.findings if finding.code == "C11"]
    assert "could not be compared with float32 on the CPU: this network runs in bfloat16 alone" in finding.text
    assert activity.samples == 5


@contextmanager
def elsewhere(model: nn.Module, device: str | None) -> Iterator[None]:
    """Stands in for another device: numbers there do not mix with those here, and each move makes new ones."""
    (model.double if device == "cpu" else model.float)()
    try:
        yield
    finally:
        model.float()


RESET_BY_ITSELF = NETWORK.replace("{strict}", "False")
RESET_BY_SNNPROF = RESET_BY_ITSELF.replace("def reset", "def other").replace("self.v = 0.0", "self.v = torch.zeros(4)")


@pytest.mark.parametrize("network", [RESET_BY_ITSELF, RESET_BY_SNNPROF])
def test_the_pass_on_the_cpu_starts_afresh_and_the_counts_are_checked_where_they_were_made(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.py").write_text(network)
    np.savez(tmp_path / "x.npz", x=np.tile(np.float32([1.5, 0.75, 0.5, 0]), (4, 1)))  # the same in bfloat16
    mapped = inputs.mapped
    monkeypatch.setattr(machine, "on_device", elsewhere)
    monkeypatch.setattr(inputs, "mapped", lambda x, f: mapped(x, torch.Tensor.double if f is torch.Tensor.cpu else f))
    activity = profile_run(
        ProfileOptions(
            model=f"{tmp_path / 'net.py'}:network", data=str(tmp_path / "x.npz"), input="real", batch_size=1,
            timesteps=1, device="where it runs", neurons=("Fires",), amp="bf16",
        )
    )  # fmt: skip
    assert [finding for finding in activity.findings if finding.code == "C11"] == []
    check = activity.self_check
    assert check is not None
    assert check.equal == check.rows == 2
    assert activity.neurons[0].spikes == 4  # 1.5 of each sample, and no more from one sample to the next


def test_weights_in_another_format_are_no_reference(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NETWORK.replace("{strict}", "False").replace("Net()", "Net().half()"))
    np.savez(tmp_path / "x.npz", x=np.float32([ROW]))
    activity = profile_run(
        ProfileOptions(
            model=f"{tmp_path / 'net.py'}:network", data=str(tmp_path / "x.npz"), input="real", timesteps=1,
            device="cpu", neurons=("Fires",), amp="bf16",
        )
    )  # fmt: skip
    (finding,) = [finding for finding in activity.findings if finding.code == "C11"]
    assert finding.text.endswith("the model's weights are float16")


def test_layers_that_ran_otherwise_are_changed_as_a_whole() -> None:
    ones = torch.ones(4, dtype=torch.bool)
    changed = reference_run.finding({"a": [ones, ones], "b": [ones]}, {"a": [ones, ones], "b": [ones[:2]]})
    assert changed is not None
    assert changed.text.startswith("33.33 %")
    assert "most in 'b' (100.00 %)" in changed.text


def test_nothing_that_spikes_is_no_finding() -> None:
    assert reference_run.finding({}, {}) is None

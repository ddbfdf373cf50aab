"""Counting inside a compiled graph: the same integers as eagerly, on weights that make the network itself exact."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snnprof.activity import Activity
from snnprof.models import neuron
from snnprof.record import compiled
from snnprof.record.compiled import CompiledModel, OtherOperations
from snnprof.record.recorder import Recorder
from snnprof.workload.compiling import Compiling

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")


class LIF(nn.Module):
    """Multi-step, exact in binary floating point; known by its behaviour alone."""

    def forward(self, x: Tensor) -> Tensor:
        v = torch.zeros_like(x[0])
        steps = []
        for current in x:
            v = v + (current - v) / 2
            spikes = (v >= 1).to(x.dtype)
            v = v * (1 - spikes)
            steps.append(spikes)
        return torch.stack(steps)


class Attention(nn.Module):
    """Convolution, residual sum, q kᵀ and its product with v, a mean: what the rules tell apart."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.lif, self.again = LIF(), LIF()
        self.fc = nn.Linear(4, 4, bias=True)
        self.head = nn.Linear(4, 3)
        for parameter in self.parameters():
            parameter.data = torch.randint(-1, 3, parameter.shape, generator=generator) / 2

    def forward(self, x: Tensor) -> Tensor:
        steps = x.unsqueeze(0).repeat(2, 1, 1, 1, 1)
        spikes = self.lif(self.conv(steps.flatten(0, 1)).unflatten(0, (2, -1)))
        tokens = spikes.flatten(3).transpose(-1, -2)
        q = self.again(self.fc(tokens))
        mixed = (q @ tokens.transpose(-1, -2)) * 0.25 @ tokens
        return self.head((mixed + q).mean((0, 2)))


class Masked(Attention):
    """Spikes that several layers read, a copy of them too, and that are written to in between."""

    def __init__(self) -> None:
        super().__init__()
        self.next = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        generator = torch.Generator().manual_seed(2)
        self.next.weight.data = torch.randint(-1, 3, self.next.weight.shape, generator=generator) / 2
        self.register_buffer("mask", (torch.arange(16).view(4, 4) % 3 > 0).float())

    def forward(self, x: Tensor) -> Tensor:
        steps = x.unsqueeze(0).repeat(2, 1, 1, 1, 1)
        spikes = self.lif(self.conv(steps.flatten(0, 1)).unflatten(0, (2, -1)))
        before = self.next(spikes.flatten(0, 1))
        tokens = spikes.flatten(3).transpose(-1, -2).contiguous()
        spikes *= self.mask
        after = self.again(self.next(spikes.flatten(0, 1)).unflatten(0, (2, -1)))
        pooled = torch.nn.functional.max_pool2d(after.flatten(0, 1), 2)
        return self.fc(tokens).sum((0, 2)) + before.mean() + self.head(pooled.mean((2, 3)).sum(0)).sum()


class Overwriting(LIF):
    """What drives it is no longer what it was when it leaves."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.add_(0.25))


class Overwritten(Attention):
    def __init__(self) -> None:
        super().__init__()
        self.lif, self.again = Overwriting(), Overwriting()


class Bundled(Attention):
    """Neurons that lay images out in another way when compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.lif, self.again = neuron.LIF(), neuron.LIF()


class PlainLoop(Attention):
    """No neuron layer: a state that starts as zeros, and sums that start as numbers."""

    def forward(self, x: Tensor) -> Tensor:
        v, total = torch.zeros(len(x), 4, 4, 4), torch.as_tensor(0.0)
        for _ in range(2):
            v = v * 0.5 + self.conv(x)
            spikes = (v >= 1).float()
            v = v * (1 - spikes)
            total = sum([total, spikes.mean((2, 3)), spikes.amax((2, 3))], torch.as_tensor(0.0))
        return self.head(total)


class FiresFirst(Attention):
    """The first step compares zeros, and a layer reads the constant spikes that come of it."""

    def forward(self, x: Tensor) -> Tensor:
        v, out = torch.zeros(len(x), 4, 4, 4), []
        for _ in range(2):
            spikes = (v >= 0.1).float()
            v = v * 0.5 * (1 - spikes) + self.conv(x)
            out.append(self.head(spikes.mean((2, 3))))
        return torch.stack(out).mean(0)


def _counted(model: nn.Module, batches: list[Tensor], run: Any = None) -> Activity:
    recorder = Recorder(model, timesteps=2)
    call = Compiling(model, recorder) if run is None else run
    with torch.no_grad(), recorder:
        for x in batches:
            call(x)
            recorder.end_batch()
            recorder.end_block(len(x))
    return recorder.activity()


def _batches() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 9, (n, 1, 4, 4), generator=generator) / 4 for n in (3, 3, 3, 2)]


@needs_compiler
@pytest.mark.parametrize("network", [Attention, Masked, Overwritten, Bundled, PlainLoop, FiresFirst])
def test_the_graph_counts_what_the_recorder_counts(network: type[nn.Module]) -> None:
    model = network().eval()
    inside, eager = _counted(model, _batches()), _counted(model, _batches(), run=model)
    assert not [finding for finding in inside.findings if finding.code == "C10"]
    assert inside.ops == eager.ops
    assert inside.neurons == eager.neurons
    assert inside.elementwise == eager.elementwise
    assert inside.blocks == eager.blocks
    assert sum(op.events for op in inside.ops) > 0


@needs_compiler
def test_a_process_that_never_compiled_does() -> None:
    """To attach a recorder there turns the compiler off, as long as it stays attached."""
    script = textwrap.dedent("""
        import sys, torch
        from torch import nn
        from snnprof.record.recorder import Recorder
        from snnprof.workload.compiling import Compiling

        model = nn.Linear(4, 3)
        recorder = Recorder(model, timesteps=1)
        call = Compiling(model, recorder)
        with torch.no_grad(), recorder:
            assert "torch._dynamo" not in sys.modules
            for _ in range(2):
                call(torch.ones(2, 4))
                recorder.end_batch()
                recorder.end_block(2)
        activity = recorder.activity()
        assert [finding.code for finding in activity.findings if finding.code == "C10"] == []
        assert [op.dense_macs for op in activity.ops] == [48]
    """)
    subprocess.run([sys.executable, "-c", script], check=True)


class Branching(Attention):
    """Looks at a value, which no single graph can."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if float(x.sum()) >= 0 else x


def test_a_model_that_does_not_compile_runs_eagerly_and_says_so() -> None:
    model = Branching().eval()
    fallen_back, eager = _counted(model, _batches()), _counted(model, _batches(), run=model)
    assert "C10" in [finding.code for finding in fallen_back.findings]
    assert fallen_back.blocks == eager.blocks


def test_the_finding_tells_what_the_compiler_failed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("nothing to compile with")

    monkeypatch.setattr(compiled, "_inductor", fail)
    findings = _counted(Attention().eval(), _batches()).findings
    assert ["ran eagerly: nothing to compile with" in f.text for f in findings if f.code == "C10"] == [True]


@needs_compiler
def test_a_graph_of_other_operations_is_not_run() -> None:
    model = Attention().eval()
    recorder = Recorder(model, timesteps=2)
    call = Compiling(model, recorder)
    x = _batches()[0]
    with torch.no_grad(), recorder:
        call(x)
        recorder.end_batch()
        assert recorder.sites.script
        recorder.sites.script = [c for c in recorder.sites.script if c.layer != "head"]
        call(x)
    assert ["head" in finding.text for finding in recorder.activity().findings if finding.code == "C10"] == [True]


@needs_compiler
def test_a_compiled_model_refuses_a_graph_of_other_operations() -> None:
    model = Attention().eval()
    recorder = Recorder(model, timesteps=2)
    x = _batches()[0]
    with torch.no_grad(), recorder:
        recorder.sites.script = []
        model(x)
        recorder.end_batch()
        recorder.sites.script = [c for c in recorder.sites.script if c.layer != "head"]
        recorder.detach()
        with pytest.raises(OtherOperations, match="head"):
            CompiledModel(model, recorder)(x)


# -- a model that changes between batches ------------------------------------------------------------------------


class Alternating(Attention):
    """Every other batch takes the other way, which an attribute of the model's own says."""

    def __init__(self) -> None:
        super().__init__()
        self.other = False

    def forward(self, x: Tensor) -> Tensor:
        self.other = not self.other
        return super().forward(x) if self.other else self.another_way(x)

    def another_way(self, x: Tensor) -> Tensor:
        return self.fc(self.lif(self.conv(x).unsqueeze(0)).mean((3, 4))).mean((0, 2))


class Scaling(Alternating):
    """The other way differs in arithmetic alone, and in what the head reads."""

    def another_way(self, x: Tensor) -> Tensor:
        return super(Alternating, self).forward(x * 2.0 - 1.0)


SWITCHES = [{"way": 0}]


class Listening(Attention):
    """What decides is no attribute of the model: the graph is compiled anew, and runs by turns."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + SWITCHES[0]["way"]


class Counting(Attention):
    """Nothing depends on the attribute, and it is another one in each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


class Remembering(Attention):
    """Sets an attribute once."""

    def __init__(self) -> None:
        super().__init__()
        self.size: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.size is None:
            self.size = x.shape[1]
        return super().forward(x)


def _alike(number: int) -> list[Tensor]:
    """So many batches of one shape and of different values."""
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(0, 9, (3, 1, 4, 4), generator=generator) / 4 for _ in range(number)]


def _same(inside: Activity, eager: Activity) -> None:
    assert inside.ops == eager.ops
    assert inside.neurons == eager.neurons
    assert inside.elementwise == eager.elementwise
    assert inside.blocks == eager.blocks


@needs_compiler
@pytest.mark.parametrize("network", [Alternating, Scaling, Counting])
def test_a_model_that_an_attribute_changes_is_counted_as_it_ran(network: type[nn.Module]) -> None:
    inside, eager = _counted(network().eval(), _alike(6)), _counted(model := network().eval(), _alike(6), run=model)
    said = [finding.text for finding in inside.findings if finding.code == "C10"]
    assert len(said) == 1
    assert "ran eagerly" in said[0]
    _same(inside, eager)


@needs_compiler
def test_an_attribute_that_is_set_once_leaves_it_compiled() -> None:
    inside, eager = _counted(Remembering().eval(), _alike(4)), _counted(model := Remembering().eval(), _alike(4), model)
    assert not [finding for finding in inside.findings if finding.code == "C10"]
    _same(inside, eager)


@needs_compiler
def test_each_graph_adds_the_counts_of_its_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches take turns between two graphs of the same operations, the second compiled before the first runs again."""
    graphs = []
    compile_one = compiled._inductor
    monkeypatch.setattr(compiled, "_inductor", lambda *args: graphs.append(args) or compile_one(*args))
    monkeypatch.setattr(sys.modules[__name__], "SWITCHES", [{"way": 0}])

    def counted(model: nn.Module, call: Any, recorder: Recorder) -> Activity:
        with torch.no_grad(), recorder:
            for number, x in enumerate(_alike(7)):
                SWITCHES[0]["way"] = 2 + number % 2
                call(x)
                recorder.end_batch()
                recorder.end_block(len(x))
        return recorder.activity()

    model = Listening().eval()
    inside = counted(model, Compiling(model, recorder := Recorder(model, timesteps=2)), recorder)
    assert len(graphs) == 2
    assert not [finding for finding in inside.findings if finding.code == "C10"]
    _same(inside, counted(model, model, Recorder(model, timesteps=2)))

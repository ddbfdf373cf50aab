"""The loop over the data: seeds, orders, blocks, Ctrl-C, and memory that does not grow."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

import snnprof
from snnprof.activity import Activity
from snnprof.errors import SnnprofError
from snnprof.options import ProfileOptions
from snnprof.workload.run import profile_run


@pytest.fixture
def run(net, images):
    def profiled(count, **options):
        return profile_run(ProfileOptions(model=net, data=images(count), timesteps=2, device="cpu", **options))

    return profiled


class Dice(nn.Module):
    """Fires by chance; its class remembers what it drew, for what a model remembers is put back."""

    drawn: ClassVar[list[float]] = []

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        noise = torch.rand(())
        self.drawn.append(float(noise))
        return self.fc((x > noise).float())


class Failing(nn.Module):
    """Fails as a user's own code does."""

    def __init__(self, how, error):
        super().__init__()
        self.fc, self.how, self.error = nn.Linear(3, 2), how, error

    def reset(self):
        if self.how == "reset":
            raise self.error

    def forward(self, x):
        if self.how == "forward":
            raise self.error
        return self.fc(x)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file or directory", "table.bin"), "FileNotFoundError: .*'table.bin'"),
        (KeyError("scale"), "KeyError: 'scale'"),
        (AttributeError("no v"), "AttributeError: no v"),
        (RuntimeError("sizes differ\nmore"), r"\[4, 3\]: sizes differ$"),
        (ZeroDivisionError(), "ZeroDivisionError$"),
    ],
)
def test_a_failing_model_is_told_from_a_bug(error, said):
    with pytest.raises(SnnprofError, match=f"the model does not run on a batch of shape .*{said}"):
        snnprof.profile(Failing("forward", error), torch.rand(4, 3))


@pytest.mark.parametrize(("device", "said"), [("meta", "tensors on it have no values"), ("nowhere", "nowhere")])
def test_a_device_that_cannot_be_used(device, said):
    """Weights that went to `meta` would be lost."""
    model = nn.Linear(3, 2)
    before = model.weight.clone()
    with pytest.raises(SnnprofError, match=f"cannot use device '{device}': .*{said}"):
        snnprof.profile(model, torch.rand(4, 3), device=device)
    assert model.weight.equal(before)


def test_what_the_recorder_fails_at_is_listed_and_found_by_the_self_check(monkeypatch):
    """The network runs on; nothing that was not counted is silent."""

    def broken(*arguments):
        raise KeyError("of our own")

    monkeypatch.setattr("snnprof.record.contraction_sites.ContractionSites.count", broken)
    activity = snnprof.profile(nn.Linear(3, 2), torch.rand(4, 3))
    assert [(entry.op, entry.calls) for entry in activity.uncounted] == [("addmm", 1)]
    assert {"C05", "C16", "C31"} <= {finding.code for finding in activity.findings}


class Counter(nn.Module):
    """A neuron by hand, whose reset wants to know the batch."""

    def reset(self, batch):
        self.v = torch.zeros(batch)

    def forward(self, x):
        return (x > 0.5).float()


def test_a_reset_that_wants_arguments_is_said_to():
    with pytest.raises(SnnprofError, match=r"cannot be reset: TypeError: .* missing 1 required .*'batch'") as caught:
        snnprof.profile(nn.Sequential(nn.Linear(3, 3), Counter()), torch.rand(4, 3))
    assert "without arguments" in caught.value.hint


def test_each_batch_has_a_seed_of_its_own(monkeypatch):
    monkeypatch.setattr(Dice, "drawn", [])
    model = Dice()
    x = [torch.rand(4, 3) for _ in range(3)]
    snnprof.profile(model, x, seed=7)
    expected = []
    for number in range(3):
        torch.manual_seed(7 * 1_000_003 + number)
        expected.append(float(torch.rand(())))
    assert model.drawn[:3] == expected  # fvcore's look comes last


def test_what_the_data_draws_is_seeded_too():
    def noisy():
        for _ in range(3):
            yield torch.rand(4, 3)

    a, b, other = (snnprof.profile(Dice(), noisy(), seed=seed).run.data.fingerprint for seed in (1, 1, 2))
    assert a == b != other


def test_an_uneven_last_batch_is_a_block_of_its_own_size(run):
    activity = run(38, batch_size=4)
    assert [block.samples for block in activity.blocks] == [4] * 9 + [2]
    assert activity.samples == activity.accuracy.total == 38
    assert sum(block.correct for block in activity.blocks) == activity.accuracy.correct


@pytest.mark.parametrize(("count", "widths"), [(64, [1] * 64), (65, [2] * 32 + [1]), (130, [4] * 32 + [2])])
def test_at_most_64_blocks_of_equally_many_batches(run, count, widths):
    assert [block.samples for block in run(count, batch_size=1).blocks] == widths


def test_n_of_m(run):
    part, whole = run(40, samples=10, seed=3), run(40)
    assert (part.samples, part.run.data.total, part.run.data.order_seed) == (10, 40, 3)
    assert (whole.samples, whole.run.data.total, whole.run.data.order_seed) == (40, 40, None)


@pytest.mark.parametrize(
    ("options", "size"),
    [({}, 32), ({"samples": 100}, 6), ({"samples": 3}, 1), ({"until_ci": 9.0}, 3), ({"batch_size": 50}, 50)],
)
def test_a_part_of_the_data_runs_in_enough_batches_for_an_interval(run, options, size):
    assert run(200, **options).run.batch_size == size


def test_a_permutation_of_all_samples_changes_no_count(tmp_path):
    """Of a network that draws nothing."""
    x, y = torch.rand(24, 1, 6, 6), torch.arange(24) % 3
    orders = [torch.arange(24), torch.randperm(24, generator=torch.Generator().manual_seed(1))]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), Step(), nn.Linear(8, 3))
    a, b = (snnprof.profile(model, zip(x[o].split(4), y[o].split(4), strict=True), neuron=("Step",)) for o in orders)
    assert a.ops == b.ops
    assert a.accuracy == b.accuracy


class Step(nn.Module):
    def forward(self, x):
        return (x > 0).float()


def test_no_batch_is_an_error(net):
    with pytest.raises(SnnprofError, match="gave no batch"):
        snnprof.profile(nn.Linear(2, 2), [])


def test_the_device_is_read_once_a_block(run, monkeypatch):
    from snnprof.record.accumulate import CountLog

    flushes = []
    flush = CountLog.flush
    monkeypatch.setattr(CountLog, "flush", lambda self: (flushes.append(1), flush(self)))
    run(256, batch_size=1)
    assert len(flushes) == 64 + 1  # the last one for the sample that is counted twice


# -- Ctrl-C ----------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def ctrl_c_is_heard():
    """A shell starts what runs in its background with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_interrupt_waits_for_the_batch_to_end(run, monkeypatch, tmp_path):
    from snnprof.workload.session import Session

    take = Session._take

    def interrupted(self, batch):
        if self.batches == 5:
            signal.raise_signal(signal.SIGINT)
        take(self, batch)

    monkeypatch.setattr(Session, "_take", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    path = tmp_path / "run.json"
    activity = run(40, batch_size=4, output=path)
    assert (activity.samples, activity.run.complete) == (24, False)
    assert activity.coverage is not None
    assert Activity.load(path).blocks == activity.blocks
    assert all(neuron.fired_bitmap for neuron in activity.neurons)
    assert signal.getsignal(signal.SIGINT) is handler


def test_the_second_interrupt_keeps_what_had_ended(run, monkeypatch):
    from snnprof.workload.session import Session

    take = Session._take

    def interrupted(self, batch):
        if self.batches == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        take(self, batch)

    monkeypatch.setattr(Session, "_take", interrupted)
    activity = run(40, batch_size=4)
    assert (activity.samples, activity.run.complete) == (16, False)  # the fifth block had not been closed
    assert {neuron.fired_bitmap for neuron in activity.neurons} == {None}
    assert [op.steps for op in activity.ops] == [2, 2, 1]


def test_an_interrupt_before_the_first_batch_is_passed_on(run, monkeypatch):
    from snnprof.workload.session import Session

    take = Session.run

    def interrupted(self, *batches):
        signal.raise_signal(signal.SIGINT)
        take(self, *batches)

    monkeypatch.setattr(Session, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(40)


SLOWLY = """
import time
from snnprof.workload.session import Session
take = Session._take
Session._take = lambda *batch: (time.sleep(0.05), take(*batch))[1]
"""


def test_ctrl_c_on_the_command_line(apart, net, images, tmp_path):
    """Exit status 130, the run file valid and marked incomplete, and what there is printed."""
    run, printed = tmp_path / "run.json", tmp_path / "printed"
    asked = ["profile", "--model", net, "--data", images(400), "--batch-size", "2", "--timesteps", "2"]
    asked += ["--device", "cpu", "--output", str(run), "--format", "csv"]
    started = tmp_path / "started"
    process = apart.start(
        SLOWLY.replace("time.sleep(0.05)", f"time.sleep(0.05), open({str(started)!r}, 'w').close()")
        + f"import sys, signal; from snnprof.__main__ import main; sys.stdout = open({str(printed)!r}, 'w')\n"
        + "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        + f"status = main({asked!r}); sys.stdout.close(); import os; os._exit(status)"
    )
    while not started.exists():
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 130
    activity = Activity.load(run)
    assert not activity.run.complete
    assert 0 < activity.samples < 400
    assert printed.read_text().startswith("block,role,layer")


# -- memory ----------------------------------------------------------------------------------------------------

MEMORY = """
import resource, torch
from torch import nn
import snnprof

class Step(nn.Module):
    def forward(self, x):
        return (x > 0).float()

model = nn.Sequential(*(m for _ in range(6) for m in (nn.Linear(256, 256), Step())))
snnprof.profile(model, [torch.rand(8, 256)] * 3, neuron=("Step",))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
snnprof.profile(model, (torch.rand(8, 256) for _ in range({batches})), neuron=("Step",))
open({path!r}, "w").write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def test_memory_is_flat_over_batches(apart, tmp_path):
    """A thousand batches take no more than ten, up to their 64 blocks of integers (kibibytes)."""
    grown = {}
    for batches in (10, 1000):
        path = tmp_path / str(batches)
        apart.run(MEMORY.format(batches=batches, path=str(path)))
        grown[batches] = int(Path(path).read_text())
    assert grown[1000] - grown[10] < 8 * 1024, grown

"""A run that was killed goes on where it was saved, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from snnprof.__main__ import main
from snnprof.activity import Activity
from snnprof.errors import SnnprofError
from snnprof.options import ProfileOptions
from snnprof.record.recorder import Recorder
from snnprof.run_file import Target
from snnprof.workload import checkpointer, models, seeds, source_code
from snnprof.workload.run import profile_run
from snnprof.workload.session import Session

SLOWLY = """
import time
from snnprof.workload.session import Session
take = Session._take
Session._take = lambda *batch: (time.sleep(0.004), take(*batch))[1]
"""
OTHER_WEIGHTS = "net = Net()\n    net.head.bias.data.zero_()\n    return net"


def _killed(process, seconds: float, saved: Path | None) -> None:
    """Some time after its start; where `saved` is given, not before there is that file, however slow the machine."""
    while saved and process.is_alive() and not saved.exists():
        time.sleep(0.01)
    time.sleep(seconds)
    if process.pid and process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()


@pytest.mark.parametrize("goal", [{}, {"until_ci": 3.0}], ids=["all", "until-ci"])
def test_killed_ten_times(goal, apart, net, images, facts, tmp_path):
    asked = {"model": net, "data": images(330, bright=(150, 151, 290)), "batch_size": 3, **goal}
    whole, killed = tmp_path / "whole.json", tmp_path / "killed.json"
    apart.run(apart.profile(whole, **asked))
    assert Activity.load(whole).samples == (264 if goal else 330)  # in blocks of two batches
    moment, kills, resumed = random.Random(7), 0, 0
    while kills < 10:
        resume = str(killed) if killed.exists() else None
        process = apart.start(SLOWLY + apart.profile(killed, save_seconds=0.02, **asked, resume=resume))
        _killed(process, moment.uniform(0.05, 0.4), killed if kills >= 2 else None)
        kills += process.exitcode == -signal.SIGKILL
        resumed += resume is not None
        if process.exitcode == 0:  # it came to its end before the kill did
            assert facts(killed) == facts(whole)
            killed.unlink()
    if killed.exists():
        apart.run(apart.profile(killed, **asked, resume=str(killed)))
        assert facts(killed) == facts(whole)
    assert resumed >= 5


@pytest.fixture
def half(net, images, tmp_path):
    """The options of a run, and the same run as far as half of its batches."""
    asked = ProfileOptions(
        model=net, data=images(40), batch_size=4, timesteps=2, device="cpu", output=tmp_path / "whole.json"
    )
    whole = profile_run(asked)
    path = tmp_path / "half.json"
    blocks = whole.blocks[:5]
    part = whole.restricted(blocks[0])
    for block in blocks[1:]:
        part = part.merge(whole.restricted(block))
    _as_unfinished(part).save(path)
    return replace(asked, output=None, resume=path), whole


def _as_unfinished(part: Activity) -> Activity:
    """A part of a run as an earlier snnprof left it, which kept no reading of the data."""
    data = part.run.data.model_copy(update={"read": None})
    return part.model_copy(update={"run": part.run.model_copy(update={"complete": False, "data": data})})


def test_resume_without_output_goes_on_in_the_same_file(half):
    asked, whole = half
    activity = profile_run(asked)
    assert activity.blocks == whole.blocks
    assert activity.run.argv == whole.run.argv
    assert activity.run.complete
    assert Activity.load(asked.resume) == activity


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
def test_names_that_are_not_utf8_are_kept(tmp_path):
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/\xff"))
    folder.mkdir()
    (folder / "net.py").write_text("from torch import nn\ndef build():\n    return nn.Linear(3, 2)\n")
    np.savez(folder / "x.npz", x=np.ones((4, 3), dtype=np.float32))
    asked = ProfileOptions(
        model=f"{folder / 'net.py'}:build", data=str(folder / "x.npz"), output=folder / "run.json", argv=(str(folder),)
    )
    activity = profile_run(asked)
    activity.save(folder / "run.json")
    loaded = Activity.load(folder / "run.json")
    assert loaded == activity
    assert loaded.run.data.source == str(folder / "x.npz")
    assert profile_run(replace(asked, output=None, resume=folder / "run.json")) == activity


def test_a_complete_run_is_not_run_again(half, monkeypatch):
    asked, whole = half
    whole.save(asked.resume)
    monkeypatch.setattr("snnprof.workload.session.Session.run", lambda *a: pytest.fail("it ran"))
    assert profile_run(asked) == Activity.load(asked.resume)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"batch_size": 5}, "--batch-size differs (4 then, 5 now)"),
        ({"seed": 1}, "--seed differs (0 then, 1 now)"),
        ({"samples": 20}, "the order of the samples differs (none then, 0 now)"),
        ({"timesteps": 3}, "--timesteps differs (2 then, 3 now)"),
        ({"layout": "batch-time"}, "--layout differs"),
        ({"input": "real"}, "--input differs (auto then, real now)"),
        ({"amp": "bf16"}, "--amp differs (none then, bf16 now)"),
        ({"neurons": ("Conv2d",)}, "--neuron differs"),
    ],
)
def test_another_run_is_refused(half, change, what):
    asked, _ = half
    with pytest.raises(SnnprofError, match="cannot resume this run") as caught:
        profile_run(replace(asked, **change))
    assert what in str(caught.value)


def test_other_data_code_and_weights_are_refused(half, images, tmp_path, monkeypatch):
    asked, _ = half
    code = (tmp_path / "net.py").read_text()
    other = images(40, bright=(1,))
    with pytest.raises(SnnprofError, match="the content of the data differs"):
        profile_run(replace(asked, data=other))
    images(40)
    (tmp_path / "net.py").write_text((tmp_path / "net.py").read_text().replace("return Net()", OTHER_WEIGHTS))
    with pytest.raises(SnnprofError, match="the code of the model differs"):
        profile_run(asked)
    (tmp_path / "net.py").write_text(code)
    monkeypatch.setattr("snnprof.workload.models._built", _rebuilt(models._built))
    with pytest.raises(SnnprofError, match="the weights differs"):
        profile_run(asked)


def _rebuilt(build):
    """Other weights out of the same code."""

    def built(builder, settings, spec, seed):
        return build(builder, settings, spec, seed + 1)

    return built


def test_a_run_that_ends_within_a_batch_is_refused(half):
    asked, whole = half
    torn = whole.restricted(whole.blocks[0]).model_copy(update={"samples": 3})
    _as_unfinished(torn).save(asked.resume)
    with pytest.raises(SnnprofError, match="in the middle of batch 0"):
        profile_run(asked)


def test_blocks_of_another_make_are_refused(half):
    asked, whole = half
    _as_unfinished(whole.merge(whole)).model_copy(update={"samples": 20}).save(asked.resume)
    with pytest.raises(SnnprofError, match="does not hold the samples"):
        profile_run(asked)


def test_an_iterable_is_read_again_and_its_order_is_checked(net, tmp_path):
    script = """
import torch
from torch.utils.data import DataLoader, TensorDataset
def batches(shuffle={}):
    torch.manual_seed(1)
    x = torch.rand(33, 1, 6, 6)
    return DataLoader(TensorDataset(x, torch.arange(33) % 3), batch_size=4, shuffle=shuffle)
"""
    (tmp_path / "data.py").write_text(script.format("True"))
    asked = ProfileOptions(
        model=net, data=f"{tmp_path / 'data.py'}:batches", timesteps=2, device="cpu", output=tmp_path / "run.json"
    )
    whole = profile_run(asked)
    assert (whole.samples, whole.run.data.total) == (33, 33)
    part = whole.restricted(whole.blocks[0]).merge(whole.restricted(whole.blocks[1]))
    _as_unfinished(part).save(tmp_path / "part.json")
    resumed = replace(asked, output=None, resume=tmp_path / "part.json")
    assert profile_run(resumed).blocks == whole.blocks
    _as_unfinished(part).save(tmp_path / "part.json")
    (tmp_path / "data.py").write_text(script.format("False"))
    with pytest.raises(SnnprofError, match="the content of the data differs"):
        profile_run(resumed)


# -- interrupted runs: what is in the file, what goes on from it, and what does not ------------------------------------


@pytest.fixture
def interrupted(net, images, tmp_path, monkeypatch, capsys):
    """A run of ten batches that Ctrl-C ended after the sixth, as `snnprof profile` leaves it; and its arguments."""
    monkeypatch.chdir(tmp_path)
    images(40)
    asked = ["profile", "--model", "net.py:build", "--data", "images.npz", "--batch-size", "4", "--timesteps", "2",
             "--device", "cpu", "--format", "csv"]  # fmt: skip
    take = Session._take

    def stopping(self, batch):
        if self.batches == 5:
            signal.raise_signal(signal.SIGINT)
        take(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "_take", stopping)
        assert main([*asked, "--output", "run.json"]) == 130
    (tmp_path / "said").write_text(capsys.readouterr().err)
    assert Activity.load("run.json").samples == 24
    return asked


def test_the_command_that_is_said_finishes_the_run(interrupted, facts, capsys):
    said = [line for line in Path("said").read_text().splitlines() if line.startswith("continue with: ")]
    assert said == ["continue with: snnprof profile --resume run.json"]
    assert main(said[0].removeprefix("continue with: snnprof ").split()) == 0
    out, err = capsys.readouterr()
    assert out.startswith("block,role,layer")  # --format csv, as the command in the file says
    assert "continuing with: snnprof profile --model net.py:build" in err
    assert main([*interrupted, "--output", "whole.json"]) == 0
    assert facts(Path("run.json")) == facts(Path("whole.json"))


def _other_input(x, y, sample):
    x[sample, 0, 2, 2] += 1e-6


def _other_label(x, y, sample):
    y[sample] = (y[sample] + 1) % 3


@pytest.mark.parametrize("sample", [4, 13, 23])
@pytest.mark.parametrize("change", [_other_input, _other_label])
def test_another_input_or_label_anywhere_is_refused(change, sample, interrupted, tmp_path, capsys):
    with np.load("images.npz") as stored:
        x, y = stored["x"], stored["y"]
    change(x, y, sample)
    np.savez("images.npz", x=x, y=y)
    _is_refused([*interrupted, "--resume", "run.json"], ("data that it counted", "content of the data"), capsys)


def _is_refused(arguments, said, capsys):
    before = Path("run.json").read_bytes()
    assert main(arguments) == 2
    message = capsys.readouterr().err.splitlines()[-2]
    assert message.startswith("error: ")
    assert any(part in message for part in said)
    assert Path("run.json").read_bytes() == before


def test_code_that_the_model_imports_is_its_code(net, images, tmp_path, monkeypatch, capsys):
    (tmp_path / "helper_of_net.py").write_text("SCALE = 1\ndef scaled(x):\n    return x * SCALE\n")
    (tmp_path / "net.py").write_text("from helper_of_net import scaled\n" + (tmp_path / "net.py").read_text())
    monkeypatch.chdir(tmp_path)
    model = models.resolve("net.py:build").module
    first = source_code.digest(model, "net.py:build")
    assert first == source_code.digest(model, "net.py:build")
    (tmp_path / "helper_of_net.py").write_text("SCALE = 2\ndef scaled(x):\n    return x * SCALE\n")
    assert source_code.digest(model, "net.py:build") != first


def test_a_run_file_that_was_edited_is_refused(interrupted, capsys):
    tree = json.loads(Path("run.json").read_text())
    tree["ops"][0]["shape"]["input"][0] += 1
    Path("run.json").write_text(json.dumps(tree))
    _is_refused(["profile", "--resume", "run.json"], ["was changed after snnprof wrote it"], capsys)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "does not hold the command that made it"),
        (["report", "x"], "does not hold the command that made it"),
        (
            ["profile", "--model", "os:system", "--set", "command=true"],
            "names os:system, which is neither a bundled model",
        ),
        (["profile", "--format", "csv"], "does not hold the model that it ran"),
    ],
)
def test_a_file_does_not_choose_what_runs(argv, said, interrupted, capsys):
    activity = Activity.load("run.json")
    activity.run.argv = argv
    activity.save("run.json")
    assert main(["profile", "--resume", "run.json"]) == 2
    assert said in capsys.readouterr().err


def test_an_interrupt_within_the_end_of_a_block_keeps_what_was_saved(net, images, tmp_path, monkeypatch):
    """Where the interrupt is raised whatever snnprof does, as in a thread of a notebook."""
    path = tmp_path / "run.json"
    asked = ProfileOptions(model=net, data=images(40), batch_size=4, timesteps=2, device="cpu", output=path)
    monkeypatch.setattr(checkpointer, "SAVE_SECONDS", 0.0)
    end = Recorder.end_block

    def interrupting(self, *arguments):
        end(self, *arguments)
        if path.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "end_block", interrupting)
    with pytest.raises(KeyboardInterrupt):
        profile_run(asked)
    assert Activity.load(path).samples == 4


def test_a_save_that_fails_is_told_and_tried_again(net, images, tmp_path, monkeypatch):
    path, told, calls = tmp_path / "run.json", [], []
    asked = ProfileOptions(model=net, data=images(40), batch_size=4, timesteps=2, device="cpu", output=path)
    monkeypatch.setattr(checkpointer, "SAVE_SECONDS", 0.0)
    write = Target.write

    def failing(self, content):
        calls.append(None)
        if len(calls) in (2, 3):
            raise SnnprofError("cannot write run.json: No space left on device")
        write(self, content)

    monkeypatch.setattr(Target, "write", failing)
    assert profile_run(asked, warn=told.append).run.complete
    assert len(told) == 1
    assert told[0].startswith("warning: cannot write run.json: No space left on device; ")
    assert len(calls) == 10
    assert Activity.load(path).samples == 40


def test_a_run_that_cannot_be_saved_is_printed_and_copied(net, images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images(40)
    (tmp_path / "there").mkdir()
    take = Session._take

    def removing(self, batch):
        shutil.rmtree("there", ignore_errors=True)
        take(self, batch)

    monkeypatch.setattr(Session, "_take", removing)
    asked = ["profile", "--model", "net.py:build", "--data", "images.npz", "--timesteps", "2", "--format", "csv"]
    assert main([*asked, "--output", "there/run.json"]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("block,role,layer")
    assert "error: cannot write there/run.json: No such file or directory\n" in err
    copy = Path(err.partition("hint: the complete run was saved as ")[2].partition(":")[0])
    assert Activity.load(copy).samples == 40
    shutil.rmtree(copy.parent)


@pytest.mark.parametrize("seed", [2**63 - 1, -(2**63), 10**13])
def test_every_seed_runs(seed, net, images):
    asked = ProfileOptions(model=net, data=images(8), batch_size=4, timesteps=2, device="cpu", seed=seed)
    assert profile_run(asked).blocks == profile_run(asked).blocks


def test_ordinary_seeds_are_what_they_were():
    assert [seeds.of_model(7, 3), seeds.of_model(-1), seeds.of_model(2**63 - 1)] == [
        7 * 1_000_003 + 3, -1_000_003, (2**63 - 1) * 1_000_003 % 2**64,
    ]  # fmt: skip


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_installed_code_of_another_environment_is_not_the_models_code(folder, tmp_path, monkeypatch):
    """Packages of the user's own folder or of a linked environment, PyTorch among them, are told by their versions."""
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "installed_elsewhere.py").write_text("SCALE = 1\n")
    (tmp_path / "net_of_others.py").write_text(
        "import installed_elsewhere\nfrom torch import nn\ndef build():\n    return nn.Linear(2, 2)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / folder))
    monkeypatch.chdir(tmp_path)
    model = models.resolve("net_of_others.py:build").module
    first = source_code.digest(model, "net_of_others.py:build")
    (tmp_path / folder / "installed_elsewhere.py").write_text("SCALE = 2\n")
    assert first
    assert source_code.digest(model, "net_of_others.py:build") == first

"""`snnprof verify`: recorded blocks give the same integers again, and whatever was made up does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from snnprof import merging
from snnprof.__main__ import main
from snnprof.activity import Activity
from snnprof.verification import verification

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def recorded(
    net: str, images: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """`recorded(count, *flags)`: the file of a run over so many images, one of which wakes a layer."""
    monkeypatch.chdir(tmp_path)

    def run(count: int, *flags: str) -> Path:
        data = images(count, bright=(count - 2,))
        assert main(["profile", net, "--data", data, "-o", "recorded.json", "-q", *flags]) == 0
        return tmp_path / "recorded.json"

    return run


def with_other_integers(path: Path, number: int) -> None:
    """The run file with one event more in a block, in its totals too, and the seal of a file that snnprof wrote."""
    run = Activity.load(path)
    rows = [list(row) for row in run.blocks[number].ops]
    rows[1][merging.SPIKE_EVENTS] += 1
    blocks = list(run.blocks)
    blocks[number] = blocks[number].model_copy(update={"ops": rows})
    one_more = {part.kind: part.model_copy(update={"events": part.events + 1}) for part in run.ops[1].parts}
    parts = [one_more["spikes"] if part.kind == "spikes" else part for part in run.ops[1].parts]
    ops = [run.ops[0], run.ops[1].model_copy(update={"parts": parts, "parts_by_step": []}), *run.ops[2:]]
    path.unlink()
    run.model_copy(update={"blocks": blocks, "ops": ops}).save(path)


@pytest.mark.parametrize(
    ("count", "flags", "blocks"),
    [
        (21, ["--batch-size", "2"], 11),  # the last batch is smaller
        (140, ["--batch-size", "1", "--seed", "3"], 35),  # four batches make a block
        (40, ["--samples", "24", "--batch-size", "4"], 6),  # a random part of the data
    ],
)
def test_blocks_give_the_same_integers_again(
    count: int, flags: list[str], blocks: int, recorded: Callable[..., Path], capsys: Capture
) -> None:
    path = recorded(count, *flags)
    for asked in ("3", "all"):
        assert main(["verify", str(path), "--blocks", asked, "-q"]) == 0
        out = capsys.readouterr().out.splitlines()[-1]
        assert out.startswith(f"✓ {3 if asked == '3' else blocks} of {blocks} blocks ran again (")
        assert out.endswith("all equal")


@pytest.mark.parametrize(("batches", "blocks"), [(9, 9), (70, 35)])
def test_batches_of_any_size_are_found_again(
    batches: int, blocks: int, net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    script = f"""
import torch
def batches():
    for number in range({batches}):
        yield torch.rand(1 + number % 3, 1, 6, 6, generator=torch.Generator().manual_seed(number))
"""
    (tmp_path / "data.py").write_text(script)
    assert main(["profile", net, "--data", "data.py:batches", "-o", "run.json", "-q"]) == 0
    assert main(["verify", "run.json", "--blocks", "5", "-q"]) == 0
    assert f"✓ 5 of {blocks} blocks ran again" in capsys.readouterr().out
    (tmp_path / "data.py").write_text(script.replace("manual_seed(number)", "manual_seed(number + (number > 2))"))
    assert main(["verify", "run.json", "--blocks", "all", "-q"]) == 1


def test_an_integer_that_was_made_up_is_found(recorded: Callable[..., Path], capsys: Capture) -> None:
    path = recorded(20, "--batch-size", "4")
    with_other_integers(path, 2)
    capsys.readouterr()
    assert main(["verify", str(path), "--blocks", "all"]) == 1
    out, err = capsys.readouterr()
    assert "✗ 5 of 5 blocks ran again (20 samples): 1 of " in out
    assert "  block 2  fc linear 0  spikes events: " in out
    assert "error: " in err


def test_another_network_or_other_data_is_not_what_was_run(
    net: str, images: Callable[..., str], recorded: Callable[..., Path], tmp_path: Path, capsys: Capture
) -> None:
    path = recorded(12, "--batch-size", "4")
    other = images(13)
    assert main(["verify", str(path), "--data", other]) == 2
    assert "this is not what was run: the number of samples in the data differs" in capsys.readouterr().err
    code = Path(net.rpartition(":")[0])
    code.write_text(code.read_text().replace("0.3", "0.2"))
    assert main(["verify", str(path), "--data", images(12, bright=(10,))]) == 2
    assert "the code of the model differs" in capsys.readouterr().err


def test_a_run_is_verified_from_another_folder(
    net: str, images: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """`--model` and `--data` name the files where they lie; another function of the same file is another model."""
    monkeypatch.chdir(tmp_path)
    code, _, function = net.rpartition(":")
    data = images(8)
    (tmp_path / "net.py").write_text(Path(code).read_text() + f"\n\ndef other():\n    return {function}()\n")
    assert main(["profile", f"net.py:{function}", "--data", data, "-o", "run.json", "-q"]) == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert main(["verify", "../run.json", "--model", f"../net.py:{function}", "--data", data]) == 0
    assert main(["verify", "../run.json", "--model", "../net.py:other", "--data", data]) == 2
    assert f"the model differs (net.py:{function} then, ../net.py:other now)" in capsys.readouterr().err
    (tmp_path / "net.py").write_text((tmp_path / "net.py").read_text() + "\n")
    assert main(["verify", "../run.json", "--model", f"../net.py:{function}", "--data", data]) == 2
    assert "the code of the model differs" in capsys.readouterr().err


def test_what_was_edited_or_has_no_blocks_is_refused(
    recorded: Callable[..., Path], run_file: Path, capsys: Capture
) -> None:
    path = recorded(8, "--batch-size", "4")
    for wrong in ("0", "-1", "many", "²"):
        assert main(["verify", str(path), "--blocks", wrong]) == 2
        assert "--blocks needs a number from 1 on, or all" in capsys.readouterr().err
    path.write_text(path.read_text().replace(Activity.load(path).run.platform, "elsewhere"))
    assert main(["verify", str(path)]) == 1
    assert "was changed after snnprof wrote it" in capsys.readouterr().err
    assert main(["verify", str(run_file)]) == 2  # made by hand: no command in it


def test_every_integer_is_compared(activity: Activity) -> None:
    """One more or less of anything, in any block, is a difference; rows that only one of the two has are, too."""
    last = len(activity.blocks) - 1
    assert verification(activity, activity, [0, last]).differences == ()
    block = activity.blocks[last]
    neurons = [[value + (column == 0) for column, value in enumerate(row)] for row in block.neurons]
    changed = activity.model_copy(
        update={"blocks": [*activity.blocks[:-1], block.model_copy(update={"neurons": neurons})]}
    )
    found = verification(activity, changed, [0, last])
    assert {each.figure for each in found.differences} == {"spikes"}
    assert found.differing_rows == len(activity.neurons)
    assert {each.block for each in found.differences} == {last}
    without = activity.model_copy(
        update={
            "neurons": activity.neurons[1:],
            "blocks": [each.model_copy(update={"neurons": each.neurons[1:]}) for each in activity.blocks],
        }
    )
    found = verification(activity, without, [0])
    assert {each.row for each in found.differences} == {f"{activity.neurons[0].layer} {activity.neurons[0].type}"}
    assert {each.now for each in found.differences} == {None}

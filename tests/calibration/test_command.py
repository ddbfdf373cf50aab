"""`snnprof hardware calibrate`: from a log to a profile that the other commands take."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from snnprof.__main__ import main
from snnprof.activity import Activity
from snnprof.calibration import work_of
from snnprof.hardware import load_hardware

Capture = pytest.CaptureFixture[str]
STATIC, SOP, UPDATE = 0.05, 20e-12, 70e-12


@pytest.fixture
def bench(tmp_path: Path, activity_maker: Callable[..., Activity], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs, and a log of them on two rails with noise of 1 %."""
    monkeypatch.chdir(tmp_path)
    noise, lines, time = random.Random(0), ["time,rail,watts,stretch,run,inferences"], 0.0
    runs = {"": None}
    for name, firing in (("a", 3), ("b", 2), ("c", 1)):
        run = activity_maker(firing=firing)
        run.save(tmp_path / f"{name}.json")
        runs[name] = work_of(run, name)  # type: ignore[assignment]
    for repeat in range(3):
        for name, work in runs.items():
            joules = 0.0 if work is None else SOP * work.sops + UPDATE * work.updates
            count = round(0.03 * 0.2 / joules) if joules else 0
            for _ in range(20):
                watts = STATIC + count / 0.2 * joules
                for rail, share in (("core", 0.7), ("mem", 0.3)):
                    shown = f"{watts * share * noise.gauss(1, 0.01):.6f}"
                    lines.append(f"{time:.2f},{rail},{shown},{name or 'idle'}{repeat},{name},{count or ''}")
                time += 0.01
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def fails(capsys: Capture, *arguments: str) -> str:
    assert main(["hardware", "calibrate", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    return err


COMMAND = ("log.csv", "a.json", "b.json", "c.json")


def test_a_log_becomes_a_profile_that_prices(bench: Path, capsys: Capture) -> None:
    assert main(["hardware", "calibrate", *COMMAND, "-o", "chip.yaml", "--node", "28", "-f", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    true = {"static power": STATIC, "per SOP": SOP, "per neuron update": UPDATE}
    for row in shown["prices"]:
        assert row["low"] <= true[row["term"]] <= row["high"]
    assert [row["run"] for row in shown["runs"]] == ["(idle)", "a", "b", "c"]
    assert main(["hardware", "check", "chip.yaml"]) == 0
    profile = load_hardware("chip.yaml")
    assert profile.evidence == "measured"
    assert profile.sources[0].sha256 == shown["sha256"]
    assert all(name in str(profile.sources[0].citation) for name in ("log.csv", "core", "mem", "a, b, c"))
    assert profile.static is not None
    capsys.readouterr()
    assert main(["report", "a.json", "--hardware", "chip.yaml", "--latency", "0.001", "-f", "json"]) == 0
    terms = json.loads(capsys.readouterr().out)["totals"]["chip"]["terms_pj"]
    work = work_of(Activity.load("a.json"), "a")
    prices = {row["term"]: row["value"] for row in shown["prices"]}
    assert terms["sop"] == pytest.approx(work.sops * prices["per SOP"] * 1e12, rel=1e-5)
    assert terms["neuron"] == pytest.approx(work.updates * prices["per neuron update"] * 1e12, rel=1e-5)
    assert terms["static"] == pytest.approx(prices["static power"] * 1e9, rel=1e-5)


@pytest.mark.parametrize("form", ["table", "csv", "markdown", "latex", "html"])
def test_every_format(form: str, bench: Path, capsys: Capture) -> None:
    assert main(["hardware", "calibrate", *COMMAND, "--format", form]) == 0
    assert "per SOP" in capsys.readouterr().out


def test_nothing_is_overwritten(bench: Path, capsys: Capture) -> None:
    (bench / "chip.yaml").write_text("mine")
    assert "exists" in fails(capsys, *COMMAND, "-o", "chip.yaml", "--node", "28")
    assert (bench / "chip.yaml").read_text() == "mine"
    assert main(["hardware", "calibrate", *COMMAND, "-o", "chip.yaml", "--node", "28", "--force"]) == 0
    assert load_hardware("chip.yaml").id == "chip"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["log.csv"], "calibrate needs a power log and the runs"),
        ([], "calibrate needs a power log and the runs"),
        (["log.csv", "a.json", "b.json"], "the log names run 'c', and no such run file is given"),
        (["log.csv", "a.json", "d.json"], "there is no run file d.json"),
        ([*COMMAND, "other.json"], "no stretch of the log names other.json"),
        ([*COMMAND, "--rail", "cor"], "did you mean 'core'?"),
        ([*COMMAND, "--fit", "static,sops"], "did you mean 'sop'?"),
        ([*COMMAND, "--fit", "sop,sop"], "--fit names a price twice"),
        ([*COMMAND, "-o", "chip.yaml"], "--output needs --node NM"),
        ([*COMMAND, "-o", "My Chip.yaml", "--node", "28"], "whose name is its id"),
        ([*COMMAND, "-o", "chip.txt", "--node", "28"], "a profile is a .yaml file"),
        ([*COMMAND, "-o", "cmos45-fp32.yaml", "--node", "28"], "a built-in profile already has the id"),
        ([*COMMAND, "-o", "chip.yaml", "--node", "28", "--fit", "static,neuron_update"], "needs a price per SOP"),
        (["a.json", *COMMAND[1:]], "is not a power log"),
    ],
)  # fmt: skip
def test_bad_use_is_one_sentence(arguments: list[str], said: str, bench: Path, capsys: Capture) -> None:
    (bench / "other.json").write_bytes((bench / "a.json").read_bytes())
    assert said in fails(capsys, *arguments)


def test_the_template_is_printed(capsys: Capture) -> None:
    assert main(["hardware", "calibrate", "--template"]) == 0
    assert capsys.readouterr().out.startswith("time,rail,watts,stretch,run,inferences\n")

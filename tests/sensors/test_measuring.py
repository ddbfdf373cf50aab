"""`--measure` from the command to the file and the screen, with a made sensor."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from snnprof.__main__ import main
from snnprof.activity import Activity
from snnprof.errors import SnnprofError
from snnprof.measured import MEANS
from snnprof.options import ProfileOptions
from snnprof.sensors import Plan
from snnprof.workload import measuring
from snnprof.workload.run import profile_run

ASKED = ProfileOptions(model="saformer", samples=4, batch_size=2, device="cpu")


Meter = Callable[["Wattmeter"], None]
Capture = pytest.CaptureFixture[str]


class Wattmeter:
    """A machine that draws 20 W whatever it does, and `work` joules more for each reading after the idle ones."""

    name, device, method, poll_s = "RAPL", "a <b>machine</b>, package-0", "energy counter", 1e6

    def __init__(self, work: float = 1.0, fails_at: int = 10**9) -> None:
        self.work, self.readings, self.fails_at, self.extra = work, 0, fails_at, 0.0

    def joules(self) -> float:
        self.readings += 1
        if self.readings > self.fails_at:
            raise SnnprofError("the sensor is gone")
        if self.readings > 2 * 9:  # two for each of nine stretches of rest
            self.extra += self.work * (self.readings % 2 == 0)
        return 20 * time.perf_counter() + self.extra


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    def use(sensor: Wattmeter) -> None:
        monkeypatch.setattr(measuring, "sensors_of", lambda gpu: [sensor])
        monkeypatch.setattr("snnprof.sensors.must_have_any", lambda: None)
        monkeypatch.setattr(measuring, "LASTING", Plan(8, 0.01))

    return use


@pytest.fixture(scope="module")
def plain() -> Activity:
    """The run without a measurement."""
    return profile_run(ASKED)


def test_a_measured_run_counts_the_same(plain: Activity, meter: Meter, tmp_path: Path) -> None:
    meter(Wattmeter())
    run = profile_run(ProfileOptions(**{**vars(ASKED), "measure": True}))
    assert (run.ops, run.neurons, run.blocks) == (plain.ops, plain.neurons, plain.blocks)
    assert run.findings == plain.findings
    assert run.measurement is not None
    assert (run.measurement.device, run.measurement.batches) == ("cpu", 2)
    (sensor,) = run.measurement.sensors
    assert all(stretch.samples == 4 * stretch.passes for stretch in sensor.busy)
    run.save(tmp_path / "run.json")
    assert Activity.load(tmp_path / "run.json").measurement == run.measurement
    plain.save(tmp_path / "plain.json")
    assert json.loads((tmp_path / "plain.json").read_text())["measurement"] is None


def test_a_whole_run_is_measured_without_counting_again(plain: Activity, meter: Meter, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    plain.save(path)
    meter(Wattmeter())
    run = profile_run(ProfileOptions(**{**vars(ASKED), "measure": True, "resume": path}))
    assert run.measurement is not None
    assert run.model_copy(update={"measurement": None}) == plain


def test_what_fails_after_the_counting_leaves_the_counts(plain: Activity, meter: Meter) -> None:
    meter(Wattmeter(fails_at=25))
    run = profile_run(ProfileOptions(**{**vars(ASKED), "measure": True}))
    assert run.measurement is None
    assert [f.text for f in run.findings if f.code == "C35"] == ["The energy could not be measured: the sensor is gone"]
    assert run.ops == plain.ops


def test_the_command_fails_once_the_report_is_out(meter: Meter, tmp_path: Path, capsys: Capture) -> None:
    """And a later measurement, which counts nothing, takes the finding away."""
    path = tmp_path / "run.json"
    meter(Wattmeter(fails_at=25))
    assert main(["profile", "saformer", "--samples", "4", "--measure", "-o", str(path)]) == 2
    out, err = capsys.readouterr()
    assert "The energy could not be measured" in " ".join(out.split())
    assert "error: The energy could not be measured: the sensor is gone\nhint: Try again" in err
    meter(Wattmeter())
    assert main(["profile", "--resume", str(path), "--measure"]) == 0
    run = Activity.load(path)
    assert run.measurement is not None
    assert not [finding for finding in run.findings if finding.code == "C35"]


def test_the_screen_says_what_it_is(meter: Meter, tmp_path: Path, capsys: Capture) -> None:
    meter(Wattmeter())
    path = tmp_path / "run.json"
    command = ["profile", "saformer", "--samples", "4", "--measure", "-o", str(path)]
    assert main(command) == 0
    screen = " ".join(capsys.readouterr().out.split())
    assert "Measured" in screen
    assert MEANS in screen
    for form in ("table", "markdown", "html"):
        assert main(["report", str(path), "--format", form]) == 0
        text = capsys.readouterr().out
        assert "not what a chip would need" in " ".join(text.split())
        assert form != "html" or "<b>machine" not in text
    assert main(["report", str(path), "--format", "json"]) == 0
    (measured,) = json.loads(capsys.readouterr().out)["measured"]
    sensor = Activity.load(path).measurement.sensors[0]  # type: ignore[union-attr]
    idle = sum(s.joules for s in sensor.idle) / sum(s.seconds for s in sensor.idle)
    above = sum(s.joules - idle * s.seconds for s in sensor.busy) / sum(s.samples for s in sensor.busy)
    assert measured["idle_w"] == pytest.approx(20, rel=0.05)
    assert measured["joules_per_inference"] == pytest.approx(above)
    assert measured["what"] == MEANS


def test_merging_drops_it_and_says_so(plain: Activity, meter: Meter) -> None:
    meter(Wattmeter())
    run = profile_run(ProfileOptions(**{**vars(ASKED), "measure": True}))
    merged = run.merge(plain)
    assert merged.measurement is None
    assert [finding.code for finding in merged.findings].count("C34") == 1


def test_without_sensors_nothing_begins(folder: Path, capsys: Capture) -> None:
    assert main(["profile", "saformer", "--measure"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: --measure: this machine has no energy sensor")
    assert "loading PyTorch" not in err
    with pytest.raises(SnnprofError, match="this machine's processor has no energy sensor"):
        profile_run(ProfileOptions(**{**vars(ASKED), "measure": True}))


def test_several_processes_measure_nothing() -> None:
    from snnprof.workload.distributed import ProcessGroup
    from snnprof.workload.plan import RunPlan

    with pytest.raises(SnnprofError, match="for one process"):
        measuring.sensors_for(RunPlan.of(ASKED), ProcessGroup(0, 2))


def test_looking_for_sensors_needs_no_torch(folder: Path) -> None:
    import subprocess

    code = "import sys, snnprof.sensors, snnprof.measured; print('torch' in sys.modules or 'pynvml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_bare_model_that_fails_leaves_the_counts(
    plain: Activity, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter(Wattmeter())

    def fail(device: object) -> None:
        raise RuntimeError("out of memory\nand a long trace")

    monkeypatch.setattr("snnprof.workload.machine.synchronise", fail)
    run = profile_run(ProfileOptions(**{**vars(ASKED), "measure": True}))
    assert [f.text for f in run.findings if f.code == "C35"] == ["The energy could not be measured: out of memory"]
    assert run.ops == plain.ops

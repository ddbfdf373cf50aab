"""Energy sensors, against recorded ones: no test needs a real one."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from snnprof.errors import SnnprofError
from snnprof.measured import host_energies
from snnprof.records import Measurement, SensorRecord, Stretch
from snnprof.sensors import Plan, Stopped, finding, metered, must_have_any, rapl, sensors_of
from snnprof.sensors.nvml import Nvml
from snnprof.sensors.rapl import Rapl
from snnprof.statistics import t_quantile

Card = Callable[..., None]
Zones = Callable[..., Path]


# -- RAPL ------------------------------------------------------------------------------------------------------


def test_packages_and_memory_add_up_and_nothing_is_counted_twice(zones: Zones, folder: Path) -> None:
    zones()
    sensor = Rapl(rapl.zones())
    assert sensor.device.endswith(", package-0 + dram")
    (folder / "intel-rapl:0" / "energy_uj").write_text("262143300000\n")
    (folder / "intel-rapl:0:0" / "energy_uj").write_text("99\n")
    (folder / "intel-rapl:0:1" / "energy_uj").write_text("50100\n")
    assert sensor.joules() == pytest.approx(0.3 + 0.05)


def test_a_counter_wraps_around_at_its_range(zones: Zones, folder: Path) -> None:
    zones()
    sensor = Rapl(rapl.zones())
    (folder / "intel-rapl:0" / "energy_uj").write_text("1000000\n")
    assert sensor.joules() == pytest.approx((262143328850 - 262143000000 + 1000000) / 1e6)
    (folder / "intel-rapl:0" / "energy_uj").write_text("999999\n")  # a whole turn less one microjoule
    assert sensor.joules() == pytest.approx((262143328850 - 262143000000 + 999999 + 262143328850) / 1e6)


def test_psys_is_read_where_there_is_no_package(zones: Zones) -> None:
    zones([("intel-rapl:1", "psys", 7, 1000)])
    assert Rapl(rapl.zones()).device.endswith(", psys")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_one_sentence(zones: Zones) -> None:
    (zones() / "intel-rapl:0" / "energy_uj").chmod(0)
    with pytest.raises(SnnprofError, match="no permission for"):
        sensors_of(None)


def test_permission_denied_says_what_to_do(zones: Zones, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zones()

    def refuse(path: Path, encoding: str) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", lambda path, encoding: refuse(path, encoding))
    with pytest.raises(SnnprofError, match="no permission for") as caught:
        Rapl([folder / "intel-rapl:0"])
    assert "chmod a+r" in caught.value.hint


@pytest.mark.parametrize("content", ["", "abc", "-5", "1e9"])
def test_a_file_without_a_number_is_one_sentence(content: str, zones: Zones) -> None:
    (zones() / "intel-rapl:0" / "energy_uj").write_text(content)
    with pytest.raises(SnnprofError, match="not a number"):
        Rapl(rapl.zones())


# -- NVML ------------------------------------------------------------------------------------------------------


def test_the_counter_of_millijoules(card: Card) -> None:
    recorded = iter([1_000_000.0, 1_000_000.25, 1_000_003.5])
    card(lambda: next(recorded), name=b"NVIDIA H100")
    sensor = Nvml("1234")
    assert (sensor.device, sensor.method) == ("NVIDIA H100", "energy counter")
    assert [sensor.joules(), sensor.joules()] == pytest.approx([0.25, 3.5])


def test_older_cards_tell_only_the_power(card: Card) -> None:
    """Trapezoids: 100 W → 200 W over 0.5 s, then 200 W → 0 W over 1 s."""
    times, watts = iter([0.0, 0.0, 0.5, 1.5]), iter([100.0, 200.0, 0.0])
    card(None, lambda: next(watts))
    sensor = Nvml("GPU-1234", clock=lambda: next(times))
    assert sensor.method == "power sampled every 20 ms"
    assert [sensor.joules(), sensor.joules()] == pytest.approx([75.0, 175.0])


def test_a_card_without_a_sensor_is_one_sentence(card: Card) -> None:
    card(None, None)
    with pytest.raises(SnnprofError, match="NVML says 'Not Supported'"):
        Nvml("1234")
    with pytest.raises(SnnprofError, match="NVML says 'Not Found'"):
        Nvml("9999")


# -- which there are ---------------------------------------------------------------------------------------------


def test_a_machine_with_neither_is_one_sentence(folder: Path) -> None:
    for look in (must_have_any, lambda: sensors_of(None)):
        with pytest.raises(SnnprofError, match="no energy sensor that snnprof can read") as caught:
            look()
        assert caught.value.exit_code == 2
        assert caught.value.hint == finding.HINT


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(SnnprofError, match="nvidia-ml-py") as caught:
        sensors_of("1234")
    assert "snnprof[measure]" in caught.value.hint


def test_a_gpu_run_reads_the_processor_too(card: Card, zones: Zones) -> None:
    card(lambda: 1.0)
    assert [sensor.name for sensor in sensors_of("1234")] == ["NVML"]
    zones()
    assert [sensor.name for sensor in sensors_of("1234")] == ["NVML", "RAPL"]
    assert [sensor.name for sensor in sensors_of(None)] == ["RAPL"]


# -- measuring ---------------------------------------------------------------------------------------------------


class Machine:
    """Time passes only where work or rest takes it: 20 W idle, and a pass of 0.4 s that takes 30 W more."""

    name, device, method, poll_s = "made", "a machine", "energy counter", 1e6

    def __init__(self) -> None:
        self.now = self.energy = 0.0
        self.passes = 0

    def joules(self) -> float:
        return self.energy

    def wait(self, seconds: float, watts: float = 20.0) -> None:
        self.now += seconds
        self.energy += seconds * watts

    def run_pass(self) -> int:
        self.wait(0.4, 50.0 + (self.passes % 2))
        self.passes += 1
        return 8


def test_the_idle_draw_is_subtracted() -> None:
    machine = Machine()
    told: list[int] = []
    measurement = metered(
        [machine], machine.run_pass, Plan(8, 1.0), clock=lambda: machine.now, wait=machine.wait,
        tell=lambda done, total: told.append(done),
    )  # fmt: skip
    (sensor,) = measurement.sensors
    assert [s.seconds for s in sensor.idle] == pytest.approx([1.0] * 8)
    assert not any(s.samples or s.passes for s in sensor.idle)
    assert [(s.samples, s.passes) for s in sensor.busy] == [(24, 3)] * 8
    (energy,) = host_energies(measurement)
    assert energy.idle_w.value == pytest.approx(20)
    assert energy.joules.value == pytest.approx(0.4 * 30.5 / 8)  # half of the passes draw 50 W, half 51 W
    assert energy.pass_s == pytest.approx(0.4)
    assert energy.inference_s == pytest.approx(0.05)
    assert told == list(range(18))


def test_a_failing_sensor_stops_the_measurement() -> None:
    machine = Machine()
    answers = itertools.count()

    def joules() -> float:
        if next(answers) > 5:
            raise SnnprofError("the sensor is gone")
        return machine.energy

    machine.joules = joules  # type: ignore[method-assign]
    with pytest.raises(SnnprofError, match="gone"):
        metered([machine], machine.run_pass, Plan(8, 1.0), clock=lambda: machine.now, wait=machine.wait)
    machine = Machine()
    levels = iter([5.0, 4.0])
    machine.joules = lambda: next(levels)  # type: ignore[method-assign]
    with pytest.raises(SnnprofError, match="the energy counter of made was set back"):
        metered([machine], machine.run_pass, Plan(8, 1.0), clock=lambda: machine.now, wait=machine.wait)
    with pytest.raises(Stopped):
        metered([Machine()], machine.run_pass, Plan(2, 0.0), should_stop=lambda: True)


def test_a_thread_reads_a_sensor_that_must_be_read_often() -> None:
    """Three readings at the ends of each stretch would not do: the thread makes the others."""
    readings: list[float] = []
    sensor = SimpleNamespace(name="s", device="d", method="m", poll_s=0.001, joules=lambda: readings.append(0) or 0.0)
    metered([sensor], lambda: 1, Plan(1, 0.02))
    assert len(readings) > 12


# -- figures -----------------------------------------------------------------------------------------------------


def stretches(joules: list[float], samples: int = 0) -> list[Stretch]:
    return [Stretch(seconds=2.0, joules=each, samples=samples, passes=bool(samples)) for each in joules]


def test_the_interval_holds_both_errors() -> None:
    """By hand: idle 10 W ± s/√8, busy (E − 20 J)/4 samples; the idle error counts 2 s / 4 samples = 0.5 s."""
    idle, busy = [20.0, 20.4] * 4, [40.0, 44.0] * 4
    record = SensorRecord(name="n", device="d", method="m", idle=stretches(idle), busy=stretches(busy, 4))
    (energy,) = host_energies(Measurement(sensors=[record]))
    idle_error = (8 / 7) ** 0.5 * 0.1 / 8**0.5  # watts: 10.1 ± 0.1 each
    busy_error = (8 / 7) ** 0.5 * 0.5 / 8**0.5  # joules per sample: 5.45 ± 0.5 each
    error = (busy_error**2 + (0.5 * idle_error) ** 2) ** 0.5
    freedom = int(error**4 / (busy_error**4 / 7 + (0.5 * idle_error) ** 4 / 7))
    assert energy.joules.value == pytest.approx((42 - 20.2) / 4)
    assert energy.joules.half == pytest.approx(t_quantile(0.975, freedom) * error)
    assert energy.spread == pytest.approx((4.95, 5.95))


def test_no_more_than_idle_is_no_figure() -> None:
    record = SensorRecord(name="n", device="d", method="m", idle=stretches([20.0, 21.0] * 4),
                          busy=stretches([20.0, 21.0] * 4, 4))  # fmt: skip
    (energy,) = host_energies(Measurement(sensors=[record]))
    assert energy.energy_pj is None
    assert 0 < energy.at_most_pj < 1e12

"""Measures the energy of a machine: first periods at rest, then periods in which a pass over the batches repeats."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from snnprof.errors import SnnprofError
from snnprof.records import Measurement, SensorRecord, Stretch
from snnprof.sensors.sensor import Sensor

Progress = Callable[[int, int], None]


class Stopped(Exception):
    """The caller stopped the measurement before it was complete."""


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes:
        repeats: number of periods of each kind; their spread gives the interval.
        seconds: minimum length of a period; much longer than a sensor takes to show a change (NVML: about 0.1 s).
    """

    repeats: int = 10
    seconds: float = 1.0


class Meter:
    """A sensor, and a thread that reads it as often as necessary."""

    def __init__(self, sensor: Sensor) -> None:
        self.sensor = sensor
        self._lock, self._done = threading.Lock(), threading.Event()
        self._failed: SnnprofError | None = None
        self._thread = threading.Thread(target=self._poll, name=f"snnprof {sensor.name}", daemon=True)

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def joules(self) -> float:
        """Returns the joules since the first reading.

        Raises:
            SnnprofError: the sensor cannot be read, now or earlier in the thread.
        """
        if self._failed is not None:
            raise self._failed
        with self._lock:
            return self.sensor.joules()

    def _poll(self) -> None:
        while not self._done.wait(self.sensor.poll_s):
            try:
                self.joules()
            except SnnprofError as error:
                self._failed = error
                return


class _Bench:
    """Meters that are read together at both ends of a period."""

    def __init__(self, meters: Sequence[Meter], clock: Callable[[], float]) -> None:
        self._meters, self._clock = meters, clock

    def stretch(self, work: Callable[[], tuple[int, int]]) -> list[Stretch]:
        """Runs `work` and returns one period for each meter; `work` returns the samples and passes that it ran.

        Raises:
            SnnprofError: a sensor fails, or its counter was reset.
        """
        begun, before = self._clock(), [meter.joules() for meter in self._meters]
        samples, passes = work()
        seconds, after = self._clock() - begun, [meter.joules() for meter in self._meters]
        for meter, first, last in zip(self._meters, before, after, strict=True):
            if not last >= first:
                raise SnnprofError(f"the energy counter of {meter.sensor.name} was set back meanwhile")
        return [
            Stretch(seconds=seconds, joules=last - first, samples=samples, passes=passes)
            for first, last in zip(before, after, strict=True)
        ]

    def repeated(self, run_pass: Callable[[], int], seconds: float) -> tuple[int, int]:
        """Runs passes for at least this many seconds; returns the samples and passes."""
        samples, passes, begun = 0, 0, self._clock()
        while not passes or self._clock() - begun < seconds:
            samples, passes = samples + run_pass(), passes + 1
        return samples, passes


def metered(
    sensors: Sequence[Sensor],
    run_pass: Callable[[], int],
    plan: Plan = Plan(),
    *,
    should_stop: Callable[[], bool] = lambda: False,
    tell: Progress = lambda done, total: None,
    clock: Callable[[], float] = time.perf_counter,
    wait: Callable[[float], None] = time.sleep,
) -> Measurement:
    """Measures a machine at rest and at work.

    It discards the first period of rest and the first of work, in which the machine cools down and clocks up.
    `run_pass` runs the work once, returns when the device has finished, and gives the number of samples. `should_stop`
    is called before each period.

    Raises:
        SnnprofError: a sensor fails.
        Stopped: `should_stop` returned True.
    """

    def rest() -> tuple[int, int]:
        wait(plan.seconds)
        return 0, 0

    run_pass()  # work that happens only once, such as compiling, is not measured
    rows: list[list[Stretch]] = []
    with ExitStack() as opened:
        bench = _Bench([opened.enter_context(Meter(sensor)) for sensor in sensors], clock)
        each = plan.repeats + 1
        for work in [rest] * each + [lambda: bench.repeated(run_pass, plan.seconds)] * each:
            if should_stop():
                raise Stopped
            tell(len(rows), 2 * each)
            rows.append(bench.stretch(work))
    idle, busy = rows[1:each], rows[each + 1 :]
    return Measurement(
        sensors=[
            SensorRecord(
                name=sensor.name, device=sensor.device, method=sensor.method,
                idle=[row[column] for row in idle], busy=[row[column] for row in busy],
            )
            for column, sensor in enumerate(sensors)
        ]
    )  # fmt: skip

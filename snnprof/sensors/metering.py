"""From sensors and a pass to stretches of time with their energy: idle first, then busy."""

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
    """The caller ended the measurement before it was whole."""


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes:
        repeats: stretches of each kind; their spread gives the interval.
        seconds: of one stretch, at least; much longer than a sensor takes to show a change (NVML: about 0.1 s).
    """

    repeats: int = 10
    seconds: float = 1.0


class Meter:
    """A sensor that a thread reads as often as it must be."""

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
    """Some meters, read together at both ends of a stretch."""

    def __init__(self, meters: Sequence[Meter], clock: Callable[[], float]) -> None:
        self._meters, self._clock = meters, clock

    def stretch(self, work: Callable[[], tuple[int, int]]) -> list[Stretch]:
        """One for each meter; `work` says how many samples and passes it was.

        Raises:
            SnnprofError: a sensor fails, or its counter was set back.
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
        """Passes for at least so long."""
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

    One stretch of rest and one of work are run first and not kept: the machine cools down and clocks up in them.

    Args:
        run_pass: runs the work once, returns when the device is done, and says how many samples it was.
        should_stop: asked before each stretch.

    Raises:
        SnnprofError: a sensor fails.
        Stopped: `should_stop` said so.
    """

    def rest() -> tuple[int, int]:
        wait(plan.seconds)
        return 0, 0

    run_pass()  # what happens only once, such as compiling, belongs to neither
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

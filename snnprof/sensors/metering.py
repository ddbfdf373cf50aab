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
    total = 2 * plan.repeats + 2
    with ExitStack() as opened:
        meters = [opened.enter_context(Meter(sensor)) for sensor in sensors]

        def stretch(work: Callable[[], tuple[int, int]], number: int) -> list[Stretch]:
            if should_stop():
                raise Stopped
            tell(number, total)
            begun, before = clock(), [meter.joules() for meter in meters]
            samples, passes = work()
            seconds, after = clock() - begun, [meter.joules() for meter in meters]
            return [
                Stretch(seconds=seconds, joules=b - a, samples=samples, passes=passes)
                for a, b in zip(before, after, strict=True)
            ]

        def rest() -> tuple[int, int]:
            wait(plan.seconds)
            return 0, 0

        def run() -> tuple[int, int]:
            samples, passes, begun = 0, 0, clock()
            while not passes or clock() - begun < plan.seconds:
                samples, passes = samples + run_pass(), passes + 1
            return samples, passes

        run_pass()  # what happens only once, such as compiling, belongs to neither
        idle = [stretch(rest, number) for number in range(plan.repeats + 1)][1:]
        busy = [stretch(run, number) for number in range(plan.repeats + 1, total)][1:]
    return Measurement(
        sensors=[
            SensorRecord(
                name=sensor.name, device=sensor.device, method=sensor.method,
                idle=[row[column] for row in idle], busy=[row[column] for row in busy],
            )
            for column, sensor in enumerate(sensors)
        ]
    )  # fmt: skip

"""The energy that a machine used to simulate a network: figures from the raw readings of `--measure`.

It is the energy of the simulation on this machine, above what it draws at rest. It says nothing about a chip that would
run the network's events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snnprof.records import Measurement, SensorRecord, Stretch
from snnprof.statistics import CONFIDENCE, Interval, ratio_interval, t_quantile, welch
from snnprof.units import PICOJOULES

MEANS = "what this machine used to simulate the network, not what a chip would need"
"""Every output prints this beside such a figure."""


@dataclass(frozen=True)
class HostEnergy:
    """The figures of one sensor.

    Attributes:
        joules: joules per inference above rest, with its interval.
        idle_w: watts at rest, with its interval.
        busy_w: watts at work, rest included, with its interval.
        pass_s, inference_s: seconds of one pass over the batches, and per inference.
        spread: the lowest and the highest joules per inference of a single period.
        repeats: number of periods at work.
    """

    sensor: str
    device: str
    method: str
    joules: Interval
    idle_w: Interval
    busy_w: Interval
    pass_s: float
    inference_s: float
    spread: tuple[float, float]
    repeats: int

    @property
    def energy_pj(self) -> float | None:
        """Picojoules per inference above rest; None if work did not draw more than rest, beyond the interval."""
        above = self.joules.value > 0 and (self.joules.low is None or self.joules.low > 0)
        return self.joules.value * PICOJOULES["J"] if above else None

    @property
    def at_most_pj(self) -> float:
        """The upper end of the interval, in picojoules per inference."""
        high = self.joules.value if self.joules.high is None else self.joules.high
        return max(0.0, high) * PICOJOULES["J"]


def host_energies(measurement: Measurement | None) -> tuple[HostEnergy, ...]:
    """Returns the figures of each sensor; empty if nothing was measured."""
    return tuple(_figures(sensor) for sensor in measurement.sensors if sensor.busy) if measurement else ()


def _figures(sensor: SensorRecord) -> HostEnergy:
    idle, busy = _watts(sensor.idle), _watts(sensor.busy)
    seconds, samples = sum(s.seconds for s in sensor.busy), sum(s.samples for s in sensor.busy)
    each = [(s.joules - idle.value * s.seconds) / s.samples for s in sensor.busy if s.samples]
    return HostEnergy(
        sensor.name, sensor.device, sensor.method,
        joules=_above_idle(sensor.busy, idle), idle_w=idle, busy_w=busy,
        pass_s=seconds / max(1, sum(s.passes for s in sensor.busy)), inference_s=seconds / max(1, samples),
        spread=(min(each, default=0.0), max(each, default=0.0)), repeats=len(sensor.busy),
    )  # fmt: skip


def _watts(stretches: Sequence[Stretch]) -> Interval:
    return ratio_interval([s.joules for s in stretches], [s.seconds for s in stretches])


def _above_idle(busy: Sequence[Stretch], idle: Interval, confidence: float = CONFIDENCE) -> Interval:
    """Returns Σ (E − P·t) / Σ n over periods of E joules, t seconds and n samples, with P watts at rest.

    Two errors add in quadrature, with degrees of freedom by Welch: the error of the periods at work around their mean,
    and that of P, which is the same in all of them: times Σ t / Σ n.
    """
    samples, seconds = [s.samples for s in busy], sum(s.seconds for s in busy)
    work = ratio_interval([s.joules - idle.value * s.seconds for s in busy], samples)
    if work.error is None or idle.error is None:
        return work
    parts = [(work.error, len(busy) - 1), (idle.error * seconds / sum(samples), idle.blocks - 1)]
    error, freedom = welch(parts)
    half = t_quantile((1 + confidence) / 2, freedom) * error
    return Interval(work.value, work.value - half, work.value + half, error=error, blocks=len(busy))

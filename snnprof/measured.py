"""What a machine used to simulate a network: figures from the raw readings of `--measure`.

This is the energy of the simulation on this machine, above what it draws idle. It says nothing about a chip that would
run the network's events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snnprof.records import Measurement, SensorRecord, Stretch
from snnprof.statistics import CONFIDENCE, Interval, ratio_interval, t_quantile, welch
from snnprof.units import PICOJOULES

MEANS = "what this machine used to simulate the network, not what a chip would need"
"""Stands wherever such a figure does."""


@dataclass(frozen=True)
class HostEnergy:
    """One sensor's figures.

    Attributes:
        joules: per inference above idle, with its interval.
        idle_w: power at rest, with its interval.
        busy_w: power at work, idle included.
        pass_s, inference_s: seconds of one pass over the batches, and per inference.
        spread: of single stretches' joules per inference: the lowest and the highest.
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
        """Per inference above idle; null where work did not draw more than rest beyond the interval."""
        above = self.joules.value > 0 and (self.joules.low is None or self.joules.low > 0)
        return self.joules.value * PICOJOULES["J"] if above else None

    @property
    def at_most_pj(self) -> float:
        """The upper end of the interval."""
        high = self.joules.value if self.joules.high is None else self.joules.high
        return max(0.0, high) * PICOJOULES["J"]


def host_energies(measurement: Measurement | None) -> tuple[HostEnergy, ...]:
    """The figures of each sensor; none where nothing was measured."""
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
    """Σ (E − P·t) / Σ n over stretches of E joules, t seconds and n samples, P watts at rest.

    Two errors in quadrature, their degrees of freedom by Welch: that of the stretches at work around their mean, and
    that of P, which is in all of them alike: times Σ t / Σ n.
    """
    samples, seconds = [s.samples for s in busy], sum(s.seconds for s in busy)
    work = ratio_interval([s.joules - idle.value * s.seconds for s in busy], samples)
    if work.error is None or idle.error is None:
        return work
    parts = [(work.error, len(busy) - 1), (idle.error * seconds / sum(samples), idle.blocks - 1)]
    error, freedom = welch(parts)
    half = t_quantile((1 + confidence) / 2, freedom) * error
    return Interval(work.value, work.value - half, work.value + half, error=error, blocks=len(busy))

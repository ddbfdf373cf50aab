"""The energy sensors of this machine: NVML for an NVIDIA GPU, RAPL for the processor. No torch."""

from snnprof.sensors.finding import must_have_any, sensors_of
from snnprof.sensors.metering import Plan, Stopped, metered
from snnprof.sensors.sensor import Sensor

__all__ = ["Plan", "Sensor", "Stopped", "metered", "must_have_any", "sensors_of"]

"""Finds the energy sensors that this machine has for a device."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from snnprof.errors import SnnprofError
from snnprof.sensors import nvml, rapl
from snnprof.sensors.nvml import Nvml
from snnprof.sensors.rapl import Rapl
from snnprof.sensors.sensor import Sensor

HINT = "leave --measure out; the counts and the estimated energies need no sensor"


def must_have_any() -> None:
    """Checks that this machine has a sensor, before anything is loaded.

    Raises:
        SnnprofError: it has neither an NVIDIA driver nor RAPL, or the package that reads the driver is missing.
    """
    if rapl.zones() or nvml.is_there():
        return
    if Path("/dev/nvidiactl").exists() and find_spec("pynvml") is None:
        nvml._library()
    raise _none("this machine")


def sensors_of(gpu: str | None) -> list[Sensor]:
    """Returns the sensors of a device: of an NVIDIA GPU with this UUID, or of the processor (None).

    Those of a GPU include the processor that drives it, if they can be read.

    Raises:
        SnnprofError: there is none, or it cannot be read.
    """
    zones = rapl.zones()
    if gpu is None:
        if not zones:
            raise _none("this machine's processor")
        return [Rapl(zones)]
    return [Nvml(gpu), *_readable(zones)]


def _readable(zones: list[Path]) -> list[Sensor]:
    try:
        return [Rapl(zones)] if zones else []
    except SnnprofError:
        return []


def _none(what: str) -> SnnprofError:
    return SnnprofError(
        f"--measure: {what} has no energy sensor that snnprof can read "
        "(NVML of an NVIDIA GPU, or RAPL in /sys/class/powercap)", HINT,
    )  # fmt: skip

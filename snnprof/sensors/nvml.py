"""NVML: the energy of an NVIDIA GPU, through the package nvidia-ml-py.

Cards since Volta count millijoules (`nvmlDeviceGetTotalEnergyConsumption`). For older cards a thread samples the power
in milliwatts and adds it up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from snnprof.errors import SnnprofError, first_line

COUNTER_POLL_S = 60.0
SAMPLE_S = 0.02


class Nvml:
    """One GPU, identified by the UUID that its driver gives it."""

    name = "NVML"

    def __init__(self, uuid: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Opens the driver's library.

        Raises:
            SnnprofError: the package or the driver is missing, or the card reports neither energy nor power.
        """
        self._nvml, self._clock = _library(), clock
        self._read = self._counter
        self.method, self.poll_s = "energy counter", COUNTER_POLL_S
        self._last = (self._clock(), 0.0)
        self._sum = 0.0
        try:
            self._nvml.nvmlInit()
            self._card = self._found(uuid)
            self.device = _decoded(self._nvml.nvmlDeviceGetName(self._card))
            self._choose()
        except self._nvml.NVMLError as error:
            raise _failed(error) from error

    def joules(self) -> float:
        """Returns the joules since the sensor was opened.

        Raises:
            SnnprofError: the driver reports an error.
        """
        try:
            return self._read()
        except self._nvml.NVMLError as error:
            raise _failed(error) from error

    def _found(self, uuid: str) -> Any:
        """Returns the card; torch leaves out the beginning of its UUID."""
        names = [uuid] if uuid.startswith(("GPU-", "MIG-")) else [f"GPU-{uuid}", f"MIG-{uuid}"]
        for name in names[:-1]:
            try:
                return self._nvml.nvmlDeviceGetHandleByUUID(name)
            except self._nvml.NVMLError:
                continue
        return self._nvml.nvmlDeviceGetHandleByUUID(names[-1])

    def _choose(self) -> None:
        """Uses the energy counter if the card has one, else samples of the power."""
        try:
            self._start = self._millijoules()
        except self._nvml.NVMLError:
            self._read = self._samples
            self.method, self.poll_s = f"power sampled every {1000 * SAMPLE_S:.0f} ms", SAMPLE_S
            self._last = (self._clock(), self._watts())

    def _counter(self) -> float:
        return (self._millijoules() - self._start) / 1000

    def _millijoules(self) -> int:
        return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._card))

    def _samples(self) -> float:
        """Adds up the trapezoids between the samples so far."""
        (before, watts), now = self._last, (self._clock(), self._watts())
        self._sum += (now[0] - before) * (watts + now[1]) / 2
        self._last = now
        return self._sum

    def _watts(self) -> float:
        return int(self._nvml.nvmlDeviceGetPowerUsage(self._card)) / 1000


def is_there() -> bool:
    """Whether this machine has a GPU with an NVIDIA driver; False if the package that reads the driver is missing."""
    try:
        nvml = _library()
        nvml.nvmlInit()
        return bool(nvml.nvmlDeviceGetCount())
    except SnnprofError:
        return False
    except nvml.NVMLError:
        return False


def _library() -> Any:
    try:
        import pynvml
    except ImportError as error:
        raise SnnprofError(
            "reading a GPU's energy needs the package nvidia-ml-py", hint="pip install 'snnprof[measure]'"
        ) from error
    return pynvml


def _failed(error: Exception) -> SnnprofError:
    return SnnprofError(
        f"cannot read the GPU's energy: NVML says {first_line(error)!r}",
        hint="parts of a GPU (MIG) and some virtual GPUs have none; 'nvidia-smi -q -d POWER' shows what yours has",
    )


def _decoded(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name

"""The interface of a sensor: a counter of joules that only grows."""

from __future__ import annotations

from typing import Protocol


class Sensor(Protocol):
    """The energy of one device.

    Attributes:
        name: the interface: `NVML` or `RAPL`.
        device: whose energy it is, as the machine names it.
        method: how it gets joules: from a counter, or from samples of the power.
        poll_s: seconds after which it must be read again, or energy is lost.
    """

    name: str
    device: str
    method: str
    poll_s: float

    def joules(self) -> float:
        """Returns the joules since the first reading.

        Raises:
            SnnprofError: the sensor can no longer be read.
        """

"""What a sensor is: a counter of joules that only grows."""

from __future__ import annotations

from typing import Protocol


class Sensor(Protocol):
    """Energy of one device.

    Attributes:
        name: the interface: `NVML` or `RAPL`.
        device: what its energy is of, as the machine names it.
        method: how joules come about: from a counter, or from samples of the power.
        poll_s: it must be read at least this often, or energy is lost.
    """

    name: str
    device: str
    method: str
    poll_s: float

    def joules(self) -> float:
        """Energy since the first reading.

        Raises:
            SnnprofError: the sensor cannot be read any more.
        """

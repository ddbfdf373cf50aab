"""Sensors without hardware: an NVML that plays what a card answered, and RAPL's files as Linux shows them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from snnprof.sensors import nvml, rapl


class NVMLError(Exception):
    pass


class RecordedNvml:
    """The functions of `pynvml` that snnprof calls.

    Args:
        joules: the energy of the card at this moment, in joules; null for a card that has no counter.
        watts: its power at this moment; null for a card that does not tell it.
    """

    NVMLError = NVMLError

    def __init__(
        self,
        joules: Callable[[], float] | None,
        watts: Callable[[], float] | None = None,
        name: str | bytes = "Tesla V100",
    ) -> None:
        self.joules, self.watts, self.card_name = joules, watts, name
        self.uuids = ["GPU-1234"]

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return len(self.uuids)

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> SimpleNamespace:
        if uuid not in self.uuids:
            raise NVMLError("Not Found")
        return SimpleNamespace(uuid=uuid)

    def nvmlDeviceGetName(self, card: SimpleNamespace) -> str | bytes:
        return self.card_name

    def nvmlDeviceGetTotalEnergyConsumption(self, card: SimpleNamespace) -> int:
        if self.joules is None:
            raise NVMLError("Not Supported")
        return int(1000 * self.joules())

    def nvmlDeviceGetPowerUsage(self, card: SimpleNamespace) -> int:
        if self.watts is None:
            raise NVMLError("Not Supported")
        return int(1000 * self.watts())


Zones = Sequence[tuple[str, str, int, int]]
"""Folder, name, microjoules, range."""
INTEL: Zones = (
    ("intel-rapl:0", "package-0", 262143000000, 262143328850),
    ("intel-rapl:0:0", "core", 5, 262143328850),
    ("intel-rapl:0:1", "dram", 100, 65712999613),
    ("intel-rapl:1", "psys", 7, 262143328850),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where RAPL's files are looked for; there are none yet, and no GPU."""
    monkeypatch.setenv(rapl.VARIABLE, str(tmp_path))
    monkeypatch.setattr(nvml, "is_there", lambda: False)
    return tmp_path


@pytest.fixture
def zones(folder: Path) -> Callable[..., Path]:
    """Writes the files of some zones."""
    return lambda zones=INTEL: _powercap(folder, zones)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a recorded NVML in the place of the real one; `None`: the package is missing."""

    def use(joules: Callable[[], float] | None, watts: Callable[[], float] | None = None, **more: object) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", RecordedNvml(joules, watts, **more))  # type: ignore[arg-type]

    return use


def _powercap(root: Path, zones: Zones) -> Path:
    for folder, name, energy, top in zones:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "name").write_text(f"{name}\n")
        (root / folder / "max_energy_range_uj").write_text(f"{top}\n")
        (root / folder / "energy_uj").write_text(f"{energy}\n")
    return root

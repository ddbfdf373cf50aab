"""RAPL: the energy counters of a processor, as Linux shows them in files (the powercap interface).

Each zone has a folder with `name`, `energy_uj` (a counter of microjoules that starts again at 0 once it has passed
`max_energy_range_uj`) and zones within it. See the kernel's Documentation/power/powercap/powercap.rst.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from snnprof.errors import SnnprofError

FOLDER = "/sys/class/powercap"
VARIABLE = "SNNPROF_POWERCAP"
"""Environment variable that names another folder, for containers that mount the host's files elsewhere."""
POLL_S = 20.0
"""A counter of 2³² µJ, the smallest in use, wraps after 21 s at 200 W."""


class Rapl:
    """The zones of one machine as one sensor: all packages and their memory (`dram`).

    Zones inside a package (`core`, `uncore`) would count twice. `psys` covers the packages, so it is read only if there
    are none.
    """

    name = "RAPL"
    method = "energy counter"
    poll_s = POLL_S

    def __init__(self, zones: list[Path]) -> None:
        """Reads each zone once.

        Raises:
            SnnprofError: a zone cannot be read.
        """
        self._zones = [_Zone(folder) for folder in zones]
        self.device = f"{_processor()}, {' + '.join(zone.name for zone in self._zones)}"

    def joules(self) -> float:
        """Returns the joules since the zones were opened."""
        return sum(zone.microjoules() for zone in self._zones) / 1e6


class _Zone:
    def __init__(self, folder: Path) -> None:
        self._counter = folder / "energy_uj"
        self.name = _text(folder / "name")
        self._range = int(_text(folder / "max_energy_range_uj"))
        self._last, self._sum = self._now(), 0

    def microjoules(self) -> int:
        """Returns the microjoules since this zone was opened; a counter that has fallen has wrapped around once."""
        now = self._now()
        self._sum += now - self._last if now >= self._last else now + self._range - self._last
        self._last = now
        return self._sum

    def _now(self) -> int:
        return int(_text(self._counter))


def zones() -> list[Path]:
    """Returns the folders of the zones to add up; empty without RAPL."""
    root = Path(os.environ.get(VARIABLE) or FOLDER)
    named = {folder: _name(folder) for folder in sorted(root.glob("intel-rapl:*")) if (folder / "energy_uj").exists()}
    added = [folder for folder, name in named.items() if name.startswith("package") or name == "dram"]
    return added or [folder for folder, name in named.items() if name == "psys"]


def _name(folder: Path) -> str:
    try:
        return (folder / "name").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
        if path.name != "name" and not re.fullmatch(r"\d+", text):
            raise SnnprofError(f"cannot read the processor's energy: {path} holds {text[:40]!r}, not a number")
        return text
    except PermissionError as error:
        hint = f"as root: chmod a+r {path.parent.parent}/intel-rapl:*/energy_uj; or measure as root"
        raise SnnprofError(f"cannot read the processor's energy: no permission for {path}", hint) from error
    except (OSError, ValueError) as error:
        raise SnnprofError(f"cannot read the processor's energy from {path}: {error}") from error


def _processor() -> str:
    """Returns the processor's name as Linux gives it, else its architecture."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.machine() or "processor"

"""snnprof: what a spiking neural network costs, in operations and in joules.

`import snnprof` is cheap: each name below is loaded on first use, with what it needs.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnprof import shown
from snnprof._version import __version__

if TYPE_CHECKING:
    from snnprof import errors
    from snnprof.activity import Activity
    from snnprof.comparison import Comparison, compare
    from snnprof.hardware import HardwareProfile, load_hardware, prices
    from snnprof.mapping import map_to_chip
    from snnprof.pricing import EnergyReport, Reports, price
    from snnprof.record.recorder import Recorder
    from snnprof.sweeps import Sweep
    from snnprof.traffic import Route, Traffic
    from snnprof.workload.models import load_model
    from snnprof.workload.run import profile
    from snnprof.workload.sweep import sweep

_HOME = {
    "Activity": "snnprof.activity",
    "Comparison": "snnprof.comparison",
    "EnergyReport": "snnprof.pricing",
    "HardwareProfile": "snnprof.hardware",
    "Recorder": "snnprof.record.recorder",
    "Reports": "snnprof.pricing",
    "Sweep": "snnprof.sweeps",
    "Route": "snnprof.traffic",
    "Traffic": "snnprof.traffic",
    "compare": "snnprof.comparison",
    "load_hardware": "snnprof.hardware",
    "load_model": "snnprof.workload.models",
    "map_to_chip": "snnprof.mapping",
    "price": "snnprof.pricing",
    "prices": "snnprof.hardware",
    "profile": "snnprof.workload.run",
    "sweep": "snnprof.workload.sweep",
}

__all__ = [
    "Activity",
    "Comparison",
    "EnergyReport",
    "HardwareProfile",
    "Recorder",
    "Reports",
    "Route",
    "Sweep",
    "Traffic",
    "__version__",
    "compare",
    "errors",
    "load_hardware",
    "load_model",
    "map_to_chip",
    "price",
    "prices",
    "profile",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("snnprof.errors")
    if name not in _HOME:
        raise AttributeError(f"module 'snnprof' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__


# This file is above all modules in the import order, so only it may name the renderer; see snnprof/shown.py.
shown.render_with(lambda: importlib.import_module("snnprof.render.values"))


# In a checkout, `models/` and `hardware_profiles/` are beside this folder; in an installed package, inside it.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "pyproject.toml").is_file() and (_checkout / "hardware_profiles" / "__init__.py").is_file():
    __path__.append(str(_checkout))

"""The tools that a run can be compared with, and whether they are there."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version

from snnprof.against.records import Tool
from snnprof.errors import SnnprofError, first_line

TITLES: dict[Tool, str] = {"spikingjelly": "SpikingJelly", "neurobench": "NeuroBench"}
COUNTS_IN: dict[Tool, str] = {
    "spikingjelly": "spikingjelly.activation_based.op_counter",
    "neurobench": "neurobench.metrics.workload",
}
"""The module of each tool that counts."""
REQUIREMENTS: dict[Tool, str] = {"spikingjelly": "spikingjelly>=2.0", "neurobench": "neurobench>=2.2"}


def must_be_installed(tool: Tool) -> None:
    """Raises SnnprofError where a tool is not there."""
    try:
        version(tool)
    except PackageNotFoundError:
        raise SnnprofError(
            f"{TITLES[tool]} is not installed, so nothing can be compared with it",
            hint=f"pip install '{REQUIREMENTS[tool]}'",
        ) from None


def must_count(tool: Tool) -> None:
    """Raises SnnprofError where a tool is not there, or the part of it that counts cannot be imported."""
    must_be_installed(tool)
    try:
        importlib.import_module(COUNTS_IN[tool])
    except ImportError as error:
        raise SnnprofError(
            f"{TITLES[tool]} {version(tool)} has no {COUNTS_IN[tool]} that can be imported: {first_line(error)}",
            hint=f"pip install '{REQUIREMENTS[tool]}'",
        ) from error

"""The tools with which a run can be compared, and whether they are installed."""

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
"""Tool → its module that counts."""
REQUIREMENTS: dict[Tool, str] = {"spikingjelly": "spikingjelly>=2.0", "neurobench": "neurobench>=2.2"}


def must_be_installed(tool: Tool) -> None:
    """Checks that a tool is installed.

    Raises:
        SnnprofError: it is not.
    """
    try:
        version(tool)
    except PackageNotFoundError:
        raise SnnprofError(
            f"{TITLES[tool]} is not installed, so nothing can be compared with it",
            hint=f"pip install '{REQUIREMENTS[tool]}'",
        ) from None


def must_count(tool: Tool) -> None:
    """Checks that a tool is installed, and that the part of it that counts can be imported.

    Raises:
        SnnprofError: it is not, or it cannot.
    """
    must_be_installed(tool)
    try:
        importlib.import_module(COUNTS_IN[tool])
    except ImportError as error:
        raise SnnprofError(
            f"{TITLES[tool]} {version(tool)} has no {COUNTS_IN[tool]} that can be imported: {first_line(error)}",
            hint=f"pip install '{REQUIREMENTS[tool]}'",
        ) from error

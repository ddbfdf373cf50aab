"""Hardware profiles: what a machine's operations cost, and who says so. One YAML file per profile."""

from snnprof.hardware.loader import DEFAULT, PROVENANCE, Problem, bundled, check, load_hardware, names, profiles, stubs
from snnprof.hardware.lookup import ENTRY_POINTS
from snnprof.hardware.own import OwnPrices, prices, prices_in
from snnprof.hardware.rules import COVERED_BY_WHOLE
from snnprof.hardware.schema import (
    EVIDENCE,
    SCHEMA,
    SYNAPSES,
    WHOLE,
    Coefficients,
    Component,
    Energy,
    Evidence,
    HardwareProfile,
    Kind,
    Level,
    Memory,
    Number,
    OperatingPoint,
    Picojoules,
    Precision,
    Price,
    PriceField,
    Scope,
    Source,
    Static,
    Synapse,
    Technology,
    json_schema,
    picojoules,
)

__all__ = [
    "COVERED_BY_WHOLE", "DEFAULT", "ENTRY_POINTS", "EVIDENCE", "PROVENANCE", "SCHEMA", "SYNAPSES", "WHOLE",
    "Coefficients", "Component", "Energy", "Evidence", "HardwareProfile", "Kind", "Level", "Memory", "Number",
    "OperatingPoint", "OwnPrices", "Picojoules", "Precision", "Price", "PriceField", "Problem", "Scope", "Source",
    "Static", "Synapse", "Technology", "bundled", "check", "json_schema", "load_hardware", "names", "picojoules",
    "prices", "prices_in", "profiles", "stubs",
]  # fmt: skip

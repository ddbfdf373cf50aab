"""Cautions about an energy figure: what the price list leaves out, and which comparisons are unfair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snnprof.activity import Finding
from snnprof.hardware import HardwareProfile

if TYPE_CHECKING:
    from snnprof.pricing import EnergyReport


def cautions(report: EnergyReport) -> list[Finding]:
    return []


def mismatches(a: HardwareProfile, b: HardwareProfile) -> list[Finding]:
    """Why a ratio of energies across two profiles says little about the networks."""
    return []

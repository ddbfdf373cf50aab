"""Compares estimates with measurements: cases that others measured, and the energies by the hardware profiles."""

from snnprof.validation.cases import Case, Demand, cases, find
from snnprof.validation.checks import Check, Span, Tally, check, checks, tally
from snnprof.validation.needs import Need, need, needs

__all__ = [
    "Case", "Check", "Demand", "Need", "Span", "Tally", "cases", "check", "checks", "find", "need", "needs", "tally",
]  # fmt: skip

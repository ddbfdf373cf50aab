"""Estimated against measured energy: a point, or a range, for each profile that was held against a case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snnprof.errors import SnnprofError
from snnprof.hardware import EVIDENCE, Evidence
from snnprof.validation import Check, Span
from snnprof.validation.cases import Relation

RELATIONS: tuple[Relation, ...] = ("own", "predecessor", "other", "derived", "same prices")


@dataclass(frozen=True)
class Mark:
    """One estimate; energies are picojoules per inference."""

    case: str
    hardware: str
    evidence: Evidence
    relation: Relation
    measured: float
    estimate: Span


@dataclass(frozen=True)
class Marks:
    """Estimates of energies.

    Attributes:
        cases: measured energies by case, from the lowest on.
        evidence, relations: those that occur, in their own order.
    """

    marks: tuple[Mark, ...]
    cases: tuple[tuple[str, float], ...]
    evidence: tuple[Evidence, ...]
    relations: tuple[Relation, ...]


def marks_of(checks: Sequence[Check]) -> Marks:
    """The estimates of energies; those of power stand in the table alone.

    Raises:
        SnnprofError: there is none.
    """
    marks = tuple(
        Mark(
            each.case.id, each.hardware.id, each.evidence, each.relation, each.case.measured.value, each.estimate
        )
        for each in checks
        if each.case.measured.energy is not None and each.estimate and each.estimate.high
    )  # fmt: skip
    if not marks:
        raise SnnprofError(
            "there is nothing to plot: no case has both a measured energy and an estimate",
            hint="choose other cases or profiles; a table has all of them",
        )
    measured = {mark.case: mark.measured for mark in marks}
    evidence = {mark.evidence for mark in marks}
    relations = {mark.relation for mark in marks}
    return Marks(
        marks,
        tuple(sorted(measured.items(), key=lambda item: item[1])),
        tuple(each for each in EVIDENCE if each in evidence),
        tuple(each for each in RELATIONS if each in relations),
    )

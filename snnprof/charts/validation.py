"""The data of the figure of validation: estimated against measured energy of each profile and measured case."""

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
    """One estimate of a measured energy.

    Attributes:
        case: id of the measured case.
        hardware: id of the hardware profile.
        evidence: kind of evidence for the profile's prices.
        relation: relation of the profile's chip to the measured one.
        measured: measured energy in pJ per inference.
        estimate: estimated energy in pJ per inference, a value or a range.
    """

    case: str
    hardware: str
    evidence: Evidence
    relation: Relation
    measured: float
    estimate: Span


@dataclass(frozen=True)
class Marks:
    """Estimates of measured energies.

    Attributes:
        marks: the estimates.
        cases: id and measured energy of each case, from the lowest energy to the highest.
        evidence: the kinds of evidence that occur, in their usual order.
        relations: the relations that occur, in their usual order.
    """

    marks: tuple[Mark, ...]
    cases: tuple[tuple[str, float], ...]
    evidence: tuple[Evidence, ...]
    relations: tuple[Relation, ...]


def marks_of(checks: Sequence[Check]) -> Marks:
    """The estimates of energies. Estimates of power are only in the table.

    Raises:
        SnnprofError: there is no estimate of an energy.
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

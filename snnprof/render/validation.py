"""The document of the validation: measured cases and the estimates for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from snnprof.render.catalogues import source_text
from snnprof.render.facts import WORK
from snnprof.render.table import UNKNOWN, Column, Document, Notes, Row, Table, Value
from snnprof.units import brief_count, brief_energy, brief_power, energy_text
from snnprof.validation import Case, Check, Need, Tally, needs, tally

RELATIONS = {
    "own": "this machine", "predecessor": "its predecessor", "other": "other hardware",
    "derived": "this case itself", "same prices": "the simulator's own",
}  # fmt: skip
_MUST = {"low": "low", "high": "high", "either": UNKNOWN, "equal": "equal"}
_PEOPLE = (
    Column("case", "Case"),
    Column("measured", "Measured", drop=1),
    Column("hardware", "Price list"),
    Column("relation", "Prices of", drop=3),
    Column("evidence", "Evidence", drop=2),
    Column("estimate", "Estimate"),
    Column("error", "Error"),
    Column("must", "Must err", drop=4),
    Column("holds", "Holds", drop=4),
)
_MACHINE = (
    "case", "machine", "network", "case_evidence", "measured_what", "measured_pj", "measured_w", "hardware", "relation",
    "evidence", "is_check", "estimate_low", "estimate", "estimate_high", "error_low", "error", "error_high", "must_err",
    "errs_as_it_must", "measured_in_range", "unpriced", "why",
)  # fmt: skip


def validation(chosen: Sequence[Case], checks: Sequence[Check]) -> Document:
    """The document: estimates next to measurements, the necessary cost of one event, reasons, and what is missing."""
    tables = [
        _checks("energy", "Energy per inference", [case for case in chosen if case.measured.energy], checks),
        _checks("power", "Power", [case for case in chosen if case.measured.power], checks),
        _needs(needs(chosen)),
    ]
    return Document(
        title="Estimates held against measurements",
        tables=tuple(table for table in tables if table.rows),
        facts=(("result", tally_text(tally(checks))),),
        notes=tuple(_notes(chosen, checks)),
        data={"cases": [case.model_dump(mode="json", exclude_none=True) for case in chosen]},
        machine=_machine(checks),
        schema="snnprof.hardware-validation/0",
    )


def tally_text(found: Tally) -> str:
    """The result of all checks in one or two sentences."""
    text = (
        f"{found.checks} of {found.estimates} estimates check a profile; of the {found.directed} that must err to one "
        f"side, {found.holding} do (a range that holds the measurement does)."
    )
    if not found.own:
        return text
    return (
        f"{text} Of the {found.own} that are one figure, on silicon with prices of its own, {found.close} lie within a "
        "factor of 2."
    )


def _checks(name: str, title: str, chosen: Sequence[Case], checks: Sequence[Check]) -> Table:
    """The table with one row for each check, and one for each case without any."""
    rows = []
    for case in chosen:
        of_case = [each for each in checks if each.case.id == case.id]
        cells = [_case(case) | _estimated(each) for each in of_case] or [_case(case) | {"hardware": "no profile"}]
        rows += [Row(each, section=case.id) for each in cells]
    return Table(name, title, _PEOPLE, tuple(rows), _READING if name == "energy" else ())


_READING = (
    "A range runs from no neuron that fires to all that fire at each step where the activity is not published, else "
    "from the lowest to the highest price.",
    "Error: of the estimate; from tenfold on, the estimate over the measurement. ≥: something of the work has no "
    "price. * simulated, not measured.",
    "Prices of 'this case itself' were worked out from it, 'the simulator's own' were used in it: it checks neither.",
)


def _case(case: Case) -> dict[str, Value]:
    simulated = " *" if case.evidence == "simulated" else ""
    return {"case": f"{case.id}{simulated}", "measured": _text_of(case)(case.measured.value)}


def _text_of(case: Case) -> Callable[[float | None], str]:
    """The function that prints the figures of a case: energies or powers."""
    return brief_energy if case.measured.power is None else brief_power


def _estimated(check: Check) -> dict[str, Value]:
    return {
        "hardware": check.hardware.id, "relation": RELATIONS[check.relation], "evidence": check.evidence,
        "estimate": _estimate(check), "error": _error(check), "must": _MUST[check.errs], "holds": check.holds,
    }  # fmt: skip


def _estimate(check: Check) -> str:
    span, text = check.estimate, _text_of(check.case)
    if span is None:
        return UNKNOWN
    bound = "≥ " if check.unpriced else ""
    low, high = text(span.low), text(span.high)
    if span.value is None:
        return f"{bound}{low} – {high}"
    return f"{bound}{text(span.value)}" + (f" ({low} – {high})" if low != high else "")


def _error(check: Check) -> str:
    ratio = check.ratio
    if ratio is None:
        return UNKNOWN
    return _ratio(ratio.value) if ratio.value is not None else f"{_ratio(ratio.low)} to {_ratio(ratio.high)}"


def _ratio(ratio: float) -> str:
    """Estimate over measurement: as an error in percent, or as a factor if they differ at least tenfold.

    >>> _ratio(0.945), _ratio(111.2), _ratio(0.00014), _ratio(0.0)
    ('−5.5 %', '×111', '1/7,143', '−100.0 %')
    """
    if not ratio or 0.1 <= ratio < 10:
        return f"{100 * (ratio - 1):+.1f} %".replace("-", "−")
    return f"×{ratio:,.0f}" if ratio > 1 else f"1/{1 / ratio:,.0f}"


def _needs(found: Sequence[Need]) -> Table:
    columns = (
        Column("case", "Case"),
        Column("operations", "Operations", drop=1),
        Column("per_operation", "Per operation"),
        Column("per_spike", "Per spike"),
        Column("per_neuron_step", "Per neuron-step", drop=2),
    )
    rows = tuple(Row(_need(each)) for each in found)
    note = (
        "All that was measured over the number of one kind of event. ≥: the activity is not published, and this is "
        "what it would be if every neuron fired at each step."
    )
    return Table("needs", "What one event would have to cost", columns, rows, (note,))


def _need(each: Need) -> dict[str, Value]:
    kind = "MACs" if each.dense else "SOPs"
    return {
        "case": each.case.id,
        "operations": f"{'≤ ' if each.at_least else ''}{brief_count(each.operations)} {kind}",
        "per_operation": f"{'≥ ' if each.at_least else ''}{brief_energy(each.operation_pj)}",
        "per_spike": None if each.spike_pj is None else brief_energy(each.spike_pj),
        "per_neuron_step": None if each.neuron_step_pj is None else f"≤ {brief_energy(each.neuron_step_pj)}",
    }


def _notes(chosen: Sequence[Case], checks: Sequence[Check]) -> list[Notes]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for each in checks:
        reasons.setdefault((each.hardware.id, each.why), []).append(each.case.id)
    missing: dict[str, list[str]] = {}
    for case in chosen:
        missing.setdefault(case.missing, []).append(case.id)
    why = tuple(f"{id} on {', '.join(on)}: {reason}." for (id, reason), on in reasons.items())
    lacks = tuple(f"{', '.join(of)}: {text}" for text, of in missing.items())
    both = (Notes("Why an estimate must err as it must", why), Notes("What is missing", lacks))
    return [notes for notes in both if notes.texts]


def _machine(checks: Sequence[Check]) -> Table:
    columns = tuple(Column(key, key) for key in _MACHINE)
    return Table("checks", "", columns, tuple(Row(_for_machines(each)) for each in checks))


def _for_machines(check: Check) -> dict[str, Value]:
    case, span = check.case, check.estimate
    estimate = (span.low, span.value, span.high) if span else (None, None, None)
    errors = check.error_range or (None, None)
    return {
        "case": case.id, "machine": case.machine, "network": case.network, "case_evidence": case.evidence,
        "measured_what": case.measured.what, "measured_pj": case.measured.energy, "measured_w": case.measured.power,
        "hardware": check.hardware.id, "relation": check.relation, "evidence": check.evidence,
        "is_check": check.counts, "estimate_low": estimate[0], "estimate": estimate[1], "estimate_high": estimate[2],
        "error_low": errors[0], "error": check.error, "error_high": errors[1],
        "must_err": check.errs, "errs_as_it_must": check.holds, "measured_in_range": check.inside,
        "unpriced": ", ".join(check.unpriced) or None, "why": check.why,
    }  # fmt: skip


def parts_text(check: Check) -> str:
    """The parts of an estimate by kind of work, with six digits; "" if there is only one kind."""
    parts = [f"{WORK.get(what, what)} {energy_text(pj, 6)}" for what, pj in check.parts.items() if pj]
    return f"{energy_text(sum(check.parts.values()), 6)}: {', '.join(parts)}" if len(parts) > 1 else ""


def _figure(case: Case) -> str:
    measured = case.measured
    return brief_power(measured.power) if measured.energy is None else energy_text(measured.energy)


def case_facts(case: Case) -> list[tuple[str, str]]:
    """The facts about one case: pairs of label and text."""
    return [
        (case.evidence, f"{case.measured.what}: {_figure(case)}"),
        *case.figures.items(),
        ("missing", case.missing),
        *((("not verified in a source", ", ".join(case.unverified)),) if case.unverified else ()),
        *(("source", source_text(source)) for source in case.sources),
    ]

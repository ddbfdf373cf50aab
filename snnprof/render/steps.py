"""The document of `report --by step`: each layer at each time step."""

from __future__ import annotations

from snnprof.pricing import EnergyReport
from snnprof.render import facts
from snnprof.render.table import Column, Document, Notes, Row, Table
from snnprof.step_rows import StepSheet, step_sheet, unstepped

SCHEMA = "snnprof.steps/0"
_COLUMNS = (
    Column("block", machine_only=True), Column("role", machine_only=True), Column("layer", "Layer"),
    Column("op", "Operation", drop=3), Column("index", machine_only=True), Column("category", machine_only=True),
    Column("step", "Step", "integer"), Column("timesteps", "T", "integer", drop=8), Column("input", "Input", drop=7),
    Column("rate", "Rate", "rate"), Column("feeding_rate", "Rate of its feeders", "rate", drop=10),
    Column("neurons", "Neurons", "integer", drop=9), Column("spikes", "Spikes", "count"),
    Column("dense_macs", "Dense MACs", "count", drop=4), Column("exact_sops", machine_only=True),
    Column("events", machine_only=True), Column("sops", "SOPs", "count"), Column("acs", machine_only=True),
    Column("macs", "MACs", "count", drop=2), Column("input_shape", "Input shape", drop=12),
    Column("weight_shape", "Weight shape", drop=13), Column("output_shape", "Output shape", drop=14),
    Column("fed_by", machine_only=True), Column("per", machine_only=True),
)  # fmt: skip


def steps_document(report: EnergyReport, command: str = "") -> Document:
    """The document with one row per layer and time step.

    Args:
        report: the priced run.
        command: the command that makes the document again.
    """
    sheet = step_sheet(report)
    rows = tuple(Row(dict(row), section=f"{row['layer']} {row['op']} {row['index']}") for row in sheet.rows)
    table = Table("steps", f"Each time step, {facts.per(report.activity)}", _COLUMNS, rows)
    notes = Notes("What is not known by step", tuple(_untold(report, sheet)))
    return Document(
        title=facts.title(report.activity),
        tables=(table,),
        facts=(("counted by", f"{report.convention.label}: {report.convention.rule} ({report.convention.source})"),),
        notes=(notes,) if notes.texts else (),
        data=facts.data([report]),
        command=command,
        schema=SCHEMA,
    )


def _untold(report: EnergyReport, sheet: StepSheet) -> list[str]:
    texts = []
    if sheet.untold:
        names = _listed(sheet.untold)
        reason = "the run file does not hold them, or the convention counts the run as a whole"
        texts.append(f"SOPs and MACs of {names}: {reason}. Profile again with this version, and with --timesteps.")
    if missing := unstepped(report):
        texts.append(f"{_listed(missing)}: the number of time steps is not known, so they have no row.")
    if report.excluded:
        texts.append(facts.excluded_text(report))
    return texts


def _listed(names: object) -> str:
    every = list(names) if isinstance(names, (list, tuple)) else []
    return ", ".join(every[:6]) + (f" and {len(every) - 6} more" if len(every) > 6 else "")

"""The document of the steps behind a layer's figures: one table for each operation of the layer."""

from __future__ import annotations

from collections.abc import Sequence

from snnprof.derivation import Derivation, Step
from snnprof.pricing import EnergyReport
from snnprof.render import facts
from snnprof.render.table import Column, Document, Row, Table
from snnprof.units import energy_text, without_noise

SCHEMA = "snnprof.derivation/0"
COLUMNS = (
    Column("step", "Step"),
    Column("figure", "Figure"),
    Column("value", kind="decimal", machine_only=True),
    Column("unit", machine_only=True),
    Column("how", "Where it comes from"),
    Column("layer", machine_only=True),
    Column("op", machine_only=True),
)


def derivation_document(report: EnergyReport, found: Sequence[Derivation], command: str = "") -> Document:
    """The document with all steps of some layers.

    Args:
        report: the priced run.
        found: the steps of each operation.
        command: the command that makes the document again.
    """
    activity = report.activity
    about = (
        ("Run", facts.title(activity)),
        ("Counted by", f"{report.convention.id}: {report.convention.title}"),
        ("Priced by", f"{report.hardware.id}: {report.hardware.title}"),
        ("Figures", "over the whole run, unless they say per inference"),
    )
    layers = list(dict.fromkeys(each.layer for each in found))
    tables = tuple(
        Table(
            "steps" if not place else f"steps_{place + 1}",
            f"{each.layer}: {each.op}",
            COLUMNS,
            tuple(_row(each, s) for s in each.steps),
        )
        for place, each in enumerate(found)
    )
    rows = tuple(_row(each, step) for each in found for step in each.steps)
    return Document(
        title=f"Where the figures of {' and '.join(layers)} come from",
        tables=tables,
        machine=Table("rows", "", COLUMNS, rows),
        facts=about,
        command=command,
        schema=SCHEMA,
    )


def _row(derivation: Derivation, step: Step) -> Row:
    value = None if step.value is None else without_noise(float(step.value))
    value = int(value) if value is not None and value.is_integer() else value
    return Row(
        {"step": step.what, "figure": _figure(step), "value": value, "unit": step.unit or None, "how": step.how,
         "layer": derivation.layer, "op": derivation.op}
    )  # fmt: skip


def _figure(step: Step) -> str:
    if step.value is None:
        return ""
    if step.unit == "pJ":
        return energy_text(step.value)
    value = without_noise(float(step.value))
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.2f}"

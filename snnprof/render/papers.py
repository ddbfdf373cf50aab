"""Published rows as documents: the list of all, and one row with its arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from snnprof.audit.layer_tables import layer_energies
from snnprof.audit.printed import Printed
from snnprof.render.table import Column, Document, Notes, Row, Table, Value

if TYPE_CHECKING:
    from snnprof.audit.layer_tables import Layer
    from snnprof.audit.printed import Range
    from snnprof.literature import Published

MJ, GIGA = 1e9, 1e9
PUBLISHED_COLUMNS = (
    Column("id", "paper:ID"),
    Column("model", "Model", drop=9),
    Column("dataset", "Data", drop=4),
    Column("resolution", "Size", "integer", drop=5),
    Column("timesteps", "T", "integer", drop=3),
    Column("parameters_m_printed", "Parameters (M)", "decimal", drop=6),
    Column("accuracy_percent_printed", "Accuracy (%)", "decimal", drop=2),
    Column("sops_g_printed", "SOPs (G)", "decimal"),
    Column("flops_g_printed", "FLOPs (G)", "decimal", drop=7),
    Column("energy_mj_printed", "Energy (mJ)", "decimal"),
    Column("recomputed_mj", "By its formula (mJ)", "decimal", drop=1),
    Column("recomputed_low_mj", kind="decimal", machine_only=True),
    Column("recomputed_high_mj", kind="decimal", machine_only=True),
    Column("verdict", "Energy"),
    Column("why", machine_only=True),
    Column("year", "Year", "text", drop=8),
    Column("status", "Read", drop=9),
    Column("kind", machine_only=True),
    Column("scope", machine_only=True),
    Column("parameters_m", kind="decimal", machine_only=True),
    Column("accuracy_percent", kind="decimal", machine_only=True),
    Column("sops_g", kind="decimal", machine_only=True),
    Column("flops_g", kind="decimal", machine_only=True),
    Column("macs_g", kind="decimal", machine_only=True),
    Column("first_layer_macs_g", kind="decimal", machine_only=True),
    Column("head_macs_g", kind="decimal", machine_only=True),
    Column("energy_mj", kind="decimal", machine_only=True),
    Column("attention_rate", kind="rate", machine_only=True),
    Column("output_rate", kind="rate", machine_only=True),
    Column("formula", machine_only=True),
    Column("preset", machine_only=True),
    Column("aliases", machine_only=True),
    Column("source", machine_only=True),
    Column("note", machine_only=True),
)
_AS_PRINTED = {
    "parameters_m": "parameters_m", "accuracy_percent": "accuracy", "sops_g": "sops_g", "flops_g": "flops_g",
    "energy_mj": "energy_mj",
}  # fmt: skip
ACCESS = {
    "paper": "read in the original", "third party": "quoted by another work", "unverified": "from memory, unverified",
}  # fmt: skip


def published_values(row: Published) -> dict[str, Value]:
    """The values of a published row, by the keys of `PUBLISHED_COLUMNS`."""
    numbers: dict[str, Printed | None] = {key: getattr(row, field) for key, field in _AS_PRINTED.items()}
    energy = row.check.energy
    return {
        **{f"{key}_printed": number.text if number is not None else None for key, number in numbers.items()},
        **numbers,
        "id": row.id, "model": row.title, "dataset": row.dataset, "resolution": row.resolution,
        "timesteps": row.timesteps, "recomputed_mj": _mj(energy),
        "recomputed_low_mj": energy.low / MJ if energy else None,
        "recomputed_high_mj": energy.high / MJ if energy else None,
        "verdict": row.verdict, "why": row.check.why or None, "year": str(row.year) if row.year else None,
        "status": row.status, "kind": row.kind, "scope": row.scope, "macs_g": row.macs_g,
        "first_layer_macs_g": row.first_layer_macs_g, "head_macs_g": row.head_macs_g,
        "attention_rate": row.attention_rate, "output_rate": row.output_rate, "formula": row.formula,
        "preset": row.preset, "aliases": " ".join(row.aliases) or None, "source": row.source, "note": row.note,
    }  # fmt: skip


def _mj(energy: Range | None) -> float | None:
    """The middle of a range in mJ, with five digits."""
    return None if energy is None else float(f"{energy.middle / MJ:.5g}")


def paper_list(rows: Sequence[Published], asked: Mapping[str, str]) -> Document:
    """Make a document with one line for each published row, and with the number of energies that follow.

    Args:
        rows: the chosen rows.
        asked: the filters that chose them, by option.
    """
    counts = {
        verdict: sum(row.verdict == verdict for row in rows) for verdict in dict.fromkeys(r.verdict for r in rows)
    }
    summary = "; ".join(f"{count} {_verb(verdict, count)}" for verdict, count in counts.items())
    notes = (
        f"{len(rows)} row{'s' * (len(rows) != 1)}: {summary}.",
        "Energy: whether the printed energy follows from the counts beside it by the formula that its source states, "
        "with the rounding of both taken into account. 'snnprof papers show ID' prints the arithmetic, "
        "'snnprof audit paper:ID' tries other formulas.",
    )
    title = "Published rows" + "".join(f", {option} {value}" for option, value in asked.items())
    table = Table("papers", "", PUBLISHED_COLUMNS, tuple(Row(published_values(row)) for row in rows), notes)
    return Document(title=title, tables=(table,), schema="snnprof.papers/0")


def _verb(verdict: str, count: int) -> str:
    return verdict if count == 1 else verdict.replace("does", "do").replace("follows", "follow")


def paper_row(row: Published) -> Document:
    """Make a document of one published row: printed figures, the arithmetic of the stated formula, the source."""
    alone = Table("printed", "", PUBLISHED_COLUMNS, (Row(published_values(row)),))
    tables = [arithmetic(row) if row.energy_mj is not None else alone]
    if row.layer_table and row.stated and row.stated.reading:
        tables.append(layer_rows(row.layer_table, row.timesteps or 1, row.stated.reading))
    return Document(
        title=f"paper:{row.id}",
        tables=tuple(tables),
        facts=tuple(_facts(row)),
        notes=(Notes("Note", (row.note,)),) if row.note else (),
        data={"row": {**published_values(row), "reading": row.stated and row.stated.reading}},
        schema="snnprof.paper/0",
    )


def _facts(row: Published) -> list[tuple[str, str]]:
    figures = (
        ("parameters", row.parameters_m, "M"), ("accuracy", row.accuracy, "%"), ("SOPs", row.sops_g, "G"),
        ("FLOPs", row.flops_g, "G"), ("MACs", row.macs_g, "G"),
        ("MACs of the first layer, one time step", row.first_layer_macs_g, "G"),
        ("MACs of the head, one time step", row.head_macs_g, "G"), ("energy", row.energy_mj, "mJ"),
    )  # fmt: skip
    printed = [(label, f"{number.text} {unit}") for label, number, unit in figures if number is not None]
    facts = [
        ("model", f"{row.title}{'' if row.scope == 'network' else ', attention products only'}"),
        ("printed for", row.setting),
        *printed,
        ("formula", row.stated.words if row.stated else ""),
        ("verdict", verdict_text(row)),
        ("source", f"{row.source} ({ACCESS[row.status]})"),
        ("bundled as", row.preset or ""),
        ("also called", ", ".join(f"paper:{alias}" for alias in row.aliases)),
    ]
    return [(label, text) for label, text in facts if text]


def verdict_text(row: Published) -> str:
    """The verdict in a sentence, with the energies that it compares."""
    check, printed = row.check, row.energy_mj
    if check.energy is None or printed is None:
        return f"{check.verdict}: {check.why}"
    low, high, middle = (f"{pj / MJ:.5g}" for pj in (check.energy.low, check.energy.high, check.energy.middle))
    between = "" if low == high else f" ({low} to {high}, as the counts are rounded)"
    off = row.excess or 0.0
    apart = "" if row.follows else f", {100 * abs(off):.2g} % {'more' if off > 0 else 'less'}"
    what = check.why or "the formula"
    return f"{check.verdict}: {what} gives {middle} mJ{between}; {printed.text} mJ is printed{apart}"


_ARITHMETIC = (
    Column("term", "Term"),
    Column("operations_g", "Operations (G)", "decimal"),
    Column("price_pj", "Price (pJ)", "decimal"),
    Column("energy_mj", "Energy (mJ)", "decimal"),
    Column("energy_low_mj", "From", "decimal", drop=1),
    Column("energy_high_mj", "To", "decimal", drop=1),
    Column("choice", "Read as", drop=2),
)


def arithmetic(row: Published) -> Table:
    """Make a table of the terms of the stated formula, their sum, and the printed energy."""
    check, rows = row.check, []
    if check.reading:
        rows = [
            Row({
                "term": line.name, "operations_g": line.operations.middle / GIGA, "price_pj": line.price,
                **_energies(line.energy), "choice": line.words or None,
            })
            for line in row.sheet.lines(check.reading)
        ]  # fmt: skip
    if check.energy:
        rows.append(Row({"term": "by the formula", **_energies(check.energy)}, section="sum"))
    if row.energy:
        printed = {**_energies(row.energy), "energy_mj": row.energy_mj}
        rows.append(Row({"term": "as printed", **printed}, section="sum"))
    return Table("arithmetic", "Arithmetic", _ARITHMETIC, tuple(rows))


def _energies(energy: Range) -> dict[str, Value]:
    return {
        "energy_mj": energy.middle / MJ, "energy_low_mj": energy.low / MJ, "energy_high_mj": energy.high / MJ,
    }  # fmt: skip


def layer_rows(layers: Sequence[Layer], steps: int, keys: Mapping[str, str]) -> Table:
    """Make a table of layers with the energy of each by one reading.

    Args:
        layers: of the printed table.
        steps: T.
        keys: the reading's choices, by axis.
    """
    columns = (
        Column("layer", "Layer"),
        Column("role", "Role", drop=2),
        Column("macs_m", "MACs of one step (M)", "decimal", drop=1),
        Column("rate", "Input rate", "decimal"),
        Column("output_rate", "Output rate", "decimal", drop=3),
        Column("energy_mj", "Energy (mJ)", "decimal"),
    )
    rows = tuple(
        Row({
            "layer": layer.layer, "role": layer.role, "macs_m": layer.macs_m, "rate": layer.rate,
            "output_rate": layer.output_rate, "energy_mj": _mj(energy),
        })
        for layer, energy in layer_energies(layers, steps, keys)
    )  # fmt: skip
    return Table("layers", "Layer by layer, by the stated formula", columns, rows)

"""Energy reports as a document of tables. All formats render this document, so that they show the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from snnprof import report_rows
from snnprof.activity import Activity, NeuronRecord, OpRecord
from snnprof.estimates import attention_products, attention_rate, memory_traffic, moves_between_levels, output_rate
from snnprof.grouping import ROOT, By, Group, added, block_of, energy_of, grouped, is_contraction
from snnprof.pricing import EnergyReport
from snnprof.render import facts, notes
from snnprof.render.mapping import mapping_table
from snnprof.render.table import Column, Document, Row, Table, Value
from snnprof.render.web.report import report_page
from snnprof.twins import Twin

_Per = Callable[["float | None"], "float | None"]
_HEADINGS = {"op": "Layer", "layer": "Layer", "block": "Block", "role": "Role"}
_REST = {"elementwise": "other arithmetic", "neuron": "neurons", "static": "static power"}


def report_document(
    reports: Sequence[EnergyReport], by: By = "op", command: str = "", figures: bool = False
) -> Document:
    """Make a document of one run.

    Args:
        reports: one for each price list, all of the same run and convention.
        by: what one row of the first table stands for.
        command: the command that makes the document again.
        figures: add the figures of the web page.
    """
    reports = list(reports)
    activity = reports[0].activity
    tables = [_operations(reports, by)]
    if activity.neurons:
        tables.append(_neurons(activity, per_inference(activity)))
    if attention_products(activity):
        tables.append(_attention(activity))
    tables += [_traffic(report) for report in reports if moves_between_levels(report)]
    if reports[0].mapping:
        tables.append(mapping_table(reports[0].mapping))
    tables.append(_totals(reports))
    return Document(
        title=facts.title(activity),
        tables=tuple(tables),
        machine=_machine(reports, by),
        facts=tuple(facts.facts(reports)),
        notes=notes.topics(notes.remarks(reports), [report.hardware.id for report in reports]),
        data=facts.data(reports),
        command=command,
        page=report_page(reports) if figures else None,
    )


def per_inference(activity: Activity) -> _Per:
    """The function that divides a total of the run by its samples; it changes nothing where they are unknown."""
    samples = activity.samples
    return lambda value: value / samples if samples and value is not None else value


def energy_columns(reports: Sequence[EnergyReport]) -> list[Column]:
    """One column of energies for each price list. A narrow terminal may leave out all but the first."""
    keys = report_rows.energy_keys([report.hardware.id for report in reports])
    pairs = enumerate(zip(keys, reports, strict=True))
    return [Column(key, report.hardware.id, "energy", drop=min(position, 1)) for position, (key, report) in pairs]


def _energies(ids: Iterable[str], energies: Iterable[float | None], per: _Per) -> dict[str, Value]:
    return {key: per(energy) for key, energy in zip(report_rows.energy_keys(list(ids)), energies, strict=True)}


# -- operations ------------------------------------------------------------------------------------------------


def _operations(reports: list[EnergyReport], by: By) -> Table:
    """Contractions grouped as `by` says, then one line for each other kind of work, and the total."""
    activity = reports[0].activity
    per = per_inference(activity)
    fine = by in ("op", "layer")
    groups = grouped(reports, by, is_contraction) if fine else grouped(reports, by)
    rows = [Row(_values(group, by, per), section=group.block if fine else "") for group in groups]
    rows += [_rest(reports, category, by, per) for category in _REST] if fine else []
    rows = [row for row in rows if row.values]
    rows.append(_total(reports, by, per))
    return Table("operations", f"Operations {facts.per(activity)}", _columns(reports, by), tuple(rows))


def _columns(reports: list[EnergyReport], by: By) -> tuple[Column, ...]:
    convention = reports[0].convention.label
    counted = [Column("sops", f"SOPs, {convention}", "count")] if convention != "exact" else []
    one = (
        Column("op", "Operation", drop=3),
        Column("input", "Input", drop=5),
        Column("rate", "Input rate", "rate", drop=4),
    )
    return (
        Column(_key(by), _HEADINGS[by]),
        *(one if by in ("op", "layer") else ()),
        *([Column("fed_by", "Fed by", drop=8)] if by == "layer" else []),
        Column("dense_macs", "Dense MACs", "count", drop=7),
        Column("exact_sops", "Exact SOPs", "count"),
        *counted,
        Column("macs", "MACs", "count", drop=2),
        Column("formula_sops", "Rate × MACs (papers)", "count", drop=6),
        Column("deviation", "Formula vs. exact", "signed_percent", drop=6),
        *energy_columns(reports),
    )


def _values(group: Group, by: By, per: _Per) -> dict[str, Value]:
    identity: dict[str, Value] = {
        "layer": group.name, "block": group.block or None, "role": group.role or None, _key(by): group.name,
        "op": group.op, "input": group.label or None, "rate": group.rate, "fed_by": ", ".join(group.fed_by) or None,
    }  # fmt: skip
    counts = _counts(group, per) if any(map(is_contraction, group.rows)) else {}
    return {**identity, **counts, **_energies(group.energies, group.energies.values(), per)}


def _counts(group: Group, per: _Per) -> dict[str, Value]:
    return {
        "dense_macs": per(group.dense_macs), "exact_sops": per(group.exact_sops), "events": per(group.events),
        "sops": per(group.sops),
        "acs": per(group.acs), "macs": per(group.macs), "formula_sops": per(group.formula_sops),
        "deviation": group.deviation,
    }  # fmt: skip


def _key(by: By) -> str:
    return "layer" if by == "op" else by


def _rest(reports: list[EnergyReport], category: str, by: By, per: _Per) -> Row:
    """One line for all work of another kind; without values where the run has none, or it has no price."""
    energies = [energy_of(row for row in r.rows if row.category == category) for r in reports]
    if not any(energies):
        return Row({})
    ids = [report.hardware.id for report in reports]
    return Row({_key(by): _REST[category], **_energies(ids, energies, per)}, section="rest")


def _total(reports: list[EnergyReport], by: By, per: _Per) -> Row:
    totals = reports[0].totals
    exact = added(group.exact_sops for group in grouped(reports[:1], "op", is_contraction))
    values: dict[str, Value] = {
        _key(by): "total", "dense_macs": per(totals.dense_macs), "exact_sops": per(exact),
        "sops": per(totals.sops), "macs": per(totals.macs), "formula_sops": per(totals.formula_sops),
        "deviation": totals.deviation,
        **_energies([r.hardware.id for r in reports], [energy_of([r.totals]) for r in reports], per),
    }  # fmt: skip
    return Row(values, total=True)


def _machine(reports: list[EnergyReport], by: By) -> Table:
    """Every line of the report as one row, of whatever kind of work. Their energies add up to the total."""
    lines = report_rows.rows(reports, by)
    return Table("rows", "", tuple(map(Column, report_rows.columns(reports, by))), tuple(map(Row, lines)))


# -- neurons and totals ----------------------------------------------------------------------------------------


def _neurons(activity: Activity, per: _Per) -> Table:
    columns = (
        Column("layer", "Neuron layer"),
        Column("type", "Type", drop=4),
        Column("neurons", "Neurons", "integer", drop=2),
        Column("timesteps", "T", "integer", drop=3),
        Column("spikes", "Spikes", "count", drop=1),
        Column("firing_rate", "Firing rate", "rate"),
    )
    rows = tuple(Row(_neuron(n, per), section=block_of(activity, n.layer)) for n in activity.neurons)
    return Table("neurons", f"Neuron layers {facts.per(activity)}", columns, rows)


def _neuron(neuron: NeuronRecord, per: _Per) -> dict[str, Value]:
    return {
        "layer": neuron.layer or ROOT, "type": neuron.type, "neurons": neuron.size, "timesteps": neuron.steps,
        "spikes": per(neuron.spikes), "firing_rate": neuron.rate,
    }  # fmt: skip


def _attention(activity: Activity) -> Table:
    """The two firing rates of SSA_Bin's table 1."""
    columns = (
        Column("layer", "Attention layer"),
        Column("fr_attn", "fr_attn", "rate"),
        Column("fr_out", "fr_out", "rate"),
    )
    products = attention_products(activity)
    rows = [Row({"layer": op.layer or ROOT, **_attention_rates(activity, [op])}) for op in products]
    rows.append(Row({"layer": "all", **_attention_rates(activity, products)}, total=True))
    note = "fr_attn: non-zero share of the attention matrix that weighs V; fr_out: firing rate of the neurons after it."
    return Table("attention", "Attention", columns, tuple(rows), (note,))


def _attention_rates(activity: Activity, products: list[OpRecord]) -> dict[str, Value]:
    return {"fr_attn": attention_rate(products), "fr_out": output_rate(activity, products)}


def _traffic(report: EnergyReport) -> Table:
    """The words that each level of the memory reads and writes, by layer and tensor."""
    per = per_inference(report.activity)
    columns = (
        Column("layer", "Layer"), Column("op", "Op"), Column("tensor", "Tensor"), Column("level", "Level"),
        Column("bits", "Bits", "integer"), Column("reads", "Reads", "count", apart=True),
        Column("writes", "Writes", "count", apart=True),
    )  # fmt: skip
    rows = [
        Row({"layer": row.layer, "op": row.op, "tensor": moved.tensor, "level": level, "bits": moved.bits,
             "reads": per(moved.reads), "writes": per(moved.writes)}, section=row.layer)
        for row, moved, level in memory_traffic(report)
    ]  # fmt: skip
    id = report.hardware.id
    name = f"memory_traffic_{id.replace('-', '_').replace('.', '_')}"
    return Table(name, f"Words moved on {id} ({facts.per(report.activity)})", columns, tuple(rows))


def _totals(reports: list[EnergyReport]) -> Table:
    """The run beside reference points: executed densely, the equivalent ANN, and the bounds of its energy."""
    per = per_inference(reports[0].activity)
    ids = [report.hardware.id for report in reports]
    columns = (Column("run", "Scenario"), Column("operations", "Operations", "count"), *energy_columns(reports))
    pairs: list[tuple[str, list[EnergyReport] | list[Twin]]] = [
        ("This SNN", reports),
        ("SNN executed densely (no sparsity exploited)", [report.dense_run for report in reports]),
        ("Equivalent ANN (ANN twin; single forward pass)", [report.ann_twin for report in reports]),
    ]
    rows = [
        Row({"run": name, "operations": per(runs[0].operations),
             **_energies(ids, [_energy(run) for run in runs], per)})
        for name, runs in pairs
    ]  # fmt: skip
    rows += [Row({"run": name, **_energies(ids, energies, per)}) for name, energies in _limits(reports)]
    return Table("twins", f"Reference points ({facts.per(reports[0].activity)})", columns, tuple(rows))


def _limits(reports: list[EnergyReport]) -> Iterator[tuple[str, list[float | None]]]:
    """The ANN twin with activations as narrow as the spike trains, and the bounds of this network's energy."""
    narrow = [report.quantised_twin for report in reports]
    bits = {twin.bits for twin in narrow if twin}
    if bits:
        yield (
            f"Equivalent ANN, {bits.pop()}-bit activations as INT8",
            [twin.energy_pj if twin else None for twin in narrow],
        )
    ends = [report.energy_range_pj for report in reports]
    yield "Lower bound: no neuron fires", [silent for silent, _ in ends]
    yield "Upper bound: every neuron fires at every step", [firing for _, firing in ends]


def _energy(run: EnergyReport | Twin) -> float | None:
    return run.energy_pj if isinstance(run, Twin) else energy_of([run.totals])

"""Documents of comparisons: side by side, in detail, and in the layouts that papers print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from snnprof import catalogue, estimates
from snnprof.comparison import PRINTED, Comparison, Entry, Estimate, Ratio, Side
from snnprof.grouping import By, Group, grouped
from snnprof.pricing import EnergyReport
from snnprof.render import notes
from snnprof.render.table import Column, Document, Kind, Notes, Row, Table, Value
from snnprof.render.web.comparison import comparison_page
from snnprof.statistics import Interval

SCHEMA = "snnprof.comparison/0"
PaperLayout = Literal["main", "ablation"]


def comparison_document(
    comparison: Comparison, by: By | None = None, command: str = "", figures: bool = False
) -> Document:
    """The figures side by side, the ratios to the baseline, and what differs.

    Args:
        comparison: the comparison.
        by: what one row of the details stands for; None for no details.
        command: the command that makes the document again.
        figures: add the page with pictures, for HTML.
    """
    tables = [_side_by_side(comparison)]
    if comparison.ratios:
        tables.append(_ratios(comparison))
    if by:
        tables.append(_detail(comparison, by))
    return Document(
        title=f"{len(comparison.sides)} models compared, baseline: {comparison.baseline.name}",
        tables=tuple(tables),
        notes=_notes(comparison),
        data={
            "baseline": comparison.baseline.name,
            "differing": list(comparison.differing),
            "margin_points": comparison.margin,
        },
        command=command,
        schema=SCHEMA,
        page=comparison_page(comparison) if figures else None,
    )


def _side_by_side(comparison: Comparison) -> Table:
    ids = comparison.hardware
    columns = (
        Column("name", "Model"),
        Column("accuracy", "Accuracy", "percent", interval="accuracy_spread", drop=1),
        Column("accuracy_interval", "95 % CI of accuracy", drop=2),
        Column("accuracy_low", kind="percent", machine_only=True),
        Column("accuracy_high", kind="percent", machine_only=True),
        Column("parameters", "Parameters", "count", drop=5, apart=True, alone=True),
        Column("timesteps", "T", "integer", drop=4),
        Column("dense_macs", "Dense MACs", "count", drop=6, apart=True),
        Column("sops", "SOPs", "count", interval="sops_spread", apart=True),
        Column("macs", "MACs", "count", drop=3, apart=True),
        *(_energy_column(id, position) for position, id in enumerate(ids)),
        Column("samples", "Samples", "integer", drop=7),
        *([Column("unlike", f"Unlike {comparison.baseline.name}")] if comparison.unlike else []),
        Column("per", machine_only=True),
    )
    unlike: dict[str, dict[str, Value]] = {name: {"unlike": text} for name, text in comparison.unlike.items()}
    rows = tuple(
        Row({**_side_values(side, ids), **unlike.get(side.name, {})}, best=_marks(comparison, side))
        for side in comparison.sides
    )
    notes = (*_footnotes(comparison.sides), *_about_best(comparison))
    return Table("sides", "Per inference", columns, rows, notes)


def _energy_column(id: str, position: int) -> Column:
    heading = "As published" if id == PRINTED else id
    key = _energy_key(id)
    return Column(key, heading, "energy", interval=f"{key}_spread", drop=2 if position else 0, apart=True)


def _energy_key(id: str) -> str:
    return "energy_pj_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in id)


def _side_values(side: Side, ids: Iterable[str]) -> dict[str, Value]:
    energies = {id: side.energies.get(id, Estimate()) for id in ids}
    accuracy = side.accuracy.interval
    grouped = len(side.entry.runs) > 1
    return {
        "name": side.name, "accuracy": side.accuracy.value,
        "accuracy_spread": side.accuracy.half if grouped else None,
        "accuracy_interval": None if grouped else bounds_text(accuracy),
        "accuracy_low": accuracy.low if accuracy else None, "accuracy_high": accuracy.high if accuracy else None,
        "parameters": side.parameters, "timesteps": side.timesteps, "dense_macs": side.dense_macs,
        "sops": side.sops.value, "sops_spread": side.sops.half, "macs": side.macs, "samples": side.samples,
        "per": "inference",
        **{_energy_key(id): energy.value for id, energy in energies.items()},
        **{f"{_energy_key(id)}_spread": energy.half for id, energy in energies.items()},
    }  # fmt: skip


def bounds_text(interval: Interval | None) -> str | None:
    """The bounds of an accuracy in percent, such as `97.6–99.7`; None if they are unknown."""
    if interval is None or interval.low is None or interval.high is None:
        return None
    return f"{100 * interval.low:.1f}–{100 * interval.high:.1f}"


def _about_best(comparison: Comparison) -> Iterable[str]:
    if any(comparison.best.values()):
        yield (
            "The best figure is marked among runs on the same data, and only if its 95 % interval overlaps no other. "
            "Published rows are not ranked."
        )


def _marks(comparison: Comparison, side: Side) -> frozenset[str]:
    keys = {id: _energy_key(id) for id in comparison.hardware}
    return frozenset(keys.get(figure, figure) for figure, names in comparison.best.items() if side.name in names)


def _ratios(comparison: Comparison) -> Table:
    columns = (
        Column("name", "Model"),
        Column("hardware", "Hardware", drop=1),
        Column("energy_ratio", "Energy ×", "ratio"),
        *(Column(key, kind=kind, machine_only=True) for key, kind in _RATIO_BOUNDS.items()),
        Column("operations_ratio", "Operations ×", "ratio", drop=2),
        Column("price_ratio", "Price per operation ×", "ratio", drop=3),
        Column("claim", "In words"),
    )
    rows = tuple(Row(_ratio_values(ratio), section=ratio.name) for ratio in comparison.ratios)
    note = (
        f"A saving is claimed only if the 95 % interval of the energy ratio excludes 1, and the whole interval of the "
        f"accuracy difference stays above −{comparison.margin:g} points (--margin)."
    )
    return Table("ratios", f"Relative to {comparison.baseline.name}", columns, rows, (note,))


_RATIO_BOUNDS: dict[str, Kind] = {
    "energy_ratio_low": "ratio", "energy_ratio_high": "ratio", "accuracy_difference": "percent",
    "accuracy_difference_low": "percent", "accuracy_difference_high": "percent",
}  # fmt: skip


def _ratio_values(ratio: Ratio) -> dict[str, Value]:
    accuracy = ratio.accuracy
    return {
        "name": ratio.name, "hardware": "as published" if ratio.hardware == PRINTED else ratio.hardware,
        "energy_ratio": ratio.energy.value, "energy_ratio_low": ratio.energy.low,
        "energy_ratio_high": ratio.energy.high, "accuracy_difference": accuracy.value if accuracy else None,
        "accuracy_difference_low": accuracy.low if accuracy else None,
        "accuracy_difference_high": accuracy.high if accuracy else None,
        "operations_ratio": ratio.operations, "price_ratio": ratio.price, "claim": ratio.claim,
    }  # fmt: skip


def _footnotes(sides: Sequence[Side]) -> Iterable[str]:
    spreads = dict.fromkeys(side.spread for side in sides if side.spread and _has_spread(side))
    if spreads:
        yield f"±: {'; '.join(spreads)}."


def _has_spread(side: Side) -> bool:
    grouped = (side.accuracy,) if len(side.entry.runs) > 1 else ()
    return any(e.half is not None for e in (*grouped, side.sops, *side.energies.values()))


def _notes(comparison: Comparison) -> tuple[Notes, ...]:
    """The notes: what to read first, what differs between the sides, other notes on the runs, sources of rows."""
    sides = comparison.sides
    runs = [side for side in sides if side.entry.reports]
    remarks = notes.together([notes.remarks(side.entry.reports, side.name) for side in runs])
    hardware = [id for id in comparison.hardware if id != PRINTED]
    own = notes.topics(remarks, hardware, [side.name for side in runs])
    rest = {"What differs": comparison.differing, "Published rows": tuple(_published_sources(sides))}
    differing, published = (Notes(topic, texts) for topic, texts in rest.items())
    first = [part for part in own if part.topic == notes.FIRST]
    others = [part for part in own if part.topic != notes.FIRST]
    return tuple(part for part in (*first, differing, *others, published) if part.texts)


def _published_sources(sides: Sequence[Side]) -> Iterable[str]:
    for side in sides:
        row = side.entry.published
        if row:
            yield f"{side.name}: {row.source} ({row.status}){f'; {row.note}' if row.note else ''}"


# -- in detail -------------------------------------------------------------------------------------------------


def _detail(comparison: Comparison, by: By) -> Table:
    """The table of SOPs and energy of each layer, block or role, with one pair of columns per run."""
    sides = [side for side in comparison.sides if side.entry.reports]
    groups = {side.name: {g.name: g for g in grouped([side.entry.reports[0]], by)} for side in sides}
    names = dict.fromkeys(name for table in groups.values() for name in table)
    columns = [Column(by, by.capitalize())]
    for position, side in enumerate(sides):
        columns.append(Column(f"sops_{position + 1}", "SOPs", "count", group=side.name))
        columns.append(Column(f"energy_pj_{position + 1}", "Energy", "energy", drop=1, group=side.name))
    rows = tuple(Row({by: name, **_pairs(sides, groups, name)}) for name in names)
    hardware = sides[0].entry.reports[0].hardware.id if sides else ""
    return Table("detail", f"By {by}, energy on {hardware}", tuple(columns), rows)


def _pairs(sides: Sequence[Side], groups: dict[str, dict[str, Group]], name: str) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for position, side in enumerate(sides):
        group, per = groups[side.name].get(name), side.entry.reports[0].per_inference
        if group:
            values[f"sops_{position + 1}"] = per(group.sops)
            values[f"energy_pj_{position + 1}"] = per(next(iter(group.energies.values())))
    return values


# -- as papers print -------------------------------------------------------------------------------------------


def paper_document(comparison: Comparison, layout: PaperLayout, command: str = "") -> Document:
    """The comparison in a layout that papers print: `main` or `ablation`."""
    table = _main(comparison) if layout == "main" else _ablation(comparison)
    return Document(title="Comparison", tables=(table,), notes=_notes(comparison), command=command, schema=SCHEMA)


def _main(comparison: Comparison) -> Table:
    """The table `main`: method, architecture, parameters, operations, energy, T, accuracy; ANN twins below runs."""
    columns = (
        Column("method", "Method"),
        Column("architecture", "Architecture", drop=2),
        Column("parameters", "Param", "count", drop=3, apart=True, alone=True),
        Column("operations", "OPs", "count", apart=True),
        Column("energy_pj", "Energy", "energy", apart=True),
        Column("timesteps", "T", "integer", drop=1),
        Column("accuracy", "Acc", "percent"),
    )
    rows = [row for side in comparison.sides for row in _main_rows(comparison, side)]
    notes = (*_main_notes(comparison.sides), *_unlike(comparison), *_about_best(comparison))
    return Table("main", "", columns, tuple(rows), notes)


def _unlike(comparison: Comparison) -> Iterable[str]:
    """A note on the rows whose data, image size or T differ from the baseline's."""
    if comparison.unlike:
        rows = "; ".join(f"{name} ({text})" for name, text in comparison.unlike.items())
        yield f"Not in the setting of {comparison.baseline.name}: {rows}."


def _main_rows(comparison: Comparison, side: Side) -> list[Row]:
    id = next(iter(side.energies), "")
    values: dict[str, Value] = {
        "method": side.name, "architecture": _architecture(side.entry), "parameters": side.parameters,
        "operations": side.sops.value, "energy_pj": side.energies[id].value if id else None,
        "timesteps": side.timesteps, "accuracy": side.accuracy.value,
    }  # fmt: skip
    best = {"accuracy": "accuracy", "sops": "operations", id: "energy_pj"}
    marked = {best[figure] for figure, names in comparison.best.items() if figure in best and side.name in names}
    rows = [Row(values, section=side.name, best=frozenset(marked))]
    return [*rows, _twin_row(side.entry.reports[0], side)] if side.entry.reports else rows


def _twin_row(report: EnergyReport, side: Side) -> Row:
    twin = report.ann_twin
    values: dict[str, Value] = {
        "method": f"{side.name}, ANN twin", "architecture": _architecture(side.entry), "parameters": side.parameters,
        "operations": report.per_inference(twin.operations), "energy_pj": report.per_inference(twin.energy_pj),
        "timesteps": 1, "accuracy": None,
    }  # fmt: skip
    return Row(values, section=side.name)


def _architecture(entry: Entry) -> str | None:
    """The network as papers name it, by family, blocks and width; None if unknown."""
    if entry.published:
        return catalogue.architecture_of(entry.published)
    if entry.activity is None:
        return None
    model, settings = entry.activity.run.model, entry.activity.run.conditions.get("--set", "")
    changed = {key: value for key, _, value in (item.partition("=") for item in settings.split())}
    return catalogue.architecture(model.name, model.preset, changed)


def _main_notes(sides: Sequence[Side]) -> Iterable[str]:
    reports = [report for side in sides for report in side.entry.reports[:1]]
    if reports:
        convention, hardware = reports[0].convention, reports[0].hardware
        yield (
            f"OPs: synaptic operations per inference ({convention.rule}); for ANN twins "
            f"dense MACs (1 MAC = 1 FLOP). Energy: {hardware.id} ({hardware.title})."
        )
    if any(side.entry.published for side in sides):
        yield "Published rows: operations and energy as their papers print them."


def _ablation(comparison: Comparison) -> Table:
    """The table `ablation`: one row per method; for each data set the columns Acc, fr_attn, fr_out, SOPs, Energy."""
    sides = comparison.sides
    sets = list(dict.fromkeys(_data_set(side) for side in sides))
    columns = [Column("method", "Method")]
    for name in sets:
        columns += [
            Column(f"{_slug(name)}_accuracy", "Acc", "percent", group=name),
            Column(f"{_slug(name)}_fr_attn", "fr_attn", "rate", drop=2, group=name),
            Column(f"{_slug(name)}_fr_out", "fr_out", "rate", drop=3, group=name),
            Column(f"{_slug(name)}_sops", "SOPs", "count", drop=1, group=name, apart=True),
            Column(f"{_slug(name)}_energy_pj", "Energy", "energy", group=name, apart=True),
        ]
    rows: dict[str, dict[str, Value]] = {}
    for side in sides:
        rows.setdefault(_method(side), {"method": _method(side)}).update(_ablation_values(side))
    notes = (*_main_notes(sides), *_unlike(comparison))
    return Table("ablation", "", tuple(columns), tuple(map(Row, rows.values())), notes)


def _ablation_values(side: Side) -> dict[str, Value]:
    slug, row, activity = _slug(_data_set(side)), side.entry.published, side.entry.activity
    attention, output = (row.attention_rate, row.output_rate) if row else (None, None)
    if activity:
        products = estimates.attention_products(activity)
        attention, output = estimates.attention_rate(products), estimates.output_rate(activity, products)
    energy = next(iter(side.energies.values()), Estimate())
    return {
        f"{slug}_accuracy": side.accuracy.value, f"{slug}_fr_attn": attention, f"{slug}_fr_out": output,
        f"{slug}_sops": side.sops.value, f"{slug}_energy_pj": energy.value,
    }  # fmt: skip


def _data_set(side: Side) -> str:
    if side.entry.published:
        return side.entry.published.dataset or "–"
    return side.entry.activity.run.data.source if side.entry.activity else "–"


def _method(side: Side) -> str:
    return f"{side.entry.published.title} (published)" if side.entry.published else side.name


def _slug(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name.lower())

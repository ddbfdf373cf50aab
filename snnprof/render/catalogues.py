"""Documents of hardware profiles, chips and bundled models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from snnprof.render.mapping import chip_facts, chip_list, chip_table
from snnprof.render.papers import PUBLISHED_COLUMNS, published_values
from snnprof.render.table import Column, Document, Notes, Row, Table, Value

if TYPE_CHECKING:
    from snnprof.catalogue import ModelEntry, Preset
    from snnprof.hardware import HardwareProfile, Memory, Price, Source
    from snnprof.literature import Published
    from snnprof.mapping import Chip

PRICES = {
    "mac": "multiply-accumulate", "ac": "accumulate", "sop": "synaptic operation",
    "sop_conv": "synaptic operation of a convolution", "sop_linear": "synaptic operation of a linear layer",
    "sop_sparse": "synaptic operation of a sparse linear layer",
    "sop_matmul": "synaptic operation of data with data", "neuron_update": "neuron update",
    "neuron_update_idle": "neuron update without input", "spike_out": "spike leaving its neuron",
    "message": "message to one core", "spike_in": "spike arriving", "hop": "crossing of a router",
    "hop_east_west": "crossing of a router, east or west", "hop_north_south": "crossing of a router, north or south",
    "mul": "multiplication", "add": "addition", "compare": "comparison", "learn_update": "learning update",
}  # fmt: skip


def hardware_list(profiles: Sequence[HardwareProfile], stubs: Mapping[str, str], chips: Mapping[str, Chip]) -> Document:
    """One row per profile; one per chip with known limits; then chips without a usable figure, with the reason."""
    columns = (
        Column("id", "Hardware"),
        Column("mac_pj", "MAC (pJ)", "decimal"),
        Column("ac_pj", "AC (pJ)", "decimal"),
        Column("sop_pj", "SOP (pJ)", "decimal"),
        Column("node_nm", "Node (nm)", "decimal", drop=3),
        Column("scope", "Scope", drop=2),
        Column("evidence", "Evidence", drop=1),
        Column("title", "Title", drop=4),
    )
    rows = tuple(Row(_hardware_row(profile)) for profile in profiles)
    notes = tuple(f"{id}: {why}" for id, why in stubs.items())
    note = "Scope 'compute' means arithmetic only; 'snnprof hardware show ID' lists sources and exclusions."
    return Document(
        title="Hardware profiles",
        tables=(Table("hardware", "", columns, rows, (note,)), chip_list(chips)),
        notes=(Notes("Chips without a published energy per operation", notes),) if notes else (),
        data={"stubs": dict(stubs)},
        schema="snnprof.hardware-list/0",
    )


def _hardware_row(profile: HardwareProfile) -> dict[str, Value]:
    energy = profile.energy
    return {
        "id": profile.id, "title": profile.title, "node_nm": profile.technology.node_nm, "scope": profile.scope,
        "evidence": profile.evidence, "mac_pj": _pj(energy.mac), "ac_pj": _pj(energy.ac), "sop_pj": _pj(energy.sop),
    }  # fmt: skip


def _pj(price: Price | None) -> float | None:
    return None if price is None else price.value


def chip_alone(chip: Chip, unpriced: str | None) -> Document:
    """A chip that is no hardware profile.

    Args:
        chip: the chip.
        unpriced: why there are no prices for it; None if profiles of other names have them.
    """
    return Document(
        title=f"{chip.id}: {chip.title}",
        tables=(chip_table(chip),),
        facts=(
            *chip_facts(chip),
            *((("no prices", unpriced),) if unpriced else ()),
            *((("note", chip.note),) if chip.note else ()),
            *(("source", source_text(source)) for source in chip.sources),
        ),
        data={"chip": chip.model_dump(by_alias=True, mode="json")},
        schema="snnprof.hardware-profile/0",
    )  # fmt: skip


def hardware_profile(profile: HardwareProfile, chip: Chip | None = None) -> Document:
    """All prices of one profile, what they cover and their sources; and the limits of the chip of the same name."""
    columns = (
        Column("event", "Event"),
        Column("energy_pj", "Energy (pJ)", "decimal"),
        Column("low_pj", "Low", "decimal", drop=4),
        Column("high_pj", "High", "decimal", drop=4),
        Column("evidence", "Evidence", drop=1),
        Column("source", "Source", drop=2),
        Column("note", "Note", drop=3),
    )
    prices = {name: getattr(profile.energy, name) for name in PRICES}
    rows = tuple(
        Row(_price_row(profile, name, price)) for name, price in prices.items() if price is not None
    )  # fmt: skip
    return Document(
        title=f"{profile.id}: {profile.title}",
        tables=(Table("prices", "", columns, rows), *([chip_table(chip)] if chip else [])),
        facts=(*_profile_facts(profile), *(chip_facts(chip) if chip else [])),
        data={
            "profile": profile.model_dump(by_alias=True, mode="json"),
            **({"chip": chip.model_dump(by_alias=True, mode="json")} if chip else {}),
        },
        schema="snnprof.hardware-profile/0",
    )


def _price_row(profile: HardwareProfile, name: str, price: Price) -> dict[str, Value]:
    return {
        "event": PRICES[name], "energy_pj": price.value, "low_pj": price.low, "high_pj": price.high,
        "evidence": profile.evidence_of(price), "source": price.source, "note": price.note,
    }  # fmt: skip


def _profile_facts(profile: HardwareProfile) -> tuple[tuple[str, str], ...]:
    facts = [
        ("scope", f"{profile.scope}; evidence: {profile.evidence}"),
        ("technology", _listed(profile.technology.model_dump(exclude_none=True))),
        ("precision", _listed(profile.precision.model_dump(exclude_none=True))),
        ("includes", ", ".join(profile.includes)),
        ("excludes", ", ".join(profile.excludes)),
        ("fair ANN price", profile.reference_ann or ""),
        ("messages per spike", "" if profile.messages_per_spike is None else f"{profile.messages_per_spike:g}"),
        ("sparse below", "" if profile.sparse_below is None else f"{100 * profile.sparse_below:g} % non-zero weights"),
        ("derived from", ", ".join(profile.derived_from)),
        ("contained", ", ".join(profile.supersedes)),
        *(_memory_facts(profile.memory) if profile.memory else ()),
        ("static power", _listed(profile.static.model_dump(exclude_none=True)) if profile.static else ""),
        ("unverified", ", ".join(profile.unverified)),
        ("note", profile.note or ""),
        *(("source", source_text(source)) for source in profile.sources),
    ]
    return tuple((label, text) for label, text in facts if text)


def source_text(source: Source) -> str:
    """The citation of a source, the place in it, and whether it was read or cited via a secondary source."""
    where = [source.citation or source.id, source.locator, f"doi:{source.doi}" if source.doi else source.url]
    access = {"read": "read", "secondary": "cited via a secondary source", "memory": "from memory, unverified"}[
        source.access
    ]
    return ", ".join(part for part in where if part) + f" ({access})"


def _memory_facts(memory: Memory) -> Iterator[tuple[str, str]]:
    """Yields how a memory is priced, then the prices of its levels."""
    prices = {"levels", "per_byte", "weight_bit", "state_bit"}
    yield "memory", _listed(memory.model_dump(exclude_none=True, exclude=prices))
    per = "bit" if memory.access_bits == 1 else f"access of {memory.access_bits} bits"
    for level in memory.levels:
        size = "of any size" if level.capacity_bytes is None else f"up to {level.capacity_bytes:,.0f} bytes"
        yield "memory", f"{level.name} {size}: {level.read.value:g} pJ read, {level.write.value:g} pJ write per {per}"
    single = {"byte": memory.per_byte, "bit of a weight": memory.weight_bit, "bit of a state": memory.state_bit}
    yield from (("memory", f"{price.value:g} pJ per {what}") for what, price in single.items() if price)


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


# -- models ----------------------------------------------------------------------------------------------------

_PRESET_COLUMNS = (
    Column("preset", "Preset"),
    Column("parameters", "Parameters", "integer"),
    Column("parameters_used", "Used", "integer", drop=1),
    Column("dense_macs", "Dense MACs", "integer"),
    Column("timesteps", "T", "integer", drop=1),
    Column("input_shape", "Sample", drop=2),
    Column("data", "Data", drop=3),
    Column("checkpoint", "Checkpoint", drop=4),
    Column("accuracy", "Accuracy", "percent", drop=5),
    Column("aliases", "Also called", drop=6),
)


def model_list(entries: Sequence[ModelEntry]) -> Document:
    """One row per preset of every model."""
    columns = (Column("model", "Model"), Column("paper", "Paper", drop=7), *_PRESET_COLUMNS)
    rows = tuple(
        Row({"model": f"{entry.name}:{name}", "paper": _short_paper(entry), **_preset_row(name, preset)}, entry.name)
        for entry in entries
        for name, preset in entry.presets.items()
    )
    shown = tuple(column for column in columns if column.key != "preset")
    notes = tuple(f"{entry.name}: {entry.note}" for entry in entries if entry.reconstruction and entry.note)
    return Document(
        title="Models known by name",
        tables=(Table("models", "", shown, rows, ("Run one with 'snnprof profile NAME:PRESET'.",)),),
        notes=(Notes("Read this first", notes),) if notes else (),
        schema="snnprof.model-list/0",
    )


def model_entry(entry: ModelEntry, published: Sequence[Published]) -> Document:
    """The presets and the paper of a model, what is known and assumed about it, and its published rows."""
    rows = tuple(Row(_preset_row(name, preset)) for name, preset in entry.presets.items())
    tables = [Table("presets", "Presets", _PRESET_COLUMNS, rows)]
    if published:
        tables.append(_published(published))
    facts = [
        ("paper", _paper_line(entry)),
        ("default", entry.default),
        *(("known", text) for text in entry.known),
        *(("assumed", text) for text in entry.assumed),
    ]
    return Document(
        title=f"{entry.name}: {entry.title}",
        tables=tuple(tables),
        facts=tuple(facts),
        notes=(Notes("Read this first", (entry.note,)),) if entry.note else (),
        data={"model": {**entry.model_dump(mode="json"), "published": [r.model_dump(mode="json") for r in published]}},
        schema="snnprof.model/0",
    )


def _published(rows: Sequence[Published]) -> Table:
    columns = tuple(column for column in PUBLISHED_COLUMNS if column.key not in ("model", "year"))
    note = "'snnprof papers show ID' prints the arithmetic of a row."
    return Table("published", "Published figures", columns, tuple(Row(published_values(row)) for row in rows), (note,))


def _preset_row(name: str, preset: Preset) -> dict[str, Value]:
    return {
        "preset": name, "timesteps": preset.timesteps, "data": preset.data, "parameters": preset.parameters,
        "parameters_used": preset.parameters_used, "dense_macs": preset.dense_macs,
        "input_shape": "×".join(map(str, preset.sample_shape())), "aliases": ", ".join(preset.aliases) or None,
        "checkpoint": "shipped" if preset.checkpoint else None, "accuracy": preset.accuracy,
    }  # fmt: skip


def _paper_line(entry: ModelEntry) -> str:
    paper = entry.paper
    return ", ".join(filter(None, [paper.authors, paper.title, paper.venue or str(paper.year), paper.url or paper.doi]))


def _short_paper(entry: ModelEntry) -> str:
    return f"{entry.paper.authors.split(',')[0]} et al. {entry.paper.year}"

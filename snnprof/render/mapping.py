"""A network mapped to a chip (table, line on the first screen, facts), and the limits of a chip."""

from __future__ import annotations

from collections.abc import Mapping as Named
from typing import TYPE_CHECKING, Any

from snnprof.render.table import UNKNOWN, Column, Row, Table, Value
from snnprof.units import count_text, time_text

if TYPE_CHECKING:
    from snnprof.mapping import Chip, Mapping, Placement

LIMITS = {
    "count": "cores on a chip", "neurons": "neurons of a core", "synapses": "synapses of a core",
    "synapse_bits": "bits of synapses of a core", "fan_in": "synapses of one neuron",
    "axons_in": "input axons of a core", "axons_out": "output axons of a core",
    "destinations": "cores that a neuron sends to", "weight_bits": "bits of a weight",
}  # fmt: skip
TIGHTEST = {
    "neurons": "neurons", "synapses": "synapses", "synapse_bits": "synapse memory", "fan_in": "fan-in",
    "axons_in": "input axons",
}  # fmt: skip
COLUMNS = (
    Column("layer", "Layer"),
    Column("neurons", "Neurons", "integer", drop=2),
    Column("cores", "Cores", "integer"),
    Column("cut", "Positions × channels", drop=3),
    Column("limit", "Cut by", drop=4),
    Column("messages_per_spike", "Messages a spike", "decimal"),
    Column("hops_per_spike", "Hops a spike", "decimal", drop=1),
)


def mapping_table(mapping: Mapping) -> Table:
    """The table of a mapping: one row per layer, `–` for unknown values."""
    rows = [Row(_placement(mapping, placement)) for placement in mapping.placements]
    total: dict[str, Value] = {
        "layer": "total",
        "neurons": sum(each.layer.neurons for each in mapping.placements),
        "cores": mapping.cores,
    }
    return Table("placements", f"Layers on {mapping.chip.title}", COLUMNS, (*rows, Row(total, total=True)), (_cuts(),))


def _cuts() -> str:
    return (
        "A layer lies alone on its cores, cut into runs of positions × runs of channels. Messages: cores that a spike "
        "goes to, the mean over the layer's neurons."
    )


def _placement(mapping: Mapping, placement: Placement) -> dict[str, Value]:
    route, grid = mapping.traffic.of(placement.layer.name), placement.grid
    return {
        "layer": placement.layer.name or "(root)", "neurons": placement.layer.neurons, "cores": placement.cores,
        "cut": f"{grid.positions} × {grid.channels}" if grid.placed else None,
        "limit": _limit(placement), "messages_per_spike": _rounded(route.messages),
        "hops_per_spike": _rounded(route.all_hops),
    }  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _limit(placement: Placement) -> str | None:
    if placement.grid.broken:
        return f"does not fit: {', '.join(TIGHTEST[name] for name in placement.grid.broken)}"
    return "your file" if placement.grid.given else ", ".join(TIGHTEST[name] for name in placement.grid.limits) or None


def in_a_line(mapping: Mapping) -> str:
    """The mapping in one line: `54 cores on 1 chip · 3 messages a spike · 547 µs per inference (modelled)`."""
    least = "" if mapping.whole else "at least "
    chips = f"{mapping.chips} chip{'s' * (mapping.chips != 1)}"
    parts = [f"{least}{mapping.cores} core{'s' * (mapping.cores != 1)} on {chips}"]
    if mapping.messages_per_spike is not None:
        parts.append(f"{mapping.messages_per_spike:.3g} messages a spike")
    if mapping.latency_s is not None:
        how = "fixed steps" if mapping.chip.has_fixed_step else "modelled"
        parts.append(f"{time_text(mapping.latency_s)} per inference ({how})")
    return " · ".join(parts)


def mapping_fact(mapping: Mapping) -> str:
    """The mapping in one line, with the chip, the user's file and the chip's note."""
    own = f", changed by {mapping.file}" if mapping.file else ""
    note = f"; {mapping.chip.note}" if mapping.chip.note else ""
    return f"{mapping.chip.title}{own}: {in_a_line(mapping)}{note}"


def mapping_data(mapping: Mapping) -> dict[str, Any]:
    """The mapping as data for JSON."""
    return {
        "chip": mapping.chip.id, "file": mapping.file or None, "cores": mapping.cores, "chips": mapping.chips,
        "complete": mapping.whole, "step_s": mapping.step_s, "latency_s": mapping.latency_s,
        "layers": [_layer_data(mapping, each) for each in mapping.placements],
        "unplaced": [{"layer": op.layer, "op": op.op, "index": op.index} for op in mapping.unplaced],
    }  # fmt: skip


def _layer_data(mapping: Mapping, placement: Placement) -> dict[str, Any]:
    route = mapping.traffic.of(placement.layer.name)
    return {
        "layer": placement.layer.name, "neurons": placement.layer.neurons, "cores": placement.cores,
        "position_runs": placement.grid.positions, "channel_runs": placement.grid.channels,
        "limits": list(placement.grid.limits),
        "broken": {name: {"needed": need, "limit": limit} for name, (need, limit) in placement.grid.broken.items()},
        "messages_per_spike": route.messages, "hops_east_west_per_spike": route.east_west,
        "hops_north_south_per_spike": route.north_south,
    }  # fmt: skip


# -- chips -----------------------------------------------------------------------------------------------------


def chip_table(chip: Chip) -> Table:
    """The table of a chip's limits with their sources, and whether each source was read."""
    columns = (
        Column("limit", "Limit"),
        Column("value", "Value", "integer"),
        Column("access", "Source was", drop=1),
        Column("source", "Source", drop=2),
        Column("note", "Note", drop=3),
    )
    access = {source.id: _ACCESS[source.access] for source in chip.sources}
    rows = [
        Row({"limit": LIMITS[name], "value": limit.value, "source": limit.source, "note": limit.note,
             "access": access.get(limit.source or "")})
        for name, limit in chip.limits()
    ]  # fmt: skip
    return Table("limits", f"Limits for --mapping {chip.id}", columns, tuple(rows))


_ACCESS = {"read": "read", "secondary": "cited second-hand", "memory": "not read"}


def chip_facts(chip: Chip) -> list[tuple[str, str]]:
    """The properties of a chip, besides its limits, on which a mapping depends."""
    kernels = "stored once on a core" if chip.shared_kernels else "stored for each neuron"
    return [
        ("chip", chip.title),
        ("prices of it", ", ".join(chip.prices) or "none"),
        ("kernels", kernels),
        ("spikes", "carry a number" if chip.spikes == "graded" else "carry no number"),
        ("data with data", "can be multiplied" if chip.data_products else "cannot be multiplied"),
        ("hops", _mesh(chip)),
        ("time of a step", _time(chip)),
    ]


def _mesh(chip: Chip) -> str:
    mesh = chip.mesh
    if mesh is None:
        return "not known"
    return f"over a mesh of {mesh.width} × {mesh.height} tiles of {mesh.cores_per_tile} cores ({mesh.source})"


def _time(chip: Chip) -> str:
    if chip.time is None:
        return "not known"
    return f"{_step(chip)} ({chip.time.source})" + (f", {chip.time.note}" if chip.time.note else "")


def _step(chip: Chip) -> str:
    if chip.time is None:
        return UNKNOWN
    return "modelled from single events" if chip.time.step is None else time_text(chip.time.step)


def chip_list(chips: Named[str, Chip]) -> Table:
    """The table of chips: one row per chip."""
    columns = (
        Column("id", "Chip"),
        Column("cores", "Cores", "integer"),
        Column("neurons", "Neurons of a core"),
        Column("time", "Time of a step", drop=2),
        Column("prices", "Prices", drop=3),
        Column("title", "Title", drop=1),
    )
    rows = [
        Row({"id": id, "title": chip.title, "cores": chip.cores_per_chip, "neurons": _neurons(chip),
             "time": _step(chip), "prices": ", ".join(chip.prices) or None})
        for id, chip in chips.items()
    ]  # fmt: skip
    return Table("chips", "Chips for --mapping", columns, tuple(rows))


def _neurons(chip: Chip) -> str:
    sizes = sorted({kind.neurons.value for kind in chip.cores if kind.neurons})
    if not sizes:
        return UNKNOWN
    return count_text(sizes[0]) if len(sizes) == 1 else f"{count_text(sizes[0])} to {count_text(sizes[-1])}"

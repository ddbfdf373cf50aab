"""Every line of a report as one flat record: the rows of its CSV, its JSON and its data frame.

Figures are per inference, or of the whole run; the column `per` of every record says which, so that two files can be
joined without losing it. None means unknown, and no value of a record is a sum of others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as _Named
from functools import partial

from snnprof.activity import Activity, NeuronRecord, OpRecord
from snnprof.errors import SnnprofError
from snnprof.grouping import By, Group, block_of, grouped, is_contraction, role_of
from snnprof.mapping import Mapping
from snnprof.pricing import TERMS, EnergyReport
from snnprof.shown import Per

Record = dict[str, str | int | float | None]
_OF_A_MAPPING = ("cores", "messages_per_spike", "hops_per_spike")
_Each = Callable[[float | None], float | None]

COUNTS = ("dense_macs", "exact_sops", "events", "sops", "acs", "macs", "formula_sops")
TEXTS = (
    "block", "role", "layer", "op", "category", "input", "fed_by", "per",
    "rate_by_step", "input_shape", "weight_shape", "output_shape",
)  # fmt: skip
_OF_ONE_LINE = (
    "timesteps", "neurons", "spikes", "rate_by_step", "input_shape", "weight_shape", "output_shape",
)  # fmt: skip


def default_per(activity: Activity) -> Per:
    """Returns `inference` if the number of samples is known, else `run`."""
    return "inference" if activity.samples else "run"


def rows(reports: Sequence[EnergyReport], by: By = "op", per: Per | None = None) -> list[Record]:
    """Returns the lines of one run, priced on each hardware.

    The reports are of the same run and convention. `by` is what one record represents; only single lines (`op`) have
    time steps, shapes and neurons. `per` None means `default_per`.

    Raises:
        SnnprofError: `per` is `inference`, and the number of samples is unknown.
    """
    activity = reports[0].activity
    per = per or default_per(activity)
    samples = activity.samples if per == "inference" else 1
    if not samples:
        raise SnnprofError(
            "figures per inference need the number of samples, which this run does not know",
            hint="count with recorder.activity(samples=...), or ask for per='run'",
        )
    each = partial(_divided, samples)
    lines = [_record(group, by, each, reports) for group in grouped(list(reports), by)]
    if by == "op":
        lines += _uncounted_neurons(reports[0].considered, lines)
        places = _places(reports[0].mapping)
        lines = [{**line, **_facts(activity, line, each), **places.get(_placed_as(line) or "", {})} for line in lines]
    lines += _excluded(reports[0], by, each)
    names = columns(reports, by)
    return [{name: per if name == "per" else line.get(name) for name in names} for line in lines]


def _divided(samples: int, value: float | None) -> float | None:
    return None if value is None else value / samples


def columns(reports: Sequence[EnergyReport], by: By = "op") -> list[str]:
    """Returns the names of a record's values, in order."""
    identity = ("block", "role", "layer", "op", "index", "category") if by == "op" else (by, "op")
    energies = energy_keys([report.hardware.id for report in reports])
    terms = [_term(key, term) for key in energies for term in TERMS]
    return [
        *identity, "input", "fed_by", "rate", *COUNTS, "deviation", *energies, *terms, "per",
        *(_OF_ONE_LINE if by == "op" else ()),
        *(_OF_A_MAPPING if by == "op" and reports[0].mapping else ()),
    ]  # fmt: skip


def energy_keys(ids: Sequence[str]) -> list[str]:
    """Returns `energy_pj`, or with several hardware one name for each, such as `energy_pj_rolls_77fj`."""
    names = [slug(id) for id in ids]
    return ["energy_pj"] if len(ids) == 1 else [f"energy_pj_{name}" for name in names]


def slug(name: str) -> str:
    """Writes a name as a part of a column's name: `rolls-77fj` → `rolls_77fj`."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)


def _term(energy_key: str, term: str) -> str:
    """Returns the column for one kind of work in an energy: `energy_pj_loihi` → `sop_pj_loihi`."""
    return energy_key.replace("energy", term, 1)


def _record(group: Group, by: By, each: _Each, reports: Sequence[EnergyReport]) -> Record:
    """Returns the record of a group, with counts only if it contains contractions."""
    row = group.rows[0]
    fine = by == "op"
    counts = {name: each(getattr(group, name)) for name in COUNTS} if any(map(is_contraction, group.rows)) else {}
    return {
        "block": group.block or None, "role": group.role or None, by: group.name,
        **({"layer": row.layer, "index": row.index, "category": row.category} if fine else {}),
        "op": row.op if fine else group.op, "input": group.label or None, "fed_by": ", ".join(group.fed_by) or None,
        "rate": group.rate, **counts, "deviation": group.deviation, **_energies(group, each, reports),
    }  # fmt: skip


def _energies(group: Group, each: _Each, reports: Sequence[EnergyReport]) -> Record:
    ids = [report.hardware.id for report in reports]
    record: Record = {}
    for key, id in zip(energy_keys(ids), ids, strict=True):
        record[key] = each(group.energies[id])
        record |= {_term(key, term): each(pj) for term, pj in group.terms[id].items()}
    return record


# -- facts of single lines -------------------------------------------------------------------------------------


def _uncounted_neurons(activity: Activity, lines: Sequence[Record]) -> list[Record]:
    """Returns records of the neuron layers for which the convention has no line: their rates are still known."""
    there = {line["layer"] for line in lines if line["category"] == "neuron"}
    return [
        {"layer": neuron.layer, "op": neuron.type, "category": "neuron", "rate": neuron.rate,
         "block": block_of(activity, neuron.layer), "role": role_of(activity, neuron.layer, None)}
        for neuron in activity.neurons
        if neuron.layer not in there
    ]  # fmt: skip


def _excluded(report: EnergyReport, by: By, each: _Each) -> list[Record]:
    """Returns records of what `--exclude` leaves out: they hold only dense MACs, so that no other sum contains it."""
    return [
        {by: layer, "layer": layer, "op": "excluded", "category": "excluded", "dense_macs": each(macs),
         "block": block_of(report.activity, layer), "role": role_of(report.activity, layer, None)}
        | ({} if by in ("op", "layer") else {by: layer})
        for layer, macs in report.excluded
    ]  # fmt: skip


def _places(mapping: Mapping | None) -> dict[str, Record]:
    """Returns cores and routes by layer."""
    if mapping is None:
        return {}
    routes = mapping.traffic
    return {
        each.layer.name: {
            "cores": each.cores, "messages_per_spike": routes.of(each.layer.name).messages,
            "hops_per_spike": routes.of(each.layer.name).all_hops,
        }
        for each in mapping.placements
    }  # fmt: skip


def _placed_as(line: _Named[str, object]) -> str | None:
    """Returns the layer of a mapping that a line is about: neurons, or an output that feeds no neuron."""
    return str(line["layer"]) if line["category"] in ("neuron", "contraction") else None


def _facts(activity: Activity, line: _Named[str, object], each: _Each) -> Record:
    """Returns time steps, neurons, spikes and shapes of the operation or neuron layer behind a line."""
    if line["category"] == "neuron":
        return next((_of_neurons(n, each) for n in activity.neurons if n.layer == line["layer"]), {})
    key = (line["layer"], line["op"], line["index"])
    return next((_of_operation(op) for op in activity.ops if op.key == key), {})


def _of_neurons(neuron: NeuronRecord, each: _Each) -> Record:
    return {
        "timesteps": neuron.steps, "neurons": neuron.size, "spikes": each(neuron.spikes),
        "rate_by_step": " ".join(f"{rate:.6g}" for rate in rates_by_step(neuron)) or None,
    }  # fmt: skip


def rates_by_step(neuron: NeuronRecord) -> list[float]:
    """Returns the spikes per neuron at each time step; empty if the steps are unknown."""
    steps = len(neuron.spikes_per_step)
    return [spikes * steps / neuron.updates for spikes in neuron.spikes_per_step] if neuron.updates else []


def _of_operation(op: OpRecord) -> Record:
    return {"timesteps": op.steps, **shapes(op)}


def shapes(op: OpRecord) -> Record:
    """Returns shapes without the batch, such as `3x32x32`; for data × data those of both, `196x64 @ 64x196`."""
    sides = [_shape(op, "left"), _shape(op, "right")]
    return {
        "input_shape": " @ ".join(side for side in sides if side) or _shape(op, "input"),
        "weight_shape": _shape(op, "weight"), "output_shape": _shape(op, "output"),
    }  # fmt: skip


def _shape(op: OpRecord, name: str) -> str | None:
    sizes = op.shape.get(name)
    return "x".join(map(str, sizes)) if isinstance(sizes, list) and sizes else None

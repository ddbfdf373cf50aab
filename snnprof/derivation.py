"""Explains a layer's figures: each step from its shape to picojoules, with the numbers of the run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from snnprof import memory
from snnprof.activity import Activity, ElementwiseRecord, NeuronRecord, OpRecord, Part
from snnprof.conventions import exact, formula, kinds
from snnprof.conventions.counts import Counts, Line, Options
from snnprof.errors import SnnprofError, unknown
from snnprof.grouping import ROOT
from snnprof.hardware import HardwareProfile, Price
from snnprof.priced_work import synapse_kind
from snnprof.pricing import EnergyReport, Row, Term
from snnprof.units import percent_text

Record = OpRecord | ElementwiseRecord | NeuronRecord
_SKIPS_ZEROS = ("add", "bias", "reduce", "mul")
"""Element-wise operations that count an operand of zero as no work."""


@dataclass(frozen=True)
class Step:
    """One figure, and how it follows from the figures before it.

    Attributes:
        what: name of the figure.
        value: the figure over the whole run; None if it is no number, or unknown.
        how: a formula with its numbers, or a sentence.
        unit: `pJ`; `""` for counts.
    """

    what: str
    value: float | None
    how: str
    unit: str = ""


@dataclass(frozen=True)
class Derivation:
    """One line of a report, step by step.

    Attributes:
        layer: path of the module; `(root)` for the model itself.
        op: `conv`, `linear`, `matmul 1`, an element-wise operation, or the type of a neuron layer.
        steps: from the shape, or the number of neurons, to the energy per inference.
    """

    layer: str
    op: str
    steps: tuple[Step, ...]


def derivations(report: EnergyReport, layer: str) -> list[Derivation]:
    """Returns every line of a layer in the order of the report; layer `(root)` is the model itself.

    Raises:
        SnnprofError: the run has no such layer, or the layer computes nothing itself.
    """
    path = "" if layer == ROOT else layer
    rows = [row for row in report.rows if row.layer == path and row.category != "static"]
    reported = {_key(row) for row in rows}
    left_out = [each for each in _recorded(report.activity) if each.layer == path and _record_key(each) not in reported]
    found = [_of_row(report, row) for row in rows] + [_of_left_out(report, each) for each in left_out]
    if not found:
        raise _no_layer(report, layer)
    return found


def layers(report: EnergyReport) -> list[str]:
    """Returns the layers in the order of the report, then those of which the convention counts nothing."""
    counted = [row.layer for row in report.rows if row.category != "static"]
    named = counted + [each.layer for each in _recorded(report.activity)]
    return [layer or ROOT for layer in dict.fromkeys(named)]


def _key(row: Row) -> tuple[str, str, int | None]:
    return row.layer, row.op, row.index


def _recorded(activity: Activity) -> Iterator[Record]:
    yield from activity.ops
    yield from activity.elementwise
    yield from activity.neurons


def _record_key(record: Record) -> tuple[str, str, int | None]:
    """Returns the key that the row of a record has, if the convention counts it."""
    if isinstance(record, OpRecord):
        return record.key
    return record.layer, record.type if isinstance(record, NeuronRecord) else record.op, None


def _no_layer(report: EnergyReport, layer: str) -> SnnprofError:
    inside = [name for name in layers(report) if name.startswith(f"{layer}.")]
    if inside:
        more = f" and {len(inside) - 5} more" if len(inside) > 5 else ""
        return SnnprofError(f"{layer} computes nothing itself", hint=f"inside it: {', '.join(inside[:5])}{more}")
    return unknown("layer", layer, layers(report), see="snnprof report RUN.json --by layer")


def _of_row(report: EnergyReport, row: Row) -> Derivation:
    if row.category == "contraction":
        op = next(op for op in report.activity.ops if op.key == _key(row))
        steps = (*_counted(op, report.activity), *_by_convention(report, op, row), *_energy(report, row, op))
    elif row.category == "neuron":
        neuron = next(each for each in report.activity.neurons if each.layer == row.layer)
        steps = (*_neurons(report.activity, neuron), *_energy(report, row))
    else:
        steps = (*_elements(report.activity, row), *_energy(report, row))
    name = f"{row.op} {row.index}" if row.op == "matmul" else row.op
    return Derivation(row.layer or ROOT, name, (*steps, *_per_inference(report, row)))


def _of_left_out(report: EnergyReport, record: Record) -> Derivation:
    """Derives what the run recorded and the convention does not count."""
    why = f"convention {report.convention.id} does not count this operation"
    if isinstance(record, OpRecord):
        steps = (*_counted(record, report.activity), Step("SOPs", None, why))
        name = f"{record.op} {record.index}" if record.op == "matmul" else record.op
    elif isinstance(record, NeuronRecord):
        name, steps = record.type, (*_neurons(report.activity, record), Step("energy", None, why))
    else:
        if exact.vanishes(record, report.convention.settings):
            why = "its factor folds into the weights before it and its shift into their bias: nothing is left to count"
        name, steps = record.op, (*_elementwise(record), Step("energy", None, why))
    return Derivation(record.layer or ROOT, name, steps)


# -- from the shape to events: what the run recorded ---------------------------------------------------------------


def _counted(op: OpRecord, activity: Activity) -> Iterator[Step]:
    yield Step("shape", None, shape_text(op))
    yield Step("dense MACs", op.dense_macs, _dense_text(op, activity))
    padding = op.dense_macs - op.valid_macs
    yield Step(
        "valid MACs", op.valid_macs,
        f"{op.dense_macs:,} − {padding:,} products with zero padding" if padding else "the same: no zero padding",
    )  # fmt: skip
    yield Step("non-zero inputs", op.nonzero, _nonzero_text(op))
    yield Step("events", op.events, _events_text(op))


def shape_text(op: OpRecord) -> str:
    """Writes shapes such as `8×16×16 → 16×16×16, weight 16×8×3×3, stride 1×1, padding 1×1`, without batch and time."""
    sides = [_sizes(op.shape.get(name)) for name in ("left", "right")]
    read = " @ ".join(filter(None, sides)) or _sizes(op.shape.get("input")) or "not recorded"
    written = _sizes(op.shape.get("output"))
    parts = [f"{read} → {written}" if written else read]
    parts += [f"{name} {_sizes(op.shape[name])}" for name in ("weight", "stride", "padding") if op.shape.get(name)]
    if op.shape.get("groups", 1) != 1:
        parts.append(f"groups {op.shape['groups']}")
    if op.shape.get("transposed"):
        parts.append("transposed")
    return ", ".join(parts)


def closed_form(op: OpRecord) -> list[int]:
    """Returns factors whose product is the dense MACs of one sample and step (or of one token or head of it).

    A convolution: outputs × input channels / groups × kernel; transposed: inputs × output channels / groups × kernel. A
    linear layer: inputs × outputs of one row. A product [M, K] @ [K, N]: M × K × N. Empty if the shape is unknown.
    """
    shape = op.shape
    if op.op == "conv" and shape.get("weight"):
        elements = shape.get("input") if shape.get("transposed") else shape.get("output")
        return [math.prod(elements), *shape["weight"][1:]] if elements else []
    if op.op == "linear" and shape.get("input") and shape.get("output"):
        return [math.prod(shape["input"]), shape["output"][-1]]
    if shape.get("left") and shape.get("right"):
        return [*shape["left"][-2:], shape["right"][-1]]
    return []


def _dense_text(op: OpRecord, activity: Activity) -> str:
    """Writes the closed form with its numbers; the run recorded how often it was computed."""
    factors = closed_form(op)
    once = math.prod(factors)
    if not factors or not once:
        return "recorded; the shape is not known"
    words = {"conv": " inputs" if op.op == "conv" and op.shape.get("transposed") else " outputs", "linear": " inputs"}
    first, *rest = factors
    text = f"{first:,}{words.get(op.op, '')} × {' × '.join(f'{each:,}' for each in rest)}"
    steps, samples = op.steps, activity.samples
    passes = op.dense_macs / once
    if not steps or not samples or passes % (steps * samples):
        return f"{text} × {passes:,.9g} passes, as recorded"
    each = int(passes) // (steps * samples)
    ending = f" × {each:,} times in each, for tokens or heads" if each > 1 else ""
    return f"{text} × {_several(steps, 'time step')} × {_several(samples, 'sample')}{ending}"


def _nonzero_text(op: OpRecord) -> str:
    if not op.elements:
        return "nothing was read"
    read = f"of {op.elements:,} input elements ({percent_text(op.nonzero / op.elements, 2)}), {kinds.label(op)}"
    return f"{read}, from {', '.join(name or ROOT for name in op.fed_by)}" if op.fed_by else read


def _events_text(op: OpRecord) -> str:
    if len(op.data) > 1:
        return "pairs of two non-zero elements that meet in the product, counted one by one"
    if not op.nonzero:
        return "no input is non-zero, so none meets a weight"
    return f"each non-zero input × the weights that it meets: {op.events / op.nonzero:,.5g} on average"


# -- from events to SOPs and MACs: the convention's choices --------------------------------------------------------


def _by_convention(report: EnergyReport, op: OpRecord, row: Row) -> Iterator[Step]:
    """Yields the operations that the convention counts, each with the rule that gives this number."""
    options = report.convention.settings
    spikes, multiplied = kinds.split(op, options)
    share = exact.encoder_share(op, options)
    once = f"; × 1/{op.steps}: the constant input is encoded once" if share != 1 else ""
    otherwise = f"by convention {report.convention.id}: {report.convention.title}"
    if options.method == "formula" and op.dense_macs:
        counted = percent_text((row.sops or row.macs) / share / op.dense_macs, 2)
        otherwise = f"{counted} × {op.dense_macs:,} dense MACs, {otherwise}"
    if row.sops or (not row.macs and (spikes or options.real == "sop")):
        how = _rule_for(row.sops / share, _sop_rules(report, op, spikes), otherwise)
        yield Step("SOPs", row.sops, f"{how}{once}")
    if row.macs or (not row.sops and multiplied and options.real != "sop"):
        how = _rule_for(row.macs / share, _mac_rules(report, op, multiplied), otherwise)
        yield Step("MACs", row.macs, f"{how}{once}")
    if row.formula_sops is not None and options.method != "formula" and op.elements:
        rate = formula.rate_of(op, report.activity, "input", kinds.split(op, Options())[0])
        how = f"for comparison, the papers' formula: {percent_text(rate, 2)} × dense MACs of spikes"
        yield Step("rate × MACs", row.formula_sops, how)


def _rule_for(count: float, rules: Iterable[tuple[float, str]], otherwise: str) -> str:
    """Returns the first rule that gives the count; conventions have rules of their own, which their titles tell."""
    return next((text for value, text in rules if math.isclose(value, count)), otherwise)


def _sop_rules(report: EnergyReport, op: OpRecord, spikes: Sequence[Part]) -> Iterator[tuple[float, str]]:
    """Yields (count, rule) for each way to count additions that spikes cause, the likeliest first."""
    options, activity = report.convention.settings, report.activity
    if options.method == "formula":
        for parts, which in ((spikes, "dense MACs of the spike-driven steps"), (op.parts, "dense MACs")):
            rate, dense = formula.rate_of(op, activity, options.rate, list(parts)), _sum(parts, "dense_macs")
            yield (rate or 0) * dense, f"{options.rate} rate {percent_text(rate, 2)} × {dense:,} {which}"
    if len(op.data) > 1 and options.attention != "pairs":
        each = {"dense": "all products, zeros included"}.get(
            options.attention, f"each non-zero of the {options.attention} operand × all products that it is part of"
        )
        yield _sum(spikes, "dense_macs" if options.attention == "dense" else options.attention), each
    if options.synapses == "nonzero":
        yield _sum(spikes, "effective"), "one for each event of spikes on a weight that is not zero"
    if kinds.single_level(op) or options.levels == "events":
        yield _sum(spikes, "events"), "one for each event of spikes"
    yield _sum(spikes, "by_value"), "an input of value n counts n times"
    if options.real == "sop":
        counts = exact.op_counts(op, options).sops
        real = counts - exact.op_counts(op, replace(options, real="mac")).sops
        yield counts, f"{counts - real:,.12g} of spikes, and {real:,.12g} multiplications that count as SOPs (real=sop)"


def _mac_rules(report: EnergyReport, op: OpRecord, multiplied: Sequence[Part]) -> Iterator[tuple[float, str]]:
    """Yields (count, rule) for each way to count multiplications, the likeliest first."""
    options = report.convention.settings
    why = "its input is real-valued" if any(p.kind == "real" for p in multiplied) else "its levels are multiplied"
    chosen = {"valid": "valid_macs", "dense": "dense_macs", "nonzero": "events"}[options.real_count]
    if options.real_count == "nonzero" and options.synapses == "nonzero":
        chosen = "effective"
    for name in dict.fromkeys([chosen, "dense_macs"]):
        yield _sum(multiplied, name) if multiplied else math.nan, f"{why}: {_MACS[name]} of those steps"
    for name, text in _MACS.items():
        yield _sum(op.parts, name), f"convention {report.convention.id} multiplies here: {text}"


_MACS = {
    "dense_macs": "dense MACs",
    "valid_macs": "valid MACs",
    "events": "products of non-zero inputs",
    "effective": "products of non-zero inputs and non-zero weights",
}


def _sum(parts: Iterable[Part], name: str) -> int:
    return sum(getattr(part, name) for part in parts)


# -- other lines -----------------------------------------------------------------------------------------------


def _neurons(activity: Activity, neuron: NeuronRecord) -> Iterator[Step]:
    steps = f" × {_several(neuron.steps, 'time step')}" if neuron.steps else ""
    samples = f" × {_several(activity.samples, 'sample')}" if activity.samples else ""
    exactly = neuron.size * (neuron.steps or 0) * (activity.samples or 0) == neuron.updates
    yield Step(
        "neuron updates", neuron.updates, f"{neuron.size:,} neurons{steps}{samples}" if exactly else "as recorded"
    )
    yield Step("spikes", neuron.spikes, f"firing rate {percent_text(neuron.rate, 2)} of all updates")
    yield Step("driven updates", neuron.driven, "updates with an input that is not zero")


def _elements(activity: Activity, row: Row) -> Iterator[Step]:
    if row.op in ("bias", "shift"):
        added = sum(op.bias_adds for op in activity.ops if op.layer == row.layer and op.index == row.index)
        yield Step("additions", added, "one for each output of the operation that the constant is added to")
        return
    for entry in activity.elementwise:
        if (entry.layer, entry.op) == (row.layer, row.op):
            yield from _elementwise(entry)


def _elementwise(entry: ElementwiseRecord) -> Iterator[Step]:
    yield Step("elements", entry.elements, "results computed (of pooling and sums: elements read)")
    if entry.nonzero is not None:
        rest = "; the others are no work" if entry.op in _SKIPS_ZEROS else ""
        yield Step("non-zero", entry.nonzero, f"operands that are not zero{rest}")
    if entry.op == "batch_norm":
        folded = "folds into the weights before it" if entry.foldable else "does not fold into weights"
        yield Step("folding", None, f"it {folded}")


# -- from counts to picojoules ---------------------------------------------------------------------------------


def _energy(report: EnergyReport, row: Row, op: OpRecord | None = None) -> Iterator[Step]:
    hardware = report.hardware
    for term, pj in row.terms.items():
        if not pj:
            continue
        work = [(count, what, price) for count, what, price in _work(report, row, term, op) if count and price]
        if work and math.isclose(sum(count * price.value for count, _, price in work), pj):
            parts = " + ".join(f"{count:,.12g} {what} × {price.value:g} pJ" for count, what, price in work)
            how = f"{parts} ({_source(hardware, work[0][2])})"
        elif term == "memory" and op is not None:
            how = _memory_text(report, op, row)
        else:
            how = f"as {hardware.id} prices it ({_source(hardware, None)})"
        yield Step(f"{term} energy", pj, how, "pJ")
    for what, count in row.unpriced.items():
        yield Step(
            f"unpriced {what}", count, f"{hardware.id} has no price for it: it is missing from the energy, not 0"
        )
    if row.energy_pj is not None and sum(pj is not None and bool(pj) for pj in row.terms.values()) > 1:
        yield Step("energy", row.energy_pj, "the sum", "pJ")


def _work(report: EnergyReport, row: Row, term: Term, op: OpRecord | None) -> Iterator[tuple[float, str, Price | None]]:
    """Yields what a kind of work consists of: how often, its name, its price."""
    hardware, energy = report.hardware, report.hardware.energy
    if term == "sop" and op:
        yield row.sops, "SOPs", hardware.synapse(synapse_kind(op, hardware))
    elif term == "mac":
        yield row.macs, "MACs", energy.mac
    elif term == "elementwise":
        counts = next(line.counts for line in report.convention.lines(report.activity) if line_key(line) == _key(row))
        yield counts.adds, "additions", hardware.add
        yield counts.muls, "multiplications", energy.mul
        yield counts.compares, "comparisons", energy.compare
    elif term in ("neuron", "spike"):
        neuron = next(each for each in report.activity.neurons if each.layer == row.layer)
        idle = neuron.updates - neuron.driven if energy.neuron_update_idle else 0
        if term == "spike":
            yield neuron.spikes, "spikes", energy.spike_out
            return
        if not energy.neuron_update:
            counts = memory.neuron_counts(neuron)
            yield counts.adds, "additions of updates and resets", hardware.add
            yield counts.macs, "MACs of leaks", energy.mac
        yield neuron.updates - idle, "neuron updates", energy.neuron_update
        yield idle, "idle neuron updates", energy.neuron_update_idle


def line_key(line: Line) -> tuple[str, str, int | None]:
    """Returns the key by which a convention's line and a report's row belong together."""
    return line.layer, line.op, line.index


def _memory_text(report: EnergyReport, op: OpRecord, row: Row) -> str:
    """Writes how often what is read and written, and the price of one access, which depends on the memory's size."""
    counts = Counts(sops=row.sops, acs=row.acs, macs=row.macs)
    named = memory.named_work(op, counts, report.activity, report.hardware) or []
    costs = [(name, count, memory.cost(work)) for name, count, work in named]
    parts = [f"{count:,.12g} {name} × {pj / count:.6g} pJ" for name, count, pj in costs if count and pj]
    return f"{' + '.join(parts) or 'memory accesses'} ({_source(report.hardware, None)})"


def _source(hardware: HardwareProfile, price: Price | None) -> str:
    """Writes where a price is from: the price list, the paper, and the place in the paper."""
    wanted = price.source if price else None
    source = next((each for each in hardware.sources if each.id == wanted), hardware.sources[0])
    return ", ".join(filter(None, [hardware.id, source.citation or source.id, source.locator]))


def _per_inference(report: EnergyReport, row: Row) -> Iterable[Step]:
    """Yields the figures per inference, as tables print them."""
    samples = report.samples
    if not samples:
        return
    if row.sops:
        yield Step("SOPs per inference", row.sops / samples, f"÷ {_several(samples, 'sample')}")
    if row.macs:
        yield Step("MACs per inference", row.macs / samples, f"÷ {_several(samples, 'sample')}")
    if row.energy_pj is not None:
        yield Step("energy per inference", row.energy_pj / samples, f"÷ {_several(samples, 'sample')}", "pJ")


def _several(count: int, what: str) -> str:
    """Writes `1 sample`, `2 samples`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _sizes(sizes: Any) -> str:
    return "×".join(map(str, sizes)) if isinstance(sizes, list) and sizes else ""

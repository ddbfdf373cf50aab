"""Explains a layer's figures: each step from its shape to picojoules, with the numbers of the run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from snnprof import memory
from snnprof.activity import Activity, OpRecord, Part
from snnprof.conventions import exact, formula, kinds
from snnprof.conventions.counts import Counts, Line, Rate
from snnprof.errors import SnnprofError, unknown
from snnprof.grouping import ROOT
from snnprof.hardware import HardwareProfile, Price
from snnprof.pricing import EnergyReport, Row, Term
from snnprof.units import percent_text


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
    missed = [op for op in report.activity.ops if op.layer == path and op.key not in {_key(row) for row in rows}]
    found = [_of_row(report, row) for row in rows] + [_of_left_out(report, op) for op in missed]
    if not found:
        raise _no_layer(report, layer)
    return found


def layers(report: EnergyReport) -> list[str]:
    """Returns the layers that have a line, in the order of the report."""
    named = [row.layer for row in report.rows if row.category != "static"] + [op.layer for op in report.activity.ops]
    return [layer or ROOT for layer in dict.fromkeys(named)]


def _key(row: Row) -> tuple[str, str, int | None]:
    return row.layer, row.op, row.index


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
        steps = (*_neurons(report.activity, row), *_energy(report, row))
    else:
        steps = (*_elements(report.activity, row), *_energy(report, row))
    name = f"{row.op} {row.index}" if row.op == "matmul" else row.op
    return Derivation(row.layer or ROOT, name, (*steps, *_per_inference(report, row)))


def _of_left_out(report: EnergyReport, op: OpRecord) -> Derivation:
    """Derives an operation that the convention does not count."""
    nothing = Step("SOPs", None, f"convention {report.convention.id} does not count this operation")
    return Derivation(op.layer or ROOT, op.op, (*_counted(op, report.activity), nothing))


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
    options = report.convention.settings
    spikes, multiplied = kinds.split(op, options)
    share = exact.encoder_share(op, options)
    once = f"; × 1/{op.steps}: the constant input is encoded once" if share != 1 else ""
    if options.method == "formula":
        spike_text = _formula_text(op, report.activity, spikes, options.rate)
    elif report.convention.id == "exact":
        spike_text = _exact_text(op, spikes, options.levels)
    else:
        spike_text = f"by convention {report.convention.id}: {report.convention.title}"
    if row.sops or spikes:
        yield Step("SOPs", row.sops, f"{spike_text}{once}")
    if row.macs or multiplied:
        what = {"valid": "valid MACs", "dense": "dense MACs", "nonzero": "non-zero products"}[options.real_count]
        why = "its input is real-valued" if any(p.kind == "real" for p in multiplied) else "its levels are multiplied"
        yield Step("MACs", row.macs, f"{why}: {what} of those steps{once}")
    if row.formula_sops is not None and options.method != "formula" and op.elements:
        rate = percent_text(op.nonzero / op.elements, 2)
        yield Step(
            "rate × MACs", row.formula_sops, f"for comparison, the papers' formula: {rate} × dense MACs of spikes"
        )


def _formula_text(op: OpRecord, activity: Activity, spikes: list[Part], rate: Rate) -> str:
    share = percent_text(formula.rate_of(op, activity, rate, spikes), 2)
    return f"{rate} rate {share} × {sum(part.dense_macs for part in spikes):,} dense MACs of the spike-driven steps"


def _exact_text(op: OpRecord, spikes: Sequence[Part], levels: str) -> str:
    if not spikes:
        return "no step is driven by spikes"
    if kinds.single_level(op) or levels == "events":
        return "one for each event of spikes"
    return "an input of value n counts n times"


# -- other lines -----------------------------------------------------------------------------------------------


def _neurons(activity: Activity, row: Row) -> Iterator[Step]:
    neuron = next(each for each in activity.neurons if each.layer == row.layer)
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
            yield Step("elements", entry.elements, "results computed (of pooling and sums: elements read)")
            if entry.nonzero is not None:
                rest = "" if entry.op == "compare" else "; the others are no work"
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
        work = [(count, what, price) for count, what, price in _work(report, row, term) if count and price]
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


def _work(report: EnergyReport, row: Row, term: Term) -> Iterator[tuple[float, str, Price | None]]:
    """Yields what a kind of work consists of: how often, its name, its price."""
    hardware, energy = report.hardware, report.hardware.energy
    if term == "sop":
        yield row.sops, "SOPs", hardware.sop
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
    """Writes how often what is read and written; the price of each access depends on the size of the memory."""
    counts = Counts(sops=row.sops, acs=row.acs, macs=row.macs)
    accesses = memory.accesses_of(op, counts, report.activity, report.hardware)
    if accesses is None:
        return "memory accesses"
    named = {
        "weight reads": accesses.weights, "bias reads": accesses.biases, "potential reads and writes": accesses.states,
        "input reads": accesses.inputs, "output writes": accesses.outputs,
    }  # fmt: skip
    listed = ", ".join(f"{count:,.12g} {what}" for what, count in named.items() if count)
    return f"{listed}; each at the price of a memory of its size ({_source(report.hardware, None)})"


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

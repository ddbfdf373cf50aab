"""Cautions about an energy: what the prices leave out, what makes it fragile, which comparisons are unfair.

Each caution is one entry of the table at the end; snnprof/explanations.yaml explains the codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from snnprof.activity import Finding, OpRecord
from snnprof.conventions import sdt
from snnprof.conventions.counts import Options
from snnprof.conventions.kinds import operand_label, unrolled
from snnprof.hardware import WHOLE, Evidence, HardwareProfile
from snnprof.mapping.findings import findings as mapping_findings
from snnprof.priced_run import PricedRun
from snnprof.units import count_text

PLAUSIBLE_PJ = (1e-3, 1e6)
EVIDENCE = {
    "measured": "The price was measured",
    "simulated": "The price was simulated, not measured",
    "synthesis": "The price was estimated by circuit synthesis, not measured",
    "derived": "The price was derived from other published figures, not measured",
    "arithmetic": "The price is a published figure for arithmetic units, not a measurement of a chip",
    "convention": "The price is a figure commonly reused in the literature, not a measurement",
    "unstated": "The source of the price does not say how it was obtained",
}
FEW_SPIKES = 0.15
DENSE_RATE = 0.057

Findings = Iterator[Finding]


def evidence_text(hardware: HardwareProfile, evidence: Evidence) -> str:
    """Says how well a price is known, as the beginning of a sentence."""
    return EVIDENCE[evidence] if hardware.sources else "The prices are your own, without a source"


def cautions(report: PricedRun) -> list[Finding]:
    """Returns all cautions that apply to a report, in the order of the table below."""
    return [finding for caution in _CAUTIONS for finding in caution(report)]


def mismatches(a: HardwareProfile, b: HardwareProfile) -> list[Finding]:
    """Returns the reasons why a ratio of energies across two profiles says little about the networks."""
    found = []
    if a.precision != b.precision:
        widths = f"{a.precision.weight} ({a.id}) and {b.precision.weight} ({b.id})"
        found.append(_finding("W07", f"The weights have different widths: {widths}", "Compare at one precision"))
    facts = {
        "node": (_node(a), _node(b)), "scope": (a.scope, b.scope), "kind": (a.kind, b.kind),
    }  # fmt: skip
    differing = [f"{name} {x} and {y}" for name, (x, y) in facts.items() if x != y]
    if differing:
        text = f"The prices of {a.id} and {b.id} have different origins: {', '.join(differing)}"
        found.append(_finding("W08", text, "Price both sides with one list, or report the ratio of operations too"))
    return found


def _node(hardware: HardwareProfile) -> str:
    node = hardware.technology.node_nm
    return "unknown" if node is None else f"{node:g} nm"


def spread(reports: Sequence[PricedRun]) -> list[Finding]:
    """Says how much the choice of a price list matters, by the cheapest and the dearest report of one run."""
    if len({report.hardware.id for report in reports}) == 1:
        alone = f"Priced on {reports[0].hardware.id} alone"
        text = f"{alone}; the price of one SOP differs up to 1.9 million-fold between the bundled price lists"
        return [_finding("W20", text, "Add a second price list: --hardware ID")]
    priced = sorted((report for report in reports if report.energy_pj), key=lambda report: report.energy_pj or 0.0)
    if len(priced) < 2:
        return []
    low, high = priced[0], priced[-1]
    ratio = (high.energy_pj or 0.0) / (low.energy_pj or 1.0)
    choice = f"Choosing {high.hardware.id} instead of {low.hardware.id}"
    text = f"{choice} changes the energy {ratio:.3g}-fold; the operations are identical"
    return [_finding("W20", text, "Report both"), *mismatches(high.hardware, low.hardware)]


def _no_memory(report: PricedRun) -> Findings:
    if not report.hardware.memory and "weight_read" not in report.hardware.includes:
        yield _finding(
            "W01",
            "The energy excludes memory access, which dominates in every published model that reports both",
            "Add --hardware cmos45-fp32-mem or lemaire2022-int32",
        )


def _no_neuron_updates(report: PricedRun) -> Findings:
    updates = report.totals.unpriced.get("neuron update")
    if updates:
        scale = f"no price in this list; for scale: {_count(report, report.totals.sops)} SOPs"
        text = f"The energy excludes {_count(report, updates)} neuron updates ({scale})"
        yield _finding("W02", text, "State their number next to the energy")


def _no_price_anywhere(report: PricedRun) -> Findings:
    """Finds work that no profile can price, since profiles have no field for it."""
    words = {"pool": "pooling inputs", "mask": "mask operations"}
    unpriced = report.totals.unpriced
    missing = [f"{_count(report, unpriced[what])} {name}" for what, name in words.items() if unpriced.get(what)]
    if missing:
        bound = "at most one addition, comparison or bit operation each"
        text = f"The energy excludes {' and '.join(missing)} ({bound}); no published energy exists"
        yield _finding("W21", text, "State this next to the energy")


def _real_encoder(report: PricedRun) -> Findings:
    counted = {(row.layer, row.op, row.index): row.macs for row in report.rows}
    encoded_once = report.convention.settings.encoder == "once"
    for op in report.activity.ops:
        macs, steps = counted.get(op.key, 0), op.steps or 1
        constant = all(operand.constant_over_time for operand in op.data)
        if op.fed_by != ["input"] or not macs or steps == 1 or (constant and encoded_once):
            continue
        text = f"Reads real values at each of {steps} steps: {_count(report, macs)} MACs"
        if constant:
            text += f", {_count(report, macs / steps)} if its constant input were encoded once"
        yield _finding("W03", text, "State whether the encoder counts at every step or once", op.layer)


def _integers(report: PricedRun) -> Findings:
    for op in _weighted(report):
        operand = op.data[0]
        level = operand.max_level
        if operand.quantum == 1 and level is not None and level > 1:
            costs = _cost_of_a_level(op, report.convention.settings)
            text = f"Input is integer-valued, up to {level} (residual additions); {costs}"
            yield _finding("W04", text, "State this rule next to the SOPs", op.layer)


def _cost_of_a_level(op: OpRecord, settings: Options) -> str:
    if not unrolled(op, settings):
        return "each value counts as a multiplication"
    return "each value counts as one addition" if settings.levels == "events" else "a value n counts as n additions"


def _averages(report: PricedRun) -> Findings:
    for op in _weighted(report):
        operand = op.data[0]
        if operand.quantum is not None and operand.quantum < 1 and (operand.max_level or 0) > 1:
            folded = "additions, assuming that the factor is folded into the weights"
            rule = folded if unrolled(op, report.convention.settings) else "multiplications, since its levels are many"
            text = f"Input is averaged spikes (multiples of {operand.quantum:.4g}, as from average pooling)"
            yield _finding("W05", f"{text}; counted as {rule}", "State this rule next to the operations", op.layer)


def _attention_width(report: PricedRun) -> Findings:
    for op in report.activity.ops:
        labels = [operand_label(operand) for operand in op.data]
        wide = [label for label in labels if label not in ("binary", "ternary")]
        if len(labels) > 1 and wide:
            text = f"Multiplies {' x '.join(labels)}: each addition has an operand of that width, but the usual price"
            yield _finding("W06", text, "State the width next to the energy", op.layer)


def _other_prices(report: PricedRun) -> Findings:
    suggested = report.convention.suggested_hardware
    if suggested and suggested != report.hardware.id:
        published = f"Convention {report.convention.id} was published with {suggested}"
        text = f"{published}, but is priced here with {report.hardware.id}"
        yield _finding("W08", text, f"Add --hardware {suggested} to compare with the paper")


def _unknown_attention(report: PricedRun) -> Findings:
    if report.convention.id != sdt.CONVENTION.id:
        return
    for layer in sdt.unrecognised(report.activity):
        text = "No layers are recognised that make Q, K and V in front of neurons; all count at their inputs' rates"
        yield _finding("W40", text, "Name them q, k and v (q_conv, to_q, query, qkv, …) to count as the paper", layer)


def _operating_point(report: PricedRun) -> Findings:
    hardware, point = report.hardware, report.hardware.operating_point
    if hardware.scope not in WHOLE:
        return
    hint = f"Compare its conditions with yours: snnprof hardware show {hardware.id}"
    if hardware.scope == "unstated":
        text = f"The source of {hardware.id} does not say what its figure covers; it is taken for the whole chip"
        yield _finding("W09", text, hint)
        return
    where, here = "", ""
    if point and point.rate_hz:
        where, rate = f" at {point.rate_hz:g} Hz", _spikes_per_second(report)
        here = "" if rate is None else f"; this run fires at {rate:.3g} Hz"
    text = f"{hardware.id} is one figure for a whole chip{where}; under other conditions it can be wrong severalfold"
    yield _finding("W09", text + here, hint)


def _spikes_per_second(report: PricedRun) -> float | None:
    """Returns the firing rate per neuron in hertz; None if the latency or the number of samples is unknown."""
    neurons = sum(neuron.size for neuron in report.activity.neurons)
    spikes = report.per_inference(sum(neuron.spikes for neuron in report.activity.neurons))
    return spikes / neurons / report.latency_s if spikes is not None and neurons and report.latency_s else None


def _messages(report: PricedRun) -> Findings:
    """Says if the number of messages per spike is unknown, or assumed by the profile: it depends on the mapping."""
    hardware, unknown = report.hardware, report.totals.unpriced.get("spike without known messages")
    hint = "Lay the layers onto a chip with --mapping, or take the messages from the chip or a simulator"
    if report.mapping:
        hint = "Take them from the chip or a simulator: price(..., traffic=Traffic(Route(messages=...)))"
    if unknown:
        text = f"The energy excludes the messages of {_count(report, unknown)} spikes to other cores"
        yield _finding("W22", f"{text}: their number depends on the mapping of layers to cores", hint)
    elif "message" in report.totals.parts and hardware.messages_per_spike and _default_route(report):
        text = f"{hardware.id} assumes {hardware.messages_per_spike:g} messages per spike"
        yield _finding("W23", f"{text}; their number depends on the mapping of layers to cores", hint)


def _mapping(report: PricedRun) -> Findings:
    """Finds what the chip cannot do, and what the prices took from its mapping."""
    mapping, hardware = report.mapping, report.hardware
    if mapping is None:
        return
    yield from mapping_findings(mapping, report.activity)
    used = [what for what in ("message", "hop", "hop east or west", "static") if report.totals.parts.get(what)]
    if used and hardware.id not in mapping.chip.prices:
        text = f"Prices of {hardware.id} with the mapping onto {mapping.chip.id}, which does not name it as its own"
        yield _finding("M05", text, "Use prices of that chip, or say why these are its prices too")
    if "static" in used and report.latency_s is None and mapping.latency_s and not mapping.chip.has_fixed_step:
        text = f"Static energy rests on a modelled {mapping.latency_s:.3g} s per inference, the mean of all steps"
        yield _finding(
            "M06", f"{text}; waiting for the busiest core makes real steps longer", "Pass a measured --latency"
        )


def _default_route(report: PricedRun) -> bool:
    """Whether spikes of some layer use the profile's number of messages instead of a mapping's."""
    return any(n.spikes and report.traffic.of(n.layer).messages is None for n in report.activity.neurons)


def _static(report: PricedRun) -> Findings:
    hardware = report.hardware
    if hardware.static and report.totals.terms.get("static") is None:
        text = f"{hardware.id} draws {hardware.static.power_w:g} W at rest, which the energy excludes"
        yield _finding(
            "W10",
            text,
            "Pass the seconds per inference with --latency, or a chip that has a model of time with --mapping",
        )
    elif not hardware.static and not hardware.covers("static") and "static" not in hardware.includes:
        yield _finding(
            "W10", "The energy excludes static power (no figure in this list)", "State this next to the energy"
        )


def _per_inference(report: PricedRun) -> Findings:
    if not report.activity.samples:
        text = "The number of samples is unknown, so all figures are of the whole run"
        yield _finding("W12", text, "Pass it to recorder.activity(samples=...)")
    if any(op.steps is None for op in report.activity.ops):
        text = "The number of time steps is unknown, so there is no ANN twin and no number of spikes per synapse"
        yield _finding("W12", text, "Pass --timesteps T")


def _too_many_spikes(report: PricedRun) -> Findings:
    spikes = report.spikes_per_synapse
    if spikes is not None and spikes > FEW_SPIKES:
        published = "0.15–1.38 depending on the neuron model (Dampfhoffer 2023), 1.72 (Davidson & Furber 2021)"
        text = f"{spikes:.2f} spikes per synapse and inference; published break-even points against an ANN: {published}"
        yield _finding("W13", text, "Claim a saving only if it holds under several price lists")
    rate = _input_rate(report)
    if rate > DENSE_RATE:
        published = "Yan et al. (arXiv 2409.08290v4, T = 5, 4-bit weights)"
        text = f"Mean input rate is {100 * rate:.1f} %; above 5.7 %, {published} find no saving once data moves"
        yield _finding("W13", text, "Report energies with memory access too")


def _input_rate(report: PricedRun) -> float:
    """Returns non-zeros / elements of what spike-driven operations read, weighted by their dense MACs."""
    driven = [row for row in report.rows if row.category == "contraction" and row.formula_sops is not None]
    dense = sum(row.dense_macs for row in driven)
    return sum(row.formula_sops or 0.0 for row in driven) / dense if dense else 0.0


def _not_measured(report: PricedRun) -> Findings:
    hardware = report.hardware
    doubtful = [path for path in hardware.unverified if path.startswith(("energy.", "scope"))]
    unread = f"; no source was found for {', '.join(doubtful)}" if doubtful else ""
    if report.grade and (report.grade != "measured" or doubtful):
        known = evidence_text(hardware, report.grade)
        yield _finding("W14", f"{known}{unread}", "State this when you report the energy")


def _implausible_prices(report: PricedRun) -> Findings:
    low, high = PLAUSIBLE_PJ
    for name, price in report.hardware.energy:
        if price and price.value and not low <= price.value <= high:
            text = f"{report.hardware.id} prices {name} at {price.value:g} pJ, outside the plausible 1 fJ to 1 µJ"
            yield _finding("W15", text, "Check its unit: prices are in pJ")


def _batch_norm(report: PricedRun) -> Findings:
    for line in report.activity.elementwise:
        if line.op == "batch_norm" and not line.foldable:
            text = "Batch norm cannot be folded into a contraction and stays dense arithmetic on every element"
            yield _finding("W16", text, "Keep its line in the energy", line.layer)


def _uncounted(report: PricedRun) -> Findings:
    for entry in report.activity.uncounted:
        text = f"{entry.op} ({entry.calls} calls) has no counting rule, or first ran after the first batch"
        yield _finding("W17", f"{text}; its work is missing from all totals", "Report it, or add a rule", entry.layer)


def _excluded(report: PricedRun) -> Findings:
    for name, macs in report.excluded:
        text = f"Excluded from all counts as the user wished: {_count(report, macs)} dense MACs"
        yield _finding("W30", text, "State this next to the energy", name)


def _analog(report: PricedRun) -> Findings:
    if report.hardware.kind == "analog":
        hardware = report.hardware
        node = f"{_node(hardware)} " if hardware.technology.node_nm else ""
        text = f"{hardware.id} is the figure of a {node}analog circuit and says nothing about a digital chip or a GPU"
        yield _finding("W18", text, f"Name the circuit when you report the energy. {hardware.note or ''}".strip())


def _skips_zeros(report: PricedRun) -> Findings:
    """Digital hardware that has a price for dense MACs could also execute all of them."""
    if report.hardware.kind == "digital" and report.hardware.energy.mac and report.totals.sops:
        dense = _count(report, report.dense_run.operations or 0.0)
        text = f"Assumes hardware that skips all zero operands; a CPU or GPU executes all {dense} MACs"
        yield _finding("W19", text, "Report the energy of the dense execution too")


def _count(report: PricedRun, value: float) -> str:
    """Writes a count per inference; of the whole run if the number of samples is unknown."""
    each = report.per_inference(value)
    return count_text(value if each is None else each)


def _weighted(report: PricedRun) -> Iterator[OpRecord]:
    """Yields the data × weight operations with spiking input that the convention counts."""
    counted = {(row.layer, row.op, row.index) for row in report.rows}
    ops = (op for op in report.activity.ops if op.key in counted)
    return (op for op in ops if len(op.data) == 1 and not op.part("real").elements)


def _finding(code: str, text: str, hint: str, layer: str = "") -> Finding:
    return Finding(code=code, layer=layer, text=text, hint=hint)


_CAUTIONS: tuple[Callable[[PricedRun], Findings], ...] = (
    _no_memory,
    _no_neuron_updates,
    _no_price_anywhere,
    _real_encoder,
    _integers,
    _averages,
    _attention_width,
    _other_prices,
    _unknown_attention,
    _operating_point,
    _messages,
    _mapping,
    _static,
    _per_inference,
    _too_many_spikes,
    _not_measured,
    _implausible_prices,
    _batch_norm,
    _uncounted,
    _excluded,
    _analog,
    _skips_zeros,
)

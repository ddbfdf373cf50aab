"""Cautions about an energy figure: what the prices leave out, what makes it fragile, which comparisons are unfair.

Each caution is one entry of the table at the end; snnprof/explanations.yaml explains the codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from snnprof.activity import Finding, OpRecord
from snnprof.conventions.kinds import operand_label
from snnprof.hardware import WHOLE, HardwareProfile
from snnprof.units import count_text

if TYPE_CHECKING:
    from snnprof.pricing import EnergyReport

PLAUSIBLE_PJ = (1e-3, 1e6)
FEW_SPIKES = 0.15
DENSE_RATE = 0.057

Findings = Iterator[Finding]


def cautions(report: EnergyReport) -> list[Finding]:
    """All cautions that apply to a report, by code."""
    return [finding for caution in _CAUTIONS for finding in caution(report)]


def mismatches(a: HardwareProfile, b: HardwareProfile) -> list[Finding]:
    """Why a ratio of energies across two profiles says little about the networks."""
    found = []
    if a.precision != b.precision:
        widths = f"{a.precision.weight} ({a.id}) and {b.precision.weight} ({b.id})"
        found.append(_finding("W07", f"the ratio compares weights of {widths}", "compare at one precision"))
    facts = {
        "node": (_node(a), _node(b)), "scope": (a.scope, b.scope), "kind": (a.kind, b.kind),
    }  # fmt: skip
    differing = [f"{name} {x} and {y}" for name, (x, y) in facts.items() if x != y]
    if differing:
        text = f"the ratio mixes prices of {a.id} and {b.id}: {', '.join(differing)}"
        found.append(_finding("W08", text, "price both on one profile, or show the ratio of operations beside it"))
    return found


def _node(hardware: HardwareProfile) -> str:
    node = hardware.technology.node_nm
    return "unknown" if node is None else f"{node:g} nm"


def spread(reports: Sequence[EnergyReport]) -> list[Finding]:
    """How much the choice of price lists decides: between the cheapest and the dearest of one run's reports."""
    if len({report.hardware.id for report in reports}) == 1:
        text = f"priced on {reports[0].hardware.id} alone; the same count costs up to 440,000 times as much on another"
        return [_finding("W20", text, "name a second machine: --hardware ID")]
    priced = sorted((report for report in reports if report.energy_pj), key=lambda report: report.energy_pj or 0.0)
    if len(priced) < 2:
        return []
    low, high = priced[0], priced[-1]
    ratio = (high.energy_pj or 0.0) / (low.energy_pj or 1.0)
    text = f"the same run costs {ratio:.3g} times as much on {high.hardware.id} as on {low.hardware.id}"
    split = f"1 (operations) × {ratio:.3g} (prices and what they cover)"
    return [_finding("W20", f"{text}: {split}", ""), *mismatches(high.hardware, low.hardware)]


def _no_memory(report: EnergyReport) -> Findings:
    if not report.hardware.memory and "weight_read" not in report.hardware.includes:
        yield _finding(
            "W01",
            "the total has no memory accesses, which outweigh arithmetic in every published model that has both",
            "price it with --hardware lemaire2022-int32 or cmos45-fp32-mem too",
        )


def _no_neuron_updates(report: EnergyReport) -> Findings:
    updates = report.totals.unpriced.get("neuron update")
    if updates:
        beside = f"beside {_count(report, report.totals.sops)} SOPs"
        text = f"{_count(report, updates)} neuron updates are not in the total, {beside}"
        yield _finding("W02", text, "there is no price for them")


def _no_price_anywhere(report: EnergyReport) -> Findings:
    """Work that a profile of one's own could not price either: it has no field for it."""
    words = {"pool": "inputs of max/avg pooling", "mask": "mask operations"}
    unpriced = report.totals.unpriced
    missing = [f"{_count(report, unpriced[what])} {name}" for what, name in words.items() if unpriced.get(what)]
    if missing:
        bound = "a pool is at most one addition or comparison for each input, a mask one bit operation"
        yield _finding(
            "W21", f"not priced: {', '.join(missing)}; no price list has a figure", f"{bound}; say so beside the total"
        )


def _real_encoder(report: EnergyReport) -> Findings:
    for op in report.activity.ops:
        macs, steps = op.part("real").dense_macs, op.steps or 1
        if op.fed_by != ["input"] or not macs or steps == 1:
            continue
        text = f"reads real values at each of {steps} steps: {_count(report, macs)} MACs"
        if all(operand.constant_over_time for operand in op.data):
            text += f", {_count(report, macs / steps)} if its constant input were encoded once"
        yield _finding("W03", text, "convention option encoder=every_step or once", op.layer)


def _integers(report: EnergyReport) -> Findings:
    for op in _weighted(report):
        operand = op.data[0]
        level = operand.max_level
        if operand.quantum == 1 and level is not None and level > 1:
            text = f"reads integers up to {level}, not spikes; counted with levels={report.convention.settings.levels}"
            yield _finding("W04", text, "a residual sum of spikes does this", op.layer)


def _averages(report: EnergyReport) -> Findings:
    for op in _weighted(report):
        operand = op.data[0]
        if operand.quantum is not None and operand.quantum < 1 and (operand.max_level or 0) > 1:
            text = f"reads multiples of {operand.quantum:.4g}: additions only if that factor is folded into its weights"
            yield _finding("W05", text, "average pooling does this", op.layer)


def _attention_width(report: EnergyReport) -> Findings:
    for op in report.activity.ops:
        labels = [operand_label(operand) for operand in op.data]
        wide = [label for label in labels if label not in ("binary", "ternary")]
        if len(labels) > 1 and wide:
            text = f"multiplies {' x '.join(labels)}: each addition is of a value of that width, priced as any other"
            yield _finding("W06", text, "", op.layer)


def _other_prices(report: EnergyReport) -> Findings:
    suggested = report.convention.suggested_hardware
    if suggested and suggested != report.hardware.id:
        text = (
            f"convention {report.convention.id} was published with {suggested}; priced here with {report.hardware.id}"
        )
        yield _finding("W08", text, f"--hardware {suggested}")


def _operating_point(report: EnergyReport) -> Findings:
    hardware, point = report.hardware, report.hardware.operating_point
    if hardware.scope not in WHOLE:
        return
    hint = "see 'snnprof hardware show " + hardware.id + "'"
    if hardware.scope == "unstated":
        text = f"the source of {hardware.id} does not say what its figure covers; treated as the whole chip"
        yield _finding("W09", text, hint)
        return
    where, here = "", ""
    if point and point.rate_hz:
        where, rate = f" at {point.rate_hz:g} Hz", _spikes_per_second(report)
        here = "" if rate is None else f"; this run fires at {rate:.3g} Hz"
    text = f"{hardware.id} is one figure for a whole chip{where}; off its operating point it can be wrong severalfold"
    yield _finding("W09", text + here, hint)


def _spikes_per_second(report: EnergyReport) -> float | None:
    """Firing rate per neuron in hertz; null where the latency or the samples are not known."""
    neurons = sum(neuron.size for neuron in report.activity.neurons)
    spikes = report.per_inference(sum(neuron.spikes for neuron in report.activity.neurons))
    return spikes / neurons / report.latency_s if spikes is not None and neurons and report.latency_s else None


def _static(report: EnergyReport) -> Findings:
    hardware = report.hardware
    if hardware.static and report.totals.terms.get("static") is None:
        hint = "give the seconds per inference with --latency"
        yield _finding("W10", f"{hardware.id} draws {hardware.static.power_w:g} W at rest, not in the total", hint)
    elif not hardware.static and not hardware.covers("static") and "static" not in hardware.includes:
        yield _finding("W10", "the total has no static power", "no figure for it is given")


def _per_inference(report: EnergyReport) -> Findings:
    if not report.activity.samples:
        text = "the number of samples is not known: figures are of the whole run"
        yield _finding("W12", text, "recorder.activity(samples=...)")
    if any(op.steps is None for op in report.activity.ops):
        text = "the number of time steps is not known: no ANN twin, no spikes per synapse"
        yield _finding("W12", text, "profile with --timesteps")


def _too_many_spikes(report: EnergyReport) -> Findings:
    spikes = report.spikes_per_synapse
    if spikes is not None and spikes > FEW_SPIKES:
        text = (
            f"{spikes:.2f} spikes per synapse and inference (events / dense MACs of one step); an SNN was estimated to "
            "need less energy than its ANN below 0.15 to 1.38, by neuron model, or below 1.72"
        )
        yield _finding("W13", text, "Dampfhoffer et al. 2023; Davidson & Furber 2021: each for its own hardware model")
    rate = _input_rate(report)
    if rate > DENSE_RATE:
        text = f"mean input rate {100 * rate:.1f} %, above 5.7 %, where Yan et al. see the SNN lose once data moves"
        yield _finding("W13", text, "arXiv 2409.08290v4, for T = 5, 4-bit weights")


def _input_rate(report: EnergyReport) -> float:
    """Non-zeros / elements of what spike-driven operations read, each weighed by its dense MACs."""
    driven = [row for row in report.rows if row.category == "contraction" and row.formula_sops is not None]
    dense = sum(row.dense_macs for row in driven)
    return sum(row.formula_sops or 0.0 for row in driven) / dense if dense else 0.0


def _not_measured(report: EnergyReport) -> Findings:
    hardware = report.hardware
    doubtful = [path for path in hardware.unverified if path.startswith(("energy.", "scope"))]
    unread = f"; nobody found {', '.join(doubtful)} in a source" if doubtful else ""
    if report.grade not in (None, "measured") or doubtful:
        text = f"evidence: {report.grade}{'' if report.grade == 'measured' else ', not measured'}{unread}"
        yield _finding("W14", text, "say so where the energy is quoted")


def _implausible_prices(report: EnergyReport) -> Findings:
    low, high = PLAUSIBLE_PJ
    for name, price in report.hardware.energy:
        if price and price.value and not low <= price.value <= high:
            text = f"{report.hardware.id}: {name} costs {price.value:g} pJ, outside 1 fJ to 1 µJ"
            yield _finding("W15", text, "check its unit")


def _batch_norm(report: EnergyReport) -> Findings:
    for line in report.activity.elementwise:
        if line.op == "batch_norm" and not line.foldable:
            text = "this batch norm does not fold into a contraction: dense arithmetic on every element"
            yield _finding("W16", text, "", line.layer)


def _uncounted(report: EnergyReport) -> Findings:
    for entry in report.activity.uncounted:
        yield _finding(
            "W17", f"{entry.op} ran {entry.calls} times and has no counting rule: not in any total", "", entry.layer
        )


def _analog(report: EnergyReport) -> Findings:
    if report.hardware.kind == "analog":
        hardware = report.hardware
        node = f"{_node(hardware)} " if hardware.technology.node_nm else ""
        text = f"{hardware.id} is a {node}analog circuit's figure; it says nothing of a digital chip or a GPU"
        yield _finding("W18", text, hardware.note or "")


def _skips_zeros(report: EnergyReport) -> Findings:
    """A machine that has a price for dense MACs is one that could run them."""
    if report.hardware.kind == "digital" and report.hardware.energy.mac and report.totals.sops:
        dense = _count(report, report.dense_run.operations or 0.0)
        text = f"counts on hardware that skips every zero; a CPU or GPU runs all {dense} MACs"
        yield _finding("W19", text, "its energy is the line 'same SNN, no sparsity used'")


def _count(report: EnergyReport, value: float) -> str:
    """A count per inference; of the whole run where the samples are not known."""
    each = report.per_inference(value)
    return count_text(value if each is None else each)


def _weighted(report: EnergyReport) -> Iterator[OpRecord]:
    return (op for op in report.activity.ops if len(op.data) == 1 and not op.part("real").elements)


def _finding(code: str, text: str, hint: str, layer: str = "") -> Finding:
    return Finding(code=code, layer=layer, text=text, hint=hint)


_CAUTIONS: tuple[Callable[[EnergyReport], Findings], ...] = (
    _no_memory,
    _no_neuron_updates,
    _no_price_anywhere,
    _real_encoder,
    _integers,
    _averages,
    _attention_width,
    _other_prices,
    _operating_point,
    _static,
    _per_inference,
    _too_many_spikes,
    _not_measured,
    _implausible_prices,
    _batch_norm,
    _uncounted,
    _analog,
    _skips_zeros,
)

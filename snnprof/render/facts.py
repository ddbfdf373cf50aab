"""The texts around the numbers of a report: what ran on which data, and how it was counted and priced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from snnprof import estimates
from snnprof.activity import Activity, Finding, SelfCheck
from snnprof.cautions import evidence_text, spread
from snnprof.grouping import energy_of
from snnprof.measured import MEANS, HostEnergy, host_energies
from snnprof.pricing import EnergyReport, split_gain
from snnprof.render.catalogues import source_text
from snnprof.render.mapping import mapping_data, mapping_fact
from snnprof.render.table import UNKNOWN
from snnprof.statistics import Interval
from snnprof.units import count_text, energy_text, percent_text, seconds_text, watts_text

WORK = {
    "sop": "SOPs", "mac": "MACs", "add": "additions", "mul": "multiplications", "compare": "comparisons",
    "mask": "mask operations", "pool": "inputs of max/avg pooling", "batch_norm": "batch-norm results",
    "bias": "bias additions", "reduce": "additions in sums", "neuron update": "neuron updates",
    "idle neuron update": "neuron updates without input", "spike out": "spikes sent",
    "message": "messages",
    "hop east or west": "hops east or west", "hop north or south": "hops north or south",
    "spike without known messages": "spikes' messages", "hop": "spikes' hops between routers",
    "hop of unknown direction": "hops of unknown direction",
    "conv": "dense MACs of convolutions", "linear": "dense MACs of linear layers",
    "matmul": "dense MACs of matrix products", "shift": "shifts",
    "memory access": "memory accesses", "static power, inferences": "inferences' static power",
}  # fmt: skip
"""The kinds of work, priced or not, in words."""
FEW = 3
NO_ACCURACY = "C26"
"""With fewer right or wrong predictions, Wilson's 95 % interval covers the true accuracy with a probability between 85
and 100 % (docs/statistics.md)."""


def title(activity: Activity) -> str:
    """The title of a report: `MODEL on DATA`."""
    data = activity.run.data
    name = model_name(activity) or "a model"
    return f"{name} on {data.source}" if data.source else name


def model_name(activity: Activity) -> str:
    """The model and its preset, such as `SSA_Bin (preset digits)`."""
    model = activity.run.model
    name, _, preset = model.label.rpartition(" ")
    if not name or preset != model.preset:
        return model.label
    return f"{name[:-1]}, preset {preset})" if name.endswith(")") else f"{name} (preset {preset})"


def per(activity: Activity) -> str:
    """What the figures refer to: one inference or the whole run."""
    return "per inference" if activity.samples else "over the whole run (number of samples unknown)"


def facts(reports: Sequence[EnergyReport]) -> Iterator[tuple[str, str]]:
    """Yields label and text of each fact that decides the numbers."""
    report = reports[0]
    activity = report.activity
    yield "model", _model(activity)
    yield "data", _data(activity)
    if activity.accuracy:
        yield "accuracy", _accuracy(activity)
    yield "operations", _operations(report)
    if tail := estimates.heavy_tail(report):
        yield "heavy tail", _tail(tail)
    for each in reports:
        yield f"energy, {each.hardware.id}", _energy(each)
    for each in reports:
        yield from _gain(each)
    if report.mapping:
        yield "mapping", mapping_fact(report.mapping)
    for measured in host_energies(activity.measurement):
        yield f"measured on the host, {measured.sensor}", _host_energy(measured)
    yield "cross-check", _cross_check(activity)
    if activity.self_check is not None:
        yield "self-check", _self_check(activity.self_check)
    yield "counted by", f"{report.convention.label}: {report.convention.rule} ({report.convention.source})"
    if report.excluded:
        yield "excluded", excluded_text(report)
    for each in reports:
        sources = "; ".join(source_text(source) for source in each.hardware.sources)
        yield f"prices, {each.hardware.id}", "; ".join(filter(None, (each.hardware.title, sources)))


def data(reports: Sequence[EnergyReport]) -> dict[str, Any]:
    """The facts as data for JSON."""
    activity, convention = reports[0].activity, reports[0].convention
    products = estimates.attention_products(activity)
    return {
        "per": "inference" if activity.samples else "run",
        "run": activity.run.model_dump(mode="json"),
        "samples": activity.samples,
        "accuracy": activity.accuracy.model_dump() if activity.accuracy else None,
        "coverage": activity.coverage,
        "self_check": activity.self_check.model_dump() if activity.self_check else None,
        "measured": [_host_energy_data(each) for each in host_energies(activity.measurement)],
        "constant_ops": [entry.model_dump() for entry in activity.constant_ops],
        "attention_rates": {"fr_attn": estimates.attention_rate(products),
                            "fr_out": estimates.output_rate(activity, products)},
        "convention": {"id": convention.id, "label": convention.label, "title": convention.title,
                       "source": convention.source, "options": convention.options, "changed": convention.changed},
        "excluded": {"names": list(convention.without.names), "dense_macs": _excluded(reports[0])},
        "hardware": [report.hardware.model_dump(by_alias=True, mode="json") for report in reports],
        **({"mapping": mapping_data(reports[0].mapping)} if reports[0].mapping else {}),
        "totals": {report.hardware.id: _total(report) for report in reports},
        "uncounted": [entry.model_dump() for entry in activity.uncounted],
        "findings": [finding.model_dump() for finding in findings(reports)],
    }  # fmt: skip


def excluded_text(report: EnergyReport) -> str:
    """A sentence on the layers that --exclude leaves out, with their dense MACs."""
    parts = (f"{name} ({count_text(macs)})" for name, macs in _excluded(report).items())
    return f"left out by --exclude, dense MACs {per(report.activity)}: {', '.join(parts)}"


def _excluded(report: EnergyReport) -> dict[str, float]:
    """Dense MACs of the excluded layers, per inference if the number of samples is known."""
    each = report.per_inference if report.activity.samples else float
    return {name: each(macs) or 0.0 for name, macs in report.excluded}


def _total(report: EnergyReport) -> dict[str, Any]:
    each, totals = report.per_inference if report.activity.samples else float, report.totals
    energy = energy_of([totals])
    return {
        "dense_macs": each(totals.dense_macs), "sops": each(totals.sops), "acs": each(totals.acs),
        "macs": each(totals.macs), "energy_pj": None if energy is None else each(energy),
        "terms_pj": {term: None if pj is None else each(pj) for term, pj in totals.terms.items()},
        "unpriced": {what: each(count) for what, count in report.unpriced},
        "lower_bound": report.lower_bound, "evidence": report.grade,
    }  # fmt: skip


def _model(activity: Activity) -> str:
    model = activity.run.model
    parts = [model_name(activity) or UNKNOWN]
    if model.parameters:
        used = model.parameters_used not in (0, model.parameters)
        reach = f", {count_text(model.parameters_used)} of them reach the output" if used else ""
        parts.append(f"{count_text(model.parameters)} parameters{reach}")
    weights = f"weights {model.checkpoint}" if model.checkpoint else "no checkpoint: weights as the model sets them"
    return "; ".join([*parts, weights])


def _data(activity: Activity) -> str:
    run = activity.run
    samples = UNKNOWN if activity.samples is None else str(activity.samples)
    known = f"samples {samples} of {run.data.total}" if run.data.total else f"samples {samples}"
    steps = f"T = {UNKNOWN if run.timesteps is None else run.timesteps}"
    shape = "×".join(map(str, run.data.shape))
    seed = None if run.seed is None else f"seed {run.seed}"
    return "; ".join(filter(None, [run.data.source or UNKNOWN, known, steps, shape, seed]))


def _accuracy(activity: Activity) -> str:
    counted = activity.accuracy
    if counted is None or not counted.total:
        return UNKNOWN
    return f"{percent_text(counted.correct / counted.total, 2)} ({accuracy_detail(activity)})"


def why_no_accuracy(activity: Activity) -> str:
    """Says why a run has no accuracy: the finding about its labels, or else that there were none."""
    said = next((each.text for each in activity.findings if each.code == NO_ACCURACY), "")
    return said.removeprefix("There is no accuracy: ") or "the data has no labels"


def accuracy_detail(activity: Activity) -> str:
    """The number of right predictions and the interval of the accuracy, such as `357/360, 95 % CI 97.6–99.7`."""
    counted, interval = activity.accuracy, estimates.accuracy(activity)
    if counted is None:
        return UNKNOWN
    text = f"{counted.correct}/{counted.total}"
    if interval and interval.low is not None and interval.high is not None:
        text += f", 95 % CI {100 * interval.low:.1f}–{100 * interval.high:.1f}"
        if min(counted.correct, counted.total - counted.correct) < FEW:
            text += f", approximate with {_few(counted.correct, counted.total)}"
    if interval and interval.of_set and activity.run.data.total != counted.total:
        low, high = interval.of_set
        text += f"; of all {activity.run.data.total} samples {100 * low:.1f}–{100 * high:.1f}"
    return text


def _few(correct: int, total: int) -> str:
    wrong = total - correct
    return f"{correct} right" if correct < wrong else f"{wrong} wrong"


def _tail(ratio: float) -> str:
    median = (
        "more than half of the blocks need none" if ratio == float("inf") else f"{ratio:.3g} times the median block"
    )
    more = f"one block of samples needs far more SOPs than most ({median})"
    return f"{more}: intervals of operations and energies may be too narrow; run more samples"


def _with_interval(value: float | None, interval: Interval | None, text: Callable[[float | None], str]) -> str:
    """A figure, with ± its 95 % interval if the run has enough blocks for one."""
    if interval is None or interval.half is None:
        return text(value)
    return f"{text(value)} ± {percent_text(interval.relative)}"


def _operations(report: EnergyReport) -> str:
    totals, activity = report.totals, report.activity
    each = report.per_inference if activity.samples else float
    text = f"{count_text(each(totals.dense_macs))} dense MACs, "
    text += f"{_with_interval(each(totals.sops), estimates.sops(report), count_text)} SOPs"
    text += f", {count_text(each(totals.macs))} MACs {per(activity)}"
    density = report.spikes_per_synapse
    return text if density is None else f"{text}; {density:.3f} spikes per synapse and inference"


def _energy(report: EnergyReport) -> str:
    each = report.per_inference if report.activity.samples else lambda value: value
    energy = energy_of([report.totals])
    if energy is None:
        text = UNKNOWN
    else:
        text = _with_interval(each(energy), estimates.energy(report), energy_text)
        text = f"≥ {text}" if report.lower_bound else text
    if report.grade:
        text += f"; {evidence_text(report.hardware, report.grade).replace('The', 'the', 1)}"
    if report.unpriced:
        missing = (f"{count_text(each(count))} {WORK.get(what, what)}" for what, count in report.unpriced)
        text += f"; excludes {', '.join(missing)}"
    return text


def _gain(report: EnergyReport) -> Iterator[tuple[str, str]]:
    for name, twin in (("ANN twin", report.ann_twin), ("dense run", report.dense_run)):
        gain = split_gain(twin, report)
        if gain:
            split = f"{gain.operations:.3g} (operations) × {gain.price:.3g} (price per operation)"
            yield f"{name}, {report.hardware.id}", f"{gain.total:.3g} × the energy of this SNN = {split}"


def _host_energy(measured: HostEnergy) -> str:
    if measured.energy_pj is None:
        figure = f"at most {energy_text(measured.at_most_pj)} per inference above idle (the interval holds 0)"
    else:
        figure = f"{_with_interval(measured.energy_pj, measured.joules, energy_text)} per inference above idle"
    idle = watts_text(measured.idle_w.value)
    if measured.idle_w.half is not None:
        idle += f" ± {percent_text(measured.idle_w.relative)}"
    return (
        f"{figure}: {MEANS}; {measured.device}, {measured.method}; idle {idle}, at work "
        f"{watts_text(measured.busy_w.value)}; {seconds_text(measured.pass_s)} a pass, "
        f"{seconds_text(measured.inference_s)} per inference; {measured.repeats} stretches"
    )


def _host_energy_data(measured: HostEnergy) -> dict[str, Any]:
    joules, idle = measured.joules, measured.idle_w
    return {
        "sensor": measured.sensor, "device": measured.device, "method": measured.method, "what": MEANS,
        "joules_per_inference": joules.value, "joules_low": joules.low, "joules_high": joules.high,
        "joules_smallest": measured.spread[0], "joules_largest": measured.spread[1],
        "idle_w": idle.value, "idle_w_low": idle.low, "idle_w_high": idle.high, "busy_w": measured.busy_w.value,
        "seconds_per_pass": measured.pass_s, "seconds_per_inference": measured.inference_s,
        "repeats": measured.repeats,
    }  # fmt: skip


def _cross_check(activity: Activity) -> str:
    if activity.coverage is None:
        return f"{UNKNOWN} (fvcore could not trace the model)"
    if activity.coverage == 1:
        return "dense MACs match fvcore (100 %)"
    return f"{percent_text(activity.coverage)} of the dense MACs that fvcore counts were counted"


def _self_check(check: SelfCheck) -> str:
    samples = "one sample" if check.samples == 1 else f"{check.samples} samples"
    return f"{check.equal} of {check.rows} operations re-counted with equal results ({samples})"


def findings(reports: Sequence[EnergyReport]) -> list[Finding]:
    """The findings of the run, then those of each price list, without duplicates."""
    each = [finding for report in reports for finding in report.findings]
    found = [*reports[0].activity.findings, *each, *spread(reports)]
    return [finding for position, finding in enumerate(found) if finding not in found[:position]]

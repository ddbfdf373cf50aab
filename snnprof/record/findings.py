"""Findings: one sentence each that a reader of the counts must know, and what to do next."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from snnprof.activity import Activity, Finding
from snnprof.units import count_text

if TYPE_CHECKING:
    from snnprof.record.call_sites import CallSites

NEARLY_SILENT = 1e-3
"""The largest mean firing rate (spikes per neuron and step) at which neurons hardly fire."""
ENOUGH_TO_JUDGE = 30
"""The fewest predictions that are compared with guessing."""


def of_sites(sites: CallSites) -> list[Finding]:
    """Findings about the recording itself: late, disguised, foreign and constant contractions."""
    return [*_late(sites), *_disguised(sites), *_foreign(sites), *_constants(sites)]


def of_activity(activity: Activity, idle: list[str]) -> list[Finding]:
    """Findings about the counts; `idle` names modules with weights that ran without a contraction."""
    return [
        *_flips(activity), *_idle(idle), *_uncounted(activity), *_silence(activity), *_dead(activity),
        *_unbounded(activity),
    ]  # fmt: skip


def of_accuracy(activity: Activity, classes: int | None) -> list[Finding]:
    """A finding if the network is no better than guessing: at most two standard deviations above chance."""
    accuracy = activity.accuracy
    if accuracy is None or not classes or classes < 2 or accuracy.total < ENOUGH_TO_JUDGE:
        return []
    chance = 1 / classes
    most = accuracy.total * chance + 2 * math.sqrt(accuracy.total * chance * (1 - chance))
    if accuracy.correct > most:
        return []
    return [
        Finding(
            code="C19",
            text=f"{accuracy.correct} of {accuracy.total} predictions are correct, no more than guessing among "
            f"{classes} classes gives",
            hint="Check the checkpoint, the order of the labels and the normalisation of the data",
        )
    ]


def of_coverage(activity: Activity) -> list[Finding]:
    """A finding for each layer in which fvcore found more multiply-accumulates than were counted."""
    if activity.coverage is None or activity.coverage >= 1 or not activity.samples:
        return []
    ours: Counter[str] = Counter()
    for op in activity.ops:
        ours[op.layer] += op.dense_macs
    for entry in activity.constant_ops:
        ours[entry.layer] += entry.dense_macs
    samples = activity.samples
    missing = [entry.layer for entry in activity.layers if ours[entry.layer] < entry.flops * samples]
    return [
        Finding(
            code="C17",
            layer=layer,
            text=f"fvcore finds more multiply-accumulates{_place(layer)} than snnprof counted",
            hint="Compare the layer's rows with its code, and report it if an operation is missing",
        )
        for layer in missing
    ]


def of_look(sites: CallSites) -> list[Finding]:
    """Findings from the sample with which a run checks itself: layers counted as real that look like spikes."""
    return [
        Finding(
            code="C22",
            layer=layer,
            text=f"An input{_place(layer)} was counted as real-valued, but held only a few evenly spaced values",
            hint="If they are spikes, name the module that makes them with --neuron, or report its code",
        )
        for layer in sorted(sites.few_values)
    ]


def _late(sites: CallSites) -> list[Finding]:
    """A finding for each layer with an operation that first ran after the first batch."""
    return [
        Finding(
            code="C01",
            layer=layer,
            text=f"An operation{_place(layer)} first ran after the first batch; contractions count as real-valued, "
            "other arithmetic as uncounted",
            hint="Put a batch that takes every branch of the model first",
        )
        for layer in sorted(sites.late)
    ]


def _disguised(sites: CallSites) -> list[Finding]:
    """A finding for each layer that sums element-wise products, which is a contraction in other words."""
    return [
        Finding(
            code="C02",
            layer=layer,
            text=f"A contraction{_place(layer)} is written as multiply and sum; it counts in the lines mul and reduce, "
            "not as SOPs",
            hint="Write it as a matrix product or a convolution",
        )
        for layer in sorted(sites.disguised)
    ]


def _foreign(sites: CallSites) -> list[Finding]:
    """A finding for each layer whose contraction reads a tensor of unknown origin."""
    return [
        Finding(
            code="C12",
            layer=layer,
            text=f"A contraction{_place(layer)} reads a tensor that is neither input, parameter nor buffer; next to "
            "data it counts as weight, next to a weight as data",
            hint="Register fixed matrices as buffers and pass data as arguments",
        )
        for layer in sorted(sites.foreign)
    ]


def _constants(sites: CallSites) -> list[Finding]:
    """A finding about all products of weights alone."""
    listed = sites.constant_macs()
    if not listed:
        return []
    macs = sum(listed.values())
    layers = sorted({_name(layer) for layer, _ in listed})
    more = f" and {len(layers) - 3} more" if len(layers) > 3 else ""
    return [
        Finding(
            code="C13",
            text=f"Products of weights alone ran in {', '.join(layers[:3])}{more}: {macs} MACs, which are in no total",
            hint="Compute them once before inference; 'constant_ops' in the run file lists them",
        )
    ]


def _flips(activity: Activity) -> list[Finding]:
    """A finding for each contraction that read spikes in some time steps and real values in others."""
    return [
        Finding(
            code="C03",
            layer=op.layer,
            text=f"An operation{_place(op.layer)} read spikes in some steps (additions), real values in others (MACs)",
            hint="See its 'parts' in the run file",
        )
        for op in activity.ops
        if {"spikes", "real"} <= {part.kind for part in op.parts}
    ]


def _idle(idle: list[str]) -> list[Finding]:
    return [
        Finding(
            code="C04",
            layer=layer,
            text="A layer with a weight matrix ran without any contraction that snnprof saw; its work is missing",
            hint="Report the operator that it uses, or count it by hand",
        )
        for layer in idle
    ]


def _uncounted(activity: Activity) -> list[Finding]:
    """A finding about all operators that no rule counts."""
    if not activity.uncounted:
        return []
    names = sorted({entry.op for entry in activity.uncounted})
    return [
        Finding(
            code="C05",
            text=f"Some operators have no counting rule, or first ran after the first batch: {', '.join(names)}; their "
            "work is missing from all totals",
            hint="See 'uncounted' in the run file; --strict exits with status 1",
        )
    ]


def _silence(activity: Activity) -> list[Finding]:
    """A finding if the network hardly fires."""
    updates = sum(neuron.updates for neuron in activity.neurons)
    spikes = sum(neuron.spikes for neuron in activity.neurons)
    if not updates or spikes / updates > NEARLY_SILENT:
        return []
    return [
        Finding(
            code="C06",
            text=f"{'Neurons hardly fire' if spikes else 'No neuron fired'} ({count_text(spikes)} spikes in "
            f"{count_text(updates)} neuron-steps)",
            hint="Profile a trained checkpoint; untrained weights or initial batch norm statistics cause this",
        )
    ]


def _dead(activity: Activity) -> list[Finding]:
    """A finding for each neuron layer that never fired, unless the whole network hardly fires."""
    if _silence(activity):
        return []
    return [
        Finding(
            code="C18",
            layer=neuron.layer,
            text=f"This neuron layer never fired in {count_text(neuron.updates)} neuron-steps, so the layers that it "
            "feeds cost nothing",
            hint="Check its threshold and its input",
        )
        for neuron in activity.neurons
        if neuron.updates and not neuron.spikes
    ]


def _unbounded(activity: Activity) -> list[Finding]:
    """A finding for each contraction that reads multi-level spikes without a known bound."""
    return [
        Finding(
            code="C15",
            layer=op.layer,
            text=f"An operation{_place(op.layer)} reads whole multiples of {operand.quantum:.4g} without an upper "
            f"bound (largest seen: {operand.max_level if operand.max_level is not None else 'unknown'})",
            hint="Clamp them, or count them as multiplications (levels=mac) if they are no spikes",
        )
        for op in activity.ops
        for operand in op.data
        if operand.quantum is not None and operand.levels is None and (operand.max_level or 2) > 1
    ]


def _name(layer: str) -> str:
    return repr(layer) if layer else "the model's own forward"


def _place(layer: str) -> str:
    """The place for a finding's sentence: only if it is the model's own forward, since reports print layer names."""
    return "" if layer else f" in {_name(layer)}"

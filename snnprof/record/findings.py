"""What a reader of the counts must know, in one sentence each, with the next step."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from snnprof.activity import Activity, Finding

if TYPE_CHECKING:
    from snnprof.record.books import Books

NEARLY_SILENT = 1e-3
ENOUGH_TO_JUDGE = 30


def of_books(books: Books) -> list[Finding]:
    """Findings from how the recording went."""
    return [*_late(books), *_disguised(books), *_foreign(books), *_constants(books)]


def of_activity(activity: Activity, idle: list[str]) -> list[Finding]:
    """Findings from what was counted; `idle` are weighted modules that ran without a contraction."""
    return [
        *_flips(activity), *_idle(idle), *_uncounted(activity), *_silence(activity), *_dead(activity),
        *_unbounded(activity),
    ]  # fmt: skip


def of_accuracy(activity: Activity, classes: int | None) -> list[Finding]:
    """Whether the network does better than guessing: its correct predictions against those of chance, two sigmas up."""
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
            text=f"{accuracy.correct} of {accuracy.total} predictions are right, no more than guessing among {classes} "
            "classes would be",
            hint="check the checkpoint, the order of the labels and how the data are normalised",
        )
    ]


def of_coverage(activity: Activity) -> list[Finding]:
    """Layers in which fvcore saw more multiply-accumulates than were counted."""
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
            text=f"{_name(layer)} has more multiply-accumulates by fvcore than were counted",
            hint="compare its rows with its code; report it if an operation is missing",
        )
        for layer in missing
    ]


def of_look(books: Books) -> list[Finding]:
    """Findings from the one sample by which a run checks itself."""
    return [
        Finding(
            code="C22",
            layer=layer,
            text=f"{_name(layer)} was counted as reading real values, but showed only a few evenly spaced ones",
            hint="if they are spikes, report the code that makes them, or name it with --neuron",
        )
        for layer in sorted(books.few_values)
    ]


def _late(books: Books) -> list[Finding]:
    return [
        Finding(
            code="C01",
            layer=layer,
            text=f"{_name(layer)} ran an operation that the first batch did not run: a contraction's operands were "
            "taken for real, other arithmetic is listed as uncounted",
            hint="put a batch that takes every branch of the model first",
        )
        for layer in sorted(books.late)
    ]


def _disguised(books: Books) -> list[Finding]:
    return [
        Finding(
            code="C02",
            layer=layer,
            text=f"{_name(layer)} multiplies element by element and then sums: a contraction in disguise",
            hint="it is in the lines mul and reduce, not in the SOPs; write it as a matrix product to have it counted",
        )
        for layer in sorted(books.disguised)
    ]


def _foreign(books: Books) -> list[Finding]:
    return [
        Finding(
            code="C12",
            layer=layer,
            text=f"{_name(layer)} contracts a tensor that is neither input, parameter nor buffer (an attribute, an "
            "object, NumPy, a list): beside data it counts as weight, beside a weight as data",
            hint="register fixed matrices as buffers, and pass data as arguments, to have them told apart",
        )
        for layer in sorted(books.foreign)
    ]


def _constants(books: Books) -> list[Finding]:
    listed = books.constant_macs()
    if not listed:
        return []
    macs = sum(listed.values())
    layers = sorted({_name(layer) for layer, _ in listed})
    more = f" and {len(layers) - 3} more" if len(layers) > 3 else ""
    return [
        Finding(
            code="C13",
            text=f"products of weights alone ran in {', '.join(layers[:3])}{more}: {macs} MACs that are in no total",
            hint="they can be computed once, before the network runs; see 'constant_ops' in the run file",
        )
    ]


def _flips(activity: Activity) -> list[Finding]:
    return [
        Finding(
            code="C03",
            layer=op.layer,
            text=f"{_name(op.layer)} read spikes in some steps and real values in others; each share is counted apart",
            hint="see its parts in the run file; a real share is counted as MAC",
        )
        for op in activity.ops
        if {"spikes", "real"} <= {part.kind for part in op.parts}
    ]


def _idle(idle: list[str]) -> list[Finding]:
    return [
        Finding(
            code="C04",
            layer=layer,
            text=f"{_name(layer)} has a weight matrix and ran, but no contraction was seen in it",
            hint="its arithmetic is missing from every figure; report the operator it uses, or count it by hand",
        )
        for layer in idle
    ]


def _uncounted(activity: Activity) -> list[Finding]:
    if not activity.uncounted:
        return []
    names = sorted({entry.op for entry in activity.uncounted})
    return [
        Finding(
            code="C05",
            text=f"{len(names)} operator(s) compute and are in no figure, for want of a rule or since the first batch "
            f"did not run them: {', '.join(names)}",
            hint="see 'uncounted' in the run file; --strict turns this into exit status 1",
        )
    ]


def _silence(activity: Activity) -> list[Finding]:
    updates = sum(neuron.updates for neuron in activity.neurons)
    spikes = sum(neuron.spikes for neuron in activity.neurons)
    if not updates or spikes / updates > NEARLY_SILENT:
        return []
    return [
        Finding(
            code="C06",
            text=f"the network is nearly silent: {spikes} spikes in {updates} neuron-steps",
            hint="untrained weights or initial batch-norm statistics do this; profile a trained checkpoint",
        )
    ]


def _dead(activity: Activity) -> list[Finding]:
    """Neuron layers that never fired, in a network that does."""
    if _silence(activity):
        return []
    return [
        Finding(
            code="C18",
            layer=neuron.layer,
            text=f"neuron layer {neuron.layer!r} never fired, in {neuron.updates} neuron-steps",
            hint="what it feeds costs nothing here; check its threshold and its input",
        )
        for neuron in activity.neurons
        if neuron.updates and not neuron.spikes
    ]


def _unbounded(activity: Activity) -> list[Finding]:
    return [
        Finding(
            code="C15",
            layer=op.layer,
            text=f"{_name(op.layer)} reads whole multiples of {operand.quantum:.4g} that nothing bounds: the largest "
            f"seen is {operand.max_level if operand.max_level is not None else 'not known'}",
            hint="clamp them, or take another convention (levels=mac) if they are no spikes",
        )
        for op in activity.ops
        for operand in op.data
        if operand.quantum is not None and operand.levels is None and (operand.max_level or 2) > 1
    ]


def _name(layer: str) -> str:
    return repr(layer) if layer else "the model's own forward"

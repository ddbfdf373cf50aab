"""What a reader of the counts must know, in one sentence each, with the next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snnprof.activity import Activity, Finding

if TYPE_CHECKING:
    from snnprof.record.books import Books

NEARLY_SILENT = 1e-3


def of_books(books: Books) -> list[Finding]:
    """Findings from how the recording went."""
    late = [
        Finding(
            code="C01",
            layer=layer,
            text=f"{_name(layer)} ran an operation that the first batch did not run: a contraction's operands were "
            "taken for real, other arithmetic is listed as uncounted",
            hint="put a batch that takes every branch of the model first",
        )
        for layer in sorted(books.late)
    ]
    disguised = [
        Finding(
            code="C02",
            layer=layer,
            text=f"{_name(layer)} multiplies element by element and then sums: a contraction in disguise",
            hint="it is in the lines mul and reduce, not in the SOPs; write it as a matrix product to have it counted",
        )
        for layer in sorted(books.disguised)
    ]
    return late + disguised


def of_activity(activity: Activity, idle: list[str]) -> list[Finding]:
    """Findings from what was counted; `idle` are weighted modules that ran without a contraction."""
    return [*_flips(activity), *_idle(idle), *_uncounted(activity), *_silence(activity)]


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


def _name(layer: str) -> str:
    return repr(layer) if layer else "the model's own forward"

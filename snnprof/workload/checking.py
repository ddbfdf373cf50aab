"""The self-check of a run: the recorder and a second, independent counter count the same sample again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from snnprof.activity import Difference, Finding, SelfCheck
from snnprof.errors import SnnprofError
from snnprof.record.counters import ConstantCounter, OpCounter
from snnprof.record.recorder import Recorder
from snnprof.record.self_check import Recount, SecondCounter
from snnprof.workload.inputs import Input

Counter = OpCounter | ConstantCounter


def self_check(recorder: Recorder, run: Callable[[Input], Any], batches: Sequence[Input], samples: int) -> SelfCheck:
    """Counts a batch by the recorder and a second counter, and compares both operation by operation.

    Args:
        recorder: the recorder of the run. It counts on, so no activity may be taken from it afterwards.
        run: runs the model on a batch, from the start of a sequence.
        batches: the batches to try in this order: one sample, and a whole batch, for models that take no single sample.
        samples: number of samples in the whole batch.

    Returns:
        The number of operations that were compared, how many were equal, and the others.

    Raises:
        SnnprofError: the model does not run on the last batch, or there is none.
    """
    for number, batch in enumerate(batches, 1):
        last = number == len(batches)
        trace: list[tuple[str, Counter, int]] = []
        recorder.sites.trace = trace
        with SecondCounter(recorder.model) as second, recorder:
            ran = _runs(run, batch, last)
        recorder.end_block(0)
        if ran:
            return _compared(trace, second.calls, samples if last else 1)
    raise SnnprofError("there is no sample to check the run by")


def _runs(run: Callable[[Input], Any], batch: Input, must: bool) -> bool:
    """Runs the model on a batch; if it fails, returns False, or raises the error if it `must` run."""
    try:
        run(batch)
    except SnnprofError:
        if must:
            raise
        return False
    return True


def _compared(trace: Sequence[tuple[str, Counter, int]], calls: Sequence[Recount], samples: int) -> SelfCheck:
    """Compares the calls that both counters saw, layer by layer."""
    layers = dict.fromkeys([*(layer for layer, _, _ in trace), *(call.layer for call in calls)])
    rows, differences = 0, []
    for layer in layers:
        counted = [(counter, macs) for where, counter, macs in trace if where == layer]
        recounted = [call for call in calls if call.layer == layer]
        found = _of_layer(layer, counted, recounted)
        rows += max(len(found), 1)
        differences += [row for row in found if row.counted != row.recounted]
    return SelfCheck(samples=samples, rows=rows, equal=rows - len(differences), differences=differences)


def _of_layer(layer: str, counted: Sequence[tuple[Counter, int]], recounted: Sequence[Recount]) -> list[Difference]:
    """Compares the operations of one layer; calls are paired in their order if both counters saw equally many."""
    if len(counted) != len(recounted):
        ours = len(counted) or None
        return [Difference(layer=layer, op="number of contractions", counted=ours, recounted=len(recounted) or None)]
    sums: dict[int, tuple[Counter, int, int]] = {}
    for (counter, macs), call in zip(counted, recounted, strict=True):
        _, ours, theirs = sums.get(id(counter), (counter, 0, 0))
        constant = isinstance(counter, ConstantCounter)
        sums[id(counter)] = counter, ours + macs, theirs + (call.dense if constant else call.pairs)
    return [
        Difference(layer=layer, op=counter.op, counted=macs if isinstance(counter, ConstantCounter) else
                   counter.pairs_of_last_block(), recounted=theirs)
        for counter, macs, theirs in sums.values()
    ]  # fmt: skip


def findings(check: SelfCheck) -> list[Finding]:
    """One finding for each operation on which both counters disagree."""
    return [
        Finding(
            code="C16",
            layer=row.layer,
            text=f"The self-check counted {row.recounted}, the recorder {row.counted} ({row.op}, one sample)",
            hint="Do not publish figures of this layer, and report it with the model's code",
        )
        for row in check.differences
    ]

"""Compares the spikes of a run with those of the same network in float32 on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from snnprof.activity import Finding
from snnprof.record.recorder import Recorder
from snnprof.units import percent_text

Fired = dict[str, list[Tensor]]
"""Which neurons of each layer fired, at each call: bool tensors on the CPU."""


@contextmanager
def fired(recorder: Recorder) -> Iterator[Fired]:
    """Yields a dict that collects which neurons fire; for one sample only, since all calls are kept."""
    found: Fired = {}

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        spikes = recorder.watched[module].kind.spikes(output)
        if spikes is not None:
            found.setdefault(recorder.name_of(module), []).append((spikes != 0).cpu())

    handles = [module.register_forward_hook(keep) for module in recorder.watched]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def finding(run: Fired, reference: Fired) -> Finding | None:
    """A finding on the share of neuron-steps that fire in only one of the two runs; None if there are none."""
    counts = {layer: _changed(calls, reference.get(layer, [])) for layer, calls in run.items()}
    changed, steps = (sum(column) for column in zip(*counts.values(), strict=True)) if counts else (0, 0)
    if not changed:
        return None
    most, (worst, size) = max(counts.items(), key=lambda entry: entry[1][0] / max(entry[1][1], 1))
    return Finding(
        code="C11",
        layer="",
        text=f"{percent_text(changed / steps, 2)} of the neuron-steps of one sample differ from float32 on the CPU "
        f"({changed} of {steps}), most in {most!r} ({percent_text(worst / size, 2)})",
        hint="Compare the accuracy with a run in float32; counts are exact for the run that was made",
    )


def unknown(reason: str) -> Finding:
    """A finding that says why the spikes could not be compared."""
    return Finding(
        code="C11",
        layer="",
        text=f"Spikes could not be compared with float32 on the CPU: {reason}",
        hint="Profile with --device cpu to compare; counts are exact for the run that was made",
    )


def _changed(calls: list[Tensor], reference: list[Tensor]) -> tuple[int, int]:
    """The number of neuron-steps that differ, and of all; all differ if the layer's calls have other shapes."""
    steps = sum(spikes.numel() for spikes in calls)
    if [spikes.shape for spikes in calls] != [spikes.shape for spikes in reference]:
        return steps, steps
    return sum(int((a != b).sum()) for a, b in zip(calls, reference, strict=True)), steps

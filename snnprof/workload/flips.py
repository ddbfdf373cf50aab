"""How many spikes a number format or a device turns, beside the same network in float32 on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from snnprof.activity import Finding
from snnprof.record.recorder import Recorder
from snnprof.units import percent_text

Fired = dict[str, list[Tensor]]
"""What each neuron layer put out at each call: bool tensors on the CPU."""


@contextmanager
def fired(recorder: Recorder) -> Iterator[Fired]:
    """Collects what the neuron layers put out inside; for one sample, since all of it is kept."""
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
    """The share of neuron-steps that spike in one and not in the other; None where there is none."""
    counts = {layer: _flipped(calls, reference.get(layer, [])) for layer, calls in run.items()}
    flipped, steps = (sum(column) for column in zip(*counts.values(), strict=True)) if counts else (0, 0)
    if not flipped:
        return None
    most, (worst, size) = max(counts.items(), key=lambda entry: entry[1][0] / max(entry[1][1], 1))
    return Finding(
        code="C11",
        layer="",
        text=f"{percent_text(flipped / steps, 2)} of the neuron-steps of one sample differ from float32 on the CPU "
        f"({flipped} of {steps}), most in {most!r} ({percent_text(worst / size, 2)})",
        hint="Compare the accuracy with a run in float32; counts are exact for the run that was made",
    )


def unknown(reason: str) -> Finding:
    return Finding(
        code="C11",
        layer="",
        text=f"Spikes could not be compared with float32 on the CPU: {reason}",
        hint="Profile with --device cpu to compare; counts are exact for the run that was made",
    )


def _flipped(calls: list[Tensor], reference: list[Tensor]) -> tuple[int, int]:
    """Neuron-steps that differ, and all; where the layer ran otherwise, no step is like another."""
    steps = sum(spikes.numel() for spikes in calls)
    if [spikes.shape for spikes in calls] != [spikes.shape for spikes in reference]:
        return steps, steps
    return sum(int((a != b).sum()) for a, b in zip(calls, reference, strict=True)), steps

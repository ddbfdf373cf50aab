"""Reports and runs → figures: which numbers go into which picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from snnprof.activity import Activity, OpRecord
from snnprof.compare import PRINTED, Entry, Estimate, Side, side_of
from snnprof.errors import SnnprofError
from snnprof.grouping import ROOT, By, block_of, grouped
from snnprof.maps import AttentionMaps
from snnprof.pricing import TERMS, EnergyReport
from snnprof.render.figures import (
    Bars,
    Grid,
    Levels,
    Line,
    Pictures,
    Point,
    heat_map,
    lines,
    pictures,
    points,
    row_values,
    stacked_bars,
)
from snnprof.render.table import Column, scale
from snnprof.render.tables import per_inference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TERM_NAMES = {
    "sop": "synaptic operations", "mac": "multiply-accumulates", "elementwise": "other arithmetic",
    "neuron": "neuron updates", "spike": "spikes", "memory": "memory", "static": "static power",
}  # fmt: skip
_ENERGY = Column("energy_pj", kind="energy")


def energy(reports: Sequence[EnergyReport], by: By) -> Figure:
    """Energy per inference by layer, block or role, stacked by kind of work; one panel per hardware."""
    groups = [g for g in grouped(list(reports), by) if any(g.energies.values())]
    if not groups:
        raise SnnprofError("there is no energy to plot: none of the work has a price on this hardware")
    per = per_inference(reports[0].activity)
    panels = []
    for report in reports:
        id = report.hardware.id
        unit, size = scale(_ENERGY, [abs(per(group.energies[id]) or 0.0) for group in groups])
        stacks = {
            _TERM_NAMES[term]: tuple((per(group.terms[id].get(term)) or 0.0) / size for group in groups)
            for term in TERMS
        }
        panels.append(
            Bars(
                title=f"{id}{', lower bound' if report.lower_bound else ''}",
                axis=f"energy per inference ({unit})",
                labels=tuple(_label(group.name, group.op, by) for group in groups),
                stacks=stacks,
            )
        )
    return stacked_bars(panels)


def _label(name: str, op: str, by: By) -> str:
    return f"{name} ({op})" if by == "op" and op.startswith("matmul") else name


def rates(activity: Activity) -> Figure:
    """Firing rate of every neuron layer, block by block."""
    neurons = activity.neurons
    if not neurons:
        raise SnnprofError("there are no firing rates to plot: the run saw no spiking neuron")
    return row_values(
        Levels(
            axis="spikes per neuron and step",
            labels=tuple(neuron.layer or ROOT for neuron in neurons),
            groups=tuple(block_of(activity, neuron.layer) for neuron in neurons),
            values=tuple(neuron.rate for neuron in neurons),
        )
    )


def timesteps(activity: Activity) -> Figure:
    """Firing rate of every neuron layer at each time step."""
    known = [neuron for neuron in activity.neurons if neuron.spikes_per_step and neuron.updates]
    if not known:
        raise SnnprofError(
            "the number of time steps is unknown, so there is nothing to plot by step",
            hint="profile with --timesteps T, or with the --layout of the model's input",
        )
    steps = max(len(neuron.spikes_per_step) for neuron in known)
    shown = [neuron for neuron in known if len(neuron.spikes_per_step) == steps]
    return heat_map(
        Grid(
            axis="time step",
            scale="firing rate",
            rows=tuple(neuron.layer or ROOT for neuron in shown),
            columns=tuple(str(step + 1) for step in range(steps)),
            values=tuple(
                tuple(spikes / (neuron.updates / steps) for spikes in neuron.spikes_per_step) for neuron in shown
            ),
        )
    )


def attention(activity: Activity) -> Figure:
    """How often each value occurs in the attention matrix of each layer: the left operand of its last product."""
    found = {op.layer: op for op in activity.ops if op.op == "matmul" and op.data and op.data[0].histogram}
    if not found:
        raise SnnprofError(
            "the run has no histogram of attention values",
            hint="only products of two spike tensors have one; a model without them has no attention matrix",
        )
    series = [_distribution(activity, op) for op in found.values()]
    return lines(series, "value (in units of the operand's quantum)", "share of entries", log_y=True)


def _distribution(activity: Activity, op: OpRecord) -> Line:
    counts = op.data[0].histogram
    total = sum(counts)
    seen = [(float(level), count / total) for level, count in enumerate(counts) if count]
    name = block_of(activity, op.layer) or op.layer or ROOT
    return Line(name, tuple(level for level, _ in seen), tuple(share for _, share in seen))


def attention_maps(kept: AttentionMaps) -> Figure:
    """Each sample beside what every block's attention gives to its tokens.

    A matrix shows the attention that each token gets from all queries; an attention without one, the spikes that it
    lets through at each token.
    """
    if not kept.layers or not len(kept.images):
        raise SnnprofError("the file has no attention map")
    images = [_picture(image) for image in kept.images]
    shape = images[0].shape[:2]
    matrices = all(layer.kind == "matrix" for layer in kept.layers)
    return pictures(
        Pictures(
            images=images,
            labels=tuple("" if kept.labels is None else str(kept.labels[row]) for row in range(len(images))),
            columns=tuple(layer.layer.removesuffix(".attn") for layer in kept.layers),
            maps=tuple(tuple(layer.per_token(shape)) for layer in kept.layers),
            scale="attention that a token gets" if matrices else "spikes let through at a token",
        )
    )


def _picture(image: Any) -> Any:
    """Something to look at, [H, W] or [H, W, 3] in 0 … 1, from [C, H, W] or from event frames [T, C, H, W]."""
    flat = image.mean(0) if image.ndim == 4 else image
    colour = flat.transpose(1, 2, 0) if len(flat) == 3 else flat.mean(0)
    return (colour - colour.min()) / ((colour.max() - colour.min()) or 1.0)


def tradeoff(entries: Sequence[Entry]) -> Figure:
    """Accuracy against energy per inference; published rows are hollow and at their papers' own prices.

    Runs on other data than each other's say on which: neither figure of theirs compares.
    """
    sides = [side_of(entry) for entry in entries]
    sources = {_data_of(side) for side in sides} - {""}
    marks = [mark for side in sides for mark in _marks(side, name_data=len(sources) > 1)]
    if not marks:
        raise SnnprofError(
            "there is nothing to plot: no run has both an accuracy and an energy",
            hint="profile labelled data, on hardware that prices the work",
        )
    unit, size = scale(_ENERGY, [mark.x for mark in marks])
    return points([_in_unit(mark, size) for mark in marks], f"energy per inference ({unit})", "accuracy (%)")


def _data_of(side: Side) -> str:
    """What a run ran on; nothing of published rows, which are marked as such."""
    return side.entry.runs[0][0].activity.run.data.source if side.entry.runs else ""


def _marks(side: Side, name_data: bool) -> list[Point]:
    if side.accuracy.value is None:
        return []
    name = f"{side.name} on {_data_of(side)}" if name_data and _data_of(side) else side.name
    several = len(side.energies) > 1
    return [
        Point(
            label=f"{name}, {id}" if several else name, x=energy.value, y=100 * side.accuracy.value,
            x_error=_arms(energy), y_error=_arms(side.accuracy, 100.0), published=id == PRINTED,
        )
        for id, energy in side.energies.items() if energy.value is not None
    ]  # fmt: skip


def _arms(estimate: Estimate, scale: float = 1.0) -> tuple[float, float] | None:
    """How far an interval reaches below and above its figure, which need not stand in the middle of it."""
    value, interval = estimate.value, estimate.interval
    if value is not None and interval is not None and interval.low is not None and interval.high is not None:
        return scale * max(value - interval.low, 0.0), scale * max(interval.high - value, 0.0)
    return None if estimate.half is None else (scale * estimate.half, scale * estimate.half)


def _in_unit(mark: Point, size: float) -> Point:
    error = None if mark.x_error is None else (mark.x_error[0] / size, mark.x_error[1] / size)
    return replace(mark, x=mark.x / size, x_error=error)

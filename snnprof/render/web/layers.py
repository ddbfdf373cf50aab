"""The tree of layers on the page of a run: a line for each operation and neuron layer, with details to open."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from snnprof.activity import Activity, NeuronRecord, Operand, OpRecord
from snnprof.grouping import ROOT, Group, block_of, grouped
from snnprof.render.summary import ROLES
from snnprof.render.web.places import Places
from snnprof.render.web.values import Block, Chart, Column, Layer, Number, Source
from snnprof.units import brief_count, percent_text, rate_text

_KINDS = {"contraction": "operation", "neuron": "neurons", "elementwise": "other", "static": "static"}
_STATIC = "static"
LEVELS = 16
"""The most levels that a histogram shows one by one."""
FEEDING = 4
"""The most neuron layers in front of an operation whose rates by step are among its details."""


def tree(places: Places) -> tuple[Block, ...]:
    """The lines of the report by block: operations in the order in which they ran, then neurons, then the rest."""
    lines = _Lines(places)
    groups = sorted(grouped(places.reports, "op"), key=lambda group: list(_KINDS).index(group.rows[0].category))
    return tuple(
        lines.block(block, [group for group in groups if (group.block or _STATIC) == block.name])
        for block in grouped(places.reports, "block")
    )


def rates(activity: Activity) -> tuple[Chart, ...]:
    """The firing rates of the neuron layers: one chart for each block, all on the same scale."""
    anchors, top = _anchors(activity), highest_rate(activity)
    blocks: dict[str, list[Column]] = {}
    for neuron in activity.neurons:
        column = _column(neuron.layer or ROOT, neuron.rate or 0.0, top, anchors[neuron.layer])
        blocks.setdefault(block_of(activity, neuron.layer), []).append(column)
    return tuple(Chart(name, tuple(columns)) for name, columns in blocks.items())


def highest_rate(activity: Activity) -> float:
    """The highest firing rate of a neuron layer, the top of the scale of `rates`."""
    return max((neuron.rate or 0.0 for neuron in activity.neurons), default=0.0)


def _anchors(activity: Activity) -> dict[str, str]:
    """The HTML anchors of the neuron layers by their paths."""
    return {neuron.layer: f"neurons-{number}" for number, neuron in enumerate(activity.neurons)}


class _Lines:
    """Makes the lines of the tree; counts are per inference, or of the whole run if its samples are unknown."""

    def __init__(self, places: Places) -> None:
        report = places.reports[0]
        self._places = places
        self._anchors = _anchors(report.activity)
        self._ops = {op.key: op for op in report.activity.ops}
        self._neurons = {neuron.layer: neuron for neuron in report.activity.neurons}
        self._each: Callable[[float | None], float | None] = (
            report.per_inference if report.samples else lambda value: value
        )

    def block(self, group: Group, layers: Iterable[Group]) -> Block:
        """A block with the lines of its layers."""
        priced = self._places.of(group)
        return Block(
            group.name, self._number(group.sops), self._number(group.macs), priced, tuple(map(self.layer, layers))
        )

    def layer(self, group: Group) -> Layer:
        """The line of one operation or neuron layer."""
        row = group.rows[0]
        op = self._ops.get((row.layer, row.op, row.index or 0)) if row.category == "contraction" else None
        neuron = self._neurons.get(row.layer) if row.category == "neuron" else None
        facts, charts = [("Role", ROLES.get(group.role, group.role))] if group.role else [], list[Chart]()
        if op:
            facts, charts = [*facts, *self._of_op(op, group)], self._charts_of_op(op)
        if neuron:
            facts, charts = [*facts, *self._of_neuron(neuron)], _by_step([neuron])
        return Layer(
            anchor=self._anchors[neuron.layer] if neuron else "",
            kind=_KINDS[row.category],
            name=group.name,
            op=neuron.type if neuron else group.op.replace("_", " "),
            reads=group.label,
            role=group.role,
            rate=Number("" if group.rate is None else rate_text(group.rate), group.rate),
            sops=self._number(row.sops),
            macs=self._number(row.macs),
            priced=self._places.of(group),
            facts=tuple(facts),
            fed_by=self._sources(op.fed_by if op else ()),
            feeds=self._sources(op.feeds if op else ()),
            charts=tuple(charts),
        )

    def _of_op(self, op: OpRecord, group: Group) -> Iterator[tuple[str, str]]:
        if op.shape:
            yield "Shapes", _shapes(op)
        if op.steps:
            yield "Steps per inference", str(op.steps)
        yield "Dense MACs", self._text(op.dense_macs)
        if group.exact_sops is not None:
            yield "Exact SOPs", self._text(group.exact_sops)
        if group.formula_sops is not None:
            off = "" if group.deviation is None else f" ({100 * group.deviation:+.1f} %)".replace("-", "−")
            yield "Rate × T × FLOPs", f"{self._text(group.formula_sops)}{off}"
        if op.source:
            yield "In the code", op.source

    def _of_neuron(self, neuron: NeuronRecord) -> Iterator[tuple[str, str]]:
        yield "Neurons", brief_count(neuron.size)
        if neuron.steps:
            yield "Steps per inference", str(neuron.steps)
        yield "Spikes", self._text(neuron.spikes)
        yield "Updates", self._text(neuron.updates)
        if neuron.updates:
            yield "Updates with input", percent_text(neuron.driven / neuron.updates)

    def _charts_of_op(self, op: OpRecord) -> list[Chart]:
        feeding = [self._neurons[name] for name in op.fed_by if name in self._neurons]
        return [*_histograms(op), *_by_step(feeding[:FEEDING])]

    def _sources(self, names: Iterable[str]) -> tuple[Source, ...]:
        return tuple(Source(name or ROOT, self._anchors.get(name, "")) for name in names)

    def _number(self, count: float) -> Number:
        return Number(self._text(count) if count else "", self._each(count))

    def _text(self, count: float) -> str:
        return brief_count(self._each(count))


def _shapes(op: OpRecord) -> str:
    """The shapes of an operation, such as `8×16×16 → 16×16×16, weights 16×8×3×3, padding 1`."""
    sizes = {name: _sizes(size) for name, size in op.shape.items() if isinstance(size, list)}
    if op.op == "matmul" and not op.weights:
        return f"{sizes.get('left', '?')} · {sizes.get('right', '?')}"
    parts = [f"{sizes.get('input', '?')} → {sizes.get('output', '?')}"]
    parts += [f"weights {sizes['weight']}"] if "weight" in sizes else []
    plain = {"stride": 1, "padding": 0, "dilation": 1}
    for name, default in plain.items():
        values = op.shape.get(name)
        if values and any(value != default for value in values):
            parts.append(f"{name} {values[0] if len(set(values)) == 1 else sizes[name]}")
    if op.shape.get("groups", 1) > 1:
        parts.append(f"{op.shape['groups']} groups")
    return ", ".join(parts)


def _sizes(size: Sequence[int]) -> str:
    return "×".join(map(str, size)) or "1"


def _by_step(neurons: Sequence[NeuronRecord]) -> list[Chart]:
    """Charts of the firing rates by time step, all on the same scale."""
    top = max((rate for neuron in neurons for rate in neuron.rate_by_step), default=0.0)
    return [
        Chart(
            f"Firing rate of {neuron.layer or ROOT} by time step",
            tuple(_column(f"step {step}", rate, top) for step, rate in enumerate(neuron.rate_by_step, start=1)),
        )
        for neuron in neurons
        if neuron.rate_by_step
    ]


def _histograms(op: OpRecord) -> list[Chart]:
    """Charts of how often each level occurs in each data operand."""
    names = ["Input"] if len(op.data) == 1 else ["Left operand", "Right operand"]
    pairs = zip(names, op.data, strict=False)
    return [_histogram(name, operand) for name, operand in pairs if any(operand.histogram)]


def _histogram(name: str, operand: Operand) -> Chart:
    shown = [*operand.histogram[:LEVELS]]
    labels = [f"{'±' if operand.signed and level else ''}{level}" for level in range(len(shown))]
    if len(operand.histogram) > LEVELS:
        shown.append(sum(operand.histogram[LEVELS:]))
        labels.append(f"{LEVELS} and more")
    every = sum(operand.histogram)
    grid = "" if operand.quantum in (None, 1) else f"in units of {operand.quantum:.4g}"
    columns = [_column(label, count / every, max(shown) / every) for label, count in zip(labels, shown, strict=True)]
    return Chart(f"{name} values", tuple(columns), grid)


def _column(name: str, share: float, top: float, anchor: str = "") -> Column:
    return Column(name, rate_text(share), share / top if top and math.isfinite(share) else 0.0, anchor)

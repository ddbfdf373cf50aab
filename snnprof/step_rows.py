"""The sheet of a run: each contraction and each neuron layer at each time step, as flat records.

The counts of a contraction are known by step only if the steps add up to its total under the report's convention.
Otherwise they are unknown (None), as in run files that do not tell the steps of contractions apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snnprof import conventions
from snnprof.activity import Activity, NeuronRecord, OpRecord
from snnprof.conventions import Counts, Line
from snnprof.grouping import block_of, role_of
from snnprof.priced_run import PricedRun
from snnprof.report_rows import Record, default_per, shapes
from snnprof.shown import Per

COLUMNS = (
    "block", "role", "layer", "op", "index", "category", "step", "timesteps", "input", "rate", "feeding_rate",
    "neurons", "spikes", "dense_macs", "exact_sops", "events", "sops", "acs", "macs", "input_shape", "weight_shape",
    "output_shape", "fed_by", "per",
)  # fmt: skip
Key = tuple[str, str, int | None]


@dataclass(frozen=True)
class StepSheet:
    """The records, in the network's order.

    Attributes:
        rows: one record for each time step of each contraction and neuron layer.
        untold: contractions whose counts are not known by step, as `layer` or `layer #index`.
    """

    rows: tuple[Record, ...]
    untold: tuple[str, ...]


def step_sheet(report: PricedRun, per: Per | None = None) -> StepSheet:
    """Returns a record for each time step of each contraction and neuron layer.

    Of the report only the convention counts, not its prices. `per` None means `inference` if the number of samples
    is known, else `run`.
    """
    activity = report.activity
    per = per or default_per(activity)
    samples = activity.samples if per == "inference" and activity.samples else 1
    counted = _Counted(report)
    lines = [line for line in report.convention.lines(activity) if line.category == "contraction"]
    rows = [row for line in lines for row in _of_operation(counted, line, samples)]
    rows += [row for neuron in report.considered.neurons for row in _of_neurons(activity, neuron, samples)]
    untold = tuple(_name(line) for line in lines if not counted.knows_steps(line))
    return StepSheet(tuple({name: {**row, "per": per}.get(name) for name in COLUMNS} for row in rows), untold)


class _Counted:
    """A run counted by its convention: as a whole, and at each of its steps."""

    def __init__(self, report: PricedRun) -> None:
        self.activity = report.activity
        self.ops: dict[Key, OpRecord] = {op.key: op for op in self.activity.ops}
        longest = max((len(op.parts_by_step) for op in self.activity.ops), default=0)
        self.parts = [self.activity.at_step(step) for step in range(longest)]
        self._lines = [
            {(line.layer, line.op, line.index): line.counts for line in report.convention.lines(part)}
            for part in self.parts
        ]

    def at(self, line: Line) -> list[Counts]:
        """Returns the counts of each step; empty if they were not counted separately."""
        key = (line.layer, line.op, line.index)
        steps = len(self.ops[key].parts_by_step)
        return [lines[key] for lines in self._lines[:steps] if key in lines]

    def knows_steps(self, line: Line) -> bool:
        """Whether the steps were counted separately, and add up to the line's total."""
        steps, total = self.at(line), line.counts
        whole = sum(steps, Counts())
        return bool(steps) and all(
            math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6)
            for a, b in ((whole.sops, total.sops), (whole.macs, total.macs))
        )


def _of_operation(counted: _Counted, line: Line, samples: int) -> Iterator[Record]:
    key = (line.layer, line.op, line.index)
    op, activity = counted.ops[key], counted.activity
    facts: Record = {
        "block": block_of(activity, op.layer) or None, "role": role_of(activity, op.layer, op.index) or None,
        "layer": op.layer, "op": op.op, "index": op.index, "category": line.category, "timesteps": op.steps,
        "input": conventions.label(op), "fed_by": ", ".join(op.fed_by) or None, **shapes(op),
    }  # fmt: skip
    each = counted.at(line) if counted.knows_steps(line) else []
    for step in range(op.steps or 0):
        row = {**facts, "step": step + 1, "feeding_rate": _feeding_rate(activity, op, step)}
        yield {**row, **_counts(counted.parts[step], key, each[step], samples)} if each else row


def _counts(part: Activity, key: Key, counts: Counts, samples: int) -> Record:
    op = next(op for op in part.ops if op.key == key)
    figures = {
        "dense_macs": op.dense_macs, "exact_sops": conventions.exact_sops(op), "events": conventions.spike_events(op),
        "sops": counts.sops, "acs": counts.acs, "macs": counts.macs,
    }  # fmt: skip
    rate = op.nonzero / op.elements if op.elements else None
    return {"rate": rate, **{name: figure / samples for name, figure in figures.items()}}


def _feeding_rate(activity: Activity, op: OpRecord, step: int) -> float | None:
    """Returns the spikes per neuron at one step of the layers that feed an operation.

    None if those of one are unknown.
    """
    feeding = [neuron for neuron in activity.neurons if neuron.layer in op.fed_by]
    known = [neuron for neuron in feeding if step < len(neuron.spikes_per_step) and neuron.updates]
    if not feeding or len(known) < len(feeding) or len(feeding) < len(op.fed_by):
        return None
    updates = sum(neuron.updates / len(neuron.spikes_per_step) for neuron in known)
    return sum(neuron.spikes_per_step[step] for neuron in known) / updates


def _of_neurons(activity: Activity, neuron: NeuronRecord, samples: int) -> Iterator[Record]:
    for step in range(neuron.steps or 0):
        known = step < len(neuron.spikes_per_step)
        yield {
            "block": block_of(activity, neuron.layer) or None, "role": role_of(activity, neuron.layer, None) or None,
            "layer": neuron.layer, "op": neuron.type, "category": "neuron", "step": step + 1,
            "timesteps": neuron.steps, "neurons": neuron.size,
            "rate": neuron.rate_by_step[step] if known and neuron.updates else None,
            "spikes": neuron.spikes_per_step[step] / samples if known else None,
        }  # fmt: skip


def _name(line: Line) -> str:
    return f"{line.layer or '(root)'} #{line.index}" if line.index else line.layer or "(root)"


def unstepped(report: PricedRun) -> Sequence[str]:
    """Returns the contractions and neuron layers whose number of steps is unknown: they have no rows."""
    ops = [op.layer for op in report.considered.ops if not op.steps]
    neurons = [neuron.layer for neuron in report.considered.neurons if not neuron.steps]
    return list(dict.fromkeys(layer or "(root)" for layer in [*ops, *neurons]))

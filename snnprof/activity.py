"""Activity: what happened when a network ran. Raw integers and the facts of the run; no opinion, no energy.

Every count is an exact integer over the whole run. Rates, shares and labels are derived, never stored, so two
activities of the same network merge by adding. The schema is the file format: `Activity.save` writes it as JSON.
"""

from __future__ import annotations

import base64
import functools
import json
import math
import zlib
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError

from snnprof import run_file
from snnprof.errors import SnnprofError
from snnprof.run_file import Target

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "snnprof.activity/0"
MAX_BLOCKS = 64
MAX_UNIT = 255
"""Levels that are told apart, and so the largest number of them that can make one unit."""

Kind = Literal["silent", "spikes", "real"]
KINDS: tuple[Kind, ...] = ("silent", "spikes", "real")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Part(_Record):
    """The counts of one operation over the steps in which its data had one kind.

    Attributes:
        kind: `silent` (all zero: no evidence), `spikes` (multiples of the operand's quantum) or `real`.
        elements: elements of the data operand (the left one where both are data).
        nonzero: those that are not zero.
        level_sum: Σ |x / quantum| over them; equals `nonzero` for binary spikes and for real data.
        dense_macs: multiply-accumulates of a dense machine, padding taps included.
        valid_macs: the same without taps on zero padding.
        events: pairs that really meet: non-zero input × weight position, or two non-zero elements.
        by_value: events with a level-n spike counted n times (n·m for two spikes).
        effective: events whose weight is not zero.
        left, right: data × data only: non-zeros of one operand × the other's dense extent.
    """

    kind: Kind
    elements: int = 0
    nonzero: int = 0
    level_sum: int = 0
    dense_macs: int = 0
    valid_macs: int = 0
    events: int = 0
    by_value: int = 0
    effective: int = 0
    left: int = 0
    right: int = 0


PART_COUNTS: tuple[str, ...] = tuple(name for name in Part.model_fields if name != "kind")


class Operand(_Record):
    """What one operand of an operation is, from where it came.

    Attributes:
        role: `data` or `weight`.
        quantum: its values are multiples of this; null for real data and for weights.
        levels: |value| ≤ levels · quantum by construction; null where unbounded or real.
        signed: negative values were possible by construction or were seen.
        histogram: elements with |level| 0, 1, 2, …, over silent and spikes steps; empty where not kept.
        constant_over_time: the same values at each step of an inference; null where not checked.
        fed_by: neuron layers (or `input`) whose output it carries.
        residual: largest |x / quantum − nearest integer| among the steps counted as spikes.
    """

    role: Literal["data", "weight"]
    quantum: float | None = None
    levels: int | None = None
    signed: bool = False
    histogram: list[int] = Field(default_factory=list)
    constant_over_time: bool | None = None
    fed_by: list[str] = Field(default_factory=list)
    residual: float = 0.0

    @property
    def max_level(self) -> int | None:
        """The largest level seen; the bound by construction where no histogram was kept; null for real data."""
        seen = [level for level, count in enumerate(self.histogram) if count]
        return seen[-1] if seen else self.levels


class OpRecord(_Record):
    """One contraction: where it ran, its shape, its counts by kind, its operands.

    Attributes:
        layer: module path that ran it (`""` is the root module).
        op: `conv`, `linear` or `matmul`.
        index: numbers the layer's contractions in order of first appearance.
        calls: how often the operator was called over the run.
        steps: how often it ran per inference (T inside the time loop, 1 after the mean); null where untold.
        shape: what a memory model needs: per-sample `input`, `output`, `weight`, and a convolution's geometry.
        weights: number of weights (0 for data × data).
        bias_adds: additions of a bias, over the run.
        feeds: neuron layers its result reaches.
        source: where in the user's code a data × data product stands, else "".
    """

    layer: str
    op: Literal["conv", "linear", "matmul"]
    index: int = 0
    calls: int = 0
    steps: int | None = None
    shape: dict[str, Any] = Field(default_factory=dict)
    weights: int = 0
    bias_adds: int = 0
    feeds: list[str] = Field(default_factory=list)
    source: str = ""
    parts: list[Part] = Field(default_factory=list)
    operands: list[Operand] = Field(default_factory=list)

    def _total(self, name: str) -> int:
        return sum(getattr(part, name) for part in self.parts)

    @property
    def dense_macs(self) -> int:
        return self._total("dense_macs")

    @property
    def valid_macs(self) -> int:
        return self._total("valid_macs")

    @property
    def events(self) -> int:
        return self._total("events")

    @property
    def elements(self) -> int:
        return self._total("elements")

    @property
    def nonzero(self) -> int:
        return self._total("nonzero")

    @property
    def data(self) -> list[Operand]:
        """The data operands: one for a weighted operation, two for data × data."""
        return [operand for operand in self.operands if operand.role == "data"]

    @property
    def fed_by(self) -> list[str]:
        return sorted({name for operand in self.data for name in operand.fed_by})

    def part(self, kind: Kind) -> Part:
        """The counts of one kind; zeros where the kind never occurred."""
        return next((part for part in self.parts if part.kind == kind), Part(kind=kind))

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.layer, self.op, self.index)


class NeuronRecord(_Record):
    """One spiking-neuron layer.

    Attributes:
        found_by: `class` (a known framework class), `named` (--neuron) or `behaviour` (turned real input to spikes).
        size: neurons per sample.
        steps: steps per inference; null where untold.
        spikes: non-zero outputs over the run.
        level_sum: Σ |output|, which exceeds `spikes` for multi-level neurons.
        spikes_per_step: `spikes` by time step; empty where the steps are untold.
        updates: neuron-steps.
        driven: neuron-steps whose input was not zero.
        fired_bitmap, always_bitmap: one bit per neuron: fired at least once; fired at every step. Base64 of
            zlib of big-endian packed bits; null where the layer's size changed during the run.
    """

    layer: str
    type: str
    found_by: Literal["class", "named", "behaviour"] = "class"
    size: int = 0
    steps: int | None = None
    spikes: int = 0
    level_sum: int = 0
    spikes_per_step: list[int] = Field(default_factory=list)
    updates: int = 0
    driven: int = 0
    fired_bitmap: str | None = None
    always_bitmap: str | None = None

    @property
    def rate(self) -> float | None:
        """Spikes per neuron and step."""
        return self.spikes / self.updates if self.updates else None

    @property
    def rate_by_step(self) -> list[float]:
        """`rate` at each time step; empty where the steps are untold."""
        each = self.updates / max(1, len(self.spikes_per_step))
        return [spikes / each for spikes in self.spikes_per_step] if each else []


class ElementwiseRecord(_Record):
    """One line of other arithmetic.

    Attributes:
        op: batch_norm, pool, add, bias, mask, reduce, compare or mul.
        elements: results it computed (operands read, for reduce and pool).
        nonzero: non-zero operands; null where it was not counted (real data: every element is work).
        foldable: batch_norm only: a contraction feeds it alone, so its affine folds into the weights.
        biased: batch_norm only: that contraction has a bias, so that folding adds none.
    """

    layer: str
    op: str
    elements: int = 0
    nonzero: int | None = None
    foldable: bool = False
    biased: bool = False


class LayerFlops(_Record):
    """fvcore's FLOPs (1 FLOP = 1 MAC) of one module itself, without its children, for one sample."""

    layer: str
    flops: int


class Uncounted(_Record):
    """An operator that computes but has no rule."""

    layer: str
    op: str
    calls: int


class ConstantOp(_Record):
    """Products of weights alone (LoRA, re-parametrised kernels) at one place: no work of the data, so listed apart."""

    layer: str
    op: str
    dense_macs: int


class Difference(_Record):
    """A row in which the second counter and the recorder disagree; null where one of them has no such row."""

    layer: str
    op: str
    counted: int | None
    recounted: int | None


class SelfCheck(_Record):
    """One sample counted twice at once, by the recorder and by a second counter that shares nothing with it.

    Attributes:
        samples: that ran.
        rows: operations that either of them saw.
        equal: those in which both have the same integers.
        differences: the others.
    """

    samples: int
    rows: int
    equal: int
    differences: list[Difference] = Field(default_factory=list)


class Finding(_Record):
    """Something a reader of the figures must know, and what to do about it."""

    code: str
    layer: str = ""
    text: str
    hint: str = ""


class Accuracy(_Record):
    correct: int
    total: int


class ModelFacts(_Record):
    """Which model ran. `title` is what it is called in tables and figures, a reconstruction by that word."""

    source: str = ""
    name: str = ""
    title: str = ""
    preset: str | None = None
    parameters: int = 0
    parameters_used: int = 0
    checkpoint: str | None = None
    sha256: str | None = None
    note: str | None = None

    @property
    def label(self) -> str:
        """What to call the model where it is shown."""
        return self.title or self.source or self.name


class DataFacts(_Record):
    """Which data ran. `fingerprint` is of its beginning, `read` of every batch that was counted: x, y and its place."""

    source: str = ""
    kind: str = ""
    shape: list[int] = Field(default_factory=list)
    total: int | None = None
    order_seed: int | None = None
    fingerprint: str | None = None
    read: str | None = None
    note: str | None = None


class Run(_Record):
    """The facts of a run: enough to make it again.

    Attributes:
        conditions: what else decides the counts (settings, weights, what the input is): a resumed run must share it.
        checksum: of the file's content, by which `--resume` sees that nobody has changed it; null where none is kept.
    """

    versions: dict[str, str] = Field(default_factory=dict)
    platform: str = ""
    device: str = ""
    dtype: str = ""
    created: str = ""
    argv: list[str] = Field(default_factory=list)
    model: ModelFacts = Field(default_factory=ModelFacts)
    data: DataFacts = Field(default_factory=DataFacts)
    layout: str = "batch"
    timesteps: int | None = None
    batch_size: int | None = None
    seed: int | None = None
    conditions: dict[str, str] = Field(default_factory=dict)
    complete: bool = True
    checksum: str | None = None


class Block(_Record):
    """The run's integers restricted to some whole batches, in the order of the records.

    Attributes:
        ops: per operation: calls, bias_adds, then `PART_COUNTS` for each kind in `KINDS`.
        neurons: per neuron layer: spikes, level_sum, updates, driven, then spikes_per_step.
        elementwise: per line: elements, nonzero (null where not counted).
    """

    samples: int = 0
    correct: int | None = None
    ops: list[list[int]] = Field(default_factory=list)
    neurons: list[list[int]] = Field(default_factory=list)
    elementwise: list[list[int | None]] = Field(default_factory=list)


NEURON_COUNTS = ("spikes", "level_sum", "updates", "driven")


class Activity(_Record):
    """Everything counted in one run. See the module docstring and docs/counting.md."""

    schema_: str = Field(default=SCHEMA, alias="schema")
    run: Run = Field(default_factory=Run)
    samples: int | None = None
    accuracy: Accuracy | None = None
    coverage: float | None = None
    ops: list[OpRecord] = Field(default_factory=list)
    neurons: list[NeuronRecord] = Field(default_factory=list)
    layers: list[LayerFlops] = Field(default_factory=list)
    elementwise: list[ElementwiseRecord] = Field(default_factory=list)
    uncounted: list[Uncounted] = Field(default_factory=list)
    constant_ops: list[ConstantOp] = Field(default_factory=list)
    self_check: SelfCheck | None = None
    findings: list[Finding] = Field(default_factory=list)
    blocks: list[Block] = Field(default_factory=list)

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    # -- files ---------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        try:
            return self.model_dump_json(by_alias=True, indent=None)
        except PydanticSerializationError:  # a file name that is not UTF-8, which JSON can hold by escapes alone
            return json.dumps(self.model_dump(by_alias=True), separators=(",", ":"))

    def save(self, path: str | Path | Target) -> None:
        """Writes the file in one step, so that a reader never sees half of it, with a checksum of its content.

        Raises:
            SnnprofError: the file cannot be written.
        """
        target = path if isinstance(path, Target) else Target(Path(path), force=True)
        target.write(self.sealed())

    def sealed(self) -> str:
        """What a run file holds."""
        return run_file.sealed(self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> Activity:
        """Reads a run file.

        Raises:
            SnnprofError: it is missing, is not JSON, or does not follow the schema.
        """
        return cls.from_json(run_file.read(Path(path)), str(path))

    @classmethod
    def from_json(cls, text: str, name: str = "run") -> Activity:
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SnnprofError(
                f"{name} is not a run file: not valid JSON", hint="make one with 'snnprof profile --output RUN.json'"
            ) from error
        _check_schema(raw, name)
        try:
            activity = cls.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(step) for step in first["loc"])
            raise SnnprofError(f"{name}: {where}: {first['msg'].lower()}") from error
        activity._check_operations(name)
        activity._check_sums(name)
        activity.run.checksum = None  # it is the file's, and made anew when it is written
        return activity

    # -- parts and unions ----------------------------------------------------------------------------------

    def restricted(self, block: Block) -> Activity:
        """The same activity as if only the batches of `block` had run; operands keep the whole run's evidence."""
        ops = [_op_of_block(op, counts) for op, counts in zip(self.ops, block.ops, strict=True)]
        neurons = [_neuron_of_block(n, counts) for n, counts in zip(self.neurons, block.neurons, strict=True)]
        lines = [
            line.model_copy(update={"elements": counts[0], "nonzero": counts[1]})
            for line, counts in zip(self.elementwise, block.elementwise, strict=True)
        ]
        accuracy = None if block.correct is None else Accuracy(correct=block.correct, total=block.samples)
        return self.model_copy(
            update={
                "ops": ops, "neurons": neurons, "elementwise": lines,
                "samples": block.samples, "accuracy": accuracy, "blocks": [block],
            }
        )  # fmt: skip

    def merge(self, other: Activity) -> Activity:
        """Both runs as one. Counts add; blocks stand side by side.

        Raises:
            SnnprofError: the two did not run the same operations.
        """
        if [op.key for op in self.ops] != [op.key for op in other.ops] or [n.layer for n in self.neurons] != [
            n.layer for n in other.neurons
        ]:
            raise SnnprofError("cannot merge runs of different networks: their operations differ")
        if [(e.layer, e.op) for e in self.elementwise] != [(e.layer, e.op) for e in other.elementwise]:
            raise SnnprofError("cannot merge runs of different networks: their element-wise lines differ")
        accuracy = None
        if self.accuracy and other.accuracy:
            accuracy = Accuracy(
                correct=self.accuracy.correct + other.accuracy.correct,
                total=self.accuracy.total + other.accuracy.total,
            )
        return self.model_copy(
            update={
                "samples": _add(self.samples, other.samples),
                "accuracy": accuracy,
                "ops": [_merge_ops(a, b) for a, b in zip(self.ops, other.ops, strict=True)],
                "neurons": [_merge_neurons(a, b) for a, b in zip(self.neurons, other.neurons, strict=True)],
                "elementwise": [
                    a.model_copy(update={"elements": a.elements + b.elements, "nonzero": _add(a.nonzero, b.nonzero)})
                    for a, b in zip(self.elementwise, other.elementwise, strict=True)
                ],
                "uncounted": _merge_uncounted(self.uncounted, other.uncounted),
                "constant_ops": _merge_constants(self.constant_ops, other.constant_ops),
                "findings": self.findings + [f for f in other.findings if f not in self.findings],
                "blocks": thinned(_blocks_of([self, other])),
                "run": self.run.model_copy(update={"complete": self.run.complete and other.run.complete}),
            }
        )

    # -- views ---------------------------------------------------------------------------------------------

    def to_dataframe(self) -> pd.DataFrame:
        """One row per operation: its identity and its raw counts over the whole run."""
        import pandas as pd

        names = (*PART_COUNTS,)
        rows = [
            {
                "layer": op.layer, "op": op.op, "index": op.index, "calls": op.calls, "steps": op.steps,
                "fed_by": " ".join(op.fed_by), "weights": op.weights, "bias_adds": op.bias_adds,
                **{name: op._total(name) for name in names},
            }
            for op in self.ops
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def _check_operations(self, name: str) -> None:
        """What the schema leaves open and the arithmetic relies on."""
        for op in self.ops:
            sizes = [size for shape in op.shape.values() for size in (shape if isinstance(shape, list) else [shape])]
            if not all(isinstance(size, int) and size >= 0 for size in sizes):
                raise SnnprofError(f"{name}: the shape of {op.layer!r} is not a list of sizes")
            if op.op == "matmul" and len(op.data) != 2 and not op.weights:
                raise SnnprofError(f"{name}: the product in {op.layer!r} has {len(op.data)} data operands, not 2")
            if op.op != "matmul" and not op.data:
                raise SnnprofError(f"{name}: the operation in {op.layer!r} has no data operand")

    def _check_sums(self, name: str) -> None:
        """A run file whose blocks do not add up to its totals was edited or damaged."""
        if not self.blocks:
            return
        for part in ("ops", "neurons", "elementwise"):
            if any(len(getattr(block, part)) != len(getattr(self, part)) for block in self.blocks):
                raise SnnprofError(f"{name}: a block does not list the run's {part}; the file is damaged")
        for part, totals in self._totals().items():
            for position, (label, counts) in enumerate(totals):
                columns = [getattr(block, part)[position] for block in self.blocks]
                if any(len(column) != len(counts) for column in columns):
                    raise SnnprofError(f"{name}: a block of {label!r} has the wrong length; the file is damaged")
                if [_sum(values) for values in zip(*columns, strict=True)] != counts:
                    raise SnnprofError(
                        f"{name}: the blocks of {label!r} do not add up to its totals; the file is damaged"
                    )

    def _totals(self) -> dict[str, list[tuple[str, list[int | None]]]]:
        """What the blocks add up to: for each of their parts, names and integers in the order of a block."""
        return {
            "ops": [(op.layer, [*op_counts(op)]) for op in self.ops],
            "neurons": [(n.layer, [*(getattr(n, c) for c in NEURON_COUNTS), *n.spikes_per_step]) for n in self.neurons],
            "elementwise": [(f"{line.layer} {line.op}", [line.elements, line.nonzero]) for line in self.elementwise],
        }


def op_counts(op: OpRecord) -> list[int]:
    """An operation's integers as a block stores them."""
    parts = [op.part(kind) for kind in KINDS]
    return [op.calls, op.bias_adds, *(getattr(part, name) for part in parts for name in PART_COUNTS)]


def parts_from(counts: Sequence[int]) -> list[Part]:
    """The parts behind `len(KINDS) × len(PART_COUNTS)` integers; kinds that never occurred are left out."""
    width = len(PART_COUNTS)
    rows = [(kind, counts[i * width : (i + 1) * width]) for i, kind in enumerate(KINDS)]
    return [Part(kind=kind, **dict(zip(PART_COUNTS, row, strict=True))) for kind, row in rows if any(row)]


def thinned(blocks: list[Block], at_most: int = MAX_BLOCKS) -> list[Block]:
    """Neighbouring blocks joined in pairs until there are few enough."""
    while len(blocks) > at_most:
        pairs = [blocks[i : i + 2] for i in range(0, len(blocks), 2)]
        blocks = [pair[0] if len(pair) == 1 else _join(*pair) for pair in pairs]
    return blocks


def pack_bits(bits: Sequence[bool] | Any) -> str:
    """Base64 of zlib of the bits, eight to a byte, first bit highest."""
    import numpy as np

    return base64.b64encode(zlib.compress(np.packbits(np.asarray(bits, dtype=bool)).tobytes())).decode()


def unpack_bits(text: str, size: int) -> Any:
    """The `size` booleans behind `pack_bits`, as a numpy array.

    Raises:
        SnnprofError: the text holds something else.
    """
    import numpy as np

    width = -(-size // 8)
    try:
        packed = zlib.decompressobj().decompress(base64.b64decode(text), width + 1)
    except (ValueError, OverflowError, zlib.error) as error:
        raise SnnprofError("the run file is damaged: a neuron layer's bitmap cannot be read") from error
    if len(packed) != width:
        raise SnnprofError(f"the run file is damaged: a neuron layer's bitmap is not that of {size} neurons")
    return np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=size).astype(bool)


def _check_schema(raw: Any, name: str) -> None:
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if schema == SCHEMA:
        return
    if isinstance(schema, str) and schema.startswith("snnprof.activity/"):
        raise SnnprofError(f"{name} has schema {schema!r}; this snnprof reads {SCHEMA!r}", hint="profile again")
    raise SnnprofError(
        f"{name} is not a run file: it has no schema {SCHEMA!r}",
        hint="make one with 'snnprof profile --output RUN.json'",
    )


def _sum(values: Iterable[int | None]) -> int | None:
    return functools.reduce(_add, values)


def _add(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


def _op_of_block(op: OpRecord, counts: list[int]) -> OpRecord:
    return op.model_copy(update={"calls": counts[0], "bias_adds": counts[1], "parts": parts_from(counts[2:])})


def _neuron_of_block(neuron: NeuronRecord, counts: list[int]) -> NeuronRecord:
    width = len(NEURON_COUNTS)
    named = dict(zip(NEURON_COUNTS, counts[:width], strict=True))
    return neuron.model_copy(update={**named, "spikes_per_step": counts[width:]})


def on_common_grid(ops: Sequence[OpRecord]) -> list[OpRecord]:
    """Records of one operation by several runs, with levels counted in quanta that all of them share.

    A run counts levels in the greatest common divisor of those it saw; another run may have seen finer ones.
    """
    factors = [_factors_to_common([op.operands[i].quantum for op in ops]) for i in range(len(ops[0].operands))]
    return [
        finer(op, [factor[number] for factor in factors]) if any(factor[number] != 1 for factor in factors) else op
        for number, op in enumerate(ops)
    ]


def with_ops(activity: Activity, ops: Sequence[OpRecord]) -> Activity:
    """The activity with records of the same operations on finer grids; its blocks follow."""
    blocks = []
    for block in activity.blocks:
        rows = []
        for row, was, now in zip(block.ops, activity.ops, ops, strict=True):
            factors = [_divided(before, after) for before, after in zip(was.operands, now.operands, strict=True)]
            rows.append(op_counts(finer(_op_of_block(was, row), factors)) if set(factors) != {1} else row)
        blocks.append(block.model_copy(update={"ops": rows}))
    return activity.model_copy(update={"ops": list(ops), "blocks": blocks})


def _divided(before: Operand, after: Operand) -> int:
    return 1 if before.quantum is None or after.quantum is None else round(before.quantum / after.quantum)


def _blocks_of(runs: Sequence[Activity]) -> list[Block]:
    """The blocks of several runs of one network, on the grids that all of them share."""
    shared = list(zip(*(on_common_grid(ops) for ops in zip(*(run.ops for run in runs), strict=True)), strict=True))
    aligned = [with_ops(run, ops) for run, ops in zip(runs, shared, strict=True)] if shared else runs
    return [block for run in aligned for block in run.blocks]


def finer(op: OpRecord, factors: Sequence[int]) -> OpRecord:
    """The record with each operand's quantum divided by a factor."""
    data = [factor for factor, operand in zip(factors, op.operands, strict=True) if operand.role == "data"]
    parts = [
        part.model_copy(update={"by_value": part.by_value * math.prod(data), "level_sum": part.level_sum * data[0]})
        if part.kind == "spikes"
        else part
        for part in op.parts
    ]
    operands = [_finer_operand(operand, factor) for operand, factor in zip(op.operands, factors, strict=True)]
    return op.model_copy(update={"parts": parts, "operands": operands})


def _finer_operand(operand: Operand, factor: int) -> Operand:
    if operand.quantum is None or factor == 1:
        return operand
    spread = [0] * max(0, (len(operand.histogram) - 1) * factor + 1)
    spread[::factor] = operand.histogram
    levels = None if operand.levels is None else operand.levels * factor
    return operand.model_copy(update={"quantum": operand.quantum / factor, "levels": levels, "histogram": spread})


def _factors_to_common(quanta: Sequence[float | None]) -> list[int]:
    """By what each quantum is divided to become the largest one that all are multiples of; 1 for real operands."""
    known = [quantum for quantum in quanta if quantum is not None]
    if len(set(known)) < 2:
        return [1] * len(quanta)
    ratios = [Fraction(quantum / known[0]).limit_denominator(MAX_UNIT) for quantum in known]
    shared = math.lcm(*(ratio.denominator for ratio in ratios))
    whole = [int(ratio * shared) for ratio in ratios]
    divisor = math.gcd(*whole)
    found = iter([number // divisor for number in whole])
    return [1 if quantum is None else next(found) for quantum in quanta]


def _merge_ops(a: OpRecord, b: OpRecord) -> OpRecord:
    a, b = on_common_grid([a, b])
    counts = [x + y for x, y in zip(op_counts(a), op_counts(b), strict=True)]
    operands = [_merge_operands(x, y) for x, y in zip(a.operands, b.operands, strict=True)]
    return _op_of_block(a, counts).model_copy(update={"operands": operands})


def _merge_operands(a: Operand, b: Operand) -> Operand:
    longer = max(len(a.histogram), len(b.histogram))
    padded = [h + [0] * (longer - len(h)) for h in (a.histogram, b.histogram)]
    constant = None if a.constant_over_time is None else a.constant_over_time and b.constant_over_time
    return a.model_copy(
        update={
            "histogram": [x + y for x, y in zip(*padded, strict=True)],
            "signed": a.signed or b.signed,
            "residual": max(a.residual, b.residual),
            "constant_over_time": constant,
        }
    )


def _merge_neurons(a: NeuronRecord, b: NeuronRecord) -> NeuronRecord:
    return a.model_copy(
        update={
            **{name: getattr(a, name) + getattr(b, name) for name in NEURON_COUNTS},
            "spikes_per_step": [x + y for x, y in zip(a.spikes_per_step, b.spikes_per_step, strict=True)],
            "fired_bitmap": _merge_bits(a, b, "fired_bitmap"),
            "always_bitmap": _merge_bits(a, b, "always_bitmap"),
        }
    )


def _merge_bits(a: NeuronRecord, b: NeuronRecord, name: str) -> str | None:
    texts = getattr(a, name), getattr(b, name)
    if None in texts:
        return None
    first, second = (unpack_bits(text, a.size) for text in texts)
    return pack_bits(first | second if name == "fired_bitmap" else first & second)


def _merge_uncounted(a: list[Uncounted], b: list[Uncounted]) -> list[Uncounted]:
    calls: dict[tuple[str, str], int] = {}
    for entry in [*a, *b]:
        calls[entry.layer, entry.op] = calls.get((entry.layer, entry.op), 0) + entry.calls
    return [Uncounted(layer=layer, op=op, calls=n) for (layer, op), n in calls.items()]


def _merge_constants(a: list[ConstantOp], b: list[ConstantOp]) -> list[ConstantOp]:
    macs: dict[tuple[str, str], int] = {}
    for entry in [*a, *b]:
        macs[entry.layer, entry.op] = macs.get((entry.layer, entry.op), 0) + entry.dense_macs
    return [ConstantOp(layer=layer, op=op, dense_macs=n) for (layer, op), n in macs.items()]


def _join(a: Block, b: Block) -> Block:
    def added(x: Sequence[Sequence[int | None]], y: Sequence[Sequence[int | None]]) -> Any:
        return [[_add(p, q) for p, q in zip(u, v, strict=True)] for u, v in zip(x, y, strict=True)]

    return Block(
        samples=a.samples + b.samples,
        correct=_add(a.correct, b.correct),
        ops=added(a.ops, b.ops),
        neurons=added(a.neurons, b.neurons),
        elementwise=added(a.elementwise, b.elementwise),
    )

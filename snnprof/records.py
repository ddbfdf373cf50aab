"""The schema of a run file: what happened when a network ran. Raw integers and the facts of the run; no opinion.

Every count is an exact integer over the whole run. Rates, shares and labels are derived, never stored, so two
activities of the same network merge by adding.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from snnprof.errors import SnnprofError

SCHEMA: Final = "snnprof.activity/1"
OLDER_SCHEMAS = ("snnprof.activity/0",)
"""Still read: what such a file lacks has the default of its field."""

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
        left: data × data only: non-zeros of the left operand × the right one's dense extent.
        right: the same of the right operand.
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
        parts_by_step: `parts` of each time step; empty where they are not told apart.
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
    parts_by_step: list[list[Part]] = Field(default_factory=list)
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
        fired_bitmap: one bit per neuron: fired at least once. Base64 of zlib of big-endian packed bits; null where
            the layer's size changed during the run.
        always_bitmap: the same: fired at every step.
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


NEURON_COUNTS = ("spikes", "level_sum", "updates", "driven")


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


class Stretch(_Record):
    """Some seconds in which a sensor was read at both ends.

    Attributes:
        samples: that ran meanwhile; 0 where the machine was idle.
        passes: over the measured batches that ran meanwhile.
    """

    seconds: float = Field(gt=0, allow_inf_nan=False)
    joules: float = Field(ge=0, allow_inf_nan=False)
    samples: int = Field(default=0, ge=0)
    passes: int = Field(default=0, ge=0)


class SensorRecord(_Record):
    """What one sensor showed. See `snnprof.sensors` for the names."""

    name: str
    device: str
    method: str
    idle: list[Stretch] = Field(default_factory=list)
    busy: list[Stretch] = Field(default_factory=list)


class Measurement(_Record):
    """What a machine used to simulate the network (`--measure`): raw readings, from which `measured.py` draws figures.

    Attributes:
        device: what the model ran on.
        batches: batches of the run that one pass is made of.
    """

    device: str = ""
    batches: int = 0
    sensors: list[SensorRecord] = Field(default_factory=list)


class ActivityRecord(_Record):
    """The fields of a run file; `Activity` is this with what can be done with it."""

    schema_: Literal["snnprof.activity/1"] = Field(default=SCHEMA, alias="schema")
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
    measurement: Measurement | None = None

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a run file."""
    schema = ActivityRecord.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def op_counts(op: OpRecord) -> list[int]:
    """An operation's integers as a block stores them."""
    return [op.calls, op.bias_adds, *part_counts(op.parts)]


def part_counts(parts: Iterable[Part]) -> list[int]:
    """`len(KINDS) × len(PART_COUNTS)` integers, zeros for kinds that never occurred."""
    known = {part.kind: part for part in parts}
    return [getattr(known[kind], name) if kind in known else 0 for kind in KINDS for name in PART_COUNTS]


def parts_from(counts: Sequence[int]) -> list[Part]:
    """The parts behind `len(KINDS) × len(PART_COUNTS)` integers; kinds that never occurred are left out."""
    width = len(PART_COUNTS)
    rows = [(kind, counts[i * width : (i + 1) * width]) for i, kind in enumerate(KINDS)]
    return [Part(kind=kind, **dict(zip(PART_COUNTS, row, strict=True))) for kind, row in rows if any(row)]


def add_parts(a: Iterable[Part], b: Iterable[Part], sign: int = 1) -> list[Part]:
    """The counts of both; of a less those of b where `sign` is −1."""
    return parts_from([p + sign * q for p, q in zip(part_counts(a), part_counts(b), strict=True)])


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

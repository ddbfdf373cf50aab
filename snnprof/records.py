"""The schema of a run file: the raw integers that a run counted, and the facts of the run.

Every count is an exact integer over the whole run. Rates, shares, labels and energies are derived and never stored, so
two activities of the same network merge by adding. docs/counting.md defines every number.
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
    """The counts of one operation over the time steps (or calls) in which its data had one kind.

    Attributes:
        kind: `silent` (all zero, so no evidence of either kind), `spikes` (multiples of the operand's quantum) or
            `real`.
        elements: elements of the data operand; of the left operand if both are data.
        nonzero: elements that are not zero.
        level_sum: Σ |x / quantum| over the elements; equals `nonzero` for binary spikes and for real data.
        dense_macs: multiply-accumulates (MACs) of a dense machine, taps on zero padding included.
        valid_macs: the same without taps on zero padding.
        events: pairs of non-zero operands: an input element and a weight position, or two data elements.
        by_value: events, where a spike of level n counts n times (n · m times for two spikes of levels n and m).
        effective: events whose weight is not zero.
        left: data × data only: non-zero elements of the left operand × the size of the right one that each meets.
        right: data × data only: the same with the operands exchanged.
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
    """One operand of an operation: whether it is data, the values it can take, and the neuron layers it comes from.

    Attributes:
        role: `data` or `weight`.
        quantum: all values are multiples of this number; None for real data and for weights.
        levels: |value| ≤ levels · quantum by construction; None if there is no such bound, and for real data.
        signed: the construction allows negative values, or the run showed some.
        histogram: number of elements with |level| 0, 1, 2, … over silent and spiking steps; empty if it was not kept.
        constant_over_time: the operand has the same values at each step of an inference; None if it was not compared.
        fed_by: names of the neuron layers (or `input`) whose output it carries.
        residual: largest |x / quantum − nearest integer| over the steps that count as spikes.
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
        """The largest level that the run showed; `levels` if no histogram was kept; None for real data."""
        seen = [level for level, count in enumerate(self.histogram) if count]
        return seen[-1] if seen else self.levels


class OpRecord(_Record):
    """One contraction (convolution, linear layer or matrix product): its place, shape, operands and counts.

    Attributes:
        layer: path of the module that ran it (`""` is the root module).
        op: `conv`, `linear` (data × weights) or `matmul` (data × data).
        index: numbers the contractions of a layer in order of first appearance, from 0.
        calls: how often the operator ran over the whole run.
        steps: how often it ran per inference (T inside the time loop, 1 after the mean over time); None if unknown.
        shape: sizes without the batch: `input` [C, H, W] or [features], `output` and `weight`; of a convolution also
            `stride`, `padding`, `dilation`, `groups` and `transposed`; of data × data `left` and `right`, [rows,
            columns].
        weights: number of weights; 0 for data × data.
        bias_adds: additions of a bias over the run.
        feeds: names of the neuron layers that its result reaches.
        source: for data × data, the line of the user's code that makes the product; else `""`.
        parts: the counts, one entry for each kind of data that occurred.
        parts_by_step: `parts` of each time step; empty if the steps were not counted separately.
        operands: the two operands, in the order in which they are multiplied.
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
        """MACs of a dense machine over the run, taps on zero padding included."""
        return self._total("dense_macs")

    @property
    def valid_macs(self) -> int:
        """MACs of a dense machine over the run, without taps on zero padding."""
        return self._total("valid_macs")

    @property
    def events(self) -> int:
        """Pairs of non-zero operands over the run: `Part.events` of all kinds of data."""
        return self._total("events")

    @property
    def elements(self) -> int:
        """Elements of the (left) data operand over the run."""
        return self._total("elements")

    @property
    def nonzero(self) -> int:
        """Non-zero elements of the (left) data operand over the run."""
        return self._total("nonzero")

    @property
    def data(self) -> list[Operand]:
        """The data operands: one for data × weights, two for data × data."""
        return [operand for operand in self.operands if operand.role == "data"]

    @property
    def fed_by(self) -> list[str]:
        """Names of the neuron layers (or `input`) that feed any data operand, sorted."""
        return sorted({name for operand in self.data for name in operand.fed_by})

    def part(self, kind: Kind) -> Part:
        """Returns the counts for one kind of data.

        Args:
            kind: `silent`, `spikes` or `real`.

        Returns:
            The part of that kind; one with all counts 0 if the kind never occurred.
        """
        return next((part for part in self.parts if part.kind == kind), Part(kind=kind))

    @property
    def key(self) -> tuple[str, str, int]:
        """What identifies the operation within a run: layer, operator and index."""
        return (self.layer, self.op, self.index)


class NeuronRecord(_Record):
    """One layer of spiking neurons.

    Attributes:
        layer: path of the module, or the file and line that fires in a module that also holds contractions.
        type: name of the neuron class or function.
        found_by: `class` (a class of a known framework), `named` (`--neuron`) or `behaviour` (it turned real input to
            spikes).
        size: number of neurons, for one sample.
        steps: time steps per inference; None if unknown.
        spikes: non-zero outputs over the run.
        level_sum: Σ |output| in units of one spike; exceeds `spikes` for multi-level neurons.
        spikes_per_step: `spikes` of each time step; empty if the steps were not counted separately.
        updates: neuron-steps: neurons × steps × samples.
        driven: neuron-steps whose input was not zero.
        fired_bitmap: one bit per neuron: it fired at least once. Base64 of zlib of big-endian packed bits; None if the
            size of the layer changed during the run.
        always_bitmap: the same for neurons that fired at every step of every sample.
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
        """Firing rate: spikes per neuron and time step; None if the layer made no update."""
        return self.spikes / self.updates if self.updates else None

    @property
    def rate_by_step(self) -> list[float]:
        """Firing rate at each time step, a list of T; empty if the steps were not counted separately."""
        each = self.updates / max(1, len(self.spikes_per_step))
        return [spikes / each for spikes in self.spikes_per_step] if each else []


NEURON_COUNTS = ("spikes", "level_sum", "updates", "driven")


class ElementwiseRecord(_Record):
    """Arithmetic of one kind in one layer, outside contractions and neurons.

    Attributes:
        layer: path of the module that ran it.
        op: `batch_norm`, `pool`, `add`, `bias`, `mask`, `reduce`, `compare` or `mul`.
        elements: results that it computed; for `reduce` and `pool`, the operands that it read.
        nonzero: non-zero operands; None if they were not counted (real data: every element is work).
        foldable: `batch_norm` only: contractions feed it that feed nothing else, so its scale and shift fold into their
            weights.
        biased: `batch_norm` only: such a contraction has a bias, so folding adds no further addition.
    """

    layer: str
    op: str
    elements: int = 0
    nonzero: int | None = None
    foldable: bool = False
    biased: bool = False


class LayerFlops(_Record):
    """What fvcore counts for one module without its children.

    Attributes:
        layer: path of the module.
        flops: fvcore's FLOPs for one sample; one of its FLOPs is one MAC.
    """

    layer: str
    flops: int


class Uncounted(_Record):
    """An operator that computes something but has no counting rule: its work is missing from all totals.

    Attributes:
        layer: path of the module that ran it.
        op: name of the operator.
        calls: how often it ran over the run.
    """

    layer: str
    op: str
    calls: int


class ConstantOp(_Record):
    """Products of weights alone (LoRA, re-parametrised kernels).

    They do not depend on the data, so no total includes them.

    Attributes:
        layer: path of the module that ran them.
        op: name of the contraction, such as `conv` or `matmul`.
        dense_macs: MACs over the run.
    """

    layer: str
    op: str
    dense_macs: int


class Difference(_Record):
    """An operation for which the recorder and the second counter disagree.

    Attributes:
        layer: path of the module that ran it.
        op: `conv`, `linear` or `matmul`; `number of contractions` if the two saw different numbers of calls in the
            layer.
        counted: pairs of non-zero operands by the recorder (MACs of a product of weights alone); None if it saw none
            there.
        recounted: the same by the second counter.
    """

    layer: str
    op: str
    counted: int | None
    recounted: int | None


class SelfCheck(_Record):
    """One sample counted twice in one pass: by the recorder, and by a second counter that shares no code with it.

    Attributes:
        samples: number of samples that ran: 1, or a whole batch if the network cannot take a single sample.
        rows: operations that either counter saw.
        equal: operations for which both have the same integers.
        differences: the other operations.
    """

    samples: int
    rows: int
    equal: int
    differences: list[Difference] = Field(default_factory=list)


class Finding(_Record):
    """Something that a reader of the figures must know, and what to do about it. docs/findings.md explains every code.

    Attributes:
        code: such as `C06`.
        layer: path of the module it is about; `""` if it is about the whole run.
        text: the finding, in one sentence.
        hint: what to do next; `""` if there is nothing to do.
    """

    code: str
    layer: str = ""
    text: str
    hint: str = ""


class Accuracy(_Record):
    """How many predictions were correct.

    Attributes:
        correct: number of samples with a correct prediction.
        total: number of samples.
    """

    correct: int
    total: int


class ModelFacts(_Record):
    """Which model ran.

    Attributes:
        source: what names the model: `NAME:PRESET`, `FILE.py:FUNCTION`, `package.module:ATTR`, or the class's name.
        name: its name in the catalogue, else that of the function, file or class that it comes from.
        title: what tables and figures call it; the title of a reconstruction says so.
        preset: the preset of a model from the catalogue; None for other models.
        parameters: number of parameters.
        parameters_used: number of parameters that reached a counted operation.
        checkpoint: name of the file with its weights; None if no checkpoint was loaded.
        sha256: hash of that file, in hexadecimal digits.
        note: what a reader must know about the weights or the settings.
    """

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
        """What tables and figures call the model: its title, else its source, else its name."""
        return self.title or self.source or self.name


class DataFacts(_Record):
    """Which data ran.

    Attributes:
        source: the value of `--data`, or a name for data that Python passed.
        kind: such as `image`, `events`, `random`, `data set` or `iterable`.
        shape: shape of one sample, such as [C, H, W]; events: [bins, 2, H, W].
        total: number of samples in the whole source; None if it does not tell.
        order_seed: seed of the random order in which a part of the source ran; None if the samples ran in order.
        fingerprint: hash of the beginning of the data (or of file names), known before the run.
        read: hash of all batches that were counted: inputs, labels and their positions.
        note: what a reader must know about the data.
    """

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
        versions: package → version: snnprof, Python, torch, fvcore.
        platform: operating system and processor architecture.
        device: name of the GPU, or the kind of device.
        dtype: number format of the model's first parameter, such as `float32`.
        created: ISO 8601 time.
        argv: the command line, as a list of words; empty for a run that Python started.
        model: which model ran.
        data: which data ran.
        layout: axes of a batch: `batch`, `time-batch`, `batch-time` or `step` (the caller loops over T).
        timesteps: T; None if unknown.
        batch_size: samples in a batch; None if the caller made the batches.
        seed: seed of all random numbers.
        conditions: option → value for everything else that decides the counts (settings, hash of the weights, kind of
            input); a resumed run must have the same ones.
        complete: False if the run was interrupted before it had counted all samples.
        checksum: SHA-256 of the file's content, by which `--resume` notices an edited file; None in memory.
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
    """The run's integers over some whole batches.

    Its lists follow the order of the run's `ops`, `neurons` and `elementwise`.

    Attributes:
        samples: number of samples in these batches.
        correct: number of correct predictions; None if the accuracy is unknown.
        ops: for each operation: calls, bias_adds, then `PART_COUNTS` for each kind in `KINDS`.
        neurons: for each neuron layer: spikes, level_sum, updates, driven, then spikes_per_step.
        elementwise: for each line: elements, nonzero (None if it was not counted).
    """

    samples: int = 0
    correct: int | None = None
    ops: list[list[int]] = Field(default_factory=list)
    neurons: list[list[int]] = Field(default_factory=list)
    elementwise: list[list[int | None]] = Field(default_factory=list)


class Stretch(_Record):
    """A period of time at whose start and end a sensor was read.

    Attributes:
        seconds: its length.
        joules: energy that the sensor's device used in it.
        samples: samples that ran in it; 0 if the machine was idle.
        passes: passes over the measured batches that ran in it; 0 if the machine was idle.
    """

    seconds: float = Field(gt=0, allow_inf_nan=False)
    joules: float = Field(ge=0, allow_inf_nan=False)
    samples: int = Field(default=0, ge=0)
    passes: int = Field(default=0, ge=0)


class SensorRecord(_Record):
    """The readings of one energy sensor. `snnprof.sensors` reads them.

    Attributes:
        name: the interface: `NVML` or `RAPL`.
        device: the GPU or processor whose energy it measures.
        method: how it gets joules: from a counter, or from samples of the power.
        idle: periods in which the machine rested.
        busy: periods in which the network ran.
    """

    name: str
    device: str
    method: str
    idle: list[Stretch] = Field(default_factory=list)
    busy: list[Stretch] = Field(default_factory=list)


class Measurement(_Record):
    """Raw readings of the energy that this machine used to simulate the network (`--measure`).

    `snnprof.measured` derives figures from them.

    Attributes:
        device: the device that ran the model.
        batches: number of the run's batches that make one pass.
        sensors: the readings of each sensor.
    """

    device: str = ""
    batches: int = 0
    sensors: list[SensorRecord] = Field(default_factory=list)


class ActivityRecord(_Record):
    """The fields of a run file. `Activity` adds the methods.

    Attributes:
        schema_: name and version of the format; the key in the file is `schema`.
        run: the facts of the run.
        samples: number of samples that ran; None if unknown.
        accuracy: correct predictions; None without labels, or if the output shows no classes.
        coverage: share (0 to 1) of fvcore's FLOPs that snnprof counted in the same modules; None if fvcore could not
            trace the model.
        ops: the contractions.
        neurons: the layers of spiking neurons.
        layers: fvcore's FLOPs of each module.
        elementwise: arithmetic outside contractions and neurons.
        uncounted: operators without a counting rule.
        constant_ops: products of weights alone.
        self_check: the result of counting one sample twice; None if that was not done.
        findings: what a reader of the figures must know.
        blocks: the same counts for up to 64 parts of the run, from which intervals follow.
        measurement: readings of energy sensors; None without `--measure`.
    """

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
    """Makes the JSON Schema of a run file (`snnprof/activity.schema.json`).

    Returns:
        The schema as a tree of plain values (draft 2020-12).
    """
    schema = ActivityRecord.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def op_counts(op: OpRecord) -> list[int]:
    """Lists the integers of an operation in the order in which a block stores them.

    Args:
        op: the operation.

    Returns:
        `calls`, `bias_adds`, then `part_counts`.
    """
    return [op.calls, op.bias_adds, *part_counts(op.parts)]


def part_counts(parts: Iterable[Part]) -> list[int]:
    """Lists the integers of all parts: `PART_COUNTS` for each kind in `KINDS`.

    Args:
        parts: at most one part of each kind.

    Returns:
        `len(KINDS) × len(PART_COUNTS)` integers; zeros for kinds that never occurred.
    """
    known = {part.kind: part for part in parts}
    return [getattr(known[kind], name) if kind in known else 0 for kind in KINDS for name in PART_COUNTS]


def parts_from(counts: Sequence[int]) -> list[Part]:
    """Makes parts from the integers of `part_counts`.

    Args:
        counts: `len(KINDS) × len(PART_COUNTS)` integers.

    Returns:
        One part for each kind that occurred, that is, has a count other than 0.
    """
    width = len(PART_COUNTS)
    rows = [(kind, counts[i * width : (i + 1) * width]) for i, kind in enumerate(KINDS)]
    return [Part(kind=kind, **dict(zip(PART_COUNTS, row, strict=True))) for kind, row in rows if any(row)]


def add_parts(a: Iterable[Part], b: Iterable[Part], sign: int = 1) -> list[Part]:
    """Adds the counts of two lists of parts, or subtracts the second.

    Args:
        a: at most one part of each kind.
        b: the same.
        sign: 1 adds, −1 subtracts.

    Returns:
        One part for each kind that has a count other than 0.
    """
    return parts_from([p + sign * q for p, q in zip(part_counts(a), part_counts(b), strict=True)])


def pack_bits(bits: Sequence[bool] | Any) -> str:
    """Packs booleans for a run file.

    Args:
        bits: one boolean for each neuron; a sequence or an array.

    Returns:
        Base64 of zlib of the bits, eight to a byte, the first bit highest.
    """
    import numpy as np

    return base64.b64encode(zlib.compress(np.packbits(np.asarray(bits, dtype=bool)).tobytes())).decode()


def unpack_bits(text: str, size: int) -> Any:
    """Reads the booleans that `pack_bits` wrote.

    Args:
        text: the bits, packed.
        size: number of booleans.

    Returns:
        A NumPy array of `size` booleans.

    Raises:
        SnnprofError: the text cannot be decoded, or holds another number of bits.
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

"""What another tool counted, and what a comparison with it consists of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Tool = Literal["spikingjelly", "neurobench"]
CallKind = Literal["contraction", "batch_norm", "add", "reduce", "pool", "other"]


@dataclass(frozen=True)
class Ops:
    """Operations over the whole run.

    Attributes:
        acs: additions: of a weight for a spike (SOPs), of a bias, in a residual sum, …
        macs: multiply-accumulates.
        muls: multiplications alone.
    """

    acs: float = 0.0
    macs: float = 0.0
    muls: float = 0.0

    def __add__(self, other: Ops) -> Ops:
        return Ops(self.acs + other.acs, self.macs + other.macs, self.muls + other.muls)

    def __sub__(self, other: Ops) -> Ops:
        return Ops(self.acs - other.acs, self.macs - other.macs, self.muls - other.muls)

    def __bool__(self) -> bool:
        return bool(self.acs or self.macs or self.muls)


def total(ops: Iterable[Ops]) -> Ops:
    """Adds up operations."""
    return sum(ops, Ops())


@dataclass(frozen=True)
class Call:
    """One call of an operator or a module, as the other tool counted it.

    Attributes:
        layer: path of the innermost module that made the call.
        kind: what the call computes.
        counted: operations by the other tool.
        dense: MACs of a contraction on dense operands, taps on padding included; None if the tool only sees modules.
        binary: whether each of a contraction's two operands held only 0 and 1; None if the tool did not look.
        density: share (0 to 1) of non-zero elements in the second operand.
        outputs: number of elements in the result.
        channels: number of channels of a batch norm.
    """

    layer: str
    kind: CallKind
    counted: Ops
    dense: int | None = None
    binary: tuple[bool, bool] | None = None
    density: float = 1.0
    outputs: int = 0
    channels: int = 0


@dataclass(frozen=True)
class Batch:
    """The calls of one batch."""

    samples: int
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class PeerRun:
    """What another tool counted on the batches of a run.

    Attributes:
        tool: which tool.
        version: its version.
        batches: its calls, batch by batch.
        own: work of the tool's own counters that it counted as the model's, over the run.
        energy_pj: its own estimate for arithmetic in picojoules over the run; None if it has none.
        dense: its operations without any sparsity over the run; None if it has none.
    """

    tool: Tool
    version: str
    batches: tuple[Batch, ...]
    own: Ops = Ops()
    energy_pj: float | None = None
    dense: float | None = None


@dataclass(frozen=True)
class Change:
    """One step from our figure to theirs: the operations that one difference of convention adds."""

    reason: str
    by: Ops


@dataclass(frozen=True)
class Row:
    """One operation: our count and theirs, over the run.

    Attributes:
        layer: path of the module.
        op: `conv`, `linear`, `matmul`; an element-wise operator; or `neuron`.
        index: number of the contraction within its layer; None for other rows, and if a layer's calls cannot be
            assigned to its contractions.
        ours, theirs: the operations.
        changes: by reason; they add up to the difference.
    """

    layer: str
    op: str
    index: int | None
    ours: Ops
    theirs: Ops
    changes: tuple[Change, ...]

    @property
    def key(self) -> tuple[str, str, int | None]:
        """What identifies the row: layer, operator and index."""
        return (self.layer, self.op, self.index)


@dataclass(frozen=True)
class Explained:
    """A run beside another tool's counts.

    Attributes:
        peer: what the other tool counted.
        samples: number of samples over which all operations are sums.
        rows: one for each operation.
        updates: our neuron updates, which have no counterpart and no price here.
        dense: our dense MACs, without taps on padding, of the layers with weights that the other tool saw.
    """

    peer: PeerRun
    samples: int
    rows: tuple[Row, ...]
    updates: int
    dense: int

    @property
    def ours(self) -> Ops:
        """All our operations."""
        return total(row.ours for row in self.rows)

    @property
    def theirs(self) -> Ops:
        """All operations of the other tool, those of its own counters included."""
        return total(row.theirs for row in self.rows) + self.peer.own

    def by_reason(self) -> dict[str, tuple[int, Ops]]:
        """Returns the number of rows and the operations of each reason, in the order in which the reasons appear."""
        found: dict[str, tuple[int, Ops]] = {}
        for row in self.rows:
            for change in row.changes:
                rows, ops = found.get(change.reason, (0, Ops()))
                found[change.reason] = (rows + 1, ops + change.by)
        return found

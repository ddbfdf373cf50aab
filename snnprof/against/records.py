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
    return sum(ops, Ops())


@dataclass(frozen=True)
class Call:
    """One call of an operator or a module, as the other tool counted it.

    Attributes:
        layer: path of the innermost module that made it.
        counted: by the other tool.
        dense: MACs of a contraction on dense operands, taps on padding included; null where the tool sees modules.
        binary: whether the two operands of a contraction held only 0 and 1; null where nobody looked.
        density: share of non-zero elements in the second operand.
        outputs: elements of the result.
        channels: of a batch norm.
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
    samples: int
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class PeerRun:
    """What another tool counted on the batches of a run.

    Attributes:
        own: what the tool's own counters did and it counted as the model's, over the run.
        energy_pj: its own estimate for arithmetic, over the run; null where it has none.
        dense: its operations without any sparsity, over the run; null where it has none.
    """

    tool: Tool
    version: str
    batches: tuple[Batch, ...]
    own: Ops = Ops()
    energy_pj: float | None = None
    dense: float | None = None


@dataclass(frozen=True)
class Change:
    """One step from our figure to theirs: what one difference of convention adds."""

    reason: str
    by: Ops


@dataclass(frozen=True)
class Row:
    """One operation: ours and theirs, over the run.

    Attributes:
        op: `conv`, `linear`, `matmul`; an element-wise operator; `neuron`.
        index: the contraction's number within its layer; null for other rows, and where a layer's cannot be told apart.
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
        return (self.layer, self.op, self.index)


@dataclass(frozen=True)
class Explained:
    """A run beside another tool.

    Attributes:
        samples: over which all operations are sums.
        updates: neuron updates of ours, which have no price and no counterpart.
        dense: our dense MACs, taps on padding left out, of the layers with weights that the other tool saw.
    """

    peer: PeerRun
    samples: int
    rows: tuple[Row, ...]
    updates: int
    dense: int

    @property
    def ours(self) -> Ops:
        return total(row.ours for row in self.rows)

    @property
    def theirs(self) -> Ops:
        return total(row.theirs for row in self.rows) + self.peer.own

    def by_reason(self) -> dict[str, tuple[int, Ops]]:
        """Rows and operations of each reason, in the order in which the reasons appear."""
        found: dict[str, tuple[int, Ops]] = {}
        for row in self.rows:
            for change in row.changes:
                rows, ops = found.get(change.reason, (0, Ops()))
                found[change.reason] = (rows + 1, ops + change.by)
        return found

"""The data of the figure `attention`: how often each value occurs in the attention matrices of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snnprof.activity import Activity, OpRecord
from snnprof.charts.rates import share
from snnprof.errors import SnnprofError
from snnprof.estimates import attention_products
from snnprof.grouping import ROOT, block_of
from snnprof.statistics import Interval


@dataclass(frozen=True)
class Values:
    """The values in the attention matrix of one layer.

    Attributes:
        name: name of the block; of the layer if the block has several attention matrices.
        values: the values that occur, in rising order.
        shares: for each value, the fraction of the entries that have it.
        nonzero: the fraction of the entries that are not 0.
    """

    name: str
    values: tuple[float, ...]
    shares: tuple[float, ...]
    nonzero: Interval | None


def attention_values(activity: Activity) -> tuple[Values, ...]:
    """The values of each attention matrix that is multiplied by V.

    Raises:
        SnnprofError: the run has no such matrix, or no histogram of it.
    """
    products = [op for op in attention_products(activity) if op.data and op.data[0].histogram]
    if not products:
        raise SnnprofError(
            "the run has no histogram of attention values",
            hint="only the product of an attention matrix of spikes or integers with V has one; "
            "'snnprof profile --maps K' keeps what other attention shows, 'plot --kind attention --maps' draws it",
        )
    blocks = [block_of(activity, op.layer) or ROOT for op in products]
    return tuple(
        _values(activity, op, block if blocks.count(block) == 1 else op.layer or ROOT)
        for op, block in zip(products, blocks, strict=True)
    )


def is_binary(matrices: Sequence[Values]) -> bool:
    """Whether each matrix has at most one value besides 0, as those of SSA_Bin have."""
    return all(len(set(matrix.values) - {0.0}) <= 1 for matrix in matrices)


def _values(activity: Activity, op: OpRecord, name: str) -> Values:
    left = op.data[0]
    entries = sum(left.histogram)
    seen = [(level * (left.quantum or 1.0), count / entries) for level, count in enumerate(left.histogram) if count]
    place = activity.ops.index(op)
    blocks = [activity.restricted(block).ops[place] for block in activity.blocks if block.samples]
    nonzero = share((op.nonzero, op.elements), [(part.nonzero, part.elements) for part in blocks])
    return Values(name, tuple(value for value, _ in seen), tuple(each for _, each in seen), nonzero)

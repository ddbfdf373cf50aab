"""The stopping rule of `--until-ci`. It is checked at the same batch numbers for any number of processes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from snnprof import statistics

MIN_BLOCKS = 16
CHECKED_EVERY = 8  # batches; not each one, since the processes wait for each other at a check

Counted = tuple[int, int, int]
"""The number of a block, its spike events and its samples."""


@dataclass(frozen=True)
class StoppingRule:
    """Stops when the 95 % confidence interval of the SOPs per sample is within ± `percent` of its centre.

    A heavy tail, a block with many times the SOPs of the median one, delays the stop.
    """

    percent: float

    def is_due(self, batches: int, span: int) -> bool:
        """Whether to check the rule after this number of batches: all blocks of `span` batches are full and enough."""
        return batches % max(CHECKED_EVERY, span) == 0 and batches // span >= MIN_BLOCKS

    def reached(self, counted: Iterable[Counted]) -> bool:
        """Whether the run may stop. A heavy tail delays that until wider blocks, with more samples, level it out."""
        figures, weights = _by_block(counted)
        if len(figures) < MIN_BLOCKS:
            return False
        relative = statistics.ratio_interval(figures, weights).relative
        tail = statistics.tail(figures, weights)
        if relative is None or tail is None or tail > statistics.HEAVY:
            return False
        return relative <= self.percent / 100


def _by_block(counted: Iterable[Counted]) -> tuple[list[int], list[int]]:
    """Sums events and samples by block over all processes."""
    sums: dict[int, tuple[int, int]] = {}
    for block, events, samples in counted:
        before = sums.get(block, (0, 0))
        sums[block] = before[0] + events, before[1] + samples
    return [events for events, _ in sums.values()], [samples for _, samples in sums.values()]

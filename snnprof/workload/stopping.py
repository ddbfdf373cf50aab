"""When to stop: `--until-ci`, checked at batch numbers that do not depend on how many processes there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from snnprof import statistics

MIN_BLOCKS = 16
CHECKED_EVERY = 8  # batches: processes wait for each other here

Counted = tuple[int, int, int]
"""Number of a block, its spike events, its samples."""


@dataclass(frozen=True)
class StoppingRule:
    """The 95 % interval of the SOPs per sample is within ± `percent` of its middle, and no block is a heavy tail."""

    percent: float

    def is_due(self, batches: int, span: int) -> bool:
        """Whether, after so many batches in blocks of `span`, all blocks are whole and there are enough of them."""
        return batches % max(CHECKED_EVERY, span) == 0 and batches // span >= MIN_BLOCKS

    def reached(self, counted: Iterable[Counted]) -> bool:
        """Whether the run may stop. A heavy tail delays it until more samples, in wider blocks, level it out."""
        figures, weights = _by_block(counted)
        if len(figures) < MIN_BLOCKS:
            return False
        relative = statistics.ratio_interval(figures, weights).relative
        tail = statistics.tail(figures, weights)
        if relative is None or tail is None or tail > statistics.HEAVY:
            return False
        return relative <= self.percent / 100


def _by_block(counted: Iterable[Counted]) -> tuple[list[int], list[int]]:
    """Events and samples of each block, whichever process counted them."""
    sums: dict[int, tuple[int, int]] = {}
    for block, events, samples in counted:
        before = sums.get(block, (0, 0))
        sums[block] = before[0] + events, before[1] + samples
    return [events for events, _ in sums.values()], [samples for _, samples in sums.values()]

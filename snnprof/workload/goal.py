"""When to stop: `--until-ci`, asked at batch numbers that do not depend on how many processes there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from snnprof import statistics

MIN_BLOCKS = 16
ASKED_EVERY = 8  # batches: processes wait for each other here

Counted = tuple[int, int, int]
"""Number of a block, its spike events, its samples."""


@dataclass(frozen=True)
class Goal:
    """The 95 % interval of the SOPs per sample is within ± `percent` of its middle."""

    percent: float

    def is_asked(self, batches: int, span: int) -> bool:
        """Whether, after so many batches in blocks of `span`, all blocks are whole and there are enough of them."""
        return batches % max(ASKED_EVERY, span) == 0 and batches // span >= MIN_BLOCKS

    def reached(self, counted: Iterable[Counted]) -> bool:
        sums: dict[int, tuple[int, int]] = {}
        for block, events, samples in counted:
            before = sums.get(block, (0, 0))
            sums[block] = before[0] + events, before[1] + samples
        blocks = list(sums.values())
        error = statistics.ratio_error([events for events, _ in blocks], [samples for _, samples in blocks])
        if error is None:
            return False
        mean = sum(events for events, _ in blocks) / sum(samples for _, samples in blocks)
        half = statistics.t_quantile((1 + statistics.CONFIDENCE) / 2, len(blocks) - 1) * error
        return mean > 0 and half <= self.percent / 100 * mean

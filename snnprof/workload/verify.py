"""Runs blocks of a recorded run again and compares the counts."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from snnprof import merging
from snnprof.activity import Activity, Run
from snnprof.errors import SnnprofError
from snnprof.options import ProfileOptions, Progress, ignore_progress
from snnprof.verification import Verification, verification
from snnprof.workload import machine, resume
from snnprof.workload.plan import RunPlan
from snnprof.workload.session import Shard

NUMERICS = ("the device", "the version of snnprof", "the version of torch")
"""Facts that may differ when a run is repeated; each of them can change the spikes of a few neurons."""
NAMES = ("--data",)
"""Facts that are names only and may differ, since the content itself is compared."""


class Blocks(Shard):
    """Counts the batches of some blocks of a recorded run; the number of samples before a batch gives its block."""

    def __init__(self, recorded: Activity, chosen: Sequence[int]) -> None:
        super().__init__()
        self._ends = list(accumulate(block.samples for block in recorded.blocks))
        self._chosen = frozenset(chosen)
        self._blocks: dict[int, int] = {}  # by number of the batch

    def counts(self, number: int, start: int) -> bool:
        """Whether the batch is in a chosen block."""
        self._blocks[number] = bisect_right(self._ends, start)
        return self._blocks[number] in self._chosen

    def reads(self, number: int, start: int) -> bool:
        """Whether the batch is read: the first one and those of the chosen blocks."""
        return self.needs(number, start)

    @property
    def end(self) -> int:
        """The number of samples up to the end of the last chosen block."""
        return self._ends[max(self._chosen)]

    def placed(self, part: Activity, span: int) -> Activity:
        """The counts of this run, in blocks of `span` batches, moved to the blocks of the recorded run."""
        return merging.rebin(part, [self._blocks[index * span] for index in range(len(part.blocks))])


def verify_run(
    options: ProfileOptions, recorded: Activity, blocks: Sequence[int], progress: Progress = ignore_progress
) -> Verification:
    """Runs blocks of a run again, each batch from the same seed, and compares all integers.

    Args:
        options: the options of the run; `resume`, `output` and `maps` are ignored.
        recorded: the recorded run.
        blocks: numbers of the blocks to run again.
        progress: called with the name of the phase, the samples done and the samples to do.

    Raises:
        SnnprofError: the model, weights or data are not those of the run.
    """
    plan = RunPlan.of(options)
    with machine.on_device(plan.loaded.module, options.device or machine.default_device()):
        _must_be_the_same(recorded.run, plan.run(Run()))
        shard = Blocks(recorded, blocks)
        session = plan.session_of(shard, 1, progress)
        session.run(plan.batches(session), lambda number: session.samples_seen >= shard.end)
        changed = _must_be_the_same(recorded.run, plan.run(Run()))  # now the content of the data is known too
        again = shard.placed(session.part(), session.span)
    return verification(recorded, again, blocks, changed)


def _must_be_the_same(recorded: Run, now: Run) -> list[tuple[str, str, str]]:
    """Compares the facts of both runs; returns those that differ but are allowed to (name, recorded, present).

    Raises:
        SnnprofError: the model, its weights, the data or a setting differ.
    """
    found = [each for each in resume.differing(recorded, now) if each[0] not in NAMES and not _is_moved(*each)]
    for what, before, after in found:
        if what not in NUMERICS:
            raise SnnprofError(
                f"this is not what was run: {what} differs ({before} then, {after} now)",
                hint="verify takes the model, weights, data and settings of the run; name moved files with "
                "--model, --checkpoint and --data",
            )
    return found


def _is_moved(what: str, before: str, after: str) -> bool:
    """Whether the model is of the same file and function in another folder; digests compare its code and weights."""
    return what == "the model" and Path(before).name == Path(after).name

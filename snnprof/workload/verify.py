"""Runs blocks of a recorded run again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from snnprof import merging
from snnprof.activity import Activity, Run
from snnprof.errors import SnnprofError
from snnprof.options import ProfileOptions, Progress, ignore_progress
from snnprof.verification import Verification, verification
from snnprof.workload import machine, resume
from snnprof.workload.plan import RunPlan
from snnprof.workload.session import Shard

NUMERICS = ("the device", "the version of snnprof", "the version of torch")
"""Facts that may be others when a run is made again; with each of them a few neurons may spike otherwise."""
NAMES = ("--data",)
"""Names of what is told apart by its content."""


class Blocks(Shard):
    """Counts the batches of some blocks of a recorded run, which it finds again by the samples before them."""

    def __init__(self, recorded: Activity, chosen: Sequence[int]) -> None:
        super().__init__()
        self._ends = list(accumulate(block.samples for block in recorded.blocks))
        self._chosen = frozenset(chosen)
        self._blocks: dict[int, int] = {}  # by number of the batch

    def counts(self, number: int, start: int) -> bool:
        self._blocks[number] = bisect_right(self._ends, start)
        return self._blocks[number] in self._chosen

    def reads(self, number: int, start: int) -> bool:
        return self.needs(number, start)

    @property
    def end(self) -> int:
        """Samples up to the end of the last of them."""
        return self._ends[max(self._chosen)]

    def placed(self, part: Activity, span: int) -> Activity:
        """What was counted, in blocks of `span` batches, with each of them where it is in the recorded run."""
        return merging.rebin(part, [self._blocks[index * span] for index in range(len(part.blocks))])


def verify_run(
    options: ProfileOptions, recorded: Activity, blocks: Sequence[int], progress: Progress = ignore_progress
) -> Verification:
    """Runs blocks of a run again, each batch from the same seed, and compares all integers.

    Args:
        options: what the run was asked to do; `resume`, `output` and `maps` are left out.
        blocks: numbers of the blocks to run again.

    Raises:
        SnnprofError: model, weights or data are not those of the run.
    """
    plan = RunPlan.of(options)
    with machine.on_device(plan.loaded.module, options.device or machine.default_device()):
        _must_be_the_same(recorded.run, plan.run(Run()))
        shard = Blocks(recorded, blocks)
        session = plan.session_of(shard, 1, progress)
        session.run(plan.batches(session), lambda number: session.samples_seen >= shard.end)
        changed = _must_be_the_same(recorded.run, plan.run(Run()))  # by now the content of the data is known, too
        again = shard.placed(session.part(), session.span)
    return verification(recorded, again, blocks, changed)


def _must_be_the_same(recorded: Run, now: Run) -> list[tuple[str, str, str]]:
    """What else differs: facts by which a few neurons may spike otherwise.

    Raises:
        SnnprofError: it is another model, or are other weights or data.
    """
    found = [each for each in resume.differing(recorded, now) if each[0] not in NAMES]
    for what, before, after in found:
        if what not in NUMERICS:
            raise SnnprofError(
                f"this is not what was run: {what} differs ({before} then, {after} now)",
                hint="verify takes the model, weights, data and settings of the run; name moved files with "
                "--checkpoint and --data",
            )
    return found

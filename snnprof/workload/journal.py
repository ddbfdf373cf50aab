"""What happens between two batches: Ctrl-C is heard, the goal is asked, the run file is saved; and the sum of parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from snnprof.activity import Activity, Run
from snnprof.errors import SnnprofError
from snnprof.workload import parts
from snnprof.workload.ctrl_c import CtrlC
from snnprof.workload.distributed import Team
from snnprof.workload.goal import Counted, Goal
from snnprof.workload.session import Session

SAVE_SECONDS = 60.0


class Journal:
    """Keeps a run: what was counted so far, by all processes and an earlier run, and the file it is saved in."""

    def __init__(
        self,
        session: Session,
        team: Team,
        ctrl_c: CtrlC,
        run: Callable[[Run], Run],
        *,
        check: Callable[[], None] = lambda: None,
        path: Path | None = None,
        earlier: Activity | None = None,
        goal: Goal | None = None,
    ) -> None:
        """Begins a run.

        Args:
            session: runs this process's batches.
            team: the processes that share the run.
            ctrl_c: hears an interrupt.
            run: adds the facts of the run to those that the recorder knows.
            check: refuses a run whose first batch shows that it is not what the earlier run or the team is about.
            path: the run file; null saves nothing.
            earlier: a run to go on from.
            goal: when to stop.
        """
        self.session, self.team, self.run, self.check = session, team, run, check
        self.path, self.earlier, self.goal = path, earlier, goal
        self._stopped = False
        self._ctrl_c = ctrl_c
        self._schedule = _Schedule(team)
        self._first_span = session.span

    def ends_before(self, number: int) -> bool:
        """Asked before each batch is drawn: whether the run ends here."""
        if self._ctrl_c.heard:
            return self._interrupted(number)
        if number == 0:
            return False
        if number == 1:
            self.check()
        if number < self.session.skipped or self.session.seen < self.session.share.done:
            return False
        if self._reached(number):
            return True
        if self.path is not None and self._schedule.is_due(number):
            self.save()
            self._schedule.saved(number)
        return False

    def result(self) -> Activity:
        """The run as it ended: complete unless Ctrl-C ended it."""
        return self.activity(complete=not (self._stopped or self.session.torn))

    def activity(self, complete: bool) -> Activity:
        """Everything counted so far; every process of the team must ask."""
        counted = self.team.gather(self.session.part())
        if self.earlier is not None:
            counted.insert(0, self._earlier_part())
        whole = parts.evened(parts.united(counted), self.session.batches)
        findings = parts.kept_findings(counted, self.session.recorder.findings(whole))
        run = self.run(whole.run).model_copy(update={"complete": complete})
        return whole.model_copy(update={"run": run, "findings": findings})

    def save(self) -> None:
        """Writes what there is, marked incomplete."""
        activity = self.activity(complete=False)
        if self.path is not None and self.team.leads:
            activity.save(self.path)

    def _interrupted(self, number: int) -> bool:
        if number == 0:
            raise KeyboardInterrupt
        self._stopped = True
        self.save()
        return True

    def _reached(self, number: int) -> bool:
        if self.goal is None or not self.goal.is_asked(number, self.session.span):
            return False
        self.session.close()
        counted = [entry for part in self.team.gather(self.session.events) for entry in part]
        return self.goal.reached(self._earlier_events() + counted)

    # -- the earlier run -----------------------------------------------------------------------------------

    def _earlier_part(self) -> Activity:
        assert self.earlier is not None
        return parts.blocked(self.earlier, self._earlier_positions())

    def _earlier_events(self) -> list[Counted]:
        if self.earlier is None:
            return []
        return [
            (position, sum(row[parts.SPIKE_EVENTS] for row in block.ops), block.samples)
            for position, block in zip(self._earlier_positions(), self.earlier.blocks, strict=True)
        ]

    def _earlier_positions(self) -> list[int]:
        """Which blocks of this run the earlier run's belong to: they were as wide as so few batches called for.

        Raises:
            SnnprofError: the data ended before the earlier run did, or its blocks are not of this kind.
        """
        assert self.earlier is not None
        batches = self.session.skipped
        span = parts.span(batches, self._first_span)
        if self.session.seen < self.session.share.done or len(self.earlier.blocks) != -(-batches // span):
            raise SnnprofError(
                "the data does not hold the samples of the run to go on from", hint="profile again without --resume"
            )
        return [number * span // self.session.span for number in range(len(self.earlier.blocks))]


class _Schedule:
    """When to save: by the clock in one process; at batch numbers that rank 0 names where several must meet."""

    def __init__(self, team: Team) -> None:
        self._team = team
        self._step = 1
        self._next = self._last = 0
        self._time = time.monotonic()

    def is_due(self, number: int) -> bool:
        if self._team.size == 1:
            return time.monotonic() - self._time >= SAVE_SECONDS
        if not self._next:
            self._last, self._next = number, number + 2 * self._team.size
        return number >= self._next

    def saved(self, number: int) -> None:
        """Looks a minute ahead, but not more than twice as far as last time."""
        now = time.monotonic()
        pace = (now - self._time) / max(1, number - self._last)
        step = min(2 * self._step, max(1, int(SAVE_SECONDS / max(pace, 1e-6))))
        self._step = self._team.gather(max(step, self._team.size))[0]
        self._last, self._next, self._time = number, number + self._step, now

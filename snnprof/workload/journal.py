"""What happens between two batches: Ctrl-C is heard, the goal is asked, the run file is saved; and the sum of parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext

from snnprof.activity import Activity, Run
from snnprof.errors import SnnprofError
from snnprof.run_file import Target
from snnprof.workload import parts, resume
from snnprof.workload.batches import READING_BITS
from snnprof.workload.ctrl_c import CtrlC, undisturbed
from snnprof.workload.distributed import Team
from snnprof.workload.goal import Counted, Goal
from snnprof.workload.session import Session

SAVE_SECONDS = 60.0
READING = 1 << READING_BITS


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
        target: Target | None = None,
        warn: Callable[[str], None] = lambda text: None,
        draws_all: bool = False,
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
            target: the run file; null saves nothing.
            warn: says that it could not be saved; it is tried again.
            draws_all: every process draws every batch, so that all can tell whether theirs are the same.
            earlier: a run to go on from.
            goal: when to stop.
        """
        self.session, self.team, self.run, self.check = session, team, run, check
        self.target, self.warn, self.earlier, self.goal = target, warn, earlier, goal
        self._stopped = False
        self._failure = ""
        self._reread = earlier is None
        self._draws_all = draws_all and team.size > 1
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
        if number < self.session.skipped or self.session.seen < self.session.shard.done:
            return False
        self._must_have_reread()
        if self._reached(number):
            return True
        if self.target is not None and self._schedule.is_due(number):
            self.save()
            self._schedule.saved(number)
        return False

    def result(self) -> Activity:
        """The run as it ended: complete unless Ctrl-C ended it.

        Raises:
            KeyboardInterrupt: it ended the run where what was counted does not add up; what was saved stays.
        """
        activity = self.activity(complete=not (self._stopped or self.session.stopped))
        if self.session.stopped:
            _must_be_readable(activity)
        return activity

    def activity(self, complete: bool) -> Activity:
        """Everything counted so far; every process of the team must ask."""
        self._must_have_reread()
        part = self.session.part()
        met = self.team.gather((part, self.session.read), self._place())
        counted, read = [part for part, _ in met], sum(reading for _, reading in met)
        if self.earlier is not None:
            counted.insert(0, self._earlier_part())
        whole = parts.evened(parts.united(counted), self.session.batches)
        findings = parts.kept_findings(counted, self.session.recorder.findings(whole))
        run = self.run(whole.run)
        data = run.data.model_copy(update={"read": self._all_read(read)})
        run = run.model_copy(update={"complete": complete, "data": data})
        return whole.model_copy(update={"run": run, "findings": findings})

    def save(self) -> None:
        """Writes what there is, marked incomplete; where that fails, says so and leaves it to the next time."""
        with undisturbed() if self.team.size == 1 else nullcontext():
            activity = self.activity(complete=False)
            if self.target is not None and self.team.leads:
                self._written(activity, self.target)

    def _written(self, activity: Activity, target: Target) -> None:
        try:
            activity.save(target)
        except SnnprofError as error:
            if str(error) != self._failure:
                self.warn(f"warning: {error}; what was counted is kept in memory, and saving is tried again")
            self._failure = str(error)
        else:
            self._failure = ""

    def _all_read(self, now: int) -> str | None:
        """The reading of all batches that this run and the earlier one counted; null where one of them kept none."""
        before = "0" if self.earlier is None else self.earlier.run.data.read
        return _shown(int(before, 16) + now) if self.session.remembers and before is not None else None

    def _place(self) -> str:
        """Where this process is in the data: all must be there to meet."""
        drawn = f", data {_shown(self.session.drawn)[:8]}" if self._draws_all else ""
        return f"at batch {self.session.batches}, sample {self.session.seen}{drawn}"

    def _interrupted(self, number: int) -> bool:
        if number == 0 or self.session.seen < self.session.shard.done:  # nothing new yet
            raise KeyboardInterrupt
        self._stopped = True
        self.save()
        return True

    def _reached(self, number: int) -> bool:
        if self.goal is None or not self.goal.is_asked(number, self.session.span):
            return False
        self.session.close()
        counted = [entry for part in self.team.gather(self.session.events, self._place()) for entry in part]
        return self.goal.reached(self._earlier_events() + counted)

    # -- the earlier run -----------------------------------------------------------------------------------

    def _must_have_reread(self) -> None:
        """What the earlier run counted was read again by now, by one process or another.

        Raises:
            SnnprofError: it was something else then.
        """
        if self._reread or self.earlier is None or self.session.seen < self.session.shard.done:
            return
        self._reread = True
        reread = sum(self.team.gather(self.session.reread, self._place()))
        resume.must_have_read(self.earlier.run, _shown(reread))

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
        if self.session.seen < self.session.shard.done or len(self.earlier.blocks) != -(-batches // span):
            raise SnnprofError(
                "the data does not hold the samples of the run to go on from", hint="profile again without --resume"
            )
        return [number * span // self.session.span for number in range(len(self.earlier.blocks))]


def _shown(reading: int) -> str:
    return f"{reading % READING:0{READING_BITS // 4}x}"


def _must_be_readable(activity: Activity) -> None:
    try:
        Activity.from_json(activity.to_json())
    except SnnprofError as error:
        raise KeyboardInterrupt from error


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

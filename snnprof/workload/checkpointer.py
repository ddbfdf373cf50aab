"""Between batches: handles interrupts, checks the stopping rule, saves the run. Merges the counts of all processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext

from snnprof import merging
from snnprof.activity import Activity, Run
from snnprof.errors import SnnprofError
from snnprof.run_file import Target
from snnprof.workload import resume
from snnprof.workload.batches import READING_BITS
from snnprof.workload.distributed import ProcessGroup
from snnprof.workload.interrupt import Interrupt, undisturbed
from snnprof.workload.session import Session
from snnprof.workload.stopping import Counted, StoppingRule

SAVE_SECONDS = 60.0
READING = 1 << READING_BITS
"""Sums of batch digests are kept modulo this number."""


class Checkpointer:
    """Merges the counts of this run's processes and of an earlier run, and saves them to the run file."""

    def __init__(
        self,
        session: Session,
        group: ProcessGroup,
        interrupt: Interrupt,
        run: Callable[[Run], Run],
        *,
        check: Callable[[], None] = lambda: None,
        target: Target | None = None,
        warn: Callable[[str], None] = lambda text: None,
        draws_all: bool = False,
        earlier: Activity | None = None,
        stopping: StoppingRule | None = None,
    ) -> None:
        """Prepares a run.

        Args:
            session: runs this process's batches.
            group: the processes that share the run.
            interrupt: whether Ctrl-C was pressed.
            run: adds the facts of the run to those that the recorder knows.
            check: called after the first batch; raises if the data or weights differ from those of the earlier run or
                of another process.
            target: the run file; None saves nothing.
            warn: called with a warning if the run could not be saved; the next save tries again.
            draws_all: every process draws every batch, so that they can compare their data.
            earlier: the run to resume; None if there is none.
            stopping: the stopping rule; None runs all batches.
        """
        self.session, self.group, self.run, self.check = session, group, run, check
        self.target, self.warn, self.earlier, self.stopping = target, warn, earlier, stopping
        self._stopped = False
        self._failure = ""
        self._reread = earlier is None
        self._draws_all = draws_all and group.size > 1
        self._interrupt = interrupt
        self._schedule = _Schedule(group)
        self._first_span = session.span

    def should_stop(self, number: int) -> bool:
        """Called before batch `number` is drawn: saves the run when that is due; True if the run ends here.

        Raises:
            KeyboardInterrupt: Ctrl-C came before a new batch was counted.
            SnnprofError: the data or weights differ from those of the earlier run or of another process.
        """
        if self._interrupt.requested:
            return self._interrupted(number)
        if number == 0:
            return False
        if number == 1:
            self.check()
        if number < self.session.resumed_batches or self.session.samples_seen < self.session.shard.done:
            return False
        self._must_have_reread()
        if self._reached(number):
            return True
        if self.target is not None and self._schedule.is_due(number):
            self.save()
            self._schedule.saved(number)
        return False

    def result(self) -> Activity:
        """The finished run; complete unless Ctrl-C ended it.

        Raises:
            KeyboardInterrupt: Ctrl-C came at a moment at which the counts do not add up. The last save stays.
        """
        activity = self.activity(complete=not (self._stopped or self.session.stopped))
        if self.session.stopped:
            _must_be_readable(activity)
        return activity

    def activity(self, complete: bool) -> Activity:
        """The counts of all processes and of the earlier run so far. Every process must call it."""
        self._must_have_reread()
        part = self.session.part()
        met = self.group.gather((part, self.session.read), self._place())
        counted, read = [part for part, _ in met], sum(reading for _, reading in met)
        if self.earlier is not None:
            counted.insert(0, self._earlier_part())
        whole = merging.drop_uneven_steps(merging.merge(counted), self.session.batches)
        findings = merging.kept_findings(counted, self.session.recorder.findings(whole))
        run = self.run(whole.run)
        data = run.data.model_copy(update={"read": self._all_read(read)})
        run = run.model_copy(update={"complete": complete, "data": data})
        return whole.model_copy(update={"run": run, "findings": findings})

    def save(self) -> None:
        """Saves the counts so far, marked as incomplete; if that fails, warns, and the next save tries again."""
        with undisturbed() if self.group.size == 1 else nullcontext():
            activity = self.activity(complete=False)
            if self.target is not None and self.group.leads:
                self._written(activity, self.target)

    def _written(self, activity: Activity, target: Target) -> None:
        try:
            activity.save(target)
        except SnnprofError as error:
            if str(error) != self._failure:
                self.warn(f"warning: {error}; the counts stay in memory, and snnprof tries to save them again")
            self._failure = str(error)
        else:
            self._failure = ""

    def _all_read(self, now: int) -> str | None:
        """The digest, as hex digits, of all data that this run and the earlier one counted; None if one kept none."""
        before = "0" if self.earlier is None else self.earlier.run.data.read
        return _shown(int(before, 16) + now) if self.session.remembers and before is not None else None

    def _place(self) -> str:
        """Where this process is in the data; all processes must be at the same place when they meet."""
        drawn = f", data {_shown(self.session.drawn)[:8]}" if self._draws_all else ""
        return f"at batch {self.session.batches}, sample {self.session.samples_seen}{drawn}"

    def _interrupted(self, number: int) -> bool:
        if number == 0 or self.session.samples_seen < self.session.shard.done:  # nothing new yet
            raise KeyboardInterrupt
        self._stopped = True
        self.save()
        return True

    def _reached(self, number: int) -> bool:
        if self.stopping is None or not self.stopping.is_due(number, self.session.span):
            return False
        self.session.close()
        counted = [entry for part in self.group.gather(self.session.events, self._place()) for entry in part]
        return self.stopping.reached(self._earlier_events() + counted)

    # -- the earlier run -----------------------------------------------------------------------------------

    def _must_have_reread(self) -> None:
        """Checks the data of the earlier run once all processes together have read them again.

        Raises:
            SnnprofError: they differ from what the earlier run read.
        """
        if self._reread or self.earlier is None or self.session.samples_seen < self.session.shard.done:
            return
        self._reread = True
        reread = sum(self.group.gather(self.session.reread, self._place()))
        resume.must_have_read(self.earlier.run, _shown(reread))

    def _earlier_part(self) -> Activity:
        assert self.earlier is not None
        return merging.rebin(self.earlier, self._earlier_positions())

    def _earlier_events(self) -> list[Counted]:
        if self.earlier is None:
            return []
        return [
            (position, sum(row[merging.SPIKE_EVENTS] for row in block.ops), block.samples)
            for position, block in zip(self._earlier_positions(), self.earlier.blocks, strict=True)
        ]

    def _earlier_positions(self) -> list[int]:
        """For each block of the earlier run, the number of the block of this run that it becomes a part of.

        The earlier run had fewer batches, so its blocks may be narrower; `merging.span` says how wide they were.

        Raises:
            SnnprofError: the data ended before the earlier run did, or its blocks have another width.
        """
        assert self.earlier is not None
        batches = self.session.resumed_batches
        span = merging.span(batches, self._first_span)
        if self.session.samples_seen < self.session.shard.done or len(self.earlier.blocks) != -(-batches // span):
            raise SnnprofError(
                "the data does not hold the samples of the run to resume", hint="profile again without --resume"
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
    """When to save: by the clock in one process; of several, at batch numbers that rank 0 chooses, so that all meet."""

    def __init__(self, group: ProcessGroup) -> None:
        self._group = group
        self._step = 1
        self._next = self._last = 0
        self._time = time.monotonic()

    def is_due(self, number: int) -> bool:
        """Whether to save before batch `number`."""
        if self._group.size == 1:
            return time.monotonic() - self._time >= SAVE_SECONDS
        if not self._next:
            self._last, self._next = number, number + 2 * self._group.size
        return number >= self._next

    def saved(self, number: int) -> None:
        """Chooses the batch number of the next save: about a minute away, and at most twice as far as last time."""
        now = time.monotonic()
        pace = (now - self._time) / max(1, number - self._last)
        step = min(2 * self._step, max(1, int(SAVE_SECONDS / max(pace, 1e-6))))
        self._step = self._group.gather(max(step, self._group.size))[0]
        self._last, self._next, self._time = number, number + self._step, now

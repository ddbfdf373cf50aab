"""Counts one model on the same data by snnprof and by another tool."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from typing import Protocol

from snnprof.activity import Activity
from snnprof.against import tools
from snnprof.against.records import Batch, Call, Ops, PeerRun, Tool
from snnprof.options import ProfileOptions, Progress
from snnprof.workload.interrupt import Interrupt
from snnprof.workload.plan import RunPlan
from snnprof.workload.run import profile_run
from snnprof.workload.session import Session


class Counter(Protocol):
    """A tool that counts the operations of a model.

    Attributes:
        calls: the operations in the last batch.
        own: operations of the tool's own arithmetic that its counters counted too.
        energy_pj: the tool's own estimate in pJ over all batches; None if it has none.
        dense: the tool's operations without sparsity over all batches; None if it has none.
    """

    calls: list[Call]
    own: Ops
    energy_pj: float | None
    dense: float | None

    def watching(self) -> AbstractContextManager[None]:
        """Counts the forward pass inside; `calls` is complete when it ends."""


def both(options: ProfileOptions, tool: Tool, progress: Progress) -> tuple[Activity, PeerRun]:
    """Counts a model by snnprof, then the same batches by another tool.

    Raises:
        SnnprofError: the tool is not installed, or one of the two cannot run the model.
        KeyboardInterrupt: Ctrl-C came before both had counted everything.
    """
    tools.must_count(tool)
    counted: list[PeerRun] = []

    def again(plan: RunPlan, session: Session, interrupt: Interrupt) -> None:
        counted.append(_counted(plan, session, interrupt, tool))

    activity = profile_run(options, progress, afterwards=again)
    if not counted:
        raise KeyboardInterrupt
    return activity, counted[0]


def _counted(plan: RunPlan, session: Session, interrupt: Interrupt, tool: Tool) -> PeerRun:
    batches: list[Batch] = []
    counter: Counter = importlib.import_module(f"snnprof.workload.peers.{tool}").counter(session.model)
    session.run_again(plan.batches(session), lambda samples: _kept(counter, samples, batches), interrupt)
    return PeerRun(tool, version(tool), tuple(batches), counter.own, counter.energy_pj, counter.dense)


@contextmanager
def _kept(counter: Counter, samples: int, batches: list[Batch]) -> Iterator[None]:
    with counter.watching():
        yield
    batches.append(Batch(samples, tuple(counter.calls)))

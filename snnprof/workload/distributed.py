"""Several processes, started by torchrun, that share one run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from snnprof.errors import Dismissed, SnnprofError

T = TypeVar("T")

PEER_SECONDS = 600.0
"""How long a process waits for the others: they meet about once a minute, and where a batch takes longer, at a batch.
What has not come by then has stopped."""
LAST_MESSAGE_SECONDS = 0.1
"""For gloo's thread to let go of the last message, which needs the interpreter's lock: up to torch 2.7 the lock is held
while a process group ends, and both would wait for ever (https://github.com/pytorch/pytorch/pull/154976)."""


@dataclass(frozen=True)
class Team:
    """The processes of a run; one process alone is a team of one."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    def gather(self, value: T, where: str = "") -> list[T]:
        """Every rank's value, in order of rank; all ranks must call it, and be at the same place.

        Raises:
            SnnprofError: on every rank, that a rank is somewhere else, or that one has stopped.
        """
        if self.size == 1:
            return [value]
        met: list[Any] = [None] * self.size
        with _answered():
            distributed.all_gather_object(met, (where, value))
        places = [place for place, _ in met]
        for rank, place in enumerate(places):
            if place != places[0]:
                raise SnnprofError(
                    f"the processes of this run do not draw the same data: rank 0 is {_at(places[0])}, "
                    f"rank {rank} {_at(place)}",
                    hint="each process needs all of the data, in the same batches and the same order",
                )
        return [value for _, value in met]

    def together(self, step: Callable[[], T]) -> T:
        """Does a step on every rank; where it fails on any, rank 0 says so and the others leave in silence.

        Raises:
            SnnprofError: on rank 0, what failed.
        """
        outcome: list[T] = []
        failure = None
        try:
            outcome.append(step())
        except SnnprofError as error:
            failure = error
        failures = [(rank, found) for rank, found in enumerate(self.gather(failure)) if found is not None]
        if not failures:
            return outcome[0]
        rank, first = failures[0]
        self.dismiss(first.exit_code)
        raise first if rank == 0 else SnnprofError(f"rank {rank}: {first}", first.hint)

    def dismiss(self, status: int = 0) -> None:
        """Ends every process but the one that leads."""
        if not self.leads:
            raise Dismissed(status)


def _at(place: str) -> str:
    return place or "elsewhere"


@contextmanager
def _answered() -> Iterator[None]:
    """Raises SnnprofError where the others cannot be reached, which torch says in words of its own."""
    try:
        yield
    except RuntimeError as error:
        raise SnnprofError(
            f"another process of this run has stopped, or did not answer within {PEER_SECONDS:g} s",
            hint="read its message above or in its log, then continue with --resume",
        ) from error


@contextmanager
def team(device: str) -> Iterator[tuple[Team, str]]:
    """The team that torchrun started, and this process's device; a team of one elsewhere.

    Counts are host integers, so gloo carries the messages for GPUs too: it says that a process is gone, where NCCL
    ends the others.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        yield Team(), device
        return
    local, here = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    own_gpu = device == "cuda" and torch.cuda.device_count() >= here
    if own_gpu:
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    with _answered():
        distributed.init_process_group("gloo", timeout=timedelta(seconds=PEER_SECONDS))
    try:
        yield Team(distributed.get_rank(), distributed.get_world_size()), device
    finally:
        time.sleep(LAST_MESSAGE_SECONDS)
        distributed.destroy_process_group()

"""Processes, started by torchrun, that share one run."""

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
"""How long a process waits for the others. They meet about once a minute, or after a batch that takes longer; a process
that has not come by then has stopped."""
LAST_MESSAGE_SECONDS = 0.1
"""How long to wait before a process group is destroyed. Gloo's thread needs the interpreter's lock to release the last
message, but up to torch 2.7 the lock is held while the group is destroyed: without the wait, both can block each other
for ever (https://github.com/pytorch/pytorch/pull/154976)."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run; one process alone is a group of size 1.

    Attributes:
        rank: number of this process.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    def gather(self, value: T, where: str = "") -> list[T]:
        """Every rank's value, in order of rank; all ranks must call it.

        Args:
            value: the value of this rank; it is pickled.
            where: where this rank is in the data, for example "at batch 3". All ranks must be at the same place.

        Raises:
            SnnprofError: on every rank, if one of them is at another place or has stopped.
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

    def run_on_all(self, step: Callable[[], T]) -> T:
        """Calls `step` on every rank and returns this rank's result; if it fails on any, all ranks end.

        Raises:
            SnnprofError: on rank 0, the first error of any rank; the other ranks exit without a message.
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
        self.exit_workers(first.exit_code)
        raise first if rank == 0 else SnnprofError(f"rank {rank}: {first}", first.hint)

    def exit_workers(self, status: int = 0) -> None:
        """Ends every process except rank 0.

        Raises:
            Dismissed: on all other ranks, with the exit status.
        """
        if not self.leads:
            raise Dismissed(status)


def _at(place: str) -> str:
    return place or "elsewhere"


@contextmanager
def _answered() -> Iterator[None]:
    """Turns torch's error for a process that cannot be reached into a SnnprofError."""
    try:
        yield
    except RuntimeError as error:
        raise SnnprofError(
            f"another process of this run has stopped, or did not answer within {PEER_SECONDS:g} s",
            hint="read its message above or in its log, then continue with --resume",
        ) from error


@contextmanager
def process_group(device: str) -> Iterator[tuple[ProcessGroup, str]]:
    """Joins the processes that torchrun started; without torchrun, a group of size 1.

    The messages are counts in host memory, so gloo carries them for GPUs too. If a process is gone, gloo raises an
    error on the others, where NCCL would end them.

    Yields:
        The group, and the device of this process: each takes a GPU of its own if the machine has enough of them.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        yield ProcessGroup(), device
        return
    local, here = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    own_gpu = device == "cuda" and torch.cuda.device_count() >= here
    if own_gpu:
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    with _answered():
        distributed.init_process_group("gloo", timeout=timedelta(seconds=PEER_SECONDS))
    try:
        yield ProcessGroup(distributed.get_rank(), distributed.get_world_size()), device
    finally:
        time.sleep(LAST_MESSAGE_SECONDS)
        distributed.destroy_process_group()

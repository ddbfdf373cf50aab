"""Several processes, started by torchrun, that share one run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import distributed

from snnprof.errors import Dismissed, SnnprofError

T = TypeVar("T")

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

    def gather(self, value: T) -> list[T]:
        """Every rank's value, in order of rank; all ranks must call it."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

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


@contextmanager
def team(device: str) -> Iterator[tuple[Team, str]]:
    """The team that torchrun started, and this process's device; a team of one elsewhere.

    Counts are host integers, so a backend only has to carry messages: NCCL where each process has a GPU of its own,
    else gloo.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        yield Team(), device
        return
    local, here = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    own_gpu = device == "cuda" and torch.cuda.device_count() >= here
    if own_gpu:
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    distributed.init_process_group("nccl" if own_gpu else "gloo")
    try:
        yield Team(distributed.get_rank(), distributed.get_world_size()), device
    finally:
        time.sleep(LAST_MESSAGE_SECONDS)
        distributed.destroy_process_group()

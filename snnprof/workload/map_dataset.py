"""Data sets whose samples can be read in any order; PyTorch's DataLoader reads them here or ahead in workers."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from snnprof.activity import DataFacts
from snnprof.errors import SnnprofError, first_line
from snnprof.workload import seeds
from snnprof.workload.batches import (
    DEFAULT_LOADING,
    Batch,
    Batches,
    InputSpec,
    Labels,
    Loading,
    Needed,
    Sampler,
    arranged,
)
from snnprof.workload.inputs import Input, mapped
from snnprof.workload.interrupt import undisturbed

Loaded = tuple[Input, Labels]
T = TypeVar("T")
FORKS = "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
"""Whether workers can be forked, so that the data set need not be picklable. On macOS a fork can crash in libraries."""
GPU_WORKERS = max(1, min(8, (os.cpu_count() or 1) // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))))
"""Workers for data files that take longer to read than a GPU takes for a pass; each process of a run has its own."""


@dataclass
class MapDataset:
    """Samples that can be read by position; a subclass defines `read`.

    Attributes:
        facts: the facts of the data for the run file.
        wanted: what the model needs of its data.
        workers: number of processes that read ahead for a GPU if `Loading.workers` is None. On a CPU the model uses all
            cores and takes many times as long as loading (docs/overhead.md), so no workers start.
        ordered: True: the samples come in the order of the sampler.
    """

    facts: DataFacts
    wanted: InputSpec = field(default_factory=InputSpec)
    workers: int = field(default=0, kw_only=True)
    ordered = True

    def __len__(self) -> int:
        return self.facts.total or 0

    @property
    def no_workers(self) -> str:
        """Why workers cannot read the samples; "" if they can."""
        return "" if FORKS else "this system cannot fork processes"

    def read(self, positions: list[int]) -> Loaded:
        """Reads the samples at these positions: a batch `[B, ...]`, and its labels `[B]` or None."""
        raise NotImplementedError

    def batches(self, sampler: Sampler, needed: Needed, loading: Loading = DEFAULT_LOADING) -> Batches:
        """Yields every batch of the sampler; only those needed are read, and those have the model's layout."""
        dealt = sampler.batches(len(self))
        starts = [number * sampler.size for number in range(len(dealt))]
        taken = [needed(number, start) for number, start in enumerate(starts)]
        loaded = self._loaded([positions for positions, take in zip(dealt, taken, strict=True) if take], loading)
        for start, positions, take in zip(starts, dealt, taken, strict=True):
            x, y = next(loaded) if take else (None, None)
            yield Batch(start, start + len(positions), None if x is None else mapped(x, self._arranged), y)

    def _arranged(self, x: Tensor) -> Tensor:
        return arranged(x, self.wanted)

    def _workers(self, loading: Loading) -> int:
        own = self.workers if loading.pinned else 0
        return 0 if self.no_workers else own if loading.workers is None else loading.workers

    def _loaded(self, dealt: list[list[int]], loading: Loading) -> Iterator[Loaded]:
        """Yields the batches at these positions; workers read ahead all but the first, which is read in this process.

        From the first batch `read` may learn facts of the data, which a worker could not pass on.

        Yields:
            Inputs and labels of each batch.
        """
        reader = _Reader(self.read, loading.seed)
        workers = self._workers(loading)
        ahead = _by_workers(workers, lambda: _started(reader, dealt[1:], workers, loading.pinned))
        take_next = functools.partial(next, ahead)
        try:
            for number in range(len(dealt)):
                loaded = _by_workers(workers, take_next) if number else reader[dealt[0]]
                if isinstance(loaded, SnnprofError):
                    raise loaded
                yield loaded
        finally:
            del (
                ahead,
                take_next,
            )  # ends the workers; without it, a traceback that keeps this frame would keep them alive


@dataclass
class TensorDataset(MapDataset):
    """Samples in memory.

    Attributes:
        x: the samples as stored, sample axis first.
        y: their labels `[N]`; None if there are none.
        prepare: converts a batch of stored values to what the model takes.
    """

    x: Tensor = field(default_factory=lambda: torch.empty(0))
    y: Labels = None
    prepare: Callable[[Tensor], Tensor] = torch.Tensor.float

    @property
    def no_workers(self) -> str:
        """Why workers do not read the samples: it would gain nothing."""
        return f"{self.facts.source} is in memory already"

    def read(self, positions: list[int]) -> Loaded:
        """See `MapDataset.read`."""
        return self.prepare(self.x[positions]), None if self.y is None else self.y[positions]


# -- the DataLoader --------------------------------------------------------------------------------------------


@dataclass
class _Reader(Dataset[Any]):
    """Reads batches for the DataLoader, here or in a worker. Random numbers in `read` depend only on run and batch.

    A SnnprofError is returned as a value: if a worker raised it, DataLoader would put a traceback into its message.
    """

    read: Callable[[list[int]], Loaded]
    seed: int

    def __getitem__(self, positions: list[int]) -> Loaded | SnnprofError:
        with seeds.seeded(seeds.of_data(self.seed, positions[0])):
            try:
                return self.read(positions)
            except SnnprofError as error:
                return error


def _started(reader: _Reader, dealt: list[list[int]], workers: int, pinned: bool) -> Iterator[Any]:
    """Starts the workers and returns an iterator over the batches in their order.

    DataLoader installs a handler of SIGCHLD that raises an error when a worker was killed, wherever this process is at
    that moment, for example within the model's code. It is removed; then the next batch raises the error.
    """
    workers = min(workers, len(dealt))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores: the user's choice
        loader = DataLoader(
            reader, batch_size=None, sampler=dealt, collate_fn=_same, num_workers=workers, pin_memory=pinned,
            multiprocessing_context="fork" if workers else None, worker_init_fn=_ignore_ctrl_c,
            generator=torch.Generator(),
        )  # fmt: skip
        if not workers or threading.current_thread() is not threading.main_thread():
            return iter(loader)
        handler = signal.getsignal(signal.SIGCHLD)
        try:
            with undisturbed():  # Ctrl-C would end a worker that has not yet called `_ignore_ctrl_c`
                return iter(loader)
        finally:
            signal.signal(signal.SIGCHLD, handler or signal.SIG_DFL)


def _same(loaded: Any) -> Any:
    return loaded


def _ignore_ctrl_c(worker: int) -> None:
    """Makes a worker ignore Ctrl-C: a terminal interrupts all processes, and the main one decides how the run ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _by_workers(workers: int, act: Callable[[], T]) -> T:
    """Runs a step that needs workers, and explains why they cannot start or have died.

    The error does not hold the one behind it: its traceback would keep the DataLoader, and so the other workers, alive.

    Raises:
        SnnprofError: the workers failed.
    """
    try:
        return act()
    except (RuntimeError, OSError) as error:
        if not workers:
            raise
        reason = first_line(error)
    raise SnnprofError(
        f"loading data with {workers} workers failed: {reason}",
        hint="memory, shared memory (/dev/shm) or processes may have run out; --workers 0 needs none of them",
    )

"""Samples that can be read in any order, in this process or ahead of it by workers: PyTorch's DataLoader."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

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
FORKS = "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
"""Whether workers can be forked, so that nothing need be picklable; macOS's own libraries do not bear it."""
GPU_WORKERS = max(1, min(8, (os.cpu_count() or 1) // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))))
"""For files that take longer to read than a GPU takes for a pass; each of several processes has workers of its own."""


@dataclass
class MapDataset:
    """Samples by position; a subclass says how a batch of them is read.

    Attributes:
        workers: processes that read ahead for a GPU where `Loading` leaves it open. On a CPU the passes take all cores,
            and many times as long as loading (docs/overhead.md).
    """

    facts: DataFacts
    wanted: InputSpec = field(default_factory=InputSpec)
    workers: int = field(default=0, kw_only=True)
    ordered = True

    def __len__(self) -> int:
        return self.facts.total or 0

    @property
    def no_workers(self) -> str:
        return "" if FORKS else "this system cannot fork processes"

    def read(self, positions: list[int]) -> Loaded:
        """Samples `[B, ...]` and labels `[B]`."""
        raise NotImplementedError

    def batches(self, sampler: Sampler, needed: Needed, loading: Loading = DEFAULT_LOADING) -> Batches:
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
        """The first batch is read in this process, to learn what the data are; workers read the next ones meanwhile."""
        reader = _Reader(self.read, loading.seed)
        workers = self._workers(loading)
        with _explained(workers):
            ahead = _started(reader, dealt[1:], workers, loading.pinned)
        try:
            for number in range(len(dealt)):
                with _explained(workers):
                    loaded = next(ahead) if number else reader[dealt[0]]
                if isinstance(loaded, SnnprofError):
                    raise loaded
                yield loaded
        finally:
            del ahead  # ends the workers, also where a traceback keeps this frame


@dataclass
class TensorDataset(MapDataset):
    """Samples held in memory, sample axis first; `prepare` makes a batch of stored values what the model takes."""

    x: Tensor = field(default_factory=lambda: torch.empty(0))
    y: Labels = None
    prepare: Callable[[Tensor], Tensor] = torch.Tensor.float

    @property
    def no_workers(self) -> str:
        return f"{self.facts.source} is in memory already"

    def read(self, positions: list[int]) -> Loaded:
        return self.prepare(self.x[positions]), None if self.y is None else self.y[positions]


# -- the DataLoader --------------------------------------------------------------------------------------------


@dataclass
class _Reader(Dataset[Any]):
    """Reads a batch, in whatever process. What it draws at random depends on the batch alone.

    An error is an answer: from a worker, DataLoader would raise it with a traceback in its message.
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
    """The batches in their order; workers begin at once.

    Without DataLoader's handler of SIGCHLD, which raises for a worker that was killed wherever this process is, for
    example within the model's own code; without it the next batch says so.
    """
    workers = min(workers, len(dealt))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores: as asked for
        loader = DataLoader(
            reader, batch_size=None, sampler=dealt, collate_fn=_same, num_workers=workers, pin_memory=pinned,
            multiprocessing_context="fork" if workers else None, worker_init_fn=_ignore_ctrl_c,
            generator=torch.Generator(),
        )  # fmt: skip
        if not workers or threading.current_thread() is not threading.main_thread():
            return iter(loader)
        handler = signal.getsignal(signal.SIGCHLD)
        try:
            with undisturbed():  # a worker that is still starting must not end by Ctrl-C either
                return iter(loader)
        finally:
            signal.signal(signal.SIGCHLD, handler or signal.SIG_DFL)


def _same(loaded: Any) -> Any:
    return loaded


def _ignore_ctrl_c(worker: int) -> None:
    """A terminal interrupts all processes; this one's parent decides how the run ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _explained(workers: int) -> Iterator[None]:
    """Raises SnnprofError where workers cannot be started, or one is gone."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        if not workers:
            raise
        raise SnnprofError(
            f"loading data with {workers} workers failed: {first_line(error)}",
            hint="memory, shared memory (/dev/shm) or processes may have run out; --workers 0 needs none of them",
        ) from error

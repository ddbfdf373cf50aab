"""Batches: which samples a batch holds, the layout of its axes, and digests that identify data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from snnprof.activity import DataFacts
from snnprof.workload.inputs import Input

Labels = Tensor | None
Needed = Callable[[int, int], bool]
"""Given the number of a batch and the number of samples before it: whether this process needs the batch."""
PRINTED_BYTES = 16 << 20  # of the data enter a fingerprint
READING_BITS = 128  # of the digest of a batch


@dataclass(frozen=True)
class InputSpec:
    """What a model needs of its data; None for what is unknown.

    Attributes:
        shape: shape of one sample as the model takes it, without the batch axis.
        layout: `batch`, `time-batch`, `batch-time` or `step`.
        timesteps: T.
        classes: number of the model's outputs.
        events: whether the model takes event frames.
        dtype: number format of the model's weights; real numbers from files are converted to it.
        tokens: number of rows of the embedding that the model begins with; integers below it stay integers.
        mean: mean of each channel, to normalise images in [0, 1]; empty for none.
        std: standard deviation of each channel, as `mean`.
    """

    shape: tuple[int, ...] | None = None
    layout: str = "batch"
    timesteps: int | None = None
    classes: int | None = None
    events: bool = False
    dtype: torch.dtype = torch.float32
    tokens: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True)
class Sampler:
    """Which samples run in which batches; the same in every process of a run and when a run is resumed.

    Attributes:
        size: number of samples in a batch; the last one may hold fewer.
        samples: number of samples that run; None runs all.
        seed: seed of a permutation of the samples; None keeps the order in which they are stored.
    """

    size: int
    samples: int | None = None
    seed: int | None = None

    def batches(self, count: int) -> list[list[int]]:
        """For each batch, the positions of its samples in a data set of `count` samples."""
        positions = torch.arange(count)
        if self.seed is not None:
            positions = torch.randperm(count, generator=torch.Generator().manual_seed(self.seed))
        chosen: list[int] = positions[: self.samples].tolist()
        return [chosen[start : start + self.size] for start in range(0, len(chosen), self.size)]


@dataclass(frozen=True)
class Batch:
    """Samples in the model's layout.

    Attributes:
        start: number of samples before the batch.
        stop: number of samples up to the end of the batch.
        x: the inputs; None if the batch was not needed and therefore not read.
        y: labels `[B]`; None if there are none.
    """

    start: int
    stop: int
    x: Input | None = None
    y: Labels = None


Batches = Generator[Batch, None, None]


@dataclass(frozen=True)
class Loading:
    """How batches are loaded; their content does not depend on it, except for the seed.

    Attributes:
        workers: number of processes that read batches ahead; 0 reads in this process, None leaves it to the source.
        pinned: load into page-locked memory, from which a CUDA device copies while this process goes on.
        seed: seed of what the code of the data draws at random.
    """

    workers: int | None = None
    pinned: bool = False
    seed: int = 0


DEFAULT_LOADING = Loading()


class Source(Protocol):
    """Data that can be read in batches.

    Attributes:
        ordered: whether the source follows the order of the sampler; an iterable has its own.
    """

    ordered: bool

    @property
    def facts(self) -> DataFacts:
        """The facts of the data for the run file; complete once the first batch was drawn."""

    @property
    def no_workers(self) -> str:
        """Why workers cannot read the batches ahead; "" if they can."""

    def batches(self, sampler: Sampler, needed: Needed, loading: Loading = DEFAULT_LOADING) -> Batches:
        """Yields every batch of the sampler in order; those that are not needed have no x."""


def arranged(x: Tensor, wanted: InputSpec) -> Tensor:
    """Moves the axes of samples `[B, ...]` as the layout needs; layout `step` repeats samples that are no T frames."""
    if wanted.layout == "time-batch" and x.dim() > 1:
        return x.movedim(1, 0)
    if wanted.layout == "step" and wanted.timesteps:
        return x.movedim(1, 0) if holds_frames(x.shape[1:], wanted) else shown(x, wanted.timesteps)
    return x


def holds_frames(sample: Sequence[int], wanted: InputSpec) -> bool:
    """Whether layout `step` takes a sample of this shape for T frames.

    Its first axis must be T long. If the model's input shape is known, the frames must also have as many axes as that.
    """
    axes = None if wanted.shape is None or wanted.events else len(wanted.shape)
    return len(sample) > 1 and sample[0] == wanted.timesteps and axes in (None, len(sample) - 1)


def shown(x: Tensor, times: int) -> Tensor:
    """Repeats a batch `[B, ...]` as `[T, B, ...]`, without a copy; a batch `[B]` of single numbers is unchanged."""
    return x.unsqueeze(0).expand(times, *x.shape) if x.dim() > 1 else x


def batch_axis(x: Tensor, layout: str, timesteps: int | None) -> int:
    """The axis of a batch that counts samples: 1 if the layout has time first, else 0."""
    time_first = layout == "time-batch" or (layout == "step" and x.shape[0] == timesteps)
    return 1 if time_first and x.dim() > (2 if layout == "step" else 1) else 0


def array_facts(source: str, kind: str, x: Tensor, note: str | None = None) -> DataFacts:
    """The facts of samples in memory, sample axis first."""
    return DataFacts(
        source=source, kind=kind, shape=list(x.shape[1:]), total=len(x), note=note, fingerprint=fingerprint(x)
    )


def oddity(tensor: Tensor) -> str:
    """Why a tensor is no dense tensor of real numbers, in words; "" if it is one."""
    if tensor.is_meta:
        return "a shape without content (device meta)"
    if tensor.is_nested:
        return "nested"
    if tensor.layout is not torch.strided:
        return str(tensor.layout)
    return str(tensor.dtype) if tensor.is_complex() or tensor.is_quantized else ""


def fingerprint(x: Tensor, size: int = PRINTED_BYTES) -> str:
    """A digest of shape, dtype and about the first `size` bytes of values, to recognise data."""
    digest = hashlib.sha256(str((tuple(x.shape), x.dtype)).encode())
    rows = max(1, size // max(1, x[:1].numel() * x.element_size()))
    digest.update(x[:rows].detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def reading(batch: Batch) -> int:
    """A digest of x, y and the place of a batch, as an integer.

    The digests of several batches are added, so the sum does not depend on which process reads which batch.
    """
    digest = hashlib.blake2b(str((batch.start, batch.stop)).encode(), digest_size=READING_BITS // 8)
    for name, value in _named({"x": batch.x, "y": batch.y}):
        digest.update(f"{name} {type(value).__name__}".encode())
        if isinstance(value, Tensor):
            plain = value.detach().cpu().resolve_neg().contiguous().reshape(-1)
            digest.update(str((tuple(value.shape), value.dtype)).encode())
            digest.update(plain.view(torch.uint8).numpy().data)
    return int.from_bytes(digest.digest(), "big")


def _named(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yields each value in a nest of dicts, lists and tuples, with its path."""
    if isinstance(value, dict | list | tuple):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in inner:
            yield from _named(part, f"{name}.{key}")
    else:
        yield name, value

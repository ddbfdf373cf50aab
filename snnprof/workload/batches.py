"""What a source deals out: which samples run in which batch, and how a batch lies before the model."""

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
"""Whether a batch is needed here, by its number and by how many samples come before it."""
PRINTED_BYTES = 16 << 20
READING_BITS = 128


@dataclass(frozen=True)
class InputSpec:
    """What a model needs of its data.

    Attributes:
        shape: one sample as the model takes it, without the batch axis; null where unknown.
        layout: `batch`, `time-batch`, `batch-time` or `step`.
        timesteps: T, where known.
        classes: outputs of the model, where known.
        events: the model reads event frames.
        dtype: number format of the model's weights, in which real numbers of a file are given.
        tokens: rows of the embedding that the model begins with; whole numbers below it stay whole numbers.
        mean, std: normalisation of images in [0, 1], per channel.
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
    """Which samples run, and in which batches: the same in every process of a run and after a resume.

    Attributes:
        size: samples in a batch; the last one may hold fewer.
        samples: stop after so many; null runs all.
        seed: of a permutation; null keeps the order in which the samples are stored.
    """

    size: int
    samples: int | None = None
    seed: int | None = None

    def batches(self, count: int) -> list[list[int]]:
        """The positions of each batch's samples among `count`."""
        positions = torch.arange(count)
        if self.seed is not None:
            positions = torch.randperm(count, generator=torch.Generator().manual_seed(self.seed))
        chosen: list[int] = positions[: self.samples].tolist()
        return [chosen[start : start + self.size] for start in range(0, len(chosen), self.size)]


@dataclass(frozen=True)
class Batch:
    """Samples `start` to `stop` − 1 of the order, as the model takes them.

    Attributes:
        x: null where the batch was not needed, and so not read.
        y: labels `[B]`, where there are any.
    """

    start: int
    stop: int
    x: Input | None = None
    y: Labels = None


Batches = Generator[Batch, None, None]


@dataclass(frozen=True)
class Loading:
    """How samples are brought to the process that counts; what they are does not depend on it.

    Attributes:
        workers: processes that read batches ahead; 0 reads them here, null leaves it to the source.
        pinned: in page-locked memory, which a CUDA device copies without making this process wait.
        seed: of what the data's own code draws at random.
    """

    workers: int | None = None
    pinned: bool = False
    seed: int = 0


DEFAULT_LOADING = Loading()


class Source(Protocol):
    """Data that can be dealt out in batches.

    Attributes:
        facts: complete once the first batch was drawn.
        ordered: the source follows a sampler's seed.
        no_workers: why workers cannot read it ahead; "" where they can.
    """

    ordered: bool

    @property
    def facts(self) -> DataFacts: ...

    @property
    def no_workers(self) -> str: ...

    def batches(self, sampler: Sampler, needed: Needed, loading: Loading = DEFAULT_LOADING) -> Batches:
        """Every batch of the sampler in its turn; only those needed are read."""


def arranged(x: Tensor, wanted: InputSpec) -> Tensor:
    """Samples `[B, ...]` as the layout wants them; `step` shows them T times where their first axis is not T long."""
    if wanted.layout == "time-batch" and x.dim() > 1:
        return x.movedim(1, 0)
    if wanted.layout == "step" and wanted.timesteps:
        return x.movedim(1, 0) if holds_frames(x.shape[1:], wanted) else shown(x, wanted.timesteps)
    return x


def holds_frames(sample: Sequence[int], wanted: InputSpec) -> bool:
    """Whether a sample of this shape is T frames to layout `step`, each with an axis less, where that is known."""
    axes = None if wanted.shape is None or wanted.events else len(wanted.shape)
    return len(sample) > 1 and sample[0] == wanted.timesteps and axes in (None, len(sample) - 1)


def shown(x: Tensor, times: int) -> Tensor:
    """A batch `[B, ...]` as `[T, B, ...]`, without a copy; a batch of single numbers stays what it is."""
    return x.unsqueeze(0).expand(times, *x.shape) if x.dim() > 1 else x


def batch_axis(x: Tensor, layout: str, timesteps: int | None) -> int:
    """Which axis of a batch counts samples; the other of the first two is time, where the layout has one first."""
    time_first = layout == "time-batch" or (layout == "step" and x.shape[0] == timesteps)
    return 1 if time_first and x.dim() > (2 if layout == "step" else 1) else 0


def array_facts(source: str, kind: str, x: Tensor, note: str | None = None) -> DataFacts:
    """The facts of samples held in memory, sample axis first."""
    return DataFacts(
        source=source, kind=kind, shape=list(x.shape[1:]), total=len(x), note=note, fingerprint=fingerprint(x)
    )


def oddity(tensor: Tensor) -> str:
    """What keeps its numbers from being read one after the other as real ones; "" where nothing does."""
    if tensor.is_meta:
        return "a shape without content (device meta)"
    if tensor.is_nested:
        return "nested"
    if tensor.layout is not torch.strided:
        return str(tensor.layout)
    return str(tensor.dtype) if tensor.is_complex() or tensor.is_quantized else ""


def fingerprint(x: Tensor, size: int = PRINTED_BYTES) -> str:
    """Tells data apart: a digest of shape, dtype and the first `size` bytes of values."""
    digest = hashlib.sha256(str((tuple(x.shape), x.dtype)).encode())
    rows = max(1, size // max(1, x[:1].numel() * x.element_size()))
    digest.update(x[:rows].detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def reading(batch: Batch) -> int:
    """A digest of x, y and the place of a batch: those of several batches add up to one, whoever reads which."""
    digest = hashlib.blake2b(str((batch.start, batch.stop)).encode(), digest_size=READING_BITS // 8)
    for name, value in _named({"x": batch.x, "y": batch.y}):
        digest.update(f"{name} {type(value).__name__}".encode())
        if isinstance(value, Tensor):
            plain = value.detach().cpu().resolve_neg().contiguous().reshape(-1)
            digest.update(str((tuple(value.shape), value.dtype)).encode())
            digest.update(plain.view(torch.uint8).numpy().data)
    return int.from_bytes(digest.digest(), "big")


def _named(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every tensor of a batch, which may hold several, with the way to it."""
    if isinstance(value, dict | list | tuple):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in inner:
            yield from _named(part, f"{name}.{key}")
    else:
        yield name, value

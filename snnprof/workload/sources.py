"""Where the data comes from: `digits`, `FILE.npz`, `FILE.pt`, `FILE.py:FUNCTION`, `random`, CIFAR folders."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from snnprof.activity import DataFacts
from snnprof.errors import SnnprofError, unknown

NAMES = ("digits", "cifar10:DIR", "cifar100:DIR", "FILE.npz", "FILE.pt", "FILE.py:FUNCTION", "random")
Batch = tuple[Tensor, "Tensor | None"]


@dataclass(frozen=True)
class Wanted:
    """What a model needs of its data.

    Attributes:
        shape: one sample as the model takes it, without the batch axis; null where unknown.
        layout: `batch`, `time-batch`, `batch-time` or `step`.
        timesteps: T, where known.
        events: the model reads event frames.
        mean, std: normalisation of images in [0, 1], per channel.
    """

    shape: tuple[int, ...] | None = None
    layout: str = "batch"
    timesteps: int | None = None
    events: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


class Source(Protocol):
    """Data that can be dealt out in batches."""

    facts: DataFacts

    def batches(self, size: int, samples: int | None, seed: int | None) -> Iterator[Batch]:
        """Batches as the model takes them, at most `samples` samples, in the order of `seed` (null: as stored)."""


@dataclass
class Arrays:
    """Samples held in memory, sample axis first."""

    x: Tensor
    y: Tensor | None
    facts: DataFacts
    wanted: Wanted = field(default_factory=Wanted)
    prepare: Callable[[Tensor], Tensor] = lambda x: x

    def batches(self, size: int, samples: int | None, seed: int | None) -> Iterator[Batch]:
        order = self.order(samples, seed)
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            x = self.prepare(self.x[chosen])
            yield arranged(x, self.wanted), None if self.y is None else self.y[chosen]

    def order(self, samples: int | None, seed: int | None) -> Tensor:
        count = len(self.x)
        order = torch.arange(count)
        if seed is not None:
            order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        return order[:samples]


@dataclass
class Stream:
    """The user's own iterable: batches come as they are, in its own order."""

    items: Iterable[Any]
    facts: DataFacts

    def batches(self, size: int, samples: int | None, seed: int | None) -> Iterator[Batch]:
        for item in self.items:
            yield as_batch(item)


def arranged(x: Tensor, wanted: Wanted) -> Tensor:
    """Samples `[B, T, ...]` as the layout wants them; layouts without a time axis take them as they are."""
    if wanted.layout == "time-batch" and x.dim() > 1:
        return x.movedim(1, 0)
    if wanted.layout == "step" and wanted.timesteps and x.dim() > 2 and x.shape[1] == wanted.timesteps:
        return x.movedim(1, 0)
    return x


def as_batch(item: Any) -> Batch:
    """`x` or `(x, label)`, as tensors.

    Raises:
        SnnprofError: it is neither.
    """
    x, y = (item[0], item[1]) if isinstance(item, tuple | list) and len(item) > 1 else (item, None)
    if isinstance(x, tuple | list) and len(x) == 1:
        x = x[0]
    try:
        return torch.as_tensor(x), None if y is None else torch.as_tensor(y)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SnnprofError(
            f"a batch of the data is {type(x).__name__}, not a tensor", hint="yield x or (x, label)"
        ) from error


def open_source(spec: str, wanted: Wanted, samples: int | None = None) -> Source:
    """The source behind a `--data` value.

    Raises:
        SnnprofError: there is no such source, or its files are missing or damaged.
    """
    name, _, rest = spec.partition(":")
    if spec == "digits":
        return _digits(wanted)
    if spec == "random":
        return _random(wanted, samples or 16)
    if name in ("cifar10", "cifar100"):
        from snnprof.workload import cifar

        return _images(cifar.load(name, Path(rest), spec), wanted)
    if spec.endswith(".npz"):
        return _npz(Path(spec), wanted)
    if spec.endswith((".pt", ".pth")):
        return _pt(Path(spec), wanted)
    if ".py:" in spec:
        return _function(spec)
    if name in ("cifar10-dvs", "dvs128-gesture", "n-caltech101", "imagefolder"):
        raise SnnprofError(
            f"--data {name}:DIR is not read yet",
            hint="load it in a function of your own and pass --data FILE.py:FUNCTION",
        )
    raise unknown("data source", spec, NAMES)


def _digits(wanted: Wanted) -> Source:
    from importlib import import_module

    shape = wanted.shape or (1, 16, 16)
    if len(shape) != 3 or wanted.events:
        raise SnnprofError("--data digits are images, and this model reads events", hint="see --data in --help")
    x, y = import_module("snnprof.models.digits").load(shape[-1])
    images = torch.from_numpy(x).expand(-1, shape[0], -1, -1).contiguous()
    facts = _facts("digits", "image", images, note="UCI optical digits, the 360 not used for training")
    return Arrays(images, torch.from_numpy(y), facts, wanted)


def _random(wanted: Wanted, samples: int) -> Source:
    if wanted.shape is None:
        raise SnnprofError(
            "--data random needs to know the model's input shape", hint="pass --data FILE.npz or FILE.py:FUNCTION"
        )
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((samples, *wanted.shape), generator=generator)
    if wanted.events:
        x = (x < 0.05).float()
    facts = _facts("random", "random", x, note="random data: rates, SOPs and energies say nothing about real input")
    return Arrays(x, None, facts, wanted)


def _images(loaded: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], str], wanted: Wanted) -> Source:
    """Images [N, C, H, W] of bytes, scaled to [0, 1] and normalised as in training."""
    x, y, spec = loaded
    mean = torch.tensor(wanted.mean or (0.0,)).view(-1, 1, 1)
    std = torch.tensor(wanted.std or (1.0,)).view(-1, 1, 1)
    facts = _facts(spec, "image", torch.from_numpy(x))
    return Arrays(
        torch.from_numpy(x), torch.from_numpy(y), facts, wanted, lambda batch: (batch.float() / 255 - mean) / std
    )


def _npz(path: Path, wanted: Wanted) -> Source:
    try:
        with np.load(_existing(path), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise SnnprofError(f"{path} is not a readable .npz file") from error
    except Exception as error:  # a damaged archive raises zipfile and zlib errors of many kinds
        raise SnnprofError(f"{path} is not a readable .npz file: {type(error).__name__}") from error
    if "x" not in arrays:
        raise SnnprofError(f"{path} holds no array 'x'", hint="save it with numpy.savez(FILE, x=..., y=...)")
    return _arrays(str(path), arrays["x"], arrays.get("y"), wanted)


def _pt(path: Path, wanted: Wanted) -> Source:
    try:
        content = torch.load(_existing(path), map_location="cpu", weights_only=True)
    except SnnprofError:
        raise
    except Exception as error:
        raise SnnprofError(f"{path} is not a readable file of tensors") from error
    if isinstance(content, dict):
        x, y = content.get("x"), content.get("y")
    else:
        x, y = as_batch(content)
    if not isinstance(x, Tensor):
        raise SnnprofError(f"{path} holds no tensor 'x'", hint="save it with torch.save({'x': ..., 'y': ...}, FILE)")
    return _arrays(str(path), x, y, wanted)


def _arrays(spec: str, x: Any, y: Any, wanted: Wanted) -> Source:
    try:
        samples = torch.as_tensor(x)
        labels = None if y is None else torch.as_tensor(y)
    except (TypeError, ValueError) as error:
        raise SnnprofError(f"{spec}: 'x' and 'y' must be numbers") from error
    if samples.dim() < 2 or not len(samples):
        raise SnnprofError(f"{spec}: 'x' must be [samples, ...], not {list(samples.shape)}")
    if labels is not None and (labels.dim() != 1 or len(labels) != len(samples)):
        raise SnnprofError(f"{spec}: 'y' must hold one label for each of the {len(samples)} samples")
    if samples.dtype in (torch.float64, torch.uint8, torch.int64, torch.int32, torch.int16, torch.int8, torch.bool):
        samples = samples.float()
    return Arrays(samples, labels, _facts(spec, "array", samples), wanted)


def _function(spec: str) -> Source:
    from snnprof.workload.models import find

    made = find(spec)
    try:
        items = made() if callable(made) else made
    except Exception as error:
        raise SnnprofError(f"{spec} failed: {type(error).__name__}: {error}", hint="run it on its own first") from error
    if isinstance(items, Tensor):
        items = [items]
    if not isinstance(items, Iterable):
        raise SnnprofError(f"{spec} returned {type(items).__name__}, not an iterable of x or (x, label)")
    total = None
    dataset = getattr(items, "dataset", None)
    if dataset is not None and hasattr(dataset, "__len__"):
        total = len(dataset)
    return Stream(items, DataFacts(source=spec, kind="iterable", total=total))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise SnnprofError(f"there is no data file {path}")
    return path


def _facts(spec: str, kind: str, x: Tensor, note: str | None = None) -> DataFacts:
    return DataFacts(source=spec, kind=kind, shape=list(x.shape[1:]), total=len(x), note=note, fingerprint=_print(x))


def _print(x: Tensor) -> str:
    """Tells data sets apart: a digest of shape and of the first 16 MiB."""
    digest = hashlib.sha256(str((tuple(x.shape), x.dtype)).encode())
    rows = max(1, (16 << 20) // max(1, x[0].numel() * x.element_size()))
    digest.update(x[:rows].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]

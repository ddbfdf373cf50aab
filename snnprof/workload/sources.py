"""Opens the data source that a `--data` value names. Nothing is ever downloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from snnprof.activity import DataFacts
from snnprof.errors import SnnprofError, unknown
from snnprof.workload import inputs
from snnprof.workload.batches import InputSpec, Source, array_facts
from snnprof.workload.inputs import Input
from snnprof.workload.iterable_dataset import IterableDataset, as_input, as_numbers, parts
from snnprof.workload.lazy_dataset import LazyDataset
from snnprof.workload.map_dataset import TensorDataset

FILES = (".npz", ".npy", ".pt", ".pth", ".h5", ".hdf5", ".csv", ".tsv")
RANDOM_SAMPLES = 16
RANDOM_EVENT_RATE = 0.05
NAMES = (
    "digits", "cifar10:DIR", "cifar100:DIR", "cifar10-dvs:DIR", "dvs128-gesture:DIR", "n-caltech101:DIR",
    "imagefolder:DIR", "FILE.npz", "FILE.npy", "FILE.pt", "FILE.h5", "FILE.csv", "FILE.py:FUNCTION", "random",
)  # fmt: skip


def open_source(spec: str, wanted: InputSpec, samples: int | None = None) -> Source:
    """Opens the data source that a `--data` value names.

    Args:
        spec: the value, in one of the forms in `NAMES`.
        wanted: what the model needs of its data.
        samples: the number of samples that random data has; other sources ignore it.

    Raises:
        SnnprofError: there is no such source, its files are missing or damaged, or it does not suit the model.
    """
    name, _, folder = spec.partition(":")
    if spec == "digits":
        return _digits(wanted)
    if spec == "random":
        return _random(wanted, samples or RANDOM_SAMPLES)
    if name in _FOLDERS:
        if not folder:
            raise SnnprofError(f"--data {name} needs a folder", hint=f"--data {name}:DIR")
        return _FOLDERS[name](name, Path(folder).expanduser(), wanted)
    if ".py:" in spec:
        return _function(spec, wanted)
    if spec.lower().endswith(FILES):
        from snnprof.workload import stored

        return stored.open_file(Path(spec).expanduser(), wanted)
    raise unknown("data source", spec, NAMES)


def _cifar(name: str, folder: Path, wanted: InputSpec) -> Source:
    from snnprof.workload import cifar

    _must_take_images(name, wanted)
    return cifar.open_folder(name, folder, wanted)


def _image_folder(name: str, folder: Path, wanted: InputSpec) -> Source:
    from snnprof.workload import images

    _must_take_images(name, wanted)
    return images.open_folder(folder, wanted)


def _events(name: str, folder: Path, wanted: InputSpec) -> Source:
    from snnprof.workload import events

    return events.open_folder(name, folder, wanted)


_FOLDERS: dict[str, Callable[[str, Path, InputSpec], Source]] = {
    "cifar10": _cifar,
    "cifar100": _cifar,
    "imagefolder": _image_folder,
    "cifar10-dvs": _events,
    "dvs128-gesture": _events,
    "n-caltech101": _events,
}


def _must_take_images(name: str, wanted: InputSpec) -> None:
    if wanted.events or (wanted.shape and len(wanted.shape) != 3):
        raise SnnprofError(
            f"--data {name} holds images, and this model reads event frames {list(wanted.shape or ())}",
            hint="--data cifar10-dvs:DIR, dvs128-gesture:DIR or n-caltech101:DIR",
        )


def _digits(wanted: InputSpec) -> Source:
    _must_take_images("digits", wanted)
    channels, height, width = wanted.shape or (1, 16, 16)
    if height != width:
        raise SnnprofError(f"--data digits are square images, and this model takes {height} × {width}")
    x, y = import_module("snnprof.models.digits").load(width)
    images = torch.from_numpy(x).expand(-1, channels, -1, -1).contiguous()
    facts = array_facts("digits", "image", images, note="UCI optical digits, the 360 not used for training")
    return TensorDataset(facts, wanted, images, torch.from_numpy(y))


def _random(wanted: InputSpec, samples: int) -> Source:
    """Random data; each sample is drawn with its position as seed, so that samples take no memory before they run."""
    if wanted.shape is None:
        raise SnnprofError(
            "--data random needs to know the model's input shape", hint="pass --data FILE.npz or FILE.py:FUNCTION"
        )
    shape = wanted.shape

    def made(position: int) -> tuple[Tensor, None]:
        x = torch.rand(shape, generator=torch.Generator().manual_seed(position))
        return (x < RANDOM_EVENT_RATE).float() if wanted.events else x, None

    facts = DataFacts(
        source="random", kind="random", shape=list(shape), total=samples, fingerprint=f"random {list(shape)}",
        note="random data: rates, SOPs and energies say nothing about real input",
    )  # fmt: skip
    return LazyDataset(facts, wanted, made)


def _function(spec: str, wanted: InputSpec) -> Source:
    """The source that the user's own function returns: a data set of samples, or an iterable of batches."""
    from snnprof.workload.models import find

    made = find(spec)
    try:
        items = made() if callable(made) and not isinstance(made, Dataset) else made
        by_position = _is_map(items)
        count = len(items) if by_position else _length(items)
    except SnnprofError:
        raise
    except Exception as error:
        raise SnnprofError(f"{spec} failed: {type(error).__name__}: {error}", hint="call it alone first") from error
    if by_position:
        return _data_set(spec, items, count or 0, wanted)
    if isinstance(items, Tensor):
        items = [items]
    if not isinstance(items, Iterable):
        raise SnnprofError(
            f"{spec} returned {type(items).__name__}, not an iterable of x or (x, label)",
            hint="x is a batch: a tensor, a tuple of tensors or a dictionary of tensors by name",
        )
    return IterableDataset(items, spec, wanted.layout, wanted.timesteps, count)


def _is_map(items: Any) -> bool:
    """Whether samples can be read by position; an IterableDataset only inherits a `__getitem__` that raises."""
    if isinstance(items, torch.utils.data.IterableDataset) or not isinstance(items, Dataset):
        return False
    return hasattr(items, "__getitem__") and hasattr(items, "__len__")


def _data_set(spec: str, items: Any, count: int, wanted: InputSpec) -> Source:
    """A source that reads samples one by one from a map-style data set.

    No workers start unless the user asks for them: only the author knows whether workers may share its open files.

    Raises:
        SnnprofError: the data set is empty.
    """
    if not count:
        raise SnnprofError(f"{spec} returned an empty data set")

    def sample(position: int) -> tuple[Input, Any]:
        item = items[position]
        x, y = parts(item)
        label = None if y is None else as_numbers(y, f"the label of sample {position} of {spec}")
        return inputs.mapped(as_input(x, f"sample {position} of {spec}"), Tensor.cpu), label

    facts = DataFacts(source=spec, kind="data set", total=count)
    return LazyDataset(facts, wanted, sample)


def _length(items: Any) -> int | None:
    """The number of samples of a DataLoader; None for other iterables and where its data set has no length."""
    data_set = getattr(items, "dataset", None)
    try:
        return None if data_set is None else len(data_set)
    except TypeError:
        return None

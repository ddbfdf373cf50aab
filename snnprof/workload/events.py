"""Converts event recordings to frames: CIFAR10-DVS, DVS128-Gesture and N-Caltech101, read by tonic.

Tonic's data set classes download missing files, so only its readers and its `ToFrame` are used here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnprof.activity import DataFacts
from snnprof.errors import SnnprofError
from snnprof.workload.batches import InputSpec
from snnprof.workload.cifar import normalisation
from snnprof.workload.images import Labelled, labelled
from snnprof.workload.lazy_dataset import LazyDataset
from snnprof.workload.map_dataset import GPU_WORKERS

Events = NDArray[Any]
EVENT = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])
"""One event: column and row of its pixel, time in microseconds, polarity 0 (OFF) or 1 (ON)."""
TENTH = 10


@dataclass(frozen=True)
class Recordings:
    """How one data set is stored.

    Attributes:
        sensor: width and height of the sensor in pixels.
        find: returns the test recordings in the user's folder.
        read: returns the events of one file.
        where: where to get the data, and into which folders to unpack them.
        note: which recordings are used, and how their events are changed; for the run file.
    """

    sensor: tuple[int, int]
    find: Callable[[Path], Labelled]
    read: Callable[[Path], Events]
    where: str
    note: str


def open_folder(name: str, folder: Path, wanted: InputSpec) -> LazyDataset:
    """Opens recordings as frames [T, 2, H, W] of event counts; each is read when its batch is drawn.

    Frames whose size is not the model's are resized, and then hold real values; so do normalised frames.

    Args:
        name: a key of `RECORDINGS`.
        folder: the user's folder with the recordings.
        wanted: gives T by its shape or its time steps, and H and W by its shape; else H and W are the sensor's.

    Raises:
        SnnprofError: tonic is missing, the folder holds no recordings, or the model takes no event frames.
    """
    kind = RECORDINGS[name]
    frames = Frames.of(name, kind, wanted)
    found = kind.find(folder) if folder.is_dir() else Labelled([], [], [])
    if not found.files:
        raise SnnprofError(f"there is no {name} in {folder}", hint=kind.where)
    _must_have_tonic()
    known = wanted.classes in (None, len(found.classes))
    notes = [kind.note, frames.words]
    if not known:
        notes.append(f"no accuracy: {len(found.classes)} class folders for a model of {wanted.classes} classes")
    facts = DataFacts(
        source=f"{name}:{folder}", kind="events", shape=[frames.bins, 2, *frames.size], total=len(found.files),
        fingerprint=found.fingerprint(folder), note="; ".join(notes),
    )  # fmt: skip

    def sample(position: int) -> tuple[Tensor, int | None]:
        path = found.files[position]
        return frames.counted(_checked(kind, path), path), found.labels[position] if known else None

    return LazyDataset(facts, wanted, sample, frames.prepared, frames.seen, workers=GPU_WORKERS)


@dataclass(frozen=True)
class Frames:
    """Converts events to frames: T bins of event counts at the sensor's size, then resized to the model's.

    Attributes:
        bins: T.
        sensor: width and height of the sensor in pixels.
        size: height and width that the model takes.
        mean: mean to subtract, per channel [2, 1, 1]; None leaves the counts unchanged.
        std: standard deviation to divide by, as `mean`.
    """

    bins: int
    sensor: tuple[int, int]
    size: tuple[int, int]
    mean: Tensor | None
    std: Tensor | None

    @classmethod
    def of(cls, name: str, kind: Recordings, wanted: InputSpec) -> Frames:
        """The frames of a data set that a model takes.

        Raises:
            SnnprofError: the model takes no event frames, or T is unknown.
        """
        shape = wanted.shape
        if shape is not None and (len(shape) != 4 or shape[1] != 2):
            raise SnnprofError(
                f"--data {name} gives event frames [T, 2, H, W], and this model takes {list(shape)}",
                hint="choose a preset made for events: snnprof models list",
            )
        bins = shape[0] if shape else wanted.timesteps
        if not bins:
            raise SnnprofError(f"--data {name} needs the number of time steps", hint="pass --timesteps T")
        size = (shape[2], shape[3]) if shape else (kind.sensor[1], kind.sensor[0])
        mean, std = normalisation(wanted) if wanted.mean else (None, None)
        return cls(bins, kind.sensor, size, mean, std)

    @property
    def resized(self) -> bool:
        """Whether the model's size is not the sensor's."""
        return self.size != (self.sensor[1], self.sensor[0])

    @property
    def words(self) -> str:
        """The conversion in words, for the run file."""
        width, height = self.sensor
        resized = f"{height} × {width} resized to {self.size[0]} × {self.size[1]} (bilinear), so values are real"
        parts = [
            f"{self.bins} bins of equally many events, the remainder (fewer than {self.bins}) dropped",
            "one channel for OFF events and one for ON events",
            resized if self.resized else "counts at the sensor's size, not resized",
            "not normalised" if self.mean is None else "normalised as in training, so values are real",
        ]
        return "; ".join(parts)

    def counted(self, events: Events, path: Path) -> Tensor:
        """Event counts [T, 2, H, W] at the sensor's size.

        Raises:
            SnnprofError: the recording in file `path` has fewer events than bins.
        """
        from tonic.transforms import ToFrame

        if len(events) < self.bins:
            raise SnnprofError(f"{path} holds {len(events)} events, too few for {self.bins} bins")
        counts = ToFrame(sensor_size=(*self.sensor, 2), n_event_bins=self.bins)(events)
        return torch.from_numpy(counts.astype(np.float32))

    def prepared(self, counts: Tensor) -> Tensor:
        """Resizes and normalises frames [B, T, 2, H, W] as the model takes them."""
        if self.resized:
            flat = torch.nn.functional.interpolate(counts.flatten(0, 1), self.size, mode="bilinear")
            counts = flat.reshape(*counts.shape[:3], *self.size)
        return counts if self.mean is None or self.std is None else (counts - self.mean) / self.std

    def seen(self, counts: Tensor) -> str:
        """Mean and maximum count of a batch in words, for the run file."""
        mean, largest = float(counts.mean()), int(counts.max())
        return f"in the first batch a pixel holds {mean:.3g} events per bin on average and {largest} at most"


def _checked(kind: Recordings, path: Path) -> Events:
    """Reads the events of a file and checks that they lie on the sensor."""
    try:
        events = kind.read(path)
    except SnnprofError:
        raise
    except BaseException as error:  # on a damaged file, tonic's readers assert and the AEDAT 4 decoder panics
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise SnnprofError(f"{path} is not a readable recording: {type(error).__name__}: {error}") from error
    width, height = kind.sensor
    if len(events) and (
        events["x"].max() >= width or events["y"].max() >= height or min(events["x"].min(), events["y"].min()) < 0
    ):
        raise SnnprofError(f"{path} is damaged: it has events that are not on {width} × {height} pixels")
    return events


def _events(x: Any, y: Any, t: Any, p: Any) -> Events:
    events = np.empty(len(x), dtype=EVENT)
    events["x"], events["y"], events["t"], events["p"] = x, y, t, p
    return events


# -- CIFAR10-DVS -----------------------------------------------------------------------------------------------


def _cifar10_dvs(path: Path) -> Events:
    """Reads the authors' AEDAT 2 files or tonic's AEDAT 4 files.

    SpikingJelly rotates the AEDAT 2 recordings by 180° and swaps the polarities. The models of the papers were trained
    on these, so the events are changed in the same way here.

    Raises:
        SnnprofError: the file does not end on a whole event.
    """
    from tonic import io

    if path.suffix.lower() == ".aedat4":
        raw = io.read_aedat4(str(path))
        return _events(*(raw[name] for name in _fields(raw, ("x", "y", "t", "on", "p"))))
    edition, start = io.read_aedat_header_from_file(str(path))[:2]
    if (path.stat().st_size - start) % 8:
        raise SnnprofError(f"{path} is cut off: it does not end on a whole event")
    raw = io.get_aer_events_from_file(str(path), edition, start)
    address = raw["address"].astype(np.int64)
    return _events(127 - (address >> 8 & 127), 127 - (address >> 1 & 127), raw["timeStamp"], 1 - (address & 1))


def _fields(raw: Events, names: tuple[str, ...]) -> list[str]:
    assert raw.dtype.names is not None
    return [name for name in names if name in raw.dtype.names]


# -- DVS128-Gesture --------------------------------------------------------------------------------------------


def _dvs128_gesture(path: Path) -> Events:
    """Reads a file of tonic's version: an array [events, 4] of x, y, polarity and milliseconds."""
    raw = np.load(path, allow_pickle=False)
    if raw.ndim != 2 or raw.shape[1] != 4 or not np.isfinite(raw).all():
        raise SnnprofError(f"{path} is not a recording of DVS128-Gesture: it holds {raw.dtype} {list(raw.shape)}")
    x, y, p, t = raw.T
    return _events(x, y, t * 1000, p)


def _gesture_files(folder: Path) -> Labelled:
    """Finds the files `ibmGestureTest/userNN_LIGHT/LABEL.npy`, labels 0 to 10."""
    for place in (folder / "DVSGesture" / "ibmGestureTest", folder / "ibmGestureTest", folder):
        files = sorted(path for path in place.glob("user*_*/*.npy") if path.stem.isdigit())
        if files:
            return Labelled(files, [int(path.stem) for path in files], [str(label) for label in range(11)])
    return Labelled([], [], [])


# -- N-Caltech101 ----------------------------------------------------------------------------------------------


def _n_caltech101(path: Path) -> Events:
    from tonic.io import read_mnist_file

    if path.stat().st_size % 5:
        raise SnnprofError(f"{path} is cut off: it does not end on a whole event")
    events: Events = read_mnist_file(str(path), dtype=EVENT)
    return events


# -- the table -------------------------------------------------------------------------------------------------


def _last_tenth(*places: str, suffixes: tuple[str, ...]) -> Callable[[Path], Labelled]:
    """A function that finds the class folders in a folder or in one of `places` inside it.

    Of each class it keeps the last tenth of the files, in order of name.
    """

    def find(folder: Path) -> Labelled:
        for place in [folder / name for name in places] + [folder]:
            found = labelled(place, suffixes) if place.is_dir() else Labelled([], [], [])
            if found.files:
                return found.last(TENTH)
        return Labelled([], [], [])

    return find


def _must_have_tonic() -> None:
    try:
        import tonic  # noqa: F401
    except ImportError as error:
        raise SnnprofError("event data needs tonic", hint="pip install 'snnprof[events]'") from error


NO_SPLIT = "there is no official test split: the last tenth of each class, by name"
RECORDINGS = {
    "cifar10-dvs": Recordings(
        (128, 128), _last_tenth("CIFAR10DVS", suffixes=(".aedat", ".aedat4")), _cifar10_dvs,
        "unpack the archives from figshare.com/articles/dataset/CIFAR10-DVS_New/4724671 (.aedat), or tonic's "
        "CIFAR10DVS (.aedat4), as DIR/airplane/*.aedat … DIR/truck/*.aedat",
        f"{NO_SPLIT}; .aedat files rotated as in SpikingJelly (127 − x, 127 − y, polarity swapped)",
    ),
    "dvs128-gesture": Recordings(
        (128, 128), _gesture_files, _dvs128_gesture,
        "let tonic.datasets.DVSGesture(DIR, train=False) fetch it once, or unpack ibmGestureTest.tar.gz as "
        "DIR/ibmGestureTest/user24_led/0.npy …",
        "test split (users 24 to 29)",
    ),
    "n-caltech101": Recordings(
        (240, 180), _last_tenth("NCALTECH101/Caltech101", "Caltech101", suffixes=(".bin",)), _n_caltech101,
        "unpack Caltech101.zip from www.garrickorchard.com/datasets/n-caltech101 as DIR/Caltech101/CLASS/*.bin",
        NO_SPLIT,
    ),
}  # fmt: skip

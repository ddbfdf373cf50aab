"""`imagefolder:DIR`: images in one folder per class, preprocessed as for ImageNet models."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from snnprof.activity import DataFacts
from snnprof.errors import SnnprofError
from snnprof.workload.batches import InputSpec
from snnprof.workload.cifar import normalisation, scaling
from snnprof.workload.lazy_dataset import LazyDataset
from snnprof.workload.map_dataset import GPU_WORKERS

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
CROPPED = 0.875  # share of the shortest side that the centre crop keeps: 224 of 256, as ImageNet models are evaluated
MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class Labelled:
    """Files in one folder per class, class by class in order of name.

    Attributes:
        files: paths of the files.
        labels: for each file, the position of its class in `classes`.
        classes: names of the class folders.
    """

    files: list[Path]
    labels: list[int]
    classes: list[str]

    def last(self, share: int) -> Labelled:
        """The last 1/share of the files of each class, at least one file."""
        kept = []
        for label in range(len(self.classes)):
            inside = [i for i, own in enumerate(self.labels) if own == label]
            kept += inside[-max(1, len(inside) // share) :]
        return Labelled([self.files[i] for i in kept], [self.labels[i] for i in kept], self.classes)

    def fingerprint(self, root: Path) -> str:
        """A digest of the names and sizes of the files, whose contents are not read."""
        lines = (f"{path.relative_to(root)} {path.stat().st_size}" for path in self.files)
        return hashlib.sha256(os.fsencode("\n".join(lines))).hexdigest()[:16]  # names need not be UTF-8


def open_folder(folder: Path, wanted: InputSpec) -> LazyDataset:
    """Opens images, read when their batch is drawn: shortest side resized, centre cropped, normalised as in training.

    If the number of class folders is not the model's number of classes, there are no labels: the position of a folder
    would not be the number of its class.

    Raises:
        SnnprofError: there are no images in class folders, the model's input size is unknown, or Pillow is missing.
    """
    if wanted.shape is None:
        raise SnnprofError(
            "--data imagefolder needs to know the size of the model's input",
            hint="load the images in your own function: --data FILE.py:FUNCTION",
        )
    found = labelled(folder, SUFFIXES)
    if not found.files:
        raise SnnprofError(
            f"there are no images in class folders in {folder}", hint=f"lay them out as {folder}/CLASS/IMAGE.jpg"
        )
    prepare = _Preparation.of(wanted)
    known = wanted.classes in (None, len(found.classes))
    notes = [prepare.words, scaling(wanted)]
    if not known:
        notes.append(f"no accuracy: {len(found.classes)} class folders for a model of {wanted.classes} classes")
    facts = DataFacts(
        source=f"imagefolder:{folder}", kind="image", shape=list(wanted.shape), total=len(found.files),
        fingerprint=found.fingerprint(folder), note="; ".join(notes),
    )  # fmt: skip

    def sample(position: int) -> tuple[Tensor, int | None]:
        return prepare.read(found.files[position]), found.labels[position] if known else None

    return LazyDataset(facts, wanted, sample, workers=GPU_WORKERS)


def labelled(folder: Path, suffixes: Sequence[str]) -> Labelled:
    """The files with these suffixes in the sub-folders of a folder; a sub-folder without any is no class.

    Raises:
        SnnprofError: the folder does not exist.
    """
    if not folder.is_dir():
        raise SnnprofError(f"there is no folder {folder}")
    files: dict[str, list[Path]] = {}
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        inside = sorted(path for path in place.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
        if inside:
            files[place.name] = inside
    labels = [label for label, inside in enumerate(files.values()) for _ in inside]
    return Labelled([path for inside in files.values() for path in inside], labels, list(files))


@dataclass(frozen=True)
class _Preparation:
    """How an image becomes a model's input.

    Attributes:
        mode: Pillow's mode, `L` (grey) or `RGB`.
        height: height of the centre crop in pixels.
        width: width of the centre crop in pixels.
        side: shortest side before the crop in pixels.
        mean: mean to subtract from values in [0, 1], per channel [C, 1, 1].
        std: standard deviation to divide by, as `mean`.
    """

    mode: str
    height: int
    width: int
    side: int
    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, wanted: InputSpec) -> _Preparation:
        _must_have_pillow()
        _refuse_bombs()
        assert wanted.shape is not None
        channels, height, width = wanted.shape
        if channels not in MODES:
            raise SnnprofError(f"--data imagefolder has images of 1 or 3 channels, and this model takes {channels}")
        return cls(MODES[channels], height, width, round(max(height, width) / CROPPED), *normalisation(wanted))

    @property
    def words(self) -> str:
        return f"shortest side resized to {self.side} (bicubic), centre crop {self.height} × {self.width}"

    def read(self, path: Path) -> Tensor:
        """Reads one image as [C, H, W].

        Raises:
            SnnprofError: the image is damaged or too large.
        """
        from PIL import Image

        try:
            with Image.open(path) as image:
                pixels = np.array(self._cropped(image.convert(self.mode)))
        except SnnprofError as error:
            raise SnnprofError(f"{path} {error}") from error
        except Exception as error:  # damaged files and decompression bombs raise errors of many kinds
            raise SnnprofError(f"{path} is not a readable image: {error}") from error
        planes = torch.from_numpy(pixels).view(self.height, self.width, -1).permute(2, 0, 1)
        return (planes.float() / 255 - self.mean) / self.std

    def _cropped(self, image: Image) -> Image:
        from PIL.Image import MAX_IMAGE_PIXELS, Resampling

        factor = self.side / min(image.size)
        size = (max(self.side, round(image.width * factor)), max(self.side, round(image.height * factor)))
        if size[0] * size[1] > (MAX_IMAGE_PIXELS or math.inf):
            raise SnnprofError(f"is too narrow: {image.width} × {image.height} would become {size[0]} × {size[1]}")
        left, top = (size[0] - self.width) // 2, (size[1] - self.height) // 2
        resized = image.resize(size, Resampling.BICUBIC)
        return resized.crop((left, top, left + self.width, top + self.height))


def _refuse_bombs() -> None:
    """Makes Pillow's warning of a very large image an error; Pillow itself raises only from twice that size on."""
    from PIL.Image import DecompressionBombWarning

    warnings.filterwarnings("error", category=DecompressionBombWarning)


def _must_have_pillow() -> None:
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise SnnprofError("--data imagefolder needs Pillow", hint="pip install 'snnprof[images]'") from error

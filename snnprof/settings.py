"""Settings of runs and published rows: data set, image size, T, and whether the whole network was counted.

A comparison marks figures whose settings differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from snnprof.activity import Activity
from snnprof.literature import Published


@dataclass(frozen=True)
class Setting:
    """What the figures of a run or a published row hold for. None where it is unknown.

    Attributes:
        data: name of the data set.
        size: height and width of an image, in pixels.
        timesteps: T.
        part: the part of the model that was counted, such as `network` or `attention`.
    """

    data: str | None = None
    size: int | None = None
    timesteps: int | None = None
    part: str = "network"

    def unlike(self, other: Setting) -> list[str]:
        """The differences in what is known of both, one text each, such as `T = 1, not 4`."""
        pairs = (
            (data_key(self.data), data_key(other.data), f"{self.data}, not {other.data}"),
            (self.size, other.size, f"{self.size}×{self.size}, not {other.size}×{other.size}"),
            (self.timesteps, other.timesteps, f"T = {self.timesteps}, not {other.timesteps}"),
            (self.part, other.part, f"counts the {self.part}, not the {other.part}"),
        )
        return [text for mine, theirs, text in pairs if mine and theirs and mine != theirs]


def setting_of(thing: Activity | Published | None) -> Setting:
    """The setting of a run or a published row; all unknown for None."""
    if thing is None:
        return Setting()
    if isinstance(thing, Published):
        return Setting(thing.dataset, thing.resolution, thing.timesteps, thing.scope)
    shape = thing.run.data.shape
    image = len(shape) >= 3 and shape[-1] == shape[-2]
    return Setting(data_source(thing.run.data.source) or None, shape[-1] if image else None, thing.run.timesteps)


def data_source(source: str) -> str:
    """The name of a `--data` source, without its folder: `cifar10:DIR` → `cifar10`."""
    known, colon, _ = source.partition(":")
    return known if colon and re.fullmatch(r"[a-z][a-z0-9-]+", known) else source


def data_key(name: str | None) -> str:
    """A data set's name in one spelling: `CIFAR-10`, `cifar10` → `cifar10`."""
    squeezed = re.sub(r"[\W_]+", "", (name or "").lower())
    return {"imagenet1k": "imagenet"}.get(squeezed, squeezed) or (name or "")

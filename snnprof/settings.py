"""What a figure holds for: data set, image size, T, and the whole network or a part.

Figures of different settings stand side by side with a mark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from snnprof.activity import Activity
from snnprof.literature import Published


@dataclass(frozen=True)
class Setting:
    """Where a network ran; null for what nobody says.

    Attributes:
        size: pixels along one side of an image.
        part: what was counted.
    """

    data: str | None = None
    size: int | None = None
    timesteps: int | None = None
    part: str = "network"

    def unlike(self, other: Setting) -> list[str]:
        """What is known of both and differs, e.g. `T = 1, not 4`."""
        pairs = (
            (data_key(self.data), data_key(other.data), f"{self.data}, not {other.data}"),
            (self.size, other.size, f"{self.size}×{self.size}, not {other.size}×{other.size}"),
            (self.timesteps, other.timesteps, f"T = {self.timesteps}, not {other.timesteps}"),
            (self.part, other.part, f"counts the {self.part}, not the {other.part}"),
        )
        return [text for mine, theirs, text in pairs if mine and theirs and mine != theirs]


def setting_of(thing: Activity | Published | None) -> Setting:
    """The setting of a run or a published row."""
    if thing is None:
        return Setting()
    if isinstance(thing, Published):
        return Setting(thing.dataset, thing.resolution, thing.timesteps, thing.scope)
    shape = thing.run.data.shape
    image = len(shape) >= 3 and shape[-1] == shape[-2]
    return Setting(data_source(thing.run.data.source) or None, shape[-1] if image else None, thing.run.timesteps)


def data_source(source: str) -> str:
    """A `--data` source without its folder."""
    known, colon, _ = source.partition(":")
    return known if colon and re.fullmatch(r"[a-z][a-z0-9-]+", known) else source


def data_key(name: str | None) -> str:
    """One text for one data set however it is spelled: `CIFAR-10`, `cifar10` → `cifar10`."""
    squeezed = re.sub(r"[\W_]+", "", (name or "").lower())
    return {"imagenet1k": "imagenet"}.get(squeezed, squeezed) or (name or "")

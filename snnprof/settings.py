"""What a figure holds for: data set, image size and T. Figures of different settings stand side by side with a mark."""

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
    """

    data: str | None = None
    size: int | None = None
    timesteps: int | None = None

    def unlike(self, other: Setting) -> list[str]:
        """What is known of both and differs, e.g. `T = 1, not 4`."""
        pairs = (
            (self.data, other.data, data_key(self.data) != data_key(other.data), "{}"),
            (self.size, other.size, self.size != other.size, "{0}×{0}"),
            (self.timesteps, other.timesteps, self.timesteps != other.timesteps, "T = {}"),
        )
        return [
            f"{text.format(mine)}, not {text.removeprefix('T = ').format(theirs)}"
            for mine, theirs, differ, text in pairs if differ and mine and theirs
        ]  # fmt: skip


def setting_of(thing: Activity | Published | None) -> Setting:
    """The setting of a run or a published row."""
    if thing is None:
        return Setting()
    if isinstance(thing, Published):
        return Setting(thing.dataset, thing.resolution, thing.timesteps)
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

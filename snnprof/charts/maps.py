"""The data of the figure of attention maps: the maps of chosen samples, to draw over their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from snnprof.errors import SnnprofError
from snnprof.maps import AttentionMaps


@dataclass(frozen=True)
class Overlays:
    """Images and the attention maps to draw over them.

    Attributes:
        images: one array per image, [H, W] or [H, W, 3], from 0 to 1.
        labels: the label of each image.
        columns: names of the attention layers.
        maps: for each layer one array [h, w] per image, not negative.
        largest: the largest value in all maps; 1 if they are all 0.
        scale: what a value in the maps is, for the colour bar.
    """

    images: tuple[Any, ...]
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    maps: tuple[tuple[Any, ...], ...]
    largest: float
    scale: str


def overlays(kept: AttentionMaps, samples: Sequence[int] | None = None) -> Overlays:
    """The maps of all attention layers for each sample.

    For attention with a matrix, the map is the attention that each token gets from all queries; for attention without
    one, the spikes that it lets through at each token.

    Args:
        kept: the recorded maps.
        samples: numbers of the samples to show, from 0; None shows all.

    Raises:
        SnnprofError: the file has no map, or a sample is not in it.
    """
    if not kept.layers or not len(kept.images):
        raise SnnprofError("the file has no attention map", hint="profile again with --maps K")
    rows = _chosen(samples, len(kept.images))
    images = tuple(picture(kept.images[row]) for row in rows)
    shape = images[0].shape[:2]
    maps = [layer.per_token(shape) for layer in kept.layers]
    kinds = {layer.kind for layer in kept.layers}
    scale = {"matrix": "attention that a token gets", "activity": "spikes let through at a token"}
    return Overlays(
        images=images,
        labels=tuple(f"{row}" if kept.labels is None else f"{row}: class {kept.labels[row]}" for row in rows),
        columns=_short([layer.layer for layer in kept.layers]),
        maps=tuple(tuple(each[row] for row in rows) for each in maps),
        largest=max(float(each[row].max()) for each in maps for row in rows) or 1.0,
        scale=scale[kinds.pop()] if len(kinds) == 1 else "attention, or spikes let through",
    )


def _short(layers: Sequence[str]) -> tuple[str, ...]:
    """The names of the blocks of the attention layers if each has its own block; else the full names of the layers."""
    blocks = [layer.rpartition(".")[0] or layer for layer in layers]
    names = blocks if len(set(blocks)) == len(layers) else layers
    return tuple(name.replace("block.", "block ") for name in names)


def picture(image: Any) -> Any:
    """An image to show, [H, W] or [H, W, 3] from 0 to 1, made of an input [C, H, W] or event frames [T, C, H, W]."""
    flat = image.mean(0) if image.ndim == 4 else image
    colour = flat.transpose(1, 2, 0) if len(flat) == 3 else flat.mean(0)
    return (colour - colour.min()) / ((colour.max() - colour.min()) or 1.0)


def _chosen(samples: Sequence[int] | None, kept: int) -> list[int]:
    rows = list(range(kept)) if samples is None else list(dict.fromkeys(samples))
    for row in rows:
        if not 0 <= row < kept:
            raise SnnprofError(
                f"the file holds the samples 0 to {kept - 1}, not {row}",
                hint=f"'snnprof profile --maps {max(row, 0) + 1}' keeps it" if row >= kept else "",
            )
    return rows

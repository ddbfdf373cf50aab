"""Attention maps of a few samples, in the side-car file `RUN.maps.npz` beside a run file."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnprof import capacity
from snnprof.errors import SnnprofError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

SCHEMA = "snnprof.maps/0"
KINDS = ("matrix", "activity")


@dataclass(frozen=True)
class LayerMaps:
    """The attention of one layer: a map for each of K samples.

    Attributes:
        layer: path of the module.
        kind: `matrix`: attention weights, averaged over time steps and heads, a row for each query and a column for
            each key, [K, N, N]. `activity`: spikes that the attention passes on, averaged over time steps and channels,
            for each token, [K, N] or [K, H, W].
        values: the maps.
    """

    layer: str
    kind: str
    values: Array

    def per_token(self, shape: tuple[int, int]) -> Array:
        """Returns the attention that each token gets, [K, H, W], on a grid in the shape of an image (height, width).

        For a matrix this is the mean of the weights that all queries give to the token.
        """
        weights = self.values.mean(1) if self.kind == "matrix" else self.values
        return weights if weights.ndim == 3 else weights.reshape(len(weights), *_grid(weights.shape[1], shape))


@dataclass(frozen=True)
class AttentionMaps:
    """Attention maps of the first K samples of a run.

    Attributes:
        model: what tables call the model.
        data: the data source.
        images: the samples as the model read them, [K, C, H, W], or event frames [K, T, C, H, W].
        labels: their classes; None if they have none.
        layers: the maps of each layer.
    """

    model: str
    data: str
    images: Array
    labels: NDArray[Any] | None = None
    layers: tuple[LayerMaps, ...] = field(default=())

    def encoded(self) -> bytes:
        """Returns the content of a `.npz` file."""
        import numpy as np

        facts = {"schema": SCHEMA, "model": self.model, "data": self.data}
        names = {"layers": [m.layer for m in self.layers], "kinds": [m.kind for m in self.layers]}
        maps = {f"map_{position}": m.values for position, m in enumerate(self.layers)}
        labels = {} if self.labels is None else {"labels": self.labels}
        stream = io.BytesIO()
        np.savez_compressed(stream, images=self.images, **{**facts, **names, **maps, **labels})  # type: ignore[arg-type]
        return stream.getvalue()

    @classmethod
    def load(cls, path: Path) -> AttentionMaps:
        """Reads a side-car file.

        Raises:
            SnnprofError: the file is missing, damaged or of another kind, or does not fit into memory.
        """
        import numpy as np

        capacity.must_unpack(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                return _decoded({name: file[name] for name in file.files})
        except OSError as error:
            raise SnnprofError(f"cannot read attention maps {path}: {error.strerror or error}") from error
        except Exception as error:  # a damaged archive raises zipfile, zlib, memory and header errors of many kinds
            raise SnnprofError(f"{path} has no attention maps", hint=f"profile again with --maps: {error}") from error


def beside(run_file: Path) -> Path:
    """Returns the side-car of a run file: RUN.json → RUN.maps.npz."""
    return run_file.with_name(f"{run_file.name.removesuffix('.json')}.maps.npz")


def _decoded(arrays: dict[str, Any]) -> AttentionMaps:
    if str(arrays["schema"]) != SCHEMA:
        raise ValueError(f"its schema is {arrays['schema']}, not {SCHEMA}")
    layers = tuple(
        LayerMaps(str(layer), str(kind), arrays[f"map_{position}"])
        for position, (layer, kind) in enumerate(zip(arrays["layers"], arrays["kinds"], strict=True))
    )
    images, labels = arrays["images"], arrays.get("labels")
    _must_be(images, (4, 5), len(images))
    for layer in layers:
        _must_be(layer.values, (3,) if layer.kind == "matrix" else (2, 3), len(images))
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"it has {len(labels)} labels for {len(images)} images")
    return AttentionMaps(str(arrays["model"]), str(arrays["data"]), images, labels, layers)


def _must_be(array: Array, dimensions: tuple[int, ...], count: int) -> None:
    """Checks that an array holds maps or pictures, one for each of `count` samples.

    Raises:
        ValueError: it does not.
    """
    if array.dtype.kind != "f" or array.ndim not in dimensions or len(array) != count or not array.size:
        raise ValueError(f"it holds {array.dtype} {list(array.shape)} among maps of {count} images")


def _grid(tokens: int, shape: tuple[int, int]) -> tuple[int, int]:
    """Returns rows and columns of the tokens, in the proportions of the image; one row if that leaves a remainder."""
    rows = round(math.sqrt(tokens * shape[0] / shape[1]))
    return (rows, tokens // rows) if rows and tokens % rows == 0 else (1, tokens)

"""The side-car file of attention maps: what it holds, how a map falls on the image, what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from snnprof.errors import SnnprofError
from snnprof.maps import AttentionMaps, LayerMaps, beside


def kept(labels: bool = True) -> AttentionMaps:
    numbers = np.arange(2 * 4 * 4, dtype=np.float32)
    layers = (
        LayerMaps("block.0.attn", "matrix", numbers.reshape(2, 4, 4)),
        LayerMaps("block.1.attn", "activity", numbers[:8].reshape(2, 2, 2)),
    )
    images = np.linspace(0, 1, 2 * 1 * 8 * 8, dtype=np.float32).reshape(2, 1, 8, 8)
    return AttentionMaps("net", "digits", images, np.array([3, 7]) if labels else None, layers)


@pytest.mark.parametrize("labels", [True, False])
def test_the_file_reads_back_equal(labels: bool, tmp_path: Path) -> None:
    path = tmp_path / "run.maps.npz"
    path.write_bytes(kept(labels).encoded())
    read = AttentionMaps.load(path)
    assert (read.model, read.data) == ("net", "digits")
    assert [(m.layer, m.kind) for m in read.layers] == [("block.0.attn", "matrix"), ("block.1.attn", "activity")]
    for one, other in zip(read.layers, kept().layers, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(read.images, kept().images)
    assert (read.labels is None) != labels


def test_a_token_gets_the_mean_of_its_column() -> None:
    matrix = kept().layers[0]
    expected = [[sum(matrix.values[s, query, key] for query in range(4)) / 4 for key in range(4)] for s in range(2)]
    np.testing.assert_allclose(matrix.per_token((8, 8)), np.array(expected).reshape(2, 2, 2))


@pytest.mark.parametrize(
    ("tokens", "image", "grid"),
    [(64, (32, 32), (8, 8)), (12, (30, 40), (3, 4)), (7, (8, 8), (1, 7)), (196, (224, 224), (14, 14))],
)
def test_tokens_lie_as_the_image_does(tokens: int, image: tuple[int, int], grid: tuple[int, int]) -> None:
    flat = LayerMaps("a", "activity", np.zeros((1, tokens), dtype=np.float32))
    assert flat.per_token(image).shape == (1, *grid)


def test_the_side_car_stands_beside_the_run() -> None:
    assert beside(Path("a/run.json")) == Path("a/run.maps.npz")
    assert beside(Path("run")) == Path("run.maps.npz")


@pytest.mark.parametrize("content", [b"", b"no zip", "other"])
def test_other_files_are_refused(content: bytes | str, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    if isinstance(content, str):
        np.savez(path, x=np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.raises(SnnprofError, match="has no attention maps"):
        AttentionMaps.load(path)
    with pytest.raises(SnnprofError, match="cannot read attention maps"):
        AttentionMaps.load(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("images", np.zeros((2, 8), np.float32)),
        ("images", np.zeros((2, 1, 8, 8), dtype="U3")),
        ("map_0", np.zeros((3, 4, 4), np.float32)),
        ("map_1", np.zeros((2, 0), np.float32)),
        ("labels", np.zeros(5, int)),
    ],
)
def test_arrays_that_do_not_belong_together(name: str, value: np.ndarray, tmp_path: Path) -> None:
    arrays = dict(np.load(io.BytesIO(kept().encoded())))
    np.savez(tmp_path / "x.npz", **{**arrays, name: value})
    with pytest.raises(SnnprofError, match="has no attention maps"):
        AttentionMaps.load(tmp_path / "x.npz")

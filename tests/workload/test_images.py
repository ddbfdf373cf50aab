"""Folders of images: what is done to the pixels, and which labels are believed."""

from __future__ import annotations

import os
import sys
import zlib

import numpy as np
import pytest
import torch

from snnprof.errors import SnnprofError
from snnprof.workload.batches import InputSpec, Sampler
from snnprof.workload.sources import open_source

Image = pytest.importorskip("PIL.Image")
WANTED = InputSpec(shape=(3, 28, 28), classes=2, mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1.0))


@pytest.fixture
def folder(tmp_path):
    """Two classes; a picture of 64 × 32 whose halves are red and blue, a grey one, and a file that is no picture."""
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog" / "small").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    halves = np.zeros((32, 64, 3), np.uint8)
    halves[:, :32, 0] = halves[:, 32:, 2] = 255
    Image.fromarray(halves).save(tmp_path / "cat" / "halves.png")
    Image.fromarray(np.full((40, 40), 51, np.uint8)).save(tmp_path / "dog" / "small" / "grey.jpg")
    Image.fromarray(halves).save(tmp_path / "dog" / "other.JPEG")
    (tmp_path / "dog" / "notes.txt").write_text("no picture")
    return tmp_path


def dealt(folder, wanted=WANTED):
    source = open_source(f"imagefolder:{folder}", wanted)
    (batch,) = source.batches(Sampler(8), lambda number, start: True)
    return source, batch


def test_resized_cropped_and_normalised(folder):
    source, batch = dealt(folder)
    assert batch.x.shape == (3, 3, 28, 28)
    assert batch.y.tolist() == [0, 1, 1]
    halves, _, grey = batch.x
    raw = halves * torch.tensor(WANTED.std).view(3, 1, 1) + 0.5
    assert raw[:, 14, 2].tolist() == [1, 0, 0]  # 64 × 32, shortest side already 32, cut to the 28 × 28 in the middle
    assert raw[:, 14, 25].tolist() == [0, 0, 1]
    expected = torch.tensor([(0.2 - 0.5) / std for std in WANTED.std]).view(3, 1, 1).expand(3, 28, 28)
    torch.testing.assert_close(grey, expected)
    assert source.facts.note.startswith("shortest side resized to 32 (bicubic), centre crop 28 × 28; pixels scaled")


def test_the_shortest_side_is_resized_to_the_crop_of_imagenet(folder):
    source, batch = dealt(folder, InputSpec(shape=(1, 224, 224)))
    assert batch.x.shape == (3, 1, 224, 224)
    assert "resized to 256" in source.facts.note
    assert "not normalised" in source.facts.note


def test_classes_that_are_not_the_model_s_are_not_believed(folder):
    source, batch = dealt(folder, InputSpec(shape=(3, 28, 28), classes=1000))
    assert batch.y is None
    assert "no accuracy: 2 class folders for a model of 1000 classes" in source.facts.note


def test_the_fingerprint_is_of_names_and_sizes(folder):
    before = open_source(f"imagefolder:{folder}", WANTED).facts.fingerprint
    assert open_source(f"imagefolder:{folder}", WANTED).facts.fingerprint == before
    (folder / "cat" / "halves.png").rename(folder / "cat" / "renamed.png")
    assert open_source(f"imagefolder:{folder}", WANTED).facts.fingerprint != before


@pytest.mark.parametrize("keep", [0, 20, 200])
def test_a_damaged_picture_is_named(folder, keep):
    path = folder / "cat" / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SnnprofError, match=r"noise\.png is not a readable image"):
        dealt(folder)


@pytest.mark.parametrize("side", [60_000, 10_000])
def test_a_header_that_claims_too_much(folder, side, recwarn):
    """Pillow refuses the larger, and only warns of the smaller."""
    path = folder / "cat" / "bomb.png"
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = side.to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(SnnprofError, match=rf"bomb\.png is not a readable image: .*{side**2} pixels.* exceeds limit"):
        dealt(folder)
    assert not recwarn.list


def test_a_needle_would_grow_beyond_memory(folder):
    """1 × 20,000,000 with the shortest side resized to 32."""
    Image.new("1", (1, 20_000_000)).save(folder / "cat" / "needle.png")
    with pytest.raises(SnnprofError, match=r"needle\.png is too narrow: 1 × 20000000 would become 32 × 640000000"):
        dealt(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
def test_names_that_are_not_utf8(folder):
    (folder / "cat").rename(os.fsdecode(bytes(folder) + b"/\xff\xfe"))
    source, batch = dealt(folder)
    assert (len(source.facts.fingerprint), batch.y.tolist()) == (16, [0, 0, 1])


def test_links_that_go_round_in_circles(folder):
    (folder / "cat" / "up").symlink_to("..")
    (folder / "cat" / "itself.png").symlink_to("itself.png")
    (folder / "round").symlink_to("round")
    _, batch = dealt(folder)
    assert batch.y.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("where", "wanted", "message"),
    [
        ("missing", WANTED, "there is no folder"),
        ("empty", WANTED, "no images in class folders"),
        ("", InputSpec(), "needs to know the size"),
        ("", InputSpec(shape=(2, 28, 28)), "1 or 3 channels"),
        ("", InputSpec(shape=(4, 2, 8, 8)), "holds images"),
    ],
)
def test_what_is_not_in_order(folder, where, wanted, message):
    with pytest.raises(SnnprofError, match=message):
        open_source(f"imagefolder:{folder / where}", wanted)


def test_without_pillow(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(SnnprofError, match="needs Pillow") as caught:
        open_source(f"imagefolder:{folder}", WANTED)
    assert "snnprof[images]" in caught.value.hint

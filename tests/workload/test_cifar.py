"""CIFAR in both of its on-disk forms, written here byte by byte."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from snnprof.errors import SnnprofError
from snnprof.workload.batches import InputSpec, Sampler
from snnprof.workload.sources import open_source

FILES = {
    "cifar10": ("cifar-10-batches-py/test_batch", "cifar-10-batches-bin/test_batch.bin", b"labels"),
    "cifar100": ("cifar-100-python/test", "cifar-100-binary/test.bin", b"fine_labels"),
}
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 3072)).astype(np.uint8)
LABELS = [3, 0, 9, 9, 1]


def python(folder, name, changes=None):
    path = folder / FILES[name][0]
    path.parent.mkdir(parents=True)
    content = {b"data": IMAGES, FILES[name][2]: LABELS, b"batch_label": b"testing batch 1 of 1", **(changes or {})}
    path.write_bytes(pickle.dumps({k: v for k, v in content.items() if v is not None}, protocol=2))
    return path


def binary(folder, name):
    path = folder / FILES[name][1]
    path.parent.mkdir(parents=True)
    coarse = b"" if name == "cifar10" else b"\x07"
    path.write_bytes(b"".join(coarse + bytes([y]) + x.tobytes() for x, y in zip(IMAGES, LABELS, strict=True)))
    return path


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("write", [python, binary])
@pytest.mark.parametrize("inside", [False, True], ids=["root", "folder itself"])
def test_images_and_labels(tmp_path, name, write, inside):
    path = write(tmp_path, name)
    wanted = InputSpec(shape=(3, 32, 32), mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))
    source = open_source(f"{name}:{path.parent if inside else tmp_path}", wanted)
    (batch,) = source.batches(Sampler(8), lambda number, start: True)
    expected = IMAGES.reshape(5, 3, 32, 32) / 255.0
    for channel, (mean, std) in enumerate(zip(wanted.mean, wanted.std, strict=True)):
        expected[:, channel] = (expected[:, channel] - mean) / std
    torch.testing.assert_close(batch.x, torch.from_numpy(expected).float())
    assert batch.y.tolist() == LABELS
    assert "normalised by mean [0.5, 0.4, 0.3]" in source.facts.note


def test_where_to_get_it(tmp_path):
    with pytest.raises(SnnprofError, match="there is no cifar10 in") as caught:
        open_source(f"cifar10:{tmp_path}", InputSpec())
    assert "cs.toronto.edu/~kriz/cifar.html" in caught.value.hint
    assert str(tmp_path / "cifar-10-batches-py" / "test_batch") in caught.value.hint


@pytest.mark.parametrize(
    "changes",
    [
        {b"data": IMAGES.astype(np.float64)},
        {b"data": IMAGES[:, :-1]},
        {b"data": IMAGES[:0]},
        {b"labels": None},
        {b"labels": LABELS[:-1]},
        {b"labels": [0.5] * 5},
        {b"labels": [0, 1, 2, 3, 10]},
        {b"data": print},
    ],
    ids=str,
)
def test_python_files_that_are_not_in_order(tmp_path, changes):
    python(tmp_path, "cifar10", changes)
    with pytest.raises(SnnprofError, match=r"(CIFAR|cifar10) file"):
        open_source(f"cifar10:{tmp_path}", InputSpec())


class RunsCode:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


def test_code_in_a_pickle_is_not_run(tmp_path):
    canary = tmp_path / "canary"
    python(tmp_path, "cifar10", {b"data": RunsCode(canary)})
    with pytest.raises(SnnprofError, match="has no place in a CIFAR file"):
        open_source(f"cifar10:{tmp_path}", InputSpec())
    assert not canary.exists()
    pickle.loads(pickle.dumps(RunsCode(canary)))
    assert canary.exists()  # so the file could have


@pytest.mark.parametrize("write", [python, binary])
@pytest.mark.parametrize("keep", [0, 100, 9000])
def test_truncated_files(tmp_path, write, keep):
    path = write(tmp_path, "cifar10")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SnnprofError, match="CIFAR file"):
        open_source(f"cifar10:{tmp_path}", InputSpec())


def test_models_of_events_are_told(tmp_path):
    with pytest.raises(SnnprofError, match="holds images"):
        open_source(f"cifar10:{tmp_path}", InputSpec(shape=(4, 2, 32, 32), events=True))

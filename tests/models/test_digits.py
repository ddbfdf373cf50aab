import numpy as np
import pytest
import torch

from snnprof import catalogue
from snnprof.models import digits
from snnprof.workload import models


def test_the_split_is_scikit_learns_and_balanced():
    source = pytest.importorskip("sklearn.datasets").load_digits()
    positions = digits.test_positions()
    x, y = digits.load(8)
    assert len(set(positions)) == len(y) == 360
    assert np.bincount(y).tolist() == [36] * 10
    assert np.array_equal(x[:, 0], source.images[positions] / 16)
    assert np.array_equal(y, source.target[positions])


def test_resizing_is_bilinear():
    x, _ = digits.load(8)
    wanted = torch.nn.functional.interpolate(torch.from_numpy(x), size=(16, 16), mode="bilinear", align_corners=False)
    resized, _ = digits.load(16)
    assert resized.dtype == np.float32
    assert resized.shape == (360, 1, 16, 16)
    np.testing.assert_allclose(resized, wanted.numpy(), atol=1e-6)
    assert 0 <= resized.min() < resized.max() <= 1


@pytest.mark.parametrize(
    "name",
    ["spikformer", "ssa_bin", "saformer", "sdt", "qkformer", "spikingformer", "sew_resnet", "ms_resnet"],
)
def test_shipped_checkpoints_are_as_accurate_as_the_catalogue_says(name):
    loaded = models.resolve(f"{name}:digits")
    stated = catalogue.preset(name, "digits").accuracy
    x, y = digits.load(loaded.input_shape[-1])
    with torch.no_grad():
        guesses = torch.cat([loaded.module(batch).argmax(1) for batch in torch.from_numpy(x).split(120)])
    correct = int((guesses.numpy() == y).sum())
    assert stated >= 0.98
    assert abs(correct - stated * len(y)) <= 1  # a float kernel of another machine may flip a spike
    assert loaded.facts.note == (loaded.entry.note if loaded.entry.reconstruction else None)

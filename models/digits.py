"""The bundled test digits: 360 of the 1797 UCI 8×8 digits; the shipped checkpoints were trained on the others.

See DIGITS.md for their source and licence.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = "digits_test.npz"
LEVELS = 16
"""The largest grey level of the UCI digits."""


def load(size: int = 16) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Loads the test digits as network input.

    Args:
        size: height and width of the images in pixels; they are interpolated bilinearly from 8×8.

    Returns:
        Images [360, 1, size, size] with values from 0 to 1, and labels [360] from 0 to 9.
    """
    stored = _stored()
    return images(stored["x"], size), stored["y"].astype(np.int64)


def test_positions() -> NDArray[np.int64]:
    """The positions of the test digits in scikit-learn's `load_digits`; all other positions are training data.

    Returns:
        Indices [360] from 0 to 1796.
    """
    positions: NDArray[np.int64] = _stored()["position"].astype(np.int64)
    return positions


def images(levels: NDArray[Any], size: int) -> NDArray[np.float32]:
    """Scales grey levels to images.

    Args:
        levels: grey levels from 0 to 16, [N, 8, 8].
        size: height and width of the images in pixels; they are interpolated bilinearly.

    Returns:
        Images [N, 1, size, size] with values from 0 to 1.
    """
    across = _interpolation(levels.shape[-1], size)
    resized = across @ (levels.astype(np.float64) / LEVELS) @ across.T
    return resized[:, None].astype(np.float32)


def _interpolation(old: int, new: int) -> NDArray[np.float64]:
    """The matrix [new, old] of linear interpolation between pixel centres, edges repeated."""
    position = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    distance = np.abs(position[:, None] - np.arange(old)[None, :])
    return np.clip(1.0 - distance, 0.0, None)


def _stored() -> dict[str, NDArray[Any]]:
    with files("snnprof.models").joinpath(FILE).open("rb") as stream, np.load(stream) as archive:
        return dict(archive)

"""The seeds of a run: whatever draws at random begins each batch anew, so that a batch does not depend on others."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

SEEDS_PER_RUN = 1_000_003
DRAWS = 1 << 40  # apart from the seeds of the model
SEEDS = range(-(1 << 63), 1 << 64)  # what torch takes
NUMPY_SEEDS = 1 << 32


def of_model(run: int, batch: int = 0) -> int:
    """Of what the model draws in a batch; seeds that lead out of what torch takes begin anew from 0."""
    seed = run * SEEDS_PER_RUN + batch
    return seed if seed in SEEDS else seed % SEEDS.stop


def of_data(run: int, number: int) -> int:
    """Of what the data's own code draws, by the number of a batch or of its first sample."""
    return of_model(run, number + DRAWS)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draws of torch, NumPy and Python in here begin from a seed; afterwards they go on from where they were before."""
    numpy, python = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed % NUMPY_SEEDS)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy)
            random.setstate(python)

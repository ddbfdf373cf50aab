"""The seeds of a run: each batch is drawn and run with its own seed, so that it does not depend on other batches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

SEEDS_PER_RUN = 1_000_003
DRAWS = 1 << 40  # offset that keeps the seeds of the data apart from those of the model
SEEDS = range(-(1 << 63), 1 << 64)  # the seeds that torch accepts
NUMPY_SEEDS = 1 << 32


def of_model(run: int, batch: int = 0) -> int:
    """The seed of what the model draws in a batch; a seed above the range that torch accepts wraps around to 0."""
    seed = run * SEEDS_PER_RUN + batch
    return seed if seed in SEEDS else seed % SEEDS.stop


def of_data(run: int, number: int) -> int:
    """The seed of what the code of the data draws; `number` is that of a batch or of its first sample."""
    return of_model(run, number + DRAWS)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds the generators of torch, NumPy and Python inside the block, and restores their states at the end."""
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

"""Random generators that a model holds: they continue from batch to batch and are restored at the end of a run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from snnprof.record.torch_private import tree_leaves

Restorer = Callable[[], Any]


def restorers(model: nn.Module) -> list[Restorer]:
    """Functions that restore the present state of each generator: NumPy's and Python's global ones, and the model's."""
    held = [
        leaf for module in nn.Module.modules(model) for value in vars(module).values() for leaf in tree_leaves(value)
    ]
    numpy, python = np.random.get_state(), random.getstate()
    shared: list[Restorer] = [lambda: np.random.set_state(numpy), lambda: random.setstate(python)]
    return [*shared, *(restorer for value in held for restorer in _own(value))]


def _own(value: Any) -> Iterator[Restorer]:
    """Yields the function that restores a generator, if the value is one."""
    if isinstance(value, torch.Generator):
        tensor = value.get_state()
        yield lambda: value.set_state(tensor)
    elif isinstance(value, np.random.RandomState):
        legacy = value.get_state()
        yield lambda: value.set_state(legacy)
    elif isinstance(value, np.random.Generator):
        bits = value.bit_generator.state
        yield lambda: setattr(value.bit_generator, "state", bits)
    elif isinstance(value, random.Random):
        python = value.getstate()
        yield lambda: value.setstate(python)

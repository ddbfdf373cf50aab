"""Firing thresholds: finds where neuron layers keep them, and sets them for a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from snnprof.errors import SnnprofError, unknown
from snnprof.record import neurons

ATTRIBUTES = ("v_threshold", "spike_threshold", "threshold", "v_th", "vth", "v_thr", "thresh")
"""Names of the threshold: in snnprof and SpikingJelly, sinabs, snnTorch and BrainCog, and in hand-written neurons."""
TUPLE = ("p", "v_th")
"""Norse keeps the threshold in the field `v_th` of a named tuple `p`."""
Thresholds = Sequence[tuple[str, float]]
"""Pairs of a pattern of layers ("" for all) and their threshold; of several matching patterns the last one counts."""


@dataclass(frozen=True)
class Place:
    """Where one neuron layer keeps its threshold.

    Attributes:
        layer: path of the layer.
        module: the layer.
        attribute: the attribute that holds the threshold, or the named tuple with it.
    """

    layer: str
    module: nn.Module
    attribute: str

    def set(self, value: float) -> Callable[[], None]:
        """Sets the threshold; returns a function that restores the former one."""
        before = getattr(self.module, self.attribute)
        if isinstance(before, Tensor):
            held = before.detach().clone()
            before.detach().fill_(value)
            return partial(_copy, before, held)
        now: Any = value
        if self.attribute == TUPLE[0]:
            field = getattr(before, TUPLE[1])
            now = before._replace(**{TUPLE[1]: torch.full_like(torch.as_tensor(field, dtype=torch.float32), value)})
        setattr(self.module, self.attribute, now)
        return lambda: setattr(self.module, self.attribute, before)


def _copy(into: Tensor, values: Tensor) -> None:
    into.detach().copy_(values)


def set_thresholds(model: nn.Module, wanted: Thresholds, named: Sequence[str] = ()) -> Callable[[], None]:
    """Sets the thresholds of neuron layers.

    Args:
        model: the model.
        wanted: patterns and thresholds. A pattern matches the path of a layer as a shell matches file names
            (`block.*.lif`), or is the path of a module that contains the layer.
        named: further classes to treat as spiking neurons.

    Returns:
        A function that restores all thresholds.

    Raises:
        SnnprofError: no neuron layer of the model has a threshold that can be set, or a pattern matches none.
    """
    known = list(places(model, named)) if wanted else []
    if wanted and not known:
        raise SnnprofError(
            f"no neuron of this model has a threshold that snnprof can set (an attribute {', '.join(ATTRIBUTES)})",
            hint="make it an argument of the model and pass --set NAME=VALUE (sweep: --over set.NAME=V1,V2), or name "
            "the class with --neuron",
        )
    undo: list[Callable[[], None]] = []
    for pattern, value in wanted:
        chosen = [place for place in known if _matches(place.layer, pattern)]
        if not chosen:
            raise unknown("neuron layer", pattern, [place.layer for place in known])
        undo += [place.set(value) for place in chosen]
    return partial(_all, undo[::-1])


def _all(functions: Sequence[Callable[[], None]]) -> None:
    for function in functions:
        function()


def places(model: nn.Module, named: Sequence[str] = ()) -> Iterator[Place]:
    """Finds the thresholds of all neuron layers: of known and named classes, and of modules that look like a neuron.

    A module looks like a neuron if it is not PyTorch's own, contains no module and no weight matrix, and has an
    attribute for a threshold.

    Yields:
        Where each layer keeps its threshold.
    """
    watched, _ = neurons.watched(model, named)
    known = {inner for module in watched for _, inner in neurons.named_modules(module)}
    for layer, module in neurons.named_modules(model):
        if module in known or _looks_like_a_neuron(module):
            found = next((name for name in ATTRIBUTES if _is_number(getattr(module, name, None))), None)
            if found:
                yield Place(layer, module, found)
            elif _is_number(getattr(getattr(module, TUPLE[0], None), TUPLE[1], None)):
                yield Place(layer, module, TUPLE[0])


def _matches(layer: str, pattern: str) -> bool:
    return fnmatchcase(layer, pattern) or neurons.within(layer, pattern)


def _looks_like_a_neuron(module: nn.Module) -> bool:
    own = not type(module).__module__.startswith("torch.")
    return own and not any(True for _ in module.children()) and not neurons.recurrent(module)


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point()
    return isinstance(value, int | float) and not isinstance(value, bool)

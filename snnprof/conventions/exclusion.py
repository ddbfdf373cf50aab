"""Layers whose work a report leaves out of its counts: named, and never left out in silence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain

from snnprof.activity import Activity
from snnprof.errors import SnnprofError, unknown


@dataclass(frozen=True)
class Exclusion:
    """The layers that some names stand for.

    Attributes:
        names: a layer, a module whose whole sub-tree is meant (`head`, `block.0`), or a pattern with `*` and `?`.
    """

    names: tuple[str, ...] = ()

    def holds(self, layer: str) -> bool:
        return any(_stands_for(name, layer) for name in self.names)

    @property
    def words(self) -> list[str]:
        """The exclusion as part of a rule; empty where nothing is excluded."""
        return [f"without {', '.join(self.names)}"] if self.names else []

    def must_hold_something(self, activity: Activity) -> None:
        """Raises SnnprofError for a name that stands for no layer of the run, or where they stand for all of them."""
        layers = [layer for layer in layers_of(activity) if layer]
        for name in self.names:
            if not any(_stands_for(name, layer) for layer in layers):
                raise unknown("layer to exclude", name, _modules(layers), see="snnprof report RUN.json --by layer")
        if self.names and activity.ops and all(self.holds(op.layer) for op in activity.ops):
            raise SnnprofError("no operation is left to count: all layers are excluded", hint="name fewer layers")

    def rest(self, activity: Activity) -> Activity:
        """The activity without the excluded layers; blocks, which list all layers by position, are left out too."""
        if not self.names:
            return activity
        kept = {
            "ops": [op for op in activity.ops if not self.holds(op.layer)],
            "neurons": [neuron for neuron in activity.neurons if not self.holds(neuron.layer)],
            "elementwise": [line for line in activity.elementwise if not self.holds(line.layer)],
        }
        return activity.model_copy(update={**kept, "blocks": []})

    def work(self, activity: Activity) -> list[tuple[str, int]]:
        """What each name leaves out: dense MACs over the run; a layer belongs to the first name that stands for it."""
        found = dict.fromkeys(self.names, 0)
        for op in activity.ops:
            name = next((name for name in self.names if _stands_for(name, op.layer)), None)
            if name is not None:
                found[name] += op.dense_macs
        return list(found.items())


def layers_of(activity: Activity) -> list[str]:
    """The module paths that a run counted something in, in the order of its records."""
    lines = (op.layer for op in activity.ops), (line.layer for line in activity.elementwise)
    return list(dict.fromkeys(chain(*lines, (neuron.layer for neuron in activity.neurons))))


def _stands_for(name: str, layer: str) -> bool:
    """A name holds for all that is inside: `block.1` is no `block.10`. The root, which has no name, holds nothing."""
    parts = layer.split(".")
    return bool(layer) and any(fnmatchcase(".".join(parts[:end]), name) for end in range(1, len(parts) + 1))


def _modules(layers: Sequence[str]) -> Collection[str]:
    """The layers and the modules around them."""
    paths = [layer.split(".") for layer in layers]
    return dict.fromkeys(".".join(path[:end]) for path in paths for end in range(1, len(path) + 1))

"""Layers that a report excludes from its counts. They are named, so no work is ever left out silently."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain

from snnprof.activity import Activity
from snnprof.errors import SnnprofError, unknown


@dataclass(frozen=True)
class Exclusion:
    """The layers that some names select.

    Attributes:
        names: each a layer, a module with all that is inside it (`head`, `block.0`), or a pattern with `*` and `?`.
    """

    names: tuple[str, ...] = ()

    def holds(self, layer: str) -> bool:
        """Whether a layer is excluded.

        Args:
            layer: path of the module.

        Returns:
            True if one of the names selects it.
        """
        return any(_stands_for(name, layer) for name in self.names)

    @property
    def words(self) -> list[str]:
        """The exclusion as part of a convention's rule; empty if it excludes nothing."""
        return [f"without {', '.join(self.names)}"] if self.names else []

    def must_hold_something(self, activity: Activity) -> None:
        """Checks that the names make sense for a run.

        Args:
            activity: what ran.

        Raises:
            SnnprofError: a name selects no layer of the run, or together they select all operations.
        """
        layers = [layer for layer in layers_of(activity) if layer]
        for name in self.names:
            if not any(_stands_for(name, layer) for layer in layers):
                raise unknown("layer to exclude", name, _modules(layers), see="snnprof report RUN.json --by layer")
        if self.names and activity.ops and all(self.holds(op.layer) for op in activity.ops):
            raise SnnprofError("no operation is left to count: all layers are excluded", hint="name fewer layers")

    def rest(self, activity: Activity) -> Activity:
        """Removes the excluded layers from an activity.

        Args:
            activity: what ran.

        Returns:
            The activity with the other layers, without its blocks (which list all layers by position). Without names,
            the activity itself.
        """
        if not self.names:
            return activity
        kept = {
            "ops": [op for op in activity.ops if not self.holds(op.layer)],
            "neurons": [neuron for neuron in activity.neurons if not self.holds(neuron.layer)],
            "elementwise": [line for line in activity.elementwise if not self.holds(line.layer)],
        }
        return activity.model_copy(update={**kept, "blocks": []})

    def work(self, activity: Activity) -> list[tuple[str, int]]:
        """Lists what each name excludes; a layer belongs to the first name that selects it.

        Args:
            activity: what ran.

        Returns:
            For each name, the dense MACs over the run.
        """
        found = dict.fromkeys(self.names, 0)
        for op in activity.ops:
            name = next((name for name in self.names if _stands_for(name, op.layer)), None)
            if name is not None:
                found[name] += op.dense_macs
        return list(found.items())


def layers_of(activity: Activity) -> list[str]:
    """Returns the module paths in which a run counted something, in the order of its records."""
    lines = (op.layer for op in activity.ops), (line.layer for line in activity.elementwise)
    return list(dict.fromkeys(chain(*lines, (neuron.layer for neuron in activity.neurons))))


def _stands_for(name: str, layer: str) -> bool:
    """Whether a name selects a layer: `block.1` selects `block.1.attn`, not `block.10`; nothing selects the root."""
    parts = layer.split(".")
    return bool(layer) and any(fnmatchcase(".".join(parts[:end]), name) for end in range(1, len(parts) + 1))


def _modules(layers: Sequence[str]) -> Collection[str]:
    """The layers and the modules around them."""
    paths = [layer.split(".") for layer in layers]
    return dict.fromkeys(".".join(path[:end]) for path in paths for end in range(1, len(path) + 1))

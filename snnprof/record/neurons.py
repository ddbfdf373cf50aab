"""The table  framework class → how to read its spikes and reset it.

Frameworks are recognised by the names of a module's classes, never imported. A hand-written neuron is named with
`--neuron`, or found by its behaviour: an innermost module without weights that turns real input into spikes.

Third parties add rows by an entry point in the group `snnprof.neurons`, named after the package of the classes: a
`NeuronClass`, or several. It is loaded when a model holds a module of that package.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves

from snnprof.errors import SnnprofError, unknown

ENTRY_POINTS = "snnprof.neurons"
FoundBy = Literal["class", "named", "behaviour"]


@dataclass(frozen=True)
class NeuronClass:
    """How to watch one framework's neuron layers.

    Attributes:
        package: first part of the module path of the class.
        names: class names, any base class counts.
        spikes: picks the spikes out of what `forward` returns.
        time_first: whether one call runs all time steps, `[T, B, ...]`.
        excluded: sub-classes that do not spike.
        reset: the method, without arguments, that starts a new sequence; where null, `RESETS` may name it.
    """

    package: str
    names: frozenset[str]
    spikes: Callable[[Any], Tensor | None]
    time_first: Callable[[nn.Module], bool]
    excluded: frozenset[str] = frozenset()
    reset: str | None = None


def first_tensor(result: Any) -> Tensor | None:
    """The usual way to pick the spikes out of what `forward` returns."""
    return next((leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)), None)


def values(layer: str, tensor: Tensor) -> Tensor:
    """What goes into a neuron layer or comes out of it, as values that can be read: of all rows that a map runs it on.

    Raises:
        SnnprofError: the tensor is one of a class that keeps its values elsewhere.
    """
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    if type(tensor) is not Tensor and is_traceable_wrapper_subclass(tensor):
        raise SnnprofError(
            f"neuron layer {layer!r} works on a {type(tensor).__name__}, whose values lie in other tensors",
            "run the plain form of the model",
        )
    return tensor if tensor.layout is torch.strided else tensor.to_dense()


def _always(module: nn.Module) -> bool:
    return True


def _never(module: nn.Module) -> bool:
    return False


def _step_mode_m(module: nn.Module) -> bool:
    return getattr(module, "step_mode", "m" if "MultiStep" in type(module).__name__ else "s") == "m"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEURON_CLASSES: tuple[NeuronClass, ...] = (
    NeuronClass("snnprof", _names("LIF"), first_tensor, _always),
    NeuronClass(
        "spikingjelly",
        _names("BaseNode SimpleBaseNode PSN MaskedPSN SlidingPSN GatedLIFNode ActivationAwareIFNode DSRIFNode "
               "DSRLIFNode FewSpikeNode ILCBaseNode NoisyBaseNode STBIFNode"),
        first_tensor, _step_mode_m,
    ),
    NeuronClass("snntorch", _names("AssociativeLeaky LinearLeaky StateLeaky"), first_tensor, _always),
    NeuronClass("snntorch", _names("SpikingNeuron"), first_tensor, _never),
    NeuronClass(
        "norse",
        _names("LIFCell LIFBoxCell IAFCell LIFRefracCell LIFExCell LIFAdExCell LIFAdExRefracCell CobaLIFCell "
               "IzhikevichCell LSNNCell LIFCorrelation LIFRecurrentCell LIFRefracRecurrentCell LIFExRecurrentCell "
               "LIFAdExRecurrentCell LIFAdExRefracRecurrentCell IzhikevichRecurrentCell LIFMCRecurrentCell "
               "LIFMCRefracRecurrentCell LSNNRecurrentCell"),
        first_tensor, _never,
    ),
    NeuronClass(
        "norse",
        _names("LIF LIFBox IAF LIFEx LIFAdEx Izhikevich LSNN LIFRecurrent LIFRefracRecurrent LIFExRecurrent "
               "LIFAdExRecurrent LIFAdExRefracRecurrent IzhikevichRecurrent LSNNRecurrent"),
        first_tensor, _always,
    ),
    NeuronClass("sinabs", _names("IAF LIF ALIF"), first_tensor, _never, _names("ExpLeak")),
    NeuronClass("braincog", _names("BaseNode"), first_tensor, _never),
)  # fmt: skip

HAND_WRITTEN = NeuronClass("", frozenset(), first_tensor, _never)

RESETS: tuple[tuple[str, str, str], ...] = (
    ("spikingjelly", "MemoryModule", "reset"),
    ("snntorch", "SpikingNeuron", "reset_mem"),
    ("sinabs", "StatefulLayer", "reset_states"),
    ("braincog", "BaseNode", "n_reset"),
)
"""Package, base class, method: what puts a framework's stateful modules, spiking or not, back to a fresh sequence."""

_RESET_NAMES = ("reset", "reset_state", "reset_states", "reset_mem", "n_reset")


@dataclass(frozen=True)
class Watched:
    """One neuron layer of the model at hand; `initial` is the state in which it was found."""

    kind: NeuronClass
    found_by: FoundBy
    initial: dict[str, Any] = field(default_factory=dict)


def known_class(module: nn.Module) -> NeuronClass | None:
    """The table's entry for a module, by the names of its class and their bases."""
    bases = _bases(module)
    for package, name in bases:
        for entry in (*NEURON_CLASSES, *_added(package)):
            if entry.package == package and name in entry.names:
                return None if any((package, other) in bases for other in entry.excluded) else entry
    return None


@functools.cache
def _added(package: str) -> tuple[NeuronClass, ...]:
    """The rows that an installed package adds for its own classes.

    Raises:
        SnnprofError: its entry point fails, or holds something else.
    """
    rows: list[NeuronClass] = []
    for entry in entry_points(group=ENTRY_POINTS, name=package):
        try:
            found = entry.load()
        except Exception as error:
            raise SnnprofError(f"neurons of {package!r}: its plug-in {entry.value} failed: {error}") from error
        rows += [found] if isinstance(found, NeuronClass) else found
    if not all(isinstance(row, NeuronClass) for row in rows):
        raise SnnprofError(f"neurons of {package!r}: its plug-in must hold snnprof.record.neurons.NeuronClass rows")
    return tuple(rows)


def _bases(module: nn.Module) -> list[tuple[str, str]]:
    """Top-level package and name of a module's class and of its bases, nearest first."""
    return [(base.__module__.partition(".")[0], base.__name__) for base in type(module).__mro__]


def watched(model: nn.Module, named: Sequence[str] = ()) -> dict[nn.Module, Watched]:
    """The model's neuron layers: outermost modules of a known or named class.

    Raises:
        SnnprofError: a class named with `--neuron` occurs nowhere in the model.
    """
    found: dict[nn.Module, Watched] = {}
    seen: set[str] = set()
    for module in model.modules():
        labels = {type(module).__name__, f"{type(module).__module__}.{type(module).__qualname__}"}
        if labels & set(named):
            seen |= labels
            found[module] = Watched(known_class(module) or HAND_WRITTEN, "named", snapshot(module))
        elif entry := known_class(module):
            found[module] = Watched(entry, "class")
    for name in named:
        if name not in seen:
            raise unknown("neuron class", name, {type(m).__name__ for m in model.modules()})
    return _without_inner(found)


def _without_inner(found: dict[nn.Module, Watched]) -> dict[nn.Module, Watched]:
    """A neuron inside a neuron (a wrapper around a node) is part of it."""
    inner = {child for module in found for child in module.modules() if child is not module}
    return {module: entry for module, entry in found.items() if module not in inner}


def reset(model: nn.Module, neurons: dict[nn.Module, Watched]) -> None:
    """Puts every stateful module of a known framework, and every neuron layer, back to the start of a sequence.

    What may be a hand-written neuron is reset as well; one without a method for it is put back to the state in which
    it was found.
    """
    for module in model.modules():
        bases = _bases(module)
        method = next((method for package, name, method in RESETS if (package, name) in bases), None)
        if module in neurons:
            method = neurons[module].kind.reset or method
        by_hand = neurons[module].kind is HAND_WRITTEN if module in neurons else could_be_neuron(module)
        if method:
            _call(module, method)
        elif by_hand and not any(_call(module, name) for name in _RESET_NAMES) and module in neurons:
            restore_state({module: {key: _copied(value) for key, value in neurons[module].initial.items()}})


def _call(module: nn.Module, method: str) -> bool:
    """Calls a module's method without arguments, if it has it."""
    function = getattr(module, method, None)
    if callable(function):
        function()
    return callable(function)


def recurrent(module: nn.Module) -> bool:
    """Whether a neuron layer has weights inside, which reach every neuron whatever comes in: all are driven."""
    return any(parameter.dim() > 1 for parameter in module.parameters())


def within(layer: str, name: str) -> bool:
    """Whether a module path is `name` itself or stands inside it."""
    return layer == name or (name != "" and layer.startswith(f"{name}."))


def could_be_neuron(module: nn.Module) -> bool:
    """An innermost module without weights: a hand-written neuron, if it turns real input into spikes."""
    return not any(True for _ in module.children()) and all(p.dim() < 2 for p in module.parameters(recurse=False))


def saved_state(modules: Iterable[nn.Module]) -> dict[nn.Module, dict[str, Any]]:
    """What modules, and those inside them, remember: tensors and numbers among their attributes, and their buffers."""
    inner = {inner for module in modules for inner in module.modules()}
    return {module: snapshot(module) for module in inner}


def snapshot(module: nn.Module) -> dict[str, Any]:
    return {key: _copied(module.__dict__[key]) for key in _state_keys(module)}


def restore_state(saved: dict[nn.Module, dict[str, Any]]) -> None:
    for module, state in saved.items():
        module.__dict__.update(state)


def _state_keys(module: nn.Module) -> list[str]:
    kept = ("_memories", "_buffers")
    plain = [key for key, value in module.__dict__.items() if not key.startswith("_") and _is_state(value)]
    return plain + [key for key in kept if key in module.__dict__]


def _is_state(value: Any) -> bool:
    return value is None or isinstance(value, Tensor | bool | int | float)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return value.detach().clone() if isinstance(value, Tensor) else value

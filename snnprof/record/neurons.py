"""The table  framework class → how to read its spikes and reset it.

Frameworks are recognised by the names of a module's classes, never imported. A hand-written neuron is named with
`--neuron`, or found by its behaviour: an innermost module without weights that turns real input into spikes.

Third parties add rows by an entry point in the group `snnprof.neurons`, named after the package of the classes: a
`NeuronClass`, or several. It is loaded when a model holds a module of that package.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass, replace
from importlib.metadata import entry_points
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from snnprof.errors import SnnprofError, unknown
from snnprof.record import layers
from snnprof.record.torch_private import tree_leaves, version

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
    return next(iter(tensors_of(result)), None)


def tensors_of(values: Any) -> list[Tensor]:
    """The tensors among what modules take or return, also in the fields of data classes."""
    leaves = (vars(leaf) if is_dataclass(leaf) and hasattr(leaf, "__dict__") else leaf for leaf in tree_leaves(values))
    return [leaf for leaf in tree_leaves(list(leaves)) if isinstance(leaf, Tensor)]


def values(layer: str, tensor: Tensor) -> Tensor:
    """What goes into a neuron layer or comes out of it, as values that can be read: of all rows that a map runs it on.

    Raises:
        SnnprofError: the tensor has no values that could be read.
    """
    found = layers.held(tensor)
    if found is None:
        raise SnnprofError(
            f"neuron layer {layer!r} works on a {type(tensor).__name__}, whose values cannot be read",
            "run the plain form of the model",
        )
    return found


def _always(module: nn.Module) -> bool:
    return True


def _never(module: nn.Module) -> bool:
    return False


def _step_mode_m(module: nn.Module) -> bool:
    return getattr(module, "step_mode", "m" if "MultiStep" in type(module).__name__ else "s") == "m"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEURON_CLASSES: tuple[NeuronClass, ...] = (
    NeuronClass("snnprof", _names("IF"), first_tensor, _always),
    NeuronClass("snnprof", _names("NirIF NirLIF NirCubaLIF NirThreshold"), first_tensor, _never),
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
    ("snnprof", "NirState", "reset"),
    ("spikingjelly", "MemoryModule", "reset"),
    ("snntorch", "SpikingNeuron", "reset_mem"),
    ("sinabs", "StatefulLayer", "reset_states"),
    ("braincog", "BaseNode", "n_reset"),
)
"""Package, base class, method: what puts a framework's stateful modules, spiking or not, back to a fresh sequence."""

_RESET_NAMES = ("reset", "reset_state", "reset_states", "reset_mem", "n_reset")


@dataclass(frozen=True)
class NeuronLayer:
    """One neuron layer of the model at hand; `stateful` where it is known to keep state from step to step."""

    kind: NeuronClass
    found_by: FoundBy
    stateful: bool = True


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


def watched(model: nn.Module, named: Sequence[str] = ()) -> tuple[dict[nn.Module, NeuronLayer], dict[int, str]]:
    """The model's neuron layers, outermost modules of a known or named class; and named functions, by code object.

    Raises:
        SnnprofError: what was named with `--neuron` occurs nowhere in the model.
    """
    found: dict[nn.Module, NeuronLayer] = {}
    seen: set[str] = set()
    for _, module in named_modules(model):
        labels = {type(module).__name__, f"{type(module).__module__}.{type(module).__qualname__}"}
        if labels & set(named):
            seen |= labels
            known = known_class(module)
            found[module] = NeuronLayer(known or HAND_WRITTEN, "named", stateful=known is not None)
        elif entry := known_class(module):
            found[module] = NeuronLayer(entry, "class")
    functions: dict[int, str] = {}
    for name in named:
        if name not in seen:
            functions |= _functions_named(model, name)
    return _without_inner(found), functions


def named_modules(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """All modules by their paths, whatever a class makes of `modules()`."""
    return list(layers.modules_of(model).items())


def _functions_named(model: nn.Module, name: str) -> dict[int, str]:
    """The code objects of a function or autograd.Function that the model's code knows by a name.

    Raises:
        SnnprofError: it knows none.
    """
    found = {id(code): name for known, value in _known_to(model) if known == name for code in _code_of(value)}
    if not found:
        choices = {type(module).__name__ for _, module in named_modules(model)}
        raise unknown("neuron class or function", name, choices)
    return found


def _known_to(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Names in the reach of the model's code: globals, closures, attributes of modules and classes."""
    for _, module in named_modules(model):
        forward: Any = getattr(type(module), "forward", None)
        yield from vars(sys.modules.get(type(module).__module__, sys)).items()
        yield from vars(type(module)).items()
        yield from module.__dict__.items()
        code, cells = getattr(forward, "__code__", None), getattr(forward, "__closure__", None) or ()
        for known, cell in zip(getattr(code, "co_freevars", ()), cells, strict=False):
            yield known, _content(cell)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _code_of(value: Any) -> list[Any]:
    """The code objects of a function, a method, or the forward of an autograd.Function."""
    if isinstance(value, type) and issubclass(value, torch.autograd.Function):
        value = value.forward
    value = getattr(value, "__wrapped__", value)
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    return [] if code is None or isinstance(value, nn.Module) else [code]


def _without_inner(found: dict[nn.Module, NeuronLayer]) -> dict[nn.Module, NeuronLayer]:
    """A neuron inside a neuron (a wrapper around a node) is part of it."""
    inner = {child for module in found for _, child in named_modules(module) if child is not module}
    return {module: entry for module, entry in found.items() if module not in inner}


def reset(model: nn.Module, neurons: dict[nn.Module, NeuronLayer]) -> None:
    """Calls the methods by which frameworks' stateful modules, and neurons that have one, start a new sequence."""
    for _, module in named_modules(model):
        bases = _bases(module)
        method = next((method for package, name, method in RESETS if (package, name) in bases), None)
        if module in neurons:
            method = neurons[module].kind.reset or method
        if method:
            _call(module, method)
        elif module in neurons and not neurons[module].kind.package:
            any(_call(module, name) for name in _RESET_NAMES)


def _call(module: nn.Module, method: str) -> bool:
    """Calls a module's method without arguments, if it has it."""
    function = getattr(module, method, None)
    if callable(function):
        function()
    return callable(function)


def recurrent(module: nn.Module) -> bool:
    """Whether a neuron layer has weights inside, which reach every neuron whatever comes in: all are driven."""
    parameters = (p for _, inner in named_modules(module) for p in inner._parameters.values() if p is not None)
    return any(p.dim() > 1 for p in parameters if not is_lazy(p))


def within(layer: str, name: str) -> bool:
    """Whether a module path is `name` itself or stands inside it."""
    return layer == name or name == "" or layer.startswith(f"{name}.")


def picking(position: int) -> NeuronClass:
    """A hand-written neuron whose spikes are one of the tensors that `forward` returns."""
    if position == 0:
        return HAND_WRITTEN
    return replace(HAND_WRITTEN, spikes=lambda result: _leaf(result, position))


def _leaf(result: Any, position: int) -> Tensor | None:
    tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
    return tensors[position] if position < len(tensors) else None


def own_state(module: nn.Module) -> dict[str, Any]:
    """What a module's own attributes and buffers hold, such that `holds_other` can tell whether a call changed it."""
    held = {**module._buffers, **{k: v for k, v in module.__dict__.items() if k not in _MACHINERY}}
    return {key: (value, _version(value)) for key, value in held.items()}


def wrote_state(before: dict[str, Any], module: nn.Module) -> bool:
    """Whether a call left other tensors or numbers in a module's attributes than were there before it."""
    now = own_state(module)
    changed = (key for key in now if key not in before or not _same(before[key], now[key]))
    return any(_is_state(now[key][0]) for key in changed)


def _same(before: tuple[Any, Any], now: tuple[Any, Any]) -> bool:
    return before[0] is now[0] and before[1] == now[1]


def _is_state(value: Any) -> bool:
    return any(isinstance(leaf, Tensor | float) or type(leaf).__module__ == "numpy" for leaf in tree_leaves(value))


def _version(value: Any) -> Any:
    """What changes with the content: of tensors, and of the tensors in lists, dicts and tuples."""
    leaves = tree_leaves(value) if isinstance(value, list | dict | tuple) else [value]
    return tuple(
        (id(leaf), -1 if leaf.is_inference() else version(leaf)) for leaf in leaves if isinstance(leaf, Tensor)
    )


_MACHINERY = frozenset(nn.Module().__dict__)

"""The table of known neuron classes: how to read the spikes of each and how to reset it.

Classes are recognised by name, so no framework is imported. `--neuron` names a hand-written neuron; otherwise the
recorder finds it by its behaviour (`Recorder._recognise`).

Packages add rows by an entry point in the group `snnprof.neurons`, whose name is the package of the classes and which
holds a `NeuronClass` or several. It is loaded when a model has a module of that package.
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
"""Group of the entry points that add neuron classes."""
FoundBy = Literal["class", "named", "behaviour"]
"""How a neuron layer was found: by a known class, by `--neuron`, or by its behaviour."""


@dataclass(frozen=True)
class NeuronClass:
    """How to read the neuron layers of one framework.

    Attributes:
        package: top-level package that defines the classes.
        names: class names; a class matches if its own name or that of a base class is among them.
        spikes: picks the spikes out of the result of `forward`; None if there are none.
        time_first: whether one call of a module runs all time steps, `[T, B, ...]`.
        excluded: names of sub-classes that do not spike.
        reset: name of the method, without arguments, that starts a new sequence; None: `RESETS` may have it.
    """

    package: str
    names: frozenset[str]
    spikes: Callable[[Any], Tensor | None]
    time_first: Callable[[nn.Module], bool]
    excluded: frozenset[str] = frozenset()
    reset: str | None = None


def first_tensor(result: Any) -> Tensor | None:
    """The first tensor in the result of `forward`: for most classes, the spikes."""
    return next(iter(tensors_of(result)), None)


def tensors_of(values: Any) -> list[Tensor]:
    """The tensors among the inputs or results of a module, also in the fields of data classes."""
    leaves = (vars(leaf) if is_dataclass(leaf) and hasattr(leaf, "__dict__") else leaf for leaf in tree_leaves(values))
    return [leaf for leaf in tree_leaves(list(leaves)) if isinstance(leaf, Tensor)]


def values(layer: str, tensor: Tensor) -> Tensor:
    """The readable values of a neuron layer's input or output; under `torch.vmap`, those of all rows.

    Raises:
        SnnprofError: the tensor has no readable values.
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

"""The known classes of spiking neurons."""

HAND_WRITTEN = NeuronClass("", frozenset(), first_tensor, _never)
"""A neuron of an unknown class: its first output tensor holds the spikes, and one call is one time step."""

RESETS: tuple[tuple[str, str, str], ...] = (
    ("snnprof", "NirState", "reset"),
    ("spikingjelly", "MemoryModule", "reset"),
    ("snntorch", "SpikingNeuron", "reset_mem"),
    ("sinabs", "StatefulLayer", "reset_states"),
    ("braincog", "BaseNode", "n_reset"),
)
"""Package, base class, and the method that resets stateful modules of that class, spiking or not."""

_RESET_NAMES = ("reset", "reset_state", "reset_states", "reset_mem", "n_reset")
"""Methods by which hand-written neurons may be reset, tried in this order."""


@dataclass(frozen=True)
class NeuronLayer:
    """One neuron layer of a model.

    Attributes:
        kind: how to read it.
        found_by: how it was found.
        stateful: whether it keeps state from one time step to the next.
    """

    kind: NeuronClass
    found_by: FoundBy
    stateful: bool = True


def known_class(module: nn.Module) -> NeuronClass | None:
    """The table's row for a module, by the names of its class and of its base classes; None for other modules."""
    bases = _bases(module)
    for package, name in bases:
        for entry in (*NEURON_CLASSES, *_added(package)):
            if entry.package == package and name in entry.names:
                return None if any((package, other) in bases for other in entry.excluded) else entry
    return None


@functools.cache
def _added(package: str) -> tuple[NeuronClass, ...]:
    """The rows that an installed package adds for its classes.

    Raises:
        SnnprofError: the package's entry point fails, or holds something else than rows.
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
    """Top-level package and name of a module's class and of its base classes, the nearest first."""
    return [(base.__module__.partition(".")[0], base.__name__) for base in type(module).__mro__]


def watched(model: nn.Module, named: Sequence[str] = ()) -> tuple[dict[nn.Module, NeuronLayer], dict[int, str]]:
    """Finds a model's neuron layers: the outermost modules of a known class, or of a class that `named` lists.

    The second result has the functions that `named` lists, by the id of their code object.

    Raises:
        SnnprofError: a name given with `--neuron` occurs nowhere in the model.
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
    """All modules with their paths, even if a class overrides `modules()`."""
    return list(layers.modules_of(model).items())


def _functions_named(model: nn.Module, name: str) -> dict[int, str]:
    """Finds the functions and autograd.Functions that the model's code knows by a name, by id of their code object.

    Raises:
        SnnprofError: it knows none of that name.
    """
    found = {id(code): name for known, value in _known_to(model) if known == name for code in _code_of(value)}
    if not found:
        choices = {type(module).__name__ for _, module in named_modules(model)}
        raise unknown("neuron class or function", name, choices)
    return found


def _known_to(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Names and values that the model's code can use: globals, closures, attributes of modules and classes."""
    for _, module in named_modules(model):
        forward: Any = getattr(type(module), "forward", None)
        yield from vars(sys.modules.get(type(module).__module__, sys)).items()
        yield from vars(type(module)).items()
        yield from module.__dict__.items()
        code, cells = getattr(forward, "__code__", None), getattr(forward, "__closure__", None) or ()
        for known, cell in zip(getattr(code, "co_freevars", ()), cells, strict=False):
            yield known, _content(cell)


def _content(cell: Any) -> Any:
    """The value in a closure's cell; None while the cell is empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _code_of(value: Any) -> list[Any]:
    """The code objects of a function, a method, or the forward of an autograd.Function."""
    if isinstance(value, type) and issubclass(value, torch.autograd.Function):
        value = value.forward
    value = getattr(value, "__wrapped__", value)
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    return [] if code is None or isinstance(value, nn.Module) else [code]


def _without_inner(found: dict[nn.Module, NeuronLayer]) -> dict[nn.Module, NeuronLayer]:
    """The layers without those inside another one: a wrapper and the neuron inside it are one layer."""
    inner = {child for module in found for _, child in named_modules(module) if child is not module}
    return {module: entry for module, entry in found.items() if module not in inner}


def reset(model: nn.Module, neurons: dict[nn.Module, NeuronLayer]) -> None:
    """Resets all stateful modules of known frameworks and all neuron layers for a new sequence.

    A hand-written neuron is reset by the first method of `_RESET_NAMES` that it has.
    """
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
    """Calls a module's method without arguments; returns whether the module has it."""
    function = getattr(module, method, None)
    if callable(function):
        function()
    return callable(function)


def recurrent(module: nn.Module) -> bool:
    """Whether a neuron layer has a weight matrix inside: then every neuron counts as driven, whatever its input is."""
    parameters = (p for _, inner in named_modules(module) for p in inner._parameters.values() if p is not None)
    return any(p.dim() > 1 for p in parameters if not is_lazy(p))


def within(layer: str, name: str) -> bool:
    """Whether a module path is `name`, or a module inside it."""
    return layer == name or name == "" or layer.startswith(f"{name}.")


def picking(position: int) -> NeuronClass:
    """A hand-written neuron whose spikes are the tensor at `position` among the results of `forward`."""
    if position == 0:
        return HAND_WRITTEN
    return replace(HAND_WRITTEN, spikes=lambda result: _leaf(result, position))


def _leaf(result: Any, position: int) -> Tensor | None:
    """The tensor at `position` in a result; None if it has fewer."""
    tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
    return tensors[position] if position < len(tensors) else None


def own_state(module: nn.Module) -> dict[str, Any]:
    """A module's own attributes and buffers with the versions of their tensors, for `wrote_state`."""
    held = {**module._buffers, **{k: v for k, v in module.__dict__.items() if k not in _MACHINERY}}
    return {key: (value, _version(value)) for key, value in held.items()}


def wrote_state(before: dict[str, Any], module: nn.Module) -> bool:
    """Whether a call changed a tensor or float in a module's attributes since `before` (`own_state`) was taken."""
    now = own_state(module)
    changed = (key for key in now if key not in before or not _same(before[key], now[key]))
    return any(_is_state(now[key][0]) for key in changed)


def _same(before: tuple[Any, Any], now: tuple[Any, Any]) -> bool:
    return before[0] is now[0] and before[1] == now[1]


def _is_state(value: Any) -> bool:
    return any(isinstance(leaf, Tensor | float) or type(leaf).__module__ == "numpy" for leaf in tree_leaves(value))


def _version(value: Any) -> Any:
    """A value that changes when a tensor is overwritten, be it in a list, dict or tuple."""
    leaves = tree_leaves(value) if isinstance(value, list | dict | tuple) else [value]
    return tuple(
        (id(leaf), -1 if leaf.is_inference() else version(leaf)) for leaf in leaves if isinstance(leaf, Tensor)
    )


_MACHINERY = frozenset(nn.Module().__dict__)
"""Attributes that every module has; they hold no state of the model."""

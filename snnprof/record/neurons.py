"""The table  framework class → how to read its spikes and reset it.

Frameworks are recognised by the names of a module's classes, never imported. A hand-written neuron is named with
`--neuron`, or found by its behaviour: an innermost module without weights that turns real input into spikes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from snnprof.errors import unknown

FoundBy = Literal["class", "named", "behaviour"]


@dataclass(frozen=True)
class NeuronClass:
    """How to watch one framework's neuron layers.

    Attributes:
        package: first part of the module path of the class.
        names: class names, any base class counts.
        spikes: picks the spikes out of what `forward` returns.
        time_first: whether one call runs all time steps, `[T, B, ...]`.
        reset: puts the layer's state back to that of a fresh sequence.
    """

    package: str
    names: frozenset[str]
    spikes: Callable[[Any], Tensor | None]
    time_first: Callable[[nn.Module], bool]
    reset: Callable[[nn.Module], None]


def first_tensor(result: Any) -> Tensor | None:
    return next((leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)), None)


def _always(module: nn.Module) -> bool:
    return True


def _never(module: nn.Module) -> bool:
    return False


def _step_mode_m(module: nn.Module) -> bool:
    return getattr(module, "step_mode", "m" if "MultiStep" in type(module).__name__ else "s") == "m"


def _stateless(module: nn.Module) -> None:
    return None


def _call_reset(module: nn.Module) -> None:
    reset = getattr(module, "reset", None)
    if callable(reset):
        reset()


def _call_reset_states(module: nn.Module) -> None:
    reset = getattr(module, "reset_states", None)
    if callable(reset):
        reset()


def _snntorch_reset(module: nn.Module) -> None:
    for name in ("reset_mem", "reset_hidden"):
        reset = getattr(module, name, None)
        if callable(reset):
            reset()
            return


def _n_reset(module: nn.Module) -> None:
    reset = getattr(module, "n_reset", None)
    if callable(reset):
        reset()


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEURON_CLASSES: tuple[NeuronClass, ...] = (
    NeuronClass("snnprof", _names("LIF"), first_tensor, _always, _stateless),
    NeuronClass("spikingjelly", _names("BaseNode SimpleBaseNode"), first_tensor, _step_mode_m, _call_reset),
    NeuronClass("snntorch", _names("SpikingNeuron"), first_tensor, _never, _snntorch_reset),
    NeuronClass(
        "norse",
        _names("LIFCell LIFBoxCell IAFCell LIFRefracCell LIFExCell LIFAdExCell IzhikevichCell LIFMCCell LSNNCell "
               "LIFRecurrentCell LSNNRecurrentCell LIFCorrelation"),
        first_tensor, _never, _stateless,
    ),
    NeuronClass(
        "norse",
        _names("LIF LIFBox IAF LIFRefrac LIFEx LIFAdEx Izhikevich LSNN LIFRecurrent LSNNRecurrent"),
        first_tensor, _always, _stateless,
    ),
    NeuronClass("sinabs", _names("StatefulLayer IAF LIF ALIF IAFSqueeze LIFSqueeze"), first_tensor, _never,
                _call_reset_states),
    NeuronClass("braincog", _names("BaseNode"), first_tensor, _never, _n_reset),
)  # fmt: skip

HAND_WRITTEN = NeuronClass("", frozenset(), first_tensor, _never, _call_reset)


@dataclass(frozen=True)
class Watched:
    """One neuron layer of the model at hand."""

    kind: NeuronClass
    found_by: FoundBy


def known_class(module: nn.Module) -> NeuronClass | None:
    """The table's entry for a module, by the names of its class and their bases."""
    for base in type(module).__mro__:
        package = base.__module__.partition(".")[0]
        for entry in NEURON_CLASSES:
            if entry.package == package and base.__name__ in entry.names:
                return entry
    return None


def watched(model: nn.Module, named: Sequence[str] = ()) -> dict[nn.Module, Watched]:
    """The model's neuron layers: outermost modules of a known or named class.

    Raises:
        SnnprofError: a class named with `--neuron` occurs nowhere in the model.
    """
    found: dict[nn.Module, Watched] = {}
    seen: set[str] = set()
    for module in _outermost_first(model):
        labels = {type(module).__name__, f"{type(module).__module__}.{type(module).__qualname__}"}
        if labels & set(named):
            seen |= labels
            found[module] = Watched(known_class(module) or HAND_WRITTEN, "named")
        elif entry := known_class(module):
            found[module] = Watched(entry, "class")
    for name in named:
        if name not in seen:
            raise unknown("neuron class", name, {type(m).__name__ for m in model.modules()})
    return _without_inner(found)


def _outermost_first(model: nn.Module) -> Iterator[nn.Module]:
    return model.modules()


def _without_inner(found: dict[nn.Module, Watched]) -> dict[nn.Module, Watched]:
    """A neuron inside a neuron (a wrapper around a node) is part of it."""
    inner = {child for module in found for child in module.modules() if child is not module}
    return {module: entry for module, entry in found.items() if module not in inner}


def reset(model: nn.Module, neurons: dict[nn.Module, Watched]) -> None:
    """Puts every neuron layer back to the start of a sequence."""
    for module, entry in neurons.items():
        entry.kind.reset(module)
        for child in module.modules():
            if child is not module and (inner := known_class(child)):
                inner.reset(child)


def could_be_neuron(module: nn.Module) -> bool:
    """An innermost module without weights: a hand-written neuron, if it turns real input into spikes."""
    return not any(True for _ in module.children()) and all(p.dim() < 2 for p in module.parameters(recurse=False))


def saved_state(neurons: dict[nn.Module, Watched]) -> dict[nn.Module, dict[str, Any]]:
    """What neuron layers remember between steps: tensors and numbers among their attributes, and their buffers."""
    modules = {inner for module in neurons for inner in module.modules()}
    return {module: {key: _copied(module.__dict__[key]) for key in _state_keys(module)} for module in modules}


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

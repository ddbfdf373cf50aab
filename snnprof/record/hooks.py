"""The hooks on a model's modules: they tell which module runs, and where passes and neuron layers begin and end."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from snnprof.record import torch_private
from snnprof.record.call_sites import CallSites
from snnprof.record.direct_calls import Calls
from snnprof.record.dispatch import OperatorMode
from snnprof.record.held_state import tensors_in
from snnprof.record.neuron_layers import NeuronLayers
from snnprof.record.passes import Passes
from snnprof.record.suspend import Suspended, Unseen


class _Hook:
    """A hook on one module. A copy of the module gets one that does nothing, since nobody records the copy."""

    __slots__ = ("name", "owner")

    def __init__(self, owner: ModuleHooks, name: str) -> None:
        self.owner, self.name = owner, name

    def __reduce__(self) -> Any:
        return _no_hook, ()


class _Entering(_Hook):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.owner.watches():
            # What the recorder asks of tensors here is no call of the model's.
            with torch_private.functions_disabled(), torch_private.untraced():
                self.owner.enter(module, self.name, args, kwargs)


class _Leaving(_Hook):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if self.owner.watches(self.name):
            with torch_private.functions_disabled(), torch_private.untraced():
                self.owner.leave(module, self.name, args, kwargs, output)


def _no_hook() -> Any:
    """What a hook becomes in a copy of its module."""
    return _does_nothing


def _does_nothing(*args: Any, **kwargs: Any) -> None:
    return None


class ModuleHooks:
    """The hooks on all modules of a model.

    Attributes:
        calls: the mode that sees function calls.
        operators: the mode that sees operators.
        thread: the thread that records.
        ran: paths of the modules that have run.
    """

    def __init__(self, sites: CallSites, layers: NeuronLayers, passes: Passes, names: Mapping[nn.Module, str]) -> None:
        self.calls, self.operators = Calls(sites), OperatorMode(sites)
        self.thread = 0
        self.ran: set[str] = set()
        self._sites, self._layers, self._passes, self._names = sites, layers, passes, names
        self._handles: list[Any] = []
        self._entered: list[tuple[nn.Module, bool]] = []  # modules that run, and whether each is a neuron layer
        self._unwatched: dict[nn.Module, Suspended] = {}  # layers inside which nothing needs watching

    # -- attach and detach ---------------------------------------------------------------------------------

    def attach(self) -> None:
        """Puts two hooks on each module."""
        for module, name in self._names.items():
            # Scripted modules hide these methods behind ones that refuse; the hooks themselves work.
            before = nn.Module.register_forward_pre_hook(module, _Entering(self, name), with_kwargs=True)
            after = nn.Module.register_forward_hook(module, _Leaving(self, name), with_kwargs=True, always_call=True)
            self._handles += [before, after]

    def resume(self) -> None:
        """Lets the modes see operators again, if something else than an error ended a pass inside a neuron layer."""
        while self._unwatched:
            self._unwatched.popitem()[1].close()

    def detach(self) -> None:
        """Removes the hooks, and forgets which modules run."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._sites.path.clear()
        self._sites.neurons.clear()
        self._entered.clear()
        self._layers.forget_all()

    # -- while modules run ---------------------------------------------------------------------------------

    def watches(self, leaving: str | None = None) -> bool:
        """Whether a hook runs as part of a forward pass whose operators can be seen."""
        if threading.get_ident() == self.thread:
            return not (torch_private.in_backward() or torch_private.only_described())
        if leaving is not None:
            self.ran.add(leaving)
        self._sites.recording.note(
            "C09", "", "The model runs modules in other threads, where the recorder cannot see operators",
            "Unwrap DataParallel, and choose one device with --device",
        )  # fmt: skip
        return False

    def enter(self, module: nn.Module, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module is called."""
        sites, neuron = self._sites, module in self._layers.watched
        if neuron or sites.learning or not sites.path:
            with Unseen():
                self._look_at(module, name, tensors_in((args, kwargs)), neuron)
        sites.path.append(name)
        self._entered.append((module, neuron))
        suspends = neuron and not sites.learning and module not in self._unwatched
        if suspends and not sites.contractions.ran_within(name):
            self._unwatched[module] = Suspended(self.calls, self.operators)

    def _look_at(self, module: nn.Module, name: str, inputs: list[Tensor], neuron: bool) -> None:
        """Looks at the inputs of the outermost module, a neuron layer, or a module that may turn out to be one."""
        sites = self._sites
        if not sites.path:
            self._passes.begin(inputs)
        if sites.learning:
            sites.weights.know(module, name)
        if neuron:
            sites.neurons.append(name)
            self._layers.drive(module, name, inputs)
        if sites.learning and (neuron or not sites.neurons):
            self._layers.consider(module, inputs)

    def leave(self, module: nn.Module, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """A module returns; `output` is None if an exception passed through it."""
        self._unwind(module)
        self.ran.add(name)
        if output is None:
            return
        if self._layers.concerns(module):
            with Unseen():
                self._layers.leave(module, name, (args, kwargs), output)
        if not self._sites.path:
            self._passes.end(output)

    def _unwind(self, module: nn.Module) -> None:
        """Goes back to before a module was entered; modules inside it that ran no leaving hook are left too."""
        while any(inside is module for inside, _ in self._entered):
            left, neuron = self._entered.pop()
            if unwatched := self._unwatched.pop(left, None):
                unwatched.close()
            if neuron:
                self._sites.neurons.pop()
            name = self._sites.path.pop()
            if left is module:
                return
            self._layers.forget(left)
            self._sites.recording.note(
                "C33", name, "An exception that is not derived from Exception, such as KeyboardInterrupt, ended this "
                "module and the model went on; operations before the end of the next module may be missing",
                "End a part of the model with a return value, or with an exception derived from Exception",
            )  # fmt: skip

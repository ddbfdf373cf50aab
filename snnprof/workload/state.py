"""Saves the state of a model and restores it in place: every object stays the same object and gets its contents back.

The modules of a model refer to a graph of objects: attributes, buffers, containers, instances of users' classes.
`ModelState.of` walks this graph once and saves only the own contents of each object: the elements of a list, the
attributes of an object, the values of a tensor. Since no object is replaced, each can be restored alone and in any
order, and aliases and cycles come out right.

Not saved: hooks, training modes and sub-modules of modules; random generators, which generators.py restores; functions
and their closures; classes and globals; objects of the standard library, PyTorch and NumPy other than containers,
tensors and arrays.
"""

from __future__ import annotations

import inspect
import operator
import sys
import types
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from snnprof.record.suspend import Unseen
from snnprof.record.torch_private import functions_disabled, version

IsState = Callable[[nn.Module, str, Any], bool]

SMALL = 4096
"""The values of parameters with up to this many elements are saved; saving all would double the memory of weights."""

MACHINERY = frozenset(nn.Module().__dict__)
ATOMS = frozenset(
    {type(None), bool, int, float, complex, str, bytes, type, types.FunctionType, torch.dtype, torch.Size}
)
CLOSED = sys.stdlib_module_names | {"torch", "numpy"}
OPEN = ("types", "argparse", "collections", "torch.distributions")
"""Objects from the packages in CLOSED are not looked into, except from their modules in OPEN: these only hold data."""

_ABSENT: Any = object()


class _Place(NamedTuple):
    """Where the walk met an object first.

    Attributes:
        module: the module that leads to the object.
        attribute: the attribute of that module that leads to the object; "" for the module itself.
        path: names from the model to the object, joined by dots.
        lazy: when the state was saved, some weight of the module had no shape yet.
    """

    module: nn.Module
    attribute: str
    path: str
    lazy: bool

    def within(self, key: Any) -> _Place:
        """The place of what the object holds under a key."""
        name = str(key) if isinstance(key, str | int) else type(key).__name__
        return self._replace(attribute=self.attribute or name, path=f"{self.path}.{name}" if self.path else name)

    def stays(self, before: Any, now: Any, is_state: IsState) -> bool:
        """Whether the present value is left although it differs from the saved one.

        Caches, lazily made weights and what a lazy module learned from its first input are left.
        """
        made = self.lazy and not _waits(self.module)
        if now is _ABSENT or not (made or before is None or before is _ABSENT):
            return made and now is _ABSENT
        return not is_state(self.module, self.attribute, now)


class _Kept:
    """One object and its saved contents. The base class serves for objects that never change, such as tuples."""

    def __init__(self, place: _Place, held: Any, saved: Any) -> None:
        self.place, self.held, self.saved = place, held, saved

    def inner(self) -> Iterable[tuple[Any, Any]]:
        """The objects that it held, each with its key in `saved`."""
        return enumerate(self.saved)

    def within(self, key: Any) -> _Place:
        """The place of what the object holds under a key."""
        return self.place.within(key)

    def put_back(self, is_state: IsState) -> None:
        """Restores the contents; raises any exception if that is impossible."""

    def rewritten(self) -> Iterable[str]:
        """Names of the parameters among its contents that were written to or replaced."""
        return ()


class _Unkept(_Kept):
    """An object whose contents could not be read, so that a change of them would not be noticed."""

    def put_back(self, is_state: IsState) -> None:
        raise TypeError("it could not be copied")


# -- objects that hold other objects -----------------------------------------------------------------------


class _Dict(_Kept):
    """A dict of any class, read and written by the methods of `dict` itself: overridden ones may have side effects."""

    def __init__(self, place: _Place, held: dict[Any, Any], hidden: frozenset[str] = frozenset()) -> None:
        self.base: Any = OrderedDict if isinstance(held, OrderedDict) else dict
        self.hidden = hidden
        super().__init__(place, held, {})
        self.saved = self.now()

    def now(self) -> dict[Any, Any]:
        return {key: value for key, value in self.base.items(self.held) if key not in self.hidden}

    def inner(self) -> Iterable[tuple[Any, Any]]:
        yield from self.saved.items()

    def same(self) -> bool:
        held, saved = self.held, self.saved
        if len(held) != len(saved):
            return False
        keys = all(map(operator.is_, self.base.keys(held), saved))
        return keys and all(map(operator.is_, self.base.values(held), saved.values()))

    def put_back(self, is_state: IsState) -> None:
        if self.same():
            return
        now = self.now()
        for key in {**self.saved, **now}:
            before, value = self.saved.get(key, _ABSENT), now.get(key, _ABSENT)
            if before is value or self.within(key).stays(before, value, is_state):
                continue
            if before is _ABSENT:
                self.base.__delitem__(self.held, key)
            else:
                self.base.__setitem__(self.held, key, before)
        self.sort()

    def sort(self) -> None:
        """Puts the saved keys first, in their saved order; at most one pair is missing from the dict at any moment."""
        now = list(self.base.keys(self.held))
        wanted = [key for key in self.saved if key in self.held] + [key for key in now if key not in self.saved]
        if now != wanted:
            for key in wanted:
                self.base.__setitem__(self.held, key, self.base.pop(self.held, key))


class _Attributes(_Dict):
    """The attributes of an object or a module, whose order does not matter."""

    def __init__(self, place: _Place, held: dict[str, Any]) -> None:
        super().__init__(place, held, frozenset() if place.attribute else MACHINERY)
        self.size = len(held)

    def same(self) -> bool:
        try:
            known = map(self.held.__getitem__, self.saved)
            return len(self.held) == self.size and all(map(operator.is_, known, self.saved.values()))
        except KeyError:
            return False

    def sort(self) -> None:
        pass


class _Parameters(_Dict):
    """The dict of a module's parameters; notes which of them were replaced."""

    def __init__(self, place: _Place, held: dict[Any, Any]) -> None:
        super().__init__(place, held)
        self.replaced: set[str] = set()

    def put_back(self, is_state: IsState) -> None:
        self.rewritten()
        super().put_back(is_state)

    def rewritten(self) -> Iterable[str]:
        if not self.same():
            found = {key for key, value in self.saved.items() if value is not None and not is_lazy(value)}
            self.replaced |= {self.within(key).path for key in found if self.held.get(key) is not self.saved[key]}
        return self.replaced


class _Slot(_Kept):
    """One value behind functions that read, write and delete it: a `__slots__` entry, a scripted module's attribute."""

    def __init__(self, place: _Place, *ways: Callable[..., Any]) -> None:
        self.read, self.write, self.delete = ways
        super().__init__(place, None, [self.now()])

    def now(self) -> Any:
        try:
            return self.read()
        except AttributeError:
            return _ABSENT

    def within(self, key: Any) -> _Place:
        return self.place

    def put_back(self, is_state: IsState) -> None:
        now, (before,) = self.now(), self.saved
        if now is before or self.place.stays(before, now, is_state):
            return
        if before is _ABSENT:
            self.delete()
        else:
            self.write(before)


class _List(_Kept):
    """A list, deque, set or bytearray."""

    def __init__(self, place: _Place, held: Any) -> None:
        self.base: Any = next(base for base in (list, deque, set, bytearray) if isinstance(held, base))
        super().__init__(place, held, list(self.base.__iter__(held)))

    def put_back(self, is_state: IsState) -> None:
        now = list(self.base.__iter__(self.held))
        if len(now) == len(self.saved) and all(map(operator.is_, now, self.saved)):
            return
        if self.base in (list, bytearray):
            self.base.__setitem__(self.held, slice(None), self.saved)
            return
        self.base.clear(self.held)
        (self.base.extend if self.base is deque else self.base.update)(self.held, self.saved)


class _Iterator(_Kept):
    """One of Python's own iterators. It cannot be rewound, so a copy replaces it wherever it was referred to.

    Each restore writes a fresh copy into the saved contents of the objects that hold the iterator. `ModelState.restore`
    therefore restores iterators before all other objects.
    """

    def __init__(self, place: _Place, held: Any) -> None:
        super().__init__(place, held, None)
        self.places: list[tuple[Any, Any]] = []
        with suppress(Exception):
            self.saved = _copied(held)

    def put_back(self, is_state: IsState) -> None:
        if inspect.isgenerator(self.held) and inspect.getgeneratorstate(self.held) == inspect.GEN_CREATED:
            return
        if self.saved is None:
            raise TypeError("it could not be copied")
        fresh = _copied(self.saved)
        for saved, key in self.places:
            saved[key] = fresh


def _copied(iterator: Any) -> Any:
    """Copies an iterator at its present position, together with the iterators inside it.

    Raises:
        Exception: one of them cannot be copied. Generators cannot, nor can those of itertools from Python 3.14 on.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        make, values, *state = iterator.__reduce__()
        copy = make(*(_copied(value) if _iterates(value) else value for value in values))
        for value in state:
            copy.__setstate__(tuple(map(_own, value)) if type(value) is tuple else value)
    return copy


def _own(value: Any) -> Any:
    """Copies a part of an iterator's state that changes as it runs: `itertools.cycle` appends to its list."""
    if _iterates(value):
        return _copied(value)
    return list(value) if type(value) is list else value


def _iterates(value: Any) -> bool:
    return type(value).__module__ in ("builtins", "itertools") and hasattr(type(value), "__next__")


# -- arrays and tensors ------------------------------------------------------------------------------------


class _Array(_Kept):
    """A NumPy array of any class and shape; `saved` is a flat copy."""

    def __init__(self, place: _Place, held: np.ndarray[Any, Any]) -> None:
        super().__init__(place, held, held.flatten())
        self.shape = held.shape

    def inner(self) -> Iterable[tuple[Any, Any]]:
        return enumerate(self.saved) if self.saved.dtype.hasobject else ()

    def put_back(self, is_state: IsState) -> None:
        if self.held.shape != self.shape:
            self.held.resize(self.shape, refcheck=False)
        if self.held.tobytes() != self.saved.tobytes():
            self.held[...] = self.saved.reshape(self.shape)


class _Tensor(_Kept):
    """A tensor's memory, bit by bit. Of a large parameter only a sum is saved, which shows whether it was written to.

    `data` is the same memory with a version counter of its own. So restoring through it does not advance the version of
    the tensor; `put_back` advances that only if the tensor was written to.
    """

    def __init__(self, place: _Place, held: Tensor) -> None:
        self.is_parameter = isinstance(held, nn.Parameter)
        self.data = held.data
        self.bits = _bits(self.data)
        keep = not self.is_parameter or held.numel() <= SMALL
        super().__init__(place, held, self.bits.clone() if keep else None)
        self.sum: Any = None if keep else _sum(self.bits)
        self.bytes = self.data.untyped_storage().nbytes()
        self.changed = False
        self.facts = self.now()

    def inner(self) -> Iterable[tuple[Any, Any]]:
        return ()

    def now(self) -> tuple[Any, ...]:
        """`requires_grad`, the version, and then what `resize_`, `set_` and `.data = …` change."""
        held = self.held
        written = None if held.is_inference() else version(held)
        return held.requires_grad, written, held.data_ptr(), held.shape, held.stride(), held.dtype

    def put_back(self, is_state: IsState) -> None:
        facts = self.now()
        if facts == self.facts and self.same(False):
            return
        # a write through `.data` or NumPy changes no fact, so on the CPU the values are compared too
        self.changed = self.changed or facts[1:] != self.facts[1:] or (self.bits.is_cpu and not self.same(False))
        written = facts[1] != self.facts[1]
        if facts[2:] != self.facts[2:]:
            self.move_back()
        if self.saved is not None:
            self.bits.copy_(self.saved)
        if written:
            torch.autograd.graph.increment_version(self.held)
        if facts[0] != self.facts[0]:
            self.leave_graph()
        self.facts = self.now()
        if written and self.saved is None:
            raise ValueError("its values were not kept")

    def same(self, waiting: bool) -> bool:
        """Whether the values are unchanged; a write through `.data` or NumPy does not advance the version counter.

        Unless `waiting`, nothing is compared that needs a sum or a synchronisation with the device: then a parameter
        counts as unchanged, and other state as changed.
        """
        if self.saved is None:
            return not waiting or int(_sum(self.bits)) == int(self.sum)
        return torch.equal(self.bits, self.saved) if waiting or self.bits.is_cpu else self.is_parameter

    def move_back(self) -> None:
        """Points the tensor to its old memory again, after `resize_`, `set_` or `.data = …`."""
        storage = self.data.untyped_storage()
        if storage.nbytes() < self.bytes:
            storage.resize_(self.bytes)
        self.held.data = self.data

    def leave_graph(self) -> None:
        """Detaches the tensor from autograd's graph and restores `requires_grad`."""
        with torch.inference_mode(False):  # in inference mode a tensor cannot be detached
            (self.held.detach_() if self.held.grad_fn is not None else self.held).requires_grad_(self.facts[0])

    def rewritten(self) -> Iterable[str]:
        if self.is_parameter and not self.changed:
            self.changed = self.now()[1:] != self.facts[1:] or not self.same(True)
        return [self.place.path] if self.is_parameter and self.changed else []


def _bits(data: Tensor) -> Tensor:
    """A tensor's memory as integers, each element once: PyTorch refuses to write to expanded (stride 0) axes."""
    for axis, (size, stride) in enumerate(zip(data.shape, data.stride(), strict=True)):
        if size > 1 and stride == 0:
            data = data.narrow(axis, 0, 1)
    if data.is_complex() and not data.is_conj():
        data = torch.view_as_real(data)
    if data.is_conj() or data.is_neg() or data.is_quantized:
        return data
    return data.view({1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[data.element_size()])


def _sum(bits: Tensor) -> Any:
    """A sum that differs if one value differs, left on the device; it adds eight bytes at a time, for speed."""
    flat, each = bits.reshape(-1), 8 // bits.element_size()
    whole = 0 if flat.storage_offset() % each else len(flat) // each * each
    return flat[:whole].view(torch.int64).sum() + flat[whole:].sum(dtype=torch.int64)


class _Opaque(_Kept):
    """A tensor whose memory cannot be read as a block: sparse, nested, or on the meta device."""

    def __init__(self, place: _Place, held: Tensor) -> None:
        super().__init__(place, held, held.clone())
        self.version, self.changed = version(held), False

    def inner(self) -> Iterable[tuple[Any, Any]]:
        return ()

    def put_back(self, is_state: IsState) -> None:
        self.changed = self.changed or version(self.held) != self.version
        if version(self.held) != self.version:
            self.held.copy_(self.saved)
            self.version = version(self.held)

    def rewritten(self) -> Iterable[str]:
        changed = self.changed or version(self.held) != self.version
        return [self.place.path] if changed and isinstance(self.held, nn.Parameter) else []


# -- what to save of each kind of object -------------------------------------------------------------------

CONTENTS: tuple[tuple[Any, Callable[[_Place, Any], _Kept]], ...] = (
    (dict, _Dict),
    ((list, deque, set, bytearray), _List),
    ((tuple, frozenset), lambda place, held: _Kept(place, held, tuple(held))),
    (np.ndarray, _Array),
    (Tensor, lambda place, held: (_Tensor if _has_memory(held) else _Opaque)(place, held)),
)


def _object(held: Any, place: _Place) -> Iterator[_Kept]:
    """Yields what to save of an object: its attributes first, and last its contents, since reading those may fail."""
    kind = type(held)  # not `held.__class__`: there a proxy names the class of the object that it stands for
    bare = issubclass(kind, Tensor) and (is_lazy(held) or _wraps(held))
    if _is_open(kind) or bare:
        own = getattr(held, "__dict__", None)
        if type(own) is dict:
            yield _Attributes(place, own)
        yield from _slots(held, place)
    if bare:
        return  # a lazy tensor has no values yet; a wrapper has them in its attributes
    for bases, kept in CONTENTS:
        if issubclass(kind, bases):
            yield kept(place, held)


def _wraps(tensor: Tensor) -> bool:
    """Whether a tensor only wraps others, which are among its attributes; reading its own memory would crash."""
    plain = type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__
    return not plain and (hasattr(tensor, "__tensor_flatten__") or not tensor.data_ptr())


def _has_memory(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_nested and not tensor.is_meta


def _is_open(kind: type) -> bool:
    """Whether the attributes of the objects of a class may hold state of the model."""
    package = str(kind.__module__)
    closed = package.partition(".")[0] in CLOSED and not package.startswith(OPEN)
    return not closed and not issubclass(kind, type | types.ModuleType | Enum)


def _slots(held: Any, place: _Place) -> Iterator[_Kept]:
    for base in type(held).__mro__:
        for name, slot in vars(base).items() if _is_open(base) else ():
            if isinstance(slot, types.MemberDescriptorType):
                ways = (partial(way, held) for way in (slot.__get__, slot.__set__, slot.__delete__))
                yield _Slot(place.within(name), *ways)


def _module(module: nn.Module, place: _Place) -> Iterator[_Kept]:
    """Yields what to save of a module itself: its parameters, buffers, memories (of SpikingJelly) and attributes."""
    own = module.__dict__
    for name, kept in (("_parameters", _Parameters), ("_buffers", _Dict), ("_memories", _Dict)):
        if isinstance(own.get(name), dict):
            yield kept(place, own[name])
    yield _Attributes(place, own)
    yield from _slots(module, place)
    script: Any = own.get("_c")
    if hasattr(script, "setattr"):  # a scripted module keeps its values in C++
        owned = [name for held in (own["_parameters"], own["_buffers"]) for name, _ in held.items()]
        for name in dict.fromkeys([*owned, *own["_concrete_type"].get_attributes()]):
            ways = (partial(way, name) for way in (script.getattr, script.setattr, script.__delattr__))
            yield _Slot(place.within(name), *ways)


def _waits(module: nn.Module) -> bool:
    """Whether some of a module's weights have no shape yet."""
    own = module.__dict__
    return any(is_lazy(tensor) for name in ("_parameters", "_buffers") for _, tensor in (own.get(name) or {}).items())


def _children(module: nn.Module, path: str) -> list[tuple[str, nn.Module]]:
    """The child modules with their paths, read from `_modules`, since classes may override `modules()`."""
    inner = module.__dict__.get("_modules") or {}
    return [(f"{path}.{name}" if path else name, child) for name, child in inner.items() if child is not None]


@contextmanager
def _unseen() -> Iterator[None]:
    """Hides all operations from dispatch and function modes, and makes every tensor writable in place.

    Otherwise PyTorch refuses to write to leaf tensors that need a gradient and to inference tensors.
    """
    with torch.inference_mode(), functions_disabled(), Unseen():
        yield


def _left(module: nn.Module, attribute: str, value: Any) -> bool:
    """The default of `restore`: no new value is state, so all are left."""
    return False


class ModelState:
    """The state of a model at one time, on the device where the model was then.

    Attributes:
        unrestorable: paths (`module.attribute` and further in) of the objects that `restore` could not restore.
    """

    def __init__(self) -> None:
        self.unrestorable: list[str] = []
        self._kept: list[_Kept] = []
        self._iterators: dict[int, _Iterator] = {}
        self._seen: dict[int, Any] = {}  # holds the objects too, so that no new object gets the id of a dead one

    @classmethod
    def of(cls, model: nn.Module) -> ModelState:
        """Saves the state of a model; this takes as much memory as its buffers and small parameters."""
        state = cls()
        with _unseen():
            state._meet_modules(model, "")
            for kept in state._kept:  # the list grows while it is walked
                for key, value in kept.inner():
                    if type(value) not in ATOMS:
                        state._meet(kept, key, value)
        return state

    def restore(self, is_state: IsState = _left) -> None:
        """Restores the state; what cannot be restored is listed in `unrestorable`.

        Args:
            is_state: called with module, attribute and present value where the saved value was absent or None. True
                makes it absent or None again; False leaves it, since it is a cache or a lazily made weight.
        """
        with _unseen():
            for kept in (*self._iterators.values(), *self._kept):
                try:
                    kept.put_back(is_state)
                except Exception:
                    name = kept.place.path or type(kept.place.module).__name__
                    if name not in self.unrestorable:
                        self.unrestorable.append(name)

    def changed_parameters(self) -> list[str]:
        """Names of the parameters that were written to or replaced, restored or not. Synchronises with the device."""
        with _unseen():
            return list(dict.fromkeys(name for kept in self._kept for name in kept.rewritten()))

    # -- the walk ------------------------------------------------------------------------------------------

    def _meet_modules(self, module: nn.Module, path: str) -> None:
        """Saves a module and all modules inside it, in the order of `named_modules()`."""
        waiting = [(path, module)]
        while waiting:
            path, module = waiting.pop()
            if id(module) not in self._seen:
                self._seen[id(module)] = module
                place = _Place(module, "", path, _waits(module))
                self._keep(_module(module, place), place)
                waiting += reversed(_children(module, path))

    def _meet(self, holder: _Kept, key: Any, value: Any) -> None:
        """Saves an object if the walk meets it for the first time; notes every reference to an iterator."""
        if _iterates(value):
            if id(value) not in self._iterators:
                self._iterators[id(value)] = _Iterator(holder.within(key), value)
            self._iterators[id(value)].places.append((holder.saved, key))
        elif id(value) not in self._seen:
            place = holder.within(key)
            if issubclass(type(value), nn.Module):  # a module that is no child, for example in a plain list
                self._meet_modules(value, place.path)
            else:
                self._seen[id(value)] = value
                self._keep(_object(value, place), place)

    def _keep(self, found: Iterator[_Kept], place: _Place) -> None:
        """Adds what is to be saved of an object; if reading it fails, notes that it cannot be restored."""
        try:
            for kept in found:
                self._kept.append(kept)
                if isinstance(kept, _Dict):
                    self._seen[id(kept.held)] = kept.held
        except Exception:
            self._kept.append(_Unkept(place, None, ()))

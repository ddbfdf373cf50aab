"""A model's state as it was found, put back in place: the same objects, holding what they held.

What modules hold is a graph of objects: attributes, buffers, containers, objects of anybody's classes. It is walked
once, and of each object only its own contents are kept: a list's elements, an object's attributes, a tensor's values.
Put back one by one, in whatever order, they are the whole again, aliases and cycles included.

Left alone: hooks, modes and sub-modules of modules; random generators; functions, with what they close over; classes
and globals; objects of the standard library, of PyTorch and of NumPy that are not containers, tensors or arrays.
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
"""Elements of a parameter up to which its values are kept: those of all weights would take their memory again."""

MACHINERY = frozenset(nn.Module().__dict__)
ATOMS = frozenset(
    {type(None), bool, int, float, complex, str, bytes, type, types.FunctionType, torch.dtype, torch.Size}
)
CLOSED = sys.stdlib_module_names | {"torch", "numpy"}
OPEN = ("types", "argparse", "collections", "torch.distributions")
"""Packages whose objects run things; parts of them whose objects do nothing but hold what they are given."""

_ABSENT: Any = object()


class _Place(NamedTuple):
    """Where an object was met first: the module, its attribute that leads there (empty: the module itself), the path.

    `lazy`: the module still waited for the shapes of its weights.
    """

    module: nn.Module
    attribute: str
    path: str
    lazy: bool

    def within(self, key: Any) -> _Place:
        name = str(key) if isinstance(key, str | int) else type(key).__name__
        return self._replace(attribute=self.attribute or name, path=f"{self.path}.{name}" if self.path else name)

    def stays(self, before: Any, now: Any, is_state: IsState) -> bool:
        """Whether what is here now is left: caches, lazily made weights, what a lazy module learnt of its input."""
        made = self.lazy and not _waits(self.module)
        if now is _ABSENT or not (made or before is None or before is _ABSENT):
            return made and now is _ABSENT
        return not is_state(self.module, self.attribute, now)


class _Kept:
    """One object and what it held; this class does for those that hold the same for ever, such as tuples."""

    def __init__(self, place: _Place, held: Any, saved: Any) -> None:
        self.place, self.held, self.saved = place, held, saved

    def inner(self) -> Iterable[tuple[Any, Any]]:
        """The objects that it held, each with its key in `saved`."""
        return enumerate(self.saved)

    def within(self, key: Any) -> _Place:
        return self.place.within(key)

    def put_back(self, is_state: IsState) -> None:
        """May raise whatever says that the object cannot be put back."""

    def rewritten(self) -> Iterable[str]:
        """Names of the parameters among what it held that were written to or replaced."""
        return ()


class _Unkept(_Kept):
    """What could not be looked at, so that nobody knows whether it changed."""

    def put_back(self, is_state: IsState) -> None:
        raise TypeError("it could not be copied")


# -- what holds other objects ------------------------------------------------------------------------------


class _Dict(_Kept):
    """A dict of any class, by the methods of `dict` itself: what the class makes of them is not to happen again."""

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
        """What it held comes first, in the order of that time; never is more than one pair missing on the way."""
        now = list(self.base.keys(self.held))
        wanted = [key for key in self.saved if key in self.held] + [key for key in now if key not in self.saved]
        if now != wanted:
            for key in wanted:
                self.base.__setitem__(self.held, key, self.base.pop(self.held, key))


class _Attributes(_Dict):
    """The attributes of an object, or of a module: in whatever order."""

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
    """Which parameters a module has."""

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
    """One value that functions read, write and delete: an object's slot, a scripted module's attribute."""

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
    """One of Python's own iterators, which cannot be wound back: a copy takes its places, and another one next time."""

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
    """An iterator that goes on alike, made of copies of those within it.

    Raises:
        Exception: one of them cannot be copied; generators cannot, nor can those of itertools from Python 3.14 on.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        make, values, *state = iterator.__reduce__()
        copy = make(*(_copied(value) if _iterates(value) else value for value in values))
        for value in state:
            copy.__setstate__(tuple(map(_own, value)) if type(value) is tuple else value)
    return copy


def _own(value: Any) -> Any:
    """Of what an iterator has set aside: a cycle adds to its list."""
    if _iterates(value):
        return _copied(value)
    return list(value) if type(value) is list else value


def _iterates(value: Any) -> bool:
    return type(value).__module__ in ("builtins", "itertools") and hasattr(type(value), "__next__")


# -- what holds values -------------------------------------------------------------------------------------


class _Array(_Kept):
    """A NumPy array of any class and shape; `saved` has one dimension."""

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
    """A tensor's memory, bit by bit; parameters: only if small, of others a sum tells whether they were written to.

    `data` is the same memory under a version counter of its own: the tensor's moves only where values changed.
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
        held = self.held
        written = None if held.is_inference() else version(held)
        return held.requires_grad, written, held.data_ptr(), held.shape, held.stride(), held.dtype

    def put_back(self, is_state: IsState) -> None:
        facts = self.now()
        if facts == self.facts and self.same(False):
            return
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
        """Whether the values are: writing by way of `.data` or NumPy moves no counter.

        Where a device would have to be waited for, and is not to be, state is taken for changed, a parameter is not.
        """
        if self.saved is None:
            return not waiting or int(_sum(self.bits)) == int(self.sum)
        return torch.equal(self.bits, self.saved) if waiting or self.bits.is_cpu else self.is_parameter

    def move_back(self) -> None:
        """After `resize_`, `set_` and `.data = …`."""
        storage = self.data.untyped_storage()
        if storage.nbytes() < self.bytes:
            storage.resize_(self.bytes)
        self.held.data = self.data

    def leave_graph(self) -> None:
        with torch.inference_mode(False):  # within it nothing leaves one
            (self.held.detach_() if self.held.grad_fn is not None else self.held).requires_grad_(self.facts[0])

    def rewritten(self) -> Iterable[str]:
        if self.is_parameter and not self.changed:
            self.changed = self.now()[1:] != self.facts[1:] or not self.same(True)
        return [self.place.path] if self.is_parameter and self.changed else []


def _bits(data: Tensor) -> Tensor:
    """A tensor's memory as whole numbers, each element once: PyTorch does not write to one place several times."""
    for axis, (size, stride) in enumerate(zip(data.shape, data.stride(), strict=True)):
        if size > 1 and stride == 0:
            data = data.narrow(axis, 0, 1)
    if data.is_complex() and not data.is_conj():
        data = torch.view_as_real(data)
    if data.is_conj() or data.is_neg() or data.is_quantized:
        return data
    return data.view({1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[data.element_size()])


def _sum(bits: Tensor) -> Any:
    """A sum that any one changed value changes, still on the device; eight bytes at a time, which is much quicker."""
    flat, each = bits.reshape(-1), 8 // bits.element_size()
    whole = 0 if flat.storage_offset() % each else len(flat) // each * each
    return flat[:whole].view(torch.int64).sum() + flat[whole:].sum(dtype=torch.int64)


class _Opaque(_Kept):
    """A tensor without memory of its own to look at: sparse, nested, on the meta device."""

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


# -- which is which ----------------------------------------------------------------------------------------

CONTENTS: tuple[tuple[Any, Callable[[_Place, Any], _Kept]], ...] = (
    (dict, _Dict),
    ((list, deque, set, bytearray), _List),
    ((tuple, frozenset), lambda place, held: _Kept(place, held, tuple(held))),
    (np.ndarray, _Array),
    (Tensor, lambda place, held: (_Tensor if _has_memory(held) else _Opaque)(place, held)),
)


def _object(held: Any, place: _Place) -> Iterator[_Kept]:
    """What has to be kept of an object: its attributes, and last its contents, which may not be to be had."""
    kind = type(held)  # a proxy says that it is of the class of what it stands for
    bare = issubclass(kind, Tensor) and (is_lazy(held) or _wraps(held))
    if _is_open(kind) or bare:
        own = getattr(held, "__dict__", None)
        if type(own) is dict:
            yield _Attributes(place, own)
        yield from _slots(held, place)
    if bare:
        return  # it has no values yet, or has them in its attributes
    for bases, kept in CONTENTS:
        if issubclass(kind, bases):
            yield kept(place, held)


def _wraps(tensor: Tensor) -> bool:
    """Whether a tensor's class runs its operators on tensors among its attributes: to read its own memory crashes."""
    plain = type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__
    return not plain and (hasattr(tensor, "__tensor_flatten__") or not tensor.data_ptr())


def _has_memory(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_nested and not tensor.is_meta


def _is_open(kind: type) -> bool:
    """Whether objects of a class may hold state among their attributes."""
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
    own = module.__dict__
    for name, kept in (("_parameters", _Parameters), ("_buffers", _Dict), ("_memories", _Dict)):
        if isinstance(own.get(name), dict):
            yield kept(place, own[name])
    yield _Attributes(place, own)
    yield from _slots(module, place)
    script: Any = own.get("_c")
    if hasattr(script, "setattr"):  # a scripted module, whose values lie in C++
        owned = [name for held in (own["_parameters"], own["_buffers"]) for name, _ in held.items()]
        for name in dict.fromkeys([*owned, *own["_concrete_type"].get_attributes()]):
            ways = (partial(way, name) for way in (script.getattr, script.setattr, script.__delattr__))
            yield _Slot(place.within(name), *ways)


def _waits(module: nn.Module) -> bool:
    """Whether some of a module's weights have no shape yet."""
    own = module.__dict__
    return any(is_lazy(tensor) for name in ("_parameters", "_buffers") for _, tensor in (own.get(name) or {}).items())


def _children(module: nn.Module, path: str) -> list[tuple[str, nn.Module]]:
    """The modules in a module with their names, read directly: classes override `modules()`."""
    inner = module.__dict__.get("_modules") or {}
    return [(f"{path}.{name}" if path else name, child) for name, child in inner.items() if child is not None]


@contextmanager
def _unseen() -> Iterator[None]:
    """No mode sees what is done; tensors that need a gradient, or were made in inference mode, can be written to."""
    with torch.inference_mode(), functions_disabled(), Unseen():
        yield


def _left(module: nn.Module, attribute: str, value: Any) -> bool:
    return False


class ModelState:
    """What a model held at one time, on the device where it was then.

    Attributes:
        unrestorable: paths, `module.attribute` and further in, of what could not be put back; filled by `restore`.
    """

    def __init__(self) -> None:
        self.unrestorable: list[str] = []
        self._kept: list[_Kept] = []
        self._iterators: dict[int, _Iterator] = {}
        self._seen: dict[int, Any] = {}  # with the objects themselves, or another could come to have the same id

    @classmethod
    def of(cls, model: nn.Module) -> ModelState:
        """Remembers what a model holds; takes the memory of a copy of its state, weights left out."""
        state = cls()
        with _unseen():
            state._meet_modules(model, "")
            for kept in state._kept:  # grows on the way
                for key, value in kept.inner():
                    if type(value) not in ATOMS:
                        state._meet(kept, key, value)
        return state

    def restore(self, is_state: IsState = _left) -> None:
        """Puts everything back, whatever became of it.

        Args:
            is_state: asked of what was absent or None and is not any more, by module, attribute and the value that is
                there now: true puts it back to absent or None, false leaves it: a cache, a lazily made weight.
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
        """Names of the parameters that were written to or replaced since, put back or not; waits for the device."""
        with _unseen():
            return list(dict.fromkeys(name for kept in self._kept for name in kept.rewritten()))

    # -- the walk ------------------------------------------------------------------------------------------

    def _meet_modules(self, module: nn.Module, path: str) -> None:
        waiting = [(path, module)]
        while waiting:
            path, module = waiting.pop()
            if id(module) not in self._seen:
                self._seen[id(module)] = module
                place = _Place(module, "", path, _waits(module))
                self._keep(_module(module, place), place)
                waiting += reversed(_children(module, path))

    def _meet(self, holder: _Kept, key: Any, value: Any) -> None:
        if _iterates(value):
            if id(value) not in self._iterators:
                self._iterators[id(value)] = _Iterator(holder.within(key), value)
            self._iterators[id(value)].places.append((holder.saved, key))
        elif id(value) not in self._seen:
            place = holder.within(key)
            if issubclass(type(value), nn.Module):  # in a plain list, say
                self._meet_modules(value, place.path)
            else:
                self._seen[id(value)] = value
                self._keep(_object(value, place), place)

    def _keep(self, found: Iterator[_Kept], place: _Place) -> None:
        try:
            for kept in found:
                self._kept.append(kept)
                if isinstance(kept, _Dict):
                    self._seen[id(kept.held)] = kept.held
        except Exception:
            self._kept.append(_Unkept(place, None, ()))

"""Counts every contraction a second time, by running the operation itself on {0, 1}: the check of the recorder.

It shares no rules with the recorder, so an error in those shows as a difference.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snnprof.record import torch_private
from snnprof.record.torch_private import OVERLOAD, TorchDispatchMode


class Recount(NamedTuple):
    """One contraction that ran.

    Attributes:
        layer: path of the innermost module that ran it; '' is the model itself.
        operator: its name in aten, such as `addmm` or `convolution`.
        pairs: products of two non-zero elements; a bias adds none.
        dense: MACs of the same operation on dense operands, taps on padding included.
    """

    layer: str
    operator: str
    pairs: int
    dense: int


class _Hook:
    """A hook that calls a method with the module's path as first argument; in a copy of the module it does nothing."""

    def __init__(self, method: Callable[..., None], name: str) -> None:
        self.method, self.name = method, name

    def __call__(self, *args: Any) -> None:
        self.method(self.name, *args)

    def __reduce__(self) -> Any:
        return _no_hook, ()


def _no_hook() -> Callable[..., None]:
    return _does_nothing


def _does_nothing(*args: Any) -> None:
    return None


class SecondCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the contractions of all forward passes of a model inside the `with` block; it does not change results.

    It does not count operands without a plain array of values (meta, sparse, opaque, quantised, nested), kernels that
    fuse contractions, backward passes, and operators that run outside the model's modules or in another thread.

    Example:
        >>> layer = torch.nn.Linear(4, 3, bias=False)
        >>> with SecondCounter(layer) as second:
        ...     _ = layer(torch.tensor([[1.0, 0.0, 1.0, 0.0]]))
        >>> second.calls
        [Recount(layer='', operator='mm', pairs=6, dense=12)]

    Attributes:
        calls: one entry per contraction, in the order in which they ran.
    """

    supports_higher_order_operators = True

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Recount] = []
        self._model = model
        self._path: list[str] = []
        self._hooks: list[Any] = []
        self._thread = threading.get_ident()
        self._depth = 0

    def __enter__(self) -> SecondCounter:
        if self._depth == 0:  # else an operator is being decomposed
            self._thread = threading.get_ident()
            for name, module in self._model.named_modules():
                # Scripted modules hide these methods behind ones that refuse; the hooks themselves work.
                before = nn.Module.register_forward_pre_hook(module, _Hook(self._enter, name))
                after = nn.Module.register_forward_hook(module, _Hook(self._leave, name), always_call=True)
                self._hooks += [before, after]
        self._depth += 1
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._depth -= 1
        while self._hooks and self._depth == 0:
            self._hooks.pop().remove()
            self._path.clear()

    def _enter(self, name: str, module: nn.Module, args: Any) -> None:
        if threading.get_ident() == self._thread:
            self._path.append(name)

    def _leave(self, name: str, module: nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() == self._thread:
            while name in self._path and self._path.pop() != name:
                pass  # an exception for which PyTorch runs no hooks ended a module inside

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not isinstance(func, OVERLOAD):  # of a higher order: it runs functions among its arguments
            return func(*map(self._watched, args), **kwargs)
        if any(hasattr(kind, "__tensor_flatten__") for kind in types):  # a wrapper: it runs operators on its tensors
            return NotImplemented
        if not self._path or torch_private.in_backward() or func.namespace != "aten":
            return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        rule = _RULES.get(name.removesuffix("_"))
        if rule is None:
            return self._decomposed(func, args, kwargs)
        with _unseen():
            before = [_copied(each) for each in args] if torch_private.schema(func).is_mutable else args
        result = func(*args, **kwargs)
        with _unseen():
            counted = rule(func, before, kwargs) if _hold_values(before) else None
        if counted:
            self.calls.append(Recount(self._path[-1], name, *counted))
        return result

    def _decomposed(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Runs a composite operator by its parts; under inference mode it would arrive whole.

        `func.decompose` is not used, since it may run a Python decomposition that rounds differently.
        """
        if not torch_private.is_composite(func):
            return func(*args, **kwargs)
        with self:
            return torch_private.run_by_parts(func, args, kwargs)

    def _watched(self, operand: Any) -> Any:
        """Wraps a function so that this mode sees its operators; returns any other argument as it is."""
        if not callable(operand):
            return operand

        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return operand(*args, **kwargs)

        return run

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Tells PyTorch to switch this mode off while it compiles."""
        return True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would load the compiler, only to keep it out


@contextmanager
def _unseen() -> Iterator[None]:
    """Hides the counter's own arithmetic from all modes."""
    with torch.no_grad(), torch_private.functions_disabled(), torch_private.dispatch_disabled():
        yield


def _copied(operand: Any) -> Any:
    return operand.clone() if isinstance(operand, Tensor) else operand


def _hold_values(args: Any) -> bool:
    """Whether all tensors among the arguments are plain arrays of values."""
    tensors = [value for value in args if isinstance(value, Tensor)]
    plain = (type(each).__torch_dispatch__ is Tensor.__torch_dispatch__ for each in tensors)
    odd = (t.layout is not torch.strided or t.is_meta or t.is_nested or t.is_quantized for t in tensors)
    return all(plain) and not any(odd)


def _live(values: Tensor, terms: int) -> Tensor:
    """1 where a value is not zero, in the fastest float format in which a sum of `terms` ones is exact."""
    return (values != 0).to(torch.float32 if terms < 2**24 else torch.float64)


def _total(met: Tensor) -> int:
    """The sum of whole numbers; it rounds first, since some fast convolutions are off by a rounding error."""
    return int(met.round_().sum(dtype=torch.int64))


def _product(left: Tensor, right: Tensor) -> tuple[int, int]:
    """Pairs and dense MACs of left `[..., N, K]` @ right `[..., K, M]`, or of vectors `[K]`; stacks broadcast."""
    terms = left.shape[-1]
    met = _live(left, terms) @ _live(right, terms)
    return _total(met), met.numel() * terms


def _convolution(func: Any, args: Any, kwargs: Any) -> tuple[int, int]:
    """Pairs and dense MACs of x `[N, C, ...]` (or without N) and weight `[Cout, C/g, ...]`.

    A transposed convolution has a weight `[C, Cout/g, ...]`.
    """
    x, weight = args[:2]
    name = func.overloadpacket.__name__
    transposed = args[6] if "convolution" in name else "transpose" in name
    ones = (_live(values, weight.numel()) for values in (x, weight))
    met = func.overloadpacket(*ones, None, *args[3:], **{key: kwargs[key] for key in kwargs if key != "out"})
    positions = x.numel() if transposed else met.numel()
    return _total(met), positions * math.prod(weight.shape[1:])


def _bag(
    weight: Tensor, indices: Tensor, offsets: Tensor, scale: bool = False, mode: int = 0, sparse: bool = False,
    factors: Tensor | None = None, last: bool = False, padding: int = -1,
) -> tuple[int, int] | None:  # fmt: skip
    """Pairs and dense MACs of sums or means of the rows of weight `[rows, width]` that `indices` select.

    `factors` multiply the selected rows. The maximum of rows is no contraction: None.
    """
    if mode == 2:  # the maximum of each column
        return None
    selected = indices != padding
    met = weight[indices[selected]] != 0
    if factors is not None:
        met &= (factors[selected] != 0).unsqueeze(1)
    return int(met.sum()), met.numel()


_RULES: dict[str, Callable[[Any, Any, Any], tuple[int, int] | None]] = {
    **dict.fromkeys("mm bmm mv dot vdot matmul".split(), lambda f, a, k: _product(*a[:2])),
    **dict.fromkeys("addmm _addmm_activation baddbmm addbmm addmv".split(), lambda f, a, k: _product(*a[1:3])),
    "linear": lambda f, a, k: _product(a[0], a[1].t()),
    "addr": lambda f, a, k: _product(a[1].unsqueeze(1), a[2].unsqueeze(0)),
    "_cdist_forward": lambda f, a, k: _product(a[0], a[1].mT) if a[2] == 2 else None,
    **dict.fromkeys("_embedding_bag _embedding_bag_forward_only".split(), lambda f, a, k: _bag(*a)),
    **dict.fromkeys("convolution _convolution convolution_overrideable".split(), _convolution),
    **dict.fromkeys("conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d".split(), _convolution),
}
"""By an operator's name, without the underscore of its in-place form: computes pairs and dense MACs of a call."""

"""Operators with contractions or additions inside, rewritten as operators that the recorder can count.

Each function takes the operator's arguments and computes its result, or returns None if it cannot.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def bilinear(i1: Tensor, i2: Tensor, i3: Tensor, *axes: Any) -> Tensor | None:
    """x₁ᵀ W x₂ (`_trilinear`) as a linear layer on the outer product x₁ ⊗ x₂: one MAC per weight."""
    if [list(axis) for axis in axes[:4]] != [[1, 3], [0], [1, 2], [2, 3]]:
        return None
    outer = i1.unsqueeze(-1) * i3.unsqueeze(-2)
    return torch.nn.functional.linear(outer.flatten(-2), i2.flatten(1))


@contextmanager
def _without_mkldnn() -> Iterator[None]:
    """Switches MKLDNN off, and silences the warning about TF32 that the switch gives although it is unrelated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def one_layer_lstm(
    x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, hx: Tensor, cx: Tensor, reverse: bool,
    batch_sizes: Any, mode: int, hidden_size: int, num_layers: int, has_biases: bool, *rest: Any,
) -> tuple[Tensor, ...] | None:  # fmt: skip
    """One direction of an LSTM layer (`mkldnn_rnn_layer`) on `[T, B, I]`, by the kernel that runs linear layers."""
    if batch_sizes:
        return None
    weights = [w_ih, w_hh, b_ih, b_hh] if has_biases else [w_ih, w_hh]
    steps = x.flip(0) if reverse else x
    state = [tensor.reshape(1, -1, tensor.shape[-1]) for tensor in (hx, cx)]
    with _without_mkldnn():
        out, h, c = torch.lstm(steps, state, weights, has_biases, 1, 0.0, False, False, False)
    return out.flip(0) if reverse else out, h.reshape(hx.shape), c.reshape(cx.shape), x.new_empty(0)


def cudnn_rnn(
    x: Tensor, weight: list[Tensor], stride: int, buffer: Any, hx: Tensor, cx: Tensor | None, mode: int,
    hidden: int, projected: int, layers: int, batch_first: bool, dropout: float, train: bool, bidirectional: bool,
    batch_sizes: Any, *rest: Any,
) -> tuple[Tensor, ...] | None:  # fmt: skip
    """A recurrent network (`_cudnn_rnn`), by the kernels that run linear layers."""
    if batch_sizes:
        return None
    kernels: tuple[Any, ...] = (torch.rnn_relu, torch.rnn_tanh, torch.lstm, torch.gru)
    state = hx if cx is None else [hx, cx]
    biased = len(weight) == layers * (2 if bidirectional else 1) * (5 if projected else 4)
    with torch.backends.cudnn.flags(enabled=False):
        out, *states = kernels[mode](x, state, weight, biased, layers, dropout, train, bidirectional, batch_first)
    return out, *states, *(x.new_empty(0) for _ in range(4 - len(states)))


# -- values added at the places that indices name, by `index_add`, which has a rule: one addition for each value


def added_by_index_put(
    x: Tensor, indices: Sequence[Tensor | None], values: Tensor, *flags: bool, **given: Any
) -> Tensor | None:
    """`index_put` where it adds (`accumulate`): values are broadcast to the places that the indices select in `x`."""
    if "out" in given:
        return None
    numbers = torch.arange(x.numel(), device=x.device).view(x.shape)
    places = torch.ops.aten.index(numbers, indices)
    return _added(x, places, values.expand(places.shape))


def added_by_put(x: Tensor, index: Tensor, source: Tensor, *flags: bool, **given: Any) -> Tensor | None:
    """`put` where it adds (`accumulate`): an index counts the elements of `x` in the order of its flattened form."""
    return None if "out" in given else _added(x, index, source)


def _added(x: Tensor, places: Tensor, values: Tensor) -> Tensor:
    return x.flatten().index_add(0, places.flatten(), values.flatten()).view(x.shape)


def in_place(rewrite: Callable[..., Tensor | None]) -> Callable[..., Tensor | None]:
    """The same rewrite, which writes its result into the first operand and returns that."""

    def written(x: Tensor, *args: Any, **kwargs: Any) -> Tensor | None:
        total = rewrite(x, *args, **kwargs)
        return total if total is None else x.copy_(total)

    return written

"""The inputs of a model: one tensor, several in order, or several by name. The first gives the number of samples."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Input = Tensor | tuple[Tensor, ...] | dict[str, Tensor]


def tensors(x: Input) -> list[Tensor]:
    """All tensors of an input, in order."""
    if isinstance(x, Tensor):
        return [x]
    return list(x.values()) if isinstance(x, dict) else list(x)


def first(x: Input) -> Tensor:
    """The first tensor, whose axes give the numbers of samples and time steps."""
    return x if isinstance(x, Tensor) else tensors(x)[0]


def mapped(x: Input, change: Callable[[Tensor], Tensor]) -> Input:
    """The same inputs with each tensor changed."""
    if isinstance(x, Tensor):
        return change(x)
    if isinstance(x, dict):
        return {name: change(tensor) for name, tensor in x.items()}
    return tuple(change(tensor) for tensor in x)


def narrowed(x: Input, axis: int, length: int) -> Input:
    """The first `length` samples along `axis`; a tensor of another size than the batch there belongs to all samples."""
    size = first(x).shape[axis]

    def cut(tensor: Tensor) -> Tensor:
        return tensor.narrow(axis, 0, length) if tensor.dim() > axis and tensor.shape[axis] == size else tensor

    return mapped(x, cut)


def at_step(x: Input, step: int, steps: int) -> Input:
    """The input of one step of a loop over T: frame `step` of a sequence, or the same tensor in every step."""

    def frame(tensor: Tensor) -> Tensor:
        return tensor[step] if tensor.dim() > 2 and tensor.shape[0] == steps else tensor

    return mapped(x, frame)


def joined(samples: Sequence[Input]) -> Input:
    """Stacks single samples to a batch.

    Raises:
        RuntimeError: they differ in shape or in their tensors.
    """
    one = samples[0]
    if isinstance(one, Tensor):
        return torch.stack([first(sample) for sample in samples])
    if any(_names(sample) != _names(one) for sample in samples):
        raise RuntimeError("the samples differ in their inputs")
    columns = [torch.stack(column) for column in zip(*map(tensors, samples), strict=True)]
    return dict(zip(one, columns, strict=True)) if isinstance(one, dict) else tuple(columns)


def call(model: Callable[..., Any], x: Input) -> Any:
    """Calls `model(x)`, `model(x1, x2, ...)` or `model(**{name: x})`."""
    if isinstance(x, Tensor):
        return model(x)
    if not isinstance(x, dict):
        return model(*x)
    return model(*x.values()) if len(x) == 1 and not _takes(model, next(iter(x))) else model(**x)


def positional(model: nn.Module, x: Input) -> tuple[Tensor, ...] | None:
    """The inputs in the order of `forward`; None if they can be passed by name only."""
    if not isinstance(x, dict):
        return tuple(tensors(x))
    if len(x) == 1:
        return tuple(x.values())
    names = list(inspect.signature(model.forward).parameters)[: len(x)]
    return tuple(x[name] for name in names) if set(names) == set(x) else None


def shapes(x: Input) -> str:
    """The shapes of the inputs, for a message."""
    if isinstance(x, dict):
        return ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in x.items())
    return ", ".join(str(list(tensor.shape)) for tensor in tensors(x))


def several(value: Any) -> bool:
    """Whether the x from a user's iterable is several inputs.

    A list of arrays of one shape is one input, a batch of samples, as in NumPy. A list of tensors is several inputs:
    PyTorch does not convert it to a tensor either.
    """
    if isinstance(value, Mapping):
        return bool(value)
    if not isinstance(value, tuple | list) or len(value) < 2:
        return False
    shaped = [tuple(getattr(entry, "shape", ())) for entry in value]
    if not all(shaped):
        return False
    return any(isinstance(entry, Tensor) for entry in value) or len(set(shaped)) > 1


def _takes(model: Callable[..., Any], name: str) -> bool:
    """Whether `forward` has a parameter of this name; a single input may be called "image" by the data and x by it."""
    parameters = inspect.signature(getattr(model, "forward", model)).parameters.values()
    return any(parameter.name == name or parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _names(x: Input) -> list[Any]:
    return list(x) if isinstance(x, dict) else [len(tensors(x))]

"""Finds the time axis of a tensor: by its provenance or, if that is unknown, by the sizes of its first axes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from snnprof.record import contractions, timeaxis
from snnprof.record.contractions import Contraction
from snnprof.record.measure import Role
from snnprof.record.read.operand import Steps
from snnprof.record.recording import Recording
from snnprof.record.store import Store
from snnprof.record.timeaxis import TimeDim, TimeStride


class TimeSteps:
    """Follows the time axis from operands to results."""

    def __init__(self, recording: Recording, store: Store) -> None:
        self.recording = recording
        self.store = store

    @property
    def inside(self) -> bool:
        """Whether one tensor can hold several steps; if the caller loops over them, it holds one."""
        return (self.recording.timesteps or 1) > 1 and self.recording.layout != "step"

    def of_operands(self, form: Contraction, roles: tuple[Role, Role]) -> tuple[Steps | None, Steps | None]:
        """The time axes of a contraction's data operands; None for both if they disagree, or if it sums over time."""
        found = [self.of(t) if role == "data" else None for t, role in zip(form.operands, roles, strict=True)]
        if roles == ("data", "data"):
            if isinstance(form, contractions.Convolution):
                return None, None
            left, right = found
            batched = form.operands[0].dim() - 2
            same = left == right and form.operands[0].dim() == form.operands[1].dim()
            if not same or left is None or left.dim >= batched:
                return None, None
        elif any(s and not _splits(form, i, s.dim) for i, s in enumerate(found)):
            return None, None
        return found[0], found[1]

    def of(self, tensor: Tensor) -> Steps | None:
        """The time axis of a tensor; None if one call is one step, or if the axis is not known."""
        axis = self.store.time(tensor)
        return self._leading(tensor) if axis is None else self._of_axis(tensor, axis)

    def _of_axis(self, tensor: Tensor, axis: TimeStride) -> Steps | None:
        fold = timeaxis.folding(tensor, axis)
        if fold is None:
            return None
        first = tensor.shape[fold.dim] == fold.size * fold.inner
        return Steps(fold.dim, fold.size, None if first else fold.inner)

    def of_result(
        self, name: str, output: Tensor, inputs: list[Tensor], args: Any, form: Contraction | None
    ) -> TimeStride | None:
        """The time axis of an operator's result: that of its operands, or one that the operator made."""
        sources = [(tensor, self.store.time(tensor)) for tensor in (form.operands if form else inputs)]
        if form:
            sources = [(t, _unsummed(form, i, t, axis)) for i, (t, axis) in enumerate(sources)]
        axis = timeaxis.carried(name, output, sources, args)
        if _lives(axis) or not inputs or not self.inside:
            return axis
        made = _made_axis(name, output, inputs, args, self.recording.timesteps or 1)
        return timeaxis.axis_of(output, made) or axis

    def of_made(self, name: str, output: Tensor, inputs: list[Tensor], args: Any) -> Steps | None:
        """The time axis of a result whose facts are not stored yet."""
        axis = self.of_result(name, output, inputs, args, None)
        if axis is None:
            return self._leading(output)
        return self._of_axis(output, axis)

    def of_expanded(self, output: Tensor) -> TimeStride | None:
        """The time axis that `expand` made by repeating a tensor T times without a copy; None if it made none."""
        steps = self.recording.timesteps or 1
        shared = [d for d in range(output.dim()) if output.stride(d) == 0 and output.shape[d] == steps]
        return TimeStride(0, steps) if self.inside and shared else None

    def _leading(self, tensor: Tensor) -> Steps | None:
        """Takes a tensor [T·B, ...] or [T, B, ...] for time-major, unless the layout is `batch-time`."""
        steps, batch = self.recording.timesteps or 1, self.recording.batch_size
        if not self.inside or not batch or tensor.dim() == 0:
            return None
        rows = tensor.shape[0]
        major = rows == steps * batch or (tensor.dim() > 1 and rows == steps and tensor.shape[1] == batch)
        if not major:
            return None
        return Steps(0, steps, 1 if self.recording.layout == "batch-time" and rows == steps * batch else None)


def _made_axis(name: str, output: Tensor, inputs: list[Tensor], args: Any, steps: int) -> TimeDim | None:
    """The time axis that stacking, concatenating or repeating T times made; it is usually the first."""
    if name in ("stack", "cat"):
        dim = (args[1] if len(args) > 1 else 0) % output.dim()
        inner = inputs[0].shape[dim] if name == "cat" else 1
        return TimeDim(dim, inner, steps) if len(inputs) == steps and dim < 2 else None
    if name not in ("repeat", "tile"):
        return None
    new = output.dim() - inputs[0].dim()
    for dim, times in enumerate(args[1]):
        size = 1 if dim < new else inputs[0].shape[dim - new]
        if times == steps and size == 1:
            return TimeDim(dim, 1, steps)
    return None


def _lives(axis: TimeStride | None) -> bool:
    """Whether there is a time axis, over which nothing has summed."""
    return axis is not None and axis is not timeaxis.GONE


def _unsummed(form: Contraction, position: int, operand: Tensor, axis: TimeStride | None) -> TimeStride | None:
    """The time axis of an operand; `GONE` if the contraction sums over it."""
    fold = timeaxis.folding(operand, axis)
    return axis if fold is None or _splits(form, position, fold.dim) else timeaxis.GONE


def _splits(form: Contraction, position: int, dim: int) -> bool:
    """Whether a dimension of an operand is kept in the result, so that steps along it stay apart."""
    if isinstance(form, contractions.Convolution):
        return dim == 0
    return dim != form.operands[position].dim() - 1 - position
